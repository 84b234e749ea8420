"""The loop that both kinds of controllers share: events, queue, workers, retries."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import urllib3

from metacontroller_standin.api import Api, ApiError, name_of, namespace_of
from metacontroller_standin.hook_client import HookClient, HookError, TooManyRequestsError
from metacontroller_standin.workqueue import WorkQueue

if TYPE_CHECKING:
    from metacontroller_standin.events import EventRecorder
    from metacontroller_standin.informer import Informer
    from metacontroller_standin.manifests import ParentRule

Json = dict[str, Any]
Key = tuple[str, str, str, str]
"""apiVersion, kind, namespace and name."""


class Controller:
    """Calls `sync` for one object at a time per key, with several workers, until it succeeds."""

    def __init__(self, name: str, api: Api, hooks: HookClient, events: EventRecorder, workers: int) -> None:
        self.name = name
        self.api = api
        self.hooks = hooks
        self.events = events
        self.queue: WorkQueue[Key] = WorkQueue()
        self.parents: list[tuple[ParentRule, Informer]] = []
        self.resync_period: float | None = None
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{n}") for n in range(workers)]
        self._threads.append(threading.Thread(target=self._resync, name=f"{name}-resync"))

    def sync(self, parent: Json) -> None:
        """Bring one object up to date."""
        raise NotImplementedError

    def cares_about(self, rule: ParentRule, obj: Json) -> bool:
        """Tell whether an object is this controller's business."""
        return rule.selects(obj)

    def follow(self, rule: ParentRule, informer: Informer) -> None:
        """Sync objects of a resource when they change."""
        self.parents.append((rule, informer))

        def on_change(old: Json | None, new: Json | None) -> None:
            if old is not None and new is not None and rule.ignore_status_changes and _only_status(old, new):
                return
            self.enqueue(rule, new or old or {})

        informer.on_change(on_change)

    def enqueue(self, rule: ParentRule, obj: Json) -> None:
        """Ask for an object's sync if it is this controller's business."""
        if self.cares_about(rule, obj):
            self.queue.add(_key(obj))

    def enqueue_after(self, obj: Json, delay: float) -> None:
        """Ask for an object's sync after so many seconds; 0 asks for none."""
        if delay > 0:
            self.queue.add_after(_key(obj), delay)

    def parent_of(self, reference: Json, namespace: str) -> tuple[ParentRule, Json] | None:
        """Find the followed object that an owner reference means."""
        group = reference["apiVersion"].rpartition("/")[0]
        for rule, informer in self.parents:
            resource = informer.resource
            if (resource.group, resource.kind) != (group, reference["kind"]):
                continue
            parent = informer.get((namespace if resource.namespaced else "", reference["name"]))
            if parent is not None and parent["metadata"]["uid"] == reference["uid"]:
                return rule, parent
        return None

    def start(self) -> None:
        """Put the workers to work; the informers must have listed."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send the workers home, after what they are doing now."""
        self._stopping.set()
        self.queue.close()
        for thread in self._threads:
            if thread.ident is not None:  # not if another part failed to start before
                thread.join()

    def _work(self) -> None:
        while (key := self.queue.get()) is not None:
            try:
                self._sync_key(key)
            finally:
                self.queue.done(key)

    def _sync_key(self, key: Key) -> None:
        found = self._find(key)
        if found is None:
            self.queue.forget(key)
            return
        rule, parent = found
        if not self.cares_about(rule, parent):
            return
        try:
            self.sync(parent)
        except TooManyRequestsError as error:
            self.queue.add_after(key, error.after)
        except (HookError, ApiError, urllib3.exceptions.HTTPError, OSError) as error:
            if not self._stopping.is_set():
                self.events.sync_error(parent, error)
            self.queue.add_failed(key)
        else:
            self.queue.forget(key)

    def _find(self, key: Key) -> tuple[ParentRule, Json] | None:
        api_version, kind, namespace, name = key
        for rule, informer in self.parents:
            if (informer.resource.api_version, informer.resource.kind) == (api_version, kind):
                parent = informer.get((namespace, name))
                return None if parent is None else (rule, parent)
        return None

    def _resync(self) -> None:
        if self.resync_period is None:
            return
        while not self._stopping.wait(max(1.0, self.resync_period)):
            for rule, informer in self.parents:
                for obj in informer.all():
                    self.enqueue(rule, obj)


def _key(obj: Json) -> Key:
    return obj["apiVersion"], obj["kind"], namespace_of(obj), name_of(obj)


def _only_status(old: Json, new: Json) -> bool:
    def rest(obj: Json) -> Json:
        return {field: obj["metadata"].get(field) for field in ("generation", "labels", "annotations")}

    return rest(old) == rest(new) and "deletionTimestamp" not in new["metadata"]
