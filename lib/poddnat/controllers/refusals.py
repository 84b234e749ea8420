"""Which pods are refused public ports at present, for metrics.

Most of them have no PodDNAT that could be counted, and nobody tells when such a pod is deleted: whoever has not asked
again when due no longer counts.
"""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping

_GRACE_SECONDS = 60.0
_REMEMBERED = 20_000


class Refusals:
    """Counts pods by the reason that they were given last. Safe to use from several threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def answered(self, pod_uid: str, reason: str, ask_again: float = 0.0) -> None:
        """Count a pod as refused for a reason, until it asks again after so many seconds; without a reason, no more."""
        with self._lock:
            self._refused.pop(pod_uid, None)
            if reason:
                # Twice as long: Metacontroller has others to ask for, too.
                self._refused[pod_uid] = (reason, self._clock() + 2 * ask_again + _GRACE_SECONDS)
            if len(self._refused) > _REMEMBERED:
                self._refused.popitem(last=False)

    def counts(self) -> Mapping[str, int]:
        """Tell how many pods are refused, by reason."""
        now = self._clock()
        with self._lock:
            for pod_uid in [pod_uid for pod_uid, (_, until) in self._refused.items() if until < now]:
                del self._refused[pod_uid]
            return Counter(reason for reason, _ in self._refused.values())
