"""What to tell people when a PodDNAT belongs to somebody else, came second, or has left entries behind."""

from poddnat.api import PORT_TAKEN, Problem
from poddnat.controllers.intervals import API_SERVER_REFUSED_RETRY, CLAIMED_EARLIER_RETRY, NOT_ADOPTED_RETRY


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


def orphans_left(gateway_id: str, count: int, *, shared: bool) -> Problem:
    """Tell that so many PodDNATs are gone whose entries are left; ``shared``: another cluster has this clusterID."""
    if shared:
        text = f"Another cluster makes forward entries on {gateway_id} under this cluster's clusterID"
        act = "an operator has to give each cluster a clusterID of its own in its values; until then none is collected"
        return Problem("ClusterIdShared", f"{text}; {act}.")
    text = f"{count} PodDNATs with forward entries on {gateway_id} are gone at once, so the entries are kept"
    act = 'an operator has to see why ("poddnat audit" lists them), and may delete them by "poddnat audit --fix"'
    return Problem("ManyOrphans", f"{text}; {act}.")
