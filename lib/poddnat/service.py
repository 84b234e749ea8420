"""All parts of the controller, put together, started and stopped."""

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client.core import GaugeMetricFamily

from poddnat.api import is_terminating, spec_of
from poddnat.cloud import CloudClient
from poddnat.config import Values, ValuesFile
from poddnat.controllers import (
    Assignments,
    Authorizer,
    ControllersListener,
    DriftDetector,
    ExposureTimer,
    FixedPodController,
    OwnershipEvidence,
    PodDNATReconciler,
    PodReconciler,
    Refusals,
    RetainedPodDNATs,
    StatusReporter,
)
from poddnat.gateway import Fleet, Ownership
from poddnat.kube import FixedPodInformer, KubeClient, KubeError, LiveReader, PodDNATInformer
from poddnat.placement import Namespaces, Nodes, PodLocator
from poddnat.ports import PortRegistry
from poddnat.telemetry import Metrics, gauges
from poddnat.timestamps import now

log = logging.getLogger(__name__)


class _ControllersEvents(ControllersListener):
    """Passes on what the reconcilers tell."""

    def __init__(self, service: "Service") -> None:
        self._service = service

    def poddnat_spoilt(self, poddnat: dict[str, Any]) -> None:
        self._service.fixed_pods.repair(poddnat)

    def entries_drifted(self, gateway_id: str) -> None:
        self._service.metrics.lost(gateway_id)

    def pod_exposed(self, seconds: float) -> None:
        self._service.metrics.exposed(seconds)


class Service:
    """What the hooks call, and what runs behind them."""

    def __init__(
        self,
        values: Values,
        cluster: KubeClient,
        cloud: CloudClient,
        *,
        may_write: Callable[[], bool] = lambda: True,
        values_path: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], dt.datetime] = now,
        refresh_interval: float = 300.0,
    ) -> None:
        """``values_path``: the file that the values come from, to follow its changes.

        ``may_write`` tells whether this process is the active one: others answer no hook and write nothing.

        ``clock`` measures spans, in seconds; ``wall_clock`` is the wall clock, for times that others read.

        ``refresh_interval``: seconds after which the cloud's side is read again when nothing else asks for it.
        """
        self._may_write = may_write
        self._cloud = cloud
        self._values_file = ValuesFile(values_path, values, self.apply) if values_path is not None else None
        self.metrics = Metrics()
        self.metrics.watch(self._gauges)
        self.metrics.expect_gateways(values.gateway_ids)
        cloud.observe(self.metrics.cloud_called)
        self._registry = registry = PortRegistry(values, clock=clock)
        listener = _ControllersEvents(self)
        exposure_timer = ExposureTimer(listener, clock=clock)
        ownership = Ownership(values.cluster_id)
        self.poddnats = PodDNATInformer(
            cluster,
            on_update=self._seen,
            on_delete=self._gone,
        )
        self.fleet = Fleet(
            values,
            cloud,
            ownership,
            self.poddnats,
            registry.foreign_seen,
            on_listed=self._listed,
            on_swept=self.metrics.swept,
            on_left=self._resync_misplaced,
            may_write=may_write,
            clock=clock,
            refresh_interval=refresh_interval,
        )
        self.live = LiveReader(cluster, self.poddnats)
        self.drift = DriftDetector(
            cluster, self.poddnats, self.fleet, listener, may_write=may_write, wall_clock=wall_clock
        )
        self.network = PodLocator(cloud, clock=clock)
        running_fixed_pods = FixedPodInformer(cluster, self._fixed_pod_gone)
        retained = RetainedPodDNATs(cluster, self.poddnats, wall_clock=wall_clock)
        self._namespaces = namespaces = Namespaces(values, cluster, clock=clock)
        self._refusals = Refusals(clock=clock)
        self.pods = PodReconciler(
            cluster,
            self.poddnats,
            retained,
            Assignments(self.fleet, self.network, registry, exposure_timer),
            Nodes(cluster, clock=clock),
            namespaces,
            self._refusals,
            wall_clock=wall_clock,
        )
        self._authorizer = authorizer = Authorizer(values, cluster, namespaces, clock=clock)
        self.mappings = PodDNATReconciler(
            OwnershipEvidence(ownership),
            cluster,
            self.poddnats,
            running_fixed_pods,
            self.fleet,
            registry,
            authorizer,
            retained,
            exposure_timer,
            StatusReporter(
                cluster, registry, exposure_timer, lambda: self.network.routes_denied, wall_clock=wall_clock
            ),
            listener,
            wall_clock=wall_clock,
        )
        self.fixed_pods = FixedPodController(
            cluster,
            self.poddnats,
            running_fixed_pods,
            retained,
            self.pods.sync,
            self.mappings.withdraw,
            may_write=may_write,
            clock=clock,
        )

    @property
    def ready(self) -> bool:
        """Whether hooks may be answered: all PodDNATs are known, so no port in use is given out."""
        return self.may_write and self.warm

    @property
    def may_write(self) -> bool:
        """Whether this process is the active one."""
        return self._may_write()

    @property
    def warm(self) -> bool:
        """Whether this process could be the active one: all PodDNATs have been listed."""
        return self.poddnats.has_synced

    def _seen(self, poddnat: dict[str, Any]) -> None:
        self.mappings.seen(poddnat)
        self.drift.seen(poddnat)
        if is_terminating(poddnat):
            self.fixed_pods.repair(poddnat)

    def _gone(self, poddnat: dict[str, Any]) -> None:
        self.mappings.gone(poddnat)
        self.drift.gone(poddnat)
        self.fixed_pods.repair(poddnat)

    def _fixed_pod_gone(self, namespace: str, name: str, uid: str) -> None:
        self.fixed_pods.pod_gone(namespace, name, uid)

    def _listed(self, gateway_id: str) -> None:
        for poddnat in self.poddnats.all():
            if spec_of(poddnat).get("tableId") == gateway_id:
                try:
                    self.mappings.recognize(poddnat)
                except KubeError as error:
                    log.warning("the API server can't be asked whose entries on %s are: %s", gateway_id, error)
                    break
        self.drift.check(gateway_id)

    def _gauges(self) -> Iterator[GaugeMetricFamily]:
        valid = self._values_file is None or self._values_file.valid
        yield from gauges.of_process(active=self.ready, warm=self.warm, valid=valid)
        yield from gauges.of_poddnats(self.poddnats)
        if self.ready:  # What others know of the cloud may be minutes old, and would stand beside what is true.
            yield from gauges.of_refusals(self._refusals)
            yield from gauges.of_gateways(self.fleet)
            yield from gauges.of_ports(self.fleet, self._registry)

    def apply(self, values: Values) -> None:
        """Go by other values from now on; clusterID, regionID and vpcID have to be the same."""
        self.metrics.expect_gateways(values.gateway_ids)
        self._cloud.update(values)
        self._registry.update(values)
        self._namespaces.update(values)
        self._authorizer.update(values)
        self.fleet.update(values)
        self._resync_misplaced()

    def _resync_misplaced(self) -> None:
        self.drift.resync_misplaced(self.mappings.is_misplaced)

    def start(self) -> None:
        """Start everything that runs in the background."""
        self.poddnats.start()
        self.fixed_pods.start()
        self.fleet.start()
        self.network.start()
        if self._values_file is not None:
            self._values_file.start()

    def take_over(self) -> None:
        """Become the active one: what another process may have written until a moment ago is read again first."""
        self.poddnats.start()
        self.fixed_pods.relist()
        self.fleet.resync()

    def stop(self) -> None:
        """Stop; calls to the cloud that are under way are waited for."""
        if self._values_file is not None:
            self._values_file.stop()
        self.fixed_pods.stop()
        self.poddnats.stop()
        self.network.stop()
        self.fleet.stop()
