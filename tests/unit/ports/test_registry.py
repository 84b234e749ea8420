"""Who gets which external port, over all gateways: promises, claims, foreign entries, and addresses that move."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import IPv4Network

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from poddnat.config import Limits, Policy, Values
from poddnat.config.pool import PoolEntry
from poddnat.model import ALL_PORTS, ExposedPort, ForwardEntry, ForwardRule, Ports, Protocol
from poddnat.placement import Place
from poddnat.ports import Allocation, PortRegistry, PortRequest
from poddnat.ports.claims import Home  # noqa: TC001
from poddnat.ports.limits import LimitError
from tests.unit.samples import entry, items, mapping
from tests.unit.samples import rule as forward
from vpc_emulator import ManualClock

A, B = "ngw-a", "ngw-b"
IP_1, IP_2, IP_3 = "203.0.113.1", "203.0.113.2", "203.0.113.3"
PROMISED_FOR = 600.0
WEB = items("80")
WEB_AND_TLS = items("80", "443")


def pool(*entries: PoolEntry) -> Values:
    return Values("c1", "cn-hangzhou", "vpc-1", entries)


def offer(gateway_id: str, ports: str = "512/514", *eips: str) -> PoolEntry:
    return PoolEntry(gateway_id, "cn-hangzhou-j", Ports.parse(ports), eips or None)


TWO_GATEWAYS = pool(offer(A), offer(B))


def at(*homes: tuple[str, str], policy: Policy = Policy.IN_ORDER, capacity: int | None = None) -> list[list[Place]]:
    """Give one tier of places."""
    return [[Place(gateway_id, external_ip, policy, capacity) for gateway_id, external_ip in homes]]


AT_A_1: Home = (A, IP_1)
AT_B_2: Home = (B, IP_2)
AT_A = at((A, IP_1))
AT_BOTH = at((A, IP_1), (B, IP_2))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(100.0)


@pytest.fixture
def registry(clock: ManualClock) -> PortRegistry:
    return PortRegistry(TWO_GATEWAYS, clock=clock)


def grant(home: Home, *mappings: str) -> Allocation:
    """Make a grant of mappings such as ``512->80``."""
    return Allocation(*home, tuple(map(mapping, mappings)))


def show(registry: PortRegistry, pod: str, granted: Allocation) -> None:
    """Show the ledger the PodDNAT of a pod."""
    registry.poddnat_seen(f"of {pod}", pod, granted.home, granted.mappings)


def given(registry: PortRegistry, pod_uid: str = "pod-1", asked: tuple[ExposedPort, ...] = WEB) -> Allocation:
    granted = registry.grant(PortRequest(pod_uid), asked, AT_A)
    assert granted is not None
    return granted


def foreign(port: str, entry_id: str = "fwd-1", external_ip: str = IP_1) -> ForwardEntry:
    return entry(entry_id, "web", forward(port, "9/9" if "/" not in port else port, external_ip=external_ip))


def left(registry: PortRegistry, *, on: str = A, ip: str = IP_1) -> list[int]:
    """Give every port that can still be had at an address."""
    found: list[int] = []
    # Who names a place to stay does not wait.
    while True:
        asking = PortRequest(f"filler {on} {ip} {len(found)}")
        more = registry.grant(asking, WEB, at((on, ip)), keep=(on, ip), kept=[None])
        if more is None:
            return sorted(found)
        found.append(more.mappings[0].external.first)


# Promises


def test_pod_is_answered_the_same_before_its_poddnat_is_visible(registry: PortRegistry) -> None:
    assert registry.reserved("pod-1", WEB) is None
    first = given(registry)
    assert registry.reserved("pod-1", WEB) == first
    assert registry.reserved("pod-1", WEB) == first


def test_pod_that_asks_for_something_else_was_promised_nothing(registry: PortRegistry) -> None:
    given(registry)
    assert registry.reserved("pod-1", WEB_AND_TLS) is None


def test_pod_of_another_uid_was_promised_nothing(registry: PortRegistry) -> None:
    given(registry)
    assert registry.reserved("pod-2", WEB) is None


def test_promise_holds_its_ports(registry: PortRegistry) -> None:
    given(registry)
    assert left(registry) == [513, 514]


def test_new_promise_takes_the_place_of_the_old(registry: PortRegistry) -> None:
    given(registry, asked=WEB)
    assert given(registry, asked=WEB_AND_TLS) == grant(AT_A_1, "513->80", "514->443")
    assert left(registry) == [512]


def test_promise_that_no_poddnat_shows_expires(registry: PortRegistry, clock: ManualClock) -> None:
    given(registry)
    clock.now += PROMISED_FOR
    assert registry.reserved("pod-1", WEB) is None
    assert left(registry) == [512, 513, 514]


def test_promise_is_kept_until_it_expires(registry: PortRegistry, clock: ManualClock) -> None:
    first = given(registry)
    clock.now += PROMISED_FOR - 1
    assert registry.reserved("pod-1", WEB) == first


def test_renewed_promise_does_not_keep_others_from_expiring(registry: PortRegistry, clock: ManualClock) -> None:
    given(registry, "pod-1")
    given(registry, "pod-2")
    clock.now += PROMISED_FOR / 2
    given(registry, "pod-1", items("81"))
    clock.now += PROMISED_FOR / 2
    assert registry.reserved("pod-2", WEB) is None
    assert registry.reserved("pod-1", items("81")) is not None


# PodDNATs


def test_poddnat_takes_over_what_its_pod_was_promised(registry: PortRegistry, clock: ManualClock) -> None:
    reserved = given(registry)
    show(registry, "pod-1", reserved)
    clock.now += PROMISED_FOR
    assert left(registry) == [513, 514]


def test_poddnat_that_is_gone_gives_its_ports_back(registry: PortRegistry) -> None:
    show(registry, "pod-1", given(registry))
    registry.poddnat_gone("of pod-1")
    assert left(registry) == [512, 513, 514]


def test_poddnat_that_shows_something_else_leaves_the_promise(registry: PortRegistry) -> None:
    reserved = given(registry)
    show(registry, "pod-1", grant(AT_A_1, "513->80"))
    assert registry.reserved("pod-1", WEB) == reserved
    assert left(registry) == [514]


def test_poddnat_that_changes_gives_back_what_it_had(registry: PortRegistry) -> None:
    show(registry, "pod-1", grant(AT_A_1, "512->80"))
    show(registry, "pod-1", grant(AT_A_1, "513->80"))
    assert left(registry) == [512, 514]


def test_poddnat_that_moves_gives_back_what_it_had_elsewhere(registry: PortRegistry) -> None:
    show(registry, "pod-1", grant(AT_A_1, "512->80"))
    show(registry, "pod-1", grant(AT_B_2, "512->80"))
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


def test_poddnat_can_not_keep_an_address_that_its_gateway_may_not_use() -> None:
    registry = PortRegistry(pool(offer(A, "512/514", IP_1), offer(B, "512/514", IP_2)))
    moved = grant((B, IP_1), "512->80")
    show(registry, "pod-1", moved)
    assert keeps(registry, moved) == [None]


# Where


def homes(registry: PortRegistry, tiers: list[list[Place]], *asked: tuple[ExposedPort, ...]) -> list[str | None]:
    """Let pods ask one after the other, and tell which addresses they get."""
    granted = [registry.grant(PortRequest(f"pod-{number}"), each, tiers) for number, each in enumerate(asked)]
    return [None if one is None else one.external_ip for one in granted]


def test_better_tier_is_filled_first(registry: PortRegistry) -> None:
    assert homes(registry, at((A, IP_1)) + at((B, IP_2)), *[WEB_AND_TLS] * 3) == [IP_1, IP_2, None]


def test_uniform_takes_the_address_that_fewest_use_over_all_gateways(registry: PortRegistry) -> None:
    places = at((A, IP_1), (A, IP_2), (B, IP_3), policy=Policy.UNIFORM)
    assert homes(registry, places, *[WEB] * 4) == [IP_1, IP_2, IP_3, IP_1]


def test_in_order_fills_one_address_before_the_next(registry: PortRegistry) -> None:
    assert homes(registry, at((A, IP_1), (A, IP_2)), *[WEB] * 7) == [IP_1, IP_1, IP_1, IP_2, IP_2, IP_2, None]


def test_in_order_packs_small_pods_behind_a_large_one_that_did_not_fit(registry: PortRegistry) -> None:
    assert homes(registry, at((A, IP_1), (A, IP_2)), WEB_AND_TLS, WEB_AND_TLS, WEB) == [IP_1, IP_2, IP_1]


def test_all_ports_of_a_pod_are_on_one_address() -> None:
    registry = PortRegistry(pool(offer(A, "512/513")))
    registry.grant(PortRequest("pod-1"), WEB, at((A, IP_1)))
    assert registry.grant(PortRequest("pod-2"), WEB_AND_TLS, at((A, IP_1), (A, IP_2))) == grant(
        (A, IP_2), "512->80", "513->443"
    )


def test_address_that_the_pool_does_not_list_offers_nothing() -> None:
    registry = PortRegistry(pool(offer(A, "512", IP_1)))
    assert registry.grant(PortRequest("pod-1"), WEB, at((A, IP_2))) is None


# Turns


def filled(registry: PortRegistry) -> None:
    """Let PodDNATs have every port of an address."""
    for number in range(3):
        held = grant((A, IP_1), f"{512 + number}->80")
        registry.poddnat_seen(f"holder-{number}", f"held-{number}", held.home, held.mappings)


def asks(
    registry: PortRegistry, pod_uid: str, asked: tuple[ExposedPort, ...] = WEB, tiers: list[list[Place]] = AT_A
) -> bool:
    """Let a pod ask, as its sync does, and tell whether it has ports now."""
    return (registry.reserved(pod_uid, asked) or registry.grant(PortRequest(pod_uid), asked, tiers)) is not None


def test_port_that_becomes_free_goes_to_who_came_first_not_to_who_asks_first(registry: PortRegistry) -> None:
    filled(registry)
    assert [asks(registry, pod_uid) for pod_uid in ("first", "second")] == [False, False]
    registry.poddnat_gone("holder-1")
    assert [asks(registry, pod_uid) for pod_uid in ("new", "second", "first")] == [False, False, True]


def test_pod_that_asks_no_more_loses_its_turn(registry: PortRegistry, clock: ManualClock) -> None:
    filled(registry)
    asks(registry, "gone")
    clock.now += 91
    registry.poddnat_gone("holder-1")
    assert asks(registry, "new")


def test_pod_that_asks_again_keeps_its_turn(registry: PortRegistry, clock: ManualClock) -> None:
    filled(registry)
    for order in [("first", "second"), *[("second", "first")] * 10]:
        clock.now += 30
        assert [asks(registry, pod_uid) for pod_uid in order] == [False, False]
    registry.poddnat_gone("holder-1")
    assert [asks(registry, pod_uid) for pod_uid in ("second", "first")] == [False, True]


def test_pod_that_needs_more_than_there_is_does_not_hold_up_those_behind_it(registry: PortRegistry) -> None:
    filled(registry)
    asks(registry, "large", WEB_AND_TLS)
    registry.poddnat_gone("holder-1")
    assert asks(registry, "small")


def test_pods_that_wait_for_another_gateway_do_not_hold_up_anybody(registry: PortRegistry) -> None:
    filled(registry)
    asks(registry, "elsewhere")
    registry.poddnat_gone("holder-1")
    assert asks(registry, "here", tiers=at((B, IP_2)))
    assert registry.reserved("elsewhere", WEB) is None


def test_pod_that_waits_for_one_more_port_is_not_given_others_instead(registry: PortRegistry) -> None:
    filled(registry)
    asking = PortRequest("held-0", uid="holder-0")
    assert registry.grant(asking, WEB_AND_TLS, AT_A, keep=AT_A_1, kept=[mapping("512->80"), None]) is None
    registry.poddnat_gone("holder-1")
    registry.poddnat_gone("holder-2")
    assert asks(registry, "new")
    assert registry.reserved("held-0", WEB_AND_TLS) is None


@for_all(st.permutations(range(6)), st.permutations(range(6)), st.integers(0, 3))
def test_ports_go_by_the_order_of_arrival_whoever_asks_when(arrivals: list[int], polls: list[int], freed: int) -> None:
    registry = PortRegistry(TWO_GATEWAYS, clock=ManualClock(100.0))
    filled(registry)
    for pod in arrivals:
        asks(registry, f"pod-{pod}")
    for number in range(freed):
        registry.poddnat_gone(f"holder-{number}")
    for pod in polls:
        asks(registry, f"pod-{pod}")
    assert {pod for pod in polls if asks(registry, f"pod-{pod}")} == set(arrivals[:freed])


# Limits


def limited(registry: PortRegistry, **limits: int) -> PortRegistry:
    """Let values with these limits be in force."""
    registry.update(replace(TWO_GATEWAYS, limits=Limits(**limits)))
    return registry


def refused(registry: PortRegistry, pod_uid: str, asked: tuple[ExposedPort, ...], namespace: str = "games") -> str:
    """Tell why a pod gets nothing."""
    with pytest.raises(LimitError) as caught:
        registry.grant(PortRequest(pod_uid, namespace), asked, AT_BOTH)
    return caught.value.problem.reason


def shown(registry: PortRegistry, pod_uid: str, asked: tuple[ExposedPort, ...], namespace: str = "games") -> None:
    """Let a pod get its ports, and its PodDNAT show them."""
    granted = registry.grant(PortRequest(pod_uid, namespace), asked, AT_BOTH)
    assert granted is not None
    registry.poddnat_seen(f"of {pod_uid}", pod_uid, granted.home, granted.mappings, namespace=namespace)


@pytest.mark.parametrize("asked", [items("80", "81"), items("80-81"), items("80/tcpudp")], ids=str)
def test_pod_that_asks_for_more_ports_than_one_may_have_is_refused(
    registry: PortRegistry, asked: tuple[ExposedPort, ...]
) -> None:
    assert refused(limited(registry, ports_per_pod=1), "pod-1", asked) == "TooManyPorts"
    assert limited(registry, ports_per_pod=2).grant(PortRequest("pod-1"), asked, AT_BOTH) is not None


@pytest.mark.parametrize("shows", [False, True], ids=["promises", "PodDNATs"])
def test_ports_of_a_namespace_are_counted_over_its(registry: PortRegistry, shows: bool) -> None:  # noqa: FBT001
    limited(registry, ports_per_namespace=2)
    for pod_uid in ("pod-1", "pod-2"):
        if shows:
            shown(registry, pod_uid, WEB)
        else:
            registry.grant(PortRequest(pod_uid, "games"), WEB, AT_BOTH)
    assert refused(registry, "pod-3", WEB) == "NamespaceLimitReached"
    assert registry.grant(PortRequest("pod-3", "web"), WEB, AT_BOTH) is not None


def test_pod_is_not_counted_against_itself(registry: PortRegistry) -> None:
    limited(registry, ports_per_namespace=2)
    registry.grant(PortRequest("pod-1", "games"), WEB_AND_TLS, AT_BOTH)
    shown(registry, "pod-1", WEB)
    assert registry.grant(PortRequest("pod-1", "games"), items("81", "82"), AT_BOTH) is not None


def test_ports_kept_for_a_pod_that_lost_them_for_a_moment_are_counted(registry: PortRegistry) -> None:
    limited(registry, ports_per_namespace=1)
    shown(registry, "pod-1", WEB)
    registry.reserve("pod-1", grant((A, IP_1), "512->80"), beyond="of pod-1")
    registry.poddnat_gone("of pod-1")
    assert refused(registry, "pod-2", WEB) == "NamespaceLimitReached"


def test_fixed_pod_that_comes_back_is_not_counted_against_the_ports_kept_for_it(registry: PortRegistry) -> None:
    shown(registry, "pod-1", WEB)
    limited(registry, ports_per_namespace=1)
    assert registry.grant(PortRequest("pod-2", "games", "of pod-1"), items("81"), AT_BOTH) is not None


def test_limits_take_away_nothing_that_a_pod_has(registry: PortRegistry) -> None:
    shown(registry, "pod-1", WEB_AND_TLS)
    limited(registry, ports_per_pod=1, ports_per_namespace=1)
    assert registry.grant(PortRequest("pod-1", "games"), items("81", "82"), AT_BOTH) is not None
    assert refused(registry, "pod-1", items("81", "82", "83")) == "TooManyPorts"


def test_ports_given_back_can_be_had_by_the_namespace_again(registry: PortRegistry) -> None:
    limited(registry, ports_per_namespace=1)
    shown(registry, "pod-1", WEB)
    registry.poddnat_gone("of pod-1")
    assert registry.grant(PortRequest("pod-2", "games"), WEB, AT_BOTH) is not None


def test_many_pods_that_ask_at_once_get_no_more_than_their_namespace_may_have() -> None:
    registry = PortRegistry(replace(pool(offer(A, "1000/2000")), limits=Limits(ports_per_namespace=50)))

    def ask(number: int) -> bool:
        try:
            return registry.grant(PortRequest(f"pod-{number}", "games"), WEB, AT_A) is not None
        except LimitError:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(ask, range(200))) == 50


# Another pool


def test_claims_outlast_a_change_of_the_pool(registry: PortRegistry) -> None:
    shown(registry, "pod-1", WEB)
    registry.foreign_seen(A, [foreign("514")])
    registry.update(pool(offer(A, "512/516"), offer(B)))
    assert left(registry) == [513, 515, 516]


def test_promise_outside_the_new_pool_lapses(registry: PortRegistry) -> None:
    given(registry)
    registry.update(pool(offer(A, "600/601")))
    assert registry.reserved("pod-1", WEB) is None
    assert left(registry) == [600, 601]


def test_promise_on_an_address_that_is_blocked_now_lapses(registry: PortRegistry) -> None:
    given(registry)
    registry.update(replace(TWO_GATEWAYS, blocked=(IPv4Network(IP_1),)))
    assert registry.reserved("pod-1", WEB) is None


# Room for entries


def full_after(entries: int) -> list[list[Place]]:
    """Give a gateway that takes so many entries, and one further away that takes any number."""
    return at((A, IP_1), capacity=entries) + at((B, IP_2))


def test_gateway_without_room_for_all_entries_of_a_pod_is_skipped(registry: PortRegistry) -> None:
    assert homes(registry, full_after(3), WEB_AND_TLS, WEB_AND_TLS, WEB, WEB) == [IP_1, IP_2, IP_1, IP_2]


def test_range_takes_the_room_of_one_entry_and_both_protocols_that_of_two(registry: PortRegistry) -> None:
    assert homes(registry, full_after(2), items("80-81"), items("80/tcpudp"), items("80/udp")) == [IP_1, IP_2, IP_1]


def test_entries_of_poddnats_and_foreign_ones_take_room_too(registry: PortRegistry) -> None:
    show(registry, "pod-8", grant(AT_A_1, "514->80"))
    registry.foreign_seen(A, [foreign("9000", external_ip="203.0.113.9")])
    assert homes(registry, full_after(3), WEB, WEB) == [IP_1, IP_2]


def test_poddnat_takes_no_more_room_than_the_promise_that_it_fulfils(registry: PortRegistry) -> None:
    show(registry, "pod-1", given(registry))
    assert homes(registry, full_after(2), WEB, WEB) == [IP_1, IP_2]


@pytest.mark.parametrize("gone", [False, True])
def test_poddnat_and_its_entry_without_a_name_take_the_room_of_one(registry: PortRegistry, *, gone: bool) -> None:
    show(registry, "pod-8", grant(AT_A_1, "514->80"))
    registry.foreign_seen(A, [foreign("514")])
    if gone:
        registry.poddnat_gone("of pod-8")
    assert homes(registry, full_after(2), WEB, WEB) == [IP_1, IP_2]


def test_gateway_is_taken_again_once_something_was_freed_there(registry: PortRegistry) -> None:
    show(registry, "pod-8", grant(AT_A_1, "514->80"))
    assert homes(registry, full_after(1), WEB) == [IP_2]
    registry.poddnat_gone("of pod-8")
    assert homes(registry, full_after(1), items("81")) == [IP_1]


def test_gateway_that_takes_no_more_is_the_last_resort_not_a_refusal(registry: PortRegistry) -> None:
    assert homes(registry, at((A, IP_1), capacity=0), WEB) == [IP_1]


def test_nothing_is_given_out_without_a_place(registry: PortRegistry) -> None:
    assert registry.grant(PortRequest("pod-1"), WEB, []) is None


# What a pod keeps


def keeps(registry: PortRegistry, had: Allocation, *asked: str, taken_away: bool = False) -> list[str | None]:
    """Tell what pod-1 keeps of what it had; it asks for the same when nothing else is said."""
    wanted = items(*asked) if asked else [each.item for each in had.mappings]
    kept = registry.kept(had, wanted, uid="of pod-1", pod_uid="pod-1", taken_away=taken_away)
    return [str(each) if each else None for each in kept]


@pytest.mark.parametrize(
    ("port", "kept"),
    [
        pytest.param("512", True, id="its own"),
        pytest.param("513", False, id="also another PodDNAT's"),
        pytest.param("514", False, id="also promised to another pod"),
        pytest.param("515", False, id="also a foreign entry's"),
        pytest.param("516", True, id="nobody's yet"),
        pytest.param("9000", False, id="outside the pool"),
    ],
)
def test_port_that_was_taken_away_is_kept_where_nobody_else_asks_for_it(port: str, kept: bool) -> None:  # noqa: FBT001
    registry = PortRegistry(pool(offer(A, "512/519")))
    show(registry, "pod-1", grant(AT_A_1, "512->80", "513->81", "514->82", "515->83"))
    show(registry, "pod-2", grant(AT_A_1, "513->80"))
    registry.foreign_seen(A, [foreign("515")])
    registry.grant(PortRequest("pod-3"), WEB, [], keep=AT_A_1, kept=[mapping("514->80")])
    assert keeps(registry, grant(AT_A_1, f"{port}->80"), taken_away=True) == [f"{port}->80/tcp" if kept else None]


@pytest.mark.parametrize(("first", "kept"), [("pod-1", True), ("pod-2", False)])
def test_port_is_kept_by_who_asked_for_it_first(first: str, kept: bool) -> None:  # noqa: FBT001
    registry = PortRegistry(pool(offer(A, "512/519")))
    second = {"pod-1": "pod-2", "pod-2": "pod-1"}[first]
    show(registry, first, grant(AT_A_1, "512->80"))
    show(registry, second, grant(AT_A_1, "512->80"))
    assert keeps(registry, grant(AT_A_1, "512->80")) == ["512->80/tcp" if kept else None]


HAD = grant(AT_A_1, "512->80/tcp", "516-518->7000-7002/udp", "513->53/tcpudp")


@pytest.mark.parametrize(
    ("asked", "kept"),
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
def test_pod_that_asks_for_something_else_keeps_what_it_still_asks_for(
    asked: list[str], kept: list[str | None]
) -> None:
    registry = PortRegistry(pool(offer(A, "512/519")))
    show(registry, "pod-1", HAD)
    assert keeps(registry, HAD, *asked) == kept


def test_item_can_not_keep_its_port_for_both_protocols_when_one_is_somebody_elses() -> None:
    registry = PortRegistry(pool(offer(A, "512/519")))
    show(registry, "pod-1", HAD)
    show(registry, "pod-2", grant(AT_A_1, "512->9/udp"))
    assert keeps(registry, HAD, "80/tcpudp") == [None]


def test_item_that_changes_does_not_take_a_port_that_another_item_keeps() -> None:
    registry = PortRegistry(pool(offer(A, "512/519")))
    had = grant(AT_A_1, "512->80/tcp", "512->53/udp")
    show(registry, "pod-1", had)
    assert keeps(registry, had, "80/tcpudp", "53/udp") == [None, "512->53/udp"]


def test_pod_stays_on_its_address_and_keeps_what_it_can(registry: PortRegistry) -> None:
    stay = registry.grant(
        PortRequest("pod-1"), WEB_AND_TLS, at((B, IP_2)), keep=AT_A_1, kept=[mapping("513->80"), None]
    )
    assert stay == grant(AT_A_1, "513->80", "512->443")


def test_port_that_is_kept_is_not_given_out_a_second_time(registry: PortRegistry) -> None:
    stay = registry.grant(PortRequest("pod-1"), WEB_AND_TLS, [], keep=AT_A_1, kept=[mapping("512->80"), None])
    assert stay == grant(AT_A_1, "512->80", "513->443")


def test_pod_moves_when_its_address_has_no_room_for_the_rest(registry: PortRegistry) -> None:
    show(registry, "pod-2", grant(AT_A_1, "513->80", "514->81"))
    moved = registry.grant(PortRequest("pod-1"), WEB_AND_TLS, AT_BOTH, keep=AT_A_1, kept=[mapping("512->80"), None])
    assert moved == grant(AT_B_2, "512->80", "513->443")


def test_range_and_both_protocols_are_granted_together() -> None:
    registry = PortRegistry(pool(offer(A, "512/530")))
    granted = registry.grant(PortRequest("pod-1"), items("27015/tcpudp", "9000-9010/udp", "80"), AT_A)
    assert granted == grant(AT_A_1, "523->27015/tcpudp", "512-522->9000-9010/udp", "512->80/tcp")


# Whatever happens

Held = set[tuple[str, str, int, Protocol]]
PODS = st.sampled_from(["pod-1", "pod-2", "pod-3", "pod-4"])
LISTS = [["80"], ["81"], ["53/udp"], ["80", "443"], ["80", "81", "443"], ["80/tcpudp"], ["90-91"], ["80", "90-91/udp"]]
ASKED = st.sampled_from([items(*texts) for texts in LISTS])
POLICIES = st.sampled_from(Policy)
HOMES = st.permutations([(A, IP_1), (A, IP_2), (B, IP_3)])
PLACES = st.builds(
    lambda homes, policy, most: at(*homes, policy=policy, capacity=most), HOMES, POLICIES, st.integers(0, 9)
)
FOREIGN = st.lists(st.tuples(st.sampled_from([IP_1, IP_2]), st.integers(510, 515)), max_size=2, unique=True)


@dataclass(frozen=True)
class Promise:
    """What a pod was last given, and until when it counts without a PodDNAT."""

    grant: Allocation
    until: float


def asked_by(granted: Allocation) -> tuple[ExposedPort, ...]:
    return tuple(each.item for each in granted.mappings)


def held(granted: Allocation) -> Held:
    return {
        (*granted.home, port, protocol)
        for each in granted.mappings
        for ports, protocol in each.slots
        for port in range(ports.first, ports.last + 1)
    }


class Pods(RuleBasedStateMachine):
    """Pods come and go, PodDNATs show late or never, and foreign entries appear."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(100.0)
        self.registry = PortRegistry(TWO_GATEWAYS, clock=self.clock)
        self.promises: dict[str, Promise] = {}
        self.shown: dict[str, Allocation] = {}
        self.waiting: dict[str, tuple[ExposedPort, ...]] = {}
        self.foreign: Held = set()

    def of_others(self, pod_uid: str) -> Held:
        found = set(self.foreign)
        for other, reserve in self.promises.items():
            if other != pod_uid and reserve.until > self.clock.now:
                found |= held(reserve.grant)
        for other, shown in self.shown.items():
            if other != pod_uid:
                found |= held(shown)
        return found

    def take_turns(self) -> None:
        """Notice pods that had waited and were promised something when another one asked."""
        for pod_uid, asked in list(self.waiting.items()):
            reserved, known = self.registry.reserved(pod_uid, asked), self.promises.get(pod_uid)
            if reserved is not None and (known is None or known.grant != reserved):
                self.take(pod_uid, asked, reserved)

    def take(self, pod_uid: str, asked: tuple[ExposedPort, ...], granted: Allocation | None) -> None:
        if granted is None:
            self.waiting[pod_uid] = asked
            return
        self.waiting.pop(pod_uid, None)
        ports = held(granted)
        assert asked_by(granted) == asked
        assert all(each.external.size == each.internal.size for each in granted.mappings)
        assert len(ports) == sum(item.ports.size * len(item.transport.protocols) for item in asked)
        assert not ports & self.of_others(pod_uid)
        assert all(TWO_GATEWAYS.allows(*granted.home, each.external) for each in granted.mappings)
        self.promises[pod_uid] = Promise(granted, self.clock.now + PROMISED_FOR)

    @rule(pod_uid=PODS, asked=ASKED, places=PLACES)
    def ask(self, pod_uid: str, asked: tuple[ExposedPort, ...], places: list[list[Place]]) -> None:
        known = self.promises.get(pod_uid)
        reserved = self.registry.reserved(pod_uid, asked)
        if known is not None and asked_by(known.grant) == asked and known.until > self.clock.now:
            assert reserved == known.grant
        else:
            assert reserved is None
            granted = self.registry.grant(PortRequest(pod_uid), asked, places)
            self.take_turns()
            self.take(pod_uid, asked, granted)

    @rule(pod_uid=PODS, asked=ASKED, places=PLACES)
    def ask_to_stay(self, pod_uid: str, asked: tuple[ExposedPort, ...], places: list[list[Place]]) -> None:
        if pod_uid not in self.shown:
            return
        had = self.shown[pod_uid]
        kept = self.registry.kept(had, asked, uid=f"of {pod_uid}", pod_uid=pod_uid)
        granted = self.registry.grant(PortRequest(pod_uid), asked, places, keep=had.home, kept=kept)
        self.take_turns()
        if granted is not None and granted.home == had.home:
            assert all(old in (None, new) for old, new in zip(kept, granted.mappings, strict=True))
        self.take(pod_uid, asked, granted)

    @rule(pod_uid=PODS)
    def stay_as_it_is(self, pod_uid: str) -> None:
        if pod_uid in self.shown and not held(self.shown[pod_uid]) & self.of_others(pod_uid):
            had = self.shown[pod_uid]
            assert self.registry.kept(had, asked_by(had), uid=f"of {pod_uid}", pod_uid=pod_uid) == list(had.mappings)

    @rule(pod_uid=PODS)
    def show(self, pod_uid: str) -> None:
        reserve = self.promises.get(pod_uid)
        if reserve is not None and reserve.until > self.clock.now:
            del self.promises[pod_uid]
            self.shown[pod_uid] = reserve.grant
            show(self.registry, pod_uid, reserve.grant)

    @rule(pod_uid=PODS)
    def show_again(self, pod_uid: str) -> None:
        if pod_uid in self.shown:
            shown = self.shown[pod_uid]
            reserve = self.promises.get(pod_uid)
            if reserve is None or reserve.grant != shown:
                show(self.registry, pod_uid, shown)

    @rule(pod_uid=PODS)
    def delete(self, pod_uid: str) -> None:
        self.shown.pop(pod_uid, None)
        self.registry.poddnat_gone(f"of {pod_uid}")

    @rule(seconds=st.sampled_from([1.0, PROMISED_FOR / 2, PROMISED_FOR]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(there=FOREIGN)
    def list_foreign(self, there: list[tuple[str, int]]) -> None:
        entries = [foreign(str(port), f"fwd-{ip}-{port}", external_ip=ip) for ip, port in there]
        self.registry.foreign_seen(A, entries)
        self.foreign = {(A, ip, port, Protocol.TCP) for ip, port in there}


TestPods = Pods.TestCase
TestPods.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
