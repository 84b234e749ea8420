"""What to tell people when something lasting is the matter: a reason for programs, one sentence for everybody.

Each sentence says what it is about and who has to act: the user, an operator, or nobody. Conditions, events and
annotations carry both.
"""

from dataclasses import dataclass

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
    """Something lasting that is the matter: a reason in CamelCase and one sentence that says who has to act."""

    reason: str
    message: str
    retry_after: float = 60.0
    """Seconds after which asking again makes sense."""
    stats: str = ""
    """A sentence more, with figures that change though the matter is the same: not worth telling anew."""


class ProblemError(Exception):
    """What was asked for can't be had; carries what to tell."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem
