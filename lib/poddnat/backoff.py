"""How long to wait before something that failed is tried again: longer each time, within bounds, never in step."""

import random
from collections.abc import Callable

_FACTOR = 2.0
_JITTER = 0.2
"""Share of a delay that chance takes off, so that those who failed together don't come back together."""

# One of its own: whoever repeats the choices of the module's, as tests do, must not be disturbed by other threads.
_RANDOM = random.Random()  # noqa: S311  # no secret


class Backoff:
    """Counts failures in a row and gives the delay after each. Not safe for use from several threads at once."""

    def __init__(self, first: float, longest: float, *, chance: Callable[[], float] = _RANDOM.random) -> None:
        """Delays go from ``first`` to ``longest`` seconds; ``chance`` gives numbers from 0 to 1."""
        self._first = first
        self._longest = longest
        self._chance = chance
        self._delay = first
        self.failures = 0
        """How many failures there were since the last success."""

    def failed(self) -> float:
        """Count a failure, and give the seconds to wait before the next try."""
        delay = self._delay
        self.failures += 1
        self._delay = min(delay * _FACTOR, self._longest)
        return delay * (1 - _JITTER * self._chance())

    def reset(self) -> None:
        """Forget past failures: it worked, or something has changed that may have caused them."""
        self._delay = self._first
        self.failures = 0
