"""Fixed pods that are away: their entries withdrawn, their external side kept, until the release strategy ends that.

That a pod is gone is learned from a watch, and found out by asking where the watch may have missed it. Nothing is
taken for gone that the API server itself does not call so.
"""

import datetime as dt
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from poddnat import timestamps
from poddnat.api import (
    AnnotationError,
    Fixed,
    absence_patch,
    annotations,
    has_replica,
    key_of,
    ordinal_of,
    owner_of,
    pod_facts,
    spec_of,
    suspension_patch,
)
from poddnat.kube import FixedPodInformer, KubeClient, KubeError, PodDNATInformer

log = logging.getLogger(__name__)

Manifest = dict[str, Any]

_SWEEP_SECONDS = 30.0
_RETRY_SECONDS = 1.0
_ASK_AGAIN = 30.0


@dataclass(frozen=True)
class Kept:
    """The external side is kept for now: a sentence, and seconds after which to judge again."""

    message: str
    ask_again: float = _ASK_AGAIN


@dataclass(frozen=True)
class Over:
    """The external side is to be given up: why."""

    message: str


class AbsentPods:
    """Looks after the PodDNATs of fixed pods that are away. Safe to use from several threads."""

    def __init__(
        self,
        cluster: KubeClient,
        poddnats: PodDNATInformer,
        withdraw: Callable[[Manifest], None],
        *,
        may_write: Callable[[], bool] = lambda: True,
        wall_clock: Callable[[], dt.datetime] = timestamps.now,
    ) -> None:
        """``withdraw`` takes a PodDNAT's entries away, ``may_write`` tells whether this process is the active one.

        ``wall_clock`` is the wall clock.
        """
        self._may_write = may_write
        self._cluster = cluster
        self._poddnats = poddnats
        self._withdraw = withdraw
        self._wall_clock = wall_clock
        self.pods = FixedPodInformer(cluster, self._pod_gone)
        self._wake = threading.Condition()
        self._due = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="absences", daemon=True)

    def start(self) -> None:
        """Start following pods."""
        self.pods.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop."""
        self._stopping = True
        self.pods.stop()
        self._sweep_soon()

    def park(self, poddnat: Manifest, fixed: Fixed) -> None:
        """Take the pod's side off a PodDNAT; should it be another one by now, it will be judged anew.

        Raises:
            ClusterError: the API server did not do it, or it is not known whether.
        """
        metadata = poddnat["metadata"]
        patch = suspension_patch(poddnat, fixed, timestamps.rfc3339(self._wall_clock()))
        if self._cluster.patch_poddnat(metadata["namespace"], metadata["name"], patch):
            log.info("PodDNAT %s: its pod is away; the ports are kept", key_of(poddnat))

    def judge(self, poddnat: Manifest, fixed: Fixed) -> Kept | Over:
        """Tell whether the external side of a pod that is away is still kept.

        How long it has been away stands on the PodDNAT, so it outlasts this process. While a pod of the name is there,
        though it can't have its ports yet, that time doesn't run.

        Raises:
            ClusterError: the API server did not tell.
        """
        namespace, name = poddnat["metadata"]["namespace"], poddnat["metadata"]["name"]
        pod = self._cluster.pod(namespace, name)
        if pod is not None and not pod_facts.is_terminating(pod) and _is_heir(pod, fixed):
            if not _asks(pod):
                return Over(f"pod {name} no longer asks for public ports")
            if fixed.release_strategy.seconds is not None and fixed.absent_since:
                self._cluster.patch_poddnat(namespace, name, absence_patch(poddnat, ""))
            return Kept(f"Pod {name} is there but can't have its ports yet; they are kept for it.", 10.0)
        kept = (
            f"Pod {name} is away; its ports are kept for {fixed.owner} (release strategy {fixed.release_strategy.text})"
        )
        if (seconds := fixed.release_strategy.seconds) is not None:
            since = _time(fixed.absent_since)
            if since is None:  # The pod that was there has gone; or somebody has spoilt it by hand.
                self._cluster.patch_poddnat(
                    namespace, name, absence_patch(poddnat, timestamps.rfc3339(self._wall_clock()))
                )
            until = (since or self._wall_clock()) + dt.timedelta(seconds=seconds)
            left = (until - self._wall_clock()).total_seconds()
            if left <= 0:
                return Over(f"pod {name} has been away for {fixed.release_strategy.text}")
            return Kept(f"{kept}, until {timestamps.rfc3339(until)}.", min(max(left, 1.0), 300.0))
        if fixed.release_strategy.follows and (why := self._no_place(namespace, name, fixed)) is not None:
            return Over(why)
        return Kept(f"{kept}.")

    def release(self, poddnat: Manifest, why: str) -> None:
        """Delete a PodDNAT for good, unless something has changed about it since it was judged.

        Raises:
            ClusterError: the API server did not do it.
        """
        metadata = poddnat["metadata"]
        log.info("PodDNAT %s: released, because %s", key_of(poddnat), why)
        version = metadata.get("resourceVersion")
        self._cluster.delete_poddnat(metadata["namespace"], metadata["name"], metadata["uid"], resource_version=version)

    def _no_place(self, namespace: str, name: str, fixed: Fixed) -> str | None:
        """Say why the owner no longer wants a pod of this name; None: it does, or it can't be asked."""
        owner = fixed.owner
        try:
            workload = self._cluster.workload(owner.api_version, owner.kind, namespace, owner.name)
        except KeyError:
            return None  # Of such an owner only its end is noticed, by Kubernetes' garbage collector.
        if workload is None or workload["metadata"]["uid"] != owner.uid:
            return f"{owner} is gone"
        ordinal = ordinal_of(name, owner.name)
        if ordinal is not None and not has_replica(workload.get("spec") or {}, ordinal):
            return f"{owner} no longer wants a pod {name}"
        return None

    def _pod_gone(self, namespace: str, name: str, uid: str) -> None:
        poddnat = self._poddnats.get(namespace, name)
        fixed = Fixed.read(poddnat["metadata"]) if poddnat is not None else None
        if poddnat is not None and fixed is not None and fixed.pod_uid == uid and self._may_write():
            # At once: the IP may be another pod's in a moment.
            self._withdraw(poddnat)
        self._sweep_soon()

    def _sweep_soon(self) -> None:
        with self._wake:
            self._due = True
            self._wake.notify_all()

    def _run(self) -> None:
        while not self._stopping:
            may_sweep = self._may_write() and self.pods.has_synced and self._poddnats.has_synced
            try:
                done = may_sweep and self._sweep()
            except Exception:  # one odd object must not end the thread, or IPs used again would be exposed
                log.exception("looking after fixed pods that are away")
                done = False
            pause = _SWEEP_SECONDS if done else _RETRY_SECONDS
            with self._wake:
                self._wake.wait_for(lambda: self._due, pause)
                self._due = False

    def _sweep(self) -> bool:
        """Park all whose pods have gone; False: some could not be, and will have to be later."""
        done = True
        for poddnat in self._poddnats.all():
            fixed = Fixed.read(poddnat["metadata"])
            if fixed is None or not fixed.pod_uid or self.pods.is_alive(fixed.pod_uid):
                continue
            if not spec_of(poddnat).get("internalIP") or pod_facts.is_terminating(poddnat):
                continue
            try:
                self._park_if_gone(poddnat, fixed)
            except KubeError as error:
                log.warning("PodDNAT %s: its pod may be away: %s", key_of(poddnat), error)
                done = False
        return done

    def _park_if_gone(self, poddnat: Manifest, fixed: Fixed) -> None:
        pod = self._cluster.pod(poddnat["metadata"]["namespace"], poddnat["metadata"]["name"])
        if pod is None or pod["metadata"]["uid"] != fixed.pod_uid:
            self._withdraw(poddnat)
            self.park(poddnat, fixed)


def _time(written: str) -> dt.datetime | None:
    try:
        return timestamps.parse(written)
    except ValueError:
        return None


def _is_heir(pod: Manifest, fixed: Fixed) -> bool:
    owner = owner_of(pod)
    return owner is not None and owner.is_like(fixed.owner)


def _asks(pod: Manifest) -> bool:
    try:
        exposure = annotations.parse(pod_facts.annotations_of(pod))
    except AnnotationError:
        return True  # A mistake is not a wish to give up.
    return exposure is not None and exposure.fixed
