"""Which ports of an external address are free, and which to give out next: those that have been free the longest.

Clients keep addresses; a port given out again at once would lead them into another pod. Pure: who claims a port, and
until when, is the caller's to know; here a port is free when nobody claims it. One allocator for each address.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from poddnat.model import HIGHEST_PORT, ExposedPort, Ports, Protocol, Transport
from poddnat.ports.free_windows import FreeWindows, Stretch

PROTOCOLS = (Protocol.TCP, Protocol.UDP)
"""Those that a pod's ports can have."""

Slot = tuple[Ports, Protocol]
"""What one forward entry takes of its external address."""

Shape = tuple[int, Transport]
"""What an item needs: how many ports in a row, and for what."""

_Key = TypeVar("_Key", bound=Hashable)

_Order = Callable[[FreeWindows], Iterator[Stretch]]

_MOST_SHAPES = 32
"""Each shape makes claims a few microseconds dearer; one that was dropped takes milliseconds to build again."""


class PortAllocator:
    """The ports of one external address: who claims them, and the order in which they became free."""

    def __init__(self, offered: Sequence[Ports], claims: Mapping[Hashable, Iterable[Slot]] | None = None) -> None:
        """``offered``: the ranges that may be given out, none overlapping another; ``claims`` may lie outside."""
        self.offered = tuple(offered)
        self._claims: dict[Hashable, tuple[Slot, ...]] = {}
        self._claims_of_slot: Counter[Slot] = Counter()
        self._claims_of_port: Counter[tuple[int, Protocol]] = Counter()
        self._whole_address: set[Hashable] = set()
        """Those with an entry that maps all ports of the address: nothing is free beside it."""
        self._taken = {protocol: _all_taken() for protocol in PROTOCOLS}
        self._free_count = dict.fromkeys(PROTOCOLS, 0)
        self._step = 0
        """Counts the changes of claims: ports are as old as the step in which they became free."""
        # From the windows of single ports, the ages of the windows of all other shapes can be found.
        self._singles = {protocol: FreeWindows() for protocol in PROTOCOLS}
        self._windows: OrderedDict[Shape, FreeWindows] = OrderedDict()
        for protocol in PROTOCOLS:
            self._windows[1, Transport(protocol.value)] = self._singles[protocol]
            for part in self.offered:
                self._free(part, protocol)
        for claimant, slots in (claims or {}).items():
            self.claim(claimant, slots)

    def choose(
        self, items: Sequence[ExposedPort], *, excluding: Iterable[Slot] = (), prefer_own: bool = False
    ) -> tuple[Ports, ...] | None:
        """Choose free ports for all items, without claiming them; None when they don't all fit.

        ``excluding``: slots that are to be claimed together with them, and so are not chosen.
        ``prefer_own``: the ports of an item itself come first, where they are free.
        """
        if self._whole_address:
            return None
        excluded = [slot for slot in excluding if slot[1] is not Protocol.ANY]
        own = self._own(items, excluded) if prefer_own else {}
        if own:
            others = [item for index, item in enumerate(items) if index not in own]
            taken = [(ports, kind) for index, ports in own.items() for kind in items[index].transport.protocols]
            if (found := self.choose(others, excluding=[*excluded, *taken])) is not None:
                rest = iter(found)
                return tuple(own[index] if index in own else next(rest) for index in range(len(items)))
        # The longest free may lie so that one item takes the only ports that fit another; the lowest may do then.
        return self._choose(items, excluded, iter) or self._choose(items, excluded, FreeWindows.by_place)

    def claim(self, claimant: Hashable, slots: Iterable[Slot]) -> None:
        """Let somebody claim exactly these slots; what it claimed before is released unless listed again."""
        new = tuple(slots)
        old = self._claims.get(claimant, ())
        if new == old:
            return
        self._step += 1
        for shape in _shapes(new):
            self._windows_of(shape)  # Now, while little is taken, it is cheap; and its like may be asked for again.
        for slot in new:
            self._count(slot, +1)
        for slot in old:
            self._count(slot, -1)
        self._whole_address.discard(claimant)
        if any(protocol is Protocol.ANY for _, protocol in new):
            self._whole_address.add(claimant)
        if new:
            self._claims[claimant] = new
        else:
            self._claims.pop(claimant, None)

    def release(self, claimant: Hashable) -> None:
        """Release all that somebody claims."""
        self.claim(claimant, ())

    @property
    def claims(self) -> Mapping[Hashable, tuple[Slot, ...]]:
        """What each claimant claims; how many there are tells how busy the address is."""
        return MappingProxyType(self._claims)

    @property
    def entries(self) -> int:
        """How many forward entries the claims stand for.

        A slot is one entry, whoever claims it: a PodDNAT, its pod's reservation, and its entry that bears no name.
        """
        return len(self._claims_of_slot)

    def is_free(self, slot: Slot, *, ignoring: Collection[Hashable] = ()) -> bool:
        """Whether nobody claims a slot, but perhaps those to be ignored."""
        ports, protocol = slot
        if self._whole_address.difference(ignoring):
            return False
        ignored = Counter(
            (port, part_protocol)
            for claimant in ignoring
            for part, part_protocol in self._claims.get(claimant, ())
            if part.overlaps(ports)
            for port in _each(part)
        )
        return all(self._claims_of_port.get((port, protocol), 0) == ignored[port, protocol] for port in _each(ports))

    def free_ports(self, protocol: Protocol) -> int:
        """Count the ports that could be given out for a protocol."""
        return 0 if self._whole_address else self._free_count[protocol]

    def _own(self, items: Sequence[ExposedPort], excluded: Iterable[Slot]) -> dict[int, Ports]:
        """Find the items whose own ports are free, and can be had together."""
        taken = list(excluded)
        found = {}
        for index, (ports, transport) in enumerate(items):
            slots = [(ports, protocol) for protocol in transport.protocols]
            clashes = any(ports.overlaps(part) and kind in transport.protocols for part, kind in taken)
            if not clashes and any(part.contains(ports) for part in self.offered) and all(map(self.is_free, slots)):
                found[index] = ports
                taken += slots
        return found

    def is_short_of(self, items: Sequence[ExposedPort]) -> bool:
        """Whether fewer ports are free than these items need, though as many are offered: some may become free."""
        needed = Counter[Protocol]()
        for item in items:
            needed.update(dict.fromkeys(item.transport.protocols, item.ports.size))
        offered = sum(ports.size for ports in self.offered)
        short = any(self.free_ports(protocol) < count for protocol, count in needed.items())
        return short and max(needed.values()) <= offered

    def _choose(
        self, items: Sequence[ExposedPort], excluded: Iterable[Slot], order: _Order
    ) -> tuple[Ports, ...] | None:
        taken = {(port, protocol) for ports, protocol in excluded for port in _each(ports)}
        windows: dict[Shape, Iterator[Ports]] = {}
        chosen: dict[int, Ports] = {}
        for index in sorted(range(len(items)), key=lambda index: _hardest_first(items[index])):
            shape = shape_of(items[index])
            if shape not in windows:
                windows[shape] = _untaken(order(self._windows_of(shape)), shape, taken)
            ports = next(windows[shape], None)
            if ports is None:
                return None
            chosen[index] = ports
            taken.update((port, protocol) for protocol in shape[1].protocols for port in _each(ports))
        return tuple(chosen[index] for index in range(len(items)))

    def _windows_of(self, shape: Shape) -> FreeWindows:
        """Find the free windows of a shape; they are built when it is asked for the first time."""
        windows = self._windows.get(shape)
        if windows is None:
            windows = self._windows[shape] = self._build(shape)
            if len(self._windows) > _MOST_SHAPES:
                idle = next(key for key, found in self._windows.items() if found not in self._singles.values())
                del self._windows[idle]
        self._windows.move_to_end(shape)
        return windows

    def _build(self, shape: Shape) -> FreeWindows:
        """Let what is free become free once more, in the same order, and see which windows that makes."""
        protocols = shape[1].protocols
        taken = {protocol: _all_taken() for protocol in protocols}
        windows = FreeWindows()
        stretches = [(stretch, protocol) for protocol in protocols for stretch in self._singles[protocol]]
        for stretch, protocol in sorted(stretches, key=lambda pair: pair[0].since):
            ports = Ports(stretch.first, stretch.last)
            _mark(taken[protocol], ports, 0)
            self._add(windows, shape, taken, ports, stretch.since)
        return windows

    def _count(self, slot: Slot, change: int) -> None:
        """Count a claim more or less on a slot; only the first and the last claim on a port make it taken or free."""
        ports, protocol = slot
        _change(self._claims_of_slot, slot, change)
        if protocol is Protocol.ANY:
            return
        turning = 1 if change > 0 else 0
        turned = [port for port in _each(ports) if _change(self._claims_of_port, (port, protocol), change) == turning]
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
        self._free_count[protocol] -= ports.size
        for (size, transport), windows in self._windows.items():
            if protocol in transport.protocols:
                windows.cut(ports.first - size + 1, ports.last)

    def _free(self, ports: Ports, protocol: Protocol) -> None:
        _mark(self._taken[protocol], ports, 0)
        self._free_count[protocol] += ports.size
        for shape, windows in self._windows.items():
            if protocol in shape[1].protocols:
                self._add(windows, shape, self._taken, ports, self._step)

    def _add(
        self, windows: FreeWindows, shape: Shape, taken: dict[Protocol, bytearray], freed: Ports, since: int
    ) -> None:
        """Add the windows that are free now and have some of the ports that were just freed for one protocol."""
        size, transport = shape
        maps = [taken[protocol] for protocol in transport.protocols]
        part = next(part for part in self.offered if part.contains(freed))
        for run in _free_runs(maps, freed):
            low, high = max(part.first, run.first - size + 1), min(part.last, run.last + size - 1)
            first = max(low, *(one.rfind(1, low, run.first) + 1 for one in maps))
            last = min(_find(one, 1, run.last + 1, high + 1) for one in maps) - size
            if first <= last:
                windows.add(first, last, since)


def shape_of(item: ExposedPort) -> Shape:
    """Tell what an item needs, whatever its own ports are."""
    return item.ports.size, item.transport


def _shapes(slots: Iterable[Slot]) -> set[Shape]:
    """Tell the shapes of the items that take these slots."""
    protocols: dict[Ports, set[Protocol]] = {}
    for ports, protocol in slots:
        protocols.setdefault(ports, set()).add(protocol)
    return {
        (ports.size, transport)
        for ports, found in protocols.items()
        for transport in Transport
        if found == set(transport.protocols)
    }


def _hardest_first(item: ExposedPort) -> tuple[int, int]:
    """Sort long ranges, and both protocols, before what fits more easily."""
    return -item.ports.size, -len(item.transport.protocols)


def _untaken(stretches: Iterable[Stretch], shape: Shape, taken: Collection[tuple[int, Protocol]]) -> Iterator[Ports]:
    """Give the windows of stretches that have no port in ``taken``, which may grow meanwhile."""
    size, transport = shape
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


def _change(counter: Counter[_Key], key: _Key, change: int) -> int:
    """Count up or down, without keeping zeros, and give the new count."""
    count = counter[key] + change
    if count:
        counter[key] = count
    else:
        del counter[key]
    return count


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


def _all_taken() -> bytearray:
    return bytearray(b"\1" * (HIGHEST_PORT + 1))


def _mark(where: bytearray, ports: Ports, value: int) -> None:
    where[ports.first : ports.last + 1] = bytes([value]) * ports.size


def _each(ports: Ports) -> range:
    return range(ports.first, ports.last + 1)
