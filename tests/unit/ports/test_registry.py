"""Who gets which external port, over all gateways: reservations, claims, foreign entries, and addresses that move."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from poddnat.api import PodDNAT
from poddnat.config import Limits, Policy, Values
from poddnat.config.pool import PoolEntry
from poddnat.model import ALL_PORTS, ExposedPort, ForwardEntry, ForwardRule, PortMapping, Ports, Protocol
from poddnat.placement import AddressKey, Place
from poddnat.ports import Allocation, PortRegistry, PortRequest
from poddnat.ports.limits import LimitError
from tests.unit.samples import entry, items, mapping
from tests.unit.samples import rule as forward
from vpc_emulator import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterable

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


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(100.0)


def registry_of(values: Values) -> PortRegistry:
    return PortRegistry(values, ManualClock(100.0))


@pytest.fixture
def registry(clock: ManualClock) -> PortRegistry:
    return PortRegistry(TWO_GATEWAYS, clock)


def allocation(key: tuple[str, str], *mappings: str) -> Allocation:
    """Make an allocation from mappings such as ``512->80``."""
    return Allocation(AddressKey(*key), tuple(map(mapping, mappings)))


def poddnat_with(shown: Allocation) -> PodDNAT:
    return PodDNAT(*shown.key, "172.16.0.7", shown.mappings)


def show(registry: PortRegistry, pod: str, shown: Allocation, namespace: str = "") -> None:
    """Let the PodDNAT of a pod be seen."""
    registry.poddnat_seen(f"of {pod}", pod, poddnat_with(shown), namespace=namespace)


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


# Reservations


def test_pod_is_answered_the_same_before_its_poddnat_is_visible(registry: PortRegistry) -> None:
    assert registry.reserved("pod-1", WEB) is None
    first = allocate(registry)
    assert registry.reserved("pod-1", WEB) == first
    assert registry.reserved("pod-1", WEB) == first


def test_nothing_is_reserved_for_a_pod_that_asks_for_something_else(registry: PortRegistry) -> None:
    allocate(registry)
    assert registry.reserved("pod-1", WEB_AND_TLS) is None


def test_nothing_is_reserved_for_a_pod_of_another_uid(registry: PortRegistry) -> None:
    allocate(registry)
    assert registry.reserved("pod-2", WEB) is None


def test_reserved_ports_are_not_free(registry: PortRegistry) -> None:
    allocate(registry)
    assert left(registry) == [513, 514]


def test_new_reservation_takes_the_place_of_the_old(registry: PortRegistry) -> None:
    allocate(registry, asked=WEB)
    assert allocate(registry, asked=WEB_AND_TLS) == allocation(AT_A_1, "513->80", "514->443")
    assert left(registry) == [512]


def test_reservation_that_no_poddnat_shows_expires(registry: PortRegistry, clock: ManualClock) -> None:
    allocate(registry)
    clock.now += RESERVED_FOR
    assert registry.reserved("pod-1", WEB) is None
    assert left(registry) == [512, 513, 514]


def test_reservation_lasts_until_it_expires(registry: PortRegistry, clock: ManualClock) -> None:
    first = allocate(registry)
    clock.now += RESERVED_FOR - 1
    assert registry.reserved("pod-1", WEB) == first


def test_renewed_reservation_does_not_keep_others_from_expiring(registry: PortRegistry, clock: ManualClock) -> None:
    allocate(registry, "pod-1")
    allocate(registry, "pod-2")
    clock.now += RESERVED_FOR / 2
    allocate(registry, "pod-1", items("81"))
    clock.now += RESERVED_FOR / 2
    assert registry.reserved("pod-2", WEB) is None
    assert registry.reserved("pod-1", items("81")) is not None


# PodDNATs


def test_poddnat_takes_over_what_was_reserved_for_its_pod(registry: PortRegistry, clock: ManualClock) -> None:
    reserved = allocate(registry)
    show(registry, "pod-1", reserved)
    clock.now += RESERVED_FOR
    assert left(registry) == [513, 514]


def test_poddnat_that_is_gone_gives_its_ports_back(registry: PortRegistry) -> None:
    show(registry, "pod-1", allocate(registry))
    registry.poddnat_gone("of pod-1")
    assert left(registry) == [512, 513, 514]


def test_poddnat_that_shows_something_else_leaves_the_reservation(registry: PortRegistry) -> None:
    reserved = allocate(registry)
    show(registry, "pod-1", allocation(AT_A_1, "513->80"))
    assert registry.reserved("pod-1", WEB) == reserved
    assert left(registry) == [514]


def test_poddnat_that_changes_gives_back_what_it_had(registry: PortRegistry) -> None:
    show(registry, "pod-1", allocation(AT_A_1, "512->80"))
    show(registry, "pod-1", allocation(AT_A_1, "513->80"))
    assert left(registry) == [512, 514]


def test_poddnat_that_moves_gives_back_what_it_had_elsewhere(registry: PortRegistry) -> None:
    show(registry, "pod-1", allocation(AT_A_1, "512->80"))
    show(registry, "pod-1", allocation(AT_B_2, "512->80"))
    assert left(registry) == [512, 513, 514]
    assert left(registry, on=B, ip=IP_2) == [513, 514]


def test_end_of_an_unknown_poddnat_is_nothing(registry: PortRegistry) -> None:
    registry.poddnat_gone("uid-9")
    assert left(registry) == [512, 513, 514]


# Foreign entries


def test_port_of_a_foreign_entry_is_never_offered(registry: PortRegistry) -> None:
    registry.foreign_seen(A, [foreign("513")])
    assert left(registry) == [512, 514]


def test_range_of_a_foreign_entry_is_never_offered(registry: PortRegistry) -> None:
    registry.foreign_seen(A, [foreign("400/513")])
    assert left(registry) == [514]


def test_nothing_of_an_address_that_a_foreign_entry_maps_whole_is_offered(registry: PortRegistry) -> None:
    whole = ForwardRule(IP_1, ALL_PORTS, "172.16.0.9", ALL_PORTS, Protocol.ANY)
    registry.foreign_seen(A, [entry(of=whole)])
    assert left(registry) == []


def test_port_of_a_foreign_entry_that_has_gone_is_offered_again(registry: PortRegistry) -> None:
    registry.foreign_seen(A, [foreign("513")])
    registry.foreign_seen(A, [])
    assert left(registry) == [512, 513, 514]


def test_foreign_entries_of_one_gateway_say_nothing_about_another(registry: PortRegistry) -> None:
    registry.foreign_seen(A, [foreign("513")])
    registry.foreign_seen(B, [])
    assert left(registry) == [512, 514]


def test_foreign_entry_that_changes_its_port_gives_the_old_one_back(registry: PortRegistry) -> None:
    registry.foreign_seen(A, [foreign("513")])
    registry.foreign_seen(A, [foreign("514")])
    assert left(registry) == [512, 513]


# Addresses that move between gateways


def test_address_that_moves_leaves_its_foreign_entries_behind(registry: PortRegistry) -> None:
    registry.foreign_seen(A, [foreign("512")])
    registry.foreign_seen(A, [])
    registry.foreign_seen(B, [foreign("513", "fwd-2")])
    assert left(registry, on=B, ip=IP_1) == [512, 514]


def test_foreign_entry_whose_address_is_another_now_gives_the_old_one_back(registry: PortRegistry) -> None:
    registry.foreign_seen(A, [foreign("512", external_ip=IP_1)])
    registry.foreign_seen(A, [foreign("512", external_ip=IP_2)])
    assert left(registry, ip=IP_1) == [512, 513, 514]
    assert left(registry, ip=IP_2) == [513, 514]


def test_poddnat_can_not_reuse_an_address_that_its_gateway_may_not_use() -> None:
    registry = registry_of(pool(offer(A, "512/514", IP_1), offer(B, "512/514", IP_2)))
    moved = allocation((B, IP_1), "512->80")
    show(registry, "pod-1", moved)
    assert reuses(registry, moved) == [None]


# Where


def addresses(registry: PortRegistry, tiers: list[list[Place]], *asked: tuple[ExposedPort, ...]) -> list[str | None]:
    """Let pods ask one after the other, and tell which addresses they get."""
    allocated = [registry.allocate(PortRequest(f"pod-{number}", each), tiers) for number, each in enumerate(asked)]
    return [None if one is None else one.key.external_ip for one in allocated]


def test_better_tier_is_filled_first(registry: PortRegistry) -> None:
    assert addresses(registry, at((A, IP_1)) + at((B, IP_2)), *[WEB_AND_TLS] * 3) == [IP_1, IP_2, None]


def test_uniform_takes_the_address_that_fewest_use_over_all_gateways(registry: PortRegistry) -> None:
    places = at((A, IP_1), (A, IP_2), (B, IP_3), policy=Policy.UNIFORM)
    assert addresses(registry, places, *[WEB] * 4) == [IP_1, IP_2, IP_3, IP_1]


def test_in_order_fills_one_address_before_the_next(registry: PortRegistry) -> None:
    assert addresses(registry, at((A, IP_1), (A, IP_2)), *[WEB] * 7) == [IP_1, IP_1, IP_1, IP_2, IP_2, IP_2, None]


def test_in_order_packs_small_pods_behind_a_large_one_that_did_not_fit(registry: PortRegistry) -> None:
    assert addresses(registry, at((A, IP_1), (A, IP_2)), WEB_AND_TLS, WEB_AND_TLS, WEB) == [IP_1, IP_2, IP_1]


def test_all_ports_of_a_pod_are_on_one_address() -> None:
    registry = registry_of(pool(offer(A, "512/513")))
    registry.allocate(PortRequest("pod-1", WEB), at((A, IP_1)))
    assert registry.allocate(PortRequest("pod-2", WEB_AND_TLS), at((A, IP_1), (A, IP_2))) == allocation(
        (A, IP_2), "512->80", "513->443"
    )


def test_address_that_the_pool_does_not_list_offers_nothing() -> None:
    registry = registry_of(pool(offer(A, "512", IP_1)))
    assert registry.allocate(PortRequest("pod-1", WEB), at((A, IP_2))) is None


# Turns


def filled(registry: PortRegistry) -> None:
    """Let PodDNATs have every port of an address."""
    for number in range(3):
        show(registry, f"pod-{number}", allocation(AT_A_1, f"{512 + number}->80"))


def asks(
    registry: PortRegistry, pod_uid: str, asked: tuple[ExposedPort, ...] = WEB, tiers: list[list[Place]] = AT_A
) -> bool:
    """Let a pod ask, as its sync does, and tell whether it has ports now."""
    return (registry.reserved(pod_uid, asked) or registry.allocate(PortRequest(pod_uid, asked), tiers)) is not None


def test_port_that_becomes_free_goes_to_who_came_first_not_to_who_asks_first(registry: PortRegistry) -> None:
    filled(registry)
    assert [asks(registry, pod_uid) for pod_uid in ("first", "second")] == [False, False]
    registry.poddnat_gone("of pod-1")
    assert [asks(registry, pod_uid) for pod_uid in ("new", "second", "first")] == [False, False, True]


def test_pod_that_asks_no_more_loses_its_turn(registry: PortRegistry, clock: ManualClock) -> None:
    filled(registry)
    asks(registry, "gone")
    clock.now += 91
    registry.poddnat_gone("of pod-1")
    assert asks(registry, "new")


def test_pod_that_asks_again_keeps_its_turn(registry: PortRegistry, clock: ManualClock) -> None:
    filled(registry)
    for order in [("first", "second"), *[("second", "first")] * 10]:
        clock.now += 30
        assert [asks(registry, pod_uid) for pod_uid in order] == [False, False]
    registry.poddnat_gone("of pod-1")
    assert [asks(registry, pod_uid) for pod_uid in ("second", "first")] == [False, True]


def test_pod_that_needs_more_than_there_is_does_not_hold_up_those_behind_it(registry: PortRegistry) -> None:
    filled(registry)
    asks(registry, "large", WEB_AND_TLS)
    registry.poddnat_gone("of pod-1")
    assert asks(registry, "small")


def test_pods_that_wait_for_another_gateway_do_not_hold_up_anybody(registry: PortRegistry) -> None:
    filled(registry)
    asks(registry, "elsewhere")
    registry.poddnat_gone("of pod-1")
    assert asks(registry, "here", tiers=at((B, IP_2)))
    assert registry.reserved("elsewhere", WEB) is None


def test_pod_that_waits_for_one_more_port_is_not_given_others_instead(registry: PortRegistry) -> None:
    filled(registry)
    request = PortRequest("pod-0", WEB_AND_TLS, poddnat_uid="of pod-0")
    assert registry.allocate(request, AT_A, stay_at=AT_A_1, reuse=[mapping("512->80"), None]) is None
    registry.poddnat_gone("of pod-1")
    registry.poddnat_gone("of pod-2")
    assert asks(registry, "new")
    assert registry.reserved("pod-0", WEB_AND_TLS) is None


@for_all(st.permutations(range(6)), st.permutations(range(6)), st.integers(0, 3))
def test_ports_go_by_the_order_of_arrival_whoever_asks_when(arrivals: list[int], polls: list[int], freed: int) -> None:
    registry = PortRegistry(TWO_GATEWAYS, ManualClock(100.0))
    filled(registry)
    for pod in arrivals:
        asks(registry, f"waiting-{pod}")
    for number in range(freed):
        registry.poddnat_gone(f"of pod-{number}")
    for pod in polls:
        asks(registry, f"waiting-{pod}")
    assert {pod for pod in polls if asks(registry, f"waiting-{pod}")} == set(arrivals[:freed])


# Limits


def limited(registry: PortRegistry, **limits: int) -> PortRegistry:
    """Let values with these limits be in force."""
    registry.update(replace(TWO_GATEWAYS, limits=Limits(**limits)))
    return registry


def refused(registry: PortRegistry, pod_uid: str, asked: tuple[ExposedPort, ...], namespace: str = "games") -> str:
    """Tell why a pod gets nothing."""
    with pytest.raises(LimitError) as caught:
        registry.allocate(PortRequest(pod_uid, asked, namespace), AT_BOTH)
    return caught.value.problem.reason


def exposed(registry: PortRegistry, pod_uid: str, asked: tuple[ExposedPort, ...], namespace: str = "games") -> None:
    """Let a pod get its ports, and its PodDNAT show them."""
    allocated = registry.allocate(PortRequest(pod_uid, asked, namespace), AT_BOTH)
    assert allocated is not None
    show(registry, pod_uid, allocated, namespace)


@pytest.mark.parametrize("asked", [items("80", "81"), items("80-81"), items("80/tcpudp")], ids=str)
def test_pod_that_asks_for_more_ports_than_one_may_have_is_refused(
    registry: PortRegistry, asked: tuple[ExposedPort, ...]
) -> None:
    assert refused(limited(registry, ports_per_pod=1), "pod-1", asked) == "TooManyPorts"
    assert limited(registry, ports_per_pod=2).allocate(PortRequest("pod-1", asked), AT_BOTH) is not None


@pytest.mark.parametrize("shows", [False, True], ids=["reservations", "PodDNATs"])
def test_ports_of_a_namespace_are_counted_over_its(registry: PortRegistry, shows: bool) -> None:  # noqa: FBT001
    limited(registry, ports_per_namespace=2)
    for pod_uid in ("pod-1", "pod-2"):
        if shows:
            exposed(registry, pod_uid, WEB)
        else:
            registry.allocate(PortRequest(pod_uid, WEB, "games"), AT_BOTH)
    assert refused(registry, "pod-3", WEB) == "NamespaceLimitReached"
    assert registry.allocate(PortRequest("pod-3", WEB, "web"), AT_BOTH) is not None


def test_pod_is_not_counted_against_itself(registry: PortRegistry) -> None:
    limited(registry, ports_per_namespace=2)
    registry.allocate(PortRequest("pod-1", WEB_AND_TLS, "games"), AT_BOTH)
    exposed(registry, "pod-1", WEB)
    assert registry.allocate(PortRequest("pod-1", items("81", "82"), "games"), AT_BOTH) is not None


def test_ports_reserved_for_a_pod_that_lost_them_for_a_moment_are_counted(registry: PortRegistry) -> None:
    limited(registry, ports_per_namespace=1)
    exposed(registry, "pod-1", WEB)
    registry.reserve("pod-1", poddnat_with(allocation(AT_A_1, "512->80")), outlives="of pod-1")
    registry.poddnat_gone("of pod-1")
    assert refused(registry, "pod-2", WEB) == "NamespaceLimitReached"


def test_fixed_pod_that_comes_back_is_not_counted_against_the_ports_retained_for_it(registry: PortRegistry) -> None:
    exposed(registry, "pod-1", WEB)
    limited(registry, ports_per_namespace=1)
    assert registry.allocate(PortRequest("pod-2", items("81"), "games", "of pod-1"), AT_BOTH) is not None


def test_limits_take_away_nothing_that_a_pod_has(registry: PortRegistry) -> None:
    exposed(registry, "pod-1", WEB_AND_TLS)
    limited(registry, ports_per_pod=1, ports_per_namespace=1)
    assert registry.allocate(PortRequest("pod-1", items("81", "82"), "games"), AT_BOTH) is not None
    assert refused(registry, "pod-1", items("81", "82", "83")) == "TooManyPorts"


def test_ports_given_back_can_be_had_by_the_namespace_again(registry: PortRegistry) -> None:
    limited(registry, ports_per_namespace=1)
    exposed(registry, "pod-1", WEB)
    registry.poddnat_gone("of pod-1")
    assert registry.allocate(PortRequest("pod-2", WEB, "games"), AT_BOTH) is not None


def test_many_pods_that_ask_at_once_get_no_more_than_their_namespace_may_have() -> None:
    registry = registry_of(replace(pool(offer(A, "1000/2000")), limits=Limits(ports_per_namespace=50)))

    def ask(number: int) -> bool:
        try:
            return registry.allocate(PortRequest(f"pod-{number}", WEB, "games"), AT_A) is not None
        except LimitError:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(ask, range(200))) == 50


# Another pool


def test_claims_outlast_a_change_of_the_pool(registry: PortRegistry) -> None:
    exposed(registry, "pod-1", WEB)
    registry.foreign_seen(A, [foreign("514")])
    registry.update(pool(offer(A, "512/516"), offer(B)))
    assert left(registry) == [513, 515, 516]


def test_reservation_outside_the_new_pool_lapses(registry: PortRegistry) -> None:
    allocate(registry)
    registry.update(pool(offer(A, "600/601")))
    assert registry.reserved("pod-1", WEB) is None
    assert left(registry) == [600, 601]


def test_reservation_on_an_address_that_is_blocked_now_lapses(registry: PortRegistry) -> None:
    allocate(registry)
    registry.update(replace(TWO_GATEWAYS, blocked=(IPv4Network(IP_1),)))
    assert registry.reserved("pod-1", WEB) is None


# Entry quota


def full_after(entries: int) -> list[list[Place]]:
    """Give a gateway that takes so many entries, and one further away that takes any number."""
    return at((A, IP_1), entry_quota=entries) + at((B, IP_2))


def test_gateway_without_quota_for_all_entries_of_a_pod_is_skipped(registry: PortRegistry) -> None:
    assert addresses(registry, full_after(3), WEB_AND_TLS, WEB_AND_TLS, WEB, WEB) == [IP_1, IP_2, IP_1, IP_2]


def test_range_counts_as_one_entry_and_both_protocols_as_two(registry: PortRegistry) -> None:
    assert addresses(registry, full_after(2), items("80-81"), items("80/tcpudp"), items("80/udp")) == [IP_1, IP_2, IP_1]


def test_entries_of_poddnats_and_foreign_ones_count_too(registry: PortRegistry) -> None:
    show(registry, "pod-8", allocation(AT_A_1, "514->80"))
    registry.foreign_seen(A, [foreign("9000", external_ip="203.0.113.9")])
    assert addresses(registry, full_after(3), WEB, WEB) == [IP_1, IP_2]


def test_poddnat_counts_no_more_entries_than_the_reservation_that_it_fulfils(registry: PortRegistry) -> None:
    show(registry, "pod-1", allocate(registry))
    assert addresses(registry, full_after(2), WEB, WEB) == [IP_1, IP_2]


@pytest.mark.parametrize("gone", [False, True])
def test_poddnat_and_its_entry_without_a_name_count_as_one_entry(registry: PortRegistry, *, gone: bool) -> None:
    show(registry, "pod-8", allocation(AT_A_1, "514->80"))
    registry.foreign_seen(A, [foreign("514")])
    if gone:
        registry.poddnat_gone("of pod-8")
    assert addresses(registry, full_after(2), WEB, WEB) == [IP_1, IP_2]


def test_gateway_is_taken_again_once_something_was_freed_there(registry: PortRegistry) -> None:
    show(registry, "pod-8", allocation(AT_A_1, "514->80"))
    assert addresses(registry, full_after(1), WEB) == [IP_2]
    registry.poddnat_gone("of pod-8")
    assert addresses(registry, full_after(1), items("81")) == [IP_1]


def test_gateway_that_takes_no_more_is_the_last_resort_not_a_refusal(registry: PortRegistry) -> None:
    assert addresses(registry, at((A, IP_1), entry_quota=0), WEB) == [IP_1]


def test_nothing_is_allocated_without_a_place(registry: PortRegistry) -> None:
    assert registry.allocate(PortRequest("pod-1", WEB), []) is None


# What a pod reuses


def reuses(registry: PortRegistry, current: Allocation, *asked: str, taken_away: bool = False) -> list[str | None]:
    """Tell what pod-1 reuses of what it has; it asks for the same when nothing else is said."""
    needed = items(*asked) if asked else current.items
    poddnat = poddnat_with(current)
    reusable = registry.reusable(poddnat, needed, uid="of pod-1", pod_uid="pod-1", taken_away=taken_away)
    return [str(each) if each else None for each in reusable]


@pytest.mark.parametrize(
    ("port", "reused"),
    [
        pytest.param("512", True, id="its own"),
        pytest.param("513", False, id="also another PodDNAT's"),
        pytest.param("514", False, id="also reserved for another pod"),
        pytest.param("515", False, id="also a foreign entry's"),
        pytest.param("516", True, id="nobody's yet"),
        pytest.param("9000", False, id="outside the pool"),
    ],
)
def test_port_that_was_taken_away_is_reused_where_nobody_else_claims_it(port: str, reused: bool) -> None:  # noqa: FBT001
    registry = registry_of(pool(offer(A, "512/519")))
    show(registry, "pod-1", allocation(AT_A_1, "512->80", "513->81", "514->82", "515->83"))
    show(registry, "pod-2", allocation(AT_A_1, "513->80"))
    registry.foreign_seen(A, [foreign("515")])
    registry.allocate(PortRequest("pod-3", WEB), [], stay_at=AT_A_1, reuse=[mapping("514->80")])
    assert reuses(registry, allocation(AT_A_1, f"{port}->80"), taken_away=True) == [
        f"{port}->80/tcp" if reused else None
    ]


@pytest.mark.parametrize(("first", "reused"), [("pod-1", True), ("pod-2", False)])
def test_port_is_reused_by_the_first_claimant(first: str, reused: bool) -> None:  # noqa: FBT001
    registry = registry_of(pool(offer(A, "512/519")))
    second = {"pod-1": "pod-2", "pod-2": "pod-1"}[first]
    show(registry, first, allocation(AT_A_1, "512->80"))
    show(registry, second, allocation(AT_A_1, "512->80"))
    assert reuses(registry, allocation(AT_A_1, "512->80")) == ["512->80/tcp" if reused else None]


@pytest.mark.parametrize("taken_away", [False, True])
def test_port_of_the_first_claimant_on_which_a_foreign_entry_appears_is_reused_until_it_was_taken_away(
    registry: PortRegistry,
    taken_away: bool,  # noqa: FBT001
) -> None:
    show(registry, "pod-1", allocate(registry))
    registry.foreign_seen(A, [foreign("512")])
    expected = None if taken_away else "512->80/tcp"
    assert reuses(registry, allocation(AT_A_1, "512->80"), taken_away=taken_away) == [expected]


def test_port_on_which_a_foreign_entry_was_first_is_not_reused(registry: PortRegistry) -> None:
    registry.foreign_seen(A, [foreign("512")])
    assert reuses(registry, allocation(AT_A_1, "512->80")) == [None]


HAD = allocation(AT_A_1, "512->80/tcp", "516-518->7000-7002/udp", "513->53/tcpudp")


@pytest.mark.parametrize(
    ("asked", "reused"),
    [
        pytest.param(
            ["53/tcpudp", "80", "7000-7002/udp"],
            ["513->53/tcpudp", "512->80/tcp", "516-518->7000-7002/udp"],
            id="another order",
        ),
        pytest.param(["81", "7000-7002/udp"], [None, "516-518->7000-7002/udp"], id="another port in one item"),
        pytest.param(["80", "7000-7003/udp"], ["512->80/tcp", None], id="a longer range"),
        pytest.param(["80/tcpudp"], ["512->80/tcpudp"], id="both protocols instead of one"),
        pytest.param(["53/udp", "53/tcp"], ["513->53/udp", "513->53/tcp"], id="one by one instead of both"),
        pytest.param(["80/udp"], [None], id="the other protocol"),
    ],
)
def test_pod_that_asks_for_something_else_reuses_what_it_still_asks_for(
    asked: list[str], reused: list[str | None]
) -> None:
    registry = registry_of(pool(offer(A, "512/519")))
    show(registry, "pod-1", HAD)
    assert reuses(registry, HAD, *asked) == reused


def test_item_can_not_reuse_its_port_for_both_protocols_when_one_is_somebody_elses() -> None:
    registry = registry_of(pool(offer(A, "512/519")))
    show(registry, "pod-1", HAD)
    show(registry, "pod-2", allocation(AT_A_1, "512->9/udp"))
    assert reuses(registry, HAD, "80/tcpudp") == [None]


def test_item_that_changes_does_not_take_a_port_that_another_item_reuses() -> None:
    registry = registry_of(pool(offer(A, "512/519")))
    current = allocation(AT_A_1, "512->80/tcp", "512->53/udp")
    show(registry, "pod-1", current)
    assert reuses(registry, current, "80/tcpudp", "53/udp") == [None, "512->53/udp"]


def test_pod_stays_on_its_address_and_reuses_what_it_can(registry: PortRegistry) -> None:
    stay = registry.allocate(
        PortRequest("pod-1", WEB_AND_TLS), at((B, IP_2)), stay_at=AT_A_1, reuse=[mapping("513->80"), None]
    )
    assert stay == allocation(AT_A_1, "513->80", "512->443")


def test_port_that_is_reused_is_not_allocated_a_second_time(registry: PortRegistry) -> None:
    stay = registry.allocate(PortRequest("pod-1", WEB_AND_TLS), [], stay_at=AT_A_1, reuse=[mapping("512->80"), None])
    assert stay == allocation(AT_A_1, "512->80", "513->443")


def test_pod_moves_when_its_address_has_not_enough_free_ports_for_the_rest(registry: PortRegistry) -> None:
    show(registry, "pod-2", allocation(AT_A_1, "513->80", "514->81"))
    moved = registry.allocate(
        PortRequest("pod-1", WEB_AND_TLS), AT_BOTH, stay_at=AT_A_1, reuse=[mapping("512->80"), None]
    )
    assert moved == allocation(AT_B_2, "512->80", "513->443")


def test_range_and_both_protocols_are_allocated_together() -> None:
    registry = registry_of(pool(offer(A, "512/530")))
    allocated = registry.allocate(PortRequest("pod-1", items("27015/tcpudp", "9000-9010/udp", "80")), AT_A)
    assert allocated == allocation(AT_A_1, "523->27015/tcpudp", "512-522->9000-9010/udp", "512->80/tcp")


# Whatever happens

Taken = frozenset[tuple[AddressKey, int, Protocol]]
PODS = st.sampled_from(["pod-1", "pod-2", "pod-3", "pod-4"])
LISTS = [["80"], ["81"], ["53/udp"], ["80", "443"], ["80", "81", "443"], ["80/tcpudp"], ["90-91"], ["80", "90-91/udp"]]
ASKED = st.sampled_from([items(*texts) for texts in LISTS])
POLICIES = st.sampled_from(Policy)
KEYS = st.permutations([(A, IP_1), (A, IP_2), (B, IP_3)])
PLACES = st.builds(
    lambda keys, policy, most: at(*keys, policy=policy, entry_quota=most), KEYS, POLICIES, st.integers(0, 9)
)
FOREIGN = st.lists(st.tuples(st.sampled_from([IP_1, IP_2]), st.integers(510, 515)), max_size=2, unique=True)


@dataclass(frozen=True)
class Reservation:
    """What was last allocated to a pod, and until when it counts without a PodDNAT."""

    allocation: Allocation
    until: float


def taken(key: AddressKey, mappings: Iterable[PortMapping]) -> Taken:
    return frozenset(
        (key, port, protocol)
        for each in mappings
        for ports, protocol in each.slots
        for port in range(ports.first, ports.last + 1)
    )


def taken_by(allocated: Allocation) -> Taken:
    return taken(allocated.key, allocated.mappings)


class Pods(RuleBasedStateMachine):
    """Pods come and go, PodDNATs show late or never, and foreign entries appear."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(100.0)
        self.registry = PortRegistry(TWO_GATEWAYS, self.clock)
        self.reservations: dict[str, Reservation] = {}
        self.shown: dict[str, Allocation] = {}
        self.waiting: dict[str, tuple[ExposedPort, ...]] = {}
        self.foreign: Taken = frozenset()

    def of_other_pods(self, pod_uid: str) -> Taken:
        found: Taken = frozenset()
        for other, reservation in self.reservations.items():
            if other != pod_uid and reservation.until > self.clock.now:
                found |= taken_by(reservation.allocation)
        for other, shown in self.shown.items():
            if other != pod_uid:
                found |= taken_by(shown)
        return found

    def take_turns(self) -> None:
        """Notice pods that had waited and were allocated something when another one asked."""
        for pod_uid, asked in list(self.waiting.items()):
            reserved, known = self.registry.reserved(pod_uid, asked), self.reservations.get(pod_uid)
            if reserved is not None and (known is None or known.allocation != reserved):
                self.take(pod_uid, asked, reserved)

    def take(
        self, pod_uid: str, asked: tuple[ExposedPort, ...], allocated: Allocation | None, reused: Taken = frozenset()
    ) -> None:
        """See that a pod got what it asked for, and nothing of anybody else.

        ``reused``: ports that its PodDNAT claimed before; a foreign entry may have appeared there meanwhile.
        """
        if allocated is None:
            self.waiting[pod_uid] = asked
            return
        self.waiting.pop(pod_uid, None)
        ports = taken_by(allocated)
        assert allocated.items == asked
        assert all(each.external.size == each.internal.size for each in allocated.mappings)
        assert len(ports) == sum(item.ports.size * len(item.transport.protocols) for item in asked)
        assert not ports & self.of_other_pods(pod_uid)
        assert not (ports - reused) & self.foreign
        assert all(TWO_GATEWAYS.allows(*allocated.key, each.external) for each in allocated.mappings)
        self.reservations[pod_uid] = Reservation(allocated, self.clock.now + RESERVED_FOR)

    @rule(pod_uid=PODS, asked=ASKED, places=PLACES)
    def ask(self, pod_uid: str, asked: tuple[ExposedPort, ...], places: list[list[Place]]) -> None:
        known = self.reservations.get(pod_uid)
        reserved = self.registry.reserved(pod_uid, asked)
        if known is not None and known.allocation.items == asked and known.until > self.clock.now:
            assert reserved == known.allocation
        else:
            assert reserved is None
            allocated = self.registry.allocate(PortRequest(pod_uid, asked), places)
            self.take_turns()
            self.take(pod_uid, asked, allocated)

    @rule(pod_uid=PODS, asked=ASKED, places=PLACES)
    def ask_to_stay(self, pod_uid: str, asked: tuple[ExposedPort, ...], places: list[list[Place]]) -> None:
        if pod_uid not in self.shown:
            return
        current = self.shown[pod_uid]
        reuse = self.registry.reusable(poddnat_with(current), asked, uid=f"of {pod_uid}", pod_uid=pod_uid)
        allocated = self.registry.allocate(PortRequest(pod_uid, asked), places, stay_at=current.key, reuse=reuse)
        self.take_turns()
        if allocated is not None and allocated.key == current.key:
            assert all(old in (None, new) for old, new in zip(reuse, allocated.mappings, strict=True))
        reused = taken(current.key, filter(None, reuse))
        assert reused & self.foreign <= taken_by(current)
        self.take(pod_uid, asked, allocated, reused)

    @rule(pod_uid=PODS)
    def stay_as_it_is(self, pod_uid: str) -> None:
        if pod_uid in self.shown and not taken_by(self.shown[pod_uid]) & self.of_other_pods(pod_uid):
            poddnat, asked = poddnat_with(self.shown[pod_uid]), self.shown[pod_uid].items
            reusable = self.registry.reusable(poddnat, asked, uid=f"of {pod_uid}", pod_uid=pod_uid)
            assert reusable == list(poddnat.mappings)

    @rule(pod_uid=PODS)
    def show(self, pod_uid: str) -> None:
        reservation = self.reservations.get(pod_uid)
        if reservation is not None and reservation.until > self.clock.now:
            del self.reservations[pod_uid]
            self.shown[pod_uid] = reservation.allocation
            show(self.registry, pod_uid, reservation.allocation)

    @rule(pod_uid=PODS)
    def show_again(self, pod_uid: str) -> None:
        if pod_uid in self.shown:
            shown = self.shown[pod_uid]
            reservation = self.reservations.get(pod_uid)
            if reservation is None or reservation.allocation != shown:
                show(self.registry, pod_uid, shown)

    @rule(pod_uid=PODS)
    def delete(self, pod_uid: str) -> None:
        self.shown.pop(pod_uid, None)
        self.registry.poddnat_gone(f"of {pod_uid}")

    @rule(seconds=st.sampled_from([1.0, RESERVED_FOR / 2, RESERVED_FOR]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(there=FOREIGN)
    def list_foreign(self, there: list[tuple[str, int]]) -> None:
        entries = [foreign(str(port), f"fwd-{ip}-{port}", external_ip=ip) for ip, port in there]
        self.registry.foreign_seen(A, entries)
        self.foreign = frozenset((AddressKey(A, ip), port, Protocol.TCP) for ip, port in there)


def test_pod_asks_to_stay_on_a_port_on_which_a_foreign_entry_has_appeared() -> None:
    pods = Pods()
    pods.ask("pod-1", WEB, AT_A)
    pods.show("pod-1")
    pods.list_foreign([(IP_1, 512)])
    pods.ask_to_stay("pod-1", WEB, AT_A)
    assert pods.reservations["pod-1"].allocation == allocation(AT_A_1, "512->80")


TestPods = Pods.TestCase
TestPods.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
