"""The API server's audit log: who wrote what, whichever program it was, and all that the hook server asked."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]

SERVER = "system:serviceaccount:poddnat-system:poddnat"
OURS = ("metacontroller", SERVER)
"""Whose requests are ours: those of the hook server itself, and those that its answers cause."""

WRITES = ["create", "update", "patch", "delete", "deletecollection"]
POLICY: Json = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # A watch is logged when it starts: its end may be far.
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "users": [SERVER]},
        # Of others what changes something, and no more: reads would be many times as many.
        {"level": "Metadata", "verbs": WRITES},
    ],
}


@dataclass(frozen=True)
class Request:
    """A request, answered."""

    user: str
    verb: str
    group: str
    resource: str
    """The plural; a subresource follows it behind a slash, as in ``pods/status``. Empty: no object was asked for."""
    namespace: str
    name: str
    code: int
    forbidden: bool
    """Whether it was refused because no role allows it; an admission may refuse what is allowed."""
    at: dt.datetime
    """When it arrived."""


class AuditLog:
    """The log as far as it is written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def end(self) -> int:
        """Tell where the log ends now, for `writes`."""
        return self.path.stat().st_size if self.path.exists() else 0

    def ours(self, namespace: str, start: int = 0) -> list[Request]:
        """Read our own writes in a namespace from there on."""
        return [write for write in self.writes(start) if write.namespace == namespace and write.user in OURS]

    def writes(self, start: int = 0) -> list[Request]:
        """Read the writes from there on."""
        return [request for request in self._requests(start) if request.verb in WRITES]

    def of_server(self, start: int = 0) -> list[Request]:
        """Read all that the hook server asked for from there on."""
        return [request for request in self._requests(start) if request.user == SERVER]

    def _requests(self, start: int) -> list[Request]:
        """Read the log from there on. A request is logged a moment after it was answered."""
        with self.path.open("rb") as log:
            log.seek(start)
            *lines, _ = log.read().split(b"\n")
        return [_request(json.loads(line)) for line in lines]


def _request(event: Json) -> Request:
    what = event.get("objectRef") or {}
    resource = "/".join(part for part in (what.get("resource", ""), what.get("subresource")) if part)
    return Request(
        user=event["user"]["username"],
        verb=event["verb"],
        group=what.get("apiGroup", ""),
        resource=resource,
        namespace=what.get("namespace", ""),
        # The name that the API server made up, as for pods of a ReplicaSet, is not in here.
        name=what.get("name", ""),
        code=event["responseStatus"]["code"],
        forbidden=event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid",
        at=dt.datetime.fromisoformat(event["requestReceivedTimestamp"]),
    )
