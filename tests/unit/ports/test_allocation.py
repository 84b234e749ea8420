"""Which of its ports a pod goes on using when it asks for something else."""

from __future__ import annotations

import pytest

from poddnat.ports import PortRegistry, PortRequest
from tests.unit.ports.samples import (
    AT_A,
    AT_A_1,
    AT_B_2,
    AT_BOTH,
    IP_2,
    WEB,
    WEB_AND_TLS,
    A,
    B,
    allocate,
    allocation,
    at,
    foreign,
    offer,
    pool,
    registry_of,
    reuses,
    show,
)
from tests.unit.samples import items, mapping


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
