"""Problems that last: a reason for programs, and one sentence for everybody.

Each sentence says what it is about and who has to act: the user, an operator, or nobody. Conditions, events and
annotations carry both.
"""

from dataclasses import dataclass

from poddnat.api.intervals import PROBLEM_RETRY_AFTER

PORT_TAKEN = "ExternalPortTaken"
INTERNAL_TAKEN = "InternalAddressTaken"
QUOTA = "QuotaExceeded"
ADDRESS = "ExternalAddressUnusable"
REJECTED = "Rejected"
GATEWAY = "GatewayUnusable"
DENIED = "AccessDenied"
CLOUD = "CloudUnavailable"

MOVE_AWAY = frozenset({PORT_TAKEN, QUOTA, ADDRESS, GATEWAY})
"""Reasons that another external address or port can cure."""


@dataclass(frozen=True)
class Problem:
    """A problem that lasts: a reason in CamelCase and one sentence that says who has to act."""

    reason: str
    message: str
    retry_after: float = PROBLEM_RETRY_AFTER
    """Seconds after which asking again makes sense."""
    details: str = ""
    """A sentence more, with numbers that change while the problem stays the same: not worth a new event."""


class ProblemError(Exception):
    """What was asked for can't be had; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem
