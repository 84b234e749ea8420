"""How long pods wait for their public ports: from the moment they were given some until all their entries work."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_REMEMBERED = 20_000


class ExposureTimer:
    """Remembers since when pods wait, by the pod's uid. Safe to use from several threads."""

    def __init__(self, on_stopped: Callable[[float], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        """``on_stopped`` gets the seconds of every wait that has ended well."""
        self._on_stopped = on_stopped
        self._clock = clock
        self._lock = threading.Lock()
        self._started: OrderedDict[str, float] = OrderedDict()

    def start(self, pod_uid: str) -> None:
        """Note that a pod was given ports; one that waits already goes on waiting."""
        with self._lock:
            self._started.setdefault(pod_uid, self._clock())
            while len(self._started) > _REMEMBERED:
                self._started.popitem(last=False)

    def stop(self, pod_uid: str) -> None:
        """Note that all entries of a pod work; nothing is told of one that wasn't waiting."""
        with self._lock:
            since = self._started.pop(pod_uid, None)
        if since is not None:
            self._on_stopped(self._clock() - since)

    def forget(self, pod_uid: str) -> None:
        """Note that nobody waits any more: the pod, or its wish, is gone."""
        with self._lock:
            self._started.pop(pod_uid, None)
