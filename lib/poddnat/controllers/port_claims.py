"""What PodDNATs claim of the port registry: the external side that each names, as far as it may have that.

Anybody who may write PodDNATs can name any ports. So to be seen is not enough: a PodDNAT claims what it names once its
own sync was allowed that, where the gateway's table has its entries, and for a start if it can be right at a glance.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from poddnat.api import (
    PORT_TAKEN,
    AnnotationError,
    Fixed,
    PodDNAT,
    Problem,
    annotations,
    annotations_of,
    controller_of,
    desired_by,
    is_current,
    made_by_another,
    observed_condition,
    pod_uid_of,
    spec_of,
)
from poddnat.controllers.authorization import unasked_item
from poddnat.controllers.cluster import Cluster
from poddnat.controllers.problems import claimed_earlier
from poddnat.model import ForwardEntry, ForwardRule
from poddnat.placement import AddressKey
from poddnat.ports import PortRegistry

Manifest = dict[str, Any]

_REFUSALS = frozenset(
    {"NotAllowed", "NotInPool", "NamespaceNotAllowed", "TooManyPorts", "NamespaceLimitReached", PORT_TAKEN}
)
"""Reasons for which a PodDNAT has not got what it names."""


class PortClaims:
    """Tells the port registry of PodDNATs. Safe to use from several threads."""

    def __init__(self, cluster: Cluster, registry: PortRegistry) -> None:
        self._cluster = cluster
        self._registry = registry

    def seen(self, poddnat: Manifest) -> None:
        """Let an existing PodDNAT claim its external side, if it can be right at a glance."""
        desired, metadata = desired_by(poddnat), poddnat["metadata"]
        if made_by_another(metadata):
            self.gone(poddnat)  # Its entries keep their ports, as anybody's do.
        elif desired is None:
            return
        elif self._registry.is_allowed(metadata["uid"], desired):
            self._claim(metadata, desired)
        elif _was_refused(poddnat):
            self.refused(poddnat, desired)
        elif self._looks_right(metadata, desired):
            self._claim(metadata, desired)

    def pod_seen(self, namespace: str, name: str) -> None:
        """Look at a pod's PodDNAT again: the pod is new, or asks for something else."""
        if (poddnat := self._cluster.poddnats.get(namespace, name)) is not None:
            self.seen(poddnat)
            if self._cluster.poddnats.was_deleted(poddnat["metadata"]["uid"]):
                self.gone(poddnat)  # What was released when the watch told of its end must not be claimed again.

    def _looks_right(self, metadata: Mapping[str, Any], desired: PodDNAT) -> bool:
        """Whether a PodDNAT is that of a pod which asks for these ports, or retained for a fixed one."""
        if Fixed.read(metadata) is not None:
            return True
        owner = controller_of(metadata)
        pod = self._cluster.pods.get(owner.uid) if owner is not None else None
        if pod is None or any(pod["metadata"][key] != metadata[key] for key in ("namespace", "name")):
            return False
        try:
            exposure = annotations.parse(annotations_of(pod))
        except AnnotationError:
            return False
        return exposure is not None and unasked_item(exposure, desired) is None

    def _claim(self, metadata: Mapping[str, Any], desired: PodDNAT) -> None:
        self._registry.poddnat_seen(metadata["uid"], pod_uid_of(metadata), desired, namespace=metadata["namespace"])

    def gone(self, poddnat: Manifest) -> None:
        """Release the ports of a PodDNAT that is gone."""
        self._registry.poddnat_gone(poddnat["metadata"]["uid"])

    def allowed(self, poddnat: Manifest, desired: PodDNAT) -> None:
        """Let a PodDNAT claim its external side: it may have what it names."""
        self._registry.poddnat_allowed(poddnat["metadata"]["uid"])
        self._claim(poddnat["metadata"], desired)

    def refused(self, poddnat: Manifest, desired: PodDNAT) -> None:
        """Let others have the ports that a PodDNAT names and may not have."""
        self._registry.poddnat_refused(poddnat["metadata"]["uid"], desired)

    def entries_seen(self, poddnat: Manifest, gateway_id: str, entries: Sequence[ForwardEntry]) -> None:
        """Let a PodDNAT claim the ports where it has entries, before others."""
        metadata = poddnat["metadata"]
        if entries and (desired := desired_by(poddnat)) is not None:
            pod_uid, namespace = pod_uid_of(metadata), metadata["namespace"]
            self._registry.entries_seen(metadata["uid"], pod_uid, desired, gateway_id, entries, namespace=namespace)

    def taken(self, gateway_id: str, rules: Sequence[ForwardRule]) -> None:
        """Have no pod be given the external ports of these rules: entries of somebody else have them."""
        for rule in rules:
            slot = (rule.external_ports, rule.protocol)
            self._registry.taken(AddressKey(gateway_id, rule.external_ip), slot)

    def exceeded_limit(self, poddnat: Manifest) -> Problem | None:
        """Tell which limit of the values a PodDNAT exceeds; None: none."""
        return self._registry.exceeded_limit(poddnat["metadata"]["uid"])

    def conflict(self, poddnat: Manifest, desired: PodDNAT) -> Problem | None:
        """Tell that another PodDNAT claimed some of these ports first; None: none did."""
        claimant = self._registry.earlier_claimant(poddnat["metadata"]["uid"])
        return claimed_earlier(desired.external_ip, claimant) if claimant is not None else None


def _was_refused(poddnat: Mapping[str, Any]) -> bool:
    """Whether a PodDNAT was refused what it names, perhaps by an earlier process.

    What was refused stays refused until it is found to be allowed: else each restart would let those that nobody owns,
    or that were beyond a limit, take ports that running pods were given meanwhile.
    """
    if Fixed.read(poddnat["metadata"]) is not None and spec_of(poddnat).get("internalIP"):
        return False  # Its pod is there, and may have to have it repaired.
    reported = observed_condition(poddnat.get("status") or {}) if is_current(poddnat) else None
    return reported is not None and not reported.ready and reported.reason in _REFUSALS
