"""Plays the kubelets: new pods get an address and run, terminating ones go.

Works over the in-memory API and over a real API server, where it stands in for the scheduler as well.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from metacontroller_standin.api import Api, ApiError, name_of, namespace_of
from metacontroller_standin.informer import Informer
from metacontroller_standin.memory_store import timestamp
from metacontroller_standin.running import Running
from metacontroller_standin.workqueue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

HOST_ADDRESS = "192.168.0.10"


class Kubelet(Running):
    """Runs until stopped: `with Kubelet(api, addresses): ...`."""

    def __init__(
        self,
        api: Api,
        addresses: Iterator[str],
        *,
        node: str | None = None,
        host_address: str = HOST_ADDRESS,
        workers: int = 4,
        stop_seconds: float = 0,
    ) -> None:
        """Take pods' addresses from an iterator; with `node`, put pods there that are on none yet.

        `stop_seconds` is how long the containers of a deleted pod take to end.
        """
        self._api = api.clone()
        self._addresses = addresses
        self._lock = threading.Lock()
        self._given: dict[str, str] = {}
        self._node = node
        self._host_address = host_address
        self._stop_seconds = stop_seconds
        self._pods = self._api.resource("v1", "pods")
        self._queue: WorkQueue[tuple[str, str]] = WorkQueue()
        self._informer = Informer(self._api, self._pods)
        self._informer.on_change(self._on_change)
        self._threads = [threading.Thread(target=self._work, name=f"kubelet-{n}") for n in range(workers)]

    def start(self) -> None:
        """Begin."""
        self._informer.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; pods stay as they are."""
        self._queue.close()
        for thread in self._threads:
            thread.join()
        self._informer.stop()
        self._api.close()

    def _on_change(self, old: Json | None, new: Json | None) -> None:
        if new is not None and _is_terminating(new):
            self._queue.add_after((namespace_of(new), name_of(new)), self._stop_seconds)
        elif new is not None and (not _has_address(new) or _readiness(new) is not None):
            self._queue.add((namespace_of(new), name_of(new)))
        if new is None and old is not None:
            with self._lock:
                self._given.pop(old["metadata"]["uid"], None)

    def _work(self) -> None:
        while (key := self._queue.get()) is not None:
            pod = self._informer.get(key)
            try:
                if pod is not None:
                    with _passing_over_races():
                        self._care_for(pod)
            finally:
                self._queue.done(key)

    def _care_for(self, pod: Json) -> None:
        if _is_terminating(pod):
            self._finish(pod)
        elif not _has_address(pod):
            if self._node and not pod["spec"].get("nodeName"):
                self._api.bind(pod, self._node)
            patch = {"status": self._running(pod), "metadata": {"uid": pod["metadata"]["uid"]}}
            self._api.patch(self._pods, name_of(pod), patch, namespace_of(pod), "status")
        elif (conditions := _readiness(pod)) is not None:
            patch = {
                "metadata": {"resourceVersion": pod["metadata"]["resourceVersion"]},
                "status": {"conditions": conditions},
            }
            self._api.patch(self._pods, name_of(pod), patch, namespace_of(pod), "status")

    def _finish(self, pod: Json) -> None:
        # A pod that somebody's finalizer holds is past this already.
        if pod["metadata"].get("deletionGracePeriodSeconds", 0) > 0:
            uid = pod["metadata"]["uid"]
            self._api.delete(self._pods, name_of(pod), namespace_of(pod), uid=uid, grace_period=0)

    def _running(self, pod: Json) -> Json:
        address = self._host_address if pod["spec"].get("hostNetwork") else self._address_of(pod)
        now = timestamp()
        return {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "hostIP": self._host_address,
            "hostIPs": [{"ip": self._host_address}],
            "startTime": now,
            "conditions": [
                {"type": kind, "status": _gated(pod) if kind == "Ready" else "True", "lastTransitionTime": now}
                for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
            ],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container.get("image", ""),
                    "imageID": "",
                    "ready": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": now}},
                }
                for container in pod["spec"].get("containers") or []
            ],
        }

    def _address_of(self, pod: Json) -> str:
        # Remembered, because a pod may be looked at again before its new status has come round.
        uid = pod["metadata"]["uid"]
        with self._lock:
            if uid not in self._given:
                self._given[uid] = next(self._addresses)
            return self._given[uid]


def _is_terminating(pod: Json) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _has_address(pod: Json) -> bool:
    return bool((pod.get("status") or {}).get("podIP"))


def _gated(pod: Json) -> str:
    """Tell whether a pod's readiness gates are open, as a condition's status."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    gates = {gate["conditionType"] for gate in pod["spec"].get("readinessGates") or []}
    return str(gates <= {condition["type"] for condition in conditions if condition["status"] == "True"})


def _readiness(pod: Json) -> list[Json] | None:
    """Give a running pod's conditions, should its readiness no longer be that of its gates; else None."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    status = _gated(pod)
    if not pod["spec"].get("readinessGates") or any(c["type"] == "Ready" and c["status"] == status for c in conditions):
        return None
    ready = {"type": "Ready", "status": status, "lastTransitionTime": timestamp()}
    return [*(condition for condition in conditions if condition["type"] != "Ready"), ready]


@contextmanager
def _passing_over_races() -> Iterator[None]:
    """Let go what became of a pod since it was seen: its next event brings it here again."""
    try:
        yield
    except ApiError as error:
        if not (error.not_found or error.conflict):
            raise
