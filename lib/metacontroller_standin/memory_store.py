"""The objects of the in-memory API, and the rules by which Kubernetes changes them.

No HTTP here. Objects are never changed in place: every write puts a new dictionary, so that what a reader got
stays as it was.
"""

from __future__ import annotations

import bisect
import copy
import datetime as dt
import itertools
import secrets
import threading
import uuid
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metacontroller_standin.kinds import NAMESPACES, PODS, ServedKind
from metacontroller_standin.memory_errors import (
    already_exists,
    conflict,
    expired,
    invalid,
    not_found,
)
from metacontroller_standin.merge_patch import merge_patch
from metacontroller_standin.strategic_merge import strategic_merge

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
Key = tuple[str, str]
"""Namespace ("" for objects that have none) and name."""

SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""What Kubernetes makes generated names of: no vowels, so no words."""

EVENTS_KEPT = 20_000
"""A watch that starts further back is told to list again, as an API server does."""

SYSTEM_METADATA = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "namespace",
    "name",
)


@dataclass(frozen=True)
class Change:
    """One step of one object's history, for watches."""

    revision: int
    before: Json | None
    after: Json | None


def random_suffix(length: int = 5) -> str:
    """Make up the end of a generated name."""
    return "".join(secrets.choice(SUFFIX_ALPHABET) for _ in range(length))


def timestamp(*, later: float = 0) -> str:
    """Write the time as Kubernetes does, to the second."""
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=later)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class _Table:
    """The objects of one kind and their recent history."""

    def __init__(self) -> None:
        self.objects: dict[Key, Json] = {}
        self.keys: list[Key] = []
        """In order, so that a page of many objects costs what a page costs."""
        self.changes: list[Change] = []
        self.dropped = 0


class Store:
    """All objects, behind one lock; `changed` is notified after every write."""

    def __init__(
        self,
        on_orphaned: Callable[[ServedKind, Key], None],
        problems_of: Callable[[Json], list[str]] = lambda _: [],
    ) -> None:
        """Tell `on_orphaned` about objects that may have lost their last owner.

        `problems_of` lists what is wrong with an object that somebody writes; none: it is taken.
        """
        self.changed = threading.Condition(threading.RLock())
        self._revision = 0
        self._tables: dict[ServedKind, _Table] = defaultdict(_Table)
        self._alive: set[str] = set()
        self._dependents: dict[str, set[tuple[ServedKind, Key]]] = defaultdict(set)
        self._on_orphaned = on_orphaned
        self._problems_of = problems_of

    @property
    def revision(self) -> int:
        """The number of the latest write."""
        with self.changed:
            return self._revision

    # Reading

    def get(self, kind: ServedKind, key: Key) -> Json:
        """Return one object, or raise the 404."""
        with self.changed:
            found = self._tables[kind].objects.get(key)
            if found is None:
                raise not_found(kind, key[1])
            return found

    def list_objects(
        self,
        kind: ServedKind,
        namespace: str,
        selects: Callable[[Json], bool],
        *,
        after: Key = ("", ""),
        most: int | None = None,
    ) -> tuple[int, list[Json]]:
        """Return the revision and the objects of one namespace, or of all with "", that are selected.

        They come in the order of their keys: those after a key, ``most`` of them at the most.
        """
        with self.changed:
            table = self._tables[kind]
            start = bisect.bisect_right(table.keys, max(after, (namespace, "")))
            later = itertools.islice(table.keys, start, None)
            keys = itertools.takewhile(lambda key: namespace in ("", key[0]), later)
            chosen = filter(selects, (table.objects[key] for key in keys))
            return self._revision, list(itertools.islice(chosen, most))

    def changes_since(self, kind: ServedKind, revision: int) -> list[Change]:
        """Return what happened to objects of a kind after a revision, oldest first."""
        with self.changed:
            table = self._tables[kind]
            if revision < table.dropped:
                raise expired(revision)
            # From the end: a watch that keeps up looks at a few changes, however long the history.
            first = len(table.changes)
            while first and table.changes[first - 1].revision > revision:
                first -= 1
            return table.changes[first:]

    # Writing

    def create(self, kind: ServedKind, namespace: str, body: Json) -> Json:
        """Add an object, naming it if it only says how its name begins."""
        self._check(kind, body)
        obj = copy.deepcopy(body)
        metadata = obj.setdefault("metadata", {})
        if not metadata.get("name"):
            if not metadata.get("generateName"):
                raise invalid(kind, "", "name or generateName is required")
            metadata["name"] = metadata["generateName"] + random_suffix()
        self._check_namespace(kind, namespace, metadata)
        key = (namespace if kind.namespaced else "", metadata["name"])
        with self.changed:
            if key in self._tables[kind].objects:
                raise already_exists(kind, key[1])
            if kind.namespaced and namespace:
                self._ensure_namespace(namespace)
            metadata.update(uid=str(uuid.uuid4()), creationTimestamp=timestamp(), generation=1)
            for system in ("deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"):
                metadata.pop(system, None)
            _set_defaults(kind, obj)
            self._put(kind, key, None, obj)
            if metadata.get("ownerReferences"):
                self._on_orphaned(kind, key)
            return obj

    def add(self, kind: ServedKind, obj: Json) -> Json:
        """Put an object in place as it is, with a uid of its own where it has none."""
        obj["metadata"].setdefault("uid", str(uuid.uuid4()))
        with self.changed:
            self._put(kind, (obj["metadata"].get("namespace", ""), obj["metadata"]["name"]), None, obj)
        return obj

    def _check(self, kind: ServedKind, body: Json) -> None:
        if problems := self._problems_of({**body, "apiVersion": kind.api_version(kind.versions[0]), "kind": kind.kind}):
            metadata = body.get("metadata")
            name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
            raise invalid(kind, name, "; ".join(problems))

    def _check_namespace(self, kind: ServedKind, namespace: str, metadata: Json) -> None:
        if not kind.namespaced:
            metadata.pop("namespace", None)
        elif metadata.setdefault("namespace", namespace) != namespace:
            raise invalid(kind, metadata["name"], "the namespace of the object is not the one of the request")

    def _ensure_namespace(self, name: str) -> None:
        # An API server refuses; here a namespace comes with its first object: a step less for every caller.
        if ("", name) not in self._tables[NAMESPACES].objects:
            self.create(NAMESPACES, "", {"metadata": {"name": name}})

    def replace(self, kind: ServedKind, key: Key, body: Json, *, status: bool) -> Json:
        """Put a whole object: everything but its status, or its status alone."""
        with self.changed:
            old = self.get(kind, key)
            if not status:
                self._check(kind, body)
            _check_expectations(kind, old, body)
            new = _with_status(kind, old, body) if status else _without_status(kind, old, body)
            if kind is PODS:
                _show_unset_times(new)
            _check_finalizers(kind, old, new)
            if new == old:
                return old  # as an API server: nothing changed, nothing written, nobody told
            if _spec(new) != _spec(old):
                new["metadata"]["generation"] = old["metadata"]["generation"] + 1
            self._put(kind, key, old, new)
            if new["metadata"].get("ownerReferences") != old["metadata"].get("ownerReferences"):
                self._on_orphaned(kind, key)
            return self._remove_if_finished(kind, key, new)

    def patch(self, kind: ServedKind, key: Key, patch: Json, *, status: bool, strategic: bool = False) -> Json:
        """Merge a JSON merge patch into an object (or into its status).

        A ``strategic`` one merges lists by their keys.
        """
        with self.changed:
            old = self.get(kind, key)
            body = strategic_merge(old, patch) if strategic else merge_patch(old, patch)
            body["metadata"] = dict(body["metadata"])
            if "resourceVersion" not in (patch.get("metadata") or {}):
                del body["metadata"]["resourceVersion"]
            return self.replace(kind, key, body, status=status)

    def delete(
        self, kind: ServedKind, key: Key, *, preconditions: Json | None = None, grace: int | None = None
    ) -> Json:
        """Remove an object, or mark it as terminating while finalizers or a running pod stand in the way."""
        with self.changed:
            old = self.get(kind, key)
            for field, expected in (preconditions or {}).items():
                if expected and old["metadata"][field] != expected:
                    raise conflict(kind, key[1], f"the {field} in the precondition is not the object's")
            wait = _grace_period(kind, old, grace)
            metadata = dict(old["metadata"])
            if "deletionTimestamp" not in metadata:
                metadata["generation"] += 1
                metadata["deletionTimestamp"] = timestamp(later=wait)
                metadata["deletionGracePeriodSeconds"] = wait
            else:
                metadata["deletionGracePeriodSeconds"] = min(wait, metadata["deletionGracePeriodSeconds"])
            new = {**old, "metadata": metadata}
            if wait == 0 and not metadata.get("finalizers"):
                self._remove(kind, key, new)
                return new
            if metadata != old["metadata"]:
                self._put(kind, key, old, new)
            return new

    def _remove_if_finished(self, kind: ServedKind, key: Key, obj: Json) -> Json:
        metadata = obj["metadata"]
        # A terminating pod is not finished by losing its finalizers: its kubelet still has to say so.
        waits = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds", 0) > 0
        if "deletionTimestamp" in metadata and not waits:
            self._remove(kind, key, obj)
        return obj

    # Keeping the books

    def _put(self, kind: ServedKind, key: Key, old: Json | None, new: Json) -> None:
        self._revision += 1
        new["metadata"]["resourceVersion"] = str(self._revision)
        table = self._tables[kind]
        if key not in table.objects:
            bisect.insort(table.keys, key)
        table.objects[key] = new
        self._alive.add(new["metadata"]["uid"])
        if old is not None:
            self._forget_owners(kind, key, old)
        for owner in new["metadata"].get("ownerReferences") or []:
            self._dependents[owner["uid"]].add((kind, key))
        self._record(kind, old, new)

    def _remove(self, kind: ServedKind, key: Key, last: Json) -> None:
        self._revision += 1
        uid = last["metadata"]["uid"]
        table = self._tables[kind]
        self._forget_owners(kind, key, table.objects.pop(key))
        del table.keys[bisect.bisect_left(table.keys, key)]
        last = {**last, "metadata": {**last["metadata"], "resourceVersion": str(self._revision)}}
        self._alive.discard(uid)
        self._record(kind, last, None)
        for dependent in self._dependents.pop(uid, set()):
            self._on_orphaned(*dependent)

    def _forget_owners(self, kind: ServedKind, key: Key, old: Json) -> None:
        for owner in old["metadata"].get("ownerReferences") or []:
            self._dependents[owner["uid"]].discard((kind, key))

    def _record(self, kind: ServedKind, before: Json | None, after: Json | None) -> None:
        table = self._tables[kind]
        table.changes.append(Change(self._revision, before, after))
        if len(table.changes) > EVENTS_KEPT:
            table.dropped = table.changes[EVENTS_KEPT // 2].revision
            del table.changes[: EVENTS_KEPT // 2 + 1]
        self.changed.notify_all()

    def collect(self, kind: ServedKind, key: Key) -> None:
        """Do what the garbage collector does: delete an object all of whose owners are gone, or forget those."""
        with self.changed:
            obj = self._tables[kind].objects.get(key)
            owners = (obj or {}).get("metadata", {}).get("ownerReferences") or []
            if obj is None or not owners:
                return
            left = [owner for owner in owners if owner["uid"] in self._alive]
            if left and len(left) < len(owners):
                self.patch(kind, key, {"metadata": {"ownerReferences": left}}, status=False)
            if not left and "deletionTimestamp" not in obj["metadata"]:
                self.delete(kind, key, preconditions={"uid": obj["metadata"]["uid"]})


def _spec(obj: Json) -> Json:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


def _with_status(kind: ServedKind, old: Json, body: Json) -> Json:
    new = {**old, "metadata": dict(old["metadata"])}
    if kind is PODS:  # With a pod's status its labels and annotations may be written; with other objects' they may not.
        new["metadata"] |= {k: v for k, v in body.get("metadata", {}).items() if k in ("labels", "annotations")}
    new.pop("status", None)
    if "status" in body:
        new["status"] = copy.deepcopy(body["status"])
    return new


def _show_unset_times(pod: Json) -> None:
    # As an API server: these fields of a pod's conditions have no `omitempty`.
    for condition in (pod.get("status") or {}).get("conditions") or []:
        condition.setdefault("lastProbeTime", None)
        condition.setdefault("lastTransitionTime", None)


def _without_status(kind: ServedKind, old: Json, body: Json) -> Json:
    new = copy.deepcopy(body)
    metadata = new.setdefault("metadata", {})
    for name in SYSTEM_METADATA:
        metadata.pop(name, None)
        if name in old["metadata"]:
            metadata[name] = old["metadata"][name]
    metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
    metadata.pop("managedFields", None)
    for name in ("labels", "annotations", "finalizers", "ownerReferences"):
        if not metadata.get(name):
            metadata.pop(name, None)
    new["apiVersion"], new["kind"] = old["apiVersion"], old["kind"]
    if kind.has_status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    return new


def _check_expectations(kind: ServedKind, old: Json, body: Json) -> None:
    expected = body.get("metadata") or {}
    name = old["metadata"]["name"]
    if expected.get("name", name) != name:
        raise invalid(kind, name, "the name of the object is not the one of the request")
    for field in ("resourceVersion", "uid"):
        if expected.get(field) and expected[field] != old["metadata"][field]:
            message = "the object has been modified; please apply your changes to the latest version and try again"
            raise conflict(kind, name, message)


def _check_finalizers(kind: ServedKind, old: Json, new: Json) -> None:
    if "deletionTimestamp" in old["metadata"]:
        added = set(new["metadata"].get("finalizers") or []) - set(old["metadata"].get("finalizers") or [])
        if added:
            reason = "no new finalizers can be added if the object is being deleted"
            raise invalid(kind, old["metadata"]["name"], reason)


def _set_defaults(kind: ServedKind, obj: Json) -> None:
    obj["apiVersion"], obj["kind"] = kind.api_version(kind.versions[0]), kind.kind
    if kind.has_status:
        obj.pop("status", None)
    if kind is PODS:
        obj["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
        obj.setdefault("spec", {}).setdefault("terminationGracePeriodSeconds", 30)
    if kind is NAMESPACES:
        obj["status"] = {"phase": "Active"}


def _grace_period(kind: ServedKind, obj: Json, asked: int | None) -> int:
    if kind is not PODS or not obj["spec"].get("nodeName"):
        return 0  # no kubelet has it, so nobody would finish the deletion
    if obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    return obj["spec"]["terminationGracePeriodSeconds"] if asked is None else asked
