"""Objects as the API server serves them, brought down to what is read of them.

Kubernetes writes what is unset as null or leaves it out, as each type has it. And a PodDNAT may have been stored under
another definition of its kind than ours, with other fields, or nulls, or numbers for texts. What makes no sense counts
as absent: so the rest of such an object is used all the same, what is wrong is reported on it, and it can be deleted.
"""

import json
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from poddnat.files import SCHEMAS

Read = Callable[[Any], Any]

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

_TYPES = {"string": str, "integer": int, "object": dict, "array": list}


def without_nulls(value: Any) -> Any:
    """Copy JSON without its nulls: they mean the same as what is not there."""
    if isinstance(value, dict):
        return {key: without_nulls(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [without_nulls(part) for part in value if part is not None]
    return value


def poddnat_as_read(served: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a PodDNAT without nulls, and of it only those fields that are read and, in spec and status, have their type.

    Very many are kept, so equal texts of all of them are one.
    """
    kept = {key: without_nulls(part) for key, part in served.items() if key not in ("metadata", "spec", "status")}
    if isinstance(served.get("metadata"), dict):
        kept["metadata"] = _metadata(served["metadata"])
    parts = {key: reader(served[key]) for key, reader in _poddnat().items() if isinstance(served.get(key), dict)}
    read: dict[str, Any] = _interned({**{key: part for key, part in kept.items() if part is not None}, **parts})
    return read


def _metadata(served: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = without_nulls({key: served[key] for key in _METADATA if key in served})
    if isinstance(kept.get("annotations"), dict):
        kept["annotations"] = {key: text for key, text in kept["annotations"].items() if key not in _LAST_APPLIED}
    return kept


def _interned(value: Any) -> Any:
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, dict):
        return {sys.intern(key): _interned(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_interned(part) for part in value]
    return value


def preserved_status(observed: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a PodDNAT's status, as read, so that it can be written again: without conditions that our CRD refuses."""
    conditions = [found for found in observed.get("conditions") or [] if _condition().is_valid(found)]
    return {**observed, "conditions": conditions} if "conditions" in observed else dict(observed)


@cache
def _condition() -> Draft202012Validator:
    written = json.loads((SCHEMAS / "poddnat.json").read_text(encoding="utf-8"))
    return Draft202012Validator(written["$defs"]["status"]["properties"]["conditions"]["items"])


@cache
def _poddnat() -> dict[str, Read]:
    observed = json.loads((SCHEMAS / "observed.json").read_text(encoding="utf-8"))
    properties = observed["$defs"]["readOfPoddnats"]["properties"]
    return {part: _reader(properties[part]) for part in ("spec", "status")}


def _reader(schema: Mapping[str, Any]) -> Read:
    """Make what copies of a value, which has the schema's type, all that does too."""
    if "properties" in schema:
        fields = {key: (_TYPES[field["type"]], _reader(field)) for key, field in schema["properties"].items()}

        def read_object(value: dict[str, Any]) -> dict[str, Any]:
            return {
                key: fields[key][1](part)
                for key, part in value.items()
                if key in fields and isinstance(part, fields[key][0]) and not isinstance(part, bool)
            }

        return read_object
    if "items" in schema:
        kind, read_item = _TYPES[schema["items"]["type"]], _reader(schema["items"])
        return lambda value: [read_item(part) for part in value if isinstance(part, kind)]
    return lambda value: value
