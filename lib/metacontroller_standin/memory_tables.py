"""Objects as tables, as an API server writes them for kubectl: a row each, with the columns of their kind."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from metacontroller_standin.kinds import Column, ServedKind

Json = dict[str, Any]

AS_TABLE = ";as=Table"

_STEP = re.compile(r"\.(?P<key>[\w-]+)|\[\?\(@\.(?P<field>\w+)==[\"'](?P<value>[^\"']*)[\"']\)\]|\[(?P<index>\d+)\]")


def table(kind: ServedKind, version: str, objects: Sequence[Json], *, revision: str) -> Json:
    """Write objects as a table."""
    columns = kind.columns_of(version)
    head = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]
    head += [{**vars(column), "format": ""} for column in columns]
    for one in head:
        one.pop("path", None)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": revision},
        "columnDefinitions": head,
        "rows": [_row(kind, columns, obj) for obj in objects],
    }


def _row(kind: ServedKind, columns: Sequence[Column], obj: Json) -> Json:
    shown = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
    computed = _COMPUTED.get(kind.plural, {}) if kind.group in ("", "apps") else {}
    cells = [_cell(column, obj, computed.get(column.name)) for column in columns]
    return {"cells": [obj["metadata"]["name"], *cells], "object": shown}


def _cell(column: Column, obj: Json, compute: Callable[[Json], Any] | None) -> Any:
    value = compute(obj) if compute is not None else at(obj, column.path)
    if column.type == "date":
        return age(str(value)) if value else "<unknown>"
    return value


def at(obj: Any, path: str) -> Any:
    """Find what a JSON path as in a CRD's columns leads to; None: nothing."""
    for step in _STEP.finditer(path):
        if step["key"] is not None:
            obj = obj.get(step["key"]) if isinstance(obj, dict) else None
        elif step["index"] is not None:
            items = obj if isinstance(obj, list) else []
            obj = items[int(step["index"])] if int(step["index"]) < len(items) else None
        else:
            items = obj if isinstance(obj, list) else []
            obj = next((one for one in items if one.get(step["field"]) == step["value"]), None)
    return obj


def age(since: str) -> str:
    """Write how long ago a time was, in the two largest units, as kubectl does."""
    passed = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(since)
    seconds = max(0, int(passed.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    scale = (
        (120, f"{seconds}s"),
        (600, f"{minutes}m{seconds % 60 or ''}" + ("s" if seconds % 60 else "")),
        (10800, f"{minutes}m"),
        (28800, f"{hours}h{minutes % 60}m"),
        (172800, f"{hours}h"),
    )
    return next((text for limit, text in scale if seconds < limit), f"{days}d")


def _pod_ready(pod: Json) -> str:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return f"{sum(bool(one.get('ready')) for one in statuses)}/{len(pod['spec'].get('containers') or [])}"


def _pod_status(pod: Json) -> str:
    return "Terminating" if "deletionTimestamp" in pod["metadata"] else str((pod.get("status") or {}).get("phase", ""))


def _replicas_ready(workload: Json) -> str:
    return f"{(workload.get('status') or {}).get('readyReplicas', 0)}/{workload['spec'].get('replicas', 1)}"


def _about(event: Json) -> str:
    obj = event.get("involvedObject") or {}
    return f"{str(obj.get('kind', '')).lower()}/{obj.get('name', '')}"


_COMPUTED: dict[str, dict[str, Callable[[Json], Any]]] = {
    "pods": {"Ready": _pod_ready, "Status": _pod_status, "Restarts": lambda _pod: 0},
    "deployments": {"Ready": _replicas_ready},
    "statefulsets": {"Ready": _replicas_ready},
    "events": {"Object": _about},
}
"""Columns that are no single field of the object."""
