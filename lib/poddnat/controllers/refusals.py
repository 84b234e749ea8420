"""Which pods are refused public ports at present, for metrics.

Most of them have no PodDNAT that could be counted, and nobody tells when such a pod is deleted: a pod that has not
asked again when due no longer counts.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from cachetools import TLRUCache

from poddnat.controllers.intervals import REFUSAL_GRACE

_MOST_PODS = 20_000


class _Refusal(NamedTuple):
    reason: str
    valid: float
    """Seconds."""


class Refusals:
    """Counts pods by the reason that they were given last. Safe to use from several threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._refused: TLRUCache[str, _Refusal] = TLRUCache(
            _MOST_PODS, lambda _pod_uid, refusal, now: now + refusal.valid, timer=clock
        )

    def answered(self, pod_uid: str, reason: str, requeue_after: float = 0.0) -> None:
        """Count a pod as refused for a reason, until it asks again after so many seconds; without a reason, no more."""
        with self._lock:
            self._refused.pop(pod_uid, None)
            if reason:
                # Twice as long: Metacontroller has others to ask for, too.
                self._refused[pod_uid] = _Refusal(reason, 2 * requeue_after + REFUSAL_GRACE)

    def counts(self) -> Mapping[str, int]:
        """Tell how many pods are refused, by reason."""
        with self._lock:
            self._refused.expire()
            return Counter(refusal.reason for refusal in self._refused.values())
