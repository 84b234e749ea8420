"""What reading tables over and over may cost, for all gateways together: calls a minute, however large the tables.

Every read of a table is counted, also those that somebody waits for; refreshing gets what they leave, but never less
than a little, so that what others change is found out in the end.
"""

import logging
import threading
from collections.abc import Callable

from poddnat.cloud import CloudError, Meaning, RateLimiter
from poddnat.gateway.intervals import (
    ACTIVE_READS_A_MINUTE,
    LEAST_REFRESH_READS_A_MINUTE,
    READS_SAVED_UP,
    STANDBY_PAUSE,
    STANDBY_READS_A_MINUTE,
)
from poddnat.gateway.reconciler import Kind

log = logging.getLogger(__name__)

_MINUTE = 60.0
_ACTIONS = {
    Kind.CREATE: "CreateForwardEntry",
    Kind.DELETE: "DeleteForwardEntry",
    None: "DescribeForwardTableEntries",
}


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
        self._read_at = float("-inf")

    def wait(self) -> float:
        """Give the seconds until a page may be read."""
        with self._lock:
            now = self._clock()
            least = self._refreshed_at + _MINUTE / self._rate(LEAST_REFRESH_READS_A_MINUTE)
            return max(0.0, min(self._free_at, least) - now)

    def pause(self) -> float:
        """Give the seconds until any page may be read: nobody waits for those that a standby reads."""
        with self._lock:
            return 0.0 if self._is_active() else max(0.0, self._read_at + STANDBY_PAUSE - self._clock())

    def spend(self, *, refresh: bool) -> None:
        """Note that a page is read; ``refresh``: one that nobody waits for."""
        with self._lock:
            self._read_at = now = self._clock()
            # A little may be saved up, so that a small table is read in one go; and a minute's worth is owed at most.
            spent = max(self._free_at, now - READS_SAVED_UP) + _MINUTE / self._rate(ACTIVE_READS_A_MINUTE)
            self._free_at = min(spent, now + _MINUTE)
            if refresh:
                self._refreshed_at = now

    def _rate(self, active: float) -> float:
        return active if self._is_active() else min(active, STANDBY_READS_A_MINUTE)


class CallGates:
    """What holds one gateway's calls back beyond the gateway itself. Safe to use from several threads."""

    def __init__(self, gateway_id: str, rate_limiter: RateLimiter, budget: ReadBudget) -> None:
        """``rate_limiter`` and ``budget`` are shared by all gateways."""
        self._gateway_id = gateway_id
        self._rate_limiter = rate_limiter
        self._budget = budget

    def wait(self, kind: Kind | None) -> float:
        """Give the seconds until a write of a class, or a read (None), may go out."""
        wait = self._rate_limiter.wait(_ACTIONS[kind])
        return max(wait, self._budget.pause()) if kind is None else wait

    def refresh_wait(self) -> float:
        """Give the seconds until a page may be read that nobody waits for."""
        return self._budget.wait()

    def sent(self, kind: Kind | None, *, refresh: bool = False) -> None:
        """Note that a call goes out; ``refresh``: a read that nobody waits for."""
        self._rate_limiter.sent(_ACTIONS[kind])
        if kind is None:
            self._budget.spend(refresh=refresh)

    def answered(self, kind: Kind | None, error: CloudError | None) -> None:
        """Note what came of a call: it was throttled, or else the rate limit lets others go out."""
        if error is not None and error.meaning is Meaning.THROTTLED:
            self._rate_limiter.refused(_ACTIONS[kind], error.retry_after)
            return
        self._rate_limiter.passed(_ACTIONS[kind])
        if error is not None and not error.passes:
            log.warning("gateway %s: %s", self._gateway_id, error)
