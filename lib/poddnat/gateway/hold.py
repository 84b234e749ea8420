"""What is the matter with one gateway as a whole, and how long everything is held back because of it."""

import math
from typing import TYPE_CHECKING, Literal

from poddnat.cloud import CloudError, Meaning, problem_of

if TYPE_CHECKING:
    from poddnat.api import Problem

_FIRST = 0.25
_LONGEST = 30.0
_FAILURES_TO_TELL = 3

What = Literal["reads", "writes"]


class Hold:
    """Holds back a gateway's calls, ever longer while they fail. Not safe for use from several threads at once."""

    def __init__(self, gateway_id: str) -> None:
        self.until = -math.inf
        """The time before which nothing should be sent."""
        self.problem: Problem | None = None
        """What to tell those who wait."""
        self._gateway_id = gateway_id
        self._failures: dict[What, int] = {"reads": 0, "writes": 0}
        # In a row, each by itself: that the cloud can be read says nothing about its taking writes.

    def failed(self, what: What, error: CloudError, now: float) -> None:
        """Hold everything back after a failure that concerns the whole gateway."""
        failures = self._failures[what] = self._failures[what] + 1
        self.until = now + min(_FIRST * 2.0 ** (failures - 1), _LONGEST)
        if error.meaning is not Meaning.UNKNOWN or failures >= _FAILURES_TO_TELL:
            problem = problem_of(error, self._gateway_id)
            # Reads and writes fail in turn: a text that changed each time would be a status written each time.
            if self.problem is None or self.problem.reason != problem.reason:
                self.problem = problem

    def recovered(self, what: What) -> None:
        """Note that one kind of calls works."""
        self._failures[what] = 0
        if not any(self._failures.values()):
            self.problem = None
