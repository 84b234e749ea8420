"""How many pods count as refused."""

from __future__ import annotations

from poddnat.controllers import Refusals
from vpc_emulator.clock import ManualClock


def test_pod_counts_under_the_reason_that_it_was_given_last() -> None:
    refusals = Refusals()
    refusals.answered("pod-1", "NoFreePorts", 15)
    refusals.answered("pod-2", "NoFreePorts", 15)
    refusals.answered("pod-1", "InvalidAnnotation", 120)
    assert refusals.counts() == {"NoFreePorts": 1, "InvalidAnnotation": 1}


def test_pod_that_was_given_its_ports_counts_no_more() -> None:
    refusals = Refusals()
    refusals.answered("pod-1", "NoFreePorts", 15)
    refusals.answered("pod-1", "")
    assert refusals.counts() == {}


def test_pod_counts_as_long_as_it_asks_again_and_not_much_longer() -> None:
    clock = ManualClock()
    refusals = Refusals(clock=clock)
    for _ in range(5):
        refusals.answered("pod-1", "NoFreePorts", 15)
        clock.advance(60)
        assert refusals.counts() == {"NoFreePorts": 1}
    clock.advance(60)
    assert refusals.counts() == {}
