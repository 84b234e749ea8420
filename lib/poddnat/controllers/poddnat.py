"""What becomes of a PodDNAT: its forward entries brought to what it asks for, and its status.

Nothing here waits for the cloud. While something is on its way, the answer is "ask again later", which costs no
write; a status is written when there is something lasting to say.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from poddnat.api import (
    Condition,
    Fixed,
    PodDNAT,
    Problem,
    SpecError,
    belongs_to_ack,
    desired_by,
    is_ready,
    is_terminating,
    parse_spec,
    pod_uid_of,
    ready_since,
    spec_of,
    working_ports,
)
from poddnat.controllers.authorization import Authorizer, Verdict
from poddnat.controllers.exposure_timer import ExposureTimer
from poddnat.controllers.fixed.absence import AbsentPods, Over
from poddnat.controllers.ownership_evidence import OwnershipEvidence
from poddnat.controllers.poddnat_status import LEAVING, REST_SECONDS, PodDNATAnswer, Reporter, requeue_after
from poddnat.controllers.problems import claimed_earlier, not_adopted
from poddnat.controllers.requeue import RequeueAfter
from poddnat.gateway import (
    Blocked,
    Fleet,
    GatewayDriver,
    Holdings,
    OwnEntries,
    Progress,
    Waiting,
    address_left,
    gateway_missing,
)
from poddnat.kube import KubeClient, PodDNATInformer
from poddnat.ports import PortRegistry
from poddnat.timestamps import now, rfc3339

Manifest = dict[str, Any]

_PROBATION = dt.timedelta(seconds=2 * REST_SECONDS)

_PODS_OWN_WORD = frozenset({Verdict.ALLOWED, Verdict.LEAVING, Verdict.OPTED_OUT})


class PodDNATReconciler:
    """Answers the PodDNAT hooks. Safe to use from several threads."""

    def __init__(
        self,
        evidence: OwnershipEvidence,
        cluster: KubeClient,
        poddnats: PodDNATInformer,
        fleet: Fleet,
        registry: PortRegistry,
        authorizer: Authorizer,
        absences: AbsentPods,
        exposure_timer: ExposureTimer,
        reporter: Reporter,
        *,
        on_spoilt: Callable[[Manifest], None] = lambda _poddnat: None,
        wall_clock: Callable[[], dt.datetime] = now,
    ) -> None:
        """``on_spoilt`` gets each PodDNAT that asks for what it may not have; ``wall_clock`` is the wall clock."""
        self._evidence = evidence
        self._cluster = cluster
        self._poddnats = poddnats
        self._fleet = fleet
        self._holdings = Holdings(fleet)
        self._registry = registry
        self._authorizer = authorizer
        self._absences = absences
        self._exposure_timer = exposure_timer
        self._reporter = reporter
        self._on_spoilt = on_spoilt
        self._wall_clock = wall_clock

    def sync(self, parent: Manifest) -> PodDNATAnswer | RequeueAfter:
        """Bring a PodDNAT's entries to what it asks for, as far as it may, and tell how far that is.

        Raises:
            ClusterError: the API server could not be asked about the pod.
        """
        with self._unless_gone(parent):
            return self._sync(parent)

    @contextmanager
    def _unless_gone(self, parent: Manifest) -> Iterator[None]:
        """See that nothing is left of a PodDNAT that went while a hook was called for it.

        What was taken back when the watch told of its end has come again since, and nobody would tell of its end anew.
        """
        try:
            yield
        finally:
            if self._poddnats.was_deleted(parent["metadata"]["uid"]):
                self.gone(parent)

    def _sync(self, parent: Manifest) -> PodDNATAnswer | RequeueAfter:
        mine = self._evidence.mine(parent)
        if belongs_to_ack(parent["metadata"]):
            # Anybody may have put that finalizer there, so nothing of ours stays behind it.
            self._holdings.withdraw(mine)
            self.seen(parent)
            told = working_ports(parent.get("status") or {})
            return self._reporter.blocked(parent, not_adopted(parent["metadata"]["name"]), told)
        if is_terminating(parent):
            # Somebody's finalizer holds it though ours has gone: nobody would tell when its pod goes.
            self._holdings.withdraw(mine)
            return self._reporter.reported(parent, (), LEAVING)
        fixed = Fixed.read(parent["metadata"])
        try:
            wanted = parse_spec(spec_of(parent), absent=fixed is not None)
        except SpecError as error:
            self._holdings.withdraw(mine)
            self._on_spoilt(parent)
            act = "the user has to correct or delete this PodDNAT"
            return self._reporter.blocked(parent, Problem("InvalidSpec", f"{error}; {act}."))
        self.seen(parent)
        if fixed is not None and not wanted.internal_ip:
            return self._away(parent, mine, wanted, fixed)
        self._holdings.leave_others(mine, wanted.gateway_id)
        if (misplaced := self._misplaced(parent, mine, wanted)) is not None:
            return misplaced
        gateway = self._fleet.get(wanted.gateway_id)
        if gateway is not None and self._fleet.exists(wanted.gateway_id) and self._may_rest(parent, wanted, fixed):
            done = gateway.working(mine, wanted.rules)
            if done is not None:
                return self._told(parent, wanted, done)
        return self._permitted(parent, mine, wanted, fixed, gateway)

    def _permitted(
        self, parent: Manifest, mine: OwnEntries, wanted: PodDNAT, fixed: Fixed | None, gateway: GatewayDriver | None
    ) -> PodDNATAnswer | RequeueAfter:
        """Ask for the entries, as far as the pod itself wants them."""
        verdict = self._authorizer.check(parent["metadata"], wanted)
        if isinstance(verdict, Problem):
            return self._refused(parent, mine, wanted, verdict)
        self._allowed(parent)
        if verdict is Verdict.OPTED_OUT:
            metadata = parent["metadata"]
            text = f"This PodDNAT is deleted, because its pod {metadata['name']} asks for no public ports"
            self._cluster.warn(parent, "NotAllowed", f"{text}; the user has to annotate the pod to get some.")
            self._cluster.delete_poddnat(metadata["namespace"], metadata["name"], metadata["uid"])
            return RequeueAfter(1.0)
        if verdict is Verdict.AWAY and fixed is not None:
            self._holdings.withdraw(mine)
            self._absences.park(parent, fixed)
            return RequeueAfter(1.0)
        problem = self._fleet.problem(wanted.gateway_id)
        seen = gateway is not None and gateway.loaded
        if not seen and self._fleet.exists(wanted.gateway_id) and is_ready(parent):
            # Just started: until the table is seen, nothing is known that would make the status untrue.
            return PodDNATAnswer(parent["status"], resync_after=problem.retry_after) if problem else RequeueAfter(1.0)
        if gateway is None or problem is not None:
            return self._reporter.blocked(parent, problem or gateway_missing(wanted.gateway_id))
        mine = self._evidence.pod_has_confirmed(parent, wanted, gateway)
        rules = wanted.rules
        present = {entry.rule for entry in gateway.entries_of(mine)}
        if verdict is Verdict.LEAVING:
            rules = tuple(rule for rule in rules if rule in present)
        if (
            not present.issuperset(rules)
            and (earlier_claimant := self._registry.earlier_claimant(mine.uid)) is not None
        ):
            return self._reporter.blocked(parent, claimed_earlier(wanted.external_ip, earlier_claimant))
        progress = gateway.ensure(mine, rules)
        if fixed is not None and self._absences.pods.was_deleted(fixed.pod_uid):
            # It went after it was asked: what the watch took back then must not come again.
            self._holdings.withdraw(mine)
            return RequeueAfter(1.0)
        return self._told(parent, wanted, progress)

    def _misplaced(self, parent: Manifest, mine: OwnEntries, wanted: PodDNAT) -> PodDNATAnswer | None:
        """Tell what is wrong with where a PodDNAT is; None: nothing."""
        outside = self._authorizer.outside(parent["metadata"], wanted)
        if outside is not None:
            return self._refused(parent, mine, wanted, outside)
        if not self._fleet.serves(wanted.gateway_id, wanted.external_ip):
            return self._reporter.blocked(parent, address_left(wanted.gateway_id, wanted.external_ip))
        return None

    def is_misplaced(self, parent: Manifest) -> bool:
        """Whether a PodDNAT is where it may not, or should not, stay.

        Raises:
            ClusterError: the API server did not tell the namespace's labels.
        """
        wanted = desired_by(parent)
        if wanted is None:
            return False
        outside = self._authorizer.outside(parent["metadata"], wanted)
        there = self._fleet.exists(wanted.gateway_id) and self._fleet.serves(wanted.gateway_id, wanted.external_ip)
        return outside is not None or not there or self._registry.is_draining(wanted.external_ip)

    def _refused(self, parent: Manifest, mine: OwnEntries, wanted: PodDNAT, why: Problem) -> PodDNATAnswer:
        """Take away what a PodDNAT may not have, and let others have the ports that it named."""
        self._holdings.withdraw(mine)
        if Fixed.read(parent["metadata"]) is None:
            self._registry.poddnat_refused(mine.uid, wanted)
        self._on_spoilt(parent)
        return self._reporter.blocked(parent, why)

    def _allowed(self, parent: Manifest) -> None:
        self._registry.poddnat_allowed(parent["metadata"]["uid"])
        self.seen(parent)

    def recognize(self, parent: Manifest) -> None:
        """Find out whether entries that a PodDNAT's status names are its own though their names don't say so.

        Its pod tells, and is asked only where there are such entries; once it has gone, nothing could tell.

        Raises:
            ClusterError: the API server could not be asked about the pod.
        """
        wanted = None if belongs_to_ack(parent["metadata"]) else desired_by(parent)
        gateway = self._fleet.get(wanted.gateway_id) if wanted is not None else None
        if wanted is None or gateway is None or not self._evidence.unproven(parent, wanted, gateway):
            return
        # A pod that no longer asks for anything has that address all the same.
        if self._authorizer.check(parent["metadata"], wanted) in _PODS_OWN_WORD:
            self._evidence.pod_has_confirmed(parent, wanted, gateway)

    def finalize(self, parent: Manifest) -> PodDNATAnswer | RequeueAfter:
        """Take a PodDNAT's entries off the cloud; finalized once a listing shows none.

        Raises:
            ClusterError: the API server could not be asked about the pod.
        """
        with self._unless_gone(parent):
            return self._finalize(parent)

    def _finalize(self, parent: Manifest) -> PodDNATAnswer | RequeueAfter:
        self.recognize(parent)
        mine = self._evidence.mine(parent)
        if belongs_to_ack(parent["metadata"]) and not self._holdings.has_any(mine):
            return PodDNATAnswer(parent.get("status") or {}, finalized=True)
        self._authorizer.forget(mine.uid)
        outcomes = self._holdings.release(mine, spec_of(parent).get("tableId"))
        for outcome in outcomes:
            if isinstance(outcome, Blocked):
                wanted = desired_by(parent)
                working = wanted.working(outcome.entries) if wanted is not None else ()
                return self._reporter.blocked(parent, outcome.problem, working)
        waits = [outcome.seconds for outcome in outcomes if isinstance(outcome, Waiting)]
        if waits:
            return requeue_after(max(waits))
        return PodDNATAnswer(parent.get("status") or {}, finalized=True)

    def seen(self, parent: Manifest) -> None:
        """Note an existing PodDNAT's external side, so that nobody else is given it."""
        wanted, metadata = desired_by(parent), parent["metadata"]
        if wanted is not None:
            pod_uid, namespace = pod_uid_of(metadata), metadata["namespace"]
            self._registry.poddnat_seen(metadata["uid"], pod_uid, wanted, namespace=namespace)

    def withdraw(self, parent: Manifest) -> None:
        """Take a PodDNAT's entries away, because its pod has gone."""
        self._authorizer.forget(parent["metadata"]["uid"])
        self._holdings.withdraw(self._evidence.mine(parent))

    def gone(self, parent: Manifest) -> None:
        """Note that a PodDNAT has gone, perhaps without a finalize call."""
        uid = parent["metadata"]["uid"]
        self._authorizer.forget(uid)
        self._holdings.orphan(self._evidence.mine(parent))
        self._evidence.forget(uid)
        self._registry.poddnat_gone(uid)
        self._exposure_timer.forget(pod_uid_of(parent["metadata"]))

    def _away(self, parent: Manifest, mine: OwnEntries, wanted: PodDNAT, fixed: Fixed) -> PodDNATAnswer | RequeueAfter:
        """Tell of a fixed pod that is away, or release what was kept for it.

        Anybody who may write PodDNATs may make one that calls itself fixed, and no pod tells otherwise: so the values
        limit what is kept.
        """
        self._holdings.withdraw(mine)
        judged = self._absences.judge(parent, fixed)
        if isinstance(judged, Over):
            self._absences.release(parent, judged.message)
            return RequeueAfter(1.0)
        self._allowed(parent)  # There may be room by now.
        why = self._authorizer.outside(parent["metadata"], wanted) or self._registry.exceeded_limit(mine.uid)
        if why is not None:
            self._registry.poddnat_refused(mine.uid, wanted)
            return self._reporter.blocked(parent, why)
        condition = Condition(ready=False, reason="PodAway", message=judged.message)
        return self._reporter.reported(parent, (), condition, resync_after=judged.ask_again)

    def _may_rest(self, parent: Manifest, wanted: PodDNAT, fixed: Fixed | None) -> bool:
        """Whether its pod need not be asked again while its entries work.

        From the moment that a pod shows its result, its opting out is noticed by that. Before, only asking tells. A
        status may be forged, so this process must have asked the same pod about the same once.
        """
        if not self._authorizer.has_allowed(parent["metadata"], wanted):
            return False
        if fixed is not None and not self._absences.pods.is_alive(fixed.pod_uid):
            return False
        since = ready_since(parent.get("status") or {})
        return since is not None and since < rfc3339(self._wall_clock() - _PROBATION)

    def _told(self, parent: Manifest, wanted: PodDNAT, progress: Progress) -> PodDNATAnswer | RequeueAfter:
        self._evidence.saw_working(parent, progress.entries)
        return self._reporter.of(parent, wanted.working(progress.entries), progress)
