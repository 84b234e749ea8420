"""Reminders: after the hooks were away, every object that waits is seen to.

Metacontroller backs off each object whose hook failed, up to a quarter of an hour, and goes on waiting when the hooks
are back; only an event of the object itself has it ask at once. So pods that wait, and PodDNATs that are to go, get one
small write each unless they are asked about soon; other PodDNATs are synced by this server itself. At rest, and where
hooks were never away, nothing is written.

That the way to the hooks is barred, shows in silence: an object has changed, of which Metacontroller sees the same
event, and nobody calls any hook. Then one object that waits is written to, now and then, to find out when it is over.
"""

import datetime as dt
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from poddnat.api import (
    AnnotationError,
    annotations,
    annotations_of,
    desired_by,
    is_ready,
    is_terminating,
    observed_condition,
    pod_uid_of,
)
from poddnat.controllers.cluster import Cluster
from poddnat.controllers.intervals import (
    CALLED_AT_ONCE,
    CUT_OFF_AFTER,
    CUT_OFF_TRY,
    REMIND_AFTER,
    REMIND_EVERY,
    REMIND_REPORTED_AFTER,
    SILENCE,
)
from poddnat.kube import KubeError
from poddnat.logs import Attempts
from poddnat.model import ExposedPort, Exposure, PortMapping
from poddnat.timestamps import now, rfc3339

log = logging.getLogger(__name__)

Manifest = dict[str, Any]

_AT_ONCE = 50
_POD_AWAITED = frozenset({"PodAway", "PodWithoutIP"})
"""Reasons of PodDNATs that wait for their pod: to ask again would change nothing."""


@dataclass(frozen=True)
class _Waiting:
    """An object that waits, and has not been asked about since it was found."""

    namespace: str
    name: str
    trigger_resync: Callable[[str, str, str], bool]
    due_at: float


class Reminder:
    """Reminds Metacontroller once each time that this replica begins to answer hooks. Safe to use from several threads.

    That is when it becomes the active one, and when hooks are called again after a silence: the way to it was barred.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        resync: Callable[[Iterable[str]], None],
        may_write: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], dt.datetime] = now,
    ) -> None:
        """``resync`` syncs PodDNATs, by their uids; ``may_write`` tells whether this process is the active one."""
        self._cluster = cluster
        self._resync = resync
        self._may_write = may_write
        self._clock = clock
        self._wall_clock = wall_clock
        self._attempts = Attempts(log, "having Metacontroller ask about what waits")
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._began: float | None = None
        """When this replica began to answer; None: it doesn't, or it has to look anew."""
        self._waiting: dict[str, _Waiting] = {}
        """By uid."""
        self._last_call = clock()
        self._unheard_since = math.inf
        """When an object changed, and no hook has been called since; infinite: none did."""
        self._try_at = 0.0
        self._tries = 0

    def start(self) -> None:
        """Start to remind."""
        threading.Thread(target=self._run, name="reminder", daemon=True).start()

    def stop(self) -> None:
        """Stop; a write that is under way is not waited for."""
        self._stopping.set()

    def called(self, uid: str) -> None:
        """Note that a hook was called for an object."""
        with self._lock:
            called_at = self._clock()
            if called_at - self._last_call > SILENCE or self._is_cut_off(called_at):
                self._began = None
            self._last_call, self._unheard_since = called_at, math.inf
            self._waiting.pop(uid, None)

    def changed(self) -> None:
        """Note that an object has changed, so that Metacontroller calls a hook at once, unless it has just done so."""
        with self._lock:
            seen_at = self._clock()
            if seen_at - self._last_call > CALLED_AT_ONCE:
                self._unheard_since = min(self._unheard_since, seen_at)

    def poll(self) -> None:
        """Remind of what is due, of so many at most."""
        if not (self._may_write() and self._cluster.poddnats.has_synced and self._cluster.pods.has_synced):
            self._began, self._unheard_since = None, math.inf
            return
        if self._began is None:
            self._begin()
        if self._is_cut_off(self._clock()):
            self._try_one()
            return
        for uid, waiting in self._due():
            if not self._remind(waiting):
                return
            with self._lock:
                self._waiting.pop(uid, None)

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = self._clock()
            try:
                self.poll()
            except Exception as error:  # noqa: BLE001  # one odd object must not end the thread
                self._attempts.failed(error, expected=False)
            self._stopping.wait(max(0.0, REMIND_EVERY - (self._clock() - began)))

    def _begin(self) -> None:
        began = self._clock()
        self._resync(self._unready_poddnats())
        waiting = self._find(began)
        with self._lock:
            self._began, self._waiting = began, waiting

    def _find(self, began: float) -> dict[str, _Waiting]:
        """Find what waits, by uid."""
        kinds = (
            (self._cluster.client.trigger_resync, self._leaving_poddnats()),
            (self._cluster.client.trigger_pod_resync, self._waiting_pods()),
        )
        return {
            metadata["uid"]: _Waiting(metadata["namespace"], metadata["name"], trigger, began + after)
            for trigger, found in kinds
            for metadata, after in found
        }

    def _is_cut_off(self, at: float) -> bool:
        return at - self._unheard_since >= CUT_OFF_AFTER

    def _try_one(self) -> None:
        """Write to one object that waits, each time another: if its hook is called, the way is free again."""
        present = self._clock()
        if present < self._try_at:
            return
        self._try_at = present + CUT_OFF_TRY
        if waiting := list(self._find(present).values()):
            self._remind(waiting[self._tries % len(waiting)])
            self._tries += 1

    def _due(self) -> list[tuple[str, _Waiting]]:
        present = self._clock()
        with self._lock:
            due = [(uid, waiting) for uid, waiting in self._waiting.items() if waiting.due_at <= present]
        return due[:_AT_ONCE]

    def _unready_poddnats(self) -> Iterator[str]:
        """Give the uids of those that are to change: this server sees to them without Metacontroller."""
        for poddnat in self._cluster.poddnats.all():
            condition = observed_condition(poddnat.get("status") or {})
            awaited = condition is not None and condition.reason in _POD_AWAITED
            if not (is_terminating(poddnat) or is_ready(poddnat) or awaited):
                yield poddnat["metadata"]["uid"]

    def _leaving_poddnats(self) -> Iterator[tuple[Manifest, float]]:
        """Give the metadata of those that are being deleted, and the seconds until they are reminded of."""
        for poddnat in self._cluster.poddnats.all():
            # No hook is called for one without that finalizer.
            waits = self._cluster.installation.finalizer in (poddnat["metadata"].get("finalizers") or ())
            if is_terminating(poddnat) and waits:
                yield poddnat["metadata"], REMIND_AFTER

    def _waiting_pods(self) -> Iterator[tuple[Manifest, float]]:
        """Give the same of those that lack their ports, or show some though they have opted out."""
        for pod in self._cluster.pods.all():
            if is_terminating(pod):
                continue
            status = annotations_of(pod).get(annotations.STATUS)
            try:
                exposure = annotations.parse(annotations_of(pod))
                asks, has_ports = exposure is not None, exposure is not None and self._has(pod["metadata"], exposure)
            except AnnotationError:
                asks, has_ports = True, False
            if not asks:
                if status is not None:
                    yield pod["metadata"], REMIND_AFTER
            elif status != annotations.READY or not has_ports:
                yield pod["metadata"], REMIND_AFTER if status in {None, annotations.READY} else REMIND_REPORTED_AFTER

    def _has(self, metadata: Manifest, exposure: Exposure) -> bool:
        """Whether a pod has ports for all that it asks for, and for nothing else."""
        poddnat = self._cluster.poddnats.get(metadata["namespace"], metadata["name"])
        if poddnat is None or pod_uid_of(poddnat["metadata"]) != metadata["uid"]:
            return False
        desired = desired_by(poddnat)
        return desired is not None and _are_mapped(exposure.items, desired.mappings)

    def _remind(self, waiting: _Waiting) -> bool:
        """Write to it; False: the API server is away. What it refuses to write is left to Metacontroller's backoff."""
        try:
            waiting.trigger_resync(waiting.namespace, waiting.name, rfc3339(self._wall_clock()))
        except KubeError as error:
            self._attempts.failed(error)
            return error.refused
        self._attempts.worked()
        return True


def _are_mapped(asked: Sequence[ExposedPort], mappings: Sequence[PortMapping]) -> bool:
    mapped = {mapping.item for mapping in mappings}
    if mapped == set(asked):
        return True
    # ACK's own controller writes two mappings for a port of both protocols.
    whose = {item: [one for one in asked if one.covers(item)] for item in mapped}
    return all(whose.values()) and {one for covering in whose.values() for one in covering} == set(asked)
