"""The account's rate limits: when the cloud says "too many calls" of an action, that action waits.

Limits are per action, region and account, and other clients share them: how many calls there are is told, never
learned. A refused call closes its action's gate until the cloud wants to be called again, as it says, or for a
backoff. Then one call tries first; once that has passed, the gate is open.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from poddnat.backoff import Backoff
from poddnat.cloud.intervals import THROTTLED_FIRST_RETRY, THROTTLED_LONGEST_RETRY, THROTTLED_TRY


@dataclass
class _Gate:
    opens_at: float = -math.inf
    next_try_at: float = -math.inf
    """When the next call may try, while none has passed since the last refusal."""
    tried: bool = True
    """Whether a call has passed since the last refusal."""
    backoff: Backoff = field(default_factory=lambda: Backoff(THROTTLED_FIRST_RETRY, THROTTLED_LONGEST_RETRY))


class RateLimiter:
    """A gate before every call, for each action. Safe to use from several threads; times are the given clock's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._gates: dict[str, _Gate] = {}

    def wait(self, action: str) -> float:
        """Give the seconds until the action may be called; 0 means now."""
        with self._lock:
            gate = self._gates.get(action)
            if gate is None:
                return 0.0
            at = gate.opens_at if gate.tried else max(gate.opens_at, gate.next_try_at)
            return max(0.0, at - self._clock())

    def sent(self, action: str) -> None:
        """Note that a call goes out; its outcome has to be told."""
        with self._lock:
            if (gate := self._gates.get(action)) is not None:
                gate.next_try_at = self._clock() + THROTTLED_TRY

    def refused(self, action: str, retry_after: float | None) -> None:
        """Note a throttled call; ``retry_after``: the seconds after which the cloud wants to be called again."""
        with self._lock:
            gate, now = self._gates.setdefault(action, _Gate()), self._clock()
            if retry_after is None:
                # Those sent before the gate was closed are refused for the same reason.
                retry_after = gate.backoff.failed() if now >= gate.opens_at else 0.0
            gate.opens_at = max(gate.opens_at, now + retry_after)
            gate.tried = False

    def passed(self, action: str) -> None:
        """Note a call that was not throttled, or that was not made after all."""
        with self._lock:
            gate = self._gates.get(action)
            # One that was sent before its companions were refused says nothing of later ones.
            if gate is not None and self._clock() >= gate.opens_at:
                gate.tried = True
                gate.backoff.reset()
