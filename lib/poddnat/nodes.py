"""Which nodes are virtual: their pods run as ECI instances, which DNAT does not support."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from poddnat.cluster import Cluster

_VIRTUAL_PREFIX = "virtual-kubelet-"
_VIRTUAL_LABEL = ("type", "virtual-kubelet")
_REMEMBER_SECONDS = 600.0
_REMEMBERED = 10_000


class Nodes:
    """Remembers for a while what kind a node is. Safe to use from several threads."""

    def __init__(self, cluster: Cluster, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[bool, float]] = OrderedDict()

    def is_virtual(self, name: str) -> bool:
        """Tell whether a node is virtual; one that is not there isn't.

        Raises:
            ClusterError: the API server did not tell.
        """
        if name.startswith(_VIRTUAL_PREFIX):
            return True
        with self._lock:
            known = self._known.get(name)
        if known is not None and self._clock() < known[1]:
            return known[0]
        node = self._cluster.node(name)
        labels = (node or {}).get("metadata", {}).get("labels") or {}
        virtual = labels.get(_VIRTUAL_LABEL[0]) == _VIRTUAL_LABEL[1]
        with self._lock:
            self._known[name] = (virtual, self._clock() + _REMEMBER_SECONDS)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return virtual
