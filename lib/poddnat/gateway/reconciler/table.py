"""One gateway's forward table as last seen, with the look-ups that the plan needs.

A read is old the moment it arrives: our own writes may have been answered since it was asked for. So every change is
stamped, and a read never undoes what happened after it began.
"""

from collections.abc import Collection, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

from poddnat.model import ForwardEntry, ForwardRule, Ports

_Slot = tuple[str, Ports]
_Key = TypeVar("_Key", bound=Hashable)

_BLOCK = 64


class Index(Generic[_Key]):
    """Ids by some key. Nearly all keys have one: sets of one would take most of a table's memory."""

    def __init__(self) -> None:
        self._ids: dict[_Key, str | set[str]] = {}

    def __iter__(self) -> Iterator[_Key]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def get(self, key: _Key) -> Collection[str]:
        """Find the ids of a key."""
        found = self._ids.get(key, ())
        return (found,) if isinstance(found, str) else found

    def add(self, key: _Key, id_: str) -> None:
        """Add an id of a key."""
        there = self._ids.setdefault(key, id_)
        if isinstance(there, set):
            there.add(id_)
        elif there != id_:
            self._ids[key] = {there, id_}

    def discard(self, key: _Key, id_: str) -> None:
        """Take out an id of a key that may be there."""
        there = self._ids.get(key)
        if isinstance(there, set):
            there.discard(id_)
        if there in (id_, set()):
            del self._ids[key]


class _Side:
    """Finds entries by one side's address and ports: those of a single port by it, ranges by blocks of ports."""

    def __init__(self) -> None:
        self._single = Index[tuple[str, int]]()
        self._wide = Index[tuple[str, int]]()

    def add(self, slot: _Slot, entry_id: str) -> None:
        index, keys = self._places(slot)
        for key in keys:
            index.add(key, entry_id)

    def discard(self, slot: _Slot, entry_id: str) -> None:
        index, keys = self._places(slot)
        for key in keys:
            index.discard(key, entry_id)

    def near(self, slot: _Slot) -> Iterator[str]:
        """Yield the entries that may overlap a slot, each once."""
        ip, ports = slot
        yield from {found for key in _blocks(slot) for found in self._wide.get(key)}
        for port in range(ports.first, ports.last + 1):
            yield from self._single.get((ip, port))

    def _places(self, slot: _Slot) -> tuple[Index[tuple[str, int]], list[tuple[str, int]]]:
        ip, ports = slot
        return (self._single, [(ip, ports.first)]) if ports.size == 1 else (self._wide, _blocks(slot))


def _blocks(slot: _Slot) -> list[tuple[str, int]]:
    ip, ports = slot
    return [(ip, block) for block in range(ports.first // _BLOCK, ports.last // _BLOCK + 1)]


class Table:
    """The entries of one gateway, by id, by name and by either side.

    Times are stamps that only ever grow: a read knows the stamp of before it was asked for.
    """

    def __init__(self) -> None:
        self._entries: dict[str, ForwardEntry] = {}
        self._names = Index[str]()
        self._outside = _Side()
        self._inside = _Side()
        self._stamp = 0
        self._written: dict[str, int] = {}
        # When the answer to a write told of an entry, or of its end; only as long as an older read may be under way.
        self._shown: dict[str, int] = {}
        # Of each entry, the stamp of the last read that showed it, or of the write that made it.
        self._unseen: set[str] = set()
        # Entries that the last whole listing, of several pages, did not show.

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[ForwardEntry]:
        return iter(self._entries.values())

    def get(self, entry_id: str) -> ForwardEntry | None:
        """Find an entry by its id."""
        return self._entries.get(entry_id)

    def named(self, name: str) -> list[ForwardEntry]:
        """Find the entries of a name."""
        return [self._entries[entry_id] for entry_id in sorted(self._names.get(name))]

    def ids(self) -> list[str]:
        """List all ids."""
        return list(self._entries)

    def names(self) -> Iterable[str]:
        """List the names that entries have, each once."""
        return iter(self._names)

    def clashing_outside(self, rule: ForwardRule) -> list[ForwardEntry]:
        """Find the entries that keep a rule's external side taken."""
        near = (self._entries[i] for i in self._outside.near((rule.external_ip, rule.external_ports)))
        return [entry for entry in near if entry.rule.clashes_outside(rule)]

    def clashing_inside(self, rule: ForwardRule) -> list[ForwardEntry]:
        """Find the entries that keep a rule's internal side taken."""
        near = (self._entries[i] for i in self._inside.near((rule.internal_ip, rule.internal_ports)))
        return [entry for entry in near if entry.rule.clashes_inside(rule)]

    def now(self) -> int:
        """Give the stamp to remember before something is read."""
        self._stamp += 1
        return self._stamp

    def put(self, entry: ForwardEntry) -> None:
        """Record what a write's answer told."""
        self._written[entry.entry_id] = self._shown[entry.entry_id] = self.now()
        self._store(entry)

    def remove(self, entry_id: str) -> None:
        """Record that the answer to a write told that an entry is gone."""
        self._written[entry_id] = self.now()
        self._drop(entry_id)

    def merge(self, rows: Iterable[ForwardEntry], *, since: int) -> set[str]:
        """Take over rows of a read asked for at the stamp ``since``; returns the ids of entries that are new or other.

        Reads are asked for one at a time, so what was written before this one matters to none any more.
        """
        changed = set()
        for row in rows:
            if self._written.get(row.entry_id, 0) > since:
                continue  # An answer that came later knows better.
            self._shown[row.entry_id] = since
            self._unseen.discard(row.entry_id)
            if self._entries.get(row.entry_id) != row:
                changed.add(row.entry_id)
                self._store(row)
        self._written = {i: stamp for i, stamp in self._written.items() if stamp > since}
        return changed

    def drop(self, entry_ids: Iterable[str], *, since: int) -> set[str]:
        """Take over that a read asked for at ``since`` proves these to be gone; returns those that were there."""
        known = (i for i in entry_ids if i in self._entries)
        gone = {i for i in known if max(self._written.get(i, 0), self._shown.get(i, 0)) <= since}
        for entry_id in gone:
            self._drop(entry_id)
        return gone

    def not_shown(self, *, since: int) -> list[ForwardEntry]:
        """List the entries that no read has shown since a stamp."""
        return [entry for entry in self._entries.values() if self._shown.get(entry.entry_id, 0) < since]

    def unseen_twice(self, entry_ids: Iterable[str]) -> set[str]:
        """Note that a whole listing of several pages did not show these; returns those of which the last one said so.

        One listing may miss a row that slips from page to page. Two in a row are believed where nothing depends on it.
        """
        missing = set(entry_ids)
        twice, self._unseen = missing & self._unseen, missing
        return twice

    def _store(self, entry: ForwardEntry) -> None:
        before = self._entries.get(entry.entry_id)
        if before == entry:
            return
        if before is not None:
            self._unindex(before)
        self._entries[entry.entry_id] = entry
        self._names.add(entry.name, entry.entry_id)
        self._outside.add((entry.rule.external_ip, entry.rule.external_ports), entry.entry_id)
        self._inside.add((entry.rule.internal_ip, entry.rule.internal_ports), entry.entry_id)

    def _drop(self, entry_id: str) -> None:
        self._shown.pop(entry_id, None)
        self._unseen.discard(entry_id)
        if (entry := self._entries.pop(entry_id, None)) is not None:
            self._unindex(entry)

    def _unindex(self, entry: ForwardEntry) -> None:
        self._names.discard(entry.name, entry.entry_id)
        self._outside.discard((entry.rule.external_ip, entry.rule.external_ports), entry.entry_id)
        self._inside.discard((entry.rule.internal_ip, entry.rule.internal_ports), entry.entry_id)
