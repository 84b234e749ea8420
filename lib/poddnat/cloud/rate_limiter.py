"""The account's rate limits: when the cloud says "too many calls" of an action, that action waits.

Limits are per action, region and account, and other clients share them: how many calls there are is told, never
learned. A refused call closes its action's gate until the cloud wants to be called again, as it says, or for a
backoff. Then one call tries first. Once that has passed the gate is open; but for a while calls go out one after the
other, as those sent together with the first one that is too many would all be refused.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from poddnat.backoff import Backoff
from poddnat.cloud.intervals import (
    THROTTLED_FIRST_RETRY,
    THROTTLED_FOR,
    THROTTLED_LONGEST_RETRY,
    THROTTLED_SPACING,
    THROTTLED_TRY,
)


@dataclass
class _Gate:
    opens_at: float = -math.inf
    next_at: float = -math.inf
    """When the next call may go out, as far as the last one goes."""
    tried: bool = False
    """Whether a call has passed since the last refusal."""
    backoff: Backoff = field(default_factory=lambda: Backoff(THROTTLED_FIRST_RETRY, THROTTLED_LONGEST_RETRY))


class RateLimiter:
    """A gate before every call, for each action. Safe to use from several threads; times are the given clock's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._gates: dict[str, _Gate] = {}
        # Of the actions that were throttled lately.

    def wait(self, action: str) -> float:
        """Give the seconds until the action may be called; 0 means now."""
        with self._lock:
            gate, now = self._gates.get(action), self._clock()
            if gate is None:
                return 0.0
            if now >= gate.opens_at + THROTTLED_FOR:
                del self._gates[action]
                return 0.0
            return max(0.0, gate.opens_at - now, gate.next_at - now)

    def sent(self, action: str) -> None:
        """Note that a call goes out; its outcome has to be told."""
        with self._lock:
            if (gate := self._gates.get(action)) is not None:
                gate.next_at = self._clock() + (THROTTLED_SPACING if gate.tried else THROTTLED_TRY)

    def refused(self, action: str, retry_after: float | None) -> None:
        """Note a throttled call; ``retry_after``: the seconds after which the cloud wants to be called again."""
        with self._lock:
            gate, now = self._gates.setdefault(action, _Gate()), self._clock()
            if retry_after is None:
                # Those sent before the gate was closed are refused for the same reason.
                retry_after = gate.backoff.failed() if now >= gate.opens_at else 0.0
            else:
                # What comes back call by call is let add up, or every other call would be refused.
                retry_after = max(retry_after, THROTTLED_FIRST_RETRY)
            gate.opens_at = max(gate.opens_at, now + retry_after)
            gate.tried = False

    def passed(self, action: str) -> None:
        """Note a call that was not throttled, or that was not made after all."""
        with self._lock:
            gate, now = self._gates.get(action), self._clock()
            # One that was sent before its companions were refused says nothing of later ones.
            if gate is not None and now >= gate.opens_at:
                gate.tried, gate.next_at = True, min(gate.next_at, now + THROTTLED_SPACING)
                gate.backoff.reset()
