"""The one way of waiting before another try."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from poddnat.backoff import Backoff


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(1.0, 5.0, chance=lambda: 0.0)
    assert [backoff.failed() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_success_begins_anew() -> None:
    backoff = Backoff(1.0, 5.0, chance=lambda: 0.0)
    backoff.failed()
    backoff.failed()
    backoff.reset()
    assert (backoff.failures, backoff.failed()) == (0, 1.0)


@given(chance=st.floats(0.0, 1.0), failures=st.integers(1, 3000))
def test_delay_stays_within_bounds_however_often_it_failed(chance: float, failures: int) -> None:
    backoff = Backoff(0.25, 30.0, chance=lambda: chance)
    delays = [backoff.failed() for _ in range(failures)]
    assert backoff.failures == failures
    assert all(0.25 * 0.79 <= delay <= 30.0 for delay in delays)


def test_those_that_failed_together_come_back_apart() -> None:
    assert Backoff(1.0, 5.0, chance=lambda: 0.0).failed() != Backoff(1.0, 5.0, chance=lambda: 1.0).failed()


def test_chance_of_others_is_not_disturbed() -> None:
    before = random.getstate()
    Backoff(1.0, 5.0).failed()
    assert random.getstate() == before
