"""Which nodes are virtual: their pods run as ECI instances, which DNAT does not support."""

import threading
import time
from collections.abc import Callable

from cachetools import TTLCache, cached

from poddnat.kube import KubeClient
from poddnat.placement.intervals import NODE_TTL

_VIRTUAL_PREFIX = "virtual-kubelet-"
_VIRTUAL_LABEL = ("type", "virtual-kubelet")
_MOST_CACHED = 10_000


class Nodes:
    """Tells what kind a node is, and asks the API server at most once in a while. Safe to use from several threads."""

    def __init__(self, kube: KubeClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        cache: TTLCache[object, bool, float] = TTLCache(_MOST_CACHED, NODE_TTL, timer=clock)
        self._is_labelled_virtual = cached(cache, lock=threading.Lock())(self._read_label)

    def is_virtual(self, name: str) -> bool:
        """Tell whether a node is virtual; one that is not there isn't.

        Raises:
            KubeError: the API server did not answer, or refused.
        """
        return name.startswith(_VIRTUAL_PREFIX) or self._is_labelled_virtual(name)

    def _read_label(self, name: str) -> bool:
        node = self._kube.node(name) or {}
        labels = node.get("metadata", {}).get("labels") or {}
        return bool(labels.get(_VIRTUAL_LABEL[0]) == _VIRTUAL_LABEL[1])
