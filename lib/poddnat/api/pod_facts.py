"""The facts of a pod's manifest that matter here, read in one place for the pod's own sync and for authorization."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

_FINISHED = frozenset({"Succeeded", "Failed"})

Pod = Mapping[str, Any]


@dataclass(frozen=True)
class Owner:
    """The controller owner of a pod, or of another object."""

    api_version: str
    kind: str
    name: str
    uid: str

    def is_like(self, other: "Owner") -> bool:
        """Whether it is the same but for its uid and API version: perhaps made anew, or known by a newer version."""
        return (self.group, self.kind, self.name) == (other.group, other.kind, other.name)

    @property
    def group(self) -> str:
        """Its API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def annotations_of(pod: Pod) -> Mapping[str, str]:
    """Read a pod's annotations; none is an empty mapping."""
    return pod["metadata"].get("annotations") or {}


def address_of(pod: Pod) -> str | None:
    """Read a pod's IPv4 address; None when it has none: not yet, no more because it has finished, or IPv6 only."""
    return next((ip for ip in _addresses_of(pod) if _is_ipv4(ip)), None)


def ipv6_only(pod: Pod) -> str:
    """Give the address of a pod that has one, but no IPv4 address; else empty."""
    addresses = _addresses_of(pod)
    return addresses[0] if addresses and not any(map(_is_ipv4, addresses)) else ""


def _addresses_of(pod: Pod) -> list[str]:
    """List a pod's addresses; with dual stack, the cluster says which family comes first."""
    if has_finished(pod):
        return []
    status = pod.get("status") or {}
    return [ip for ip in [status.get("podIP"), *((one or {}).get("ip") for one in status.get("podIPs") or ())] if ip]


def _is_ipv4(ip: str) -> bool:
    try:
        IPv4Address(ip)
    except ValueError:
        return False
    return True


def has_finished(pod: Pod) -> bool:
    """Whether a pod has ended for good."""
    return (pod.get("status") or {}).get("phase") in _FINISHED


def is_terminating(pod: Pod) -> bool:
    """Whether a pod, or another object, is on its way out."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def shares_node_network(pod: Pod) -> bool:
    """Whether a pod's address is its node's: exposing it would expose the node."""
    return bool(pod["spec"].get("hostNetwork"))


def controller_of(metadata: Mapping[str, Any]) -> Owner | None:
    """Find the owner that an object's metadata names as its controller."""
    for owner in metadata.get("ownerReferences") or []:
        if owner.get("controller"):
            return Owner(owner["apiVersion"], owner["kind"], owner["name"], owner["uid"])
    return None
