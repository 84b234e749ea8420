"""Fixed pods: their public addresses and ports outlive them, and serve the next pod of the same name.

The PodDNAT of a fixed pod is an attachment of the pod like any other, with a record of whose it is
(``poddnat.api.fixed``). Three things happen to it besides:

- *Tied before it works.* Before it gets its first entry, the namespace becomes its second owner, so that Kubernetes
  doesn't delete it with the pod.
- *Retained while away.* When the pod goes, or can't have its ports, its PodDNAT is suspended: the entries are
  withdrawn, the pod's side is taken off it, and it is the pod's attachment no longer; the external side is retained.
  It is handed over to the pod's successor, a pod of the same name and owner.
- *Released by strategy.* While no pod has the ports, each sync of the PodDNAT checks the absence by the release
  strategy (``poddnat.api.release_strategy``), and deletes the PodDNAT when it is over.

Nothing is taken for gone that the API server itself does not call so.
"""

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from poddnat import timestamps
from poddnat.api import (
    AnnotationError,
    Condition,
    Fixed,
    Owner,
    PodDNAT,
    absence_patch,
    annotations,
    controller_of,
    fixed,
    has_replica,
    installation,
    key_of,
    observed_condition,
    ordinal_of,
    pod_facts,
    releasing_status,
    spec_of,
    stable_owner_of,
    suspension_patch,
)
from poddnat.controllers.cluster import Cluster
from poddnat.controllers.intervals import ABSENCE_RESYNC, REQUEUE_SOON, RESYNC, SUCCESSOR_RESYNC
from poddnat.kube import KubeError
from poddnat.model import Exposure

log = logging.getLogger(__name__)

Manifest = dict[str, Any]

_TRIES = 3
"""Of a write that others' writes may get in the way of."""


@dataclass(frozen=True)
class Retained:
    """The external side is retained for now: a sentence, and seconds after which to check again."""

    message: str
    resync_after: float = ABSENCE_RESYNC


@dataclass(frozen=True)
class ReleaseDue:
    """The external side is to be released: why."""

    message: str


class RetainedPodDNATs:
    """Reads and writes what is retained for fixed pods. Safe to use from several threads."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        wall_clock: Callable[[], dt.datetime] = timestamps.now,
    ) -> None:
        """``wall_clock`` is for times that stand on PodDNATs, and outlast this process."""
        self._cluster = cluster
        self._wall_clock = wall_clock

    def find(self, pod: Manifest) -> Manifest | None:
        """Find the PodDNAT that is retained for a pod: it serves the pod already, or the pod is the successor."""
        metadata = pod["metadata"]
        namesake = self._cluster.poddnats.get(metadata["namespace"], metadata["name"])
        record = Fixed.read(namesake["metadata"]) if namesake is not None else None
        if record is None:
            return None
        return namesake if record.pod_uid == metadata["uid"] or _is_successor(pod, record) else None

    def owner_for(self, pod: Manifest, exposure: Exposure, retained: Manifest | None) -> Owner | None:
        """Find whose a fixed pod's PodDNAT is; None: the pod is not fixed, or can't be."""
        if not exposure.fixed:
            return None
        owner = stable_owner_of(pod)
        if owner is None and retained is not None and fixed.belongs_to(retained, pod["metadata"]["uid"]):
            record = Fixed.read(retained["metadata"])  # Its owner was taken away from it, as kubectl's orphan does.
            owner = record.owner if record is not None else None
        if owner is None:
            whose = controller_of(pod["metadata"])
            of = f"of {whose} has a name that no other pod will have" if whose else "has no owner that would replace it"
            text = f"{annotations.FIXED} has no effect, and the ports go with this pod: a pod {of}"
            act = "the user has to use a StatefulSet, whose pods keep their names"
            self._cluster.client.warn(pod, "FixedNotPossible", f"{text}; {act}.")
        return owner

    def show_away(self, poddnat: Manifest, pod_uid: str) -> None:
        """Let a fixed pod's PodDNAT show no entries from the moment at which the pod is gone: others read them there.

        The hook says the same, but Metacontroller asks it only once the PodDNAT is suspended, and the next pod may be
        there before. Who writes to it at the same time may bring about one conflict; it is tried again.

        Raises:
            KubeError: the API server did not do it, or it is not known whether.
        """
        if not self._show_away(poddnat, pod_uid):
            present = self._cluster.client.poddnat(poddnat["metadata"]["namespace"], poddnat["metadata"]["name"])
            if present is not None:
                self._show_away(present, pod_uid)

    def _show_away(self, poddnat: Manifest, pod_uid: str) -> bool:
        metadata, record = poddnat["metadata"], Fixed.read(poddnat["metadata"])
        status = poddnat.get("status") or {}
        if (
            record is None
            or record.pod_uid != pod_uid
            or not status.get("entries")
            or pod_facts.is_terminating(poddnat)
        ):
            return True
        message = f"{_retained_for(metadata['name'], record)}."
        condition = Condition(ready=False, reason="PodAway", message=message)
        patch = {
            "metadata": {"resourceVersion": metadata["resourceVersion"]},
            "status": releasing_status(status, condition, self._now()),
        }
        return self._cluster.client.patch_poddnat_status(metadata["namespace"], metadata["name"], patch)

    def suspend(self, poddnat: Manifest | None) -> None:
        """Take the pod's side off a fixed pod's PodDNAT, unless that is done.

        Kubernetes' garbage collector and Metacontroller write to it at the same time: conflicts are tried again.

        Raises:
            KubeError: the API server did not do it, or it is not known whether.
        """
        record = Fixed.read(poddnat["metadata"]) if poddnat is not None else None
        if poddnat is None or record is None or not spec_of(poddnat).get("internalIP"):
            return
        for _ in range(_TRIES):
            present = self._cluster.client.poddnat(poddnat["metadata"]["namespace"], poddnat["metadata"]["name"])
            if present is None or Fixed.read(present["metadata"]) != record or not spec_of(present).get("internalIP"):
                return
            if self._suspend(present, record):
                return
        raise KubeError(f"others write to PodDNAT {key_of(poddnat)} at the same time")

    def _suspend(self, poddnat: Manifest, record: Fixed) -> bool:
        metadata = poddnat["metadata"]
        patch = suspension_patch(poddnat, record, self._now())
        done = self._cluster.client.patch_poddnat(metadata["namespace"], metadata["name"], patch)
        if done:
            log.info("PodDNAT %s: its pod is away; the ports are retained", key_of(poddnat))
        return done

    def delete(self, poddnat: Manifest | None) -> None:
        """Delete the PodDNAT of a pod that is no longer fixed, unless that is done already.

        Raises:
            KubeError: the API server did not do it.
        """
        if poddnat is not None and not pod_facts.is_terminating(poddnat):
            metadata = poddnat["metadata"]
            self._cluster.client.delete_poddnat(metadata["namespace"], metadata["name"], metadata["uid"])

    def release(self, poddnat: Manifest, why: str) -> None:
        """Delete a PodDNAT for good, unless something has changed about it since its absence was checked.

        Raises:
            KubeError: the API server did not do it.
        """
        metadata, client = poddnat["metadata"], self._cluster.client
        log.info("PodDNAT %s: released, because %s", key_of(poddnat), why)
        version = metadata.get("resourceVersion")
        client.delete_poddnat(metadata["namespace"], metadata["name"], metadata["uid"], resource_version=version)

    def announce_move(self, pod: Manifest, retained: Manifest, desired: PodDNAT) -> None:
        """Tell the user that a fixed pod gets another address than before, if so."""
        before = spec_of(retained).get("externalIP")
        if before and before != desired.external_ip:
            now = f"its public address is {desired.external_ip} on {desired.gateway_id} now"
            text = f"The pod's fixed address {before} can't serve it here any more, and {now}"
            self._cluster.client.warn(pod, "FixedAddressChanged", f"{text}; the user has to let its clients know.")

    def hand_over(self, retained: Manifest, record: Fixed, desired: PodDNAT) -> None:
        """Make a retained PodDNAT the attachment of the pod that has the ports from now on.

        Raises:
            KubeError: the API server did not do it, or it is not known whether.
        """
        metadata, client = retained["metadata"], self._cluster.client
        if (namespace := client.namespace(metadata["namespace"])) is not None:
            patch = fixed.handover_patch(retained, record, desired, namespace, self._cluster.installation)
            client.patch_poddnat(metadata["namespace"], metadata["name"], patch)

    def let_outlive(self, poddnat: Manifest) -> bool:
        """Tie the PodDNAT of a living fixed pod to its namespace; False: somebody changes it at the same time.

        Raises:
            KubeError: the API server did not do it, or it is not known whether.
        """
        if fixed.outlives_its_pod(poddnat):
            return True
        namespace = self._cluster.client.namespace(poddnat["metadata"]["namespace"])
        owners = poddnat["metadata"].get("ownerReferences") or []
        return namespace is not None and self._own(poddnat, [*owners, fixed.namespace_reference(namespace)])

    def tie_to_owner(self, poddnat: Manifest, record: Fixed) -> bool:
        """Have the PodDNAT of an absent pod belong to whom its release strategy says; False: there is nothing to do.

        Somebody may have changed the strategy, and Kubernetes goes by the owner references alone.

        Raises:
            KubeError: the API server did not do it, or it is not known whether.
        """
        owners = record.owners_while_absent
        if self._cluster.pods.is_alive(record.pod_uid) or (poddnat["metadata"].get("ownerReferences") or []) == owners:
            return False
        self._own(poddnat, owners)
        return True

    def _own(self, poddnat: Manifest, owners: list[Manifest]) -> bool:
        metadata = poddnat["metadata"]
        patch = {"metadata": {"ownerReferences": owners, "resourceVersion": metadata["resourceVersion"]}}
        return self._cluster.client.patch_poddnat(metadata["namespace"], metadata["name"], patch)

    def check_absence(self, poddnat: Manifest, record: Fixed) -> Retained | ReleaseDue:
        """Tell whether the external side of a pod that is away is still retained.

        How long it has been away stands on the PodDNAT, so it outlasts this process. While a successor is there,
        though it can't have the ports yet, that time doesn't run.

        Raises:
            KubeError: the API server did not tell.
        """
        namespace, name = poddnat["metadata"]["namespace"], poddnat["metadata"]["name"]
        pod = self._cluster.client.pod(namespace, name)
        if pod is not None and not pod_facts.is_terminating(pod) and _is_successor(pod, record):
            return self._check_successor(poddnat, record, pod)
        if record.release_strategy.seconds is not None:
            return self._check_duration(poddnat, record, record.release_strategy.seconds)
        if record.release_strategy.follows and (why := self._owner_lets_go(namespace, name, record)) is not None:
            return ReleaseDue(why)
        return Retained(f"{_retained_for(name, record)}.")

    def _check_successor(self, poddnat: Manifest, record: Fixed, pod: Manifest) -> Retained | ReleaseDue:
        name = pod["metadata"]["name"]
        if not self._cluster.installation.serves(pod["metadata"]):
            return ReleaseDue(f"pod {name} is for {installation.of_pod(pod['metadata'])} by its labels")
        if not _asks_for_fixed_ports(pod):
            return ReleaseDue(f"pod {name} no longer asks for public ports")
        if record.release_strategy.seconds is not None and record.absent_since:
            self._cluster.client.patch_poddnat(pod["metadata"]["namespace"], name, absence_patch(poddnat, ""))
        message = f"Pod {name} is there but can't have its ports yet; they are kept for it."
        told = pod_facts.annotations_of(pod).get(annotations.STATUS)
        condition = observed_condition(poddnat.get("status") or {})
        silent = told is None and condition is not None and condition.message == message  # For this whole pause.
        if pod_facts.address_of(pod) and (told == annotations.READY or silent):
            # Its hook has not been called since its PodDNAT was suspended, or had not heard of that; or Metacontroller
            # was about to make the PodDNAT when somebody restored this one, and doesn't ask again.
            self._cluster.client.trigger_pod_resync(pod["metadata"]["namespace"], name, self._now())
        return Retained(message, SUCCESSOR_RESYNC)

    def _check_duration(self, poddnat: Manifest, record: Fixed, seconds: float) -> Retained | ReleaseDue:
        namespace, name = poddnat["metadata"]["namespace"], poddnat["metadata"]["name"]
        since = _time(record.absent_since)
        if since is None:  # The pod that was there has gone; or somebody has spoilt it by hand.
            self._cluster.client.patch_poddnat(namespace, name, absence_patch(poddnat, self._now()))
        until = (since or self._wall_clock()) + dt.timedelta(seconds=seconds)
        left = (until - self._wall_clock()).total_seconds()
        if left <= 0:
            return ReleaseDue(f"pod {name} has been away for {record.release_strategy.text}")
        message = f"{_retained_for(name, record)}, until {timestamps.rfc3339(until)}."
        return Retained(message, min(max(left, REQUEUE_SOON), RESYNC))

    def _owner_lets_go(self, namespace: str, name: str, record: Fixed) -> str | None:
        """Say why the owner no longer wants a pod of this name; None: it does, or it can't be asked."""
        owner = record.owner
        try:
            workload = self._cluster.client.workload(owner.api_version, owner.kind, namespace, owner.name)
        except KeyError:
            return None  # Of such an owner only its end is noticed, by Kubernetes' garbage collector.
        if workload is None or workload["metadata"]["uid"] != owner.uid:
            return f"{owner} is gone"
        ordinal = ordinal_of(name, owner.name)
        if ordinal is not None and not has_replica(workload.get("spec") or {}, ordinal):
            return f"{owner} no longer wants a pod {name}"
        return None

    def _now(self) -> str:
        return timestamps.rfc3339(self._wall_clock())


def _retained_for(name: str, record: Fixed) -> str:
    return (
        f"Pod {name} is away; its ports are kept for {record.owner} (release strategy {record.release_strategy.text})"
    )


def _time(written: str) -> dt.datetime | None:
    try:
        return timestamps.parse(written)
    except ValueError:
        return None


def _is_successor(pod: Manifest, record: Fixed) -> bool:
    owner = controller_of(pod["metadata"])
    return owner is not None and owner.is_like(record.owner)


def _asks_for_fixed_ports(pod: Manifest) -> bool:
    try:
        exposure = annotations.parse(pod_facts.annotations_of(pod))
    except AnnotationError:
        return True  # A mistake does not give anything up.
    return exposure is not None and exposure.fixed
