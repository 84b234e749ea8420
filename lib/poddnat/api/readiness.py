"""The pod condition that a readiness gate waits for: it says what the pod's status annotation says."""

from collections.abc import Mapping
from typing import Any

from poddnat.api.annotations import READY

CONDITION = "poddnat.alibabacloud.com/ready"
_LONGEST_MESSAGE = 1024


def has_gate(pod: Mapping[str, Any]) -> bool:
    """Whether a pod has the readiness gate."""
    gates = pod["spec"].get("readinessGates") or []
    return any(gate.get("conditionType") == CONDITION for gate in gates)


def changed_condition(pod: Mapping[str, Any], status: str | None, now: str) -> dict[str, str] | None:
    """Write the condition for a status annotation (None: nothing is asked for); None: the pod has it already.

    A pod without a status annotation has no condition either, which Kubernetes takes for not ready.
    """
    observed = next((c for c in (pod.get("status") or {}).get("conditions") or [] if c.get("type") == CONDITION), None)
    if status is None and observed is None:
        return None
    reason, _, message = (status or "NotExposed: The pod asks for no public ports.").partition(": ")
    value = "True" if status == READY else "False"
    desired = {"status": value, "reason": reason, "message": message[:_LONGEST_MESSAGE]}
    if observed is not None and all((observed.get(key) or "") == text for key, text in desired.items()):
        return None
    since = observed.get("lastTransitionTime", now) if observed is not None and observed.get("status") == value else now
    return {"type": CONDITION, **desired, "lastTransitionTime": since}
