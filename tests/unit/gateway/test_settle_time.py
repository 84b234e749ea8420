"""How long writes stay unsettled: learned from bounds, and what follows for how many are unsettled at a moment."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poddnat.gateway.reconciler.settle_time import SettleTime, counts

chances = st.lists(st.floats(0, 1), max_size=10)


def usual(*, mean: float = 5.0, spread: float = 1.5) -> SettleTime:
    """Know times evenly spread between ``mean`` less and more ``spread``."""
    return SettleTime(mean, spread / 2, 100)


@given(chances)
def test_chances_of_all_numbers_make_one(given_chances: list[float]) -> None:
    assert math.isclose(sum(counts(given_chances)), 1.0)


@given(chances)
def test_mean_number_is_the_sum_of_the_chances(given_chances: list[float]) -> None:
    mean = sum(number * chance for number, chance in enumerate(counts(given_chances)))
    assert math.isclose(mean, sum(given_chances), abs_tol=1e-9)


@pytest.mark.parametrize("width", [0.1, 0.5, 1.0])
def test_times_are_learned_from_bounds(width: float) -> None:
    chance = random.Random(1)  # noqa: S311  # repeatable, not secret
    learned = SettleTime.first(4.9, 5.1)
    means, deviations = [], []
    for _ in range(2000):
        seconds, below = chance.uniform(3.5, 6.5), chance.uniform(0, width)
        learned.learn(seconds - below, seconds + width - below)
        means.append(learned.mean)
        deviations.append(learned.deviation)
    assert sum(means[500:]) / 1500 == pytest.approx(5.0, rel=0.05)
    assert sum(deviations[500:]) / 1500 == pytest.approx(0.75, rel=0.2)


def test_entry_stuck_for_minutes_counts_as_several_times_the_usual() -> None:
    settle_time = usual()
    settle_time.learn(600.0, 601.0)
    assert settle_time.mean < 8.0


def test_write_is_unsettled_before_its_time_and_settled_after() -> None:
    settle_time = usual()
    shares = [settle_time.pending_share(age, pending_at=0.0) for age in (3.0, 5.0, 7.0)]
    assert shares == pytest.approx([1.0, 0.5, 0.0])


def test_write_seen_unsettled_late_is_likelier_to_be_so_still() -> None:
    settle_time = usual()
    assert settle_time.pending_share(5.5, pending_at=5.0) > settle_time.pending_share(5.5, pending_at=0.0)


def test_write_unsettled_beyond_all_expectation_is_awaited_ever_longer() -> None:
    settle_time = usual()
    waits = [settle_time.surely_settled(at) - at for at in (6.5, 8.0, 10.0, 12.0)]
    assert waits == sorted(waits)
    assert settle_time.surely_settled(1000.0) - 1000.0 <= 20.0


def test_write_far_beyond_all_expectation_is_asked_for_half_as_late_again_each_time() -> None:
    settle_time = SettleTime.first(0.0, 0.0)
    assert [settle_time.likely_by(0.5, pending_at=at) / at for at in (1.0, 5.0, 10.0)] == pytest.approx([1.5] * 3)


@pytest.mark.parametrize("share", [0.0, 0.39, 0.6, 0.85, 1.0])
def test_share_of_the_writes_has_settled_at_the_age_that_is_told(share: float) -> None:
    settle_time = usual()
    age = settle_time.likely_by(share, pending_at=0.0)
    assert 1 - settle_time.pending_share(age, pending_at=0.0) == pytest.approx(share)


@given(st.floats(0, 3600), st.floats(0.01, 1.0))
def test_write_still_unsettled_is_expected_later_than_it_was_seen(pending_at: float, share: float) -> None:
    assert usual().likely_by(share, pending_at=pending_at) > pending_at


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=50))
def test_whatever_is_learned_stays_a_time(bounds: list[tuple[float, float]]) -> None:
    settle_time = SettleTime.first(*sorted(bounds[0]))
    for both in bounds:
        settle_time.learn(*sorted(both))
        assert settle_time.mean >= 0
        assert settle_time.deviation >= 0
        assert settle_time.surely_pending() <= settle_time.mean <= settle_time.surely_settled()


def test_other_kind_of_writes_begins_with_what_is_known_of_the_first() -> None:
    first = usual(mean=5.0)
    for _ in range(100):
        first.learn(4.9, 5.1)
    second = SettleTime.like(first)
    assert second.mean == first.mean
    for _ in range(30):
        second.learn(0.9, 1.1)
    assert second.mean == pytest.approx(1.0, abs=0.7)
