"""Informers: objects of the cluster kept in memory by a list and a watch, each on a thread of its own.

All PodDNATs, because ports in use have to be known before one is given out; and which pods ask for ports, because the
addresses of those that go may be given to other pods at once, and those that lack their ports may have to be recalled.

The Kubernetes client has an informer too (kubernetes.informer.SharedInformer). Version 37.0.2 can't be used: it lists
without pages, makes a broken watch again without a pause, and gives requests no time-out, so that it never notices a
connection that has died in silence. This one can go once that is mended there.
"""

import gc
import logging
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from cachetools import LRUCache

from poddnat.api import FIXED, POD_DNAT, UNNAMED, Installation, annotations, is_current
from poddnat.backoff import Backoff
from poddnat.kube.client import KubeClient
from poddnat.kube.errors import KubeError
from poddnat.kube.intervals import INFORMER_FIRST_RETRY, INFORMER_LONGEST_RETRY
from poddnat.logs import Attempts

log = logging.getLogger(__name__)

_MOST_DELETED = 5000

_KEPT = ("namespace", "name", "uid", "deletionTimestamp")
_TELLING = frozenset(
    {
        POD_DNAT,
        FIXED,
        annotations.EXPOSE_PORT,
        annotations.EXPOSE_PROTOCOL,
        annotations.RELEASE_STRATEGY,
        annotations.STATUS,
    }
)
"""What is kept of a pod's metadata, and of its annotations."""

Manifest = dict[str, Any]


class Informer:
    """A store of objects that a list fills and a watch keeps up to date; subclasses say what is stored."""

    def __init__(
        self,
        what: str,
        list_all: Callable[[Callable[[Manifest], None]], str],
        watch: Callable[[str, Callable[[str, Manifest], None]], str],
    ) -> None:
        """Name the objects for logs (``what``), and the ``KubeClient``'s calls that list and watch them."""
        self._what = what
        self._list_all = list_all
        self._watch = watch
        self._handling = threading.Lock()
        self._stopping = threading.Event()
        self._synced = threading.Event()
        self._lock = threading.Lock()
        self._deleted: LRUCache[str, None] = LRUCache(_MOST_DELETED)

    def start(self) -> None:
        """Start to list and watch; when called again, list anew, and be synced only after that."""
        with self._handling:
            self._stopping.set()
            self._stopping, self._synced = threading.Event(), threading.Event()
            run = partial(self._run, self._stopping, self._synced)
        threading.Thread(target=run, name=f"informer-{self._what}", daemon=True).start()

    def stop(self) -> None:
        """Stop; the watch itself ends with the process."""
        with self._handling:
            self._stopping.set()

    @property
    def has_synced(self) -> bool:
        """Whether all have been listed since the last start."""
        return self._synced.is_set()

    def was_deleted(self, uid: str) -> bool:
        """Whether the deletion of an object was seen, not too long ago."""
        with self._lock:
            return uid in self._deleted

    def _stored(self) -> list[Manifest]:
        """List what is in the store: of each object at least name, namespace and uid."""
        raise NotImplementedError

    def _apply(self, kind: str, item: Manifest) -> None:
        """Take one event over into the store, and call the handlers: ADDED, MODIFIED or DELETED."""
        raise NotImplementedError

    def _run(self, stopping: threading.Event, synced: threading.Event) -> None:
        version = ""
        handle, attempts = partial(self._handle, stopping), Attempts(log, f"watching {self._what}")
        backoff = Backoff(INFORMER_FIRST_RETRY, INFORMER_LONGEST_RETRY)
        while not stopping.is_set():
            before, version = version, ""
            try:
                if not before:
                    before = self._list(handle)
                    synced.set()
                    attempts.worked()
                version = self._watch(before, handle)
            except KubeError as error:
                if not stopping.is_set():
                    attempts.failed(error)
            except Exception as error:  # noqa: BLE001  # tried again whatever it is: all else rests on this store
                attempts.failed(error, expected=False)
            if version and version != before:
                backoff.reset()
            else:  # A watch that ends without news may be refused each time, and so may be one of a version too old.
                stopping.wait(backoff.failed())

    def _list(self, handle: Callable[[str, Manifest], None]) -> str:
        """Take over what is listed, each at once, and then what is gone: the store's memory is all that this takes."""
        unlisted = {item["metadata"]["uid"]: item for item in self._stored()}

        def on_listed(item: Manifest) -> None:
            unlisted.pop(item["metadata"]["uid"], None)
            handle("ADDED", item)

        with _kept_from_the_collector():
            version = self._list_all(on_listed)
        for item in unlisted.values():
            handle("DELETED", item)
        return version

    def _handle(self, stopping: threading.Event, kind: str, item: Manifest) -> None:
        with self._handling:
            # A watch of before the last start may still have something old to tell.
            if not stopping.is_set():
                self._apply(kind, item)


def _oldest_claims_first(
    kube: KubeClient, known: Callable[[], Mapping[str, Manifest]], on_poddnat: Callable[[Manifest], None]
) -> str:
    """List all PodDNATs in the order in which they ask for their ports.

    Whoever edits a spec asks for something new; that its status is of an older generation gives it away.
    """
    items, version = kube.poddnats(known())

    def place(item: Manifest) -> tuple[bool, str]:
        return not is_current(item), item["metadata"].get("creationTimestamp") or ""

    items.sort(key=place)
    items.reverse()
    while items:
        on_poddnat(items.pop())
    return version


@contextmanager
def _kept_from_the_collector() -> Iterator[None]:
    """Let Python's garbage collector not look through what is made here, neither meanwhile nor ever again.

    It stays for long and has no cycles; but with tens of thousands of objects, each look would stop all threads for
    the better part of a second.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    gc.collect()
    gc.freeze()


class PodDNATInformer(Informer):
    """All PodDNATs of an installation, as last seen. Safe to use from several threads.

    Of those of other installations, only the metadata is kept: they have names that pods of this one may want, and
    entries that must not be taken for left behind.
    """

    def __init__(
        self,
        kube: KubeClient,
        on_update: Callable[[Manifest | None, Manifest], None],
        on_delete: Callable[[Manifest], None],
        installation: Installation = UNNAMED,
    ) -> None:
        """``on_update`` gets every PodDNAT that is new (None) or changed, ``on_delete`` those that no longer exist."""
        super().__init__("PodDNATs", partial(_oldest_claims_first, kube, self._known), kube.watch_poddnats)
        self._kube = kube
        self._on_update = on_update
        self._on_delete = on_delete
        self._installation = installation
        self._store: dict[str, Manifest] = {}
        self._others: dict[str, Manifest] = {}
        """By uid, the metadata of those of other installations, as manifests."""
        self._uids: dict[tuple[str, str], str] = {}

    def is_alive(self, uid: str) -> bool:
        """Whether a PodDNAT exists, of whatever installation, as far as is known."""
        with self._lock:
            return uid in self._store or uid in self._others

    def is_of_another(self, uid: str) -> bool:
        """Whether a PodDNAT exists that is another installation's."""
        with self._lock:
            return uid in self._others

    def gone_of(self, uids: Collection[str]) -> set[str]:
        """Find which of these PodDNATs surely don't exist: the API server is asked."""
        try:
            return set(uids) - self._kube.poddnat_uids()
        except KubeError as error:
            log.warning("listing PodDNATs: %s", error)
            return set()

    def get(self, namespace: str, name: str) -> Manifest | None:
        """Find a PodDNAT by its name, as last seen."""
        with self._lock:
            uid = self._uids.get((namespace, name))
            return None if uid is None else self._store.get(uid)

    def by_uid(self, uid: str) -> Manifest | None:
        """Find a PodDNAT of this installation, as last seen."""
        with self._lock:
            return self._store.get(uid)

    def of_another(self, namespace: str, name: str) -> Manifest | None:
        """Find another installation's PodDNAT by its name, as last seen: its metadata, as a manifest."""
        with self._lock:
            uid = self._uids.get((namespace, name))
            return None if uid is None else self._others.get(uid)

    def all(self) -> list[Manifest]:
        """List all PodDNATs of this installation, as last seen."""
        with self._lock:
            return list(self._store.values())

    def _known(self) -> dict[str, Manifest]:
        with self._lock:
            return self._store | self._others

    def _stored(self) -> list[Manifest]:
        return list(self._known().values())

    def _apply(self, kind: str, item: Manifest) -> None:
        metadata = item["metadata"]
        uid, name = metadata["uid"], (metadata["namespace"], metadata["name"])
        is_ours = self._installation.has(metadata)
        with self._lock:
            before = self._store.get(uid)
            for store, belongs in ((self._store, is_ours), (self._others, not is_ours)):
                if kind == "DELETED" or not belongs:
                    store.pop(uid, None)
                else:
                    store[uid] = item if is_ours else {"metadata": metadata}
            if kind != "DELETED":
                self._uids[name] = uid
            else:
                self._deleted[uid] = None
                if self._uids.get(name) == uid:
                    del self._uids[name]
        try:
            if is_ours and kind != "DELETED":
                self._on_update(before, item)
            elif is_ours or before is not None:
                self._on_delete(item)
        except Exception:  # one odd object must not end the watch, or ports would be given out from a stale picture
            log.exception("PodDNAT %s/%s could not be handled", *name)


class PodInformer(Informer):
    """Which pods there are that ask for public ports, or show some. Safe to use from several threads.

    Of each, only name, uid, deletion time and the annotations that tell this are kept.
    """

    def __init__(
        self,
        kube: KubeClient,
        on_delete: Callable[[str, str, str], None],
        on_opt_out: Callable[[str, str, str], None] = lambda _namespace, _name, _uid: None,
        on_update: Callable[[str, str, str], None] = lambda _namespace, _name, _uid: None,
        on_misspelt: Callable[[Manifest], None] = lambda _pod: None,
        on_heard: Callable[[], None] = lambda: None,
        installation: Installation = UNNAMED,
    ) -> None:
        """To an installation, pods of another ask for nothing, and show nothing.

        ``on_delete`` gets namespace, name and uid of every such pod that is no longer there.

        ``on_opt_out`` gets those of each that has lost the request and shows nothing of ours: no hook is called for it.
        ``on_update`` gets those of each that is new, or whose annotations of ours have changed.
        ``on_misspelt`` gets the metadata, as a manifest, of each that asks for nothing and has an annotation that may
        be meant to: no hook is called for it.
        ``on_heard`` is called for each change after which Metacontroller calls a hook, whatever has changed.
        """
        super().__init__("pods", kube.list_pods, kube.watch_pods)
        self._on_update = on_update
        self._on_delete = on_delete
        self._on_opt_out = on_opt_out
        self._on_misspelt = on_misspelt
        self._on_heard = on_heard
        self._installation = installation
        self._store: dict[str, Manifest] = {}
        """What is kept of each one's metadata, by its uid."""

    def is_alive(self, uid: str) -> bool:
        """Whether a pod is there and has asked for public ports, as far as is known."""
        with self._lock:
            return uid in self._store

    def get(self, uid: str) -> Manifest | None:
        """Find such a pod by its uid, as last seen: what is kept of its metadata, as a manifest."""
        with self._lock:
            kept = self._store.get(uid)
        return None if kept is None else {"metadata": kept}

    def has_opted_out(self, uid: str) -> bool:
        """Whether a pod is there that has asked for public ports, or shows some, and asks for them no more."""
        with self._lock:
            kept = self._store.get(uid)
        return kept is not None and not _asks(kept)

    def all(self) -> list[Manifest]:
        """List them, as last seen: what is kept of their metadata, as a manifest."""
        with self._lock:
            return [{"metadata": kept} for kept in self._store.values()]

    def _stored(self) -> list[Manifest]:
        return self.all()

    def _apply(self, kind: str, item: Manifest) -> None:
        metadata = item["metadata"]
        uid = metadata["uid"]
        if kind == "DELETED":
            self._forget(uid, metadata["namespace"], metadata["name"])
            return
        kept: Manifest = {key: metadata[key] for key in _KEPT if metadata.get(key)}
        observed = (metadata.get("annotations") or {}) if self._installation.serves(metadata) else {}
        kept["annotations"] = {key: sys.intern(observed[key]) for key in _TELLING if key in observed}
        with self._lock:
            before = self._store.get(uid)
            is_ours = before is not None or bool(kept["annotations"])
            if is_ours:
                self._store[uid] = kept  # Ports last a moment longer than the request for them.
        if not _asks(kept) and annotations.unknown(observed):
            self._attempt(lambda: self._on_misspelt(item), metadata["namespace"], metadata["name"])
        if not is_ours:
            return
        if (kind == "MODIFIED" or before is None) and _is_heard(kept):
            self._on_heard()
        if before is None or before["annotations"] != kept["annotations"]:
            self._tell(self._on_update, metadata["namespace"], metadata["name"], uid)
        has_opted_out = before is not None and _asks(before) and not _asks(kept)
        if has_opted_out and annotations.STATUS not in kept["annotations"]:
            self._tell(self._on_opt_out, metadata["namespace"], metadata["name"], uid)

    def _forget(self, uid: str, namespace: str, name: str) -> None:
        with self._lock:
            if self._store.pop(uid, None) is None:
                return
            self._deleted[uid] = None
        self._tell(self._on_delete, namespace, name, uid)

    def _tell(self, handler: Callable[[str, str, str], None], namespace: str, name: str, uid: str) -> None:
        self._attempt(lambda: handler(namespace, name, uid), namespace, name)

    def _attempt(self, handle: Callable[[], None], namespace: str, name: str) -> None:
        try:
            handle()
        except Exception:  # one odd object must not end the watch
            log.exception("a change of pod %s/%s could not be handled", namespace, name)


def _asks(kept: Manifest) -> bool:
    return POD_DNAT in kept["annotations"]


def _is_heard(kept: Manifest) -> bool:
    """Whether Metacontroller calls a hook when such a pod changes."""
    asks_or_shows = _asks(kept) or annotations.STATUS in kept["annotations"]
    return asks_or_shows and "deletionTimestamp" not in kept
