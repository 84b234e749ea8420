"""The pace of requests: as many at once as the burst allows, then a fixed number a second."""

from __future__ import annotations

import threading
import time


class Pace:
    """A token bucket; callers wait their turn in the order in which they came."""

    def __init__(self, qps: float, burst: int | None = None) -> None:
        """Without `burst`, twice the rate: what Metacontroller's own defaults come to."""
        self._interval = 1 / qps
        self._burst = burst or max(1, int(2 * qps))
        self._lock = threading.Lock()
        self._next = time.monotonic() - self._burst * self._interval

    def wait(self) -> None:
        """Sleep until it is this caller's turn."""
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next, now - self._burst * self._interval) + self._interval
            turn = self._next
        if turn > now:
            time.sleep(turn - now)
