"""What reading tables over and over may cost, for all gateways together: calls a minute, however large the tables.

Every read of a table is counted, also those that somebody waits for; refreshing gets what they leave, but never less
than a little, so that what others change is found out in the end.
"""

import threading
from collections.abc import Callable

from poddnat.gateway.intervals import ACTIVE_READS_A_MINUTE, LEAST_REFRESH_READS_A_MINUTE, STANDBY_READS_A_MINUTE

_MINUTE = 60.0
_SAVED_SECONDS = 10.0


class ReadBudget:
    """Tells when a page may be read that nobody waits for. Safe to use from several threads."""

    def __init__(self, is_active: Callable[[], bool], *, clock: Callable[[], float]) -> None:
        """``is_active`` tells whether this process is the one that writes: others read rarely."""
        self._is_active = is_active
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = float("-inf")
        # When all reads so far are paid for, at the budget's rate.
        self._refreshed_at = float("-inf")

    def wait(self) -> float:
        """Give the seconds until a page may be read."""
        with self._lock:
            now = self._clock()
            least = self._refreshed_at + _MINUTE / self._rate(LEAST_REFRESH_READS_A_MINUTE)
            return max(0.0, min(self._free_at, least) - now)

    def spend(self, *, refresh: bool) -> None:
        """Note that a page is read; ``refresh``: one that nobody waits for."""
        with self._lock:
            now = self._clock()
            # A little may be saved up, so that a small table is read in one go; and a minute's worth is owed at most.
            spent = max(self._free_at, now - _SAVED_SECONDS) + _MINUTE / self._rate(ACTIVE_READS_A_MINUTE)
            self._free_at = min(spent, now + _MINUTE)
            if refresh:
                self._refreshed_at = now

    def _rate(self, active: float) -> float:
        return active if self._is_active() else min(active, STANDBY_READS_A_MINUTE)
