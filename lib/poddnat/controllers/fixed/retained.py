"""The PodDNATs that are kept for fixed pods: which one is a pod's, whose it is, and what happens to it with the pod."""

from typing import Any

from poddnat.api import PodDNAT, annotations, fixed, pod_facts, spec_of
from poddnat.controllers.fixed.absence import AbsentPods
from poddnat.kube import KubeClient, PodDNATInformer
from poddnat.model import Exposure

Manifest = dict[str, Any]


class RetainedPorts:
    """Finds and looks after what is kept for fixed pods. Safe to use from several threads."""

    def __init__(self, cluster: KubeClient, poddnats: PodDNATInformer, absences: AbsentPods) -> None:
        self._cluster = cluster
        self._poddnats = poddnats
        self._absences = absences

    def kept_for(self, pod: Manifest) -> Manifest | None:
        """Find the PodDNAT that is kept for a fixed pod: it is the pod's already, or was that of its predecessor."""
        metadata = pod["metadata"]
        namesake = self._poddnats.get(metadata["namespace"], metadata["name"])
        record = fixed.Fixed.read(namesake["metadata"]) if namesake is not None else None
        if record is None:
            return None
        owner = fixed.owner_of(pod)
        is_heir = owner is not None and owner.is_like(record.owner)
        return namesake if is_heir or record.pod_uid == metadata["uid"] else None

    def owner_for(self, pod: Manifest, exposure: Exposure, kept: Manifest | None) -> fixed.Owner | None:
        """Find whose a fixed pod's PodDNAT is; None: the pod is not fixed, or can't be."""
        if not exposure.fixed:
            return None
        owner = fixed.stable_owner_of(pod)
        if owner is None and kept is not None and fixed.belongs_to(kept, pod["metadata"]["uid"]):
            record = fixed.Fixed.read(kept["metadata"])  # Its owner was taken away from it, as kubectl's orphan does.
            owner = record.owner if record is not None else None
        if owner is None:
            whose = fixed.owner_of(pod)
            of = f"of {whose} has a name that no other pod will have" if whose else "has no owner that would replace it"
            text = f"{annotations.FIXED} has no effect, and the ports go with this pod: a pod {of}"
            act = "the user has to use a StatefulSet, whose pods keep their names"
            self._cluster.warn(pod, "FixedNotPossible", f"{text}; {act}.")
        return owner

    def park(self, kept: Manifest | None) -> None:
        """Take a fixed pod's ports out of use, but keep them for it."""
        record = fixed.Fixed.read(kept["metadata"]) if kept is not None else None
        if kept is not None and record is not None and spec_of(kept).get("internalIP"):
            self._absences.park(kept, record)

    def give_up(self, kept: Manifest | None) -> None:
        """Delete the PodDNAT of a pod that is no longer fixed."""
        if kept is not None and not pod_facts.is_terminating(kept):
            metadata = kept["metadata"]
            self._cluster.delete_poddnat(metadata["namespace"], metadata["name"], metadata["uid"])

    def tell_of_move(self, pod: Manifest, kept: Manifest, desired: PodDNAT) -> None:
        """Tell the user that a fixed pod gets another address than before, if so."""
        before = spec_of(kept).get("externalIP")
        if before and before != desired.external_ip:
            now = f"its public address is {desired.external_ip} on {desired.gateway_id} now"
            text = f"The pod's fixed address {before} can't serve it here any more, and {now}"
            self._cluster.warn(pod, "FixedAddressChanged", f"{text}; the user has to let its clients know.")
