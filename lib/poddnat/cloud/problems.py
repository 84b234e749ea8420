"""The problems that failed calls of the cloud are, for people."""

from collections.abc import Callable

from poddnat.api import ADDRESS, CLOUD, DENIED, GATEWAY, REJECTED, Problem
from poddnat.cloud.errors import CloudError, Meaning
from poddnat.cloud.intervals import (
    ADDRESS_RETRY_AFTER,
    CLOUD_RETRY_AFTER,
    DENIED_RETRY_AFTER,
    FAILURES_TO_TELL,
    REJECTED_RETRY_AFTER,
    TOLD_AFTER,
    UNUSABLE_RETRY_AFTER,
)


def problem_of(error: CloudError, gateway_id: str = "the pool's gateways") -> Problem:
    """Explain a failed call that was about a gateway, or about all of them."""
    quote = error.quote
    match error.meaning:
        case Meaning.DENIED:
            text = f"The cloud does not accept our credentials or permissions: {quote}; an operator has to mend them"
            return Problem(DENIED, f'{text} ("poddnat check-config" tells which).', retry_after=DENIED_RETRY_AFTER)
        case Meaning.ADDRESS:
            text = f"The external address can't serve on {gateway_id}: {quote}"
            return Problem(
                ADDRESS, f"{text}; nobody has to act while the pool has another one.", retry_after=ADDRESS_RETRY_AFTER
            )
        case _ if error.passes:
            text = f"The cloud does not answer as it should: {quote}; nobody has to act, it is tried again"
            return Problem(CLOUD, f"{text}.", retry_after=CLOUD_RETRY_AFTER)
        case Meaning.UNUSABLE if error.code == "Forbidden.FinancialLocked":
            text = f"NAT gateway {gateway_id} is locked for an unpaid bill: {quote}"
            return Problem(GATEWAY, f"{text}; an operator has to pay it.", retry_after=UNUSABLE_RETRY_AFTER)
        case Meaning.UNUSABLE:
            text = f"The values file does not fit {gateway_id} as the cloud has it: {quote}"
            return Problem(
                GATEWAY, f"{text}; an operator has to correct one of them.", retry_after=UNUSABLE_RETRY_AFTER
            )
        case Meaning.WRONG if error.action == "CreateForwardEntry":
            return Problem(
                REJECTED, f"The cloud refuses the entry: {quote}; the user has to change the pod.", REJECTED_RETRY_AFTER
            )
        case _:
            # Not a reason to leave the gateway: what works there goes on working.
            text = f"The cloud refuses a call about {gateway_id}: {quote}; an operator has to see why"
            return Problem(CLOUD, f"{text}.", retry_after=CLOUD_RETRY_AFTER)


class Outage:
    """A read that is tried again and again: why it fails, once that lasts.

    What usually passes by itself is told after several failures, or half a minute: a single lost answer would else
    write an event and an annotation on each pod that waits. Anything else is told at once.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` measures seconds."""
        self._clock = clock
        self._error: CloudError | None = None
        self._failures = 0
        self._since = 0.0

    def failed(self, error: CloudError) -> None:
        """Note one more failure."""
        if self._error is None:
            self._since = self._clock()
        self._error = error
        self._failures += 1

    def worked(self) -> None:
        """Note a success."""
        self._error, self._failures = None, 0

    @property
    def problem(self) -> Problem | None:
        """What to tell; None: it works, or its failure may pass in a moment."""
        error = self._error
        if error is None:
            return None
        lasts = self._failures >= FAILURES_TO_TELL or self._clock() - self._since >= TOLD_AFTER
        return problem_of(error) if lasts or not error.passes else None
