"""Which external ports are free, and which to give out next: the port that has been free the longest.

Clients keep addresses; a port given out again at once would lead them into another pod. Pure: who claims a port, and
until when, is the caller's to know; here a port is free when nobody claims it. One book for each external address.
"""

from collections import Counter, OrderedDict
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from poddnat.model import ExposedPort, Ports, Protocol

CARRIED = (Protocol.TCP, Protocol.UDP)

Slot = tuple[Ports, Protocol]


@dataclass
class PortBook:
    """The ports of one external address: who claims them, and the order in which they became free."""

    offered: tuple[Ports, ...]
    """The ranges that may be given out; claims may lie outside."""
    _free: dict[Protocol, OrderedDict[int, None]] = field(init=False)
    _claimed: dict[tuple[int, Protocol], int] = field(init=False, default_factory=dict)
    _slots: dict[Hashable, tuple[Slot, ...]] = field(init=False, default_factory=dict)
    _whole: set[Hashable] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        ports = [port for part in self.offered for port in range(part.first, part.last + 1)]
        self._free = {protocol: OrderedDict.fromkeys(ports) for protocol in CARRIED}

    def claim(self, holder: Hashable, slots: Iterable[Slot]) -> None:
        """Let a holder claim exactly these slots; what it claimed before is given up unless listed again."""
        wanted = tuple(slots)
        before = self._slots.get(holder, ())
        if wanted == before and holder not in self._whole:
            return
        self._count(wanted, +1)
        self._count(before, -1)
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
            for port in range(part.first, part.last + 1)
        )
        return all(
            self._claimed.get((port, protocol), 0) == own[port, protocol] for port in range(ports.first, ports.last + 1)
        )

    def offers(self, ports: Ports) -> bool:
        """Whether ports lie in a range that may be given out."""
        return any(part.first <= ports.first and ports.last <= part.last for part in self.offered)

    def choose(self, items: Sequence[ExposedPort], *, besides: Iterable[Slot] = ()) -> tuple[Ports, ...] | None:
        """Choose free ports for all items, without claiming them; None when they don't all fit.

        The slots ``besides`` them are to be claimed together with them, and so are not chosen.
        """
        if self._whole:
            return None
        chosen: list[Ports] = []
        taken = {(port, kind) for part, kind in besides for port in range(part.first, part.last + 1)}
        for item in items:
            port = next((p for p in self._free[item.protocol] if (p, item.protocol) not in taken), None)
            if port is None:
                return None
            taken.add((port, item.protocol))
            chosen.append(Ports(port, port))
        return tuple(chosen)

    def free_ports(self, protocol: Protocol) -> int:
        """Count the ports that could be given out for a protocol."""
        return 0 if self._whole else len(self._free[protocol])

    @property
    def holders(self) -> int:
        """Count those who claim something: a measure of how busy the address is."""
        return len(self._slots)

    def _count(self, slots: Iterable[Slot], change: int) -> None:
        for ports, protocol in slots:
            if protocol is Protocol.ANY:
                continue
            free = self._free[protocol]
            for port in range(ports.first, ports.last + 1):
                key = (port, protocol)
                claims = self._claimed.get(key, 0) + change
                if claims:
                    self._claimed[key] = claims
                    free.pop(port, None)
                else:
                    del self._claimed[key]
                    if any(part.first <= port <= part.last for part in self.offered):
                        free[port] = None
