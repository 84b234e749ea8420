"""Which external ports are free, and which to give out next: those that have been free the longest.

Clients keep addresses; a port given out again at once would lead them into another pod. Pure: who claims a port, and
until when, is the caller's to know; here a port is free when nobody claims it. One book for each external address.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence

from poddnat.model import HIGHEST_PORT, ExposedPort, Ports, Protocol, Transport
from poddnat.ports.free_windows import FreeWindows, Stretch

CARRIED = (Protocol.TCP, Protocol.UDP)

Slot = tuple[Ports, Protocol]

_Kind = tuple[int, Transport]
"""What an item needs: how many ports in a row, and for what."""

# Each kind makes claims a few microseconds dearer; one that is forgotten takes milliseconds to find again.
_MOST_KINDS = 32


class PortAllocator:
    """The ports of one external address: who claims them, and the order in which they became free."""

    def __init__(self, offered: Sequence[Ports]) -> None:
        """``offered``: the ranges that may be given out, none overlapping another; claims may lie outside."""
        self.offered = tuple(offered)
        self._taken = {protocol: bytearray(b"\1" * (HIGHEST_PORT + 1)) for protocol in CARRIED}
        self._claims: Counter[tuple[int, Protocol]] = Counter()
        self._slots: dict[Hashable, tuple[Slot, ...]] = {}
        self._whole: set[Hashable] = set()
        self._room = dict.fromkeys(CARRIED, 0)
        self._now = 0
        self._kinds: OrderedDict[_Kind, FreeWindows] = OrderedDict()
        # From these, the ages of all other kinds of windows can be found.
        self._singles = {protocol: FreeWindows() for protocol in CARRIED}
        for protocol in CARRIED:
            self._kinds[1, Transport(protocol.value)] = self._singles[protocol]
            for part in self.offered:
                self._free(part, protocol)

    def claim(self, holder: Hashable, slots: Iterable[Slot]) -> None:
        """Let a holder claim exactly these slots; what it claimed before is given up unless listed again."""
        wanted = tuple(slots)
        before = self._slots.get(holder, ())
        if wanted == before and holder not in self._whole:
            return
        self._now += 1
        for kind in _kinds(wanted):
            self._windows(kind)  # Now, while little is taken, it is cheap; and whoever has it may come again.
        for slot in wanted:
            self._count(slot, +1)
        for slot in before:
            self._count(slot, -1)
        self._whole.discard(holder)
        if any(protocol is Protocol.ANY for _, protocol in wanted):
            self._whole.add(holder)
        if wanted:
            self._slots[holder] = wanted
        else:
            self._slots.pop(holder, None)

    def release(self, holder: Hashable) -> None:
        """Give up all that a holder claims."""
        self.claim(holder, ())

    def is_free(self, slot: Slot, *, but: Collection[Hashable] = ()) -> bool:
        """Whether nobody, ``but`` perhaps these holders, claims a slot."""
        ports, protocol = slot
        if self._whole.difference(but):
            return False
        own = Counter(
            (port, kind)
            for holder in but
            for part, kind in self._slots.get(holder, ())
            if part.overlaps(ports)
            for port in range(part.first, part.last + 1)
        )
        return all(self._claims.get((port, protocol), 0) == own[port, protocol] for port in _each(ports))

    def choose(self, items: Sequence[ExposedPort], *, besides: Iterable[Slot] = ()) -> tuple[Ports, ...] | None:
        """Choose free ports for all items, without claiming them; None when they don't all fit.

        The slots ``besides`` them are to be claimed together with them, and so are not chosen.
        """
        if self._whole:
            return None
        taken = [slot for slot in besides if slot[1] is not Protocol.ANY]
        # The longest free may lie so that one item spoils another's only room; then the lowest that fit may do.
        return self._choose(items, taken, iter) or self._choose(items, taken, FreeWindows.by_place)

    def free_ports(self, protocol: Protocol) -> int:
        """Count the ports that could be given out for a protocol."""
        return 0 if self._whole else self._room[protocol]

    @property
    def holders(self) -> int:
        """Count those who claim something: a measure of how busy the address is."""
        return len(self._slots)

    def _choose(
        self,
        items: Sequence[ExposedPort],
        besides: Iterable[Slot],
        order: Callable[[FreeWindows], Iterator[Stretch]],
    ) -> tuple[Ports, ...] | None:
        taken = {(port, protocol) for ports, protocol in besides for port in _each(ports)}
        walks: dict[_Kind, Iterator[Ports]] = {}
        chosen: dict[int, Ports] = {}
        # What is hardest to place comes first.
        for index in sorted(range(len(items)), key=lambda index: _ease(items[index])):
            item = items[index]
            kind = (item.ports.size, item.transport)
            if kind not in walks:
                walks[kind] = _walk(order(self._windows(kind)), kind, taken)
            ports = next(walks[kind], None)
            if ports is None:
                return None
            chosen[index] = ports
            taken.update((port, protocol) for protocol in item.transport.protocols for port in _each(ports))
        return tuple(chosen[index] for index in range(len(items)))

    def _windows(self, kind: _Kind) -> FreeWindows:
        """Find the free windows of a kind; those asked for the first time are found by ordering what is free by age."""
        windows = self._kinds.get(kind)
        if windows is None:
            windows = self._kinds[kind] = self._found(kind)
            if len(self._kinds) > _MOST_KINDS:
                idle = next(key for key, found in self._kinds.items() if found not in self._singles.values())
                del self._kinds[idle]
        self._kinds.move_to_end(kind)
        return windows

    def _found(self, kind: _Kind) -> FreeWindows:
        """Let what is free become free once more, in the same order, and see which windows that makes."""
        protocols = kind[1].protocols
        taken = {protocol: bytearray(b"\1" * (HIGHEST_PORT + 1)) for protocol in protocols}
        windows = FreeWindows()
        stretches = [(stretch, protocol) for protocol in protocols for stretch in self._singles[protocol]]
        for stretch, protocol in sorted(stretches, key=lambda pair: pair[0].since):
            ports = Ports(stretch.first, stretch.last)
            _mark(taken[protocol], ports, 0)
            self._add(windows, kind, taken, ports, stretch.since)
        return windows

    def _count(self, slot: Slot, change: int) -> None:
        """Note a claim more or less on every port of a slot; free or not changes only with the first and the last."""
        ports, protocol = slot
        if protocol is Protocol.ANY:
            return
        turned: list[int] = []
        for port in _each(ports):
            claims = self._claims[port, protocol] + change
            if claims:
                self._claims[port, protocol] = claims
            else:
                del self._claims[port, protocol]
            if claims == (1 if change > 0 else 0):
                turned.append(port)
        for run in _runs(turned):
            for part in self.offered:
                if part.overlaps(run):
                    common = Ports(max(part.first, run.first), min(part.last, run.last))
                    if change > 0:
                        self._take(common, protocol)
                    else:
                        self._free(common, protocol)

    def _take(self, ports: Ports, protocol: Protocol) -> None:
        _mark(self._taken[protocol], ports, 1)
        self._room[protocol] -= ports.size
        for (size, transport), windows in self._kinds.items():
            if protocol in transport.protocols:
                windows.cut(ports.first - size + 1, ports.last)

    def _free(self, ports: Ports, protocol: Protocol) -> None:
        _mark(self._taken[protocol], ports, 0)
        self._room[protocol] += ports.size
        for kind, windows in self._kinds.items():
            if protocol in kind[1].protocols:
                self._add(windows, kind, self._taken, ports, self._now)

    def _add(
        self, windows: FreeWindows, kind: _Kind, taken: dict[Protocol, bytearray], freed: Ports, since: int
    ) -> None:
        """Add the windows that are free now and have some of the ports that were just freed for one protocol."""
        size, transport = kind
        maps = [taken[protocol] for protocol in transport.protocols]
        part = next(part for part in self.offered if part.contains(freed))
        for run in _free_runs(maps, freed):
            low, high = max(part.first, run.first - size + 1), min(part.last, run.last + size - 1)
            first = max(low, *(one.rfind(1, low, run.first) + 1 for one in maps))
            last = min(_find(one, 1, run.last + 1, high + 1) for one in maps) - size
            if first <= last:
                windows.add(first, last, since)


def _kinds(slots: Iterable[Slot]) -> set[_Kind]:
    """Tell of what kinds the items are that take these slots."""
    protocols: dict[Ports, set[Protocol]] = {}
    for ports, protocol in slots:
        protocols.setdefault(ports, set()).add(protocol)
    return {
        (ports.size, transport)
        for ports, found in protocols.items()
        for transport in Transport
        if found == set(transport.protocols)
    }


def _ease(item: ExposedPort) -> tuple[int, int]:
    return -item.ports.size, -len(item.transport.protocols)


def _walk(stretches: Iterable[Stretch], kind: _Kind, taken: Collection[tuple[int, Protocol]]) -> Iterator[Ports]:
    """Give the windows of stretches that have no port in ``taken``, which may grow meanwhile."""
    size, transport = kind
    for stretch in stretches:
        first = stretch.first
        while first <= stretch.last:
            last = first + size - 1
            there = (port for port in range(last, first - 1, -1) for p in transport.protocols if (port, p) in taken)
            obstacle = next(there, None)
            if obstacle is None:
                yield Ports(first, last)
                obstacle = last
            first = obstacle + 1


def _free_runs(maps: Sequence[bytearray], ports: Ports) -> Iterator[Ports]:
    """Give the runs within some ports that are free on all maps."""
    at, end = ports.first, ports.last + 1
    while at < end:
        stop = min(_find(one, 1, at, end) for one in maps)
        if stop > at:
            yield Ports(at, stop - 1)
        at = stop + 1


def _runs(ports: Iterable[int]) -> Iterator[Ports]:
    """Give ascending ports as runs of consecutive ones."""
    run: Ports | None = None
    for port in ports:
        if run is not None and port == run.last + 1:
            run = Ports(run.first, port)
        else:
            if run is not None:
                yield run
            run = Ports(port, port)
    if run is not None:
        yield run


def _find(where: bytearray, value: int, start: int, end: int) -> int:
    """Find the first place of a value before ``end``; ``end`` when there is none."""
    found = where.find(value, start, end)
    return end if found < 0 else found


def _mark(where: bytearray, ports: Ports, value: int) -> None:
    where[ports.first : ports.last + 1] = bytes([value]) * ports.size


def _each(ports: Ports) -> range:
    return range(ports.first, ports.last + 1)
