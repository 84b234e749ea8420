"""What pods' nodes are: ECS instances, or virtual ones, whose pods (ECI) DNAT does not support."""

import re
import threading
import time
from collections.abc import Callable

from cachetools import TTLCache, cached

from poddnat.kube import KubeClient
from poddnat.placement.intervals import NODE_TTL

_VIRTUAL_PREFIX = "virtual-kubelet-"
_VIRTUAL_LABEL = ("type", "virtual-kubelet")
_MOST_CACHED = 10_000

# As the cloud controller manager writes spec.providerID: cn-hangzhou.i-bp1...
_INSTANCE = re.compile(r"(?:.*[./])?(i-[A-Za-z0-9-]+)")


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

    def instance_of(self, name: str) -> str | None:
        """Read a node's ECS instance id; None: it is none, or nothing says which.

        Raises:
            KubeError: the API server did not answer, or refused.
        """
        node = self._kube.node(name) or {}
        found = _INSTANCE.fullmatch(str((node.get("spec") or {}).get("providerID") or ""))
        return found[1] if found is not None else None
