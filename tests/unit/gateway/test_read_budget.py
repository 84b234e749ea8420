"""What refreshing tables may cost: so many calls a minute for all gateways together, fewer on the standby."""

from __future__ import annotations

import pytest

from poddnat.gateway.intervals import ACTIVE_READS_A_MINUTE, LEAST_REFRESH_READS_A_MINUTE, STANDBY_READS_A_MINUTE
from poddnat.gateway.read_budget import ReadBudget
from vpc_emulator import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(100.0)


def refreshed(budget: ReadBudget, clock: ManualClock, *, minutes: float, needed_every: float = 0.0) -> int:
    """Refresh as much as may be, while other reads are needed every so many seconds; count the pages."""
    pages, end, next_needed = 0, clock.now + 60 * minutes, clock.now
    while clock.now < end:
        if needed_every and next_needed <= clock.now:
            budget.spend(refresh=False)
            next_needed += needed_every
        if (wait := budget.wait()) > 0:
            clock.now += min(wait, needed_every or wait)
            continue
        budget.spend(refresh=True)
        pages += 1
    return pages


def test_first_page_may_be_read_at_once(clock: ManualClock) -> None:
    assert ReadBudget(lambda: True, clock=clock).wait() == 0


def test_active_replica_refreshes_so_many_pages_a_minute(clock: ManualClock) -> None:
    pages = refreshed(ReadBudget(lambda: True, clock=clock), clock, minutes=10)
    assert 10 * ACTIVE_READS_A_MINUTE <= pages <= 10 * ACTIVE_READS_A_MINUTE + 10


def test_standby_reads_rarely(clock: ManualClock) -> None:
    pages = refreshed(ReadBudget(lambda: False, clock=clock), clock, minutes=10)
    assert pages <= 10 * STANDBY_READS_A_MINUTE + 4


def test_standby_leaves_half_of_the_usual_limit_to_the_active_replica_even_at_its_start(clock: ManualClock) -> None:
    budget, pages, end = ReadBudget(lambda: False, clock=clock), 0, clock.now + 600
    while clock.now < end:
        clock.now += budget.pause()
        budget.spend(refresh=False)
        pages += 1
    assert pages <= 10 * 200 / 2 + 1


def test_standby_that_takes_over_reads_at_once(clock: ManualClock) -> None:
    active = False
    budget = ReadBudget(lambda: active, clock=clock)
    budget.spend(refresh=False)
    assert budget.pause() > 0
    active = True
    assert budget.pause() == 0


def test_both_replicas_together_use_at_most_a_quarter_of_the_usual_limit() -> None:
    assert ACTIVE_READS_A_MINUTE + STANDBY_READS_A_MINUTE <= 200 / 4


def test_small_table_is_read_in_one_go_after_a_quiet_while(clock: ManualClock) -> None:
    budget = ReadBudget(lambda: True, clock=clock)
    for _ in range(4):
        assert budget.wait() == 0
        budget.spend(refresh=True)


def test_reads_that_others_wait_for_leave_less_for_refreshing(clock: ManualClock) -> None:
    budget = ReadBudget(lambda: True, clock=clock)
    pages = refreshed(budget, clock, minutes=10, needed_every=3.0)
    assert 10 * (ACTIVE_READS_A_MINUTE - 20) <= pages <= 10 * (ACTIVE_READS_A_MINUTE - 20) + 10


@pytest.mark.parametrize("needed_every", [1.0, 0.1], ids=str)
def test_a_little_is_left_however_many_reads_others_wait_for(clock: ManualClock, needed_every: float) -> None:
    budget = ReadBudget(lambda: True, clock=clock)
    pages = refreshed(budget, clock, minutes=10, needed_every=needed_every)
    assert pages == pytest.approx(10 * LEAST_REFRESH_READS_A_MINUTE, abs=10)


def test_many_reads_are_owed_for_a_minute_at_most(clock: ManualClock) -> None:
    budget = ReadBudget(lambda: True, clock=clock)
    for _ in range(1000):
        budget.spend(refresh=False)
    clock.now += 61
    assert budget.wait() == 0


def test_replica_that_becomes_active_may_read_more_at_once(clock: ManualClock) -> None:
    active = False
    budget = ReadBudget(lambda: active, clock=clock)
    budget.spend(refresh=True)
    budget.spend(refresh=True)
    before = budget.wait()
    active = True
    assert budget.wait() <= before
