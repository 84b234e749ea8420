"""The resources that the in-memory API serves: what their paths, kinds and subresources are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class ServedKind:
    """One kind, served under every version it names, with one storage behind them."""

    group: str
    versions: tuple[str, ...]
    plural: str
    kind: str
    namespaced: bool = True
    has_status: bool = True

    def api_version(self, version: str) -> str:
        """Return what objects of that version carry as `apiVersion`."""
        return f"{self.group}/{version}" if self.group else version

    @property
    def qualified_name(self) -> str:
        """How error messages name the resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @staticmethod
    def from_crd(crd: Json) -> ServedKind:
        """Read a CustomResourceDefinition; its schema is not looked at."""
        spec = crd["spec"]
        versions = [version for version in spec["versions"] if version.get("served", True)]
        return ServedKind(
            group=spec["group"],
            versions=tuple(version["name"] for version in versions),
            plural=spec["names"]["plural"],
            kind=spec["names"]["kind"],
            namespaced=spec["scope"] == "Namespaced",
            has_status=any("status" in version.get("subresources", {}) for version in versions),
        )


PODS = ServedKind("", ("v1",), "pods", "Pod")
NAMESPACES = ServedKind("", ("v1",), "namespaces", "Namespace", namespaced=False)

BUILT_IN = (
    PODS,
    NAMESPACES,
    ServedKind("", ("v1",), "nodes", "Node", namespaced=False),
    ServedKind("", ("v1",), "events", "Event", has_status=False),
    ServedKind("", ("v1",), "secrets", "Secret", has_status=False),
    ServedKind("", ("v1",), "configmaps", "ConfigMap", has_status=False),
    ServedKind("", ("v1",), "serviceaccounts", "ServiceAccount", has_status=False),
    ServedKind("", ("v1",), "services", "Service"),
    ServedKind("apps", ("v1",), "deployments", "Deployment"),
    ServedKind("apps", ("v1",), "replicasets", "ReplicaSet"),
    ServedKind("apps", ("v1",), "statefulsets", "StatefulSet"),
    ServedKind("coordination.k8s.io", ("v1",), "leases", "Lease", has_status=False),
)
