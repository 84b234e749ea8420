"""Whose pods may have public ports, by the values file: namespaces by name, or by their labels."""

import time
from collections.abc import Callable, Mapping

from poddnat.api import Problem
from poddnat.config import Values
from poddnat.kube import KubeClient, Remembered

_REMEMBER_SECONDS = 60.0


class Namespaces:
    """Reads namespaces' labels, and remembers them for a minute. Safe to use from several threads."""

    def __init__(self, values: Values, cluster: KubeClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed = values.namespaces
        self._cluster = cluster
        self._labels = Remembered(self._ask, _REMEMBER_SECONDS, clock=clock)

    def update(self, values: Values) -> None:
        """Go by other values from now on."""
        self._allowed = values.namespaces

    def refusal(self, name: str) -> Problem | None:
        """Tell why the pods of a namespace may have no public ports; None: they may.

        Raises:
            ClusterError: the API server did not tell the namespace's labels.
        """
        allowed = self._allowed
        if allowed is None or name in allowed.names:
            return None
        if allowed.selector is not None and allowed.allows(name, self._labels(name)):
            return None
        text = f"Namespace {name} may not have public ports; allowedNamespaces in the values allows {allowed}"
        return Problem(
            "NamespaceNotAllowed", f"{text}; an operator has to add it, or the user to use another.", _REMEMBER_SECONDS
        )

    def _ask(self, name: str) -> Mapping[str, str]:
        namespace = self._cluster.namespace(name) or {}
        labels: Mapping[str, str] = namespace.get("metadata", {}).get("labels") or {}
        return labels
