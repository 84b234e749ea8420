"""How many public ports a pod and a namespace may have, and what is reported where one asks for more. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping

from poddnat.api import Problem, ProblemError
from poddnat.config import NO_LIMITS, Limits
from poddnat.ports.allocation import Observed, PortRequest
from poddnat.ports.intervals import NAMESPACE_LIMIT_RETRY
from poddnat.ports.reservations import Reservation


class LimitError(ProblemError):
    """A pod asks for more ports than it may have."""


def check_request(
    limits: Limits, request: PortRequest, observed: Iterable[Observed], reservations: Mapping[str, Reservation]
) -> None:
    """See that a pod may have what it asks for; ``reservations`` are those of all pods, by their uids.

    Raises:
        LimitError: it may not.
    """
    if limits == NO_LIMITS:
        return
    current = others = 0
    counted = {request.pod_uid}
    for seen in observed:
        if seen.namespace == request.namespace:
            counted.add(seen.pod_uid)
            if seen.uid == request.poddnat_uid or seen.pod_uid == request.pod_uid:
                current += seen.allocation.ports
            else:
                others += seen.allocation.ports
    for pod_uid, reservation in reservations.items():
        if reservation.namespace == request.namespace and pod_uid not in counted:
            others += reservation.allocation.ports
    _check(limits, request.namespace, request.ports, current=current, others=others)


def check_observed(limits: Limits, uid: str, observed: Iterable[Observed]) -> None:
    """See that a PodDNAT may have what it names, beside those of its namespace that were ``observed`` before it.

    Raises:
        LimitError: it may not.
    """
    if limits == NO_LIMITS:
        return
    by_namespace = Counter[str]()
    for seen in observed:
        if seen.uid == uid:
            others = by_namespace[seen.namespace]
            _check(limits, seen.namespace, seen.allocation.ports, current=0, others=others)
            return
        by_namespace[seen.namespace] += seen.allocation.ports


def _check(limits: Limits, namespace: str, asked: int, *, current: int, others: int) -> None:
    """See that a pod may have ``asked`` ports, of which it has ``current``, while its namespace has ``others`` more.

    A limit never takes away what is there: a pod may have as many as it has.
    """
    if asked <= current:
        return
    asks = f"The pod asks for {asked} public port{'' if asked == 1 else 's'}"
    most = limits.ports_per_pod
    if most is not None and asked > most:
        text = f"{asks}, but one pod may have {most} (limits.portsPerPod in the values)"
        act = "the user has to list fewer, or an operator has to raise the limit"
        raise LimitError(Problem("TooManyPorts", f"{text}; {act}."))
    most = limits.ports_per_namespace
    if most is not None and others + asked > most:
        # The text leaves out how many the others have: it would change with each of them.
        text = f"{asks}, more than is left of the {most} for namespace {namespace} (limits.portsPerNamespace)"
        act = "the user has to expose fewer there, or an operator has to raise the limit"
        raise LimitError(Problem("NamespaceLimitReached", f"{text}; {act}.", NAMESPACE_LIMIT_RETRY))
