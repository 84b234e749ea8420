"""What an annotated pod should have: its PodDNAT, and the annotations that report on it.

Called for every event of a pod, often before the last answer took effect, so the same pod always gets the same
answer. Nothing here is exposed: that is the PodDNAT's own sync, which trusts nobody.
"""

import datetime as dt
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cachetools import LRUCache

from poddnat.api import (
    AnnotationError,
    Problem,
    ProblemError,
    ReleaseStrategy,
    annotations,
    controller_of,
    desired_by,
    fixed,
    is_exposed,
    key_of,
    made_by_another,
    not_ready_since,
    observed_condition,
    pod_facts,
    port_list,
    readiness,
    reported,
    status_annotations,
)
from poddnat.controllers.assignment import Assignment, Assignments
from poddnat.controllers.cluster import Cluster
from poddnat.controllers.intervals import (
    NAME_TAKEN_GRACE,
    NAME_TAKEN_RETRY,
    OTHERS_NAME_GRACE,
    POD_LEAVE_RETRY,
    POD_REFUSED_RESYNC,
    POD_WITHOUT_IP_RESYNC,
    REQUEUE_AFTER_ERROR,
    REQUEUE_SOON,
)
from poddnat.controllers.pod_answer import PodAnswer
from poddnat.controllers.poddnat_status import LEAVING
from poddnat.controllers.problems import (
    given_over,
    name_taken_by_others,
    not_adopted,
    not_served,
    on_node_network,
    on_virtual_node,
    refused_by_api_server,
    without_ipv4,
)
from poddnat.controllers.refusals import Refusals
from poddnat.controllers.requeue import RequeueAfter, RequeueError
from poddnat.controllers.retained import RetainedPodDNATs
from poddnat.kube import KubeError
from poddnat.model import Exposure
from poddnat.placement import Namespaces, Nodes
from poddnat.timestamps import now, rfc3339

log = logging.getLogger(__name__)

Manifest = dict[str, Any]

_MOST_BEHIND_OTHERS = 10_000


class PodReconciler:
    """Answers the pod hooks. Safe to use from several threads."""

    def __init__(
        self,
        cluster: Cluster,
        retained: RetainedPodDNATs,
        assignments: Assignments,
        nodes: Nodes,
        namespaces: Namespaces,
        refusals: Refusals,
        *,
        wall_clock: Callable[[], dt.datetime] = now,
    ) -> None:
        """``wall_clock`` is for the times of conditions, and the age of what is in a pod's way."""
        self._cluster = cluster
        self._retained = retained
        self._assignments = assignments
        self._nodes = nodes
        self._namespaces = namespaces
        self._refusals = refusals
        self._wall_clock = wall_clock
        self._installation = cluster.installation
        self._lock = threading.Lock()
        self._behind_others: LRUCache[str, dt.datetime] = LRUCache(_MOST_BEHIND_OTHERS)
        """By uid, pods in whose way another installation's PodDNAT is, and since when."""

    def sync(self, pod: Manifest, observed: Manifest | None = None) -> PodAnswer | RequeueAfter:
        """Tell what a pod should have; ``observed`` is the PodDNAT that it owns.

        Raises:
            KubeError: a retained PodDNAT, or the pod's readiness, could not be written.
        """
        if pod_facts.is_terminating(pod):
            # Its entries stay until it is gone: the PodDNAT goes with it. Metacontroller changes nothing by now.
            self._refusals.answered(pod["metadata"]["uid"], "")
            return PodAnswer(self._as_it_is(observed))
        if not self._installation.serves(pod["metadata"]):
            problem = not_served(pod["metadata"], self._installation)
            self._cluster.client.warn(pod, problem.reason, problem.message)
            return RequeueAfter(problem.retry_after)
        for oddity in annotations.oddities(pod_facts.annotations_of(pod)):
            self._cluster.client.warn(pod, "AnnotationIgnored", oddity)
        try:
            answer = self._answer(pod, observed, self._retained.find(pod))
        except KubeError as error:
            if not error.refused:
                raise
            # What it has is not what was refused.
            had = self._as_it_is(observed)
            if observed is not None and not had:
                return RequeueAfter(REQUEUE_SOON)  # Left out of an answer, it would be deleted.
            answer = replace(self._refused(pod, refused_by_api_server(str(error))), attachments=had)
        except RequeueError:
            return RequeueAfter(REQUEUE_SOON)
        self._refusals.answered(pod["metadata"]["uid"], answer.refused, answer.resync_after)
        return self._with_readiness(pod, answer)

    def _answer(self, pod: Manifest, observed: Manifest | None, retained: Manifest | None) -> PodAnswer:
        try:
            exposure = annotations.parse(pod_facts.annotations_of(pod))
            if exposure is None:
                if (had := observed or retained) is not None:
                    self._assignments.reserve_for_now(pod["metadata"]["uid"], had)
                self._retained.delete(retained)
                return PodAnswer(annotations=status_annotations(pod, None, None), opted_out=True)
            self._check(pod)
            if (ip := pod_facts.address_of(pod)) is not None:
                return self._exposed(pod, ip, exposure, observed, retained)
        except AnnotationError as error:
            self._withhold(pod, observed, retained)
            return self._refused(pod, Problem("InvalidAnnotation", f"{error}.", retry_after=0.0))
        except ProblemError as error:
            self._withhold(pod, observed, retained)
            return self._refused(pod, error.problem)
        annotations_due = status_annotations(pod, None, None)
        if not self._withhold(pod, observed, retained):
            return PodAnswer(annotations=annotations_due)
        # What is reserved here doesn't outlast this process; the PodDNAT does.
        return PodAnswer(self._as_it_is(observed, without_ip=True), annotations_due, POD_WITHOUT_IP_RESYNC)

    def _withhold(self, pod: Manifest, observed: Manifest | None, retained: Manifest | None) -> bool:
        """Give a pod nothing for now, but reserve what it has, or had a moment ago; False: that is nothing."""
        reserved = self._reserve(pod, observed)
        self._retained.suspend(retained)
        if observed is not None and fixed.Fixed.read(observed["metadata"]) is not None:
            raise RequeueError  # Metacontroller deletes what is left out, until it sees that it is no attachment.
        return reserved

    def _reserve(self, pod: Manifest, observed: Manifest | None) -> bool:
        """Reserve what a living pod has, or had a moment ago, while it can't have it; False: that is nothing."""
        return not pod_facts.has_finished(pod) and self._assignments.reserve(pod["metadata"]["uid"], observed)

    def _with_readiness(self, pod: Manifest, answer: PodAnswer) -> PodAnswer:
        """Set the pod's readiness, once its annotations say the same: two writers at once would only collide."""
        if not answer.annotations:
            self._set_readiness(pod, answer)
        return answer

    def _set_readiness(self, pod: Manifest, answer: PodAnswer) -> bool:
        """Let the pod's readiness be what its PodDNAT says, whatever annotations the pod has brought along.

        False: there is nothing to change.
        """
        if not readiness.has_gate(pod):
            return False
        status = readiness.NOT_ASKED if answer.opted_out else pod_facts.annotations_of(pod).get(annotations.STATUS)
        now = rfc3339(self._wall_clock())
        condition = readiness.changed_condition(pod, status, now, exposed=answer.exposed)
        return condition is not None and self._cluster.client.set_pod_condition(pod, condition)

    def opt_out(self, pod: Manifest) -> PodAnswer | RequeueAfter:
        """Take back what a pod was given that no longer asks for anything."""
        metadata = pod["metadata"]
        self._refusals.answered(metadata["uid"], "")
        answer = PodAnswer(annotations=status_annotations(pod, None, None), opted_out=True)
        # First of all: without its annotations, or its PodDNAT, nobody asks about this pod any more.
        has_closed = self._set_readiness(pod, answer)
        if not self._installation.serves(metadata):
            # Before its PodDNAT goes: after that, it is the other installation that tells what the pod has.
            self._cluster.client.show_nothing(pod)
            problem = given_over(metadata)
            self._cluster.client.warn(pod, problem.reason, problem.message)
        known = self._cluster.poddnats.get(metadata["namespace"], metadata["name"])
        if known is not None and (_belongs_to(known, metadata["uid"]) or fixed.belongs_to(known, metadata["uid"])):
            self._assignments.reserve_for_now(metadata["uid"], known)
            try:
                self._cluster.client.delete_poddnat(metadata["namespace"], metadata["name"], known["metadata"]["uid"])
            except KubeError as error:
                log.warning("deleting PodDNAT %s/%s: %s", metadata["namespace"], metadata["name"], error)
                return RequeueAfter(REQUEUE_AFTER_ERROR)
        return RequeueAfter(REQUEUE_SOON) if has_closed else answer

    def _check(self, pod: Manifest) -> None:
        """Refuse pods that may have nothing, or whose address isn't their own in the VPC."""
        if (problem := on_node_network(pod)) is not None:
            raise ProblemError(problem)
        node = pod["spec"].get("nodeName")
        if node and self._nodes.is_virtual(node):
            raise ProblemError(on_virtual_node(node))
        if (problem := self._namespaces.refusal(pod["metadata"]["namespace"])) is not None:
            raise ProblemError(problem)
        if (problem := without_ipv4(pod)) is not None:
            raise ProblemError(problem)

    def _exposed(
        self, pod: Manifest, ip: str, exposure: Exposure, observed: Manifest | None, retained: Manifest | None
    ) -> PodAnswer:
        metadata = pod["metadata"]
        owner = self._retained.owner_for(pod, exposure, retained)
        record = None
        if owner is not None:
            record = fixed.Fixed(owner, ReleaseStrategy(exposure.release), metadata["name"], metadata["uid"])
        elif retained is not None:
            # No longer fixed: the ports go over to a PodDNAT that goes with the pod.
            self._assignments.reserve(metadata["uid"], retained)
            self._retained.delete(retained)
            raise RequeueError
        had = observed if observed is not None else retained
        if had is None:
            self._check_name(metadata)
        attached = retained is None or fixed.is_attached(retained, metadata["uid"])
        if had is not None and pod_facts.is_terminating(had):
            # Somebody has deleted it: it comes back with the same ones.
            self._assignments.reserve(metadata["uid"], had)
            if not attached:
                raise RequeueError
        assigned = self._assign(pod, ip, exposure, had)
        if record is not None and had is not None:
            self._retained.announce_move(pod, had, assigned.poddnat)
        if record is not None and retained is not None and not attached:
            self._retained.hand_over(retained, record, assigned.poddnat)
            raise RequeueError
        attachment = fixed.attachment(
            metadata["namespace"], metadata["name"], assigned.poddnat, record, had, self._installation
        )
        if assigned.problem is not None:
            return replace(self._refused(pod, assigned.problem), attachments=[attachment])
        # Where there is nowhere better to go yet, nothing in the cluster will tell that there is.
        again = POD_LEAVE_RETRY if self._assignments.must_move_from(had) else 0.0
        exposed = is_exposed(assigned.poddnat, had)
        return PodAnswer([attachment], reported(pod, assigned.poddnat, had), again, exposed=exposed)

    def _check_name(self, metadata: Manifest) -> None:
        """Refuse pods whose PodDNAT's name another one has, or let them wait until it has gone."""
        namesake = self._cluster.poddnats.get(metadata["namespace"], metadata["name"])
        if namesake is not None and not _belongs_to(namesake, metadata["uid"]):
            raise self._in_the_way(namesake)
        others = self._cluster.poddnats.of_another(metadata["namespace"], metadata["name"])
        if others is not None:
            raise self._behind(others, metadata["uid"])
        with self._lock:
            self._behind_others.pop(metadata["uid"], None)

    def _behind(self, others: Manifest, pod_uid: str) -> Exception:
        """Say what becomes of a pod in whose way another installation's PodDNAT is: that one has to delete it.

        Those of ACK's controller have no label, so all but the installation without a name take them for such.
        """
        if made_by_another(others["metadata"]):
            return ProblemError(not_adopted(others["metadata"]["name"]))
        present = self._wall_clock()
        with self._lock:
            since = self._behind_others.setdefault(pod_uid, present)
        if (present - since).total_seconds() < OTHERS_NAME_GRACE:
            return RequeueError()
        return ProblemError(name_taken_by_others(others["metadata"]))

    def _assign(self, pod: Manifest, ip: str, exposure: Exposure, observed: Manifest | None) -> Assignment:
        """Assign ports, and tell when they are others than the pod would rather have."""
        assigned = self._assignments.assign(pod, ip, exposure, observed)
        if exposure.prefer_own and (others := [m for m in assigned.poddnat.mappings if m.external != m.internal]):
            given = port_list.brief([f"{mapping.external.shown} for {mapping.item}" for mapping in others], quote="")
            where = f"not free on {assigned.poddnat.external_ip}, or not in the pool"
            text = f"Public ports equal to the pod's own are {where}"
            self._cluster.client.warn(pod, "OtherPorts", f"{text}: it has {given}; nobody has to act.")
        return assigned

    def _in_the_way(self, namesake: Manifest) -> Exception:
        """Say what becomes of a pod whose PodDNAT's name another one has, which is not its own."""
        metadata = namesake["metadata"]
        if made_by_another(metadata):
            return ProblemError(not_adopted(metadata["name"]))
        owner, record = controller_of(metadata), fixed.Fixed.read(metadata)
        if record is None and not metadata.get("ownerReferences") and not pod_facts.is_terminating(namesake):
            # Orphaned, or restored without its owner: it is of this pod's name, and nobody has it.
            log.info("PodDNAT %s: deleted, because no pod owns it, and the pod of its name needs one", key_of(namesake))
            self._cluster.client.delete_poddnat(metadata["namespace"], metadata["name"], metadata["uid"])
            return RequeueError()
        will_go = owner is not None and owner.kind == "Pod"
        if record is not None:  # Whose owner has gone is released before long; else the owner wants a pod of this name.
            will_go = record.release_strategy.follows and not self._is_overdue(record.absent_since)
        if will_go or pod_facts.is_terminating(namesake):
            # That of an earlier pod of this name is still being cleaned up.
            return self._stuck(namesake) or RequeueError()
        whose = "is not this pod's"
        if record is not None:
            whose = f"is kept for {record.owner} (release strategy {record.release_strategy.text})"
        command = f"kubectl delete poddnat -n {metadata['namespace']} {metadata['name']}"
        text = f"PodDNAT {metadata['name']} {whose}; the user has to delete it ({command}), or to rename the pod"
        return ProblemError(Problem("NameTaken", f"{text}.", NAME_TAKEN_RETRY))

    def _stuck(self, namesake: Manifest) -> ProblemError | None:
        """Say why a PodDNAT that should have gone a while ago has not, as far as its status tells."""
        deleted_at, observed = namesake["metadata"].get("deletionTimestamp"), namesake.get("status") or {}
        condition = observed_condition(observed)
        if deleted_at is None or condition is None or condition.ready:
            return None
        # While the hooks were away, nobody has tried: it takes its time from when its status began to say so.
        if not self._is_overdue(max(deleted_at, not_ready_since(observed) or "")):
            return None
        text = f"PodDNAT {namesake['metadata']['name']} of an earlier pod is still being removed"
        again = REQUEUE_SOON if condition.reason == LEAVING.reason else NAME_TAKEN_RETRY
        return ProblemError(Problem(condition.reason, f"{text}: {condition.message}", again))

    def _is_overdue(self, since: str | None) -> bool:
        """Whether a PodDNAT should have gone by now that began to go at this time (RFC 3339), if at all."""
        return since <= rfc3339(self._wall_clock() - dt.timedelta(seconds=NAME_TAKEN_GRACE)) if since else False

    def _refused(self, pod: Manifest, problem: Problem) -> PodAnswer:
        changes = status_annotations(pod, annotations.format_status(problem.reason, problem.message), None)
        if changes:
            log.warning("refused: %s: %s", problem.reason, problem.message)
            self._cluster.client.warn(pod, problem.reason, problem.message)
        return PodAnswer(
            annotations=changes, resync_after=problem.retry_after or POD_REFUSED_RESYNC, refused=problem.reason
        )

    def _as_it_is(self, observed: Manifest | None, *, without_ip: bool = False) -> list[Manifest]:
        """Give what a pod has as what it should have; ``without_ip``: the external side of it."""
        if observed is None or (desired := desired_by(observed)) is None:
            return []
        if without_ip:
            desired = replace(desired, internal_ip="", eni="", vswitch="", zone="")
        metadata = observed["metadata"]
        record, owner = fixed.Fixed.read(metadata), controller_of(metadata)
        if record is not None and owner is not None:
            # An attachment serves the pod that owns it, whatever somebody has written there.
            record = replace(record, pod_uid=owner.uid, absent_since="")
        namespace, name = metadata["namespace"], metadata["name"]
        return [fixed.attachment(namespace, name, desired, record, observed, self._installation)]


def _belongs_to(poddnat: Manifest, pod_uid: str) -> bool:
    owner = controller_of(poddnat["metadata"])
    return owner is not None and owner.uid == pod_uid
