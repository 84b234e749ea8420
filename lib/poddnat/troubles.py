"""What to tell people when something lasting is the matter: a reason for programs, one sentence for everybody.

Each sentence says what it is about and who has to act: the user, an operator, or nobody.
"""

import itertools

from poddnat.cloud_errors import CloudError, Meaning
from poddnat.ownership import Ownership
from poddnat.plan import Plan, Side
from poddnat.progress import Trouble

PORT_TAKEN = "ExternalPortTaken"
INTERNAL_TAKEN = "InternalAddressTaken"
QUOTA = "QuotaExceeded"
ADDRESS = "ExternalAddressUnusable"
REJECTED = "Rejected"
GATEWAY = "GatewayUnusable"
DENIED = "AccessDenied"
CLOUD = "CloudUnavailable"

_COUNTED = 10
"""Numbers up to this are told as they are."""

MOVE_AWAY = frozenset({PORT_TAKEN, QUOTA, ADDRESS, GATEWAY})
"""Reasons that another external address or port can cure."""


def of_error(error: CloudError, gateway_id: str = "the pool's gateways") -> Trouble:
    """Explain a failed call that was about a gateway, or about all of them."""
    said = error.said
    match error.meaning:
        case Meaning.DENIED:
            text = f"The cloud does not accept our credentials or permissions: {said}; an operator has to mend them"
            return Trouble(DENIED, f'{text} ("poddnat check-config" tells which).', retry_after=30.0)
        case Meaning.ADDRESS:
            text = f"The external address can't serve on {gateway_id}: {said}"
            return Trouble(ADDRESS, f"{text}; nobody has to act while the pool has another one.", retry_after=30.0)
        case Meaning.UNKNOWN | Meaning.BUSY | Meaning.THROTTLED:
            text = f"The cloud does not answer as it should: {said}; nobody has to act, it is tried again"
            return Trouble(CLOUD, f"{text}.", retry_after=15.0)
        case Meaning.UNUSABLE:
            text = f"The values file does not fit {gateway_id} as the cloud has it: {said}"
            return Trouble(GATEWAY, f"{text}; an operator has to correct one of them.")
        case _ if error.action == "CreateForwardEntry":
            return Trouble(REJECTED, f"The cloud refuses the entry: {said}; the user has to change the pod.", 300.0)
        case _:
            # Not a reason to leave the gateway: what works there goes on working.
            text = f"The cloud refuses a call about {gateway_id}: {said}; an operator has to see why"
            return Trouble(CLOUD, f"{text}.", retry_after=15.0)


def of_acks(name: str) -> Trouble:
    """Tell that a PodDNAT belongs to ACK's own controller."""
    text = f"PodDNAT {name} is that of ACK's natgw controller and is left alone"
    return Trouble("NotAdopted", f'{text}; an operator has to run "poddnat adopt".', 60.0)


def of_missing(gateway_id: str) -> Trouble:
    """Explain that DescribeNatGateways doesn't show a gateway of the pool."""
    text = "is not among the VPC's NAT gateways; an operator has to correct natgwId, vpcID or regionID in the values"
    return Trouble(GATEWAY, f"NAT gateway {gateway_id} {text}.")


def of_left(gateway_id: str, external_ip: str) -> Trouble:
    """Explain that an address is no longer a gateway's."""
    text = f"{external_ip} is not an address of NAT gateway {gateway_id} any more"
    return Trouble(ADDRESS, f"{text}; nobody has to act while the pool has another one.", retry_after=30.0)


def of_full(gateway_id: str, quota: int | None, pods: int, entries: int) -> Trouble:
    """Explain that a gateway's table has no room: so many pods wait for so many entries."""
    text = f"NAT gateway {gateway_id} has reached its quota of {quota} forward entries"
    pods_wait = "1 pod waits" if pods == 1 else f"{_about(pods)} pods wait"
    needed = "1 more entry" if entries == 1 else f"{_about(entries)} more entries"
    return Trouble(
        QUOTA,
        f"{text}; an operator has to raise the quota or add a gateway.",
        retry_after=30.0,
        figures=f"{pods_wait} for {needed} there.",
    )


def _about(number: int) -> str:
    """Round a number up to 1, 2 or 5 and zeros: a text that follows each change is a status written each time."""
    steps = (step * 10**zeros for zeros in itertools.count() for step in (1, 2, 5))
    rounded = next(step for step in steps if step >= number)
    return str(number) if number <= _COUNTED else f"up to {rounded}"


def of_rival(external_ip: str, uid: str) -> Trouble:
    """Explain that another PodDNAT asked for the same ports first, though it may have no entries now."""
    text = f"PodDNAT {uid} asked for some of these ports of {external_ip} first"
    return Trouble(PORT_TAKEN, f"{text}; nobody has to act, another port is used.", retry_after=30.0)


def of_conflicts(plan: Plan, ownership: Ownership) -> Trouble | None:
    """Explain the first conflict of a plan that has nothing else left to do."""
    if plan.writes or plan.settling or not plan.conflicts:
        return None
    conflict = plan.conflicts[0]
    entry, rule = conflict.entry, conflict.rule
    holder = f"PodDNAT {conflict.holder}" if conflict.holder else "somebody else"
    of_cluster = "" if ownership.owner_in(entry.name) else ", which is not ours to touch"
    if conflict.side is Side.EXTERNAL:
        text = (
            f"{rule.external_ip}:{rule.external_ports.shown} belongs to {holder} by entry {entry.entry_id}{of_cluster}"
        )
        return Trouble(PORT_TAKEN, f"{text}; nobody has to act, another port is used.", retry_after=30.0)
    text = (
        f"{rule.internal_ip}:{rule.internal_ports.shown} is mapped for {holder} by entry {entry.entry_id}{of_cluster}"
    )
    act = (
        "nobody has to act, it is tried again once that has gone" if conflict.holder else "an operator has to delete it"
    )
    return Trouble(INTERNAL_TAKEN, f"{text}; {act}.", retry_after=30.0)
