"""What commands share that read and write a running installation: calls made again, and tasks with a time-out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from poddnat.cli.intervals import THROTTLED_CALLS, THROTTLED_LONGEST
from poddnat.cli.site import retry_throttled, run_tasks
from poddnat.cloud import CloudError, Meaning

if TYPE_CHECKING:
    from poddnat.gateway import Fleet


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses made, none of which takes any time."""
    made: list[float] = []
    monkeypatch.setattr("poddnat.cli.site.time.sleep", made.append)
    return made


class Failing:
    """A call that fails so many times, and then answers."""

    def __init__(self, meaning: Meaning, times: int, *, retry_after: float | None = None) -> None:
        self._error = CloudError(meaning, action="DescribeNatGateways", code="X", message="no", retry_after=retry_after)
        self._times = times
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._times:
            raise self._error
        return "answer"


def test_throttled_call_is_made_again_after_longer_and_longer_pauses(pauses: list[float]) -> None:
    assert retry_throttled(Failing(Meaning.THROTTLED, THROTTLED_CALLS - 1)) == "answer"
    assert pauses == sorted(pauses)
    assert all(0 < pause <= THROTTLED_LONGEST for pause in pauses)


def test_throttled_call_is_made_again_after_the_time_that_the_cloud_gives(pauses: list[float]) -> None:
    retry_throttled(Failing(Meaning.THROTTLED, 2, retry_after=7.0))
    assert pauses == [7.0, 7.0]


def test_call_that_is_throttled_each_time_fails_after_so_many(pauses: list[float]) -> None:
    call = Failing(Meaning.THROTTLED, 100)
    with pytest.raises(CloudError):
        retry_throttled(call)
    assert (call.calls, len(pauses)) == (THROTTLED_CALLS, THROTTLED_CALLS - 1)


def test_call_that_fails_otherwise_is_not_made_again(pauses: list[float]) -> None:
    call = Failing(Meaning.DENIED, 100)
    with pytest.raises(CloudError):
        retry_throttled(call)
    assert (call.calls, pauses) == (1, [])


class StartedFleet:
    """Notes what is done to it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")


def run(fleet: StartedFleet, tasks: list[str], is_done: Any, *, timeout: float) -> list[tuple[str, bool]]:
    return list(run_tasks(cast("Fleet", fleet), tasks, is_done, timeout=timeout))


def test_tasks_are_told_as_they_are_done_and_those_that_are_not_in_time_have_failed() -> None:
    fleet = StartedFleet()
    assert run(fleet, ["never", "at once"], lambda task: task == "at once", timeout=0.3) == [
        ("at once", True),
        ("never", False),
    ]
    assert fleet.calls == ["start", "stop"]


def test_fleet_is_stopped_when_a_task_can_not_be_asked_for() -> None:
    fleet = StartedFleet()
    with pytest.raises(ZeroDivisionError):
        run(fleet, ["one"], lambda _task: 1 / 0, timeout=10)
    assert fleet.calls == ["start", "stop"]


def test_without_a_task_no_fleet_is_started() -> None:
    fleet = StartedFleet()
    assert run(fleet, [], lambda _task: True, timeout=10) == []
    assert fleet.calls == []
