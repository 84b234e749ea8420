"""One forward table: its entries, who holds which address and port, and which entries are unsettled.

No thread settles anything: an entry carries the time at which it will be settled, and whoever looks at the
table first brings it up to date.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from vpc_emulator.values import ANY, Mapping5, Ports, parse_ports

PENDING: Final = "Pending"
AVAILABLE: Final = "Available"
DELETING: Final = "Deleting"

EntryFilter = Mapping[str, str]
"""Values that an entry must have, by the names of its fields."""

_Holders = dict[tuple[str, str], dict[int, "ForwardEntry"]]


@dataclass(slots=True)
class ForwardEntry:
    """A DNAT entry as the cloud has it."""

    id: str
    name: str
    table_id: str
    gateway_id: str
    external_ip: str
    external_port: str
    internal_ip: str
    internal_port: str
    protocol: str
    status: str = AVAILABLE
    due: float | None = None
    """When Pending or Deleting ends; nothing for an entry that stays as it is."""
    fails: bool = False
    """Whether it disappears instead of becoming Available."""
    foreign: bool = False
    """Whether somebody else made it, not a call of the API."""

    def is_foreign(self) -> bool:
        """Tell whether it is somebody else's, and settled."""
        return self.foreign and self.status == AVAILABLE

    def answer(self) -> dict[str, str]:
        """Return it as DescribeForwardTableEntries shows it."""
        return {
            "ForwardEntryId": self.id,
            "ForwardEntryName": self.name,
            "ForwardTableId": self.table_id,
            "NatGatewayId": self.gateway_id,
            "ExternalIp": self.external_ip,
            "ExternalPort": self.external_port,
            "InternalIp": self.internal_ip,
            "InternalPort": self.internal_port,
            "IpProtocol": self.protocol,
            "Status": self.status,
        }


def _ports(text: str) -> Ports:
    ports = parse_ports(text)
    if ports is None:
        problem = f"not a port: {text}"
        raise ValueError(problem)
    return ports


class ForwardTable:
    """The entries of a table in the order of their creation; an edited one counts as new."""

    def __init__(self, table_id: str) -> None:
        self.id = table_id
        self.entries: dict[str, ForwardEntry] = {}
        self.unsettled: set[str] = set()
        self.by_external_ip: dict[str, dict[str, ForwardEntry]] = {}
        self.by_internal_ip: dict[str, dict[str, ForwardEntry]] = {}
        self._external: _Holders = {}
        self._internal: _Holders = {}
        self._dues: list[tuple[float, str]] = []

    def add(self, entry: ForwardEntry) -> None:
        """Add an entry whose addresses and ports are free."""
        self.entries[entry.id] = entry
        self.by_external_ip.setdefault(entry.external_ip, {})[entry.id] = entry
        self.by_internal_ip.setdefault(entry.internal_ip, {})[entry.id] = entry
        for holders, key, ports in self._claims(entry):
            holders.setdefault(key, {}).update(dict.fromkeys(ports.each(), entry))
        if entry.status != AVAILABLE:
            self.unsettled.add(entry.id)
            self._expect(entry)

    def remove(self, entry: ForwardEntry) -> None:
        """Remove an entry and free what it held."""
        del self.entries[entry.id]
        self.unsettled.discard(entry.id)
        del self.by_external_ip[entry.external_ip][entry.id]
        del self.by_internal_ip[entry.internal_ip][entry.id]
        for holders, key, ports in self._claims(entry):
            for port in ports.each():
                del holders[key][port]

    def start(self, entry: ForwardEntry, status: str, due: float | None) -> None:
        """Let an entry of the table be Pending or Deleting until then."""
        entry.status, entry.due = status, due
        self.unsettled.add(entry.id)
        self._expect(entry)

    def finish(self, entry: ForwardEntry) -> None:
        """Settle an entry now."""
        if entry.status == DELETING or entry.fails:
            self.remove(entry)
            return
        entry.status, entry.due = AVAILABLE, None
        self.unsettled.discard(entry.id)

    def settle(self, now: float) -> None:
        """Bring every entry up to date."""
        while self._dues and self._dues[0][0] <= now:
            due, entry_id = heapq.heappop(self._dues)
            entry = self.entries.get(entry_id)
            if entry is not None and entry.due == due:
                self.finish(entry)

    def external_holder(self, wanted: Mapping5) -> ForwardEntry | None:
        """Return an entry that has one of these external ports."""
        return _holder(self._external, wanted.external_ip, wanted.external_ports, wanted.protocol)

    def internal_holder(self, wanted: Mapping5) -> ForwardEntry | None:
        """Return an entry that leads to one of these internal ports."""
        return _holder(self._internal, wanted.internal_ip, wanted.internal_ports, wanted.protocol)

    def candidates(self, wanted: EntryFilter) -> Iterable[ForwardEntry]:
        """Return few entries that include all with these values: a filter need not read the whole table."""
        if "id" in wanted:
            return [self.entries[wanted["id"]]] if wanted["id"] in self.entries else []
        if "internal_ip" in wanted:
            return self.by_internal_ip.get(wanted["internal_ip"], {}).values()
        if "external_ip" not in wanted:
            return self.entries.values()
        port = wanted.get("external_port", "")
        if not port.isdecimal():
            return self.by_external_ip.get(wanted["external_ip"], {}).values()
        held = (self._external.get((wanted["external_ip"], protocol), {}) for protocol in ("tcp", "udp"))
        return [entries[int(port)] for entries in held if int(port) in entries]

    def _claims(self, entry: ForwardEntry) -> list[tuple[_Holders, tuple[str, str], Ports]]:
        return [
            (self._external, (entry.external_ip, entry.protocol), _ports(entry.external_port)),
            (self._internal, (entry.internal_ip, entry.protocol), _ports(entry.internal_port)),
        ]

    def _expect(self, entry: ForwardEntry) -> None:
        if entry.due is not None:
            heapq.heappush(self._dues, (entry.due, entry.id))


def _holder(holders: _Holders, address: str, ports: Ports, protocol: str) -> ForwardEntry | None:
    held = holders.get((address, protocol))
    if not held:
        return None
    return next((held[port] for port in ports.each() if port in held), None)


def is_ip_mapping(entry: ForwardEntry) -> bool:
    """Tell whether the entry takes its external address for itself."""
    return entry.protocol == ANY
