"""Which writes an answer causes, in the manner of `kubectl apply`. Pure: inputs are never changed."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from metacontroller_standin.api import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from metacontroller_standin.answers import DecoratorAnswer

Json = dict[str, Any]

DECORATOR = "metacontroller.k8s.io/decorator-controller"
LAST_APPLIED = "metacontroller.k8s.io/last-applied-configuration"

SYSTEM_METADATA = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
)

MERGE_KEYS = ("containerPort", "port", "mountPath", "name", "uid", "ip", "path")
"""Lists whose items all have one of these are merged by it, the first that fits; other lists are replaced."""


@dataclass(frozen=True)
class Write:
    """One change to an attachment."""

    verb: Literal["create", "update", "delete"]
    obj: Json


def decorated(obj: Json, answer: DecoratorAnswer) -> tuple[Json | None, Json | None]:
    """Return the object to update and the object whose status to update; None where nothing changed."""
    labels = _changed(obj["metadata"].get("labels") or {}, answer.labels)
    annotations = _changed(obj["metadata"].get("annotations") or {}, answer.annotations)
    status_changed = answer.status is not None and answer.status != (obj.get("status") or {})
    if labels is None and annotations is None and not status_changed:
        return None, None
    updated = copy.deepcopy(obj)
    if labels is not None:
        updated["metadata"]["labels"] = labels
    if annotations is not None:
        updated["metadata"]["annotations"] = annotations
    if status_changed:
        updated["status"] = copy.deepcopy(answer.status)
    return updated, (updated if status_changed else None)


def _changed(old: dict[str, str], asked: dict[str, str | None]) -> dict[str, str] | None:
    merged: dict[str, str | None] = {**old, **asked}
    new = {key: value for key, value in merged.items() if value is not None}
    return None if new == old else new


def attachments(
    controller: str,
    parent: Json,
    observed: Iterable[Json],
    desired: Iterable[Json],
    update_method: Callable[[Json], str],
) -> list[Write]:
    """Plan what makes the observed attachments the desired ones: first deletions, then the rest."""
    seen = {_identity(obj): obj for obj in observed}
    wanted = {_identity(obj): _claimed(controller, parent, obj) for obj in desired}
    writes = [
        Write("delete", obj)
        for key, obj in seen.items()
        if key not in wanted and "deletionTimestamp" not in obj["metadata"]
    ]
    for key, obj in wanted.items():
        if key in seen:
            writes += _updates(seen[key], obj, update_method(obj))
        else:
            writes.append(Write("create", _new(parent, obj)))
    return writes


def _identity(obj: Json) -> tuple[str, str, str]:
    return obj["apiVersion"], obj["kind"], name_of(obj)


def _claimed(controller: str, parent: Json, obj: Json) -> Json:
    """Give a desired object its namespace and the mark of the decorator that wants it."""
    claimed = copy.deepcopy(obj)
    metadata = claimed["metadata"]
    if not metadata.get("namespace") and parent["metadata"].get("namespace"):
        metadata["namespace"] = parent["metadata"]["namespace"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), DECORATOR: controller}
    return claimed


def _new(parent: Json, desired: Json) -> Json:
    created = _remembering(desired, desired)
    owners = created["metadata"].get("ownerReferences") or []
    if not any(owner["uid"] == parent["metadata"]["uid"] for owner in owners):
        created["metadata"]["ownerReferences"] = [*owners, owner_reference(parent)]
    return created


def _updates(observed: Json, desired: Json, method: str) -> list[Write]:
    updated = updated_attachment(observed, desired)
    if updated == observed or "deletionTimestamp" in observed["metadata"]:
        return []
    match method:
        case "InPlace":
            return [Write("update", updated)]
        case "Recreate":
            return [Write("delete", observed)]  # it comes back with the next sync
    return []


def updated_attachment(observed: Json, desired: Json) -> Json:
    """Merge what is desired into what is there, taking out what was desired the last time only."""
    remembered = (observed["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    merged: Json = merge(observed, json.loads(remembered) if remembered else {}, desired)
    for field in SYSTEM_METADATA:
        _revert(merged["metadata"], observed["metadata"], field)
    _revert(merged, observed, "status")
    return _remembering(merged, desired)


def _revert(new: Json, old: Json, field: str) -> None:
    new.pop(field, None)
    if field in old:
        new[field] = old[field]


def _remembering(obj: Json, desired: Json) -> Json:
    """Return a copy that carries what was desired, for the merge of the next time."""
    text = json.dumps(desired, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    copied = copy.deepcopy(obj)
    copied["metadata"]["annotations"] = {**(copied["metadata"].get("annotations") or {}), LAST_APPLIED: text}
    return copied


def owner_reference(parent: Json) -> Json:
    """Build the reference that makes a parent the controller of its attachments."""
    return {
        "apiVersion": parent["apiVersion"],
        "kind": parent["kind"],
        "name": name_of(parent),
        "uid": parent["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def merge(observed: Any, last: Any, desired: Any) -> Any:
    """Merge three ways: desired wins, what only `last` had goes, what only `observed` has stays."""
    if isinstance(observed, dict) and isinstance(desired, dict):
        return _merge_objects(observed, last if isinstance(last, dict) else {}, desired)
    if isinstance(observed, list) and isinstance(desired, list):
        return _merge_lists(observed, last if isinstance(last, list) else [], desired)
    return copy.deepcopy(desired)


def _merge_objects(observed: Json, last: Json, desired: Json) -> Json:
    merged = {key: value for key, value in observed.items() if key in desired or key not in last}
    for key, value in desired.items():
        merged[key] = merge(observed.get(key), last.get(key), value)
    return merged


def _merge_lists(observed: list[Any], last: list[Any], desired: list[Any]) -> list[Any]:
    key = _merge_key([*observed, *last, *desired])
    if key is None:
        return copy.deepcopy(desired)
    # A dictionary keeps the order: first what was there, then what is new.
    return list(_merge_objects(_keyed(observed, key), _keyed(last, key), _keyed(desired, key)).values())


def _merge_key(items: list[Any]) -> str | None:
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    return next((key for key in MERGE_KEYS if all(key in item for item in items)), None)


def _keyed(items: list[Json], key: str) -> Json:
    return {str(item[key]): item for item in items}
