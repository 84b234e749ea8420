"""The API server's audit log: who wrote what, whichever program it was."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]

POLICY: Json = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]}],
}
"""Requests that change something, and no others: reads would be many times as many."""


@dataclass(frozen=True)
class Write:
    """A request that was to change something."""

    user: str
    verb: str
    resource: str
    """The plural; a subresource follows it behind a slash, as in ``pods/status``."""
    namespace: str
    name: str
    code: int
    at: dt.datetime
    """When it arrived."""


SERVER = "system:serviceaccount:poddnat-system:poddnat"
OURS = ("metacontroller", SERVER)
"""Whose requests are ours: those of the hook server itself, and those that its answers cause."""


class AuditLog:
    """The log as far as it is written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def end(self) -> int:
        """Tell where the log ends now, for `writes`."""
        return self.path.stat().st_size if self.path.exists() else 0

    def ours(self, namespace: str, start: int = 0) -> list[Write]:
        """Read our own writes in a namespace from there on."""
        return [write for write in self.writes(start) if write.namespace == namespace and write.user in OURS]

    def writes(self, start: int = 0) -> list[Write]:
        """Read the writes from there on. A request is logged a moment after it was answered."""
        with self.path.open("rb") as log:
            log.seek(start)
            *lines, _ = log.read().split(b"\n")
        return [_write(json.loads(line)) for line in lines]


def _write(event: Json) -> Write:
    what = event.get("objectRef") or {}
    resource = "/".join(part for part in (what.get("resource", ""), what.get("subresource")) if part)
    return Write(
        user=event["user"]["username"],
        verb=event["verb"],
        resource=resource,
        namespace=what.get("namespace", ""),
        # The name that the API server made up, as for pods of a ReplicaSet, is not in here.
        name=what.get("name", ""),
        code=event["responseStatus"]["code"],
        at=dt.datetime.fromisoformat(event["requestReceivedTimestamp"]),
    )
