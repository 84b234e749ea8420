"""A CompositeController at work: finalizer, status, finalize hook."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from metacontroller_standin.answers import composite_answer
from metacontroller_standin.api import Api, ApiError, name_of, namespace_of
from metacontroller_standin.controller import Controller
from metacontroller_standin.requests import composite_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from metacontroller_standin.events import EventRecorder
    from metacontroller_standin.hook_client import HookClient
    from metacontroller_standin.manifests import CompositeSpec, ParentRule

Json = dict[str, Any]

CONFLICT_TRIES = 4


class CompositeController(Controller):
    """One CompositeController without child resources."""

    def __init__(self, spec: CompositeSpec, api: Api, hooks: HookClient, events: EventRecorder, workers: int) -> None:
        super().__init__(spec.name, api, hooks, events, workers)
        self.spec = spec
        self.resync_period = spec.resync_period

    def cares_about(self, rule: ParentRule, obj: Json) -> bool:
        """Besides what the rule selects, what still has the finalizer."""
        return rule.selects(obj) or self._has_finalizer(obj)

    def _has_finalizer(self, obj: Json) -> bool:
        return self.spec.finalizer in (obj["metadata"].get("finalizers") or [])

    def sync(self, parent: Json) -> None:
        """Put on the finalizer, ask the hook, write what it answers."""
        parent = self._with_right_finalizer(parent)
        finalizing = self.spec.finalize is not None and (
            "deletionTimestamp" in parent["metadata"] or not self.spec.parent.selects(parent)
        )
        webhook = self.spec.finalize if finalizing and self.spec.finalize else self.spec.sync
        request = composite_request(self.spec.body, parent, finalizing=finalizing)
        answer = self.hooks.ask(webhook, request, composite_answer)
        self.enqueue_after(parent, answer.resync_after)
        if answer.finalized:
            parent = self._change_finalizer(parent, wanted=False)
        self._write_status(parent, answer.status)

    def _with_right_finalizer(self, parent: Json) -> Json:
        wanted = self.spec.finalize is not None
        if self._has_finalizer(parent) == wanted or (wanted and "deletionTimestamp" in parent["metadata"]):
            return parent
        return self._change_finalizer(parent, wanted=wanted)

    def _change_finalizer(self, parent: Json, *, wanted: bool) -> Json:
        def change(current: Json) -> bool:
            if self._has_finalizer(current) == wanted:
                return False
            others = [name for name in current["metadata"].get("finalizers") or [] if name != self.spec.finalizer]
            current["metadata"]["finalizers"] = [*others, self.spec.finalizer] if wanted else others
            return True

        resource = self.api.resource_of(parent)
        return self._read_modify_write(parent, change, lambda obj: self.api.update(resource, obj))

    def _write_status(self, parent: Json, status: Json) -> None:
        status = {**status, "observedGeneration": parent["metadata"]["generation"]}

        def change(current: Json) -> bool:
            if current.get("status") == status:
                return False
            current["status"] = status
            return True

        resource = self.api.resource_of(parent)
        try:
            self._read_modify_write(parent, change, lambda obj: self.api.update_status(resource, obj))
        except ApiError as error:
            if not (error.not_found or error.conflict):
                raise

    def _read_modify_write(self, parent: Json, change: Callable[[Json], bool], write: Callable[[Json], Json]) -> Json:
        """Change the object as it is now, whatever became of it since; again if somebody was faster."""
        resource = self.api.resource_of(parent)
        for tries_left in reversed(range(CONFLICT_TRIES)):
            current = self.api.get(resource, name_of(parent), namespace_of(parent))
            if current["metadata"]["uid"] != parent["metadata"]["uid"]:
                raise ApiError(404, "NotFound", f"{parent['kind']} {name_of(parent)} is another one now")
            changed = copy.deepcopy(current)
            if not change(changed):
                return current
            try:
                return write(changed)
            except ApiError as error:
                if not error.conflict or tries_left == 0:
                    raise
        raise AssertionError  # the last try returns or raises
