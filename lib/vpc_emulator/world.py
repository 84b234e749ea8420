"""The world: what the account owns before the first call, read from a file or a mapping and checked.

The format is described in README.md here. A mistake is reported with the path to it, such as
``nat_gateways[0].eips[1]``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import yaml

from vpc_emulator.assets import (
    LISTING_ORDERS,
    POD_DNAT_ACTIONS,
    Credential,
    Eip,
    ListingOrder,
    NatGateway,
    NetworkInterface,
    PresetEntry,
    RateLimit,
    RouteTable,
    Vpc,
    VSwitch,
)
from vpc_emulator.nodes import Node, WorldError
from vpc_emulator.values import Mapping5, is_ipv4, parse_ports

__all__ = ["POD_DNAT_ACTIONS", "Credential", "RateLimit", "World", "WorldError"]

_PREFIX_LENGTH: Final = 28
"""Length of the IPv4 prefixes of network interfaces (ECS API reference, AssignPrivateIpAddresses)."""

_INTERFACE_SIZE: Final = 20
"""Private addresses of one interface; more are spread over interfaces named ID-1, ID-2 and so on."""


@dataclass(frozen=True)
class World:
    """All that the account owns."""

    regions: tuple[str, ...]
    credentials: dict[str, Credential]
    vpcs: dict[str, Vpc]
    route_tables: dict[str, RouteTable]
    vswitches: dict[str, VSwitch]
    nat_gateways: dict[str, NatGateway]
    eips: dict[str, Eip]
    network_interfaces: dict[str, NetworkInterface]
    rate_limit: RateLimit | None = None
    listing_order: ListingOrder | None = None
    address_filter_finds_prefixes: bool = False
    """Whether PrivateIpAddress finds an address that is only in a prefix; the reference does not say."""

    @classmethod
    def load(cls, path: str | Path) -> "World":
        """Read a YAML or JSON file."""
        return cls.parse(Path(path).read_text(encoding="utf-8"), str(path))

    @classmethod
    def parse(cls, text: str, source: str) -> "World":
        """Read a file's text; ``source`` is for error messages."""
        try:
            # libyaml, where it is there: tables of tens of thousands of entries would take minutes.
            data = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        except yaml.YAMLError as error:
            raise WorldError(source, f"is not YAML: {error}") from error
        return cls.from_dict(data)

    @classmethod
    def example(cls) -> "World":
        """Return the world of example-world.yaml beside this file."""
        return cls.load(Path(__file__).with_name("example-world.yaml"))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "World":
        """Check a mapping of the file's format and take it over."""
        return _Reader(Node(data)).world()


class _Reader:
    """Reads the parts in an order in which each finds what it refers to."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.regions = root.strings("regions") or ("cn-hangzhou",)
        self.vpcs = _by_id(root, "vpcs", self._vpc)
        self.route_tables = _by_id(root, "route_tables", self._route_table)
        self.vswitches = _by_id(root, "vswitches", self._vswitch)
        self.eips: dict[str, Eip] = {}
        self.nat_gateways = _by_id(root, "nat_gateways", self._nat_gateway)
        for node in root.items("eips", shorthand="address"):
            self._eip(node, gateway="", region=self.regions[0])
        self.network_interfaces = self._network_interfaces()

    def world(self) -> World:
        """Return what was read, if no key is left that nobody knows."""
        credentials = [_credential(node) for node in self.root.items("credentials")]
        limit = self.root.child("rate_limit")
        rate_limit = None if limit is None else _rate_limit(limit)
        order = self._listing_order()
        finds_prefixes = self.root.boolean("address_filter_finds_prefixes")
        self.root.finish()
        return World(
            regions=self.regions,
            credentials={credential.access_key_id: credential for credential in credentials},
            vpcs=self.vpcs,
            route_tables=self.route_tables,
            vswitches=self.vswitches,
            nat_gateways=self.nat_gateways,
            eips=self.eips,
            network_interfaces=self.network_interfaces,
            rate_limit=rate_limit,
            listing_order=order,
            address_filter_finds_prefixes=finds_prefixes,
        )

    def _listing_order(self) -> ListingOrder | None:
        orders: dict[str, ListingOrder | None] = {
            "": None,
            "creation": "creation",
            "reverse": "reverse",
            "arbitrary": "arbitrary",
        }
        name = self.root.string("listing_order", default="")
        if name not in orders:
            raise self.root.error("listing_order", f"is none of {', '.join(LISTING_ORDERS)}")
        return orders[name]

    def _vpc(self, node: Node) -> Vpc:
        blocks = tuple(node.network(text) for text in node.strings("cidr", need=True))
        region = node.string("region", default=self.regions[0])
        if region not in self.regions:
            raise node.error("region", f"{region} is not among the regions")
        return Vpc(node.string("id"), region, blocks)

    def _route_table(self, node: Node) -> RouteTable:
        route = node.child("default_route")
        hop = ("", "") if route is None else (route.string("type", default="NatGateway"), route.string("id"))
        if route is not None:
            route.finish()
        kind = node.string("type", default="Custom")
        if kind not in {"System", "Custom"}:
            raise node.error("type", "is neither System nor Custom")
        lists = node.boolean("lists_vswitches", default=True)
        return RouteTable(node.string("id"), node.known("vpc", self.vpcs), *hop, kind, lists)

    def _vswitch(self, node: Node) -> VSwitch:
        vpc = node.known("vpc", self.vpcs)
        return VSwitch(
            id=node.string("id"),
            vpc=vpc,
            zone=node.string("zone"),
            cidr=str(node.network(node.string("cidr"))),
            route_table=node.known("route_table", self.route_tables, default=self._system_table(vpc)),
        )

    def _system_table(self, vpc: str) -> str | None:
        """Return the VPC's System route table: vSwitches use it that no other table has."""
        tables = (table.id for table in self.route_tables.values() if table.vpc == vpc and table.type == "System")
        return next(tables, None)

    def _nat_gateway(self, node: Node) -> NatGateway:
        vswitch = self.vswitches.get(node.known("vswitch", self.vswitches, default=""))
        tables = node.strings("forward_tables") or (f"ftb-{node.string('id')}",)
        gateway = NatGateway(
            id=node.string("id"),
            vpc=node.known("vpc", self.vpcs),
            vswitch=vswitch.id if vswitch else "",
            zone=_gateway_zone(node, vswitch),
            status=node.string("status", default="Available"),
            business_status=node.string("business_status", default="Normal"),
            forward_tables=tables,
            quota=node.integer("quota", default=100, low=0),
            writes_at_once=node.integer("writes_at_once", default=1),
            settle_seconds=node.number("settle_seconds", default=0.0),
            settle_jitter=node.number("settle_jitter", default=0.0, high=1.0),
            entries=tuple(_entry(entry, tables) for entry in node.items("entries")),
        )
        for eip in node.items("eips", shorthand="address"):
            self._eip(eip, gateway=gateway.id, region=self.vpcs[gateway.vpc].region)
        return gateway

    def _eip(self, node: Node, *, gateway: str, region: str) -> None:
        address = node.address("address")
        if address in self.eips:
            raise node.error("address", f"{address} is there twice")
        allocation_id = node.string("allocation_id", default=f"eip-{address.replace('.', '-')}")
        snat, enabled = node.boolean("snat"), node.boolean("snat_entry_enabled", default=True)
        self.eips[address] = Eip(address, allocation_id, region, gateway, snat, enabled)
        node.finish()

    def _network_interfaces(self) -> dict[str, NetworkInterface]:
        found: dict[str, NetworkInterface] = {}
        taken: set[str] = set()
        for node in self.root.items("network_interfaces"):
            for interface in self._interfaces(node):
                doubled = taken.intersection(interface.private_ips)
                if interface.id in found or doubled:
                    raise node.error("id", f"{interface.id} or {sorted(doubled)} is there twice")
                found[interface.id] = interface
                taken.update(interface.private_ips)
            node.finish()
        return found

    def _interfaces(self, node: Node) -> list[NetworkInterface]:
        vswitch = self.vswitches[node.known("vswitch", self.vswitches)]
        networks = [node.network(text) for text in node.strings("private_ips", need=True)]
        addresses = [str(address) for address in chain.from_iterable(networks)]
        groups = [addresses[at : at + _INTERFACE_SIZE] for at in range(0, len(addresses), _INTERFACE_SIZE)]
        security_groups = node.strings("security_groups") or ("sg-default",)
        public_ip = node.address("public_ip", default="")
        instance, prefixes = node.string("instance", default=""), _prefixes(node)
        return [
            NetworkInterface(
                id=node.string("id") if len(groups) == 1 else f"{node.string('id')}-{number}",
                vpc=vswitch.vpc,
                vswitch=vswitch.id,
                zone=vswitch.zone,
                private_ips=tuple(group),
                security_groups=security_groups,
                public_ip=public_ip if number == 1 else "",
                instance=instance,
                ipv4_prefixes=prefixes if number == 1 else (),
            )
            for number, group in enumerate(groups, start=1)
        ]


def _by_id(root: Node, key: str, read: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in root.items(key):
        item = read(node)
        if item.id in found:
            raise node.error("id", f"{item.id} is there twice")
        found[item.id] = item
        node.finish()
    return found


def _gateway_zone(node: Node, vswitch: VSwitch | None) -> str:
    """Read the zone, that of the vSwitch if none is given; a gateway of a whole region has none."""
    if node.boolean("regional"):
        return ""
    return node.string("zone", default=vswitch.zone if vswitch else "")


def _prefixes(node: Node) -> tuple[str, ...]:
    prefixes = tuple(map(node.network, node.strings("ipv4_prefixes")))
    if any(prefix.prefixlen != _PREFIX_LENGTH for prefix in prefixes):
        raise node.error("ipv4_prefixes", f"are not all of length {_PREFIX_LENGTH}")
    return tuple(map(str, prefixes))


def _credential(node: Node) -> Credential:
    credential = Credential(
        access_key_id=node.string("access_key_id"),
        access_key_secret=node.string("access_key_secret"),
        security_token=node.string("security_token", default=""),
        actions=frozenset(node.strings("actions")) or POD_DNAT_ACTIONS,
    )
    node.finish()
    return credential


def _rate_limit(node: Node) -> RateLimit:
    per = node.string("per", default="action")
    if per not in {"action", "account"}:
        raise node.error("per", "is neither action nor account")
    limit = RateLimit(
        calls=node.integer("calls"),
        seconds=node.number("seconds", default=60.0),
        per_action=per == "action",
        tell_time_left=node.boolean("tell_time_left", default=True),
    )
    node.finish()
    return limit


def _entry(node: Node, tables: tuple[str, ...]) -> PresetEntry:
    external, internal = parse_ports(node.string("external_port")), parse_ports(node.string("internal_port"))
    if external is None or internal is None:
        raise node.error("external_port" if external is None else "internal_port", "is not a port")
    external_ip, internal_ip = node.string("external_ip"), node.string("internal_ip")
    if not (is_ipv4(external_ip) and is_ipv4(internal_ip)):
        raise node.error("external_ip", "or internal_ip is not an IPv4 address")
    protocol = node.string("protocol", default="tcp").lower()
    name = node.string("name", default="")
    table = node.known("table", tables, default=tables[0])
    node.finish()
    return PresetEntry(Mapping5(external_ip, external, internal_ip, internal, protocol), name, table)
