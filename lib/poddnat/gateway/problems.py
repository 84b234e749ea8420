"""What to tell people when a gateway can't give a PodDNAT what it should have."""

import itertools

from poddnat.api import ADDRESS, CLOUD, GATEWAY, INTERNAL_TAKEN, PORT_TAKEN, QUOTA, Problem
from poddnat.cloud import CloudError
from poddnat.gateway.intervals import (
    ADDRESS_LEFT_RETRY_AFTER,
    QUOTA_RETRY_AFTER,
    STUCK_AFTER,
    STUCK_RETRY_AFTER,
    TAKEN_RETRY_AFTER,
)
from poddnat.model import ForwardEntry, ForwardRule

_COUNTED = 10
"""Numbers up to this are told as they are."""


def gateway_missing(gateway_id: str) -> Problem:
    """Explain that DescribeNatGateways doesn't show a gateway of the pool."""
    text = "is not among the VPC's NAT gateways; an operator has to correct natgwId, vpcID or regionID in the values"
    return Problem(GATEWAY, f"NAT gateway {gateway_id} {text}.")


def address_left(gateway_id: str, external_ip: str) -> Problem:
    """Explain that an address is no longer a gateway's."""
    text = f"{external_ip} is not an address of NAT gateway {gateway_id} any more"
    return Problem(ADDRESS, f"{text}; nobody has to act while the pool has another one.", ADDRESS_LEFT_RETRY_AFTER)


def quota_exceeded(gateway_id: str, quota: int | None, pods: int, entries: int) -> Problem:
    """Explain that a gateway's table has no room: so many pods wait for so many entries."""
    text = f"NAT gateway {gateway_id} has reached its quota of {quota} forward entries"
    pods_wait = "1 pod waits" if pods == 1 else f"{_about(pods)} pods wait"
    needed = "1 more entry" if entries == 1 else f"{_about(entries)} more entries"
    return Problem(
        QUOTA,
        f"{text}; an operator has to raise the quota or add a gateway, or the user to set a rolling update's"
        " maxUnavailable to 1 or more.",
        retry_after=QUOTA_RETRY_AFTER,
        details=f"{pods_wait} for {needed} there.",
    )


def _about(number: int) -> str:
    """Round a number up to 1, 2 or 5 and zeros: a text that follows each change is a status written each time."""
    steps = (step * 10**zeros for zeros in itertools.count() for step in (1, 2, 5))
    rounded = next(step for step in steps if step >= number)
    return str(number) if number <= _COUNTED else f"up to {rounded}"


def entry_stuck(gateway_id: str, entry: ForwardEntry) -> Problem:
    """Explain that an entry has not changed for long: neither Available nor gone."""
    text = f"Entry {entry.entry_id} on {gateway_id} ({entry.rule}) has been {entry.status}"
    act = "nobody has to act while that passes, else an operator has to ask the cloud's support"
    return Problem(CLOUD, f"{text} for {STUCK_AFTER:.0f} seconds or more; {act}.", retry_after=STUCK_RETRY_AFTER)


def taken_by_unseen(rule: ForwardRule, error: CloudError) -> Problem:
    """Explain that the cloud calls a port taken but shows no entry that has it."""
    if "destination" in error.message.lower():
        side, reason = f"{rule.internal_ip}:{rule.internal_ports.shown}", INTERNAL_TAKEN
    else:
        side, reason = f"{rule.external_ip}:{rule.external_ports.shown}", PORT_TAKEN
    act = "it is tried again, and an operator has to see who has it"
    return Problem(
        reason,
        f"The cloud says that {side} is taken, but shows no entry that has it: {error.quote}; {act}.",
        TAKEN_RETRY_AFTER,
    )
