"""What the in-memory API says of itself: versions, groups, resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metacontroller_standin.kinds import ServedKind
    from metacontroller_standin.memory_api import Catalogue

Json = dict[str, Any]

VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+in-memory",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def answer(catalogue: Catalogue, path: str) -> Json | None:
    """Answer a discovery path; None if the path is not one."""
    groups = catalogue.groups()
    known: Json | None = None
    match [part for part in path.split("/") if part]:
        case ["version"]:
            known = VERSION
        case ["healthz" | "readyz" | "livez"]:
            known = {"status": "ok"}
        case ["openapi", "v3"]:
            paths = [_root(name, version) for name, versions in groups.items() for version in versions]
            known = {"paths": {one: {"serverRelativeURL": f"/openapi/v3/{one}"} for one in paths}}
        case ["openapi", "v3", "api", version]:
            known = _openapi(catalogue, "", version)
        case ["openapi", "v3", "apis", group, version]:
            known = _openapi(catalogue, group, version)
        case ["api"]:
            known = {"kind": "APIVersions", "versions": groups[""]}
        case ["apis"]:
            listed = [_group(name, versions) for name, versions in groups.items() if name]
            known = {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
        case ["apis", group] if group in groups:
            known = _group(group, groups[group])
        case ["api", version]:
            known = _resources(catalogue, "", version)
        case ["apis", group, version]:
            known = _resources(catalogue, group, version)
    return known


def _root(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _openapi(catalogue: Catalogue, group: str, version: str) -> Json:
    """Say of kinds no more than that their fields are left to the server to check: kubectl asks before an apply."""
    checks = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1"},
        "paths": {
            f"/{_root(group, version)}/{kind.plural}/{{name}}": {
                "patch": {
                    "parameters": checks,
                    "responses": {},
                    "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind.kind},
                }
            }
            for kind in catalogue.of(group, version)
        },
    }


def _group(name: str, versions: list[str]) -> Json:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": listed,
        "preferredVersion": listed[0],
    }


def _resources(catalogue: Catalogue, group: str, version: str) -> Json | None:
    kinds = catalogue.of(group, version)
    if not kinds:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": kinds[0].api_version(version),
        "resources": [entry for kind in kinds for entry in _entries(kind)],
    }


def _entries(kind: ServedKind) -> list[Json]:
    entry: Json = {
        "name": kind.plural,
        "singularName": kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": VERBS,
        "shortNames": list(kind.short_names),
    }
    if not kind.has_status:
        return [entry]
    subresource = {**entry, "verbs": ["get", "patch", "update"], "shortNames": []}
    scale = {"name": f"{kind.plural}/scale", "kind": "Scale", "group": "autoscaling", "version": "v1"}
    scales = [{**subresource, **scale}] if kind.has_scale else []
    return [entry, {**subresource, "name": f"{kind.plural}/status"}, *scales]
