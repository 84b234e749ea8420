"""What is done beside Metacontroller, which calls no hook for it, or may be away.

- The entries of a fixed pod that is gone, and of every PodDNAT that is being deleted, are withdrawn at once: the pod's
  IP may soon be another's.
- A fixed pod's PodDNAT shows no entries from the moment at which the pod is gone, and is suspended then.
- What a pod has that took all of our annotations off itself is taken back.
- A PodDNAT whose label somebody has changed by hand gets it back.
- A pod that asks for nothing is told when its annotations look as if they were to ask.

That a pod is gone is learned from a watch, and found out by asking where the watch may have missed it.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from cachetools import LRUCache

from poddnat.api import (
    INSTALLATION,
    POD_DNAT,
    Fixed,
    annotations,
    annotations_of,
    is_terminating,
    key_of,
    made_by_another,
    pod_uid_of,
    spec_of,
)
from poddnat.backoff import Backoff
from poddnat.controllers.cluster import Cluster
from poddnat.controllers.intervals import (
    LIFECYCLE_CHECK,
    LIFECYCLE_NOT_SYNCED_RETRY,
    LIFECYCLE_RETRY,
)
from poddnat.controllers.pod import PodReconciler
from poddnat.controllers.poddnat import PodDNATReconciler
from poddnat.controllers.problems import label_restored
from poddnat.controllers.retained import RetainedPodDNATs
from poddnat.kube import KubeError

log = logging.getLogger(__name__)

Manifest = dict[str, Any]

_MOST_MISSPELT = 1000
_EMPTYING_AT_ONCE = 4


class LifecycleController:
    """Follows pods and PodDNATs through their lives, on threads of its own. Safe to use from several threads."""

    def __init__(
        self,
        cluster: Cluster,
        retained: RetainedPodDNATs,
        pods: PodReconciler,
        poddnats: PodDNATReconciler,
        *,
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        """``may_write`` tells whether this process is the active one."""
        self._cluster = cluster
        self._retained = retained
        self._pods = pods
        self._poddnats = poddnats
        self._may_write = may_write
        self._changed = threading.Condition()
        self._due = False
        self._stopping = False
        self._misspelt: LRUCache[str, Manifest] = LRUCache(_MOST_MISSPELT)
        """By uid, pods that are to be told that their annotations have no effect."""
        self._emptying = ThreadPoolExecutor(_EMPTYING_AT_ONCE, thread_name_prefix="emptying")
        """Others read at once what a pod's PodDNAT shows, so this waits for nothing else."""
        self._released: set[str] = set()
        """By uid, PodDNATs being deleted whose entries were released."""

    def start(self) -> None:
        """Start looking after PodDNATs."""
        threading.Thread(target=self._run, name="lifecycle", daemon=True).start()

    def resync(self) -> None:
        """Look after all PodDNATs again, at once: this process has just become the active one, or something changed."""
        with self._changed:
            self._due = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Stop; what is under way is not waited for."""
        self._stopping = True
        self._emptying.shutdown(wait=False, cancel_futures=True)
        self.resync()

    def pod_gone(self, namespace: str, name: str, uid: str) -> None:
        """Withdraw the entries of a fixed pod that is gone, and have its PodDNAT show none before the next comes."""
        poddnat = self._cluster.poddnats.get(namespace, name)
        record = Fixed.read(poddnat["metadata"]) if poddnat is not None else None
        if poddnat is None or record is None or record.pod_uid != uid:
            return
        try:
            if self._may_write() and not self._stopping:
                self._poddnats.withdraw(poddnat)
                what = f"emptying the status of PodDNAT {key_of(poddnat)}"
                self._emptying.submit(self._attempt, what, partial(self._retained.show_away, poddnat, uid))
        finally:
            self.resync()

    def pod_opted_out(self, namespace: str, name: str, uid: str) -> None:
        """Take back what a pod has that lost all annotations of ours and its request, or is another installation's."""
        poddnat = self._cluster.poddnats.get(namespace, name)
        if poddnat is None or pod_uid_of(poddnat["metadata"]) != uid or not self._may_write():
            return
        try:
            pod = self._cluster.client.pod(namespace, name)
            if pod is not None and pod["metadata"]["uid"] == uid and self._has_opted_out(pod):
                self._poddnats.withdraw(poddnat)
                self._pods.opt_out(pod)
        except KubeError as error:
            log.warning("pod %s/%s has opted out; its PodDNAT's next sync sees to that: %s", namespace, name, error)

    def _has_opted_out(self, pod: Manifest) -> bool:
        return POD_DNAT not in annotations_of(pod) or not self._cluster.installation.serves(pod["metadata"])

    def pod_misspelt(self, pod: Manifest) -> None:
        """Have a pod told, by its metadata, that its annotations have no effect."""
        with self._changed:
            self._misspelt[pod["metadata"]["uid"]] = pod
        self.resync()

    def poddnat_leaving(self, poddnat: Manifest) -> None:
        """Release the entries of a PodDNAT that is being deleted, for its finalize hook to find them gone."""
        uid = poddnat["metadata"]["uid"]
        if not self._may_write() or uid in self._released or made_by_another(poddnat["metadata"]):
            return
        if self._poddnats.release(poddnat):
            self._released.add(uid)

    def _run(self) -> None:
        backoff = Backoff(*LIFECYCLE_RETRY)
        while not self._stopping:
            pause = self._check_all(backoff)
            with self._changed:
                if self._changed.wait_for(lambda: self._due, pause):
                    backoff.reset()
                self._due = False

    def _check_all(self, backoff: Backoff) -> float:
        """Look after all of them once, and give the seconds until the next time."""
        if not (self._may_write() and self._cluster.pods.has_synced and self._cluster.poddnats.has_synced):
            return LIFECYCLE_NOT_SYNCED_RETRY
        if not self._label_astray() & self._release_leaving() & self._suspend_gone():
            return backoff.failed()
        self._tell_misspelt()
        backoff.reset()
        return LIFECYCLE_CHECK

    def _label_astray(self) -> bool:
        """Put the labels of PodDNATs right: without them, Metacontroller would bring them to hooks of others."""
        installation = self._cluster.installation
        astray = [one for one in self._cluster.poddnats.all() if not installation.is_labelled(one["metadata"])]
        return self._attempt_each("labelling", astray, self._label)

    def _label(self, poddnat: Manifest) -> None:
        metadata, installation = poddnat["metadata"], self._cluster.installation
        patch = {"metadata": {"uid": metadata["uid"], "labels": {INSTALLATION: installation.label}}}
        if not self._cluster.client.patch_poddnat(metadata["namespace"], metadata["name"], patch):
            return
        problem = label_restored(installation)
        log.warning("PodDNAT %s: %s", key_of(poddnat), problem.message)
        self._cluster.client.warn(poddnat, problem.reason, problem.message)

    def _release_leaving(self) -> bool:
        """Release those that were being deleted before this process became the active one, or could not be then."""
        leaving = [poddnat for poddnat in self._cluster.poddnats.all() if is_terminating(poddnat)]
        self._released &= {poddnat["metadata"]["uid"] for poddnat in leaving}
        return self._attempt_each("releasing", leaving, self.poddnat_leaving)

    def _tell_misspelt(self) -> None:
        """Tell pods for which no hook is called that their annotations have no effect."""
        with self._changed:
            pods = [*self._misspelt.values()]
            self._misspelt.clear()
        for pod in pods:
            text = annotations.without_effect(annotations.unknown(annotations_of(pod)))
            self._cluster.client.warn({**pod, "apiVersion": "v1", "kind": "Pod"}, "AnnotationIgnored", text)

    def _suspend_gone(self) -> bool:
        """Suspend all whose pods have gone; False: some could not be, and have to be tried again."""
        return self._attempt_each("suspending", self._cluster.poddnats.all(), self._suspend)

    def _suspend(self, poddnat: Manifest) -> None:
        record = Fixed.read(poddnat["metadata"])
        if record is None or not record.pod_uid or self._cluster.pods.is_alive(record.pod_uid):
            return
        if not spec_of(poddnat).get("internalIP") or is_terminating(poddnat):
            return
        pod = self._cluster.client.pod(poddnat["metadata"]["namespace"], poddnat["metadata"]["name"])
        if pod is None or pod["metadata"]["uid"] != record.pod_uid:
            self._poddnats.withdraw(poddnat)
            self._retained.show_away(poddnat, record.pod_uid)
            self._retained.suspend(poddnat)

    def _attempt_each(self, what: str, poddnats: Iterable[Manifest], step: Callable[[Manifest], None]) -> bool:
        tried = [self._attempt(f"{what} PodDNAT {key_of(one)}", partial(step, one)) for one in poddnats]
        return all(tried)

    def _attempt(self, what: str, step: Callable[[], None]) -> bool:
        """Take a step for one PodDNAT; one that fails must not hold up the others, nor end the thread."""
        try:
            step()
        except KubeError as error:
            log.warning("%s: %s", what, error)
        except Exception:
            log.exception("%s", what)
        else:
            return True
        return False
