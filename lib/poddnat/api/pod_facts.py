"""The facts of a pod's manifest that matter here, read in one place for the pod's own sync and for authorization."""

from collections.abc import Mapping
from typing import Any

_FINISHED = frozenset({"Succeeded", "Failed"})

Pod = Mapping[str, Any]


def annotations_of(pod: Pod) -> Mapping[str, str]:
    """Read a pod's annotations; none is an empty mapping."""
    return pod["metadata"].get("annotations") or {}


def address_of(pod: Pod) -> str | None:
    """Read a pod's IP; None when it has none: not yet, or no more because it has finished."""
    return None if has_finished(pod) else (pod.get("status") or {}).get("podIP") or None


def has_finished(pod: Pod) -> bool:
    """Whether a pod has ended for good."""
    return (pod.get("status") or {}).get("phase") in _FINISHED


def is_terminating(pod: Pod) -> bool:
    """Whether a pod, or another object, is on its way out."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def shares_node_network(pod: Pod) -> bool:
    """Whether a pod's address is its node's: exposing it would expose the node."""
    return bool(pod["spec"].get("hostNetwork"))
