"""May a write go now: by the table's quota, and by what has gone wrong on the gateway, or with one of its addresses.

What concerns one entry only is not told here: it waits by itself. The gateway as a whole is held back only on
evidence that it is the gateway: an error that says so, or one that two PodDNATs have met, one after the other.
"""

import math
from dataclasses import dataclass, field

from poddnat.api import Problem
from poddnat.backoff import Backoff
from poddnat.cloud import FAILURES_TO_TELL, CloudError, Scope, problem_of
from poddnat.gateway.intervals import QUOTA_RETRY, SUSPEND_FIRST, SUSPEND_LONGEST


class EntryQuota:
    """How many entries the table takes: by the cloud's quota, as far as it is known, and by the values file."""

    def __init__(self) -> None:
        self.limit: int | None = None
        """How many entries the table may have, whatever the cloud allows."""
        self._quota: int | None = None
        self._full_until = -math.inf

    @property
    def known(self) -> int | None:
        """How many entries the table takes, as far as is known."""
        return min((quota for quota in (self.limit, self._quota) if quota is not None), default=None)

    def is_full(self, entries: int, now: float) -> bool:
        """Whether there is no room: by the limit, or by a refusal since which nothing was freed."""
        refused = now < self._full_until and self._quota is not None and entries >= self._quota
        return refused or (self.limit is not None and entries >= self.limit)

    def free_at(self, entries: int, in_flight: int, now: float) -> float:
        """Tell when the next create may be sent, as far as the quota goes; inf: only after something has changed.

        No more are sent at once than there is room for: they would overtake each other.
        """
        quota = self.known
        if quota is None or entries + in_flight < quota:
            return now
        limited = self.limit is not None and entries + in_flight >= self.limit
        return math.inf if limited or in_flight else self._full_until

    def refused(self, entries: int, now: float) -> None:
        """Note that the cloud had no room for one entry more than these."""
        self._quota = entries
        self._full_until = now + QUOTA_RETRY

    def taken(self, entries: int) -> None:
        """Note that the cloud took an entry, which makes so many."""
        if self._quota is not None and entries > self._quota:
            self._quota = None  # It has been raised.


@dataclass
class Suspension:
    """Something that refuses every write for now: a gateway, or an address."""

    until: float = -math.inf
    problem: Problem | None = None
    _backoff: Backoff = field(default_factory=lambda: Backoff(SUSPEND_FIRST, SUSPEND_LONGEST))

    def failed(self, error: CloudError, gateway_id: str, now: float) -> None:
        """Note one more failure; what passes by itself is told only once it has lasted."""
        self.until = now + self._backoff.failed()
        if not error.passes or self._backoff.failures >= FAILURES_TO_TELL:
            problem = problem_of(error, gateway_id)
            # Errors may come in turn: a text that changed each time would be a status written each time.
            if self.problem is None or self.problem.reason != problem.reason:
                self.problem = problem


class WriteGate:
    """Holds writes back. Not safe for use from several threads at once."""

    def __init__(self, gateway_id: str) -> None:
        self._gateway_id = gateway_id
        self._suspended: dict[str, Suspension] = {}
        # By the address that refuses every write; empty: the gateway does.
        self._last_failed = ""
        # The PodDNAT whose write failed last, for a reason that may be its own or the gateway's.

    def opens_at(self, external_ip: str = "") -> float:
        """Tell when a write may be sent, as far as the gateway goes and, unless empty, an address of it."""
        return max((one.until for one in self._concerning(external_ip)), default=-math.inf)

    def problem(self, external_ip: str = "") -> Problem | None:
        """Tell what is the matter with the gateway or, unless empty, with an address of it."""
        return next((one.problem for one in self._concerning(external_ip) if one.problem is not None), None)

    def failed(self, error: CloudError, uid: str, external_ip: str, now: float) -> None:
        """Note that a write has failed: hold back what its error concerns."""
        match error.scope:
            case Scope.ADDRESS:
                self._suspended.setdefault(external_ip, Suspension()).failed(error, self._gateway_id, now)
            case Scope.GATEWAY | Scope.ACCOUNT:
                self._suspended.setdefault("", Suspension()).failed(error, self._gateway_id, now)
            case Scope.UNCLEAR if self._last_failed not in ("", uid):
                self._suspended.setdefault("", Suspension()).failed(error, self._gateway_id, now)
        self._last_failed = uid

    def passed(self, external_ip: str) -> None:
        """Note that the gateway took a write that concerns an address."""
        self._last_failed = ""
        for place in ("", external_ip):
            self._suspended.pop(place, None)

    def _concerning(self, external_ip: str) -> list[Suspension]:
        return [self._suspended[place] for place in ("", external_ip) if place in self._suspended]
