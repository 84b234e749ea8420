"""The account's rate limits: a gate for each action, which opens when the cloud says so, or ever later."""

from __future__ import annotations

import math
from collections import deque

import pytest

from poddnat.cloud import RateLimiter
from poddnat.cloud.intervals import (
    THROTTLED_FIRST_RETRY,
    THROTTLED_FOR,
    THROTTLED_LONGEST_RETRY,
    THROTTLED_SPACING,
    THROTTLED_TRY,
)
from vpc_emulator import ManualClock

CREATE, DELETE, READ = "CreateForwardEntry", "DeleteForwardEntry", "DescribeForwardTableEntries"
LIMIT, MINUTE = 200, 60.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(100.0)


@pytest.fixture
def rate_limiter(clock: ManualClock) -> RateLimiter:
    return RateLimiter(clock)


def next_pause(rate_limiter: RateLimiter, clock: ManualClock) -> float:
    """Let a call go out as soon as it may, and be refused; give the pause that follows."""
    clock.now += rate_limiter.wait(READ)
    rate_limiter.sent(READ)
    rate_limiter.refused(READ, None)
    return rate_limiter.wait(READ)


def test_calls_go_out_at_once_until_one_is_refused(rate_limiter: RateLimiter) -> None:
    for _ in range(100):
        assert rate_limiter.wait(READ) == 0
        rate_limiter.sent(READ)


def test_refused_call_closes_the_gate_for_as_long_as_the_cloud_wants(rate_limiter: RateLimiter) -> None:
    rate_limiter.refused(READ, 7.0)
    assert rate_limiter.wait(READ) == 7.0


def test_pause_of_a_moment_that_the_cloud_asks_for_is_a_little_longer(rate_limiter: RateLimiter) -> None:
    rate_limiter.refused(READ, 0.001)
    assert rate_limiter.wait(READ) == pytest.approx(THROTTLED_FIRST_RETRY)


def test_refused_call_closes_the_gate_of_its_action_only(rate_limiter: RateLimiter) -> None:
    rate_limiter.refused(CREATE, 7.0)
    assert rate_limiter.wait(DELETE) == rate_limiter.wait(READ) == 0


def test_gate_opens_when_the_pause_is_over(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    rate_limiter.refused(READ, 7.0)
    clock.now += 7.0
    assert rate_limiter.wait(READ) == 0


def test_pauses_double_up_to_five_seconds(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    pauses = [next_pause(rate_limiter, clock) for _ in range(7)]
    for pause, longest in zip(pauses, [0.5, 1, 2, 4, 5, 5, 5], strict=True):
        assert 0.8 * longest <= pause <= longest


def test_day_of_refusals_is_waited_out_in_short_pauses(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    end, pauses = clock.now + 24 * 3600, []
    while clock.now < end:
        pauses.append(next_pause(rate_limiter, clock))
    assert max(pauses) <= THROTTLED_LONGEST_RETRY
    clock.now += rate_limiter.wait(READ)
    rate_limiter.sent(READ)
    rate_limiter.passed(READ)
    assert rate_limiter.wait(READ) == pytest.approx(THROTTLED_SPACING)


def test_calls_sent_before_the_pause_don_t_make_it_longer(rate_limiter: RateLimiter) -> None:
    for _ in range(10):
        rate_limiter.sent(READ)
    for _ in range(10):
        rate_limiter.refused(READ, None)
    assert rate_limiter.wait(READ) <= THROTTLED_FIRST_RETRY


def test_shorter_pause_that_the_cloud_asks_for_later_never_opens_the_gate_early(
    rate_limiter: RateLimiter, clock: ManualClock
) -> None:
    rate_limiter.refused(READ, 10.0)
    clock.now += 1
    rate_limiter.refused(READ, 1.0)
    assert rate_limiter.wait(READ) == 9.0


def test_one_call_tries_first_after_a_refusal(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    rate_limiter.refused(READ, 1.0)
    clock.now += 1.0
    assert rate_limiter.wait(READ) == 0
    rate_limiter.sent(READ)
    assert rate_limiter.wait(READ) == pytest.approx(THROTTLED_TRY)


def test_calls_go_out_one_after_the_other_once_one_has_passed(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    rate_limiter.refused(READ, 1.0)
    clock.now += 1.0
    rate_limiter.sent(READ)
    rate_limiter.passed(READ)
    for _ in range(100):
        assert rate_limiter.wait(READ) == pytest.approx(THROTTLED_SPACING)
        clock.now += rate_limiter.wait(READ)
        rate_limiter.sent(READ)


def test_calls_go_out_at_once_a_minute_after_the_gate_opened(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    rate_limiter.refused(READ, 1.0)
    clock.now += 1.0 + THROTTLED_FOR
    for _ in range(100):
        assert rate_limiter.wait(READ) == 0
        rate_limiter.sent(READ)


def test_burst_of_another_client_keeps_fifty_calls_for_a_minute_and_little_more(
    rate_limiter: RateLimiter, clock: ManualClock
) -> None:
    begun = clock.now
    rate_limiter.sent(READ)
    rate_limiter.refused(READ, 60.0)
    for _ in range(50):
        clock.now += rate_limiter.wait(READ)
        rate_limiter.sent(READ)
        rate_limiter.passed(READ)
    assert clock.now - begun <= 70


@pytest.mark.parametrize("round_trip", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("tells", [True, False], ids=["the cloud says when", "the cloud says nothing"])
def test_limit_that_many_of_us_use_up_is_used_whole_and_refuses_few_calls(
    rate_limiter: RateLimiter, clock: ManualClock, *, tells: bool, round_trip: float
) -> None:
    at_once, minutes = 16, 20
    end = clock.now + minutes * MINUTE
    granted, under_way = deque([-math.inf] * LIMIT, LIMIT), deque[tuple[float, float]]()
    passed = refused = 0
    while clock.now < end:
        while under_way and under_way[0][0] <= clock.now:
            _, time_left = under_way.popleft()
            if time_left > 0:
                refused += 1
                rate_limiter.refused(READ, time_left if tells else None)
            else:
                passed += 1
                rate_limiter.passed(READ)
        while len(under_way) < at_once and rate_limiter.wait(READ) <= 0:
            rate_limiter.sent(READ)
            time_left = granted[0] + MINUTE - clock.now
            under_way.append((clock.now + round_trip, time_left))
            if time_left <= 0:
                granted.append(clock.now)
        clock.now += 0.01
    assert passed >= 0.95 * minutes * LIMIT
    assert refused <= 0.1 * passed


def test_call_that_passed_before_the_gate_opens_does_not_open_it(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    rate_limiter.sent(READ)
    rate_limiter.sent(READ)
    rate_limiter.refused(READ, 5.0)
    clock.now += 1.0
    rate_limiter.passed(READ)
    assert rate_limiter.wait(READ) == 4.0


def test_call_that_passes_lets_the_next_pause_be_the_first_again(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    for _ in range(6):
        next_pause(rate_limiter, clock)
    clock.now += rate_limiter.wait(READ)
    rate_limiter.sent(READ)
    rate_limiter.passed(READ)
    assert next_pause(rate_limiter, clock) <= THROTTLED_FIRST_RETRY


class Account:
    """An account whose calls of an action are counted by the minute, those of others too."""

    def __init__(self, rate_limiter: RateLimiter, clock: ManualClock, *, tells: bool) -> None:
        self.rate_limiter, self.clock, self.tells = rate_limiter, clock, tells
        self.used: dict[int, int] = {}
        self.refusals = 0

    def burst_of_others(self) -> None:
        self.used[self._minute] = LIMIT

    @property
    def _minute(self) -> int:
        return int(self.clock.now // MINUTE)

    def call(self) -> None:
        """Make calls as soon as the gate lets them through, until one is granted."""
        while True:
            if (wait := self.rate_limiter.wait(READ)) > 0:
                self.clock.now += wait
                continue
            self.rate_limiter.sent(READ)
            self.clock.now += 0.02
            if self.used.get(self._minute, 0) < LIMIT:
                self.used[self._minute] = self.used.get(self._minute, 0) + 1
                self.rate_limiter.passed(READ)
                return
            self.refusals += 1
            self.rate_limiter.refused(READ, MINUTE - self.clock.now % MINUTE if self.tells else None)


@pytest.mark.parametrize("tells", [True, False], ids=["the cloud says when", "the cloud says nothing"])
def test_fifty_calls_after_anothers_burst_take_little_more_than_the_minute(
    rate_limiter: RateLimiter, clock: ManualClock, *, tells: bool
) -> None:
    account = Account(rate_limiter, clock, tells=tells)
    started_at = clock.now = 120.0
    account.burst_of_others()
    for _ in range(50):
        account.call()
    assert clock.now - started_at <= 70.0
    assert account.refusals <= (2 if tells else 18)  # Pauses are up to a fifth shorter, by chance.


def test_limit_is_used_up_beside_anothers_bursts(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    account = Account(rate_limiter, clock, tells=True)
    started_at = clock.now = 180.0
    granted = 0
    while clock.now < started_at + 30 * MINUTE:
        if int(clock.now // MINUTE) % 3 == 0 and account.used.get(int(clock.now // MINUTE), 0) == 0:
            account.burst_of_others()
        account.call()
        granted += 1
    assert granted >= 0.95 * 20 * LIMIT
