"""The pod condition that a readiness gate waits for: True by its PodDNAT alone, else the annotation's words."""

from collections.abc import Mapping
from typing import Any

from poddnat.api.annotations import READY

CONDITION = "poddnat.alibabacloud.com/ready"
NOT_ASKED = "NotExposed: The pod asks for no public ports."
"""What the condition of a pod says that has opted out."""

_NOT_YET = "Updating: The pod's public ports don't work yet."
_LONGEST_MESSAGE = 1024


def has_gate(pod: Mapping[str, Any]) -> bool:
    """Whether a pod has the readiness gate."""
    gates = pod["spec"].get("readinessGates") or []
    return any(gate.get("conditionType") == CONDITION for gate in gates)


def changed_condition(pod: Mapping[str, Any], status: str | None, now: str, *, exposed: bool) -> dict[str, str] | None:
    """Write the condition for a status annotation (None: nothing is told yet); None: the pod has it already.

    ``exposed``: the pod's PodDNAT says that all works. An annotation that says so alone may be a template's. A pod of
    which nothing is told yet has no condition, which Kubernetes takes for not ready.
    """
    observed = next((c for c in (pod.get("status") or {}).get("conditions") or [] if c.get("type") == CONDITION), None)
    if exposed:
        status = READY
    elif status is None or status == READY:
        if observed is None:
            return None
        status = _NOT_YET
    reason, _, message = status.partition(": ")
    desired = {"status": str(exposed), "reason": reason, "message": message[:_LONGEST_MESSAGE]}
    if observed is not None and all((observed.get(key) or "") == text for key, text in desired.items()):
        return None
    same = observed is not None and observed.get("status") == str(exposed)
    since = observed.get("lastTransitionTime") if observed is not None and same else None
    return {"type": CONDITION, **desired, "lastTransitionTime": since or now}
