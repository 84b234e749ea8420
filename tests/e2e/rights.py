"""Rights in the cluster: those that the shipped roles grant, and those that requests need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tests.e2e.world import MANIFESTS, read

if TYPE_CHECKING:
    from tests.e2e.audit_log import Request

Json = dict[str, Any]

RBAC = read(MANIFESTS / "rbac.yaml")


class Right(NamedTuple):
    """One verb on one resource, in one namespace or everywhere."""

    namespace: str
    group: str
    resource: str
    verb: str


def granted(manifests: list[Json]) -> list[Right]:
    """Take the rules of roles apart."""
    return [
        Right(role["metadata"].get("namespace", ""), group, resource, verb)
        for role in manifests
        for rule in role.get("rules", ())
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


RIGHTS = granted(RBAC)
_SCOPED = {(right.group, right.resource) for right in RIGHTS if right.namespace}


def needed(requests: list[Request]) -> set[Right]:
    """Tell what one has to be allowed for these requests."""
    return {
        Right(
            request.namespace if (request.group, request.resource) in _SCOPED else "",
            request.group,
            request.resource,
            request.verb,
        )
        for request in requests
    }
