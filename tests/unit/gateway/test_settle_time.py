"""How long writes stay unsettled: learned from bounds, and what follows for how many are unsettled at a moment."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from poddnat.gateway.settle_time import Settling, counts, given_that

chances = st.lists(st.floats(0, 1), max_size=10)


def usual(*, mean: float = 5.0, spread: float = 1.5) -> Settling:
    """Know times evenly spread between ``mean`` less and more ``spread``."""
    return Settling(mean, spread / 2)


@given(chances)
def test_chances_of_all_numbers_make_one(given_chances: list[float]) -> None:
    assert math.isclose(sum(counts(given_chances)), 1.0)


@given(chances)
def test_mean_number_is_the_sum_of_the_chances(given_chances: list[float]) -> None:
    mean = sum(number * chance for number, chance in enumerate(counts(given_chances)))
    assert math.isclose(mean, sum(given_chances), abs_tol=1e-9)


def test_when_all_are_unsettled_each_is() -> None:
    assert given_that([0.2, 0.5], 2, 2) == pytest.approx([1.0, 1.0])


def test_when_none_is_unsettled_no_one_is() -> None:
    assert given_that([0.2, 0.5], 0, 0) == pytest.approx([0.0, 0.0])


def test_when_one_of_two_is_unsettled_it_is_the_likelier_one() -> None:
    assert given_that([0.2, 0.5], 1, 1) == pytest.approx([0.2, 0.8])


def test_what_nobody_doubts_can_not_be_otherwise() -> None:
    assert given_that([1.0, 1.0], 0, 1) is None


@given(chances)
def test_knowing_nothing_changes_nothing(given_chances: list[float]) -> None:
    assert given_that(given_chances, 0, len(given_chances)) == pytest.approx(given_chances)


@pytest.mark.parametrize("width", [0.1, 0.5, 1.0])
def test_times_are_learned_from_bounds(width: float) -> None:
    chance = random.Random(1)  # noqa: S311  # repeatable, not secret
    learned = Settling()
    means, deviations = [], []
    for _ in range(2000):
        seconds, below = chance.uniform(3.5, 6.5), chance.uniform(0, width)
        learned.learn(seconds - below, seconds + width - below)
        assert learned.mean is not None
        means.append(learned.mean)
        deviations.append(learned.deviation)
    assert sum(means[500:]) / 1500 == pytest.approx(5.0, rel=0.05)
    assert sum(deviations[500:]) / 1500 == pytest.approx(0.75, rel=0.2)


def test_entry_stuck_for_minutes_counts_as_several_times_the_usual() -> None:
    settling = usual()
    settling.learn(600.0, 601.0)
    assert settling.mean is not None
    assert settling.mean < 8.0


def test_write_is_unsettled_before_its_time_and_settled_after() -> None:
    settling = usual()
    shares = [settling.pending_share(age, since=0.0, pending_at=0.0) for age in (3.0, 5.0, 7.0)]
    assert shares == pytest.approx([1.0, 0.5, 0.0])


def test_write_seen_unsettled_late_is_likelier_to_be_so_still() -> None:
    settling = usual()
    assert settling.pending_share(5.5, since=5.0, pending_at=5.0) > settling.pending_share(
        5.5, since=0.0, pending_at=0.0
    )


def test_write_unsettled_beyond_all_expectation_is_awaited_ever_longer() -> None:
    settling = usual()
    waits = [settling.surely_settled(at) - at for at in (6.5, 8.0, 10.0, 12.0)]
    assert waits == sorted(waits)
    assert settling.surely_settled(1000.0) - 1000.0 <= 20.0
