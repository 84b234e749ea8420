"""A PodDNAT's status, and what else comes of a change of it: an event, a line in the log, the end of a wait."""

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from poddnat.api import (
    Condition,
    Problem,
    key_of,
    left_alone_status,
    observed_condition,
    pod_uid_of,
    preserved_status,
    releasing_status,
    status,
)
from poddnat.controllers.exposure_timer import ExposureTimer
from poddnat.controllers.forward_entries import ForwardEntries
from poddnat.controllers.intervals import RESYNC
from poddnat.controllers.requeue import RequeueAfter, requeue_after
from poddnat.gateway import Blocked, Done, Progress, Waiting
from poddnat.kube import KubeClient
from poddnat.model import WorkingPort
from poddnat.placement import PodLocator
from poddnat.ports import PortRegistry
from poddnat.timestamps import now, rfc3339

log = logging.getLogger(__name__)

Manifest = dict[str, Any]

_BY_ZONE = (
    " The gateway was chosen by its zone, as the RAM policy doesn't allow to read routes (DescribeRouteTableList,"
    " DescribeRouteEntryList): unless the pod's default route leads to it, no connection comes about."
)
LEAVING = Condition(ready=False, reason="Leaving", message="The pod is terminating; nothing new is exposed.")
WITHOUT_IP = Condition(
    ready=False,
    reason="PodWithoutIP",
    message="The pod has no IP, or had none a moment ago; its public ports are kept for it.",
)
_RELEASING = Condition(
    ready=False, reason="Leaving", message="Its forward entries are being deleted; nobody has to act."
)
_UPDATING = Condition(ready=False, reason="Updating", message="Forward entries are being brought up to date.")


@dataclass(frozen=True)
class PodDNATAnswer:
    """A PodDNAT's whole status, and when to ask again although nothing has changed in the cluster."""

    status: Manifest
    resync_after: float = RESYNC
    finalized: bool = False


class StatusReporter:
    """Writes the statuses of PodDNATs. Safe to use from several threads."""

    def __init__(
        self,
        client: KubeClient,
        registry: PortRegistry,
        exposure_timer: ExposureTimer,
        locator: PodLocator,
        entries: ForwardEntries,
        *,
        wall_clock: Callable[[], dt.datetime] = now,
    ) -> None:
        """``wall_clock`` is for the times of conditions."""
        self._client = client
        self._registry = registry
        self._exposure_timer = exposure_timer
        self._locator = locator
        self._entries = entries
        self._wall_clock = wall_clock

    def progress_of(
        self, poddnat: Manifest, working: Sequence[WorkingPort], progress: Progress
    ) -> PodDNATAnswer | RequeueAfter:
        """Tell how far a PodDNAT is; what is on its way to where nothing was before is not worth a write."""
        match progress:
            case Done():
                return self._done(poddnat, working)
            case Blocked(problem):
                return self.blocked(poddnat, problem, working)
            case Waiting(seconds):
                if not _was_ready(poddnat):
                    return requeue_after(seconds)
                # The status lists its entries as working until this is written.
                return self.reported(poddnat, working, _UPDATING, resync_after=requeue_after(seconds).seconds)

    def _done(self, poddnat: Manifest, working: Sequence[WorkingPort]) -> PodDNATAnswer:
        if not working:
            return self.reported(poddnat, working, LEAVING)
        condition = self._ready(poddnat, working)
        if not _was_ready(poddnat):
            log.info("PodDNAT %s: %s", key_of(poddnat), condition.message)
        self._exposure_timer.stop(pod_uid_of(poddnat["metadata"]))
        return self.reported(poddnat, working, condition)

    def _ready(self, poddnat: Manifest, working: Sequence[WorkingPort]) -> Condition:
        entries = sum(len(port.entry_ids) for port in working)
        count = f"{entries} forward entries work" if entries > 1 else "1 forward entry works"
        external_ip = working[0].external_ip
        text = f"{count} on {external_ip}."
        if self._registry.is_draining(external_ip):
            text += " The address is blocked: the pod moves to another one as soon as there is room."
        before, denied = observed_condition(poddnat.get("status") or {}), self._locator.routes_denied
        if denied or (denied is None and before is not None and before.message.endswith(_BY_ZONE)):
            text += _BY_ZONE
        return Condition(ready=True, reason="Ready", message=text)

    def blocked(self, poddnat: Manifest, problem: Problem, working: Sequence[WorkingPort] = ()) -> PodDNATAnswer:
        """Report a problem; as an event too, unless that was done before."""
        condition = self._report_problem(poddnat, problem)
        return self.reported(poddnat, working, condition, resync_after=problem.retry_after)

    def left_alone(self, poddnat: Manifest, problem: Problem) -> PodDNATAnswer:
        """Report a problem on a PodDNAT that isn't ours; nothing else of its status changes."""
        condition, now = self._report_problem(poddnat, problem), rfc3339(self._wall_clock())
        preserved = preserved_status(poddnat.get("status") or {})
        return PodDNATAnswer(left_alone_status(preserved, condition, now), problem.retry_after)

    def _report_problem(self, poddnat: Manifest, problem: Problem) -> Condition:
        """Report a problem as an event, unless that was done before; return the condition that says it."""
        before = observed_condition(poddnat.get("status") or {})
        reported_before = (
            before is not None and before.reason == problem.reason and before.message.startswith(problem.message)
        )
        if not reported_before or _was_ready(poddnat):
            log.warning("PodDNAT %s: %s", key_of(poddnat), problem.message)
            self._client.warn(poddnat, problem.reason, problem.message)
        return Condition(ready=False, reason=problem.reason, message=f"{problem.message} {problem.details}".rstrip())

    def releasing(
        self, poddnat: Manifest, *, problem: Problem | None, resync_after: float
    ) -> PodDNATAnswer | RequeueAfter:
        """Report once that a PodDNAT's entries are being deleted, or each time why they can't be.

        From then on the status lists none of them: a pod of the same name may be there already, which they don't reach.
        """
        observed = poddnat.get("status") or {}
        if problem is not None:
            condition = self._report_problem(poddnat, problem)
        elif not observed.get("entries") and observed_condition(observed) in {None, _RELEASING}:
            return requeue_after(resync_after)
        else:
            condition = _RELEASING
        written = releasing_status(observed, condition, rfc3339(self._wall_clock()))
        again = problem.retry_after if problem is not None else requeue_after(resync_after).seconds
        return PodDNATAnswer(written, resync_after=again)

    def gone(self, poddnat: Manifest) -> None:
        """Note that nobody waits any more for a PodDNAT's entries to work."""
        self._exposure_timer.forget(pod_uid_of(poddnat["metadata"]))

    def reported(
        self,
        poddnat: Manifest,
        working: Sequence[WorkingPort],
        condition: Condition,
        *,
        resync_after: float = RESYNC,
    ) -> PodDNATAnswer:
        """Write a status with this condition; it equals the last one unless something has changed."""
        works = {entry_id for port in working for entry_id in port.entry_ids}
        nameless = [entry_id for entry_id in self._entries.nameless(poddnat) if entry_id not in works]
        written = status(poddnat.get("status") or {}, working, condition, rfc3339(self._wall_clock()), nameless)
        return PodDNATAnswer(written, resync_after=resync_after)


def _was_ready(poddnat: Manifest) -> bool:
    before = observed_condition(poddnat.get("status") or {})
    return before is not None and before.ready
