"""What is kept in sight of the cluster by a list and a watch, each on a thread of its own.

All PodDNATs, because ports in use have to be known before one is given out; and which pods with a fixed address are
alive, because their addresses may be given to other pods as soon as they are gone.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from poddnat.api import FIXED, is_current
from poddnat.kube.client import KubeClient, KubeError
from poddnat.logs import Attempts

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_GONE_REMEMBERED = 10_000

Manifest = dict[str, Any]


class Informer:
    """Objects kept in sight by a list and a watch, on a thread of its own."""

    def __init__(
        self,
        what: str,
        listing: Callable[[], tuple[list[Manifest], str]],
        watching: Callable[[str, Callable[[str, Manifest], None]], str],
    ) -> None:
        self._what = what
        self._listing = listing
        self._watching = watching
        self._turn = threading.Lock()
        self._stopping = threading.Event()
        self._synced = threading.Event()
        self._lock = threading.Lock()
        self._gone: OrderedDict[str, None] = OrderedDict()

    def start(self) -> None:
        """Start listing and watching; once more: list afresh, and take what was known only for what it is."""
        with self._turn:
            self._stopping.set()
            self._stopping, self._synced = threading.Event(), threading.Event()
            run = partial(self._run, self._stopping, self._synced)
        threading.Thread(target=run, name=self._what.lower(), daemon=True).start()

    def stop(self) -> None:
        """Stop; the watch itself ends with the process."""
        with self._turn:
            self._stopping.set()

    @property
    def synced(self) -> bool:
        """Whether all have been listed since the last start."""
        return self._synced.is_set()

    def has_gone(self, uid: str) -> bool:
        """Whether an object was seen to go, not too long ago."""
        with self._lock:
            return uid in self._gone

    def _remember_gone(self, uid: str) -> None:
        """Remember that an object has gone; the lock is held."""
        self._gone[uid] = None
        if len(self._gone) > _GONE_REMEMBERED:
            self._gone.popitem(last=False)

    def _known(self) -> list[Manifest]:
        """List what was seen last: of each object at least name, namespace and uid."""
        raise NotImplementedError

    def _take(self, kind: str, item: Manifest) -> None:
        """Take over one change: ADDED, MODIFIED or DELETED."""
        raise NotImplementedError

    def _run(self, stopping: threading.Event, synced: threading.Event) -> None:
        version = ""
        event, attempts = partial(self._event, stopping), Attempts(log, f"following {self._what}")
        while not stopping.is_set():
            try:
                if not version:
                    items, version = self._listing()
                    self._replace(items, event)
                    synced.set()
                    attempts.worked()
                version = self._watching(version, event)
            except KubeError as error:
                if not stopping.is_set():
                    attempts.failed(error)
                version = ""
                stopping.wait(_RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001  # asked again whatever it sends: all else rests on this picture
                attempts.failed(error, expected=False)
                version = ""
                stopping.wait(_RETRY_SECONDS)

    def _replace(self, items: list[Manifest], event: Callable[[str, Manifest], None]) -> None:
        listed = {item["metadata"]["uid"] for item in items}
        gone = [known for known in self._known() if known["metadata"]["uid"] not in listed]
        for item in items:
            event("ADDED", item)
        for item in gone:
            event("DELETED", item)

    def _event(self, stopping: threading.Event, kind: str, item: Manifest) -> None:
        with self._turn:
            # A watch of before the last start may still have something old to tell.
            if not stopping.is_set():
                self._take(kind, item)


def _oldest_claims_first(cluster: KubeClient) -> tuple[list[Manifest], str]:
    """List all PodDNATs in the order in which they ask for their ports.

    Whoever edits a spec asks for something new; that its status is of an older generation gives it away.
    """
    items, version = cluster.poddnats()

    def place(item: Manifest) -> tuple[bool, str]:
        return not is_current(item), item["metadata"].get("creationTimestamp") or ""

    return sorted(items, key=place), version


class PodDNATInformer(Informer):
    """All PodDNATs as last seen. Safe to use from several threads."""

    def __init__(
        self, cluster: KubeClient, on_seen: Callable[[Manifest], None], on_gone: Callable[[Manifest], None]
    ) -> None:
        """``on_seen`` gets every PodDNAT that is new or changed, ``on_gone`` those that are no longer there."""
        super().__init__("PodDNATInformer", partial(_oldest_claims_first, cluster), cluster.watch_poddnats)
        self._cluster = cluster
        self._on_seen = on_seen
        self._on_gone = on_gone
        self._uids: dict[str, Manifest] = {}
        self._names: dict[tuple[str, str], str] = {}

    def is_alive(self, uid: str) -> bool:
        """Whether a PodDNAT exists, as far as is known."""
        with self._lock:
            return uid in self._uids

    def gone_of(self, uids: Collection[str]) -> set[str]:
        """Tell which of these PodDNATs surely don't exist: the API server is asked."""
        try:
            items, _ = self._cluster.poddnats()
        except KubeError as error:
            log.warning("listing PodDNATs: %s", error)
            return set()
        return set(uids) - {item["metadata"]["uid"] for item in items}

    def named(self, namespace: str, name: str) -> Manifest | None:
        """Find a PodDNAT by its name, as last seen."""
        with self._lock:
            uid = self._names.get((namespace, name))
            return None if uid is None else self._uids.get(uid)

    def all(self) -> list[Manifest]:
        """List all PodDNATs, as last seen."""
        with self._lock:
            return list(self._uids.values())

    def _known(self) -> list[Manifest]:
        return self.all()

    def _take(self, kind: str, item: Manifest) -> None:
        metadata = item["metadata"]
        metadata.pop("managedFields", None)
        name = (metadata["namespace"], metadata["name"])
        with self._lock:
            if kind == "DELETED":
                self._uids.pop(metadata["uid"], None)
                self._remember_gone(metadata["uid"])
                if self._names.get(name) == metadata["uid"]:
                    del self._names[name]
            else:
                self._uids[metadata["uid"]] = item
                self._names[name] = metadata["uid"]
        try:
            (self._on_gone if kind == "DELETED" else self._on_seen)(item)
        except Exception:  # one odd object must not end the watch, or ports would be given out from a stale picture
            log.exception("PodDNAT %s/%s could not be taken notice of", *name)


class FixedPodInformer(Informer):
    """Which pods that ask for a fixed address are alive. Safe to use from several threads.

    Only their names and uids are kept.
    """

    def __init__(self, cluster: KubeClient, on_gone: Callable[[str, str, str], None]) -> None:
        """``on_gone`` gets namespace, name and uid of every pod that is no longer there."""
        super().__init__("Pods", cluster.pods_metadata, cluster.watch_pods)
        self._on_gone = on_gone
        self._alive: dict[str, tuple[str, str]] = {}

    def is_alive(self, uid: str) -> bool:
        """Whether a pod is there and asks for a fixed address, as far as is known."""
        with self._lock:
            return uid in self._alive

    def _known(self) -> list[Manifest]:
        with self._lock:
            alive = list(self._alive.items())
        return [{"metadata": {"uid": uid, "namespace": namespace, "name": name}} for uid, (namespace, name) in alive]

    def _take(self, kind: str, item: Manifest) -> None:
        metadata = item["metadata"]
        uid, namespace, name = metadata["uid"], metadata["namespace"], metadata["name"]
        if kind == "DELETED":
            self._forget(uid, namespace, name)
        elif FIXED in (metadata.get("annotations") or {}):
            with self._lock:
                self._alive[uid] = (namespace, name)

    def _forget(self, uid: str, namespace: str, name: str) -> None:
        with self._lock:
            if self._alive.pop(uid, None) is None:
                return
            self._remember_gone(uid)
        try:
            self._on_gone(namespace, name, uid)
        except Exception:  # one odd object must not end the watch
            log.exception("the end of pod %s/%s could not be taken notice of", namespace, name)
