"""How long pods wait for their public ports."""

from __future__ import annotations

from poddnat.controllers import ControllersListener, ExposureTimer
from vpc_emulator.clock import ManualClock


class Waits(ControllersListener):
    """Notes the waits that have ended."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def pod_exposed(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_wait_is_reported_once_from_its_first_start() -> None:
    waits, clock = Waits(), ManualClock()
    timer = ExposureTimer(waits, clock=clock)
    timer.start("pod-1")
    clock.advance(2)
    timer.start("pod-1")
    clock.advance(3)
    timer.stop("pod-1")
    timer.stop("pod-1")
    assert waits.seconds == [5]


def test_pod_that_no_longer_waits_is_not_reported() -> None:
    waits = Waits()
    timer = ExposureTimer(waits, clock=ManualClock())
    timer.start("pod-1")
    timer.forget("pod-1")
    timer.stop("pod-1")
    assert waits.seconds == []
