"""`SyncError` events on objects whose sync failed."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import urllib3

from metacontroller_standin.api import ApiError, name_of, namespace_of
from metacontroller_standin.memory_store import timestamp

if TYPE_CHECKING:
    from metacontroller_standin.api import Api

Json = dict[str, Any]


class EventRecorder:
    """Writes one event for each distinct failure of an object and counts up when it comes again."""

    def __init__(self, api: Api) -> None:
        """Take an `api` with a pace of its own: as in Metacontroller, events do not hold up other writes."""
        self._api = api
        self._lock = threading.Lock()
        self._written: dict[tuple[str, str], Json] = {}

    def sync_error(self, obj: Json, error: Exception) -> None:
        """Record that an object's sync failed; failing to do so is not worth failing for."""
        message = f"Sync error: {error}"
        with self._lock:
            try:
                self._record(obj, message)
            except (ApiError, urllib3.exceptions.HTTPError, OSError):
                self._written.pop((obj["metadata"]["uid"], message), None)

    def _record(self, obj: Json, message: str) -> None:
        events = self._api.resource("v1", "events")
        key = (obj["metadata"]["uid"], message)
        if known := self._written.get(key):
            patch = {"count": known["count"] + 1, "lastTimestamp": timestamp()}
            self._written[key] = self._api.patch(events, name_of(known), patch, namespace_of(known))
        else:
            self._written[key] = self._api.create(events, _event(obj, message))


def _event(obj: Json, message: str) -> Json:
    now = timestamp()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{name_of(obj)}.{time.time_ns():x}",
            "namespace": namespace_of(obj) or "default",
        },
        "involvedObject": {
            "apiVersion": obj["apiVersion"],
            "kind": obj["kind"],
            "name": name_of(obj),
            "namespace": namespace_of(obj),
            "uid": obj["metadata"]["uid"],
            "resourceVersion": obj["metadata"]["resourceVersion"],
        },
        "type": "Warning",
        "reason": "SyncError",
        "message": message[:1024],
        "source": {"component": "metacontroller"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
