"""How many entries one gateway's table takes: by the cloud's quota, as far as it is known, and by the values file."""

import math

_RETRY = 60.0
"""Seconds after which a quota is tried again: it may have been raised."""


class Room:
    """Tells whether there is room for another entry. Not safe for use from several threads at once."""

    def __init__(self) -> None:
        self.limit: int | None = None
        """How many entries the table may have, whatever the cloud allows."""
        self._quota: int | None = None
        self._full_until = -math.inf

    @property
    def quota(self) -> int | None:
        """How many entries the table takes, as far as is known."""
        return min((quota for quota in (self.limit, self._quota) if quota is not None), default=None)

    def is_full(self, entries: int, now: float) -> bool:
        """Whether there is no room: by the limit, or by a refusal since which nothing was freed."""
        refused = now < self._full_until and self._quota is not None and entries >= self._quota
        return refused or (self.limit is not None and entries >= self.limit)

    def free_at(self, entries: int, in_flight: int, now: float) -> float:
        """Tell when the next create may be sent, as far as room goes; inf: only after something has changed.

        No more are sent at once than there is room for: they would overtake each other.
        """
        quota = self.quota
        if quota is None or entries + in_flight < quota:
            return now
        limited = self.limit is not None and entries + in_flight >= self.limit
        return math.inf if limited or in_flight else self._full_until

    def refused(self, entries: int, now: float) -> None:
        """Note that the cloud had no room for one entry more than these."""
        self._quota = entries
        self._full_until = now + _RETRY

    def taken(self, entries: int) -> None:
        """Note that the cloud took an entry, which makes so many."""
        if self._quota is not None and entries > self._quota:
            self._quota = None  # It has been raised.
