"""Pods that wait for ports: who gets one that becomes free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given as for_all
from hypothesis import strategies as st

from poddnat.ports import PortRegistry, PortRequest
from tests.unit.ports.samples import AT_A, AT_A_1, IP_2, TWO_GATEWAYS, WEB, WEB_AND_TLS, B, allocation, at, show
from tests.unit.samples import items, mapping
from vpc_emulator import ManualClock

if TYPE_CHECKING:
    from poddnat.model import ExposedPort
    from poddnat.placement import Place


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


def test_port_reserved_for_a_pod_that_is_deleted_goes_to_the_next_at_once(registry: PortRegistry) -> None:
    filled(registry)
    assert [asks(registry, pod_uid) for pod_uid in ("gone", "next")] == [False, False]
    registry.poddnat_gone("of pod-1")
    assert not asks(registry, "next")
    registry.pod_gone("gone")
    assert asks(registry, "next")


def test_port_reserved_for_a_pod_that_is_silent_goes_to_others_when_it_has_lost_its_turn(
    registry: PortRegistry, clock: ManualClock
) -> None:
    filled(registry)
    asks(registry, "gone")
    registry.poddnat_gone("of pod-1")
    assert not asks(registry, "new")
    clock.now += 91
    assert asks(registry, "new")


def test_pod_that_asks_again_keeps_its_turn(registry: PortRegistry, clock: ManualClock) -> None:
    filled(registry)
    for order in [("first", "second"), *[("second", "first")] * 10]:
        clock.now += 30
        assert [asks(registry, pod_uid) for pod_uid in order] == [False, False]
    registry.poddnat_gone("of pod-1")
    assert [asks(registry, pod_uid) for pod_uid in ("second", "first")] == [False, True]


def test_ports_are_withheld_for_the_first_pod_that_needs_more_than_there_are(
    registry: PortRegistry, clock: ManualClock
) -> None:
    filled(registry)
    asks(registry, "large", WEB_AND_TLS)
    registry.poddnat_gone("of pod-1")
    clock.now += 60
    assert [asks(registry, f"small-{number}") for number in range(100)] == [False] * 100
    registry.poddnat_gone("of pod-2")
    assert [asks(registry, "small-0"), asks(registry, "large", WEB_AND_TLS)] == [False, True]


def test_pod_that_needs_more_than_there_is_holds_up_those_behind_it_for_two_minutes_only(
    registry: PortRegistry, clock: ManualClock
) -> None:
    filled(registry)
    asks(registry, "large", WEB_AND_TLS)
    registry.poddnat_gone("of pod-1")
    for _ in range(3):
        clock.now += 41
        assert not asks(registry, "large", WEB_AND_TLS)
    assert asks(registry, "small")


def test_pod_that_needs_more_than_an_address_offers_holds_up_nobody(registry: PortRegistry) -> None:
    filled(registry)
    asks(registry, "huge", items(*(str(port) for port in range(80, 90))))
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
