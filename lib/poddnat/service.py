"""All parts of the controller: built from the ground up, started and stopped.

Each part gets the parts that stand below it. What flows upward are events; ``_Events`` passes them on.
"""

import datetime as dt
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from poddnat.api import Installation, is_terminating
from poddnat.cloud import CloudClient
from poddnat.config import Values, ValuesFile
from poddnat.controllers import (
    Assignments,
    Authorizer,
    Cluster,
    ControllersListener,
    DriftDetector,
    ExposureTimer,
    ForwardEntries,
    LifecycleController,
    PodDNATQueue,
    PodDNATReconciler,
    PodReconciler,
    PortClaims,
    Refusals,
    Reminder,
    RetainedPodDNATs,
    StatusReporter,
    cluster_id_shared,
    orphans_left,
)
from poddnat.gateway import Fleet, GatewayListener, Ownership
from poddnat.kube import KubeClient, LiveReader, PodDNATInformer, PodInformer
from poddnat.model import ForwardEntry
from poddnat.placement import Namespaces, Nodes, PodLocator
from poddnat.ports import PortRegistry
from poddnat.telemetry import Metrics, StateGauges
from poddnat.timestamps import now

Manifest = dict[str, Any]


class _Events(ControllersListener, GatewayListener):
    """Passes events on to the parts above those that report them, one group of methods for each package.

    Those parts are built later, so ``connect`` comes last. Nothing is reported before the start.
    """

    _claims: PortClaims
    _reconciler: PodDNATReconciler
    _queue: PodDNATQueue
    _drift: DriftDetector
    _lifecycle: LifecycleController
    _locator: PodLocator
    _reminder: Reminder

    def __init__(
        self,
        installation: Installation,
        registry: PortRegistry,
        metrics: Metrics,
        warn_operators: Callable[[str, str], None],
    ) -> None:
        self._installation = installation
        self._registry = registry
        self._metrics = metrics
        self._warn_operators = warn_operators

    def connect(
        self,
        claims: PortClaims,
        reconciler: PodDNATReconciler,
        queue: PodDNATQueue,
        drift: DriftDetector,
        lifecycle: LifecycleController,
        locator: PodLocator,
        reminder: Reminder,
    ) -> None:
        """Name the parts that handle events."""
        self._claims = claims
        self._reconciler = reconciler
        self._queue = queue
        self._drift = drift
        self._lifecycle = lifecycle
        self._locator = locator
        self._reminder = reminder

    # Of the API server

    def poddnat_seen(self, before: Manifest | None, poddnat: Manifest) -> None:
        """Take over a PodDNAT that is new, or differs from before."""
        self._drift.seen(before, poddnat)  # First: what a pod has lost is reserved for it before others may have it.
        self._reconciler.seen(poddnat)
        self._queue.seen(before, poddnat)
        if is_terminating(poddnat):
            self._lifecycle.poddnat_leaving(poddnat)
        if before is None or _asks_for_something_else(before, poddnat):
            self._reminder.changed()
        if not self._installation.is_labelled(poddnat["metadata"]):
            self._lifecycle.resync()

    def poddnat_gone(self, poddnat: Manifest) -> None:
        """Forget a PodDNAT that is no longer there."""
        self._reconciler.gone(poddnat)

    def pod_seen(self, namespace: str, name: str, _uid: str) -> None:
        """Let a pod that is new, or asks for something else, tell for its PodDNAT which ports that may claim."""
        self._claims.pod_seen(namespace, name)

    def pod_gone(self, namespace: str, name: str, uid: str) -> None:
        """Let nothing wait for a pod that has gone, and lead no entries to it: its IP may soon be another pod's."""
        self._registry.pod_gone(uid)
        self._locator.forget(uid)
        self._lifecycle.pod_gone(namespace, name, uid)

    def pod_opted_out(self, namespace: str, name: str, uid: str) -> None:
        """Take back what a pod has that shows nothing of it any more: no hook is called for it."""
        self._lifecycle.pod_opted_out(namespace, name, uid)

    def pod_misspelt(self, pod: Manifest) -> None:
        """Tell a pod for which no hook is called that its annotations have no effect."""
        self._lifecycle.pod_misspelt(pod)

    def pod_heard(self) -> None:
        """Expect a call of a hook, as Metacontroller hears of the same change of a pod."""
        self._reminder.changed()

    # Of the gateways

    def foreign_changed(self, gateway_id: str, entries: Sequence[ForwardEntry]) -> None:
        """Take the ports of these entries, which are not ours, for used."""
        self._registry.foreign_seen(gateway_id, entries)

    def table_listed(self, gateway_id: str) -> None:
        """Look for PodDNATs whose entries somebody has renamed, deleted or changed, in a table that was just listed."""
        self._reconciler.table_listed(gateway_id)
        self._drift.check(gateway_id)

    def fulfilled(self, uids: Collection[str]) -> None:
        """Have it told at once that all entries of these PodDNATs work."""
        self._queue.add(uids)

    def garbage_collected(self, gateway_id: str) -> None:
        """Count a PodDNAT that no longer exists and whose entries are deleted."""
        self._metrics.garbage_collected(gateway_id)

    def orphans_held(self, gateway_id: str, count: int, *, shared: bool) -> None:
        """Warn operators that the entries of PodDNATs that are gone are left to them."""
        if count:
            problem = orphans_left(gateway_id, count, shared=shared)
            self._warn_operators(problem.reason, problem.message)

    def cluster_id_shared(self, gateway_id: str, count: int) -> None:
        """Warn operators that another installation of this cluster names its entries as this one does."""
        problem = cluster_id_shared(gateway_id, count)
        self._warn_operators(problem.reason, problem.message)

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


class Service:
    """What the hooks call, and what runs behind them."""

    def __init__(
        self,
        values: Values,
        client: KubeClient,
        cloud: CloudClient,
        *,
        may_write: Callable[[], bool] = lambda: True,
        values_path: Path | None = None,
        warn_operators: Callable[[str, str], None] = lambda _reason, _message: None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], dt.datetime] = now,
    ) -> None:
        """Build all parts; nothing runs before ``start``.

        ``may_write`` tells whether this process is the active one: others answer no hook and write nothing.
        ``values_path``: the file that the values come from, to follow its changes.
        ``warn_operators`` gets a reason and a sentence about what concerns no pod and no PodDNAT.
        ``clock`` measures spans, in seconds; ``wall_clock`` gives times that others read.
        """
        self._may_write = may_write
        self._cloud = cloud
        self._values_file = ValuesFile(values_path, values, self.apply) if values_path is not None else None
        self.metrics = Metrics()
        cloud.observe(self.metrics.cloud_called)
        self._registry = PortRegistry(values, clock=clock)
        installation = values.installation
        events = _Events(installation, self._registry, self.metrics, warn_operators)

        # The cluster, and where in the VPC its pods are
        self.poddnats = PodDNATInformer(
            client, on_update=events.poddnat_seen, on_delete=events.poddnat_gone, installation=installation
        )
        self._pods = PodInformer(
            client,
            on_delete=events.pod_gone,
            on_opt_out=events.pod_opted_out,
            on_update=events.pod_seen,
            on_misspelt=events.pod_misspelt,
            on_heard=events.pod_heard,
            installation=installation,
        )
        cluster = Cluster(client, self.poddnats, self._pods, installation)
        self.live = LiveReader(client, self.poddnats, self._pods, installation)
        self._namespaces = Namespaces(values, client, clock=clock)
        nodes = Nodes(client, clock=clock)
        self._locator = PodLocator(cloud, nodes.instance_of, clock=clock)

        # The gateways
        ownership = Ownership(values.cluster_id)
        self.fleet = Fleet(values, cloud, ownership, self.poddnats, events, may_write=may_write, clock=clock)

        # Pods
        exposure_timer = ExposureTimer(events, clock=clock)
        retained = RetainedPodDNATs(cluster, wall_clock=wall_clock)
        assignments = Assignments(self.fleet, self._locator, self._registry, exposure_timer)
        refusals = Refusals(clock=clock)
        self.pod_reconciler = PodReconciler(
            cluster, retained, assignments, nodes, self._namespaces, refusals, wall_clock=wall_clock
        )

        # PodDNATs
        self._claims = PortClaims(cluster, self._registry)
        entries = ForwardEntries(self.fleet, ownership, client, may_write=may_write)
        self._authorizer = Authorizer(values, client, self._namespaces, clock=clock)
        self.poddnat_reconciler = PodDNATReconciler(
            cluster,
            self.fleet,
            entries,
            self._claims,
            self._authorizer,
            retained,
            StatusReporter(client, self._registry, exposure_timer, self._locator, entries, wall_clock=wall_clock),
            opt_out=self.pod_reconciler.opt_out,
            wall_clock=wall_clock,
        )

        self.poddnat_queue = PodDNATQueue(cluster, self.poddnat_reconciler, may_write=may_write, clock=clock)

        # What is done without a hook's call
        self._lifecycle = LifecycleController(
            cluster,
            retained,
            self.pod_reconciler,
            self.poddnat_reconciler,
            may_write=may_write,
        )
        self.drift = DriftDetector(
            cluster,
            self.fleet,
            events,
            resync=self.poddnat_queue.add,
            reserve=assignments.reserve,
            may_write=may_write,
            wall_clock=wall_clock,
        )
        self.reminder = Reminder(
            cluster, resync=self.poddnat_queue.add, may_write=may_write, clock=clock, wall_clock=wall_clock
        )

        events.connect(
            self._claims,
            self.poddnat_reconciler,
            self.poddnat_queue,
            self.drift,
            self._lifecycle,
            self._locator,
            self.reminder,
        )
        self.metrics.expect_gateways(values.gateway_ids)
        self.metrics.watch(
            StateGauges(self, self.poddnats, self.fleet, self._registry, refusals, wall_clock=wall_clock)
        )

    @property
    def ready(self) -> bool:
        """Whether hooks may be answered: all PodDNATs and their pods are known, so no port in use is given out."""
        return self._may_write() and self.warm

    @property
    def warm(self) -> bool:
        """Whether this process could be the active one: all PodDNATs have been listed, and the pods that ask."""
        return self.poddnats.has_synced and self._pods.has_synced

    @property
    def values_valid(self) -> bool:
        """Whether the values file as it is now is in force."""
        return self._values_file is None or self._values_file.valid

    def apply(self, values: Values) -> None:
        """Go by other values from now on; clusterID, regionID, vpcID and installation have to be the same."""
        self.metrics.expect_gateways(values.gateway_ids)
        self._cloud.update(values)
        self._registry.update(values)
        for poddnat in self.poddnats.all():  # What is in the pool again counts again.
            self._claims.seen(poddnat)
        self._namespaces.update(values)
        self._authorizer.update(values)
        self.fleet.update(values)
        self.drift.resync_misplaced(self.poddnat_reconciler.is_misplaced)

    def start(self) -> None:
        """Start everything that runs in the background."""
        self.poddnats.start()
        self._pods.start()
        self._lifecycle.start()
        self.poddnat_queue.start()
        self.reminder.start()
        self.fleet.start()
        self._locator.start()
        if self._values_file is not None:
            self._values_file.start()

    def take_over(self) -> None:
        """Become the active one: what another process may have written until a moment ago is read again first."""
        self.poddnats.start()
        self._pods.start()
        self._lifecycle.resync()
        self.fleet.resync()

    def stop(self) -> None:
        """Stop; calls to the cloud that are under way are waited for."""
        if self._values_file is not None:
            self._values_file.stop()
        self.reminder.stop()
        self.poddnat_queue.stop()
        self._lifecycle.stop()
        self._pods.stop()
        self.poddnats.stop()
        self._locator.stop()
        self.fleet.stop()


def _asks_for_something_else(before: Manifest, poddnat: Manifest) -> bool:
    """Whether Metacontroller calls a hook for a change of a PodDNAT: for that of a status alone it does not."""
    old, new = before["metadata"], poddnat["metadata"]
    return old.get("generation") != new.get("generation") or is_terminating(before) != is_terminating(poddnat)
