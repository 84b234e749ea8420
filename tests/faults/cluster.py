"""The cluster of a world in virtual time: pods, a StatefulSet and PodDNATs in dictionaries, with what acts on them.

`SmallCluster` stands in for the API server and the garbage collector, `Metacontroller` calls the hooks.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from poddnat.api import UNNAMED, Fixed, controller_of, entry_ids
from poddnat.controllers import RequeueAfter
from poddnat.kube import KubeClient, KubeError
from poddnat.ranking import Ranking
from tests.faults.virtual import Condition, Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from poddnat.controllers import PodDNATAnswer
    from poddnat.service import Service

Json = dict[str, Any]
_T = TypeVar("_T")

SET = "s"
"""The name of the StatefulSet; its pods are s-0, s-1, and so on."""
NAMESPACE_UID = "uid-of-the-namespace"


class SmallCluster(KubeClient):
    """What the controller asks of the API server, and what everybody else does there."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.pods: dict[str, Json] = {}
        self.dnats: dict[str, Json] = {}
        self.workload_there: Json | None = None
        """The StatefulSet."""
        self.events: dict[tuple[str, str, str], float] = {}
        self.writes: Counter[str] = Counter()
        self.told_ids: set[str] = set()
        """Ids of entries that a PodDNAT's status has ever held."""
        self.lost_answers = 0
        """How many of the next writes of ours are done, but never answered."""
        self.changed: Callable[[str, str], None] = lambda _kind, _name: None
        self.judge_change: Callable[[Json, Json | None], None] = lambda _before, _after: None
        """Told of each PodDNAT that the controller, or Metacontroller for it, changes or deletes: before and after."""
        self._away = False
        self._scheduler = scheduler
        self._dnat_log = _Log(scheduler)
        self._pod_log = _Log(scheduler)
        self._uids = itertools.count(1)
        self._versions = itertools.count(1)
        self._heard: dict[str, tuple[int | None, Json]] = {}
        """By a PodDNAT's uid: the generation and annotations that Metacontroller was last told of."""

    # What the controller calls.

    def pod(self, namespace: str, name: str) -> Json | None:  # noqa: ARG002
        self._ask_nothing_away()
        return copied(self.pods.get(name))

    def namespace(self, name: str) -> Json | None:
        self._ask_nothing_away()
        return {"metadata": {"name": name, "uid": NAMESPACE_UID}}

    def node(self, name: str) -> Json | None:
        return {"metadata": {"name": name}}

    def workload(self, api_version: str, kind: str, namespace: str, name: str) -> Json | None:  # noqa: ARG002
        self._ask_nothing_away()
        return copied(self.workload_there)

    def poddnats(self, known: Mapping[str, Json] = MappingProxyType({})) -> tuple[list[Json], str]:  # noqa: ARG002
        self._ask_nothing_away()
        return copied(list(self.dnats.values())), self._dnat_log.version

    def poddnat(self, namespace: str, name: str) -> Json | None:  # noqa: ARG002
        self._ask_nothing_away()
        return copied(self.dnats[name]) if name in self.dnats else None

    def poddnat_uids(self) -> set[str]:
        self._ask_nothing_away()
        return {dnat["metadata"]["uid"] for dnat in self.dnats.values()}

    def patch_poddnat(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool:  # noqa: ARG002
        self._ask_nothing_away()
        dnat = self.dnats.get(name)
        version = patch["metadata"].get("resourceVersion")
        if dnat is None or version not in {None, dnat["metadata"]["resourceVersion"]}:
            return False
        patched = _merged(dnat, patch)
        self.judge_change(dnat, patched)
        patched["metadata"]["generation"] += patched["spec"] != dnat["spec"]
        self.put("MODIFIED", patched)
        self._collect(patched)
        self._perhaps_lose_the_answer()
        return True

    def patch_poddnat_status(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool:  # noqa: ARG002
        self._ask_nothing_away()
        dnat = self.dnats.get(name)
        if dnat is None or patch["metadata"]["resourceVersion"] != dnat["metadata"]["resourceVersion"]:
            return False
        dnat["status"] = _merged(dnat.get("status", {}), patch["status"])
        self.put("MODIFIED", dnat)
        self._perhaps_lose_the_answer()
        return True

    def trigger_resync(self, namespace: str, name: str, now: str, annotation: str = "nudged-at") -> bool:
        return self.patch_poddnat(namespace, name, {"metadata": {"annotations": {annotation: now}}})

    def trigger_pod_resync(self, namespace: str, name: str, now: str) -> bool:  # noqa: ARG002
        self._ask_nothing_away()
        pod = self.pods.get(name)
        if pod is None:
            return False
        self.writes["Pod"] += 1
        pod["metadata"]["annotations"]["nudged-at"] = now
        self.put_pod(pod)
        return True

    def delete_poddnat(self, namespace: str, name: str, uid: str, *, resource_version: str | None = None) -> None:  # noqa: ARG002
        self._ask_nothing_away()
        dnat = self.dnats.get(name)
        if dnat is None or dnat["metadata"]["uid"] != uid:
            return
        if resource_version in {None, dnat["metadata"]["resourceVersion"]}:
            self.judge_change(dnat, None)
            self.start_deleting(name)
            self._perhaps_lose_the_answer()

    def warn(self, regarding: Mapping[str, Any], reason: str, message: str) -> None:
        self.events.setdefault((regarding["metadata"]["uid"], reason, message), self._scheduler.clock.now)

    def list_pods(self, on_pod: Callable[[Json], None]) -> str:
        self._ask_nothing_away()
        version = self._pod_log.version
        for pod in copied(list(self.pods.values())):
            on_pod(pod)
        return version

    def watch_pods(self, resource_version: str, on_event: Callable[[str, Json], None]) -> str:
        return self._watch(self._pod_log, resource_version, on_event)

    def watch_poddnats(self, resource_version: str, on_event: Callable[[str, Json], None]) -> str:
        return self._watch(self._dnat_log, resource_version, on_event)

    def _watch(self, log: _Log, version: str, on_event: Callable[[str, Json], None]) -> str:
        log.wait(version, lambda: self._away)
        self._ask_nothing_away()
        return log.replay(version, on_event)

    def _ask_nothing_away(self) -> None:
        if self._away:
            raise KubeError("the API server is away")

    def _perhaps_lose_the_answer(self) -> None:
        if self.lost_answers:
            self.lost_answers -= 1
            raise KubeError("no answer: timed out")

    # What everybody else does.

    def set_away(self, *, away: bool) -> None:
        """Let the API server go or come back; while it is away, Metacontroller has nothing to call hooks for."""
        self._away = away
        self._dnat_log.wake()
        self._pod_log.wake()

    @property
    def away(self) -> bool:
        return self._away

    def new_uid(self) -> str:
        """Give a uid that nothing else has had."""
        return f"uid-{next(self._uids)}"

    def put_pod(self, pod: Json) -> None:
        """Store a pod that is new or changed."""
        kind = "MODIFIED" if pod["metadata"]["name"] in self.pods else "ADDED"
        self.pods[pod["metadata"]["name"]] = pod
        self._pod_log.add(kind, pod)
        self.changed("Pod", pod["metadata"]["name"])

    def remove_pod(self, name: str) -> None:
        """Take a pod away at once; the garbage collector deletes its PodDNAT, unless somebody else owns that too."""
        pod, dnat = self.pods.pop(name, None), self.dnats.get(name)
        if pod is not None:
            self._pod_log.add("DELETED", pod)
            if dnat is not None:
                self._collect(dnat)

    def scale(self, replicas: int) -> None:
        """Give the StatefulSet, made first if need be, so many replicas; its controller deletes those beyond."""
        if self.workload_there is None:
            self.workload_there = {"metadata": {"name": SET, "uid": self.new_uid()}, "spec": {}}
        self.workload_there["spec"]["replicas"] = replicas
        for name in [name for name in self.pods if is_fixed(name) and not self.wants(name)]:
            self.remove_pod(name)

    def remove_workload(self) -> None:
        """Delete the StatefulSet and its pods."""
        self.workload_there = None
        for name in [name for name in self.pods if is_fixed(name)]:
            self.remove_pod(name)
        for dnat in list(self.dnats.values()):
            self._collect(dnat)

    def wants(self, name: str) -> bool:
        """Whether the StatefulSet wants a pod of this name."""
        replicas = self.workload_there["spec"]["replicas"] if self.workload_there is not None else 0
        return int(name.removeprefix(f"{SET}-")) < int(replicas)

    def put(self, kind: str, dnat: Json) -> None:
        """Store a PodDNAT that is new or changed."""
        self.dnats[dnat["metadata"]["name"]] = dnat
        self.told_ids.update(entry_ids(dnat.get("status") or {}))
        self._tell(kind, dnat)
        if kind == "ADDED":
            self._collect(dnat)  # Its pod may have gone while its hook was being called.

    def start_deleting(self, name: str) -> None:
        """Delete a PodDNAT: it goes once it is finalized."""
        dnat = self.dnats[name]
        if "deletionTimestamp" not in dnat["metadata"]:
            dnat["metadata"]["deletionTimestamp"] = "now"
            self._tell("MODIFIED", dnat)

    def remove(self, name: str) -> None:
        """Take a PodDNAT away at once."""
        self._tell("DELETED", self.dnats.pop(name))

    def forget_the_past(self) -> None:
        """Give back the memory of what happened long ago."""
        self.told_ids.clear()
        self.events.clear()
        self._heard = {dnat["metadata"]["uid"]: self._heard[dnat["metadata"]["uid"]] for dnat in self.dnats.values()}
        self._dnat_log.forget()
        self._pod_log.forget()

    def _collect(self, dnat: Json) -> None:
        """Delete a PodDNAT none of whose owners is left, as the garbage collector does; drop those that are gone."""
        there = {NAMESPACE_UID, *(pod["metadata"]["uid"] for pod in self.pods.values())}
        if self.workload_there is not None:
            there.add(self.workload_there["metadata"]["uid"])
        owners = dnat["metadata"].get("ownerReferences") or []
        left = [owner for owner in owners if owner["uid"] in there]
        if owners and not left:
            self.start_deleting(dnat["metadata"]["name"])
        elif len(left) < len(owners):
            dnat["metadata"]["ownerReferences"] = left
            self._tell("MODIFIED", dnat)

    def _tell(self, kind: str, dnat: Json) -> None:
        self.writes["PodDNAT"] += 1
        dnat["metadata"]["resourceVersion"] = str(next(self._versions))
        self._dnat_log.add(kind, dnat)
        if self._is_heard(kind, dnat):
            self.changed("PodDNAT", dnat["metadata"]["name"])
        owner = controller_of(dnat["metadata"])
        if owner is not None and owner.kind == "Pod":  # Of others Metacontroller doesn't tell the pod's hook.
            self.changed("Pod", dnat["metadata"]["name"])

    def _is_heard(self, kind: str, dnat: Json) -> bool:
        """Whether Metacontroller calls the hook for a change: it ignores that of a status, of owners, of finalizers."""
        metadata = dnat["metadata"]
        heard = (metadata.get("generation"), dict(metadata.get("annotations") or {}))
        before, self._heard[metadata["uid"]] = self._heard.get(metadata["uid"]), heard
        return kind != "MODIFIED" or before != heard or "deletionTimestamp" in metadata


class _Log:
    """What a watch tells of."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._events: list[tuple[str, Json]] = []
        self._news = Condition(scheduler)

    @property
    def version(self) -> str:
        return str(len(self._events))

    def add(self, kind: str, item: Json) -> None:
        self._events.append((kind, copied(item)))
        self._news.notify_all()

    def wake(self) -> None:
        self._news.notify_all()

    def wait(self, version: str, over: Callable[[], bool]) -> None:
        self._news.wait_for(lambda: over() or len(self._events) > int(version))

    def replay(self, version: str, on_event: Callable[[str, Json], None]) -> str:
        seen = int(version)
        for kind, item in copied(self._events[seen:]):
            seen += 1
            on_event(kind, item)
        return str(seen)

    def forget(self) -> None:
        old = max(0, len(self._events) - 1000)
        self._events[:old] = [("", {})] * old


class Metacontroller:
    """Calls the hooks of whichever process is active, when something changed or it was asked to."""

    def __init__(self, scheduler: Scheduler, cluster: SmallCluster, pick: Callable[[], Service | None]) -> None:
        self._scheduler = scheduler
        self._cluster = cluster
        self._pick = pick
        self._due = Ranking()
        # By kind and name.
        self._wake = Condition(scheduler)
        self.hooks: Counter[str] = Counter()
        self.barred = False
        """Whether its calls don't get through; objects are then backed off as Metacontroller does."""
        self._failures: Counter[tuple[str, str]] = Counter()
        cluster.changed = self.changed

    def changed(self, kind: str, name: str) -> None:
        """Call an object's hook soon."""
        self._again(kind, name, 0.01)

    def _again(self, kind: str, name: str, seconds: float) -> None:
        at = self._scheduler.clock.now + seconds
        self._due.put(f"{kind} {name}", min(at, self._due.rank(f"{kind} {name}")))
        self._wake.notify()

    def run(self) -> None:
        while True:
            at, who = self._due.first()
            kind, _, name = who.partition(" ")
            if at > self._scheduler.clock.now:
                self._wake.wait(None if math.isinf(at) else at - self._scheduler.clock.now)
                continue
            self._due.discard(who)
            if self.barred:
                self._failures[kind, name] += 1
                self._again(kind, name, min(0.005 * 2 ** self._failures[kind, name], 1000.0))
                continue
            service = self._pick()
            if service is None or not service.ready or self._cluster.away:
                self._again(kind, name, 1.0)
                continue
            self.hooks[kind] += 1
            try:
                seconds = (self._pod if kind == "Pod" else self._dnat)(service, name)
            except KubeError:  # The hook answers 503.
                seconds = 1.0
            if seconds > 0:
                self._again(kind, name, seconds)

    def _pod(self, service: Service, name: str) -> float:
        pod = self._cluster.pods.get(name)
        if pod is None:
            return 0.0
        existing = self._cluster.dnats.get(name)
        mine = existing is not None and _belongs_to(existing, pod)
        service.reminder.called(pod["metadata"]["uid"])
        answer = service.pod_reconciler.sync(copied(pod), copied(existing) if mine else None)
        if isinstance(answer, RequeueAfter):
            return answer.seconds
        del self._failures["Pod", name]
        carried = pod["metadata"]["annotations"]
        for key, value in answer.annotations.items():
            assert carried.get(key) != value, "an annotation written though nothing changes"
            self._cluster.writes["Pod"] += 1
            if value is None:
                carried.pop(key, None)
            else:
                carried[key] = value
        if answer.annotations:
            self._cluster.put_pod(pod)
        if not self._apply(pod, existing, answer.attachments, mine=mine):
            return 1.0
        return answer.resync_after

    def _apply(self, pod: Json, existing: Json | None, desired: list[Json], *, mine: bool) -> bool:
        if not desired:
            if mine and existing is not None:
                self._cluster.judge_change(existing, None)
                self._cluster.start_deleting(existing["metadata"]["name"])
            return True
        (wanted,) = desired
        if existing is None:
            owner = {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": pod["metadata"]["name"],
                "uid": pod["metadata"]["uid"],
                "controller": True,
            }
            about = {"uid": self._cluster.new_uid(), "generation": 1, "ownerReferences": [owner]}
            about["annotations"] = _annotations(wanted)
            self._cluster.put("ADDED", {**wanted, "metadata": {**wanted["metadata"], **about}})
        elif not mine:
            return False
        elif "deletionTimestamp" not in existing["metadata"]:
            self._update(existing, wanted)
        return True

    def _update(self, existing: Json, wanted: Json) -> None:
        observed = existing["metadata"].get("annotations") or {}
        annotations = {**observed, **_annotations(wanted)}
        if (existing["spec"], observed) == (wanted["spec"], annotations):
            return
        self._cluster.judge_change(existing, {**existing, "spec": wanted["spec"]})
        existing["metadata"]["generation"] += existing["spec"] != wanted["spec"]
        existing["spec"], existing["metadata"]["annotations"] = wanted["spec"], annotations
        self._cluster.put("MODIFIED", existing)

    def _dnat(self, service: Service, name: str) -> float:
        dnat = self._cluster.dnats.get(name)
        if dnat is None:
            return 0.0
        finalizing = "deletionTimestamp" in dnat["metadata"]
        service.reminder.called(dnat["metadata"]["uid"])
        ask = service.poddnat_reconciler.finalize if finalizing else service.poddnat_queue.sync
        answer: PodDNATAnswer | RequeueAfter = ask(copied(dnat))
        if isinstance(answer, RequeueAfter):
            return answer.seconds
        del self._failures["PodDNAT", name]
        dnat = self._cluster.dnats[name]
        if answer.finalized:
            self._cluster.remove(name)
            return 0.0
        status = {**answer.status, "observedGeneration": dnat["metadata"]["generation"]}
        if dnat.get("status") != status:
            dnat["status"] = status
            self._cluster.put("MODIFIED", dnat)
        return answer.resync_after


def is_fixed(name: str) -> bool:
    """Whether a pod of this name is the StatefulSet's."""
    return name.startswith(f"{SET}-")


def is_away(dnat: Json) -> bool:
    """Whether a PodDNAT is kept for a pod that has gone."""
    fixed = Fixed.read(dnat["metadata"])
    return fixed is not None and not fixed.pod_uid


def copied(item: _T) -> _T:
    """Copy what JSON can hold, much faster than ``copy.deepcopy``."""
    copy: Any = item
    if isinstance(item, dict):
        copy = {key: copied(value) for key, value in item.items()}
    elif isinstance(item, list):
        copy = [copied(value) for value in item]
    return cast("_T", copy)


def _annotations(attachment: Json) -> dict[str, str]:
    return {**(attachment["metadata"].get("annotations") or {}), **dict([UNNAMED.attached_by])}


def _belongs_to(dnat: Json, pod: Json) -> bool:
    owner = controller_of(dnat["metadata"])
    return owner is not None and owner.uid == pod["metadata"]["uid"]


def _merged(item: Json, patch: Mapping[str, Any]) -> Json:
    """Apply a JSON merge patch."""
    merged = copied(item)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merged(merged.get(key) or {}, value)
        else:
            merged[key] = copied(value)
    return merged
