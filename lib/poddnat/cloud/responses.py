"""What the API's answers hold, and how their rows are read: a form that isn't known must not stop the reading."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from poddnat.model import ALL_PORTS, Address, EntryStatus, ForwardEntry, ForwardRule, Ports, Protocol


@dataclass(frozen=True)
class Eip:
    """A public address of a gateway."""

    ip: str


@dataclass(frozen=True)
class GatewayInfo:
    """A NAT gateway as DescribeNatGateways shows it."""

    gateway_id: str
    table_ids: tuple[str, ...]
    status: str
    zone: str
    """Empty for one of a whole region."""
    vpc_id: str
    eips: tuple[Eip, ...]
    locked: bool = False
    """Whether it has not been paid for: it forwards nothing and takes no writes."""


@dataclass(frozen=True)
class RouteTables:
    """Which route table each vSwitch of a VPC uses."""

    by_vswitch: Mapping[str, str]
    system: str = ""
    """The VPC's own table: that of all vSwitches that no table lists."""

    @property
    def ids(self) -> list[str]:
        """All tables that some vSwitch may use."""
        return sorted({*self.by_vswitch.values(), self.system} - {""})

    def of(self, vswitch: str) -> str:
        """Give the table of a vSwitch; empty: not known."""
        return self.by_vswitch.get(vswitch, self.system)


@dataclass(frozen=True)
class NetworkInterface:
    """A network interface, and the private addresses that it has."""

    eni: str
    vswitch: str
    zone: str
    ips: frozenset[str]
    prefixes: tuple[IPv4Network, ...]
    """Whole blocks of addresses: those that Terway gives to pods out of one are not among ``ips``."""
    security_groups: tuple[str, ...] = ()

    def covers(self, ip: str) -> bool:
        """Whether an address lies in one of the prefixes."""
        return any(IPv4Address(ip) in prefix for prefix in self.prefixes)


@dataclass(frozen=True)
class EntryPage:
    """One page of DescribeForwardTableEntries; ``total`` counts all entries that match, on all pages."""

    entries: tuple[ForwardEntry, ...]
    total: int


@dataclass(frozen=True)
class EntryFilter:
    """Which entries to list; unset fields match all."""

    entry_id: str | None = None
    name: str | None = None
    external_ip: str | None = None
    external_port: str | None = None
    internal_ip: str | None = None
    internal_port: str | None = None

    def matches(self, entry: ForwardEntry) -> bool:
        """Whether the cloud would list this entry under this filter."""
        rule = entry.rule
        pairs = (
            (self.entry_id, entry.entry_id),
            (self.name, entry.name),
            (self.external_ip, rule.external_ip),
            (self.external_port, str(rule.external_ports)),
            (self.internal_ip, rule.internal_ip),
            (self.internal_port, str(rule.internal_ports)),
        )
        return all(value in (None, actual) for value, actual in pairs)


_LOCKED = frozenset({"FinancialLocked", "SecurityLocked"})

ALL_ENTRIES = EntryFilter()


def rows_of(parent: object, field: str) -> list[Any]:
    """Take a list out of an answer's wrapper object; the API leaves out what is empty."""
    return list(getattr(parent, field, None) or [])


def _ports(text: str) -> Ports:
    """Read ports; IP mapping entries carry "Any", and a form that we don't know may mean all as well."""
    try:
        return Ports.parse(text)
    except ValueError:
        return ALL_PORTS


def _protocol(text: str) -> Protocol:
    """Read a protocol; one that we don't know must not keep the rest of the table from being read."""
    try:
        return Protocol(text.lower())
    except ValueError:
        return Protocol.ANY


def forward_entry(row: Any) -> ForwardEntry:
    """Read a row of DescribeForwardTableEntries."""
    rule = ForwardRule(
        external_ip=str(row.external_ip),
        external_ports=_ports(str(row.external_port)),
        internal_ip=str(row.internal_ip),
        internal_ports=_ports(str(row.internal_port)),
        protocol=_protocol(str(row.ip_protocol)),
    )
    name = str(row.forward_entry_name or "")
    table_id = str(row.forward_table_id or "")
    return ForwardEntry(str(row.forward_entry_id), name, rule, EntryStatus(str(row.status)), table_id)


def nat_gateway(row: Any) -> GatewayInfo:
    """Read a row of DescribeNatGateways."""
    return GatewayInfo(
        gateway_id=str(row.nat_gateway_id),
        table_ids=tuple(map(str, rows_of(row.forward_table_ids, "forward_table_id"))),
        status=str(row.status),
        zone=str(getattr(row.nat_gateway_private_info, "iz_no", "") or ""),
        vpc_id=str(row.vpc_id),
        eips=tuple(Eip(str(ip.ip_address)) for ip in rows_of(row.ip_lists, "ip_list")),
        locked=str(row.business_status or "") in _LOCKED,
    )


def route_tables(rows: Iterable[Any]) -> RouteTables:
    """Read all rows of DescribeRouteTableList."""
    by_vswitch, system = {}, ""
    for row in rows:
        table = str(row.route_table_id)
        by_vswitch.update({str(vswitch): table for vswitch in rows_of(row.v_switch_ids, "v_switch_id")})
        if row.route_table_type == "System":
            system = table
    return RouteTables(by_vswitch, system)


def network_interface(row: Any) -> NetworkInterface:
    """Read a row of DescribeNetworkInterfaces."""
    secondary = (str(ip.private_ip_address) for ip in rows_of(row.private_ip_sets, "private_ip_set"))
    prefixes = (str(prefix.ipv_4prefix) for prefix in rows_of(row.ipv_4prefix_sets, "ipv_4prefix_set"))
    return NetworkInterface(
        eni=str(row.network_interface_id),
        vswitch=str(row.v_switch_id),
        zone=str(row.zone_id),
        ips=frozenset([str(row.private_ip_address), *secondary]),
        prefixes=tuple(IPv4Network(prefix, strict=False) for prefix in prefixes),
        security_groups=tuple(map(str, rows_of(row.security_group_ids, "security_group_id"))),
    )


def addresses_on(interfaces: Iterable[NetworkInterface], ips: Iterable[str]) -> dict[str, Address]:
    """Find which of these addresses are on network interfaces: by themselves, or in a prefix."""
    there = list(interfaces)
    found = {}
    for ip in ips:
        on = next((one for one in there if ip in one.ips), None) or next((one for one in there if one.covers(ip)), None)
        if on is not None:
            found[ip] = Address(ip, on.eni, on.vswitch, on.zone, on.security_groups)
    return found
