"""What to tell people when a call of the cloud fails."""

from poddnat.api import ADDRESS, CLOUD, DENIED, GATEWAY, REJECTED, Problem
from poddnat.cloud.errors import CloudError, Meaning


def problem_of(error: CloudError, gateway_id: str = "the pool's gateways") -> Problem:
    """Explain a failed call that was about a gateway, or about all of them."""
    said = error.said
    match error.meaning:
        case Meaning.DENIED:
            text = f"The cloud does not accept our credentials or permissions: {said}; an operator has to mend them"
            return Problem(DENIED, f'{text} ("poddnat check-config" tells which).', retry_after=30.0)
        case Meaning.ADDRESS:
            text = f"The external address can't serve on {gateway_id}: {said}"
            return Problem(ADDRESS, f"{text}; nobody has to act while the pool has another one.", retry_after=30.0)
        case Meaning.UNKNOWN | Meaning.BUSY | Meaning.THROTTLED:
            text = f"The cloud does not answer as it should: {said}; nobody has to act, it is tried again"
            return Problem(CLOUD, f"{text}.", retry_after=15.0)
        case Meaning.UNUSABLE:
            text = f"The values file does not fit {gateway_id} as the cloud has it: {said}"
            return Problem(GATEWAY, f"{text}; an operator has to correct one of them.")
        case _ if error.action == "CreateForwardEntry":
            return Problem(REJECTED, f"The cloud refuses the entry: {said}; the user has to change the pod.", 300.0)
        case _:
            # Not a reason to leave the gateway: what works there goes on working.
            text = f"The cloud refuses a call about {gateway_id}: {said}; an operator has to see why"
            return Problem(CLOUD, f"{text}.", retry_after=15.0)
