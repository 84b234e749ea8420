"""The words that all other modules share: ports, protocols, forward rules and entries.

Values only: nothing here does I/O, and nothing here knows how a value is written in a manifest or a request,
except for a port range, which the cloud and PodDNAT spell alike.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Self

LOWEST_PORT = 1
HIGHEST_PORT = 65535
MOST_ITEMS = 1000
"""How many items one pod's list may have: more than a gateway has room for, unless its quota was raised far.

A list may be as long as an annotation, and whoever writes it should not cost others their turn.
"""

_PORTS = re.compile(r"([0-9]{1,5})(?:[/-]([0-9]{1,5}))?")


class Protocol(StrEnum):
    """What a forward entry carries; ``ANY`` maps a whole address and is never ours."""

    TCP = "tcp"
    UDP = "udp"
    ANY = "any"


class Transport(StrEnum):
    """What a pod's port is reached by: one protocol, or both under the same public port."""

    TCP = "tcp"
    UDP = "udp"
    TCPUDP = "tcpudp"

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """The protocols of the forward entries that it takes, one entry each."""
        return _CARRIED[self]


_CARRIED = {
    Transport.TCP: (Protocol.TCP,),
    Transport.UDP: (Protocol.UDP,),
    Transport.TCPUDP: (Protocol.TCP, Protocol.UDP),
}


class Ports(NamedTuple):
    """One port, or consecutive ones; both ends belong to it. A single port has equal ends."""

    first: int
    last: int

    @classmethod
    def of(cls, first: int, last: int | None = None) -> Self:
        """Make a range, checked to be upright and within 1-65535.

        Raises:
            ValueError: the range is empty or leaves 1-65535.
        """
        last = first if last is None else last
        if not LOWEST_PORT <= first <= last <= HIGHEST_PORT:
            raise ValueError(f"ports {first}-{last} are not within {LOWEST_PORT}-{HIGHEST_PORT}")
        return cls(first, last)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``80``, or a range as the API spells it (``10/20``) or as people do (``10-20``).

        Raises:
            ValueError: the text is neither.
        """
        found = _PORTS.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not a port such as 80 or a range such as 10/20")
        return cls.of(int(found[1]), int(found[2] or found[1]))

    def __str__(self) -> str:
        """Write the API's spelling."""
        return str(self.first) if self.first == self.last else f"{self.first}/{self.last}"

    @property
    def shown(self) -> str:
        """The spelling for people: ``80``, or ``10-20`` for a range."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    @property
    def size(self) -> int:
        """How many ports it holds."""
        return self.last - self.first + 1

    def overlaps(self, other: "Ports") -> bool:
        """Whether some port lies in both."""
        return self.first <= other.last and other.first <= self.last

    def contains(self, other: "Ports") -> bool:
        """Whether all ports of the other lie in this."""
        return self.first <= other.first and other.last <= self.last


ALL_PORTS = Ports(LOWEST_PORT, HIGHEST_PORT)


class ForwardRule(NamedTuple):
    """What one forward entry does: external address and ports to internal ones, for one protocol."""

    external_ip: str
    external_ports: Ports
    internal_ip: str
    internal_ports: Ports
    protocol: Protocol

    def clashes_outside(self, other: "ForwardRule") -> bool:
        """Whether the API refuses both side by side, because of their external side."""
        return self.external_ip == other.external_ip and self._overlaps(
            other, self.external_ports, other.external_ports
        )

    def clashes_inside(self, other: "ForwardRule") -> bool:
        """Whether the API refuses both side by side, because of their internal side."""
        return self.internal_ip == other.internal_ip and self._overlaps(
            other, self.internal_ports, other.internal_ports
        )

    def _overlaps(self, other: "ForwardRule", mine: Ports, theirs: Ports) -> bool:
        alike = self.protocol == other.protocol or Protocol.ANY in (self.protocol, other.protocol)
        return alike and mine.overlaps(theirs)

    def __str__(self) -> str:
        outside = f"{self.external_ip}:{self.external_ports.shown}"
        return f"{outside} to {self.internal_ip}:{self.internal_ports.shown} ({self.protocol})"


class EntryStatus(StrEnum):
    """The states of a forward entry, as DescribeForwardTableEntries lists them.

    ``MODIFYING`` also stands for any state that the API may add: it means the same to us, not at rest.
    """

    PENDING = "Pending"
    AVAILABLE = "Available"
    MODIFYING = "Modifying"
    DELETING = "Deleting"

    @classmethod
    def _missing_(cls, _value: object) -> "EntryStatus":
        return cls.MODIFYING


@dataclass(frozen=True, slots=True)
class ForwardEntry:
    """One row of a gateway's forward table, as last seen."""

    entry_id: str
    name: str
    rule: ForwardRule
    status: EntryStatus
    table_id: str = field(default="", compare=False)
    """The forward table that it stands in: a gateway may have several. Empty: not told yet."""


class ExposedPort(NamedTuple):
    """One item of a pod's list of ports to expose."""

    ports: Ports
    transport: Transport

    def covers(self, other: "ExposedPort") -> bool:
        """Whether asking for this asks for all of the other."""
        carried = set(other.transport.protocols) <= set(self.transport.protocols)
        return carried and self.ports.contains(other.ports)

    def overlaps(self, other: "ExposedPort") -> bool:
        """Whether both ask for some port under the same protocol."""
        shared = set(self.transport.protocols) & set(other.transport.protocols)
        return bool(shared) and self.ports.overlaps(other.ports)

    def __str__(self) -> str:
        """Write it as the pod's annotation may: ``80/tcp``, ``9000-9010/udp``."""
        return f"{self.ports.shown}/{self.transport}"


class PortMapping(NamedTuple):
    """An item of a pod's list with the public ports that it was given; both sides have the same length."""

    external: Ports
    internal: Ports
    transport: Transport

    @property
    def item(self) -> ExposedPort:
        """What the pod asks for."""
        return ExposedPort(self.internal, self.transport)

    @property
    def slots(self) -> tuple[tuple[Ports, Protocol], ...]:
        """What it takes of the external address."""
        return tuple((self.external, protocol) for protocol in self.transport.protocols)

    def rules(self, external_ip: str, internal_ip: str) -> tuple[ForwardRule, ...]:
        """Give the forward entries that it takes: one, or for both protocols two, TCP first."""
        return tuple(
            ForwardRule(external_ip, self.external, internal_ip, self.internal, protocol)
            for protocol in self.transport.protocols
        )

    def __str__(self) -> str:
        """Write it for people: ``512->80/tcp``."""
        return f"{self.external.shown}->{self.internal.shown}/{self.transport}"


class WorkingPort(NamedTuple):
    """An item that can be reached from outside: what a PodDNAT's status lists, and what its pod is told."""

    external_ip: str
    internal_ip: str
    mapping: PortMapping
    entry_ids: tuple[str, ...]
    """The forward entries, one for each protocol."""

    @property
    def public(self) -> str:
        """The public side, for people: ``203.0.113.10:512/tcp``."""
        return f"{self.external_ip}:{self.mapping.external.shown}/{self.mapping.transport}"


@dataclass(frozen=True)
class Exposure:
    """What a pod's annotations ask for: the items in the user's order, and whether they outlive the pod."""

    items: tuple[ExposedPort, ...]
    fixed: bool = False
    release: str = "Follow"
    """When the external side of a fixed pod that is away is given up: see ``poddnat.api.release_strategy``."""
    prefer_own: bool = False
    """Whether public ports equal to the pod's own are wanted, where they are free."""


@dataclass(frozen=True)
class Address:
    """Where a pod's IP lives in the VPC, as DescribeNetworkInterfaces tells."""

    ip: str
    eni: str
    vswitch: str
    zone: str
    security_groups: tuple[str, ...] = ()
    """The ids of those that the network interface is in."""
