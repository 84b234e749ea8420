"""The account's rate limits: when the cloud says "too many calls" of an action, that action waits.

Limits are per action, region and account, and other clients share them: nothing is learned of how many calls there
are. A gate closes until the cloud wants to be called again, as it says, or after a backoff; then one call tries first.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from poddnat.backoff import Backoff
from poddnat.cloud.intervals import THROTTLED_FIRST_RETRY, THROTTLED_LONGEST_RETRY, THROTTLED_RECHECK


@dataclass
class _Gate:
    opens_at: float = float("-inf")
    trying: bool = False
    """Whether the first call after the gate was closed is under way, for which all others wait."""
    tested: bool = True
    """Whether a call has passed since the gate was closed last."""
    backoff: Backoff = field(default_factory=lambda: Backoff(THROTTLED_FIRST_RETRY, THROTTLED_LONGEST_RETRY))


class RateLimiter:
    """A gate before every call, for each action. Safe to use from several threads; times are the given clock's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._gates: dict[str, _Gate] = {}

    def wait(self, action: str) -> float:
        """Give the seconds until a call may go out, or until to ask again while a first one tries; 0 means now."""
        with self._lock:
            gate = self._gates.get(action)
            if gate is None:
                return 0.0
            return THROTTLED_RECHECK if gate.trying else max(0.0, gate.opens_at - self._clock())

    def sent(self, action: str) -> None:
        """Note that a call goes out; its outcome has to be told."""
        with self._lock:
            gate = self._gates.setdefault(action, _Gate())
            gate.trying = not gate.tested

    def refused(self, action: str, retry_after: float | None) -> None:
        """Note a throttled call; ``retry_after``: the seconds after which the cloud wants to be called again."""
        with self._lock:
            gate = self._gates.setdefault(action, _Gate())
            wait = gate.backoff.failed() if retry_after is None else retry_after
            gate.opens_at = max(gate.opens_at, self._clock() + wait)
            gate.trying = gate.tested = False

    def passed(self, action: str) -> None:
        """Note a call that was not throttled, or that was not made after all."""
        with self._lock:
            gate = self._gates.setdefault(action, _Gate())
            if self._clock() >= gate.opens_at:
                # Else it was sent before its companions were refused, and says nothing of later ones.
                gate.trying, gate.tested = False, True
                gate.backoff.reset()
