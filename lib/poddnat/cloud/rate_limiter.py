"""The account's rate limit, shared by all gateways: when the cloud says "too many calls", everybody waits.

Such a limit is a number of calls in any stretch of time of some length. The first refusal that says when the next
call would pass tells both, because our own calls are remembered; from then on no call is sent just to be refused, but
for a try now and then, because a limit may be raised. While the limit bites, reads that can wait are put off, so that
the calls there are go to writes.
"""

import threading
from collections import deque
from collections.abc import Callable

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 30.0
_QUIET_AFTER = 4.0
_LONGEST_STRETCH = 60.0
"""The API's limits are given as calls in so many seconds, at most a minute."""
_MARGIN = 0.01
"""Share of a stretch to wait beyond it: the cloud stamps a call later than we do."""
_EDGE = 0.1
"""A refused call that would pass within this share of a stretch only came too early: the stretch is longer."""


class RateLimiter:
    """A gate before every call. Safe to use from several threads; times are seconds of the clock given."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._closed_until = float("-inf")
        self._pause = _FIRST_PAUSE
        self._sent: deque[float] = deque()
        self._stretch = _LONGEST_STRETCH
        self._calls: int | None = None
        self._counted_from: float | None = None
        # The calls sent since then, but for those refused, are as many as there are; None: that isn't known.
        self._since_refusal = 0
        self._raise = 1

    def wait(self) -> float:
        """Give the seconds until calls may go out; 0 means now."""
        with self._lock:
            now = self._clock()
            if now < self._closed_until:
                return self._closed_until - now
            self._forget_before(now - self._stretch * (1 + _MARGIN))
            if self._calls is None or len(self._sent) < self._calls:
                return 0.0
            oldest = self._sent[len(self._sent) - self._calls]
            return max(0.0, oldest + self._stretch * (1 + _MARGIN) - now)

    @property
    def biting(self) -> bool:
        """Whether the limit was met a short while ago, so that only urgent calls should be made."""
        with self._lock:
            if self._calls is not None and len(self._sent) > self._calls // 2:
                return True
            return self._clock() < self._closed_until + _QUIET_AFTER * self._pause

    def sent(self) -> float:
        """Note that a call goes out; returns the time, by which its outcome is told later."""
        with self._lock:
            now = self._clock()
            self._sent.append(now)
            self._forget_before(now - _LONGEST_STRETCH)
            return now

    def not_sent(self, sent_at: float) -> None:
        """Note that a call did not go out after all."""
        with self._lock:
            self._forget(sent_at)

    def refused(self, sent_at: float, retry_after: float | None) -> None:
        """Note a throttled call, sent at ``sent_at``; ``retry_after`` is the cloud's own wish, in seconds."""
        with self._lock:
            self._forget(sent_at)
            now = self._clock()
            if sent_at >= self._closed_until:
                self._close(now, retry_after)
            # Otherwise it was sent before the pause that its companions have caused already, and counted as passing.
            if self._calls is not None and self._counted_from is not None:
                passed = sum(at >= self._counted_from for at in self._sent)
                self._calls = max(1, min(self._calls, passed))

    def passed(self, sent_at: float) -> None:
        """Note a call that was not throttled, sent at ``sent_at``."""
        with self._lock:
            self._pause = max(_FIRST_PAUSE, self._pause * 0.9)
            if self._forget(sent_at):
                # The cloud has stamped it at some moment until now: reckoned from that, the next is never too early.
                self._sent.append(self._clock())
            self._since_refusal += sent_at >= self._closed_until
            if self._calls is not None and self._since_refusal > 2 * self._calls:
                # Twice the limit without a refusal: perhaps it is higher by now, and then perhaps much higher.
                self._calls += self._raise
                self._raise *= 2
                self._since_refusal = 0

    def _close(self, now: float, retry_after: float | None) -> None:
        self._since_refusal, self._raise = 0, 1
        if retry_after is None:
            retry_after = self._pause
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            self._counted_from = None
        else:
            self._learn(now, retry_after)
        self._closed_until = max(self._closed_until, now + retry_after)

    def _learn(self, now: float, retry_after: float) -> None:
        """Take over that no call passes until the oldest one that still counts no longer does."""
        if self._calls is None and self._sent:
            self._stretch = now + retry_after - self._sent[0]
            self._calls = len(self._sent)
        elif retry_after < _EDGE * self._stretch:
            self._stretch = min(self._stretch + retry_after, _LONGEST_STRETCH)
            self._counted_from = None
            return
        self._counted_from = now - self._stretch

    def _forget(self, sent_at: float) -> bool:
        there = sent_at in self._sent
        if there:
            self._sent.remove(sent_at)
        return there

    def _forget_before(self, at: float) -> None:
        while self._sent and self._sent[0] < at:
            self._sent.popleft()
