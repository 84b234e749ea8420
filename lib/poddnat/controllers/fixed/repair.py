"""Fixed pods whose PodDNATs somebody has deleted or spoilt: they are synced at once.

Such a PodDNAT is no attachment of its pod, so Metacontroller doesn't call the pod's hook when it changes. What the hook
would do beside answering, to create the PodDNAT or to put it right, is done here.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from poddnat.api import Fixed
from poddnat.controllers.requeue import RequeueAfter
from poddnat.kube import FixedPodInformer, KubeClient, KubeError

log = logging.getLogger(__name__)

Manifest = dict[str, Any]

_RETRY_SECONDS = 1.0
_ENOUGH_SECONDS = 60.0
"""By then Metacontroller has called the pod's hook."""


class FixedPodRepair:
    """Syncs fixed pods beside Metacontroller. Safe to use from several threads."""

    def __init__(
        self,
        cluster: KubeClient,
        pods: FixedPodInformer,
        sync: Callable[[Manifest], object],
        *,
        may_write: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``sync`` sees to it that a pod's PodDNAT is as it should be, or returns Later.

        ``may_write`` tells whether this process is the active one.
        """
        self._cluster = cluster
        self._pods = pods
        self._sync = sync
        self._may_write = may_write
        self._clock = clock
        self._wake = threading.Condition()
        self._stopping = False
        self._until: dict[tuple[str, str], float] = {}
        """By namespace and name of a pod, until when it is tried."""
        self._thread = threading.Thread(target=self._run, name="restorer", daemon=True)

    def start(self) -> None:
        """Start."""
        self._thread.start()

    def stop(self) -> None:
        """Stop."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def disturbed(self, poddnat: Manifest) -> None:
        """Have the pod of this PodDNAT synced soon, if it is a fixed pod that is there."""
        fixed = Fixed.read(poddnat["metadata"])
        if fixed is None or not self._may_write() or not self._pods.is_alive(fixed.pod_uid):
            return
        with self._wake:
            self._until[poddnat["metadata"]["namespace"], fixed.pod_name] = self._clock() + _ENOUGH_SECONDS
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._until)
                due = list(self._until.items())
            if self._stopping:
                return
            for key, until in due:
                if self._is_done(*key) or self._clock() > until:
                    with self._wake:
                        if self._until.get(key) == until:
                            del self._until[key]
            with self._wake:
                if self._until:
                    self._wake.wait_for(lambda: self._stopping, _RETRY_SECONDS)

    def _is_done(self, namespace: str, name: str) -> bool:
        try:
            pod = self._cluster.pod(namespace, name)
            return pod is None or not isinstance(self._sync(pod), RequeueAfter)
        except KubeError as error:
            log.warning("pod %s/%s can't be synced at once: %s", namespace, name, error)
            return False
        except Exception:  # one odd object must not end the thread
            log.exception("pod %s/%s could not be synced at once", namespace, name)
            return True
