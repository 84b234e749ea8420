"""The account's rate limits: when the cloud says "too many calls" of an action, that action waits.

Limits are per action, region and account, and other clients share them: how many calls there are is not learned. A
gate closes until the cloud wants to be called again, as it says, or after a backoff. Then calls go out one after the
other at first, not closer than the last refusal was from the last call that passed: where we use up the limit
ourselves, that is the rate at which it lets calls pass. Every few that pass halve the distance.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from poddnat.backoff import Backoff
from poddnat.cloud.intervals import THROTTLED_FIRST_RETRY, THROTTLED_LONGEST_DISTANCE, THROTTLED_LONGEST_RETRY

_PASSED_TO_HALVE = 10
_SHORTEST_DISTANCE = 0.02
"""Seconds; below that, calls need not be held apart."""


@dataclass
class _Gate:
    opens_at: float = float("-inf")
    distance: float = 0.0
    """Seconds between two calls."""
    passed: int = 0
    """Calls that passed since the distance was changed."""
    last_sent: float = float("-inf")
    last_passed: float = float("-inf")
    backoff: Backoff = field(default_factory=lambda: Backoff(THROTTLED_FIRST_RETRY, THROTTLED_LONGEST_RETRY))


class RateLimiter:
    """A gate before every call, for each action. Safe to use from several threads; times are the given clock's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._gates: dict[str, _Gate] = {}

    def wait(self, action: str) -> float:
        """Give the seconds until a call may go out; 0 means now."""
        with self._lock:
            gate = self._gates.get(action)
            if gate is None:
                return 0.0
            return max(0.0, max(gate.opens_at, gate.last_sent + gate.distance) - self._clock())

    def sent(self, action: str) -> None:
        """Note that a call goes out; its outcome has to be told."""
        with self._lock:
            self._gates.setdefault(action, _Gate()).last_sent = self._clock()

    def refused(self, action: str, retry_after: float | None) -> None:
        """Note a throttled call; ``retry_after``: the seconds after which the cloud wants to be called again."""
        with self._lock:
            gate, now = self._gates.setdefault(action, _Gate()), self._clock()
            if retry_after is None:
                # Those sent before the gate was closed are refused for the same reason.
                retry_after = gate.backoff.failed() if now >= gate.opens_at else 0.0
            gate.opens_at = max(gate.opens_at, now + retry_after)
            gate.distance = min(gate.opens_at - gate.last_passed, THROTTLED_LONGEST_DISTANCE)
            gate.passed = 0

    def passed(self, action: str) -> None:
        """Note a call that was not throttled, or that was not made after all."""
        with self._lock:
            gate, now = self._gates.setdefault(action, _Gate()), self._clock()
            if now < gate.opens_at:
                return  # Sent before its companions were refused, it says nothing of later ones.
            gate.last_passed = now
            gate.backoff.reset()
            gate.passed += 1
            if gate.passed >= _PASSED_TO_HALVE:
                gate.distance = gate.distance / 2 if gate.distance > _SHORTEST_DISTANCE else 0.0
                gate.passed = 0
