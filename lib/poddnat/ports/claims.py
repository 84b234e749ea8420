"""Which PodDNAT was the first to name an external port.

Anybody who may write PodDNATs can name ports that another pod has, or that are retained for a pod that is away. Where
two name the same port, the earlier claimant has it; the other one gets other ports.
"""

from collections.abc import Iterable, Iterator, Sequence

from poddnat.model import Protocol
from poddnat.placement import AddressKey
from poddnat.ports.allocator import Slot

_Port = tuple[AddressKey, int, Protocol]


class Claims:
    """The PodDNATs that name a port, in the order in which they began to. Not safe for use from several threads."""

    def __init__(self) -> None:
        self._ports: dict[str, tuple[_Port, ...]] = {}
        self._claimants: dict[_Port, tuple[str, ...]] = {}

    def claim(self, uid: str, key: AddressKey, slots: Iterable[Slot]) -> None:
        """Let a PodDNAT claim exactly these; it keeps its rank for those that it claimed before."""
        before = dict.fromkeys(self._ports.get(uid, ()))
        ports = dict.fromkeys(_ports(key, slots))
        for port in before:
            if port not in ports:
                self._withdraw(uid, port)
        for port in ports:
            if port not in before:
                self._claimants[port] = (*self._claimants.get(port, ()), uid)
        if ports:
            self._ports[uid] = tuple(ports)
        else:
            self._ports.pop(uid, None)

    def release(self, uid: str) -> None:
        """Let a PodDNAT claim nothing any more."""
        for port in self._ports.pop(uid, ()):
            self._withdraw(uid, port)

    def is_first(self, uid: str, key: AddressKey, slots: Sequence[Slot]) -> bool:
        """Whether a PodDNAT claimed all of these before any other did."""
        return all(self._claimants.get(port, ("",))[0] == uid for port in _ports(key, slots))

    def prefer(self, uid: str, key: AddressKey, slots: Iterable[Slot]) -> None:
        """Let a PodDNAT come first for those of these that it claims."""
        own = frozenset(self._ports.get(uid, ()))
        for port in _ports(key, slots):
            if port in own:
                self._claimants[port] = (uid, *(other for other in self._claimants[port] if other != uid))

    def earlier_claimant(self, uid: str) -> str | None:
        """Name a PodDNAT that claimed one of its ports before it did; None: there is none."""
        firsts = (self._claimants[port][0] for port in self._ports.get(uid, ()))
        return next((first for first in firsts if first != uid), None)

    def _withdraw(self, uid: str, port: _Port) -> None:
        left = tuple(other for other in self._claimants[port] if other != uid)
        if left:
            self._claimants[port] = left
        else:
            del self._claimants[port]


def _ports(key: AddressKey, slots: Iterable[Slot]) -> Iterator[_Port]:
    for ports, protocol in slots:
        for port in range(ports.first, ports.last + 1):
            yield key, port, protocol
