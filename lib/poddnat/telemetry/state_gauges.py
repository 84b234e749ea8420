"""The gauges: read off the informer, the gateways and the port registry whenever Prometheus scrapes."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from poddnat.api import Fixed, SpecError, observed_condition, parse_spec, spec_of
from poddnat.controllers import Refusals
from poddnat.gateway import Fleet
from poddnat.kube import PodDNATInformer
from poddnat.model import Protocol as TransportProtocol
from poddnat.ports import Allocation, PortRegistry
from poddnat.timestamps import now, parse


class ProcessState(Protocol):
    """Whether this process does the work."""

    @property
    def ready(self) -> bool:
        """Whether it answers hooks and writes."""

    @property
    def warm(self) -> bool:
        """Whether all PodDNATs and pods have been listed since the start."""

    @property
    def values_valid(self) -> bool:
        """Whether the values file as it is now is in force."""


class StateGauges(Collector):
    """Collects the gauges of one process."""

    def __init__(
        self,
        process: ProcessState,
        poddnats: PodDNATInformer,
        fleet: Fleet,
        registry: PortRegistry,
        refusals: Refusals,
        *,
        wall_clock: Callable[[], dt.datetime] = now,
    ) -> None:
        """``wall_clock`` is for the age of what is being deleted."""
        self._wall_clock = wall_clock
        self._process = process
        self._poddnats = poddnats
        self._fleet = fleet
        self._registry = registry
        self._refusals = refusals

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Describe nothing, or Prometheus' client would collect as soon as this is registered."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read all gauges."""
        yield from _process(self._process)
        yield from _poddnats(self._poddnats)
        yield from _terminating(self._poddnats, self._wall_clock())
        yield _namespaces(self._poddnats)
        # What a standby knows of the cloud may be minutes old, and would stand beside the truth.
        if self._process.ready:
            yield from _refusals(self._refusals)
            yield from _gateways(self._fleet)
            yield from _ports(self._fleet, self._registry)


def _process(process: ProcessState) -> Iterator[GaugeMetricFamily]:
    yield GaugeMetricFamily(
        "poddnat_active", "1 on the replica that answers hooks and writes, else 0.", float(process.ready)
    )
    yield GaugeMetricFamily(
        "poddnat_ready", "1 once all PodDNATs and pods have been listed since the start, else 0.", float(process.warm)
    )
    yield GaugeMetricFamily(
        "poddnat_values_valid",
        "1 while the values file as it is now is in force; 0 when it can't be used, and the last valid one is.",
        float(process.values_valid),
    )


def _poddnats(poddnats: PodDNATInformer) -> Iterator[GaugeMetricFamily]:
    counts: Counter[tuple[str, str]] = Counter({("true", "Ready"): 0})
    for poddnat in poddnats.all():
        condition = observed_condition(poddnat.get("status") or {})
        if condition is None:
            counts["false", "Waiting"] += 1
        else:
            counts[str(condition.ready).lower(), condition.reason] += 1
    gauge = _gauge(
        "poddnat_poddnats",
        "PodDNATs by whether they are Ready and by reason; Waiting: their status has no condition yet.",
        "ready",
        "reason",
    )
    for labels, count in counts.items():
        gauge.add_metric(labels, count)
    yield gauge


def _terminating(poddnats: PodDNATInformer, time: dt.datetime) -> Iterator[GaugeMetricFamily]:
    times = [poddnat["metadata"].get("deletionTimestamp") for poddnat in poddnats.all()]
    ages = [(time - parse(text)).total_seconds() for text in times if text]
    yield GaugeMetricFamily("poddnat_terminating", "PodDNATs that are deleted and not gone yet.", len(ages))
    yield GaugeMetricFamily(
        "poddnat_oldest_terminating_seconds",
        "How long ago the PodDNAT was deleted that has been Terminating longest; 0 when none is.",
        max(ages, default=0.0),
    )


def _namespaces(poddnats: PodDNATInformer) -> GaugeMetricFamily:
    counts: Counter[tuple[str, str]] = Counter()
    for poddnat in poddnats.all():
        metadata = poddnat["metadata"]
        try:
            ports = Allocation.of(parse_spec(spec_of(poddnat), absent=True)).ports
        except SpecError:
            continue  # Written by hand beyond recognition: it has none.
        record = Fixed.read(metadata)
        retained = record is not None and bool(record.absent_since)
        counts[metadata["namespace"], "kept" if retained else "used"] += ports
    gauge = _gauge(
        "poddnat_namespace_ports",
        "Public ports by namespace; used by pods, or retained for fixed pods that are away (kept).",
        "namespace",
        "state",
    )
    for labels, count in counts.items():
        gauge.add_metric(labels, count)
    return gauge


def _refusals(refusals: Refusals) -> Iterator[GaugeMetricFamily]:
    gauge = _gauge(
        "poddnat_pods_refused",
        "Pods that ask for public ports and are refused all or some of them, by the reason in the pod's annotation.",
        "reason",
    )
    for reason, count in refusals.counts().items():
        gauge.add_metric([reason], count)
    yield gauge


def _gateways(fleet: Fleet) -> Iterator[GaugeMetricFamily]:
    waiting = _gauge("poddnat_gateway_waiting", "PodDNATs in the gateway's work queue.", "gateway", "kind")
    oldest = _gauge(
        "poddnat_gateway_oldest_waiting_seconds",
        "How long the PodDNAT that has waited longest has been in the work queue; 0 when none waits.",
        "gateway",
        "kind",
    )
    in_flight = _gauge("poddnat_gateway_writes_in_flight", "Writes sent and not answered yet.", "gateway")
    unsettled = _gauge(
        "poddnat_gateway_writes_unsettled", "Writes accepted whose entries are still Pending or Deleting.", "gateway"
    )
    limit = _gauge(
        "poddnat_gateway_concurrency",
        "Concurrency limit: how many unsettled writes the gateway takes at once, as learned so far.",
        "gateway",
    )
    entries = _gauge("poddnat_gateway_entries", "Forward entries in the gateway's table, foreign ones too.", "gateway")
    quota = _gauge(
        "poddnat_gateway_entries_quota",
        "How many forward entries the gateway takes; absent while neither the values file nor a refusal has told.",
        "gateway",
    )
    usable = _gauge(
        "poddnat_gateway_usable",
        "1 when the cloud knows the gateway, has not locked it, and its table has been listed, else 0.",
        "gateway",
    )
    orphans = _gauge(
        "poddnat_gateway_orphans",
        "PodDNATs that are gone and whose entries are kept, as they are too many to be believed.",
        "gateway",
    )
    for gateway in fleet.gateways():
        name, stats = gateway.gateway_id, gateway.stats()
        for kind, count in stats.waiting.items():
            waiting.add_metric([name, kind.value], count)
            oldest.add_metric([name, kind.value], stats.oldest_seconds[kind])
        in_flight.add_metric([name], stats.in_flight)
        unsettled.add_metric([name], stats.unsettled)
        limit.add_metric([name], stats.limit)
        entries.add_metric([name], stats.entries)
        if stats.quota is not None:
            quota.add_metric([name], stats.quota)
        orphans.add_metric([name], gateway.orphans)
        usable.add_metric([name], float(stats.loaded and fleet.exists(name) and not fleet.is_locked(name)))
    yield from (waiting, oldest, in_flight, unsettled, limit, entries, quota, usable, orphans)


def _ports(fleet: Fleet, registry: PortRegistry) -> Iterator[GaugeMetricFamily]:
    labels = ("gateway", "eip", "protocol")
    free = _gauge("poddnat_eip_free_ports", "Ports of the pool on an EIP that pods can still get.", *labels)
    total = _gauge("poddnat_eip_ports", "Ports of the pool on an EIP, free or not.", *labels)
    for place in (place for candidate in fleet.candidates() for place in candidate.places):
        for protocol in (TransportProtocol.TCP, TransportProtocol.UDP):
            free_count, total_count = registry.count_ports(place.gateway_id, place.external_ip, protocol)
            free.add_metric([place.gateway_id, place.external_ip, protocol.value], free_count)
            total.add_metric([place.gateway_id, place.external_ip, protocol.value], total_count)
    yield from (free, total)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)
