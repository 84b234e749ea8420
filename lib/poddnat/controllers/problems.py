"""What to tell people when a PodDNAT belongs to somebody else, or came second."""

from collections.abc import Mapping
from typing import Any

from poddnat.api import PORT_TAKEN, Fixed, Problem, is_current, observed_condition, pod_uid_of, spec_of
from poddnat.controllers.intervals import API_SERVER_REFUSED_RETRY, CLAIMED_EARLIER_RETRY, NOT_ADOPTED_RETRY

_REFUSALS = {
    *("NotAllowed", "NotInPool", "NamespaceNotAllowed", "TooManyPorts", "NamespaceLimitReached", PORT_TAKEN),
}
"""Reasons for which a PodDNAT has not got what it names."""


def was_refused(poddnat: Mapping[str, Any]) -> bool:
    """Whether a PodDNAT was refused what it names, perhaps by an earlier process, or nobody's pod could ever allow it.

    What was refused stays refused until it is found to be allowed: else each restart would let those that nobody owns,
    or that were beyond a limit, take ports that running pods were given meanwhile.
    """
    retained = Fixed.read(poddnat["metadata"]) is not None
    if not retained and not pod_uid_of(poddnat["metadata"]):
        return True
    if retained and spec_of(poddnat).get("internalIP"):
        return False  # Its pod is there, and may have to have it repaired.
    told = observed_condition(poddnat.get("status") or {}) if is_current(poddnat) else None
    return told is not None and not told.ready and told.reason in _REFUSALS


def not_adopted(name: str) -> Problem:
    """Tell that a PodDNAT was made by somebody else, such as ACK's own controller."""
    text = f"PodDNAT {name} was not made by poddnat but by ACK's natgw controller or by hand, and is left alone"
    return Problem("NotAdopted", f'{text}; an operator has to run "poddnat adopt".', NOT_ADOPTED_RETRY)


def refused_by_api_server(why: str) -> Problem:
    """Tell that the API server refused what has to be read or written for a pod, such as for a quota or a right."""
    text = f"The API server refuses what poddnat has to do for this pod ({why.rstrip('.')})"
    act = "an operator has to raise the quota, change the policy or grant the right that it names"
    return Problem("ApiServerRefused", f"{text}; {act}.", API_SERVER_REFUSED_RETRY)


def claimed_earlier(external_ip: str, uid: str) -> Problem:
    """Explain that another PodDNAT asked for the same ports first, though it may have no entries now."""
    text = f"PodDNAT {uid} asked for some of these ports of {external_ip} first"
    return Problem(PORT_TAKEN, f"{text}; nobody has to act, another port is used.", CLAIMED_EARLIER_RETRY)
