"""The resources that the in-memory API serves: what their paths, kinds and subresources are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of the table that kubectl prints."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    """0: always shown; else with `-o wide`."""
    description: str = ""


AGE = Column("Age", ".metadata.creationTimestamp", "date")


@dataclass(frozen=True)
class ServedKind:
    """One kind, served under every version it names, with one storage behind them."""

    group: str
    versions: tuple[str, ...]
    plural: str
    kind: str
    namespaced: bool = True
    has_status: bool = True
    has_scale: bool = False
    short_names: tuple[str, ...] = ()
    columns: tuple[Column, ...] = (AGE,)
    version_columns: tuple[tuple[str, tuple[Column, ...]], ...] = ()
    """Those of single versions, where they have their own."""

    def columns_of(self, version: str) -> tuple[Column, ...]:
        """Return the columns behind the name, as this version shows them."""
        return dict(self.version_columns).get(version, self.columns)

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
            short_names=tuple(spec["names"].get("shortNames") or ()),
            version_columns=tuple(
                (version["name"], tuple(map(_column, version["additionalPrinterColumns"])))
                for version in versions
                if version.get("additionalPrinterColumns")
            ),
        )


def _column(column: Json) -> Column:
    priority, description = column.get("priority", 0), column.get("description", "")
    return Column(column["name"], column["jsonPath"], column["type"], priority, description)


_REPLICAS_READY = Column("Ready", "")

PODS = ServedKind(
    "",
    ("v1",),
    "pods",
    "Pod",
    short_names=("po",),
    columns=(
        Column("Ready", ""),
        Column("Status", ""),
        Column("Restarts", "", "integer"),
        AGE,
        Column("IP", ".status.podIP", priority=1),
        Column("Node", ".spec.nodeName", priority=1),
    ),
)
NAMESPACES = ServedKind(
    "",
    ("v1",),
    "namespaces",
    "Namespace",
    namespaced=False,
    short_names=("ns",),
    columns=(Column("Status", ".status.phase"), AGE),
)
EVENTS = ServedKind(
    "",
    ("v1",),
    "events",
    "Event",
    has_status=False,
    short_names=("ev",),
    columns=(
        Column("Last Seen", ".lastTimestamp", "date"),
        Column("Type", ".type"),
        Column("Reason", ".reason"),
        Column("Object", ""),
        Column("Message", ".message"),
    ),
)
DEPLOYMENTS = ServedKind(
    "apps",
    ("v1",),
    "deployments",
    "Deployment",
    has_scale=True,
    short_names=("deploy",),
    columns=(
        _REPLICAS_READY,
        Column("Up-to-date", ".status.updatedReplicas", "integer"),
        Column("Available", ".status.availableReplicas", "integer"),
        AGE,
    ),
)
REPLICA_SETS = ServedKind(
    "apps",
    ("v1",),
    "replicasets",
    "ReplicaSet",
    has_scale=True,
    short_names=("rs",),
    columns=(
        Column("Desired", ".spec.replicas", "integer"),
        Column("Current", ".status.replicas", "integer"),
        Column("Ready", ".status.readyReplicas", "integer"),
        AGE,
    ),
)
STATEFUL_SETS = ServedKind(
    "apps", ("v1",), "statefulsets", "StatefulSet", has_scale=True, short_names=("sts",), columns=(_REPLICAS_READY, AGE)
)

CONTROLLER_KINDS = tuple(
    ServedKind("metacontroller.k8s.io", ("v1alpha1",), f"{kind.lower()}s", kind, namespaced=False)
    for kind in ("DecoratorController", "CompositeController")
)
"""Metacontroller's own."""

BUILT_IN = (
    PODS,
    NAMESPACES,
    ServedKind("", ("v1",), "nodes", "Node", namespaced=False, short_names=("no",)),
    EVENTS,
    ServedKind("", ("v1",), "secrets", "Secret", has_status=False),
    ServedKind("", ("v1",), "configmaps", "ConfigMap", has_status=False),
    ServedKind("", ("v1",), "serviceaccounts", "ServiceAccount", has_status=False),
    ServedKind("", ("v1",), "services", "Service"),
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    ServedKind("coordination.k8s.io", ("v1",), "leases", "Lease", has_status=False),
)
