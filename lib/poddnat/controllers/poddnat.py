"""What becomes of a PodDNAT: its forward entries brought to what it asks for, and its status.

Nothing here waits for the cloud. While something is on its way, the answer is "ask again later", which costs no
write; a status is written when there is something lasting to say.
"""

import datetime as dt
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from poddnat.api import (
    Condition,
    Fixed,
    PodDNAT,
    Problem,
    SpecError,
    desired_by,
    fixed,
    is_ready,
    is_terminating,
    made_by_another,
    parse_spec,
    pod_uid_of,
    preserved_status,
    ready_since,
    spec_of,
)
from poddnat.controllers.authorization import Authorizer, Verdict, check_pod
from poddnat.controllers.cluster import Cluster
from poddnat.controllers.forward_entries import ForwardEntries
from poddnat.controllers.intervals import PROBATION, REQUEUE_SOON
from poddnat.controllers.poddnat_status import LEAVING, WITHOUT_IP, PodDNATAnswer, StatusReporter
from poddnat.controllers.port_claims import PortClaims
from poddnat.controllers.problems import entry_left, not_adopted
from poddnat.controllers.requeue import RequeueAfter
from poddnat.controllers.retained import ReleaseDue, RetainedPodDNATs
from poddnat.gateway import (
    Blocked,
    Fleet,
    GatewayDriver,
    Progress,
    Waiting,
    address_left,
    gateway_missing,
)
from poddnat.kube import KubeError
from poddnat.timestamps import now, rfc3339

log = logging.getLogger(__name__)

Manifest = dict[str, Any]
Answer = PodDNATAnswer | RequeueAfter

_POD_HAS_THAT_ADDRESS = frozenset({Verdict.ALLOWED, Verdict.LEAVING, Verdict.OPTED_OUT})


@dataclass(frozen=True)
class _Sync:
    """One PodDNAT at one sync, for the steps of it."""

    poddnat: Manifest
    desired: PodDNAT
    fixed: Fixed | None
    gateway: GatewayDriver | None
    verdict: Verdict | Problem | None = None
    """What its pod says of it; None: not asked yet."""

    @property
    def metadata(self) -> Manifest:
        found: Manifest = self.poddnat["metadata"]
        return found


_Step = Callable[[_Sync], Answer | None]
"""Gives the answer where the sync ends with this step; None: on to the next one."""


def _first(sync: _Sync, *steps: _Step) -> Answer | None:
    return next((answer for step in steps if (answer := step(sync)) is not None), None)


class PodDNATReconciler:
    """Answers the PodDNAT hooks. Safe to use from several threads."""

    def __init__(
        self,
        cluster: Cluster,
        fleet: Fleet,
        entries: ForwardEntries,
        claims: PortClaims,
        authorizer: Authorizer,
        retained: RetainedPodDNATs,
        reporter: StatusReporter,
        *,
        opt_out: Callable[[Manifest], object],
        wall_clock: Callable[[], dt.datetime] = now,
    ) -> None:
        """``opt_out`` takes back what a pod has that asks for nothing; ``wall_clock``: how long one has been Ready."""
        self._cluster = cluster
        self._fleet = fleet
        self._entries = entries
        self._claims = claims
        self._authorizer = authorizer
        self._retained = retained
        self._reporter = reporter
        self._opt_out = opt_out
        self._wall_clock = wall_clock

    def sync(self, poddnat: Manifest) -> Answer:
        """Bring a PodDNAT's entries to what it asks for, as far as it may, and tell how far that is.

        Raises:
            KubeError: the API server could not be asked about the pod.
        """
        with self._unless_gone(poddnat):
            return self._sync(poddnat)

    @contextmanager
    def _unless_gone(self, poddnat: Manifest) -> Iterator[None]:
        """See that nothing is left of a PodDNAT that went while a hook was called for it.

        What was taken back when the watch told of its end has come again since, and nobody would tell of its end anew.
        """
        try:
            yield
        finally:
            if self._cluster.poddnats.was_deleted(poddnat["metadata"]["uid"]):
                self.gone(poddnat)

    def _sync(self, poddnat: Manifest) -> Answer:
        if made_by_another(poddnat["metadata"]):
            # Anybody may have taken our mark off it, so nothing of ours stays behind it.
            self._entries.withdraw(poddnat)
            return self._reporter.left_alone(poddnat, not_adopted(poddnat["metadata"]["name"]))
        if is_terminating(poddnat):
            # Somebody's finalizer holds it though ours has gone: nobody would tell when its pod goes.
            self._entries.withdraw(poddnat)
            return self._reporter.reported(poddnat, (), LEAVING)
        record = Fixed.read(poddnat["metadata"])
        try:
            desired = parse_spec(spec_of(poddnat), absent=True)
        except SpecError as error:
            return self._refuse_spec(poddnat, error)
        self._claims.seen(poddnat)
        sync = _Sync(poddnat, desired, record, self._fleet.get(desired.gateway_id))
        unasked = (self._pod_away, self._leave_other_gateways, self._misplaced, self._at_rest)
        if (answer := _first(sync, *unasked)) is not None:
            return answer
        asked = replace(sync, verdict=self._authorizer.check(sync.metadata, desired))
        permitted = (self._not_permitted, self._opted_out, self._pod_just_went, self._pod_without_ip)
        steps = (*permitted, self._not_tied, self._table_unknown)
        return _first(asked, *steps) or self._bring_about(asked)

    def _refuse_spec(self, poddnat: Manifest, error: SpecError) -> Answer:
        if (later := self._table_awaited(poddnat)) is not None:
            return later
        self._entries.withdraw(poddnat)
        act = "the user has to correct or delete this PodDNAT"
        return self._reporter.blocked(poddnat, Problem("InvalidSpec", f"{error}; {act}."))

    # The steps, in their order.

    def _pod_away(self, sync: _Sync) -> Answer | None:
        """Tell of a fixed pod that is away, or release what was retained for it.

        Anybody who may write PodDNATs may make one that calls itself fixed, and no pod tells otherwise: so the values
        limit what is retained.
        """
        if sync.fixed is None or sync.desired.internal_ip:
            return None
        self._entries.withdraw(sync.poddnat)
        if self._retained.tie_to_owner(sync.poddnat, sync.fixed):
            return RequeueAfter(REQUEUE_SOON)
        absence = self._retained.check_absence(sync.poddnat, sync.fixed)
        if isinstance(absence, ReleaseDue):
            self._retained.release(sync.poddnat, absence.message)
            return RequeueAfter(REQUEUE_SOON)
        self._claims.allowed(sync.poddnat, sync.desired)  # There may be ports left by now.
        denied = self._authorizer.denied_by_values(sync.metadata, sync.desired)
        if (problem := denied or self._claims.exceeded_limit(sync.poddnat)) is not None:
            self._claims.refused(sync.poddnat, sync.desired)
            return self._reporter.blocked(sync.poddnat, problem)
        condition = Condition(ready=False, reason="PodAway", message=absence.message)
        return self._reporter.reported(sync.poddnat, (), condition, resync_after=absence.resync_after)

    def _leave_other_gateways(self, sync: _Sync) -> None:
        self._entries.leave_others(sync.poddnat, sync.desired.gateway_id)

    def _misplaced(self, sync: _Sync) -> Answer | None:
        if (problem := self._authorizer.denied_by_values(sync.metadata, sync.desired)) is not None:
            return self._refuse(sync, problem)
        gateway_id, external_ip = sync.desired.gateway_id, sync.desired.external_ip
        if not self._fleet.serves(gateway_id, external_ip):
            return self._reporter.blocked(sync.poddnat, address_left(gateway_id, external_ip))
        return None

    def _at_rest(self, sync: _Sync) -> Answer | None:
        """Leave a PodDNAT alone whose entries work, and whose pod need not be asked again.

        From the moment that a pod shows its result, its opting out is noticed by that. Before, only asking tells. A
        status may be forged, so this process must have asked the same pod about the same once.
        """
        if sync.gateway is None or not self._fleet.exists(sync.desired.gateway_id):
            return None
        if not self._authorizer.has_allowed(sync.metadata, sync.desired):
            return None
        if sync.fixed is not None and not self._cluster.pods.is_alive(sync.fixed.pod_uid):
            return None
        if sync.fixed is not None and not fixed.outlives_its_pod(sync.poddnat):
            return None
        if self._cluster.pods.has_opted_out(pod_uid_of(sync.metadata)):
            return None  # Its own hook notices that only where it still shows the result.
        since = ready_since(sync.poddnat.get("status") or {})
        if since is None or since >= rfc3339(self._wall_clock() - dt.timedelta(seconds=PROBATION)):
            return None
        done = sync.gateway.working(self._entries.own(sync.poddnat), sync.desired.rules)
        return None if done is None else self._report(sync, done)

    def _not_permitted(self, sync: _Sync) -> Answer | None:
        if isinstance(sync.verdict, Problem):
            return self._refuse(sync, sync.verdict)
        if sync.verdict in {Verdict.ALLOWED, Verdict.LEAVING}:
            self._claims.allowed(sync.poddnat, sync.desired)
        return None

    def _opted_out(self, sync: _Sync) -> Answer | None:
        if sync.verdict is not Verdict.OPTED_OUT:
            return None
        metadata = sync.metadata
        pod = self._cluster.client.pod(metadata["namespace"], metadata["name"])
        installation = self._cluster.installation
        if pod is not None and check_pod(pod, sync.desired, installation) is not Verdict.OPTED_OUT:
            self._authorizer.forget(metadata["uid"])  # It asks again since.
            return RequeueAfter(REQUEUE_SOON)
        text = f"This PodDNAT is deleted, because its pod {metadata['name']} asks for no public ports"
        if pod is not None and not installation.serves(pod["metadata"]):
            text = f"{text} of {installation} any more"
        self._cluster.client.warn(sync.poddnat, "NotAllowed", f"{text}; the user has to annotate the pod to get some.")
        if pod is not None and pod["metadata"]["uid"] == pod_uid_of(metadata):
            self._opt_out(pod)  # No hook is called for one that has lost all annotations of ours.
        self._cluster.client.delete_poddnat(metadata["namespace"], metadata["name"], metadata["uid"])
        return RequeueAfter(REQUEUE_SOON)

    def _pod_just_went(self, sync: _Sync) -> Answer | None:
        if sync.verdict is not Verdict.AWAY or sync.fixed is None:
            return None
        self.withdraw(sync.poddnat)
        self._retained.show_away(sync.poddnat, sync.fixed.pod_uid)
        self._retained.suspend(sync.poddnat)
        if self._cluster.pods.is_alive(sync.fixed.pod_uid):
            # It had no IP just now, and may have one by now: this is its attachment no longer, so nobody would tell.
            namespace, name = sync.metadata["namespace"], sync.metadata["name"]
            self._cluster.client.trigger_pod_resync(namespace, name, rfc3339(self._wall_clock()))
        return RequeueAfter(REQUEUE_SOON)

    def _not_tied(self, sync: _Sync) -> Answer | None:
        """Let nobody reach a fixed pod at a public address that would be lost with it."""
        tied = sync.fixed is None or self._retained.let_outlive(sync.poddnat)
        return None if tied else RequeueAfter(REQUEUE_SOON)

    def _pod_without_ip(self, sync: _Sync) -> Answer | None:
        """Retain the external side for a pod that has lost its IP for a moment; nothing is exposed meanwhile."""
        if sync.desired.internal_ip:
            return None
        self._entries.withdraw(sync.poddnat)
        if sync.gateway is not None and not sync.gateway.loaded:
            return RequeueAfter(REQUEUE_SOON)  # What the table is going to show has to be withdrawn, too.
        return self._reporter.reported(sync.poddnat, (), WITHOUT_IP)

    def _table_unknown(self, sync: _Sync) -> Answer | None:
        """Leave a status as it is just after the start: until the table is seen, nothing is known against it."""
        loaded = sync.gateway is not None and sync.gateway.loaded
        if loaded or not self._fleet.exists(sync.desired.gateway_id) or not is_ready(sync.poddnat):
            return None
        return self._left_as_it_is(sync.poddnat)

    def _bring_about(self, sync: _Sync) -> Answer:
        """Ask the gateway for the entries, and tell how far it is."""
        desired, poddnat = sync.desired, sync.poddnat
        problem = self._fleet.problem(desired.gateway_id)
        if sync.gateway is None or problem is not None:
            return self._reporter.blocked(poddnat, problem or gateway_missing(desired.gateway_id))
        own_entries = self._entries.confirmed_by_pod(poddnat)
        present = {entry.rule for entry in sync.gateway.entries_of(own_entries)}
        rules = desired.rules
        if sync.verdict is Verdict.LEAVING:
            rules = tuple(rule for rule in rules if rule in present)
        if not present.issuperset(rules) and (conflict := self._claims.conflict(poddnat, desired)) is not None:
            return self._reporter.blocked(poddnat, conflict)
        progress = sync.gateway.set_desired(own_entries, rules)
        if sync.fixed is not None and self._cluster.pods.was_deleted(sync.fixed.pod_uid):
            # It went after it was asked: what the watch took back then must not come again.
            self._entries.withdraw(poddnat)
            return RequeueAfter(REQUEUE_SOON)
        return self._report(sync, progress)

    # What several steps do.

    def _refuse(self, sync: _Sync, problem: Problem) -> Answer:
        """Take away what a PodDNAT may not have, and let others have the ports that it named."""
        if (later := self._table_awaited(sync.poddnat)) is not None:
            return later
        self._recognize(sync.poddnat)
        self._entries.withdraw(sync.poddnat)
        if sync.fixed is None:
            self._claims.refused(sync.poddnat, sync.desired)
        return self._reporter.blocked(sync.poddnat, problem)

    def _table_awaited(self, poddnat: Manifest) -> Answer | None:
        """Leave a PodDNAT as it is until the table shows which entries it has; None: that is known."""
        return self._left_as_it_is(poddnat) if self._entries.await_table(poddnat) else None

    def _left_as_it_is(self, poddnat: Manifest) -> Answer:
        problem = self._fleet.problem(str(spec_of(poddnat).get("tableId", "")))
        if problem is None:
            return RequeueAfter(REQUEUE_SOON)
        return PodDNATAnswer(preserved_status(poddnat.get("status") or {}), resync_after=problem.retry_after)

    def _report(self, sync: _Sync, progress: Progress) -> Answer:
        self._entries.saw_working(sync.poddnat, progress.entries)
        if isinstance(progress, Blocked):
            self._claims.taken(sync.desired.gateway_id, progress.taken)
        return self._reporter.progress_of(sync.poddnat, sync.desired.working(progress.entries), progress)

    # What else becomes of PodDNATs.

    def seen(self, poddnat: Manifest) -> None:
        """Let a PodDNAT that is new or has changed claim its ports, as far as it may have them."""
        self._claims.seen(poddnat)
        self._claim_by_entries(poddnat)

    def _claim_by_entries(self, poddnat: Manifest) -> None:
        gateway = self._fleet.get(str(spec_of(poddnat).get("tableId", "")))
        if gateway is not None and not made_by_another(poddnat["metadata"]):
            self._claims.entries_seen(poddnat, gateway.gateway_id, gateway.entries_of(self._entries.own(poddnat)))

    def is_misplaced(self, poddnat: Manifest) -> bool:
        """Whether a PodDNAT is where it may not, or should not, stay.

        Raises:
            KubeError: the API server did not tell the namespace's labels.
        """
        desired = desired_by(poddnat)
        if desired is None:
            return False
        denied = self._authorizer.denied_by_values(poddnat["metadata"], desired)
        there = self._fleet.exists(desired.gateway_id) and self._fleet.serves(desired.gateway_id, desired.external_ip)
        return denied is not None or not there or self._authorizer.is_draining(desired.external_ip)

    def table_listed(self, gateway_id: str) -> None:
        """Find out whose entries are those that somebody has renamed, in a table that was just listed."""
        for poddnat in self._cluster.poddnats.all():
            if spec_of(poddnat).get("tableId") == gateway_id:
                try:
                    with self._unless_gone(poddnat):
                        self._recognize(poddnat)
                except KubeError as error:
                    log.warning("the API server can't be asked whose entries on %s are: %s", gateway_id, error)
                    return

    def _recognize(self, poddnat: Manifest) -> None:
        """Find out whether entries that a PodDNAT's status names are its own though their names don't say so.

        Its pod tells, and is asked only where there are such entries; once it has gone, nothing could tell.
        """
        self._claim_by_entries(poddnat)
        if not self._entries.unproven(poddnat) or (desired := desired_by(poddnat)) is None:
            return
        # A pod that no longer asks for anything has that address all the same.
        if self._authorizer.check(poddnat["metadata"], desired) in _POD_HAS_THAT_ADDRESS:
            self._entries.confirmed_by_pod(poddnat)

    def finalize(self, poddnat: Manifest) -> Answer:
        """Take a PodDNAT's entries off the cloud; finalized once a listing shows none.

        Raises:
            KubeError: the API server could not be asked about the pod.
        """
        with self._unless_gone(poddnat):
            return self._finalize(poddnat)

    def _finalize(self, poddnat: Manifest) -> Answer:
        self._recognize(poddnat)
        finalized = PodDNATAnswer(preserved_status(poddnat.get("status") or {}), finalized=True)
        if made_by_another(poddnat["metadata"]) and not self._entries.has_any(poddnat):
            return finalized
        self._authorizer.forget(poddnat["metadata"]["uid"])
        outcomes = self._entries.release(poddnat)
        problem = next((outcome.problem for outcome in outcomes if isinstance(outcome, Blocked)), None)
        waits = [outcome.seconds for outcome in outcomes if isinstance(outcome, Waiting)]
        if problem is None and not waits and self._entries.await_table(poddnat):
            waits = [REQUEUE_SOON]  # By their name none is left, but there may be some without.
        if problem is None and not waits:
            for entry in self._entries.unproven(poddnat):
                left = entry_left(str(spec_of(poddnat).get("tableId")), entry)
                self._cluster.client.warn(poddnat, left.reason, left.message)
            return finalized
        return self._reporter.releasing(poddnat, problem=problem, resync_after=max(waits, default=0.0))

    def release(self, poddnat: Manifest) -> bool:
        """Begin to take the entries of a PodDNAT that is being deleted off the cloud; False: not known yet which."""
        self._authorizer.forget(poddnat["metadata"]["uid"])
        if self._entries.has_any(poddnat):  # else its finalize hook may have seen to that already
            self._entries.release(poddnat)
            return True
        return not self._entries.await_table(poddnat)

    def withdraw(self, poddnat: Manifest) -> None:
        """Take a PodDNAT's entries away, because its pod has gone."""
        self._authorizer.forget(poddnat["metadata"]["uid"])
        self._entries.withdraw(poddnat)

    def gone(self, poddnat: Manifest) -> None:
        """Note that a PodDNAT has gone, perhaps without a finalize call."""
        self._authorizer.forget(poddnat["metadata"]["uid"])
        self._entries.orphan(poddnat)
        self._claims.gone(poddnat)
        self._reporter.gone(poddnat)
