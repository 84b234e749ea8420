"""The annotations that report a pod's exposure: the status, and the public addresses once it can be reached."""

from typing import Any

from poddnat.api import annotations, pod_facts
from poddnat.api.poddnat import (
    RESYNC_TRIGGERED_AT,
    PodDNAT,
    is_current,
    is_ready,
    observed_condition,
    spec_of,
    working_ports,
)

Manifest = dict[str, Any]


def status_annotations(pod: Manifest, status: str | None, result: str | None) -> dict[str, str | None]:
    """Give the annotations that differ from those of the pod; None: to be removed.

    With them goes what had the pod synced at once; alone, it is not worth a write.
    """
    observed = pod_facts.annotations_of(pod)
    desired = {annotations.STATUS: status, annotations.RESULT: result}
    changes = {key: value for key, value in desired.items() if observed.get(key) != value}
    if changes and RESYNC_TRIGGERED_AT in observed:
        changes[RESYNC_TRIGGERED_AT] = None
    return changes


def is_exposed(desired: PodDNAT, observed: Manifest | None) -> bool:
    """Whether a pod's PodDNAT is what is desired now, and says that all of it works."""
    if observed is None or pod_facts.is_terminating(observed) or spec_of(observed) != desired.spec():
        return False
    return is_ready(observed)


def reported(pod: Manifest, desired: PodDNAT | None, observed: Manifest | None) -> dict[str, str | None]:
    """Give the pod's annotations that report what its PodDNAT's status says of what is desired now."""
    leaving = observed is not None and pod_facts.is_terminating(observed)
    spec = desired.spec() if desired is not None else None
    if observed is None or leaving or spec_of(observed) != spec or not is_current(observed):
        found = pod_facts.annotations_of(pod)
        if annotations.RESULT not in found and found.get(annotations.STATUS) != annotations.READY:
            return {}
        return status_annotations(
            pod, annotations.format_status("Updating", "The public address is being changed."), None
        )
    status = observed.get("status") or {}
    condition = observed_condition(status)
    if condition is None:
        return {}
    if condition.ready:
        return status_annotations(pod, annotations.READY, annotations.format_result(working_ports(status)))
    return status_annotations(pod, annotations.format_status(condition.reason, condition.message), None)
