"""A DecoratorController at work: annotations and labels on objects, attachments beside them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from metacontroller_standin import apply
from metacontroller_standin.answers import DecoratorAnswer, decorator_answer
from metacontroller_standin.api import Api, ApiError, controller_of, name_of, namespace_of
from metacontroller_standin.controller import Controller
from metacontroller_standin.hook_client import HookError
from metacontroller_standin.requests import by_kind_and_name, decorator_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metacontroller_standin.events import EventRecorder
    from metacontroller_standin.hook_client import HookClient
    from metacontroller_standin.informer import Informer
    from metacontroller_standin.manifests import DecoratorSpec

Json = dict[str, Any]


class DecoratorController(Controller):
    """One DecoratorController without a finalize hook."""

    def __init__(self, spec: DecoratorSpec, api: Api, hooks: HookClient, events: EventRecorder, workers: int) -> None:
        super().__init__(spec.name, api, hooks, events, workers)
        self.spec = spec
        self.resync_period = spec.resync_period
        self._children: list[Informer] = []
        self._methods: dict[tuple[str, str], str] = {}

    def watch_attachments(self, informer: Informer, update_method: str) -> None:
        """Sync an object when an attachment that it owns changes."""
        self._children.append(informer)
        self._methods[informer.resource.group, informer.resource.kind] = update_method
        informer.on_change(self._on_child)

    def _on_child(self, old: Json | None, new: Json | None) -> None:
        child = new or old or {}
        owner = controller_of(child)
        if owner is not None and (found := self.parent_of(owner, namespace_of(child))) is not None:
            self.enqueue(*found)

    def sync(self, parent: Json) -> None:
        """Ask the hook and do what it answers."""
        observed = self._observed(parent)
        groups = by_kind_and_name([child.resource for child in self._children], observed)
        request = decorator_request(self.spec.body, parent, groups)
        answer = self.hooks.ask(self.spec.sync, request, decorator_answer)
        self.enqueue_after(parent, answer.resync_after)
        if not self._decorate(parent, answer):
            return
        # Without a finalize hook a terminating object's attachments are the garbage collector's.
        if "deletionTimestamp" not in parent["metadata"]:
            self._manage(parent, observed, answer)

    def _observed(self, parent: Json) -> list[Json]:
        return [
            child
            for informer in self._children
            for child in informer.owned_by(parent["metadata"]["uid"])
            if (child["metadata"].get("annotations") or {}).get(apply.DECORATOR) == self.name
        ]

    def _decorate(self, parent: Json, answer: DecoratorAnswer) -> bool:
        """Write labels, annotations, status; False if the object changed meanwhile and so comes again."""
        updated, with_status = apply.decorated(parent, answer)
        if updated is None:
            return True
        resource = self.api.resource_of(parent)
        try:
            if with_status is not None and resource.has_status:
                written = self.api.update_status(resource, with_status)
                updated["metadata"]["resourceVersion"] = written["metadata"]["resourceVersion"]
            self.api.update(resource, updated)
        except ApiError as error:
            if error.conflict or error.not_found:
                return False
            raise
        return True

    def _manage(self, parent: Json, observed: list[Json], answer: DecoratorAnswer) -> None:
        writes = apply.attachments(self.name, parent, observed, answer.attachments, self._method)
        failures: list[str] = []
        for write in writes:
            with _collecting(failures):
                self._write(write)
        if failures:
            message = f"can't reconcile children for {parent['kind']} {name_of(parent)}: {'; '.join(failures)}"
            raise HookError(message)

    def _method(self, obj: Json) -> str:
        group = obj["apiVersion"].rpartition("/")[0]
        return self._methods.get((group, obj["kind"]), "OnDelete")

    def _write(self, write: apply.Write) -> None:
        resource = self.api.resource_of(write.obj)
        try:
            match write.verb:
                case "create":
                    self.api.create(resource, write.obj)
                case "update":
                    self.api.update(resource, write.obj)
                case "delete":
                    uid = write.obj["metadata"]["uid"]
                    self.api.delete(resource, name_of(write.obj), namespace_of(write.obj), uid=uid)
        except ApiError as error:
            if not _comes_again(write, error):
                raise


def _comes_again(write: apply.Write, error: ApiError) -> bool:
    """Tell whether a failed write is settled by the next event; Metacontroller passes over just these."""
    match write.verb:
        case "create":
            return error.already_exists
        case "update":
            return error.conflict or error.not_found
    return error.not_found


@contextmanager
def _collecting(failures: list[str]) -> Iterator[None]:
    """Let the other writes happen although one fails."""
    try:
        yield
    except ApiError as error:
        failures.append(str(error))
