"""The bodies of hook requests. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metacontroller_standin.api import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from metacontroller_standin.api import Resource

Json = dict[str, Any]


def decorator_request(controller: Json, obj: Json, attachments: Json) -> Json:
    """Build what a decorator's sync hook gets."""
    return {
        "controller": controller,
        "object": obj,
        "attachments": attachments,
        "related": {},
        "finalizing": False,
    }


def composite_request(controller: Json, parent: Json, *, finalizing: bool) -> Json:
    """Build what a composite's sync or finalize hook gets."""
    return {
        "controller": controller,
        "parent": parent,
        "children": {},
        "related": {},
        "finalizing": finalizing,
    }


def by_kind_and_name(resources: Iterable[Resource], objects: Iterable[Json]) -> Json:
    """Sort objects into groups by kind; a kind without objects has an empty group."""
    groups: dict[str, dict[str, Json]] = {group_of(res.kind, res.api_version): {} for res in resources}
    for obj in objects:
        groups.setdefault(group_of(obj["kind"], obj["apiVersion"]), {})[name_of(obj)] = obj
    return groups


def group_of(kind: str, api_version: str) -> str:
    """Return a group's key in requests: `PodDNAT.alibabacloud.com/v1`."""
    return f"{kind}.{api_version}"
