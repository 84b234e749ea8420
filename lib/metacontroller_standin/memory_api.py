"""A small Kubernetes API server on loopback, for simulations and fast tests.

It keeps objects in memory and has no authentication, admission, schemas or defaults: what those would do
shows only on a real API server. What controllers rely on is there: resource versions and conflicts, watches,
finalizers, the status subresource, owner references and their garbage collection.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import sys
import threading
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from metacontroller_standin.kinds import BUILT_IN, ServedKind
from metacontroller_standin.memory_errors import no_such_path
from metacontroller_standin.memory_http import Handler
from metacontroller_standin.memory_store import Key, Store
from metacontroller_standin.running import Running

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]


class Catalogue:
    """Which resources there are, by group, version and name."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str, str], ServedKind] = {}

    def add(self, kind: ServedKind) -> None:
        """Serve a kind under all its versions."""
        for version in kind.versions:
            self._kinds[kind.group, version, kind.plural] = kind

    def remove(self, group: str, plural: str) -> None:
        """Serve a kind no more, in any version."""
        self._kinds = {key: kind for key, kind in self._kinds.items() if (key[0], key[2]) != (group, plural)}

    def find(self, group: str, version: str, plural: str) -> ServedKind:
        """Return the kind, or raise the 404 of an unknown path."""
        try:
            return self._kinds[group, version, plural]
        except KeyError:
            path = f"{group}/{version}/{plural}"
            raise no_such_path(path) from None

    def groups(self) -> dict[str, list[str]]:
        """List the versions of every group."""
        found: dict[str, list[str]] = {}
        for group, version, _ in self._kinds:
            versions = found.setdefault(group, [])
            if version not in versions:
                versions.append(version)
        return found

    def of(self, group: str, version: str) -> list[ServedKind]:
        """List the kinds of one group and version."""
        return [kind for (its, served, _), kind in self._kinds.items() if (its, served) == (group, version)]


class Server(ThreadingHTTPServer):
    """The HTTP server: a thread for every connection, all of them ended on stop."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], store: Store, catalogue: Catalogue) -> None:
        self.store = store
        self.catalogue = catalogue
        self.stopping = False
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that it can be ended."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up; show everything else."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def end_connections(self) -> None:
        """Wake every thread that waits for a client or for changes."""
        self.stopping = True
        with self.store.changed:
            self.store.changed.notify_all()
        self.break_connections()

    def break_connections(self) -> None:
        """Break every connection, as a load balancer does that is replaced."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class MemoryApi(Running):
    """The API server: `with MemoryApi() as api: ... api.url`."""

    def __init__(self, port: int = 0, *, problems_of: Callable[[Json], list[str]] = lambda _: []) -> None:
        """Bind the port (0: any free one); serving starts with `start`.

        `problems_of` lists what is wrong with an object that somebody writes; what has any is refused.
        """
        self._orphans: queue.SimpleQueue[tuple[ServedKind, Key] | None] = queue.SimpleQueue()
        self.store = Store(lambda kind, key: self._orphans.put((kind, key)), problems_of)
        self._catalogue = Catalogue()
        for kind in BUILT_IN:
            self._catalogue.add(kind)
        for namespace in ("default", "kube-system"):
            self.store.create(self._catalogue.find("", "v1", "namespaces"), "", {"metadata": {"name": namespace}})
        self._server = Server(("127.0.0.1", port), self.store, self._catalogue)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.05,), name="memory-api"),
            threading.Thread(target=self._collect_garbage, name="memory-gc"),
        ]

    def break_connections(self) -> None:
        """Break every connection: clients have to connect, and list, anew."""
        self._server.break_connections()

    def add(self, api_version: str, plural: str, obj: Json) -> Json:
        """Put an object in place, as etcd would have it: nothing is checked, and what the system writes is kept."""
        group, _, version = api_version.rpartition("/")
        return self.store.add(self._catalogue.find(group, version, plural), obj)

    def register_crd(self, crd: Json) -> None:
        """Serve the resource that a CustomResourceDefinition describes."""
        self.register(ServedKind.from_crd(crd))

    def register(self, kind: ServedKind) -> None:
        """Serve one more resource."""
        self._catalogue.add(kind)

    def unregister(self, group: str, plural: str) -> None:
        """Serve a resource no more, as when its CustomResourceDefinition is not installed."""
        self._catalogue.remove(group, plural)

    def start(self) -> None:
        """Begin to serve."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End every connection and thread."""
        self._orphans.put(None)
        self._server.shutdown()
        self._server.end_connections()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    def _collect_garbage(self) -> None:
        # Apart from the request that removed the owner, as in a cluster: clients must not count on it.
        while (orphan := self._orphans.get()) is not None:
            self.store.collect(*orphan)
