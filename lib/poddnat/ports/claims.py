"""Who was first of those that want the same external ports.

Anybody who may write PodDNATs can name ports that another pod has, or that are kept for one that is away. Where two
want the same, it is whoever asked first that has it; the other one gets other ports.
"""

from collections.abc import Iterable, Iterator, Sequence

from poddnat.model import Protocol
from poddnat.ports.allocator import Slot

Home = tuple[str, str]
"""A gateway's id and one of its addresses."""

_Port = tuple[Home, int, Protocol]


class Claims:
    """Who asks for which ports, in the order in which they began to. Not safe for use from several threads at once."""

    def __init__(self) -> None:
        self._asked: dict[str, dict[_Port, None]] = {}
        self._lines: dict[_Port, tuple[str, ...]] = {}

    def claim(self, uid: str, home: Home, slots: Iterable[Slot]) -> None:
        """Let a PodDNAT ask for exactly these; it keeps its place in line for those that it asked for before."""
        before = self._asked.get(uid, {})
        wanted = dict.fromkeys(_ports(home, slots))
        for port in before:
            if port not in wanted:
                self._leave(uid, port)
        for port in wanted:
            if port not in before:
                self._lines[port] = (*self._lines.get(port, ()), uid)
        if wanted:
            self._asked[uid] = wanted
        else:
            self._asked.pop(uid, None)

    def release(self, uid: str) -> None:
        """Let a PodDNAT ask for nothing any more."""
        for port in self._asked.pop(uid, {}):
            self._leave(uid, port)

    def is_first(self, uid: str, home: Home, slots: Sequence[Slot]) -> bool:
        """Whether a PodDNAT asked for all of these before anybody else did."""
        return all(self._lines.get(port, ("",))[0] == uid for port in _ports(home, slots))

    def earlier_claimant(self, uid: str) -> str | None:
        """Name a PodDNAT that asked for one of its ports before it did; None: there is none."""
        firsts = (self._lines[port][0] for port in self._asked.get(uid, {}))
        return next((first for first in firsts if first != uid), None)

    def _leave(self, uid: str, port: _Port) -> None:
        line = tuple(other for other in self._lines[port] if other != uid)
        if line:
            self._lines[port] = line
        else:
            del self._lines[port]


def _ports(home: Home, slots: Iterable[Slot]) -> Iterator[_Port]:
    for ports, protocol in slots:
        for port in range(ports.first, ports.last + 1):
            yield home, port, protocol
