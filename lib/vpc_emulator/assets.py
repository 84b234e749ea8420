"""What an account can own, as the world describes it before the first call."""

import ipaddress
from dataclasses import dataclass
from typing import Final, Literal, get_args

from vpc_emulator.values import Mapping5

# The RAM policy in the ACK document on DNAT for pods.
POD_DNAT_ACTIONS: Final = frozenset(
    {
        "ecs:DescribeNetworkInterfaces",
        "vpc:DescribeNatGateways",
        "vpc:DescribeForwardTableEntries",
        "vpc:CreateForwardEntry",
        "vpc:DescribeEipAddresses",
        "vpc:DeleteForwardEntry",
        "vpc:DescribeRouteTableList",
        "vpc:DescribeRouteEntryList",
    }
)

ListingOrder = Literal["creation", "reverse", "arbitrary"]
LISTING_ORDERS: Final[tuple[str, ...]] = get_args(ListingOrder)


@dataclass(frozen=True, slots=True)
class Credential:
    """A key and what it may do."""

    access_key_id: str
    access_key_secret: str
    security_token: str
    actions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Vpc:
    """A VPC with its address blocks."""

    id: str
    region: str
    blocks: tuple[ipaddress.IPv4Network, ...]


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A route table of type System or Custom; the default route may be missing."""

    id: str
    vpc: str
    next_hop_type: str = ""
    next_hop_id: str = ""
    type: str = "Custom"
    lists_vswitches: bool = True
    """Whether DescribeRouteTableList shows its vSwitches; the reference does not say so of the System one."""


@dataclass(frozen=True, slots=True)
class VSwitch:
    """A vSwitch in a zone."""

    id: str
    vpc: str
    zone: str
    cidr: str
    route_table: str


@dataclass(frozen=True, slots=True)
class Eip:
    """An elastic IP address, bound to a gateway or to nothing."""

    address: str
    allocation_id: str
    region: str
    gateway: str = ""
    snat: bool = False
    """Whether an SNAT entry uses it."""
    snat_entry_enabled: bool = True
    """Whether SNAT may use it beside DNAT entries; that alone does not make it used by SNAT."""


@dataclass(frozen=True, slots=True)
class PresetEntry:
    """A DNAT entry that is there from the beginning."""

    wanted: Mapping5
    name: str
    table: str


@dataclass(frozen=True, slots=True)
class NatGateway:
    """A NAT gateway and how it behaves."""

    id: str
    vpc: str
    vswitch: str
    zone: str
    status: str
    business_status: str
    forward_tables: tuple[str, ...]
    quota: int
    writes_at_once: int
    settle_seconds: float
    settle_jitter: float
    entries: tuple[PresetEntry, ...]


@dataclass(frozen=True, slots=True)
class NetworkInterface:
    """An elastic network interface; the first private address is the primary one."""

    id: str
    vpc: str
    vswitch: str
    zone: str
    private_ips: tuple[str, ...]
    security_groups: tuple[str, ...]
    public_ip: str
    instance: str = ""
    ipv4_prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many calls the account may make in a window, in all or of one action."""

    calls: int
    seconds: float = 60.0
    per_action: bool = True
    tell_time_left: bool = True
