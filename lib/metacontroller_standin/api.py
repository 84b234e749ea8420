"""A small Kubernetes REST client: JSON in, JSON out, for any resource that discovery knows."""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

import urllib3

from metacontroller_standin.pacing import Pace

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"


class ApiError(Exception):
    """The API server refused."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason

    @property
    def not_found(self) -> bool:
        """There is no such object."""
        return self.reason == "NotFound"

    @property
    def conflict(self) -> bool:
        """Somebody else wrote first."""
        return self.reason == "Conflict"

    @property
    def already_exists(self) -> bool:
        """An object of that name is there."""
        return self.reason == "AlreadyExists"


@dataclass(frozen=True)
class Resource:
    """Where objects of one kind are found."""

    api_version: str
    plural: str
    kind: str
    namespaced: bool
    has_status: bool

    @property
    def group(self) -> str:
        """The part of the API version before the slash; "" for core kinds."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """Build the address of a collection, an object or its subresource."""
        root = "apis" if self.group else "api"
        scope = ["namespaces", namespace] if self.namespaced and namespace else []
        parts = [root, self.api_version, *scope, self.plural, name, subresource]
        return "/" + "/".join(part for part in parts if part)


class Watch:
    """The events of one watch; `stop` ends it from any thread."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def __iter__(self) -> Iterator[tuple[str, Json]]:
        """Yield event types and objects until the server or `stop` ends it."""
        rest = b""
        # The connection ends with the watch, however it ends: who gets an error event looks no further.
        # A server that is killed breaks off within an event, and after `stop` Python's TLS gives out encrypted bytes.
        with self._response, suppress(urllib3.exceptions.HTTPError, OSError, ValueError):
            for chunk in self._response.stream():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    yield event["type"], event["object"]

    def stop(self) -> None:
        """End the watch; a thread that waits for its next event wakes up."""
        with suppress(OSError, ValueError, RuntimeError, AttributeError):
            self._response.shutdown()


class Api:
    """One API server, as one client with its own pace and its own count of requests."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        ca_file: str | None = None,
        qps: float | None = None,
        burst: int | None = None,
    ) -> None:
        """`qps` and `burst` limit requests like client-go's options of these names; None is no limit."""
        self.url = url.rstrip("/")
        self._token = token
        self._ca_file = ca_file
        self._pace = Pace(qps, burst) if qps else None
        self._pool = urllib3.PoolManager(maxsize=32, ca_certs=ca_file, retries=False)
        self._known: dict[str, list[Resource]] = {}
        self._lock = threading.Lock()
        self.requests: Counter[tuple[str, str]] = Counter()
        """How often each verb was used on each kind: `("update", "Pod")`."""

    def clone(self, *, qps: float | None = None, burst: int | None = None) -> Api:
        """Make another client of the same server, with its own pace and counts."""
        return Api(self.url, token=self._token, ca_file=self._ca_file, qps=qps, burst=burst)

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Discovery

    def resource(self, api_version: str, plural: str) -> Resource:
        """Look a resource up by the name that paths and manifests use."""
        return self._look_up(api_version, "plural", plural)

    def resource_of(self, obj: Json) -> Resource:
        """Look up the resource that an object belongs to."""
        return self._look_up(obj["apiVersion"], "kind", obj["kind"])

    def _look_up(self, api_version: str, field: str, value: str) -> Resource:
        with self._lock:
            known = self._known.get(api_version, [])
        if not any(getattr(resource, field) == value for resource in known):
            known = self._discover(api_version)  # perhaps installed since we looked
        for resource in known:
            if getattr(resource, field) == value:
                return resource
        raise ApiError(404, "NotFound", f"{api_version} has no resource of {field} {value!r}")

    def _discover(self, api_version: str) -> list[Resource]:
        root = "/apis/" if "/" in api_version else "/api/"
        listed = self._call("GET", root + api_version)["resources"]
        names = {entry["name"] for entry in listed}
        known = [
            Resource(
                api_version,
                entry["name"],
                entry["kind"],
                entry["namespaced"],
                f"{entry['name']}/status" in names,
            )
            for entry in listed
            if "/" not in entry["name"]
        ]
        with self._lock:
            self._known[api_version] = known
        return known

    # Objects

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Json:
        """Read one object."""
        return self._use("get", resource, "GET", resource.path(namespace, name))

    def list(self, resource: Resource, namespace: str | None = None, **selectors: str) -> Json:
        """Read a list object; `labelSelector=` and `fieldSelector=` narrow it."""
        return self._use("list", resource, "GET", resource.path(namespace), query=selectors)

    def create(self, resource: Resource, obj: Json) -> Json:
        """Create an object in the namespace that it names."""
        return self._use("create", resource, "POST", resource.path(namespace_of(obj)), body=obj)

    def update(self, resource: Resource, obj: Json) -> Json:
        """Replace an object, but not its status."""
        path = resource.path(namespace_of(obj), name_of(obj))
        return self._use("update", resource, "PUT", path, body=obj)

    def update_status(self, resource: Resource, obj: Json) -> Json:
        """Replace an object's status, or the object if the kind has no status of its own."""
        subresource = "status" if resource.has_status else ""
        path = resource.path(namespace_of(obj), name_of(obj), subresource)
        return self._use("update_status", resource, "PUT", path, body=obj)

    def patch(
        self, resource: Resource, name: str, patch: Json, namespace: str | None = None, subresource: str = ""
    ) -> Json:
        """Merge a patch into an object or its subresource."""
        verb = f"patch_{subresource}" if subresource else "patch"
        path = resource.path(namespace, name, subresource)
        return self._use(verb, resource, "PATCH", path, body=patch)

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        grace_period: int | None = None,
    ) -> Json:
        """Delete an object, its dependents in the background; with `uid`, only if it is still that one."""
        options: Json = {"propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_period is not None:
            options["gracePeriodSeconds"] = grace_period
        return self._use("delete", resource, "DELETE", resource.path(namespace, name), body=options)

    def bind(self, pod: Json, node: str) -> None:
        """Put a pod on a node, as a scheduler does."""
        pods = self.resource("v1", "pods")
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name_of(pod), "namespace": namespace_of(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        self._use("bind", pods, "POST", pods.path(namespace_of(pod), name_of(pod), "binding"), body=binding)

    def watch(self, resource: Resource, revision: str) -> Watch:
        """Watch all objects of a resource from a resource version on."""
        query = {"watch": "true", "resourceVersion": revision, "allowWatchBookmarks": "true"}
        self._count("watch", resource)
        path = resource.path(None) + "?" + urlencode(query)
        response = self._send("GET", path, headers={}, body=None, stream=True)
        return Watch(response)

    def exists(self, resource: Resource, name: str, namespace: str | None = None) -> bool:
        """Tell whether there is an object of that name."""
        try:
            self.get(resource, name, namespace)
        except ApiError as error:
            if error.not_found:
                return False
            raise
        return True

    # Requests

    def _use(
        self,
        verb: str,
        resource: Resource,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Json | None = None,
    ) -> Json:
        self._count(verb, resource)
        return self._call(method, path + ("?" + urlencode(query) if query else ""), body)

    def _count(self, verb: str, resource: Resource) -> None:
        with self._lock:
            self.requests[verb, resource.kind] += 1

    def ready(self) -> bool:
        """Tell whether the server answers and calls itself ready."""
        try:
            self._send("GET", "/readyz", headers={}, body=None, stream=False)
        except (ApiError, urllib3.exceptions.HTTPError):
            return False
        return True

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """Send one request to any path: for the few that are no plain object access."""
        return self._call(method, path, body)

    def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        headers = {"Content-Type": MERGE_PATCH if method == "PATCH" else "application/json"}
        text = None if body is None else json.dumps(body).encode()
        answer: Json = json.loads(self._send(method, path, headers=headers, body=text, stream=False).data)
        return answer

    def _send(
        self, method: str, path: str, *, headers: dict[str, str], body: bytes | None, stream: bool
    ) -> urllib3.BaseHTTPResponse:
        if self._pace is not None:
            self._pace.wait()
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        timeout = urllib3.Timeout(connect=10, read=None if stream else 30)
        response = self._pool.request(
            method, self.url + path, headers=headers, body=body, timeout=timeout, preload_content=not stream
        )
        if response.status >= 400:  # noqa: PLR2004  # where HTTP's errors begin
            raise _error(response.status, response.data)
        return response


def _error(code: int, text: bytes) -> ApiError:
    try:
        status = json.loads(text)
    except ValueError:
        status = {}
    return ApiError(code, status.get("reason") or "", status.get("message") or text.decode(errors="replace"))


def name_of(obj: Json) -> str:
    """Return an object's name."""
    name: str = obj["metadata"]["name"]
    return name


def namespace_of(obj: Json) -> str:
    """Return an object's namespace, or "" if it has none."""
    namespace: str = obj["metadata"].get("namespace") or ""
    return namespace


def controller_of(obj: Json) -> Json | None:
    """Return the owner reference that is marked as the controller."""
    for owner in obj["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            reference: Json = owner
            return reference
    return None
