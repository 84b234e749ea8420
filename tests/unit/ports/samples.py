"""A registry of two gateways, allocations in few words, and pods that ask, for all tests of the registry."""

from __future__ import annotations

from poddnat.api import PodDNAT
from poddnat.config import Policy, Values
from poddnat.config.pool import PoolEntry
from poddnat.model import ExposedPort, ForwardEntry, Ports
from poddnat.placement import AddressKey, Place
from poddnat.ports import Allocation, PortRegistry, PortRequest
from tests.unit.samples import entry, items, mapping
from tests.unit.samples import rule as forward
from vpc_emulator import ManualClock

A, B = "ngw-a", "ngw-b"
IP_1, IP_2, IP_3 = "203.0.113.1", "203.0.113.2", "203.0.113.3"
RESERVED_FOR = 600.0
WEB = items("80")
WEB_AND_TLS = items("80", "443")


def pool(*entries: PoolEntry) -> Values:
    return Values("c1", "cn-hangzhou", "vpc-1", entries)


def offer(gateway_id: str, ports: str = "512/514", *eips: str) -> PoolEntry:
    return PoolEntry(gateway_id, "cn-hangzhou-j", Ports.parse(ports), eips or None)


TWO_GATEWAYS = pool(offer(A), offer(B))


def at(*keys: tuple[str, str], policy: Policy = Policy.IN_ORDER, entry_quota: int | None = None) -> list[list[Place]]:
    """Give one tier of places."""
    return [[Place(gateway_id, external_ip, policy, entry_quota) for gateway_id, external_ip in keys]]


AT_A_1 = AddressKey(A, IP_1)
AT_B_2 = AddressKey(B, IP_2)
AT_A = at((A, IP_1))
AT_BOTH = at((A, IP_1), (B, IP_2))


def allocation(key: tuple[str, str], *mappings: str) -> Allocation:
    """Make an allocation from mappings such as ``512->80``."""
    return Allocation(AddressKey(*key), tuple(map(mapping, mappings)))


def registry_of(values: Values) -> PortRegistry:
    return PortRegistry(values, ManualClock(100.0))


def poddnat_with(shown: Allocation) -> PodDNAT:
    return PodDNAT(*shown.key, "172.16.0.7", shown.mappings)


def show(registry: PortRegistry, pod: str, shown: Allocation, namespace: str = "") -> None:
    """Let the PodDNAT of a pod be seen."""
    registry.poddnat_seen(f"of {pod}", pod, poddnat_with(shown), namespace=namespace)


def show_entries(registry: PortRegistry, pod: str, shown: Allocation, *ports: str) -> None:
    """Let a table show that the PodDNAT of a pod has entries on these external ports."""
    poddnat = poddnat_with(shown)
    entries = [entry(f"fwd-{port}", "", of) for of in poddnat.rules if (port := str(of.external_ports)) in ports]
    registry.entries_seen(f"of {pod}", pod, poddnat, shown.key.gateway_id, entries)


def allocate(registry: PortRegistry, pod_uid: str = "pod-1", asked: tuple[ExposedPort, ...] = WEB) -> Allocation:
    allocated = registry.allocate(PortRequest(pod_uid, asked), AT_A)
    assert allocated is not None
    return allocated


def foreign(port: str, entry_id: str = "fwd-1", external_ip: str = IP_1) -> ForwardEntry:
    return entry(entry_id, "web", forward(port, "9/9" if "/" not in port else port, external_ip=external_ip))


def left(registry: PortRegistry, *, on: str = A, ip: str = IP_1) -> list[int]:
    """Give every port that can still be had at an address."""
    found: list[int] = []
    # Who names a place to stay does not wait.
    while True:
        request = PortRequest(f"filler {on} {ip} {len(found)}", WEB)
        more = registry.allocate(request, at((on, ip)), stay_at=AddressKey(on, ip), reuse=[None])
        if more is None:
            return sorted(found)
        found.append(more.mappings[0].external.first)


def exposed(registry: PortRegistry, pod_uid: str, asked: tuple[ExposedPort, ...], namespace: str = "games") -> None:
    """Let a pod get its ports, and its PodDNAT show them."""
    allocated = registry.allocate(PortRequest(pod_uid, asked, namespace), AT_BOTH)
    assert allocated is not None
    show(registry, pod_uid, allocated, namespace)


def addresses(registry: PortRegistry, tiers: list[list[Place]], *asked: tuple[ExposedPort, ...]) -> list[str | None]:
    """Let pods ask one after the other, and tell which addresses they get."""
    allocated = [registry.allocate(PortRequest(f"pod-{number}", each), tiers) for number, each in enumerate(asked)]
    return [None if one is None else one.key.external_ip for one in allocated]


def reuses(registry: PortRegistry, current: Allocation, *asked: str, taken_away: bool = False) -> list[str | None]:
    """Tell what pod-1 reuses of what it has; it asks for the same when nothing else is said."""
    needed = items(*asked) if asked else current.items
    poddnat = poddnat_with(current)
    reusable = registry.reusable(poddnat, needed, uid="of pod-1", pod_uid="pod-1", taken_away=taken_away)
    return [str(each) if each else None for each in reusable]
