"""Plays the controllers of Deployments, ReplicaSets and StatefulSets: their pods come, go and are replaced.

For the in-memory API, which has none. A new template replaces pods: a Deployment's once as many new ones are ready, a
StatefulSet's one after the other.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

from metacontroller_standin.api import Api, ApiError, name_of, namespace_of
from metacontroller_standin.informer import Informer
from metacontroller_standin.running import Running
from metacontroller_standin.workloads import add_ordered_pods, add_pods, ensure_replica_set, template_hash
from metacontroller_standin.workqueue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
_Key = tuple[str, str, str]
"""Plural, namespace and name."""

_PLURALS = {"Deployment": "deployments", "ReplicaSet": "replicasets", "StatefulSet": "statefulsets"}


class WorkloadController(Running):
    """Runs until stopped: `with WorkloadController(api): ...`."""

    def __init__(self, api: Api) -> None:
        """Work through an API server that no other such controller works on."""
        self._api = api.clone()
        self._queue: WorkQueue[_Key] = WorkQueue()
        self._pods = self._api.resource("v1", "pods")
        self._resources = {plural: self._api.resource("apps/v1", plural) for plural in _PLURALS.values()}
        self._informers = [Informer(self._api, one) for one in (self._pods, *self._resources.values())]
        for informer in self._informers:
            informer.on_change(self._on_change)
        # One thread: what it has just made, it finds when it lists again.
        self._thread = threading.Thread(target=self._work, name="workloads")

    def start(self) -> None:
        """Begin."""
        for informer in self._informers:
            informer.start()
        self._thread.start()

    def stop(self) -> None:
        """End; workloads and pods stay as they are."""
        self._queue.close()
        self._thread.join()
        for informer in self._informers:
            informer.stop()
        self._api.close()

    def _on_change(self, old: Json | None, new: Json | None) -> None:
        obj = new or old or {}
        kinds = [(obj.get("kind"), name_of(obj))]
        kinds += [(owner["kind"], owner["name"]) for owner in obj["metadata"].get("ownerReferences") or []]
        for kind, name in kinds:
            if (plural := _PLURALS.get(str(kind))) is not None:
                self._queue.add((plural, namespace_of(obj), name))

    def _work(self) -> None:
        while (key := self._queue.get()) is not None:
            try:
                self._reconcile(key)
                self._queue.forget(key)
            except ApiError:  # Somebody has changed it meanwhile, or is not done with it yet.
                self._queue.add_failed(key)
            finally:
                self._queue.done(key)

    def _reconcile(self, key: _Key) -> None:
        plural, namespace, name = key
        try:
            workload = self._api.get(self._resources[plural], name, namespace)
        except ApiError as error:
            if error.not_found:
                return
            raise
        if "deletionTimestamp" in workload["metadata"]:
            return
        reconcile = {
            "deployments": self._reconcile_deployment,
            "replicasets": self._reconcile_replica_set,
            "statefulsets": self._reconcile_stateful_set,
        }
        self._write_status(plural, workload, reconcile[plural](workload))

    def _reconcile_deployment(self, deployment: Json) -> Json:
        current = ensure_replica_set(self._api, deployment)
        owned = self._owned("replicasets", deployment)
        wanted = _replicas(deployment)
        ready = (current.get("status") or {}).get("readyReplicas", 0)
        for one in owned:
            is_current = name_of(one) == name_of(current)
            count = wanted if is_current else 0
            if _replicas(one) != count and (is_current or ready >= wanted):
                patch = {"spec": {"replicas": count}}
                self._api.patch(self._resources["replicasets"], name_of(one), patch, namespace_of(one))
        counted = [one.get("status") or {} for one in owned]
        return {
            **{key: sum(one.get(key, 0) for one in counted) for key in ("replicas", "readyReplicas")},
            "availableReplicas": sum(one.get("readyReplicas", 0) for one in counted),
            "updatedReplicas": (current.get("status") or {}).get("replicas", 0),
        }

    def _reconcile_replica_set(self, replica_set: Json) -> Json:
        pods = self._living(self._owned("pods", replica_set))
        surplus = len(pods) - _replicas(replica_set)
        if surplus < 0:
            add_pods(self._api, replica_set, -surplus)
        for pod in pods[len(pods) - surplus :] if surplus > 0 else []:
            self._api.delete(self._pods, name_of(pod), namespace_of(pod))
        return _counted(pods)

    def _reconcile_stateful_set(self, stateful_set: Json) -> Json:
        pods = self._owned("pods", stateful_set)
        by_name = {name_of(pod): pod for pod in pods}
        ordinals = list(itertools.islice(_ordinals(stateful_set), _replicas(stateful_set)))
        wanted = {f"{name_of(stateful_set)}-{ordinal}": ordinal for ordinal in ordinals}
        missing = [ordinal for name, ordinal in wanted.items() if name not in by_name]
        add_ordered_pods(self._api, stateful_set, missing)
        leaving = [pod for pod in self._living(pods) if name_of(pod) not in wanted]
        if not leaving and not missing and all(_is_ready(pod) for pod in pods):
            revision = f"{name_of(stateful_set)}-{template_hash(stateful_set['spec']['template'])}"
            outdated = [p for p in pods if p["metadata"]["labels"].get("controller-revision-hash") != revision]
            leaving = outdated[-1:]
        for pod in leaving:
            self._api.delete(self._pods, name_of(pod), namespace_of(pod))
        return _counted(self._living(pods))

    def _owned(self, plural: str, owner: Json) -> list[Json]:
        resource = self._pods if plural == "pods" else self._resources[plural]
        found = self._api.list(resource, namespace_of(owner))["items"]
        uid = owner["metadata"]["uid"]
        owned = [one for one in found if any(o["uid"] == uid for o in one["metadata"].get("ownerReferences") or [])]
        return sorted(owned, key=lambda one: (one["metadata"]["creationTimestamp"], len(name_of(one)), name_of(one)))

    def _living(self, pods: list[Json]) -> list[Json]:
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def _write_status(self, plural: str, workload: Json, counted: Json) -> None:
        status = {**counted, "observedGeneration": workload["metadata"]["generation"]}
        if (workload.get("status") or {}) != status:
            self._api.patch(
                self._resources[plural], name_of(workload), {"status": status}, namespace_of(workload), "status"
            )


def _replicas(workload: Json) -> int:
    count: int = workload["spec"].get("replicas", 1)
    return count


def _ordinals(stateful_set: Json) -> Iterator[int]:
    return itertools.count((stateful_set["spec"].get("ordinals") or {}).get("start") or 0)


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    gone = "deletionTimestamp" in pod["metadata"]
    return not gone and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _counted(pods: list[Json]) -> Json:
    return {"replicas": len(pods), "readyReplicas": sum(map(_is_ready, pods))}
