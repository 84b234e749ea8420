"""What is known of a pod and of all that its public ports depend on. Values only; what could not be read says why."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from poddnat.api import (
    AnnotationError,
    Condition,
    Installation,
    PodDNAT,
    Problem,
    annotations,
    desired_by,
    installation,
    is_current,
    is_ready,
    is_terminating,
    made_by_another,
    observed_condition,
    pod_facts,
    pod_uid_of,
    working_ports,
)
from poddnat.cli.explain.probe import Probe
from poddnat.cli.site import Snapshot, registry_of
from poddnat.cloud import GatewayInfo
from poddnat.config import Values
from poddnat.gateway import Ownership
from poddnat.model import Address, Exposure, ForwardEntry, WorkingPort
from poddnat.placement import Candidate, Route, candidate_of
from poddnat.ports import PortRegistry

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Unread:
    """Something that could not be read; the text says why, and what to do."""

    text: str


class Server(Enum):
    """What the Lease of the server tells."""

    ACTIVE = "active"
    """Its holder has renewed it while we looked."""
    SILENT = "silent"
    """It has not."""
    NOBODY = "nobody"
    """Nobody holds it."""
    ELSEWHERE = "elsewhere"
    """There is no Lease: the server runs outside the cluster, or alone."""


@dataclass(frozen=True)
class Facts:
    """All that is known of one pod at one moment."""

    namespace: str
    name: str
    asked_at: dt.datetime
    pod: Manifest | None
    values: Values | Unread
    on_virtual_node: bool | Unread = False
    namespace_refusal: Problem | Unread | None = None
    crd_installed: bool = True
    poddnat: Manifest | Unread | None = None
    """The PodDNAT of the pod's name, whoever's it is."""
    poddnats: tuple[Manifest, ...] | Unread = ()
    metacontroller_installed: bool = True
    missing_controllers: tuple[str, ...] | Unread = ()
    sync_errors: tuple[str, ...] | Unread = ()
    server: Server | Unread = Server.ELSEWHERE
    server_namespace: str = "poddnat-system"
    address: Address | Unread | None = None
    route: Route | Unread | None = None
    """None: the RAM policy does not let routes be read."""
    gateways: Mapping[str, GatewayInfo] | Unread = field(default_factory=dict)
    tables: Mapping[str, tuple[ForwardEntry, ...]] | Unread = field(default_factory=dict)
    probes: tuple[Probe, ...] | None = None
    """None: nobody has asked for them."""

    # What follows from them.

    @property
    def key(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"

    @cached_property
    def exposure(self) -> Exposure | None:
        """What the pod asks for; None: nothing, or nothing that can be read."""
        try:
            return annotations.parse(pod_facts.annotations_of(self.pod)) if self.pod is not None else None
        except AnnotationError:
            return None

    @property
    def installation(self) -> Installation:
        """The one that is looked at: that of the values, or, where they are not known, the one whose the pod is."""
        if isinstance(self.values, Values):
            return self.values.installation
        return installation.of_pod((self.pod or {}).get("metadata") or {})

    @property
    def own(self) -> Manifest | None:
        """The PodDNAT, if it is this pod's."""
        found = self.poddnat
        if found is None or isinstance(found, Unread) or self.pod is None or made_by_another(found["metadata"]):
            return None
        if not self.installation.has(found["metadata"]):
            return None
        return found if pod_uid_of(found["metadata"]) == self.pod["metadata"]["uid"] else None

    @cached_property
    def desired(self) -> PodDNAT | None:
        """What the pod's PodDNAT asks for; None: there is none, or it makes no sense."""
        return desired_by(self.own) if self.own is not None else None

    @property
    def served(self) -> bool:
        """Whether the pod's PodDNAT says that all it asks for works."""
        return self.own is not None and is_ready(self.own) and not is_terminating(self.own)

    @property
    def working_ports(self) -> tuple[WorkingPort, ...]:
        """The public ports that the pod's PodDNAT says to work."""
        return working_ports((self.own or {}).get("status") or {})

    @property
    def told(self) -> Condition | None:
        """What the server has said last of this pod, if that is that something is wrong."""
        status = pod_facts.annotations_of(self.pod).get(annotations.STATUS, "") if self.pod is not None else ""
        own = observed_condition((self.own or {}).get("status") or {}) if self.own and is_current(self.own) else None
        if own is not None and not own.ready:
            return own
        reason, colon, message = status.partition(": ")
        return Condition(ready=False, reason=reason, message=message) if colon and own is None else None

    @property
    def heard(self) -> bool:
        """Whether a hook has been called for the pod and answered: its answers leave traces."""
        return self.own is not None or self.told is not None

    @property
    def ownership(self) -> Ownership | None:
        """How this cluster's entries are told from others; None: the values are not known."""
        return Ownership(self.values.cluster_id) if isinstance(self.values, Values) else None

    def candidates(self) -> list[Candidate]:
        """List the pool's gateways as the cloud has them; none where either is not known."""
        if isinstance(self.values, Unread) or isinstance(self.gateways, Unread):
            return []
        return [candidate_of(self.values, one, self.gateways.get(one)) for one in self.values.gateway_ids]

    def registry(self) -> PortRegistry | Unread:
        """Tell which ports are whose: by all PodDNATs, and by the tables if they were read."""
        if isinstance(self.values, Unread):
            return self.values
        if isinstance(self.poddnats, Unread):
            return self.poddnats
        tables = {} if isinstance(self.tables, Unread) else self.tables
        return registry_of(Snapshot(self.poddnats, {}, tables), self.values)
