"""The account's rate limit: one pause for everybody, longer and longer while it bites."""

from __future__ import annotations

import pytest

from poddnat.cloud import RateLimiter
from vpc_emulator import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(100.0)


@pytest.fixture
def rate_limiter(clock: ManualClock) -> RateLimiter:
    return RateLimiter(clock)


def next_pause(rate_limiter: RateLimiter, clock: ManualClock) -> float:
    """Let a call go out as soon as it may, and be refused; give the pause that follows."""
    clock.now += rate_limiter.wait()
    rate_limiter.refused(clock.now, None)
    return rate_limiter.wait()


def test_calls_go_out_at_once_until_one_is_refused(rate_limiter: RateLimiter) -> None:
    assert rate_limiter.wait() == 0
    assert not rate_limiter.biting


def test_refused_call_closes_the_gate_for_as_long_as_the_cloud_wants(
    rate_limiter: RateLimiter, clock: ManualClock
) -> None:
    rate_limiter.refused(clock.now, 7.0)
    assert rate_limiter.wait() == 7.0


def test_gate_opens_when_the_pause_is_over(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    rate_limiter.refused(clock.now, 7.0)
    clock.now += 7.0
    assert rate_limiter.wait() == 0


def test_pauses_double_up_to_half_a_minute(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    pauses = [next_pause(rate_limiter, clock) for _ in range(9)]
    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_calls_sent_before_the_pause_don_t_make_it_longer(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    sent_at = clock.now
    for _ in range(10):
        rate_limiter.refused(sent_at, None)
    assert rate_limiter.wait() == 0.25


def test_refusals_that_come_back_after_the_pause_count_once_too(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    sent_at = clock.now
    rate_limiter.refused(sent_at, None)
    clock.now += 1
    rate_limiter.refused(sent_at, None)
    assert rate_limiter.wait() == 0


def test_shorter_wish_of_the_cloud_never_opens_the_gate_early(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    rate_limiter.refused(clock.now, 10.0)
    rate_limiter.refused(clock.now + 11, 1.0)
    assert rate_limiter.wait() == 10.0


def test_calls_that_pass_let_the_next_pause_be_shorter(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    before = [next_pause(rate_limiter, clock) for _ in range(6)][-1]
    for _ in range(20):
        rate_limiter.passed(clock.now)
    assert next_pause(rate_limiter, clock) < before


def test_pauses_never_get_shorter_than_the_first(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    for _ in range(100):
        rate_limiter.passed(clock.now)
    assert next_pause(rate_limiter, clock) == 0.25


def test_limit_bites_on_for_a_while_after_the_pause(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    rate_limiter.refused(clock.now, 5.0)
    clock.now += 5.0
    assert rate_limiter.biting


def test_limit_is_forgotten_after_a_quiet_while(rate_limiter: RateLimiter, clock: ManualClock) -> None:
    rate_limiter.refused(clock.now, None)
    clock.now += 10.0
    assert not rate_limiter.biting


LIMIT, STRETCH = 20, 60.0


class Account:
    """An account that may make so many calls in any stretch of time."""

    def __init__(self, rate_limiter: RateLimiter, clock: ManualClock) -> None:
        self.rate_limiter, self.clock = rate_limiter, clock
        self.limit = LIMIT
        self.granted: list[float] = []
        self.refusals = 0

    def call(self) -> None:
        """Make a call as soon as the gate lets it through."""
        self.calls(1)

    def calls(self, number: int) -> None:
        """Make calls, none of which has to wait for another one's answer."""
        self.clock.now += self.rate_limiter.wait()
        sent: list[float] = []
        while len(sent) < number and self.rate_limiter.wait() == 0:
            sent.append(self.rate_limiter.sent())
            self.clock.now += 0.001
        for sent_at in sent:
            self.clock.now += 0.01
            self._answer(sent_at)

    def _answer(self, sent_at: float) -> None:
        within = [at for at in self.granted if at > self.clock.now - STRETCH]
        if len(within) < self.limit:
            self.granted.append(self.clock.now)
            self.rate_limiter.passed(sent_at)
        else:
            self.refusals += 1
            self.rate_limiter.refused(sent_at, within[-self.limit] + STRETCH - self.clock.now)


@pytest.fixture
def account(rate_limiter: RateLimiter, clock: ManualClock) -> Account:
    return Account(rate_limiter, clock)


def test_limit_is_learned_from_a_refusal_so_that_hardly_any_call_is_refused_later(account: Account) -> None:
    for _ in range(20 * LIMIT):
        account.call()
    assert account.refusals <= 20


def test_limit_is_used_up(account: Account, clock: ManualClock) -> None:
    started_at = clock.now
    for _ in range(20 * LIMIT):
        account.call()
    assert len(account.granted) >= 0.95 * LIMIT * (clock.now - started_at) / STRETCH


def test_limit_met_by_many_calls_at_once_is_learned_all_the_same(account: Account) -> None:
    for _ in range(5):
        account.calls(LIMIT // 2 + 3)
    first = account.refusals
    for _ in range(20):
        account.calls(LIMIT // 2 + 3)
    assert first <= LIMIT // 2 + 3
    assert account.refusals - first <= LIMIT // 2


def test_call_that_came_a_moment_too_early_doesn_t_let_fewer_pass(account: Account, clock: ManualClock) -> None:
    for _ in range(2 * LIMIT):
        account.call()
    clock.now += account.rate_limiter.wait()
    account.rate_limiter.refused(account.rate_limiter.sent(), 1.0)
    clock.now += 2 * STRETCH
    account.granted.clear()
    account.calls(2 * LIMIT)
    assert len(account.granted) == LIMIT


def test_raised_limit_is_found(account: Account, clock: ManualClock) -> None:
    for _ in range(3 * LIMIT):
        account.call()
    account.limit = 2 * LIMIT
    for _ in range(60 * LIMIT):
        account.call()
    assert sum(at > clock.now - 5 * STRETCH for at in account.granted) >= 5 * 1.5 * LIMIT


def test_reads_are_put_off_only_while_the_limit_is_a_bottleneck(account: Account, clock: ManualClock) -> None:
    for _ in range(2 * LIMIT):
        account.call()
    assert account.rate_limiter.biting
    clock.now += 2 * STRETCH
    account.rate_limiter.wait()
    assert not account.rate_limiter.biting
