"""The queue in which PodDNATs wait for their turn to write: two classes that take turns, and who failed waits apart."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poddnat.gateway.reconciler.calls import Kind
from poddnat.gateway.reconciler.work_queue import WorkQueue


def drained(queue: WorkQueue, now: float = 0.0) -> list[str]:
    order = []
    while (popped := queue.pop(now)) is not None:
        order.append(popped[0])
    return order


def filled(creates: str = "", deletes: str = "") -> WorkQueue:
    """Let creates and deletes wait, one for each letter."""
    queue = WorkQueue()
    for uid in creates:
        queue.add(uid, Kind.CREATE)
    for uid in deletes:
        queue.add(uid, Kind.DELETE)
    return queue


def test_nobody_is_next_in_an_empty_queue() -> None:
    assert WorkQueue().pop(0.0) is None


@pytest.mark.parametrize(
    ("creates", "deletes", "expected"),
    [
        pytest.param("abc", "", "abc", id="who came first"),
        pytest.param("", "xyz", "xyz", id="deletes alone"),
        pytest.param("abc", "xyz", "axbycz", id="classes take turns"),
        pytest.param("abcd", "x", "axbcd", id="many of a class do not starve the other"),
        pytest.param("a", "xyz", "axyz", id="nor the other way round"),
    ],
)
def test_next_is(creates: str, deletes: str, expected: str) -> None:
    assert "".join(drained(filled(creates, deletes))) == expected


def test_who_is_queued_twice_is_served_once_in_the_first_place() -> None:
    queue = filled("ab")
    queue.add("a", Kind.CREATE)
    assert drained(queue) == ["a", "b"]


def test_who_has_something_else_to_write_changes_classes() -> None:
    queue = filled("ab")
    queue.add("a", Kind.DELETE)
    assert (queue.uids(Kind.CREATE), queue.uids(Kind.DELETE), len(queue)) == (["b"], ["a"], 2)


def test_who_is_put_in_front_is_next() -> None:
    queue = filled("ab")
    queue.add("c", Kind.CREATE, front=True)
    assert drained(queue) == ["c", "a", "b"]


def test_who_is_removed_is_not_served() -> None:
    queue = filled("ab", "x")
    queue.add_after("c", Kind.CREATE, 5.0)
    for uid in ("a", "x", "c", "nobody"):
        queue.remove(uid)
    assert drained(queue, 10.0) == ["b"]
    assert queue.next_at() == math.inf


@pytest.mark.parametrize(("uid", "ahead"), [("a", 0), ("b", 2), ("c", 3), ("x", 0), ("nobody", 0)], ids=str)
def test_estimate_counts_who_comes_before(uid: str, ahead: int) -> None:
    assert filled("abc", "x").ahead(uid) == ahead


def test_estimate_counts_those_put_in_front() -> None:
    queue = filled("ab")
    queue.add("c", Kind.CREATE, front=True)
    assert [queue.ahead(uid) for uid in "cab"] == [0, 1, 2]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(Kind), st.booleans())),
    st.integers(0, 5),
)
def test_estimate_is_right_to_one_turn_while_nobody_leaves(queued: list[tuple[str, Kind, bool]], served: int) -> None:
    queue = WorkQueue()
    once = {uid: (kind, front) for uid, kind, front in queued}
    for uid, (kind, front) in once.items():
        queue.add(uid, kind, front=front)
    for _ in range(served):
        queue.pop(0.0)
    estimates = {uid: queue.ahead(uid) for uid in once}
    for place, uid in enumerate(drained(queue)):
        assert abs(estimates[uid] - place) <= 1


steps = st.tuples(
    st.sampled_from("abcdefgh"), st.sampled_from([*Kind, None]), st.booleans(), st.sampled_from([None, 1.0, 2.0, 3.0])
)


@given(st.lists(steps))
def test_who_waits_is_served_exactly_once(given_steps: list[tuple[str, Kind | None, bool, float | None]]) -> None:
    queue = WorkQueue()
    waiting: set[str] = set()
    for uid, kind, front, at in given_steps:
        if kind is None:
            queue.remove(uid)
            waiting.discard(uid)
            continue
        if at is None:
            queue.add(uid, kind, front=front)
        else:
            queue.add_after(uid, kind, at)
        waiting.add(uid)
    assert len(queue) == len(waiting)
    assert all(0 <= queue.ahead(uid) < len(waiting) for uid in waiting)
    assert sorted(uid for kind in Kind for uid in queue.uids(kind)) == sorted(waiting)
    assert sorted(drained(queue, 10.0)) == sorted(waiting)


def test_class_whose_turn_came_to_nothing_is_next_again() -> None:
    queue = filled("ab", "xy")
    assert queue.pop(0.0) == ("a", Kind.CREATE)
    queue.add("a", Kind.CREATE, front=True)
    queue.return_turn(Kind.CREATE)
    assert "".join(drained(queue)) == "axby"


def test_nobody_is_taken_out_of_a_closed_class() -> None:
    queue = filled("c", "d")
    closed = {Kind.CREATE}
    assert [queue.pop(0.0, closed=closed), queue.pop(0.0, closed=closed)] == [("d", Kind.DELETE), None]
    assert queue.pop(0.0) == ("c", Kind.CREATE)


def test_those_put_back_in_front_are_served_before_those_who_have_not_been() -> None:
    queue = filled("abcd")
    taken = [queue.pop(0.0) for _ in range(3)]
    for popped in reversed(taken):
        assert popped is not None
        queue.add(*popped, front=True)
    assert queue.uids(Kind.CREATE) == [*"abcd"]


# Those that wait apart


def test_who_waits_apart_comes_back_at_the_end_when_it_is_time() -> None:
    queue = filled("ab")
    queue.add_after("c", Kind.CREATE, 5.0)
    assert queue.next_at() == 5.0
    assert drained(queue, 4.9) == ["a", "b"]
    queue.add("d", Kind.CREATE)
    assert drained(queue, 5.0) == ["d", "c"]


@pytest.mark.parametrize("queued_again", [False, True], ids=["by itself", "because somebody asks"])
def test_who_had_a_turn_comes_back_to_its_place_after_waiting_apart(*, queued_again: bool) -> None:
    queue = filled("abc")
    assert queue.pop(0.0) == ("a", Kind.CREATE)
    queue.add_after("a", Kind.CREATE, 5.0)
    if queued_again:
        queue.add("a", Kind.CREATE)
    assert drained(queue, 5.0) == ["a", "b", "c"]


def test_who_waits_for_another_time_waits_for_the_last_one_told() -> None:
    queue = WorkQueue()
    queue.add_after("a", Kind.CREATE, 5.0)
    queue.add_after("a", Kind.CREATE, 9.0)
    assert queue.pop(6.0) is None
    assert queue.next_at() == 9.0
    assert drained(queue, 9.0) == ["a"]


def test_who_need_not_wait_any_more_is_served_at_once() -> None:
    queue = WorkQueue()
    queue.add_after("a", Kind.CREATE, 500.0)
    queue.add("a", Kind.CREATE)
    assert drained(queue) == ["a"]
    assert queue.next_at() == math.inf


def test_many_that_are_put_off_over_and_over_leave_no_trace() -> None:
    queue = WorkQueue()
    for at in range(1000):
        queue.add_after("a", Kind.CREATE, float(at))
        queue.next_at()
    assert len(queue._delayed[Kind.CREATE]._heap) <= 1
