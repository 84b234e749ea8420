"""How things stand at the moment that Prometheus asks, read off what the hooks work with."""

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily

from poddnat.api import observed_condition
from poddnat.controllers import Refusals
from poddnat.gateway import Fleet
from poddnat.kube import PodDNATInformer
from poddnat.model import Protocol
from poddnat.ports import PortRegistry


def of_gateways(fleet: Fleet) -> Iterator[GaugeMetricFamily]:
    """Tell of each gateway's queue, pace and table."""
    waiting = _gauge("poddnat_gateway_waiting", "PodDNATs that wait for their turn to write.", "gateway", "kind")
    oldest = _gauge(
        "poddnat_gateway_oldest_waiting_seconds",
        "How long the one that has waited longest has been waiting; 0 when none waits.",
        "gateway",
        "kind",
    )
    in_flight = _gauge("poddnat_gateway_writes_in_flight", "Writes sent and not answered yet.", "gateway")
    unsettled = _gauge(
        "poddnat_gateway_writes_unsettled", "Writes accepted whose entries are still Pending or Deleting.", "gateway"
    )
    limit = _gauge(
        "poddnat_gateway_concurrency",
        "How many unsettled writes the gateway bears at once, as learned so far.",
        "gateway",
    )
    entries = _gauge("poddnat_gateway_entries", "Forward entries in the gateway's table, foreign ones too.", "gateway")
    quota = _gauge(
        "poddnat_gateway_entries_quota",
        "How many forward entries the gateway takes; absent while neither the values file nor a refusal has told.",
        "gateway",
    )
    usable = _gauge(
        "poddnat_gateway_usable", "1 when the cloud knows the gateway and its table has been read, else 0.", "gateway"
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
        usable.add_metric([name], float(stats.loaded and fleet.exists(name)))
    yield from (waiting, oldest, in_flight, unsettled, limit, entries, quota, usable)


def of_ports(fleet: Fleet, registry: PortRegistry) -> Iterator[GaugeMetricFamily]:
    """Tell how many ports are left on each address of the pool; blocked ones are left out."""
    labels = ("gateway", "eip", "protocol")
    free = _gauge("poddnat_eip_free_ports", "Ports of the pool that pods can still get on an EIP.", *labels)
    offered = _gauge("poddnat_eip_ports", "Ports of the pool on an EIP, free or not.", *labels)
    for place in (place for candidate in fleet.candidates() for place in candidate.places):
        for protocol in (Protocol.TCP, Protocol.UDP):
            left, all_of_them = registry.count_ports(place.gateway_id, place.external_ip, protocol)
            free.add_metric([place.gateway_id, place.external_ip, protocol.value], left)
            offered.add_metric([place.gateway_id, place.external_ip, protocol.value], all_of_them)
    yield from (free, offered)


def of_poddnats(poddnats: PodDNATInformer) -> Iterator[GaugeMetricFamily]:
    """Tell how many PodDNATs are Ready, and why the others are not."""
    counts: Counter[tuple[str, str]] = Counter({("true", "Ready"): 0})
    for poddnat in poddnats.all():
        condition = observed_condition(poddnat.get("status") or {})
        if condition is None:
            counts["false", "Waiting"] += 1
        else:
            counts[str(condition.ready).lower(), condition.reason] += 1
    gauge = _gauge(
        "poddnat_poddnats",
        "PodDNATs by whether they are Ready and why (not); Waiting: nothing has been said of them yet.",
        "ready",
        "reason",
    )
    for labels, count in counts.items():
        gauge.add_metric(labels, count)
    yield gauge


def of_refusals(refusals: Refusals) -> Iterator[GaugeMetricFamily]:
    """Tell how many pods are refused what they ask for."""
    gauge = _gauge(
        "poddnat_pods_refused",
        "Pods that ask for public ports and are refused all or some of them, by the reason told on the pod.",
        "reason",
    )
    for reason, count in refusals.counts().items():
        gauge.add_metric([reason], count)
    yield gauge


def of_process(*, active: bool, warm: bool, valid: bool) -> Iterable[GaugeMetricFamily]:
    """Tell whether this process does the work."""
    return (
        GaugeMetricFamily("poddnat_active", "1 on the replica that answers hooks and writes, else 0.", float(active)),
        GaugeMetricFamily("poddnat_ready", "1 once all PodDNATs have been read since the start, else 0.", float(warm)),
        GaugeMetricFamily(
            "poddnat_values_valid",
            "1 while the values file as it is now is in force; 0 when it can't be used, and the last valid one is.",
            float(valid),
        ),
    )


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)
