"""How long pods wait for their public ports: from the moment they were given some until all their entries work."""

import threading
import time
from collections.abc import Callable

from cachetools import LRUCache

from poddnat.controllers.listener import ControllersListener

_MOST_PODS = 20_000


class ExposureTimer:
    """Knows since when pods wait, by the pod's uid. Safe to use from several threads."""

    def __init__(self, listener: ControllersListener, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with nobody waiting; the listener is called for each wait that has ended well."""
        self._listener = listener
        self._clock = clock
        self._lock = threading.Lock()
        self._started: LRUCache[str, float] = LRUCache(_MOST_PODS)

    def start(self, pod_uid: str) -> None:
        """Note that a pod was given ports; one that waits already goes on waiting."""
        with self._lock:
            self._started.setdefault(pod_uid, self._clock())

    def stop(self, pod_uid: str) -> None:
        """Note that all entries of a pod work; one that wasn't waiting is passed over."""
        with self._lock:
            since = self._started.pop(pod_uid, None)
        if since is not None:
            self._listener.pod_exposed(self._clock() - since)

    def forget(self, pod_uid: str) -> None:
        """Note that nobody waits any more: the pod, or its request, is gone."""
        with self._lock:
            self._started.pop(pod_uid, None)
