"""The account's rate limit, shared by all gateways: when the cloud says "too many calls", everybody waits.

Writes come first: while the limit bites, reads that can wait are put off.
"""

import threading
from collections.abc import Callable

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 30.0
_QUIET_AFTER = 4.0


class Throttle:
    """A gate before every call. Safe to use from several threads; times are seconds of the clock given."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._closed_until = float("-inf")
        self._opened_at = float("-inf")
        self._pause = _FIRST_PAUSE

    def wait(self) -> float:
        """Give the seconds until calls may go out; 0 means now."""
        with self._lock:
            return max(0.0, self._closed_until - self._clock())

    @property
    def biting(self) -> bool:
        """Whether the limit was met a short while ago, so that only urgent calls should be made."""
        with self._lock:
            return self._clock() < self._closed_until + _QUIET_AFTER * self._pause

    def refused(self, sent_at: float, retry_after: float | None) -> None:
        """Note a throttled call, sent at ``sent_at``; ``retry_after`` is the cloud's own wish, in seconds."""
        with self._lock:
            if sent_at < self._opened_at:
                return  # Sent before the pause that its companions have caused already.
            now = self._clock()
            if retry_after is None:
                retry_after = self._pause
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            self._closed_until = max(self._closed_until, now + retry_after)
            self._opened_at = self._closed_until

    def passed(self) -> None:
        """Note a call that was not throttled."""
        with self._lock:
            self._pause = max(_FIRST_PAUSE, self._pause * 0.9)
