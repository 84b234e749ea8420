"""What to tell people when a PodDNAT belongs to somebody else, or came second."""

from poddnat.api import PORT_TAKEN, Problem
from poddnat.controllers.intervals import CLAIMED_EARLIER_RETRY, NOT_ADOPTED_RETRY


def not_adopted(name: str) -> Problem:
    """Tell that a PodDNAT was made by somebody else, such as ACK's own controller."""
    text = f"PodDNAT {name} was not made by poddnat but by ACK's natgw controller or by hand, and is left alone"
    return Problem("NotAdopted", f'{text}; an operator has to run "poddnat adopt".', NOT_ADOPTED_RETRY)


def claimed_earlier(external_ip: str, uid: str) -> Problem:
    """Explain that another PodDNAT asked for the same ports first, though it may have no entries now."""
    text = f"PodDNAT {uid} asked for some of these ports of {external_ip} first"
    return Problem(PORT_TAKEN, f"{text}; nobody has to act, another port is used.", CLAIMED_EARLIER_RETRY)
