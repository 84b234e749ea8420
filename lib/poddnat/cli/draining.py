"""What `drain` does: all PodDNATs go with their entries, and none comes again.

The running server removes the entries, by each PodDNAT's finalizer. Whatever is made anew meanwhile is deleted too, and
told: somebody works against it.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from poddnat.api import (
    UNNAMED,
    Installation,
    annotations_of,
    is_terminating,
    key_of,
    made_by_another,
    observed_condition,
)
from poddnat.cli.intervals import DRAIN_LOOK, DRAIN_SURE_AFTER
from poddnat.kube import SHOWN, Uninstaller

Manifest = dict[str, Any]


class Drain:
    """Takes all PodDNATs of an installation out of a cluster; those of others, and of ACK's controller, stay."""

    def __init__(
        self,
        cluster: Uninstaller,
        installation: Installation = UNNAMED,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``clock`` and ``sleep`` count seconds."""
        self._cluster = cluster
        self._installation = installation
        self._clock = clock
        self._sleep = sleep

    def found(self) -> list[Manifest]:
        """List the PodDNATs that are there and have to go.

        Raises:
            KubeError: the API server did not tell.
        """
        found = [one for one in self._cluster.poddnats()[0] if self._installation.has(one["metadata"])]
        return [poddnat for poddnat in found if not made_by_another(poddnat["metadata"])]

    def run(self, timeout: float, show: Callable[[list[Manifest]], None]) -> list[Manifest]:
        """Drain, and show what is left at each look; return what is left after so many seconds: nothing, if all went.

        Raises:
            KubeError: the API server did not do it.
        """
        deadline = self._clock() + timeout
        empty_since: float | None = None
        while True:
            self._cluster.stop_giving_ports(
                self._installation
            )  # Each time: what keeps a cluster as a repository says brings it back.
            left = self.found()
            show(left)
            for poddnat in left:
                if not is_terminating(poddnat):
                    metadata = poddnat["metadata"]
                    self._cluster.delete_poddnat(metadata["namespace"], metadata["name"], metadata["uid"])
            present = self._clock()
            empty_since = None if left else present if empty_since is None else empty_since
            if empty_since is not None and present - empty_since >= DRAIN_SURE_AFTER:
                return []
            if present >= deadline:
                return left
            self._sleep(DRAIN_LOOK)

    def clear_pods(self) -> int:
        """Take from all pods of the installation what they show of their ports; return of how many.

        Raises:
            KubeError: the API server did not do it.
        """
        pods: list[Manifest] = []

        def keep_ours(pod: Manifest) -> None:
            if self._installation.serves(pod["metadata"]) and set(SHOWN) & set(annotations_of(pod)):
                pods.append(pod)

        self._cluster.list_pods(keep_ours)
        for pod in pods:
            self._cluster.clear_pod(pod)
        return len(pods)


def why_left(left: list[Manifest]) -> str:
    """Say in a sentence what is left, and why, as far as it is known."""
    reasons = Counter(
        f"{condition.reason}: {condition.message}"
        for poddnat in left
        if (condition := observed_condition(poddnat.get("status") or {})) is not None and not condition.ready
    )
    some = ", ".join(key_of(poddnat) for poddnat in left[:3]) + (", …" if len(left) > 3 else "")  # noqa: PLR2004
    text = f"1 PodDNAT is left ({some})" if len(left) == 1 else f"{len(left)} PodDNATs are left ({some})"
    if reasons:
        ((reason, count),) = reasons.most_common(1)
        of_them = "it" if len(left) == 1 else f"{count} of them"
        return f"{text}; of {of_them} the server says {reason}"
    return f"{text}; is the server running, and Metacontroller? An operator has to see to that, and drain again"
