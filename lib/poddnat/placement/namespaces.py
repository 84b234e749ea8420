"""Whose pods may have public ports, by the values file: namespaces by name, or by their labels."""

import threading
import time
from collections.abc import Callable, Mapping

from cachetools import TTLCache, cached

from poddnat.api import Problem
from poddnat.config import Values
from poddnat.kube import KubeClient
from poddnat.placement.intervals import NAMESPACE_TTL

_MOST_CACHED = 10_000


class Namespaces:
    """Checks namespaces by name and by their cached labels. Safe to use from several threads."""

    def __init__(self, values: Values, kube: KubeClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed = values.namespaces
        self._kube = kube
        cache: TTLCache[object, Mapping[str, str], float] = TTLCache(_MOST_CACHED, NAMESPACE_TTL, timer=clock)
        self._labels = cached(cache, lock=threading.Lock())(self._read_labels)

    def update(self, values: Values) -> None:
        """Go by other values from now on."""
        self._allowed = values.namespaces

    def refusal(self, name: str) -> Problem | None:
        """Tell why the pods of a namespace may have no public ports; None: they may.

        Raises:
            KubeError: the API server did not give the namespace's labels.
        """
        allowed = self._allowed
        if allowed is None or name in allowed.names:
            return None
        if allowed.selector is not None and allowed.allows(name, self._labels(name)):
            return None
        text = f"Namespace {name} may not have public ports; allowedNamespaces in the values allows {allowed}"
        return Problem(
            "NamespaceNotAllowed", f"{text}; an operator has to add it, or the user to use another.", NAMESPACE_TTL
        )

    def _read_labels(self, name: str) -> Mapping[str, str]:
        namespace = self._kube.namespace(name) or {}
        labels: Mapping[str, str] = namespace.get("metadata", {}).get("labels") or {}
        return labels
