"""Compares requests by which keys they have, and where."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]

LAST_APPLIED = "metacontroller.k8s.io/last-applied-configuration"


def shape(request: Json) -> Json:
    """Reduce a request to its keys, less those that are not Metacontroller's doing.

    These are: who applied the controller's manifest, what is in a pod besides its identity, who managed which field,
    and how far another controller has come by then with a child.
    """
    name = (request.get("object") or request["parent"])["metadata"]["name"]
    keys: Json = _keys(request, name)
    keys["controller"]["metadata"].pop("annotations", None)
    if "object" in keys:
        keys["object"]["metadata"]["annotations"] = ...
        keys["object"]["spec"] = keys["object"]["status"] = ...
    for children in keys.get("attachments", {}).values():
        for child in children.values():
            child.pop("status", None)
            child["metadata"].pop("finalizers", None)
    return keys


def _keys(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_keys(item, name) for item in value]
    if not isinstance(value, dict):
        return ...
    found = {
        "NAME" if key == name else key: _keys(item, name)
        for key, item in value.items()
        if key not in ("managedFields", LAST_APPLIED)
    }
    if LAST_APPLIED in value:
        found[LAST_APPLIED] = _keys(json.loads(value[LAST_APPLIED]), name)
    return found
