"""Starts and stops controllers from manifests, and tells tests what they did."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metacontroller_standin.api import Api, ApiError
from metacontroller_standin.composite import CompositeController
from metacontroller_standin.decorator import DecoratorController
from metacontroller_standin.events import EventRecorder
from metacontroller_standin.hook_client import HookClient
from metacontroller_standin.informer import Informer
from metacontroller_standin.manifests import (
    CompositeSpec,
    ControllerSpec,
    DecoratorSpec,
    ManifestError,
    ParentRule,
    is_controller,
    parse,
)
from metacontroller_standin.running import Running
from metacontroller_standin.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from metacontroller_standin.api import Resource
    from metacontroller_standin.controller import Controller

Json = dict[str, Any]

WRITES = ("create", "update", "update_status", "patch", "delete")


@dataclass(frozen=True)
class Counts:
    """What a stand-in did so far."""

    hook_calls: Counter[str]
    """By the hook's URL."""
    hook_answers: Counter[tuple[str, int]]
    """By the hook's URL and the HTTP status; 0 stands for no answer."""
    requests: Counter[tuple[str, str]]
    """By verb and kind: `("update", "Pod")`. Events are not among them."""

    @property
    def writes(self) -> Counter[tuple[str, str]]:
        """Those requests that change something."""
        return Counter({key: count for key, count in self.requests.items() if key[0] in WRITES})


class StandIn(Running):
    """Metacontroller, as far as these manifests need it: `with StandIn(api, manifests): ...`."""

    def __init__(
        self,
        api: Api,
        manifests: Iterable[Json],
        *,
        workers: int = 5,
        client_qps: float | None = None,
        client_burst: int | None = None,
    ) -> None:
        """Read the controllers among the manifests. Metacontroller allows itself 5 requests a second."""
        self._specs = [parse(manifest) for manifest in manifests if is_controller(manifest)]
        self._workers = workers
        self._api = api.clone(qps=client_qps, burst=client_burst)
        self._unlimited = api.clone()
        self._hooks = HookClient(self._unlimited, workers)
        self._events = EventRecorder(self._unlimited)
        self._informers: dict[Resource, Informer] = {}
        self._controllers: list[Controller] = []

    def start(self) -> None:
        """Read secrets and lists, then begin to call hooks; clean up if that fails."""
        try:
            self._controllers = [self._build(spec) for spec in self._specs]
            for informer in self._informers.values():
                informer.start()
            for informer in self._informers.values():
                informer.wait_listed(30)
            for controller in self._controllers:
                controller.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all threads and connections."""
        for controller in self._controllers:
            controller.stop()
        for informer in self._informers.values():
            informer.stop()
        for client in (self._api, self._unlimited, self._hooks):
            client.close()

    def counts(self) -> Counts:
        """Return what was done so far."""
        answers = Counter(self._hooks.calls)
        calls: Counter[str] = Counter()
        for (url, _), count in answers.items():
            calls[url] += count
        return Counts(calls, answers, Counter(self._api.requests))

    def busy(self, *, horizon: float = 60) -> bool:
        """Tell whether any object is being synced, waits for it, or comes again within so many seconds."""
        return any(controller.queue.busy(horizon=horizon) for controller in self._controllers)

    def wait_idle(self, timeout: float = 30, *, quiet: float = 0.2, horizon: float = 60) -> None:
        """Wait until nothing is to be done and no hook was called for `quiet` seconds.

        What comes again only after `horizon` seconds does not count.
        Events of the last writes are still under way when the queues run empty, hence the quiet time. To wait
        for an outcome, wait for that outcome instead.
        """
        last = (self.counts().hook_answers, time.monotonic())

        def is_idle() -> bool:
            nonlocal last
            answers = self.counts().hook_answers
            if self.busy(horizon=horizon) or answers != last[0]:
                last = (answers, time.monotonic())
            return time.monotonic() - last[1] >= quiet

        wait_until(is_idle, timeout, "the stand-in to be idle")

    def _build(self, spec: ControllerSpec) -> Controller:
        if isinstance(spec, DecoratorSpec):
            return self._build_decorator(spec)
        return self._build_composite(spec)

    def _build_decorator(self, spec: DecoratorSpec) -> Controller:
        self._hooks.prepare(spec.sync)
        decorator = DecoratorController(spec, self._api, self._hooks, self._events, self._workers)
        for rule in spec.parents:
            decorator.follow(rule, self._informer(rule.api_version, rule.plural))
        for attachment in spec.attachments:
            informer = self._informer(attachment.api_version, attachment.plural)
            decorator.watch_attachments(informer, attachment.update_method)
        return decorator

    def _build_composite(self, spec: CompositeSpec) -> Controller:
        for webhook in filter(None, (spec.sync, spec.finalize)):
            self._hooks.prepare(webhook)
        composite = CompositeController(spec, self._api, self._hooks, self._events, self._workers)
        informer = self._informer(spec.parent.api_version, spec.parent.plural)
        self._check_status(spec.parent, informer)
        composite.follow(spec.parent, informer)
        return composite

    def _check_status(self, rule: ParentRule, informer: Informer) -> None:
        if not informer.resource.has_status:
            message = f"{rule.plural} has no status subresource; a CompositeController needs it"
            raise ManifestError(message)

    def _informer(self, api_version: str, plural: str) -> Informer:
        """Share one watch of a resource among all controllers, as Metacontroller does."""
        resource = self._discover(api_version, plural)
        if resource not in self._informers:
            self._informers[resource] = Informer(self._api, resource)
        return self._informers[resource]

    def _discover(self, api_version: str, plural: str) -> Resource:
        found: list[Resource] = []

        def is_there() -> bool:
            try:
                found.append(self._api.resource(api_version, plural))
            except ApiError as error:
                if not error.not_found:
                    raise
            return bool(found)

        # A resource that was installed a moment ago may not be in discovery yet.
        wait_until(is_there, 10, f"resource {plural} of {api_version}")
        return found[0]
