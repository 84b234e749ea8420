"""What to tell people when entries of others are in a PodDNAT's way."""

from poddnat.api import INTERNAL_TAKEN, PORT_TAKEN, Problem
from poddnat.gateway.intervals import TAKEN_RETRY_AFTER
from poddnat.gateway.reconciler.ownership import Ownership
from poddnat.gateway.reconciler.plan import Plan, Side


def conflict_problem(plan: Plan, ownership: Ownership) -> Problem | None:
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
        return Problem(PORT_TAKEN, f"{text}; nobody has to act, another port is used.", TAKEN_RETRY_AFTER)
    text = (
        f"{rule.internal_ip}:{rule.internal_ports.shown} is mapped for {holder} by entry {entry.entry_id}{of_cluster}"
    )
    act = (
        "nobody has to act, it is tried again once that has gone" if conflict.holder else "an operator has to delete it"
    )
    return Problem(INTERNAL_TAKEN, f"{text}; {act}.", TAKEN_RETRY_AFTER)
