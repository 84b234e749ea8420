"""How many writes a gateway bears at once, learned from its answers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poddnat.gateway.intervals import CONCURRENCY_LONGEST
from poddnat.gateway.reconciler.calls import Kind
from poddnat.gateway.reconciler.concurrency import MOST_AT_ONCE, ConcurrencyLimiter


@pytest.fixture
def limiter() -> ConcurrencyLimiter:
    return ConcurrencyLimiter()


def accept(limiter: ConcurrencyLimiter, entry_id: str, now: float, kind: Kind = Kind.CREATE) -> None:
    limiter.sent()
    limiter.accepted(entry_id, kind, now)


def refuse(limiter: ConcurrencyLimiter, now: float) -> None:
    limiter.sent()
    limiter.refused(now)


def test_first_write_goes_at_once(limiter: ConcurrencyLimiter) -> None:
    assert limiter.wait(0.0) == 0


def fill(limiter: ConcurrencyLimiter, bears: int) -> None:
    """Let all writes be taken that the limiter sends, up to what the gateway bears; reads show them unsettled."""
    number = 0
    for moment in range(100):
        sent = 0
        while limiter.wait(0.01 * moment) == 0 and number + sent < bears:
            limiter.sent()
            sent += 1
        for _ in range(sent):
            number += 1
            limiter.accepted(f"fwd-{number}", Kind.CREATE, 0.01 * moment)
        for there in range(1, number + 1):
            limiter.seen_pending(f"fwd-{there}", 0.01 * moment + 0.005)


def test_limit_grows_while_writes_are_taken(limiter: ConcurrencyLimiter) -> None:
    fill(limiter, 8)
    assert limiter.limit == 8


def test_limit_never_grows_beyond_what_any_gateway_bears(limiter: ConcurrencyLimiter) -> None:
    fill(limiter, 100)
    assert limiter.limit == MOST_AT_ONCE
    assert limiter.wait(1.0) > 0


def test_refusal_at_the_limit_ends_the_growing(limiter: ConcurrencyLimiter) -> None:
    accept(limiter, "fwd-1", 0.0)
    refuse(limiter, 0.1)
    assert limiter.limit == 1
    assert limiter.wait(0.1) > 0


def test_two_refusals_below_the_limit_begin_anew_with_one(limiter: ConcurrencyLimiter) -> None:
    fill(limiter, 8)
    for number in range(1, 8):
        limiter.seen_settled(f"fwd-{number}", 5.0)
    refuse(limiter, 6.0)
    refuse(limiter, 7.0)
    assert limiter.limit == 1


def test_write_that_came_to_nothing_says_nothing_of_the_gateway(limiter: ConcurrencyLimiter) -> None:
    limiter.sent()
    limiter.failed()
    assert (limiter.in_flight, limiter.limit, limiter.wait(0.0)) == (0, 1, 0)


def test_refusals_that_nothing_explains_are_waited_out_ever_longer_within_bounds(limiter: ConcurrencyLimiter) -> None:
    now, waits = 0.0, []
    for _ in range(3000):
        refuse(limiter, now)
        waits.append(limiter.wait(now))
        now += waits[-1]
    assert waits[0] < 1
    assert max(waits) <= CONCURRENCY_LONGEST
    assert limiter.in_flight == 0


def test_entries_that_are_there_no_more_occupy_the_gateway_no_more(limiter: ConcurrencyLimiter) -> None:
    accept(limiter, "fwd-1", 0.0)
    limiter.forget_all_but([])
    assert limiter.unsettled == 0


def test_time_at_which_to_ask_is_that_of_writes_before(limiter: ConcurrencyLimiter) -> None:
    assert limiter.expected_at("fwd-1", more_to_write=True) == -math.inf
    accept(limiter, "fwd-1", 0.0)
    limiter.seen_pending("fwd-1", 4.9)
    limiter.seen_settled("fwd-1", 5.1)
    accept(limiter, "fwd-2", 10.0)
    assert limiter.expected_at("fwd-2", more_to_write=False) == pytest.approx(15.0, abs=2.0)


def test_stuck_entry_is_expected_ever_later(limiter: ConcurrencyLimiter) -> None:
    accept(limiter, "fwd-1", 0.0)
    limiter.seen_pending("fwd-1", 4.9)
    limiter.seen_settled("fwd-1", 5.1)
    accept(limiter, "fwd-2", 10.0)
    now, asked = 10.0, 0
    while now < 3610.0:
        limiter.seen_pending("fwd-2", now)
        later = limiter.expected_at("fwd-2", more_to_write=False)
        assert later > now
        now, asked = later, asked + 1
    assert asked <= 400


steps = st.lists(
    st.tuples(st.sampled_from(["send", "accept", "refuse", "fail", "pending", "settled"]), st.floats(0, 9))
)


@given(steps)
def test_writes_under_way_are_counted_whatever_comes_of_them(given_steps: list[tuple[str, float]]) -> None:
    limiter, now, under_way, number = ConcurrencyLimiter(), 0.0, 0, 0
    for what, seconds in given_steps:
        now += seconds
        match what:
            case "send":
                limiter.sent()
                under_way += 1
            case "accept" if under_way:
                number, under_way = number + 1, under_way - 1
                limiter.accepted(f"fwd-{number}", Kind.CREATE, now)
            case "refuse" if under_way:
                under_way -= 1
                limiter.refused(now)
            case "fail" if under_way:
                under_way -= 1
                limiter.failed()
            case "pending":
                limiter.seen_pending(f"fwd-{number}", now)
            case "settled":
                limiter.seen_settled(f"fwd-{number}", now)
        assert limiter.in_flight == under_way
        assert 1 <= limiter.limit <= MOST_AT_ONCE
        assert limiter.wait(now) >= 0
        assert under_way or limiter.unsettled or limiter.wait(now) < math.inf
