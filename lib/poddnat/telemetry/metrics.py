"""What Prometheus scrapes: counters of what happens, and the gauges of ``state_gauges``.

Label values are bounded: gateways and EIPs of the pool, actions of the API, the cloud's
error codes, hooks and reasons; never a pod or a PodDNAT.
"""

import itertools
import re
from collections.abc import Iterable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST

_CODE = re.compile(r"[A-Za-z0-9_.\-]{1,80}")
_CALL_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_HOOK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_USUAL_ANSWERS = (200, 400, 401, 429, 500)
_NOT_METACONTROLLER = (400, 401)
_EXPOSURE_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600)

# Otherwise each counter has a second metric with the time at which it was created.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """All metrics of one process. Safe to use from several threads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._calls = Counter(
            "poddnat_cloud_calls",
            "Calls of the cloud's API by outcome: ok or what the error means, and the cloud's own error code.",
            ["action", "outcome", "code"],
            registry=self._registry,
        )
        self._call_seconds = Histogram(
            "poddnat_cloud_call_duration_seconds",
            "How long the cloud took to answer a call.",
            ["action"],
            buckets=_CALL_SECONDS,
            registry=self._registry,
        )
        self._hooks = Counter(
            "poddnat_hook_calls",
            "Calls of the hooks by HTTP status; 429 means that Metacontroller was told to call again later.",
            ["hook", "code"],
            registry=self._registry,
        )
        self._last_call = Gauge(
            "poddnat_hook_last_call_timestamp_seconds",
            "When Metacontroller last called a hook, in Unix time; before its first call, when this process started.",
            registry=self._registry,
        )
        self._last_call.set_to_current_time()
        self._hook_seconds = Histogram(
            "poddnat_hook_duration_seconds",
            "How long a hook took to answer.",
            ["hook"],
            buckets=_HOOK_SECONDS,
            registry=self._registry,
        )
        self._exposure_seconds = Histogram(
            "poddnat_exposure_duration_seconds",
            "From the moment that a pod was given public ports until all its forward entries worked. Pods that were "
            "given theirs before this process started are not counted.",
            buckets=_EXPOSURE_SECONDS,
            registry=self._registry,
        )
        self._garbage_collected = Counter(
            "poddnat_swept",
            "PodDNATs that were gone without a finalize call, and whose forward entries were garbage-collected.",
            ["gateway"],
            registry=self._registry,
        )
        self._drifted = Counter(
            "poddnat_lost",
            "PodDNATs whose forward entries were deleted or changed by somebody else.",
            ["gateway"],
            registry=self._registry,
        )

    def expect_gateways(self, gateway_ids: Iterable[str]) -> None:
        """Have these gateways' counters at 0: Prometheus sees an increase only from a value that it has scraped."""
        for gateway_id in gateway_ids:
            self._garbage_collected.labels(gateway_id)
            self._drifted.labels(gateway_id)

    def expect_hooks(self, hooks: Iterable[str]) -> None:
        """Have these hooks' counters at 0, as ``expect_gateways`` does."""
        for hook, status in itertools.product(hooks, _USUAL_ANSWERS):
            self._hooks.labels(hook, str(status))

    def cloud_called(self, action: str, outcome: str, code: str, seconds: float) -> None:
        """Count a call of the cloud."""
        self._calls.labels(action, outcome, code if _CODE.fullmatch(code) else "other").inc()
        self._call_seconds.labels(action).observe(seconds)

    def hook_called(self, hook: str, status: int, seconds: float) -> None:
        """Count a call of a hook."""
        self._hooks.labels(hook, str(status)).inc()
        if status not in _NOT_METACONTROLLER:
            self._last_call.set_to_current_time()
        self._hook_seconds.labels(hook).observe(seconds)

    def exposed(self, seconds: float) -> None:
        """Count a pod that waited so long for its ports to work."""
        self._exposure_seconds.observe(seconds)

    def garbage_collected(self, gateway_id: str) -> None:
        """Count a PodDNAT that no longer exists and whose entries on a gateway are deleted."""
        self._garbage_collected.labels(gateway_id).inc()

    def drifted(self, gateway_id: str) -> None:
        """Count a PodDNAT whose entries on a gateway somebody else has deleted or changed."""
        self._drifted.labels(gateway_id).inc()

    def watch(self, collector: Collector) -> None:
        """Collect from this at every scrape, too."""
        self._registry.register(collector)

    def render(self) -> bytes:
        """Write all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
