"""Objects as the API server serves them, brought down to what is read of them.

Kubernetes writes what is unset as null or leaves it out, as each type has it. And a PodDNAT may have been stored under
another definition of its kind than ours, with other fields, or nulls, or numbers for texts. What makes no sense counts
as absent: so the rest of such an object is used all the same, what is wrong is reported on it, and it can be deleted.
"""

import json
import math
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from poddnat.files import SCHEMAS

_Texts = dict[str, str]
"""Texts of one object, each by itself, so that equal ones are one."""

Copy = Callable[[Any, _Texts], Any]

_PARTS = ("metadata", "spec", "status")

_METADATA = (
    "namespace",
    "name",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "annotations",
    "labels",
    "ownerReferences",
    "finalizers",
)
_LAST_APPLIED = frozenset(
    {"kubectl.kubernetes.io/last-applied-configuration", "metacontroller.k8s.io/last-applied-configuration"}
)
"""Annotations that hold the whole object once more, for those who apply it."""

_ITS_OWN = frozenset(
    {
        "uid",
        "name",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
        "internalIP",
        "ports",
        "forwardEntryId",
        "lastTransitionTime",
    }
)
"""Fields whose text hardly any other PodDNAT has: to have these looked up takes as much memory as they do."""

_TYPES = {"string": str, "integer": int, "object": dict, "array": list}


def without_nulls(value: Any) -> Any:
    """Copy JSON without its nulls: they mean the same as what is not there."""
    if isinstance(value, dict):
        return {key: without_nulls(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [without_nulls(part) for part in value if part is not None]
    return value


def pod_as_read(served: Any) -> Any:
    """Copy a pod, or its metadata alone, without nulls and without who has written which field: half of an object."""
    metadata = served.get("metadata") if isinstance(served, dict) else None
    if isinstance(metadata, dict) and "managedFields" in metadata:
        served = {**served, "metadata": {key: part for key, part in metadata.items() if key != "managedFields"}}
    return without_nulls(served)


def poddnat_as_read(served: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a PodDNAT without nulls, and of it only those fields that are read and, in spec and status, fit.

    Very many are kept, so equal texts are one: of all of them, or within one where others hardly have the same.
    """
    own: _Texts = {}
    read = _copied({key: part for key, part in served.items() if key not in _PARTS}, own)
    if isinstance(served.get("metadata"), dict):
        read["metadata"] = _metadata(served["metadata"], own)
    return read | {key: copy(served[key], own) for key, copy in _poddnat().items() if isinstance(served.get(key), dict)}


def _metadata(served: Mapping[str, Any], own: _Texts) -> dict[str, Any]:
    kept = {key: served[key] for key in _METADATA if key in served}
    if isinstance(kept.get("annotations"), dict):
        kept["annotations"] = {key: text for key, text in kept["annotations"].items() if key not in _LAST_APPLIED}
    return _copied(kept, own)


def _copied(value: Mapping[str, Any], own: _Texts) -> dict[str, Any]:
    """Copy an object without nulls, with one text for all that are equal."""
    return {
        sys.intern(key): (_own_text if key in _ITS_OWN else _copy)(part, own)
        for key, part in value.items()
        if part is not None
    }


def _own_text(value: Any, own: _Texts) -> Any:
    return own.setdefault(value, value) if isinstance(value, str) else _copy(value, own)


def _copy(value: Any, own: _Texts) -> Any:
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, dict):
        return _copied(value, own)
    if isinstance(value, list):
        # A list that is filled while it grows takes more than one that is copied.
        return [*[_copy(part, own) for part in value if part is not None]]
    return value


def preserved_status(observed: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a PodDNAT's status, as read, so that it can be written again: without what our CRD refuses."""
    preserved: dict[str, Any] = {}
    for key, value in observed.items():
        if key not in _status():
            continue
        whole, item = _status()[key]
        fitting = [part for part in value if item.is_valid(part)] if item is not None else value
        if whole.is_valid(fitting):
            preserved[key] = fitting
    return preserved


@cache
def _status() -> dict[str, tuple[Draft202012Validator, Draft202012Validator | None]]:
    """Give for each field of a status what tells whether our CRD takes it, and, of a list, whether it takes an item."""
    written = json.loads((SCHEMAS / "poddnat.json").read_text(encoding="utf-8"))
    return {
        key: (Draft202012Validator(field), Draft202012Validator(field["items"]) if "items" in field else None)
        for key, field in written["$defs"]["status"]["properties"].items()
    }


@cache
def _poddnat() -> dict[str, Copy]:
    observed = json.loads((SCHEMAS / "observed.json").read_text(encoding="utf-8"))
    properties = observed["$defs"]["readOfPoddnats"]["properties"]
    return {part: _copier(properties[part]) for part in ("spec", "status")}


def _copier(schema: Mapping[str, Any]) -> Copy:
    """Make what copies of a value, which has the schema's type, all that does too."""
    if "properties" in schema:
        fields = {
            sys.intern(key): (
                _TYPES[field["type"]],
                field.get("maxLength", math.inf),
                _own_text if key in _ITS_OWN else _copier(field),
            )
            for key, field in schema["properties"].items()
        }

        def copy_object(value: dict[str, Any], own: _Texts) -> dict[str, Any]:
            return {
                key: copy(value[key], own)
                for key, (kind, longest, copy) in fields.items()
                if isinstance(value.get(key), kind) and not isinstance(value[key], bool)
                if kind is not str or len(value[key]) <= longest
            }

        return copy_object
    if "items" in schema:
        kind, copy_item = _TYPES[schema["items"]["type"]], _copier(schema["items"])
        return lambda value, own: [*[copy_item(part, own) for part in value if isinstance(part, kind)]]
    return _copy
