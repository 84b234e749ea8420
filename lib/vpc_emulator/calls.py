"""What was called: a log for tests to count, and the account's rate limit that counts the same calls."""

import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from vpc_emulator.assets import RateLimit

OK: Final = "OK"
LOST: Final = "Lost"
"""The outcome of a request that a fault lost before anything was done."""

_KEPT: Final = 200_000


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its outcome is ``OK``, the error's code, or ``Lost``."""

    time: float
    action: str
    parameters: Mapping[str, str]
    outcome: str
    answered: bool = True
    """False when the client never saw this outcome."""


class CallLog:
    """The latest calls, and how many there were of each kind."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: deque[Call] = deque(maxlen=_KEPT)
        self.counts: Counter[tuple[str, str]] = Counter()

    def __iter__(self) -> Iterator[Call]:
        return iter(self.list())

    def __len__(self) -> int:
        return self.counts.total()

    def list(self, action: str | None = None) -> list[Call]:
        """Return the calls, oldest first, in all or of one action."""
        with self._lock:
            return [call for call in self._calls if action in {None, call.action}]

    def count(self, action: str | None = None, outcome: str | None = None) -> int:
        """Count calls by action, by outcome, by both, or all."""
        with self._lock:
            return sum(
                number
                for (of_action, of_outcome), number in self.counts.items()
                if action in {None, of_action} and outcome in {None, of_outcome}
            )

    def add(self, call: Call) -> None:
        """Note a call."""
        with self._lock:
            self._calls.append(call)
            self.counts[call.action, call.outcome] += 1

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._calls.clear()
            self.counts.clear()


class RateMeter:
    """A sliding window of granted calls; refused ones do not count."""

    def __init__(self) -> None:
        self._granted: dict[str, deque[float]] = {}

    def ask(self, limit: RateLimit, action: str, now: float) -> float:
        """Grant the call and return 0, or return the seconds until one would be granted."""
        granted = self._granted.setdefault(action if limit.per_action else "*", deque())
        while granted and granted[0] <= now - limit.seconds:
            granted.popleft()
        if len(granted) >= limit.calls:
            return granted[len(granted) - limit.calls] + limit.seconds - now
        granted.append(now)
        return 0.0

    def use_up(self, limit: RateLimit, action: str, now: float, calls: int | None) -> int:
        """Ask for so many calls, or until one is refused; return how many were granted."""
        wanted = limit.calls if calls is None else calls
        return sum(self.ask(limit, action, now) == 0.0 for _ in range(wanted))
