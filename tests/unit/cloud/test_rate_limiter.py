"""The account's rate limits: a gate for each action, closed for longer and longer while calls are refused."""

from __future__ import annotations

import pytest

from poddnat.cloud import RateLimiter
from poddnat.cloud.intervals import THROTTLED_LONGEST_RETRY
from vpc_emulator import ManualClock

CREATE, DELETE = "CreateForwardEntry", "DeleteForwardEntry"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(100.0)


@pytest.fixture
def rate_limiter(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> RateLimiter:
    monkeypatch.setattr("poddnat.backoff._JITTER", 0.0)
    return RateLimiter(clock)


def next_pause(rate_limiter: RateLimiter, clock: ManualClock) -> float:
    """Let a call go out as soon as it may, and be refused; give the pause that follows."""
    clock.now += rate_limiter.wait(CREATE)
    rate_limiter.sent(CREATE)
    rate_limiter.refused(CREATE, None)
    return rate_limiter.wait(CREATE)


def test_calls_go_out_at_once_until_one_is_refused(rate_limiter: RateLimiter) -> None:
    for _ in range(3):
        assert rate_limiter.wait(CREATE) == 0
        rate_limiter.sent(CREATE)
    for _ in range(3):
        rate_limiter.passed(CREATE)
    assert rate_limiter.wait(CREATE) == 0


def test_refused_call_closes_the_gate_for_as_long_as_the_cloud_wants(rate_limiter: RateLimiter) -> None:
    rate_limiter.refused(CREATE, 7.0)
    assert rate_limiter.wait(CREATE) == 7.0


def test_gate_of_one_action_leaves_the_others_open(rate_limiter: RateLimiter) -> None:
    rate_limiter.refused(CREATE, 7.0)
    assert rate_limiter.wait(DELETE) == 0


def test_gate_opens_when_the_pause_is_over(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    rate_limiter.refused(CREATE, 7.0)
    clock.now += 7.0
    assert rate_limiter.wait(CREATE) == 0


def test_pauses_double_up_to_half_a_minute(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    pauses = [next_pause(rate_limiter, clock) for _ in range(8)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, THROTTLED_LONGEST_RETRY, THROTTLED_LONGEST_RETRY]


def test_shorter_pause_of_the_cloud_never_opens_the_gate_early(rate_limiter: RateLimiter) -> None:
    rate_limiter.refused(CREATE, 10.0)
    rate_limiter.refused(CREATE, 1.0)
    assert rate_limiter.wait(CREATE) == 10.0


def test_one_call_tries_first_after_a_pause(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    rate_limiter.refused(CREATE, 7.0)
    clock.now += 7.0
    rate_limiter.sent(CREATE)
    assert rate_limiter.wait(CREATE) > 0
    rate_limiter.passed(CREATE)
    assert rate_limiter.wait(CREATE) == 0


def test_call_that_passes_lets_the_next_pause_be_short_again(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    before = [next_pause(rate_limiter, clock) for _ in range(6)]
    clock.now += rate_limiter.wait(CREATE)
    rate_limiter.sent(CREATE)
    rate_limiter.passed(CREATE)
    assert next_pause(rate_limiter, clock) == before[0]


def test_calls_sent_before_their_companion_was_refused_open_nothing(
    rate_limiter: RateLimiter, clock: ManualClock
) -> None:
    rate_limiter.sent(CREATE)
    rate_limiter.sent(CREATE)
    rate_limiter.refused(CREATE, 7.0)
    rate_limiter.passed(CREATE)
    assert rate_limiter.wait(CREATE) == 7.0
    clock.now += 7.0
    rate_limiter.sent(CREATE)
    assert rate_limiter.wait(CREATE) > 0


LIMIT, WINDOW = 20, 60.0


class Account:
    """An account that may make so many calls of an action in any stretch of time."""

    def __init__(self, rate_limiter: RateLimiter, clock: ManualClock) -> None:
        self.rate_limiter, self.clock = rate_limiter, clock
        self.granted: list[float] = []
        self.refusals = 0

    def call(self) -> None:
        """Make a call as soon as the gate lets it through."""
        self.clock.now += self.rate_limiter.wait(CREATE)
        self.rate_limiter.sent(CREATE)
        self.clock.now += 0.01
        self._answer()

    def _answer(self) -> None:
        within = [at for at in self.granted if at > self.clock.now - WINDOW]
        if len(within) < LIMIT:
            self.granted.append(self.clock.now)
            self.rate_limiter.passed(CREATE)
        else:
            self.refusals += 1
            self.rate_limiter.refused(CREATE, within[-LIMIT] + WINDOW - self.clock.now)


@pytest.fixture
def account(rate_limiter: RateLimiter, clock: ManualClock) -> Account:
    return Account(rate_limiter, clock)


def test_limit_is_used_up(account: Account, clock: ManualClock) -> None:
    started_at = clock.now
    for _ in range(20 * LIMIT):
        account.call()
    assert len(account.granted) >= 0.9 * LIMIT * (clock.now - started_at) / WINDOW
