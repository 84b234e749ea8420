"""A copy of all objects of one resource, kept current by list and watch."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import urllib3

from metacontroller_standin.api import Api, ApiError, Resource, Watch, controller_of, name_of, namespace_of

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
Key = tuple[str, str]

RETRY = 0.2
"""Seconds before another try when the API server does not answer."""


class Informer:
    """Tells its handlers `(old, new)` of every change: old None is an addition, new None a removal."""

    def __init__(self, api: Api, resource: Resource) -> None:
        self.resource = resource
        self._api = api
        self._handlers: list[Callable[[Json | None, Json | None], None]] = []
        self._lock = threading.Lock()
        self._objects: dict[Key, Json] = {}
        self._owned: dict[str, dict[Key, Json]] = defaultdict(dict)
        self._listed = threading.Event()
        self._stopping = threading.Event()
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._run, name=f"informer-{resource.plural}")

    def on_change(self, handler: Callable[[Json | None, Json | None], None]) -> None:
        """Call a handler for every change from the first list on; register before `start`."""
        self._handlers.append(handler)

    def start(self) -> None:
        """Begin to list and watch."""
        self._thread.start()

    def wait_listed(self, timeout: float) -> None:
        """Wait until the first list is in."""
        if not self._listed.wait(timeout):
            message = f"no list of {self.resource.plural} within {timeout} s"
            raise TimeoutError(message)

    def stop(self) -> None:
        """End the watch and its thread."""
        self._stopping.set()
        with self._lock:
            watch = self._watch
        if watch is not None:
            watch.stop()
        if self._thread.ident is not None:
            self._thread.join()

    def get(self, key: Key) -> Json | None:
        """Return the object as last seen. Callers must not change it."""
        with self._lock:
            return self._objects.get(key)

    def all(self) -> list[Json]:
        """Return all objects as last seen."""
        with self._lock:
            return list(self._objects.values())

    def owned_by(self, uid: str) -> list[Json]:
        """Return the objects whose controller has that uid."""
        with self._lock:
            return [self._owned[uid][key] for key in sorted(self._owned[uid])] if uid in self._owned else []

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._list_and_watch()
            except (ApiError, urllib3.exceptions.HTTPError, OSError):
                self._stopping.wait(RETRY)

    def _list_and_watch(self) -> None:
        listed = self._api.list(self.resource)
        current = {}
        for item in listed["items"] or []:
            # Items of typed lists leave out what the list says of all of them.
            obj = {"apiVersion": self.resource.api_version, "kind": self.resource.kind, **item}
            current[namespace_of(obj), name_of(obj)] = obj
        with self._lock:
            gone = [key for key in self._objects if key not in current]
        for key in gone:
            self._change(key, None)
        for key, obj in current.items():
            self._change(key, obj)
        self._listed.set()
        revision: str | None = listed["metadata"]["resourceVersion"]
        while revision is not None and not self._stopping.is_set():
            revision = self._follow(revision)

    def _follow(self, revision: str) -> str | None:
        """Watch from a revision; return the last one seen, or None if it takes a new list to go on."""
        watch = self._api.watch(self.resource, revision)
        with self._lock:
            self._watch = watch
        if self._stopping.is_set():
            watch.stop()  # it began after `stop` looked
        for event, obj in watch:
            if event == "ERROR":
                return None
            revision = obj["metadata"]["resourceVersion"]
            if event != "BOOKMARK":
                self._change((namespace_of(obj), name_of(obj)), None if event == "DELETED" else obj)
        return revision

    def _change(self, key: Key, new: Json | None) -> None:
        with self._lock:
            old = self._objects.pop(key, None)
            self._move(key, old, new)
            if new is not None:
                self._objects[key] = new
        if _revision(old) == _revision(new):
            return
        for handler in self._handlers:
            handler(old, new)

    def _move(self, key: Key, old: Json | None, new: Json | None) -> None:
        if old is not None and (owner := controller_of(old)) is not None:
            owned = self._owned[owner["uid"]]
            owned.pop(key, None)
            if not owned:
                del self._owned[owner["uid"]]
        if new is not None and (owner := controller_of(new)) is not None:
            self._owned[owner["uid"]][key] = new


def _revision(obj: Json | None) -> str | None:
    return None if obj is None else obj["metadata"]["resourceVersion"]
