"""How well a gateway is used, in virtual time: its capacity, refused writes, reads, and turns."""

from __future__ import annotations

from collections import Counter
from statistics import mean, median
from typing import TYPE_CHECKING

import pytest

from poddnat import backoff
from poddnat.cloud import Scope
from poddnat.gateway.reconciler import Kind
from poddnat.model import Ports
from tests.unit.gateway.model import OWNERSHIP, ModelGateway, busy, rule

if TYPE_CHECKING:
    from collections.abc import Callable

PODDNATS = 200
SETTLE = 5.0
SEEDS = (1, 2, 3)


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    backoff._RANDOM.seed(1)  # of the backoffs' jitter


def old(seed: int = 1, *, foreign: int = 0) -> ModelGateway:
    return ModelGateway(at_once=1, settle=SETTLE, jitter=0.3, seed=seed, foreign=foreign)


def new(seed: int = 1, *, foreign: int = 0, order: str = "creation") -> ModelGateway:
    return ModelGateway(at_once=8, settle=SETTLE, jitter=0.1, seed=seed, foreign=foreign, order=order)


def run(gateway: ModelGateway, *, release: bool = False, number: int = PODDNATS) -> float:
    """Create (or release) all PodDNATs and return the share of the gateway's capacity that was used."""
    started_at = gateway.now
    gateway.calls.clear()
    for one in range(number):
        gateway.want(one, release=release)
    gateway.run()
    return number * gateway.settle / gateway.at_once / (gateway.now - started_at)


def per_entry(gateway: ModelGateway, *kinds: str) -> float:
    return sum(gateway.calls[kind] for kind in kinds) / PODDNATS


@pytest.mark.parametrize(("seed", "foreign"), [(1, 0), (2, 120)])
def test_q_old_gateway_is_kept_busy_one_write_after_the_other(seed: int, foreign: int) -> None:
    gateway = old(seed, foreign=foreign)
    for release in (False, True):
        assert run(gateway, release=release) >= 0.88
        assert per_entry(gateway, "refused") <= 0.1
        assert per_entry(gateway, "read") <= 2.4


@pytest.mark.parametrize(("seed", "foreign"), [(1, 0), (2, 0), (3, 120)])
def test_new_gateways_capacity_is_learned_and_used(seed: int, foreign: int) -> None:
    gateway = new(seed, foreign=foreign)
    assert run(gateway) >= 0.90
    assert gateway.reconciler._state.concurrency.limit == 8
    assert per_entry(gateway, "written", "refused") <= 1.12
    assert per_entry(gateway, "read") <= 0.85
    assert run(gateway, release=True) >= 0.89
    assert per_entry(gateway, "written", "refused") <= 1.12
    assert per_entry(gateway, "read") <= 1.1


@pytest.mark.parametrize("order", ["reverse", "arbitrary"])
def test_p_order_of_the_pages_costs_a_few_reads_more_at_most(order: str) -> None:
    gateway = new(foreign=120, order=order)
    assert run(gateway) >= 0.88
    assert per_entry(gateway, "read") <= (0.9 if order == "reverse" else 1.5)


@pytest.mark.parametrize("seed", SEEDS)
def test_gateway_that_turns_touchy_is_written_to_serially_within_a_few_refusals(seed: int) -> None:
    gateway = new(seed)
    run(gateway)
    gateway.at_once = 1
    gateway.calls.clear()
    for number in range(PODDNATS):
        gateway.want(number, release=True)
    gateway.run(until=lambda: gateway.reconciler._state.concurrency.limit == 1)
    assert gateway.calls["refused"] <= 8


def test_gateway_that_bears_more_is_found_out() -> None:
    gateway = old()
    run(gateway)
    gateway.at_once = 8
    run(gateway, release=True)
    assert gateway.reconciler._state.concurrency.limit == 8


@pytest.mark.parametrize("order", ["creation", "reverse", "arbitrary"])
def test_each_entry_is_seen_to_work_soon_on_whichever_page_it_is_listed(order: str) -> None:
    gateway = new(foreign=120, order=order)
    run(gateway)
    assert median(gateway.lags()) <= 1.0
    assert gateway.longest_lag() <= (4.0 if order != "arbitrary" else 8.0)


def test_creates_and_deletes_take_turns() -> None:
    gateway = old()
    for number in range(10):
        gateway.want(number)
    gateway.run()
    for number in range(10):
        gateway.want(number, release=True)
    for number in range(10, 20):
        gateway.want(number)
    gateway.run(until=lambda: len(gateway.reconciler._state.queue.uids(Kind.DELETE)) <= 3)
    assert 1 <= len(gateway.reconciler._state.queue.uids(Kind.CREATE)) <= 6


@pytest.mark.parametrize("make", [old, new], ids=["old", "new"])
def test_o_poddnat_of_90_ports_takes_turns_with_those_of_one(make: Callable[[], ModelGateway]) -> None:
    gateway = make()
    many = tuple(
        rule(0)._replace(external_ports=Ports.of(5000 + port), internal_ports=Ports.of(port)) for port in range(1, 91)
    )
    gateway.want(0, rules=many)
    for number in (1, 2, 3):
        gateway.want(number)
    gateway.run(until=lambda: len(gateway.done_at) >= 3)
    assert "uid-0" not in gateway.done_at
    assert gateway.now <= 20 * SETTLE


@pytest.mark.parametrize("make", [old, new], ids=["old", "new"])
def test_c_entry_stuck_in_pending_delays_nobody_else(make: Callable[[], ModelGateway]) -> None:
    gateway = make()
    gateway.want(0)
    gateway.stuck = {str(rule(0).external_ports)}
    gateway.run(limit=1.0)
    gateway.want(0, release=True)
    for number in range(1, 9):
        gateway.want(number)
    gateway.run(limit=300.0, until=lambda: len(gateway.done_at) >= 8)
    others = 8 * SETTLE / gateway.at_once
    assert gateway.now <= 1.3 * others + 15.0
    assert "uid-0" not in gateway.done_at


@pytest.mark.parametrize("make", [old, new], ids=["old", "new"])
def test_c_pods_deleted_while_pending_cost_little_time(make: Callable[[], ModelGateway]) -> None:
    def took(*, deleted: bool) -> float:
        gateway = make()
        for number in range(40):
            gateway.want(number)
        unwanted = {number for number in range(40) if deleted and number % 4 == 0}

        def note() -> bool:
            pending = {entry.name for entry in gateway.entries() if entry.status.value == "Pending"}
            for number in [n for n in unwanted if OWNERSHIP.name_of(f"uid-{n}") in pending]:
                unwanted.discard(number)
                gateway.want(number, release=True)
            return False

        gateway.run(until=note)
        return gateway.now

    writes = 1.25  # each fourth entry is deleted too
    assert took(deleted=True) <= 1.15 * writes * took(deleted=False)


def test_c_address_in_binding_keeps_no_pod_of_another_address_waiting() -> None:
    gateway = new()
    gateway.refused = {"203.0.113.2": busy(Scope.ADDRESS)}
    for number in range(20):
        ip = f"203.0.113.{1 + number % 2}"
        gateway.want(number, rules=(rule(number, ip),))
    gateway.run(limit=300.0, until=lambda: len(gateway.done_at) >= 10)
    assert gateway.now <= 10 * SETTLE / 8 + 15.0
    assert Counter(int(uid.partition("-")[2]) % 2 for uid in gateway.done_at) == {0: 10}


def moved(seed: int, times: int = 40) -> tuple[float, float]:
    """Move one PodDNAT to other ports so often: seconds beyond the gateway's own for each, and reads."""
    gateway = old(seed)
    run(gateway, number=40)
    gateway.calls.clear()
    beyond = []
    for time in range(times):
        began = gateway.now
        gateway.want(0, rules=(rule(0)._replace(external_ports=Ports.of(2000 + time)),))
        gateway.run()
        beyond.append(gateway.now - began - 2 * gateway.settle)
    return mean(beyond), gateway.calls["read"] / times


def test_entry_in_the_way_of_another_is_asked_for_as_soon_as_one_that_somebody_waits_for() -> None:
    found = [moved(seed) for seed in SEEDS]
    assert mean(beyond for beyond, _ in found) <= 1.9
    assert mean(reads for _, reads in found) <= 3.1
