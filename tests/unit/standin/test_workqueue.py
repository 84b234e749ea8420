from __future__ import annotations

import threading
import time

import pytest

from metacontroller_standin.pacing import Pace
from metacontroller_standin.waiting import wait_until
from metacontroller_standin.workqueue import WorkQueue


def test_a_key_waits_in_the_queue_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert [queue.get(), queue.get()] == ["a", "b"]
    queue.done("a")
    queue.done("b")
    assert not queue.busy()


def test_a_key_added_during_its_work_comes_again_only_after_it() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert queue.get() == "a"
    queue.add("a")
    queue.add("b")
    assert queue.get() == "b"
    queue.done("a")
    assert queue.get() == "a"


def test_of_two_delays_the_shorter_counts() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 600)
    started = time.monotonic()
    queue.add_after("a", 0.05)
    queue.add_after("a", 700)
    assert queue.get() == "a"
    assert 0.05 <= time.monotonic() - started < 5
    queue.done("a")
    assert not queue.busy()


def test_retries_back_off_until_forgotten() -> None:
    queue: WorkQueue[str] = WorkQueue()
    waits = []
    for _ in range(4):
        started = time.monotonic()
        queue.add_failed("a")
        assert queue.get() == "a"
        waits.append(time.monotonic() - started)
        queue.done("a")
    assert waits[3] >= 0.04
    queue.forget("a")
    queue.add_failed("a")
    assert queue.get() == "a"


def test_closing_sends_waiting_workers_home() -> None:
    queue: WorkQueue[str] = WorkQueue()
    got: list[str | None] = []
    threads = [threading.Thread(target=lambda: got.append(queue.get())) for _ in range(3)]
    for thread in threads:
        thread.start()
    queue.close()
    for thread in threads:
        thread.join(5)
    assert got == [None, None, None]
    queue.add("late")
    assert not queue.busy()


def test_a_pace_lets_a_burst_through_and_then_so_many_a_second() -> None:
    started = time.monotonic()
    pace = Pace(1 / 3600, 5)
    for _ in range(5):
        pace.wait()  # Without a burst, an hour.
    pace = Pace(50, 5)
    for _ in range(15):
        pace.wait()
    assert time.monotonic() - started >= 0.19


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(TimeoutError, match="a miracle"):
        wait_until(lambda: False, 0.01, "a miracle")
