"""Strategic merge patches, as kubectl sends them for the built-in kinds: lists are merged by keys.

The keys are those of the Kubernetes API reference, for the lists that pods and workloads have.
"""

from __future__ import annotations

import copy
from typing import Any

Json = dict[str, Any]

_KEYS = {
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "ephemeralContainers": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "ports": ("containerPort", "port"),
    "topologySpreadConstraints": ("topologyKey",),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""By which key a list's items are told apart; a Service's ports have another one than a container's."""

_SETS = ("finalizers",)
_DIRECTIVE = "$"


def strategic_merge(target: Any, patch: Any) -> Any:
    """Apply a strategic merge patch: null removes, dictionaries merge, lists merge by their keys or are replaced."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if not key.startswith(_DIRECTIVE)}
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith(_DIRECTIVE):
            continue
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, list):
            merged[key] = _merge_list(key, merged.get(key) or [], value)
        else:
            merged[key] = strategic_merge(merged.get(key), value)
    return _directed(merged, patch)


def _directed(merged: Json, patch: Json) -> Json:
    """Do what a patch says beside its values: which keys stay, what leaves a list, and the order of one."""
    if "$retainKeys" in patch:
        merged = {key: value for key, value in merged.items() if key in patch["$retainKeys"]}
    for directive, value in patch.items():
        name = directive.partition("/")[2]
        if directive.startswith("$deleteFromPrimitiveList/"):
            merged[name] = [one for one in merged.get(name) or [] if one not in value]
        elif directive.startswith("$setElementOrder/") and name in merged:
            merged[name] = _ordered(name, merged[name], value)
    return merged


def _merge_list(name: str, target: list[Any], patch: list[Any]) -> list[Any]:
    if name in _SETS:
        return [*target, *(one for one in patch if one not in target)]
    key = _key_of(name, [*patch, *target])
    if not key:
        return copy.deepcopy(patch)
    merged = {one[key]: one for one in target}
    for one in patch:
        if one.get("$patch") == "delete":
            merged.pop(one[key], None)
        else:
            merged[one[key]] = strategic_merge(merged.get(one[key]), one)
    return list(merged.values())


def _ordered(name: str, items: list[Any], order: list[Any]) -> list[Any]:
    """Put a list's items into an order; those that it doesn't name stay, behind."""
    key = _key_of(name, items)
    wanted = [one[key] if key else one for one in order]

    def place(item: Any) -> int:
        mine = item[key] if key else item
        return wanted.index(mine) if mine in wanted else len(wanted)

    return sorted(items, key=place)


def _key_of(name: str, items: list[Any]) -> str:
    """Find the key that all items have; empty: the list is replaced as a whole."""
    fitting = (key for key in _KEYS.get(name, ()) if all(isinstance(one, dict) and key in one for one in items))
    return next(fitting, "") if items else ""
