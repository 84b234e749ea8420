"""HTTP in and out of the in-memory API: paths, bodies, watches, discovery."""

from __future__ import annotations

import json
import select
import socket
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from metacontroller_standin import memory_discovery as discovery
from metacontroller_standin.kinds import PODS
from metacontroller_standin.memory_errors import (
    StatusError,
    bad_request,
    method_not_allowed,
    no_such_path,
    unsupported_media_type,
)
from metacontroller_standin.memory_tables import AS_TABLE, table
from metacontroller_standin.selectors import matches_fields, matches_labels

if TYPE_CHECKING:
    from metacontroller_standin.kinds import ServedKind
    from metacontroller_standin.memory_api import Server
    from metacontroller_standin.memory_store import Change, Store

Json = dict[str, Any]

CLIENT_CHECK = 1.0
"""How often a quiet watch looks whether its client is still there, in seconds."""

STRATEGIC = "application/strategic-merge-patch+json"
MERGE_PATCHES = ("application/merge-patch+json", STRATEGIC)
METADATA_ONLY = ";as=PartialObjectMetadata"


@dataclass(frozen=True)
class Target:
    """What a path means."""

    kind: ServedKind
    version: str
    namespace: str
    name: str
    subresource: str

    @property
    def key(self) -> tuple[str, str]:
        """Where the store has the object."""
        return (self.namespace, self.name)

    def shown(self, obj: Json) -> Json:
        """Give an object the version that was asked for."""
        return {**obj, "apiVersion": self.kind.api_version(self.version)}


@dataclass(frozen=True)
class Query:
    """What stands behind the question mark."""

    values: dict[str, str]

    def selects(self, obj: Json) -> bool:
        """Tell whether an object is among those asked for."""
        labels = self.values.get("labelSelector", "")
        fields = self.values.get("fieldSelector", "")
        return (not labels or matches_labels(labels, obj["metadata"].get("labels") or {})) and (
            not fields or matches_fields(fields, obj)
        )


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    # Without this a second small write would wait for the client's acknowledgement of the first.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    @property
    def store(self) -> Store:
        """The objects."""
        return self.server.store

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it
        """Stay quiet: whoever wants a log has it in the clients."""

    def do_GET(self) -> None:
        """Answer get, list, watch and discovery."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Answer create."""
        self._answer("POST")

    def do_PUT(self) -> None:
        """Answer update."""
        self._answer("PUT")

    def do_PATCH(self) -> None:
        """Answer patch."""
        self._answer("PATCH")

    def do_DELETE(self) -> None:
        """Answer delete."""
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        try:
            url = urlsplit(self.path)
            query = Query({key: values[-1] for key, values in parse_qs(url.query).items()})
            body = self._read_body()
            if method == "GET" and (known := discovery.answer(self.server.catalogue, url.path)) is not None:
                self._send(200, known)
                return
            target = self._target(url.path)
            if method == "GET" and query.values.get("watch") in ("1", "true"):
                self._watch(target, query)
            else:
                self._send(*self._dispatch(method, target, query, body))
        except StatusError as error:
            self._send(error.code, error.body())

    def _read_body(self) -> Json:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not text:
            return {}
        try:
            body = json.loads(text)
        except ValueError:
            raise bad_request("the body is not JSON") from None
        if not isinstance(body, dict):
            raise unsupported_media_type(self.headers.get("Content-Type", "a list"))
        return body

    def _target(self, path: str) -> Target:
        match [unquote(part) for part in path.split("/") if part]:
            case ["api", version, *rest]:
                group = ""
            case ["apis", group, version, *rest]:
                pass
            case _:
                raise no_such_path(path)
        namespace = ""
        match rest:
            case ["namespaces", _, "status" | "finalize"]:
                pass
            case ["namespaces", namespace, _, *_]:
                rest = rest[2:]
        match rest:
            case [plural]:
                name = subresource = ""
            case [plural, name]:
                subresource = ""
            case [plural, name, subresource]:
                pass
            case _:
                raise no_such_path(path)
        kind = self.server.catalogue.find(group, version, plural)
        return Target(kind, version, namespace, name, subresource)

    def _dispatch(self, method: str, target: Target, query: Query, body: Json) -> tuple[int, Json]:
        if target.subresource:
            return self._dispatch_subresource(method, target, body)
        store, kind, key = self.store, target.kind, target.key
        match method, bool(target.name):
            case "GET", True:
                answer = self._got(target)
            case "GET", False:
                answer = self._list(target, query, as_table=self._wants_table)
            case "POST", False:
                answer = target.shown(store.create(kind, target.namespace, body))
            case "PUT", True:
                answer = target.shown(store.replace(kind, key, body, status=False))
            case "PATCH", True:
                answer = target.shown(self._patch(target, body, status=False))
            case "DELETE", True:
                answer = self._delete(target, query, body)
            case "DELETE", False:
                answer = self._delete_all(target, query, body)
            case _:
                raise method_not_allowed(method)
        return (201 if method == "POST" else 200), answer

    def _dispatch_subresource(self, method: str, target: Target, body: Json) -> tuple[int, Json]:
        if target.subresource == "binding" and target.kind is PODS and method == "POST":
            patch = {"spec": {"nodeName": body["target"]["name"]}}
            self.store.patch(target.kind, target.key, patch, status=False)
            return 201, {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Success",
                "code": 201,
            }
        if target.subresource == "scale" and target.kind.has_scale:
            return 200, self._scale(method, target, body)
        if target.subresource != "status" or not target.kind.has_status:
            raise no_such_path(self.path)
        match method:
            case "GET":
                obj = self.store.get(target.kind, target.key)
            case "PUT":
                obj = self.store.replace(target.kind, target.key, body, status=True)
            case "PATCH":
                obj = self._patch(target, body, status=True)
            case _:
                raise method_not_allowed(method)
        return 200, target.shown(obj)

    def _scale(self, method: str, target: Target, body: Json) -> Json:
        """Answer for a workload's number of pods alone."""
        if method in ("PUT", "PATCH"):
            patch = {"spec": {"replicas": (body.get("spec") or {}).get("replicas", 0)}}
            workload = self.store.patch(target.kind, target.key, patch, status=False)
        elif method == "GET":
            workload = self.store.get(target.kind, target.key)
        else:
            raise method_not_allowed(method)
        metadata = {key: workload["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion")}
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": metadata,
            "spec": {"replicas": workload["spec"].get("replicas", 1)},
            "status": {"replicas": (workload.get("status") or {}).get("replicas", 0)},
        }

    def _patch(self, target: Target, body: Json, *, status: bool) -> Json:
        media_type = self.headers.get("Content-Type", "").partition(";")[0]
        if media_type not in MERGE_PATCHES:
            raise unsupported_media_type(media_type)
        return self.store.patch(target.kind, target.key, body, status=status, strategic=media_type == STRATEGIC)

    def _list(self, target: Target, query: Query, *, as_table: bool) -> Json:
        limit = 0 if as_table else int(query.values.get("limit") or 0)
        version, _, place = query.values.get("continue", "").partition(" ")
        namespace, _, name = place.partition(" ")
        revision, chosen = self.store.list_objects(
            target.kind, target.namespace, query.selects, after=(namespace, name), most=limit + 1 if limit else None
        )
        if as_table:
            return table(target.kind, target.version, chosen, revision=str(revision))
        metadata = {"resourceVersion": version or str(revision)}
        if limit and len(chosen) > limit:
            chosen = chosen[:limit]
            last = chosen[-1]["metadata"]
            metadata["continue"] = f"{metadata['resourceVersion']} {last.get('namespace', '')} {last['name']}"
        return {
            "apiVersion": target.kind.api_version(target.version),
            "kind": f"{target.kind.kind}List",
            "metadata": metadata,
            "items": [self._cut(target.shown(obj)) for obj in chosen],
        }

    def _got(self, target: Target) -> Json:
        obj = self.store.get(target.kind, target.key)
        if not self._wants_table:
            return target.shown(obj)
        return table(target.kind, target.version, [obj], revision=obj["metadata"]["resourceVersion"])

    @property
    def _wants_table(self) -> bool:
        return AS_TABLE in self.headers.get("Accept", "")

    def _cut(self, obj: Json) -> Json:
        """Leave of an object what the client wants of it."""
        if METADATA_ONLY not in self.headers.get("Accept", ""):
            return obj
        return {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": obj["metadata"]}

    def _delete(self, target: Target, query: Query, body: Json) -> Json:
        grace = body.get("gracePeriodSeconds", query.values.get("gracePeriodSeconds"))
        last = self.store.delete(
            target.kind,
            target.key,
            preconditions=body.get("preconditions") or {},
            grace=None if grace is None else int(grace),
        )
        return target.shown(last)

    def _delete_all(self, target: Target, query: Query, body: Json) -> Json:
        chosen = self._list(target, query, as_table=False)
        for item in chosen["items"]:
            metadata = item["metadata"]
            one = Target(target.kind, target.version, metadata.get("namespace", ""), metadata["name"], "")
            self._delete(one, query, body)
        return chosen

    def _send(self, code: int, body: Json) -> None:
        text = json.dumps(body, separators=(",", ":")).encode()
        self.send_response_only(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

    # Watches

    def _watch(self, target: Target, query: Query) -> None:
        seen = int(query.values.get("resourceVersion") or 0)
        deadline = time.monotonic() + float(query.values.get("timeoutSeconds") or 1800)
        self.send_response_only(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        lists_first = query.values.get("sendInitialEvents") == "true"
        if seen == 0 or lists_first:
            seen, objects = self.store.list_objects(target.kind, target.namespace, query.selects)
            self._stream(target, [("ADDED", target.shown(obj)) for obj in objects])
        if lists_first:  # As kubectl's informers want it: they wait for the end of the list.
            metadata = {"resourceVersion": str(seen), "annotations": {"k8s.io/initial-events-end": "true"}}
            self._stream(target, [("BOOKMARK", target.shown({"kind": target.kind.kind, "metadata": metadata}))])
        try:
            while not self.server.stopping and time.monotonic() < deadline and not self._client_is_gone():
                seen, events = self._next_events(target, query, seen)
                self._stream(target, events)
        except StatusError as error:
            self._stream(target, [("ERROR", error.body())])
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _next_events(self, target: Target, query: Query, seen: int) -> tuple[int, list[tuple[str, Json]]]:
        with self.store.changed:
            if self.store.revision == seen and not self.server.stopping:
                self.store.changed.wait(CLIENT_CHECK)
            changes = self.store.changes_since(target.kind, seen)
            seen = self.store.revision
        events = [_event(target, query, change) for change in changes]
        return seen, [event for event in events if event is not None]

    def _stream(self, target: Target, events: list[tuple[str, Json]]) -> None:
        for name, obj in events:
            shown = obj if name == "ERROR" else self._cut(obj)
            if name not in ("ERROR", "BOOKMARK") and self._wants_table:
                shown = table(target.kind, target.version, [obj], revision=obj["metadata"]["resourceVersion"])
            line = json.dumps({"type": name, "object": shown}, separators=(",", ":")).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()

    def _client_is_gone(self) -> bool:
        connection = cast("socket.socket", self.connection)
        readable, _, _ = select.select([connection], [], [], 0)
        return bool(readable) and not connection.recv(1, socket.MSG_PEEK)


def _event(target: Target, query: Query, change: Change) -> tuple[str, Json] | None:
    """Say how one change looks to a watch that sees only some objects."""
    after = change.after if _visible(target, query, change.after) else None
    before = change.before if _visible(target, query, change.before) else None
    if after is not None:
        return ("MODIFIED" if before is not None else "ADDED", target.shown(after))
    if before is None:
        return None
    last = change.after if change.after is not None else before
    return ("DELETED", target.shown(last))


def _visible(target: Target, query: Query, obj: Json | None) -> bool:
    if obj is None:
        return False
    return target.namespace in ("", obj["metadata"].get("namespace", "")) and query.selects(obj)
