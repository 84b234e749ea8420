"""Which nodes are virtual: their pods run as ECI instances, which DNAT does not support."""

import time
from collections.abc import Callable

from poddnat.kube import KubeClient, Remembered

_VIRTUAL_PREFIX = "virtual-kubelet-"
_VIRTUAL_LABEL = ("type", "virtual-kubelet")
_REMEMBER_SECONDS = 600.0


class Nodes:
    """Remembers for a while what kind a node is. Safe to use from several threads."""

    def __init__(self, cluster: KubeClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._labelled_virtual = Remembered(self._ask, _REMEMBER_SECONDS, clock=clock)

    def is_virtual(self, name: str) -> bool:
        """Tell whether a node is virtual; one that is not there isn't.

        Raises:
            ClusterError: the API server did not tell.
        """
        return name.startswith(_VIRTUAL_PREFIX) or self._labelled_virtual(name)

    def _ask(self, name: str) -> bool:
        node = self._cluster.node(name) or {}
        labels = node.get("metadata", {}).get("labels") or {}
        return bool(labels.get(_VIRTUAL_LABEL[0]) == _VIRTUAL_LABEL[1])
