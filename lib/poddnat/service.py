"""All parts of the controller: built from the ground up, started and stopped.

Each part gets the parts that stand below it. What flows upward are events; ``_Events`` passes them on.
"""

import datetime as dt
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from poddnat.api import POD_DNAT, Problem, annotations_of, is_terminating, pod_uid_of, spec_of
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
    Reminder,
    RetainedPodDNATs,
    StatusReporter,
)
from poddnat.gateway import Fleet, Ownership
from poddnat.kube import KubeClient, KubeError, LiveReader, PodDNATInformer, PodInformer
from poddnat.model import ForwardEntry
from poddnat.placement import Namespaces, Nodes, PodLocator
from poddnat.ports import PortRegistry
from poddnat.telemetry import Metrics, StateGauges
from poddnat.timestamps import now

log = logging.getLogger(__name__)

Manifest = dict[str, Any]


class _Events(ControllersListener):
    """Passes on what the parts tell those above them, one group of methods for each package that tells something.

    Whoever is told is built after those who tell, so ``connect`` comes last. Nothing is told before the start.
    """

    _poddnats: PodDNATInformer
    _reconciler: PodDNATReconciler
    _drift: DriftDetector
    _fixed_pods: FixedPodController

    def __init__(self, registry: PortRegistry, metrics: Metrics, tell_operators: Callable[[str, str], None]) -> None:
        self._registry = registry
        self._metrics = metrics
        self._tell_operators = tell_operators

    def connect(
        self,
        poddnats: PodDNATInformer,
        reconciler: PodDNATReconciler,
        drift: DriftDetector,
        fixed_pods: FixedPodController,
    ) -> None:
        """Name those who are told."""
        self._poddnats = poddnats
        self._reconciler = reconciler
        self._drift = drift
        self._fixed_pods = fixed_pods

    # Of the API server

    def poddnat_seen(self, poddnat: Manifest) -> None:
        """Take over a PodDNAT that is new or has changed."""
        self._reconciler.seen(poddnat)
        self._drift.seen(poddnat)
        if is_terminating(poddnat):
            self._fixed_pods.leaving(poddnat)
            self._fixed_pods.repair(poddnat)

    def poddnat_gone(self, poddnat: Manifest) -> None:
        """Forget a PodDNAT that is no longer there."""
        self._reconciler.gone(poddnat)
        self._drift.gone(poddnat)
        self._fixed_pods.repair(poddnat)

    def pod_gone(self, namespace: str, name: str, uid: str) -> None:
        """Let nothing wait for a pod that has gone, and lead no entries to it: its IP may soon be another pod's."""
        self._registry.pod_gone(uid)
        self._fixed_pods.pod_gone(namespace, name, uid)

    # Of the gateways

    def foreign_changed(self, gateway_id: str, entries: Sequence[ForwardEntry]) -> None:
        """Take the ports of these entries, which are not ours, for used."""
        self._registry.foreign_seen(gateway_id, entries)

    def table_listed(self, gateway_id: str) -> None:
        """Look for PodDNATs whose entries somebody has renamed, deleted or changed, in a table that was just listed."""
        for poddnat in self._poddnats.all():
            if spec_of(poddnat).get("tableId") == gateway_id:
                try:
                    self._reconciler.recognize(poddnat)
                except KubeError as error:
                    log.warning("the API server can't be asked whose entries on %s are: %s", gateway_id, error)
                    break
        self._drift.check(gateway_id)

    def garbage_collected(self, gateway_id: str) -> None:
        """Count a PodDNAT that no longer exists and whose entries are deleted."""
        self._metrics.garbage_collected(gateway_id)

    def orphans_held(self, gateway_id: str, count: int, *, shared: bool) -> None:
        """Tell operators that the entries of PodDNATs that are gone are left to them."""
        if count:
            problem = _held(gateway_id, count, shared=shared)
            self._tell_operators(problem.reason, problem.message)

    def places_left(self) -> None:
        """Have PodDNATs synced that are on a gateway or an address that has gone."""
        self._drift.resync_misplaced(self._reconciler.is_misplaced)

    # Of the controllers

    def pod_exposed(self, seconds: float) -> None:
        """Count a pod whose entries all work, so long after it was given its ports."""
        self._metrics.exposed(seconds)

    def entries_drifted(self, gateway_id: str) -> None:
        """Count a PodDNAT whose entries somebody else has deleted or changed."""
        self._metrics.drifted(gateway_id)

    def poddnat_spoilt(self, poddnat: Manifest) -> None:
        """Repair a fixed pod's PodDNAT that asks for what it may not have, or that should be elsewhere."""
        self._fixed_pods.repair(poddnat)


def _held(gateway_id: str, count: int, *, shared: bool) -> Problem:
    """Say that so many PodDNATs are gone whose entries are kept."""
    if shared:
        text = f"Another cluster makes forward entries on {gateway_id} under this cluster's clusterID"
        act = "an operator has to give each cluster a clusterID of its own in its values; until then none is collected"
        return Problem("ClusterIdShared", f"{text}; {act}.")
    text = f"{count} PodDNATs with forward entries on {gateway_id} are gone at once, so the entries are kept"
    act = 'an operator has to see why ("poddnat audit" lists them), and may delete them by "poddnat audit --fix"'
    return Problem("ManyOrphans", f"{text}; {act}.")


class Service:
    """What the hooks call, and what runs behind them."""

    def __init__(
        self,
        values: Values,
        kube: KubeClient,
        cloud: CloudClient,
        *,
        may_write: Callable[[], bool] = lambda: True,
        values_path: Path | None = None,
        tell_operators: Callable[[str, str], None] = lambda _reason, _message: None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], dt.datetime] = now,
    ) -> None:
        """Build all parts; nothing runs before ``start``.

        ``may_write`` tells whether this process is the active one: others answer no hook and write nothing.
        ``values_path``: the file that the values come from, to follow its changes.
        ``tell_operators`` gets a reason and a sentence about what concerns no pod and no PodDNAT.
        ``clock`` measures spans, in seconds; ``wall_clock`` gives times that others read.
        """
        self._kube = kube
        self._may_write = may_write
        self._clock, self._wall_clock = clock, wall_clock
        self._values_file = ValuesFile(values_path, values, self.apply) if values_path is not None else None
        self.metrics = Metrics()
        self._registry = PortRegistry(values, clock=clock)
        self._events = _Events(self._registry, self.metrics, tell_operators)
        self._cloud = cloud
        cloud.observe(self.metrics.cloud_called)
        self.poddnats = PodDNATInformer(kube, on_update=self._events.poddnat_seen, on_delete=self._events.poddnat_gone)
        self.live = LiveReader(kube, self.poddnats)
        self._namespaces = Namespaces(values, kube, clock=clock)
        self._nodes = Nodes(kube, clock=clock)
        self._locator = PodLocator(cloud, self._nodes.instance_of, clock=clock)
        ownership = Ownership(values.cluster_id)
        self.fleet = Fleet(values, cloud, ownership, self.poddnats, self._events, may_write=may_write, clock=clock)
        self._pods = PodInformer(kube, self._events.pod_gone, self._on_silent_opt_out)
        self._retained = RetainedPodDNATs(kube, self.poddnats, wall_clock=wall_clock)
        exposure_timer = ExposureTimer(self._events, clock=clock)
        self._refusals = Refusals(clock=clock)
        self.pod_reconciler = self._make_pod_reconciler(kube, exposure_timer)
        self._authorizer = Authorizer(values, kube, self._namespaces, clock=clock)
        self.poddnat_reconciler = self._make_poddnat_reconciler(kube, ownership, exposure_timer)
        self._fixed_pods = self._make_fixed_pod_controller(kube)
        self.drift = DriftDetector(
            kube, self.poddnats, self.fleet, self._events, may_write=may_write, wall_clock=wall_clock
        )
        self.reminder = Reminder(
            kube, self.poddnats, self._pods, may_write=may_write, clock=clock, wall_clock=wall_clock
        )
        self._events.connect(self.poddnats, self.poddnat_reconciler, self.drift, self._fixed_pods)
        self.metrics.expect_gateways(values.gateway_ids)
        gauges = StateGauges(self, self.poddnats, self.fleet, self._registry, self._refusals, wall_clock=wall_clock)
        self.metrics.watch(gauges)

    def _make_pod_reconciler(self, kube: KubeClient, exposure_timer: ExposureTimer) -> PodReconciler:
        return PodReconciler(
            kube,
            self.poddnats,
            self._retained,
            Assignments(self.fleet, self._locator, self._registry, exposure_timer),
            self._nodes,
            self._namespaces,
            self._refusals,
            wall_clock=self._wall_clock,
        )

    def _make_poddnat_reconciler(
        self, kube: KubeClient, ownership: Ownership, exposure_timer: ExposureTimer
    ) -> PodDNATReconciler:
        return PodDNATReconciler(
            OwnershipEvidence(ownership),
            kube,
            self.poddnats,
            self._pods,
            self.fleet,
            self._registry,
            self._authorizer,
            self._retained,
            exposure_timer,
            StatusReporter(kube, self._registry, exposure_timer, self._routes_denied, wall_clock=self._wall_clock),
            self._events,
            wall_clock=self._wall_clock,
        )

    def _make_fixed_pod_controller(self, kube: KubeClient) -> FixedPodController:
        return FixedPodController(
            kube,
            self.poddnats,
            self._pods,
            self._retained,
            self.pod_reconciler.sync,
            self.poddnat_reconciler.withdraw,
            may_write=self._may_write,
            clock=self._clock,
            wall_clock=self._wall_clock,
        )

    def _on_silent_opt_out(self, namespace: str, name: str, uid: str) -> None:
        """Take back what a pod has that lost all annotations of ours and its request: no hook is called for it."""
        poddnat = self.poddnats.get(namespace, name)
        if poddnat is None or pod_uid_of(poddnat["metadata"]) != uid or not self._may_write():
            return
        try:
            pod = self._kube.pod(namespace, name)
            if pod is not None and pod["metadata"]["uid"] == uid and POD_DNAT not in annotations_of(pod):
                self.poddnat_reconciler.withdraw(poddnat)
                self.pod_reconciler.opt_out(pod)
        except KubeError as error:
            log.warning("pod %s/%s has opted out; its PodDNAT's next sync sees to that: %s", namespace, name, error)

    def _routes_denied(self) -> bool | None:
        return self._locator.routes_denied

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

    @property
    def values_valid(self) -> bool:
        """Whether the values file as it is now is in force."""
        return self._values_file is None or self._values_file.valid

    def apply(self, values: Values) -> None:
        """Go by other values from now on; clusterID, regionID and vpcID have to be the same."""
        self.metrics.expect_gateways(values.gateway_ids)
        self._cloud.update(values)
        self._registry.update(values)
        for poddnat in self.poddnats.all():  # What is in the pool again counts again.
            self.poddnat_reconciler.seen(poddnat)
        self._namespaces.update(values)
        self._authorizer.update(values)
        self.fleet.update(values)
        self.drift.resync_misplaced(self.poddnat_reconciler.is_misplaced)

    def start(self) -> None:
        """Start everything that runs in the background."""
        self.poddnats.start()
        self._fixed_pods.start()
        self.reminder.start()
        self.fleet.start()
        self._locator.start()
        if self._values_file is not None:
            self._values_file.start()

    def take_over(self) -> None:
        """Become the active one: what another process may have written until a moment ago is read again first."""
        self.poddnats.start()
        self._fixed_pods.relist()
        self.fleet.resync()

    def stop(self) -> None:
        """Stop; calls to the cloud that are under way are waited for."""
        if self._values_file is not None:
            self._values_file.stop()
        self.reminder.stop()
        self._fixed_pods.stop()
        self.poddnats.stop()
        self._locator.stop()
        self.fleet.stop()
