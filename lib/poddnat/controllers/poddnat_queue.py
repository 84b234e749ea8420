"""The work queue of PodDNATs that are on their way: the server itself syncs them again, and writes their statuses.

Metacontroller can only be told to ask again after some whole seconds, and each call costs more than what it is about.
The gateways tell at once when all entries of a PodDNAT work. So Metacontroller's own call begins the work, and the
next one comes late: it is needed only where this server has ended meanwhile.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from poddnat import logs
from poddnat.api import is_current, is_ready, is_terminating, key_of, spec_of, status_patch
from poddnat.backoff import Backoff
from poddnat.controllers.cluster import Cluster
from poddnat.controllers.intervals import QUEUE_RETRY, RESYNC
from poddnat.controllers.poddnat import Answer, PodDNATReconciler
from poddnat.controllers.requeue import RequeueAfter
from poddnat.kube import KubeError
from poddnat.logs import Attempts
from poddnat.ranking import Ranking

log = logging.getLogger(__name__)

Manifest = dict[str, Any]

_MOST_TRIES = 5
"""So often is a PodDNAT looked for that the watch doesn't show, or not as a hook was called for it."""


@dataclass
class _Item:
    """A PodDNAT to be synced again."""

    generation: int = 0
    """That of the spec that a hook was called for: an older one, which the watch still shows, is not gone back to."""
    backoff: Backoff = field(default_factory=lambda: Backoff(*QUEUE_RETRY))


class PodDNATQueue:
    """Answers the sync hook of PodDNATs, and sees to those that it told to come later. Safe to use from threads."""

    def __init__(
        self,
        cluster: Cluster,
        reconciler: PodDNATReconciler,
        *,
        may_write: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``may_write`` tells whether this process is the active one; ``clock`` measures seconds."""
        self._cluster = cluster
        self._reconciler = reconciler
        self._may_write = may_write
        self._clock = clock
        self._attempts = Attempts(log, "writing the statuses of PodDNATs")
        self._failing: set[str] = set()
        self._wake = threading.Condition()
        self._stopping = False
        self._due = Ranking()
        # By uid, as the items are.
        self._items: dict[str, _Item] = {}

    def start(self) -> None:
        """Start to work."""
        threading.Thread(target=self._run, name="poddnat-queue", daemon=True).start()

    def stop(self) -> None:
        """Stop; a write that is under way is not waited for."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    @property
    def waiting(self) -> int:
        """How many PodDNATs are in the queue."""
        return len(self._items)

    def sync(self, poddnat: Manifest) -> Answer:
        """Sync a PodDNAT for Metacontroller; what is answered "later" goes into the queue.

        Raises:
            KubeError: the API server could not be asked about the pod.
        """
        metadata = poddnat["metadata"]
        before = self._items.get(metadata["uid"])
        answer = self._reconciler.sync(poddnat)
        if isinstance(answer, RequeueAfter):
            self._put(metadata["uid"], _Item(metadata.get("generation", 0)), answer.seconds)
            return RequeueAfter(RESYNC)
        with self._wake:
            if self._items.get(metadata["uid"]) is before:  # else its entries work since
                self._take_out(metadata["uid"])
        return answer

    def add(self, uids: Iterable[str]) -> None:
        """Have PodDNATs synced at once."""
        for uid in uids:
            self._put(uid, _Item(), 0.0)

    def seen(self, before: Manifest | None, poddnat: Manifest) -> None:
        """Take notice of a PodDNAT that has changed: an older answer may have overwritten that its entries work."""
        if before is not None and is_ready(before) and is_current(poddnat) and not is_ready(poddnat):
            self.add([poddnat["metadata"]["uid"]])

    def poll(self) -> float:
        """Sync those that are due, and give the time at which the next one is; infinite: there is none."""
        while True:
            with self._wake:
                due_at, uid = self._due.first()
                if due_at > self._clock():
                    return due_at
                item = self._take_out(uid)
            if item is not None and self._may_write():
                self._follow_up(uid, item)

    def _run(self) -> None:
        while not self._stopping:
            due_at = self.poll()
            with self._wake:
                if not self._stopping and self._due.first()[0] >= due_at:
                    self._wake.wait(None if math.isinf(due_at) else max(0.0, due_at - self._clock()))

    def _put(self, uid: str, item: _Item, seconds: float) -> None:
        with self._wake:
            if (known := self._items.get(uid)) is not None:
                item.generation = max(item.generation, known.generation)
            self._items[uid] = item
            self._due.put(uid, min(self._due.rank(uid), self._clock() + seconds))
            self._wake.notify()

    def _take_out(self, uid: str) -> _Item | None:
        self._due.discard(uid)
        return self._items.pop(uid, None)

    def _follow_up(self, uid: str, item: _Item) -> None:
        try:
            again = self._sync(uid, item)
            self._failing.discard(uid)
            if not self._failing:
                self._attempts.worked()
        except Exception as error:  # noqa: BLE001  # one odd object must not end the thread
            self._failing.add(uid)
            self._attempts.failed(error, expected=isinstance(error, KubeError))
            again = item.backoff.failed()
        if again > 0:
            self._put(uid, item, again)

    def _sync(self, uid: str, item: _Item) -> float:
        """Sync a PodDNAT, write its status, and give the seconds until it has to be looked at again; 0: it hasn't."""
        poddnat = self._cluster.poddnats.by_uid(uid)
        if poddnat is None or poddnat["metadata"].get("generation", 0) < item.generation:
            gone = self._cluster.poddnats.was_deleted(uid) or item.backoff.failures >= _MOST_TRIES
            return 0.0 if gone else item.backoff.failed()
        if is_terminating(poddnat):
            return 0.0
        with logs.about(pod=key_of(poddnat), gateway=str(spec_of(poddnat).get("tableId", ""))):
            answer = self._reconciler.sync(poddnat)
        if isinstance(answer, RequeueAfter):
            return answer.seconds
        if not self._write(poddnat, answer.status):
            return item.backoff.failed()
        return answer.resync_after if answer.resync_after < RESYNC else 0.0

    def _write(self, poddnat: Manifest, status: Manifest) -> bool:
        """Write a status that has changed; False: somebody else has written to the PodDNAT since it was seen."""
        patch = status_patch(poddnat, status)
        if patch is None:
            return True
        metadata = poddnat["metadata"]
        return self._cluster.client.patch_poddnat_status(metadata["namespace"], metadata["name"], patch)
