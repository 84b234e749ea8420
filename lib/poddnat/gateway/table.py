"""One gateway's forward table as last seen, with the look-ups that the plan needs.

A listing is old the moment it arrives: our own writes may have been answered since it was asked for. So every change
is stamped, and a listing never undoes what happened after it began.
"""

from collections.abc import Collection, Iterable, Iterator

from poddnat.model import ForwardEntry, ForwardRule, Ports

_Slot = tuple[str, Ports]


_BLOCK = 64


class _Side:
    """Finds entries by one side's address and ports: those of a single port by it, ranges by blocks of ports."""

    def __init__(self) -> None:
        self._single: dict[tuple[str, int], set[str]] = {}
        self._wide: dict[tuple[str, int], set[str]] = {}

    def add(self, slot: _Slot, entry_id: str) -> None:
        index, keys = self._places(slot)
        for key in keys:
            index.setdefault(key, set()).add(entry_id)

    def discard(self, slot: _Slot, entry_id: str) -> None:
        index, keys = self._places(slot)
        for key in keys:
            home = index.get(key, set())
            home.discard(entry_id)
            if not home:
                index.pop(key, None)

    def near(self, slot: _Slot) -> Iterator[str]:
        """Yield the entries that may overlap a slot, each once."""
        ip, ports = slot
        yield from {found for key in _blocks(slot) for found in self._wide.get(key, ())}
        for port in range(ports.first, ports.last + 1):
            yield from self._single.get((ip, port), ())

    def _places(self, slot: _Slot) -> tuple[dict[tuple[str, int], set[str]], list[tuple[str, int]]]:
        ip, ports = slot
        return (self._single, [(ip, ports.first)]) if ports.size == 1 else (self._wide, _blocks(slot))


def _blocks(slot: _Slot) -> list[tuple[str, int]]:
    ip, ports = slot
    return [(ip, block) for block in range(ports.first // _BLOCK, ports.last // _BLOCK + 1)]


class Table:
    """The entries of one gateway, by id, by name and by either side."""

    def __init__(self) -> None:
        self._entries: dict[str, ForwardEntry] = {}
        self._names: dict[str, set[str]] = {}
        self._outside = _Side()
        self._inside = _Side()
        self._clock = 0
        self._changed: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[ForwardEntry]:
        return iter(self._entries.values())

    def get(self, entry_id: str) -> ForwardEntry | None:
        """Find an entry by its id."""
        return self._entries.get(entry_id)

    def named(self, name: str) -> list[ForwardEntry]:
        """Find the entries of a name."""
        return [self._entries[entry_id] for entry_id in sorted(self._names.get(name, ()))]

    def clashing_outside(self, rule: ForwardRule) -> list[ForwardEntry]:
        """Find the entries that keep a rule's external side taken."""
        near = (self._entries[i] for i in self._outside.near((rule.external_ip, rule.external_ports)))
        return [entry for entry in near if entry.rule.clashes_outside(rule)]

    def clashing_inside(self, rule: ForwardRule) -> list[ForwardEntry]:
        """Find the entries that keep a rule's internal side taken."""
        near = (self._entries[i] for i in self._inside.near((rule.internal_ip, rule.internal_ports)))
        return [entry for entry in near if entry.rule.clashes_inside(rule)]

    def now(self) -> int:
        """Give the stamp to remember before a listing is asked for."""
        self._clock += 1
        return self._clock

    def put(self, entry: ForwardEntry) -> None:
        """Record what a write's answer told."""
        self._changed[entry.entry_id] = self.now()
        self._store(entry)

    def remove(self, entry_id: str) -> None:
        """Record that an entry is gone."""
        self._changed[entry_id] = self.now()
        self._drop(entry_id)

    def learn(self, listed: Iterable[ForwardEntry], *, since: int, gone: Iterable[str]) -> None:
        """Take over a listing asked for at the stamp ``since``: what it shows, and the ids that it shows gone."""
        seen = set()
        for entry in listed:
            seen.add(entry.entry_id)
            if self._changed.get(entry.entry_id, 0) <= since:
                self._store(entry)
        for entry_id in [i for i in gone if i not in seen]:
            if self._changed.get(entry_id, 0) <= since:
                self._drop(entry_id)
        # Stamps matter only to listings under way, and the callers ask for one at a time.
        self._changed = {i: stamp for i, stamp in self._changed.items() if stamp > since}

    def ids(self) -> list[str]:
        """List all ids."""
        return list(self._entries)

    def counted_from_newest(self, entry_ids: Collection[str]) -> dict[str, int]:
        """Tell how many entries came after each of these: where a listing in order of creation shows them."""
        wanted = {entry_id for entry_id in entry_ids if entry_id in self._entries}
        found: dict[str, int] = {}
        for place, entry_id in enumerate(reversed(self._entries)):
            if len(found) == len(wanted):
                break
            if entry_id in wanted:
                found[entry_id] = place
        return found

    def _store(self, entry: ForwardEntry) -> None:
        before = self._entries.get(entry.entry_id)
        if before == entry:
            return
        if before is not None:
            self._unindex(before)
        # A known entry keeps its place in the order of creation.
        self._entries[entry.entry_id] = entry
        self._names.setdefault(entry.name, set()).add(entry.entry_id)
        self._outside.add((entry.rule.external_ip, entry.rule.external_ports), entry.entry_id)
        self._inside.add((entry.rule.internal_ip, entry.rule.internal_ports), entry.entry_id)

    def _drop(self, entry_id: str) -> None:
        if (entry := self._entries.pop(entry_id, None)) is not None:
            self._unindex(entry)

    def _unindex(self, entry: ForwardEntry) -> None:
        same_name = self._names[entry.name]
        same_name.discard(entry.entry_id)
        if not same_name:
            del self._names[entry.name]
        self._outside.discard((entry.rule.external_ip, entry.rule.external_ports), entry.entry_id)
        self._inside.discard((entry.rule.internal_ip, entry.rule.internal_ports), entry.entry_id)
