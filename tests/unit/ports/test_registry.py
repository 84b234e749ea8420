"""Whose each external port is, over all gateways: reservations, PodDNATs, foreign entries, and where pods are put."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest

from poddnat.config import Policy
from poddnat.model import ALL_PORTS, ForwardRule, Ports, Protocol
from poddnat.ports import PortRegistry, PortRequest
from tests.unit.ports.samples import (
    AT_A_1,
    AT_B_2,
    IP_1,
    IP_2,
    IP_3,
    RESERVED_FOR,
    TWO_GATEWAYS,
    WEB,
    WEB_AND_TLS,
    A,
    B,
    addresses,
    allocate,
    allocation,
    at,
    exposed,
    foreign,
    left,
    offer,
    poddnat_with,
    pool,
    registry_of,
    reuses,
    show,
    show_entries,
)
from tests.unit.samples import entry, items

if TYPE_CHECKING:
    from poddnat.placement import Place
    from vpc_emulator import ManualClock

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


def test_port_where_an_entry_of_others_was_seen_is_given_to_nobody_for_a_while(
    registry: PortRegistry, clock: ManualClock
) -> None:
    registry.taken(AT_A_1, (Ports.of(513), Protocol.TCP))
    registry.foreign_seen(A, [])
    assert left(registry) == [512, 514]
    clock.now += RESERVED_FOR
    assert left(registry) == [512, 513, 514]


def test_pod_leaves_a_port_where_an_entry_of_others_was_seen_though_the_table_was_not_listed_since(
    registry: PortRegistry,
) -> None:
    both = allocation(AT_A_1, "512->80", "513->443")
    show(registry, "pod-1", both)
    registry.taken(AT_A_1, (Ports.of(512), Protocol.TCP))
    assert reuses(registry, both, taken_away=True) == [None, "513->443/tcp"]


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


def test_what_a_pod_had_is_reserved_for_it_within_the_pool_only(registry: PortRegistry) -> None:
    had = allocation(AT_A_1, "512->80")
    assert registry.reserve("pod-1", poddnat_with(had), outlives="of pod-1")
    registry.update(pool(offer(B)))
    assert registry.reserved("pod-1", WEB) is None
    assert not registry.reserve("pod-1", poddnat_with(had), outlives="of pod-1")
    assert registry.reserved("pod-1", WEB) is None


def test_what_a_pod_had_is_not_reserved_for_it_once_others_have_it(registry: PortRegistry) -> None:
    had = allocation(AT_A_1, "512->80")
    show(registry, "pod-2", had)
    assert not registry.reserve("pod-1", poddnat_with(had), outlives="of pod-1")


def test_reservation_of_a_pod_that_lives_goes_on_and_ends_with_it(registry: PortRegistry, clock: ManualClock) -> None:
    registry.reserve("pod-1", poddnat_with(allocation(AT_A_1, "512->80")), outlives="of pod-1")
    for _ in range(5):
        clock.now += RESERVED_FOR - 1
        assert registry.renew("pod-1")
    assert registry.reserved("pod-1", WEB) is not None
    registry.pod_gone("pod-1")
    assert not registry.renew("pod-1")
    assert registry.reserved("pod-1", WEB) is None


def test_shorter_reservation_ends_before_an_earlier_longer_one(registry: PortRegistry, clock: ManualClock) -> None:
    registry.reserve("pod-1", poddnat_with(allocation(AT_A_1, "512->80")), outlives="of pod-1")
    registry.reserve("pod-2", poddnat_with(allocation(AT_A_1, "513->80")), outlives="of pod-2", seconds=60.0)
    clock.now += 61
    assert (registry.reserved("pod-1", WEB) is None, registry.reserved("pod-2", WEB) is None) == (False, True)


def test_addresses_that_are_not_in_the_pool_cost_no_memory_whoever_names_them(registry: PortRegistry) -> None:
    for number in range(1000):
        named = allocation((f"ngw-{number % 10}", f"198.51.{number // 250}.{number % 250}"), "512->80")
        show(registry, f"pod-{number}", named)
        reuses(registry, named)
        registry.reserve(f"pod-{number}", poddnat_with(named), outlives=f"of pod-{number}")
        registry.allocate(PortRequest(f"pod-{number}", WEB), at((B, IP_3)), stay_at=named.key, reuse=[None])
    assert len(registry._addresses._allocators) <= 2


def test_who_has_working_entries_comes_before_who_named_them_first(registry: PortRegistry) -> None:
    shown = allocation(AT_A_1, "512->80")
    show(registry, "ghost", shown)
    show(registry, "pod-1", shown)
    assert reuses(registry, shown) == [None]
    show_entries(registry, "pod-1", shown, "512")
    assert reuses(registry, shown) == ["512->80/tcp"]
    assert registry.earlier_claimant("of ghost") == "of pod-1"


def test_entries_bring_nobody_before_others_for_ports_that_have_none(registry: PortRegistry) -> None:
    show(registry, "first", allocation(AT_A_1, "513->80"))
    shown = allocation(AT_A_1, "512->80", "513->81")
    show(registry, "pod-1", shown)
    show_entries(registry, "pod-1", shown, "512")
    assert registry.earlier_claimant("of pod-1") == "of first"


def test_poddnat_that_only_its_entries_prove_claims_the_ports_that_have_them(registry: PortRegistry) -> None:
    show_entries(registry, "pod-1", allocation(AT_A_1, "512->80", "513/514->81-82"), "512")
    assert left(registry) == [513, 514]


def test_ports_of_an_item_that_lacks_an_entry_are_not_claimed_by_the_others(registry: PortRegistry) -> None:
    named = allocation(AT_A_1, "512->80/tcpudp", "513->81")
    (tcp, _, other) = poddnat_with(named).rules
    there = [entry("fwd-1", "", tcp), entry("fwd-2", "", other)]
    registry.entries_seen("of pod-1", "pod-1", poddnat_with(named), A, there)
    assert left(registry) == [512, 514]


def test_entries_of_a_poddnat_that_was_refused_claim_nothing(registry: PortRegistry) -> None:
    named = allocation(AT_A_1, "512->80")
    registry.poddnat_refused("of pod-1", poddnat_with(named))
    show_entries(registry, "pod-1", named, "512")
    assert left(registry) == [512, 513, 514]


def test_poddnat_stays_allowed_what_it_was_allowed_and_nothing_else(registry: PortRegistry) -> None:
    named, other = allocation(AT_A_1, "512->80"), allocation(AT_A_1, "513->80")
    registry.poddnat_allowed("of pod-1")
    assert not registry.is_allowed("of pod-1", poddnat_with(named))
    show(registry, "pod-1", named)
    assert registry.is_allowed("of pod-1", poddnat_with(named))
    assert not registry.is_allowed("of pod-1", poddnat_with(other))
    registry.poddnat_refused("of pod-1", poddnat_with(named))
    assert not registry.is_allowed("of pod-1", poddnat_with(named))
