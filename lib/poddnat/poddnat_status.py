"""What a PodDNAT's status tells, and what else is told when it changes: an event, a line in the log, a wait ended."""

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from poddnat.cluster import Cluster
from poddnat.fixed import pod_uid_of
from poddnat.ledger import Ledger
from poddnat.model import WorkingPort
from poddnat.poddnat_object import Condition, key_of, observed_condition, status
from poddnat.progress import Blocked, Done, Later, Progress, Trouble, Waiting
from poddnat.stopwatch import Stopwatch
from poddnat.timestamps import now, rfc3339

log = logging.getLogger(__name__)

Manifest = dict[str, Any]

REST_SECONDS = 300.0
_LONGEST_WAIT = 20.0
_BY_ZONE = (
    " The gateway was chosen by its zone, as the RAM policy doesn't allow to read routes (DescribeRouteTableList,"
    " DescribeRouteEntryList): unless the pod's default route leads to it, no connection comes about."
)
LEAVING = Condition(ready=False, reason="Leaving", message="The pod is terminating; nothing new is exposed.")
_UPDATING = Condition(ready=False, reason="Updating", message="Forward entries are being brought up to date.")


@dataclass(frozen=True)
class PodDNATAnswer:
    """A PodDNAT's whole status, and when to ask again although nothing has changed in the cluster."""

    status: Manifest
    resync_after: float = REST_SECONDS
    finalized: bool = False


class Reporter:
    """Tells how it goes with PodDNATs. Safe to use from several threads."""

    def __init__(
        self,
        cluster: Cluster,
        ledger: Ledger,
        stopwatch: Stopwatch,
        routes_denied: Callable[[], bool | None],
        *,
        today: Callable[[], dt.datetime] = now,
    ) -> None:
        """``routes_denied`` tells whether gateways are chosen without knowing the routes; None: nobody has tried yet.

        ``today`` is the wall clock for conditions.
        """
        self._cluster = cluster
        self._ledger = ledger
        self._stopwatch = stopwatch
        self._routes_denied = routes_denied
        self._today = today

    def of(self, poddnat: Manifest, working: Sequence[WorkingPort], progress: Progress) -> PodDNATAnswer | Later:
        """Tell how far a PodDNAT is; what is on its way to where nothing was before is not worth a write."""
        match progress:
            case Done():
                return self._done(poddnat, working)
            case Blocked(trouble):
                return self.blocked(poddnat, trouble, working)
            case Waiting(seconds):
                if not _was_ready(poddnat):
                    return later(seconds)
                # Its entries are shown as working until this is written.
                return self.judged(poddnat, working, _UPDATING, resync_after=later(seconds).seconds)

    def _done(self, poddnat: Manifest, working: Sequence[WorkingPort]) -> PodDNATAnswer:
        if not working:
            return self.judged(poddnat, working, LEAVING)
        condition = self._ready(poddnat, working)
        if not _was_ready(poddnat):
            log.info("PodDNAT %s: %s", key_of(poddnat), condition.message)
        self._stopwatch.stop(pod_uid_of(poddnat["metadata"]))
        return self.judged(poddnat, working, condition)

    def _ready(self, poddnat: Manifest, working: Sequence[WorkingPort]) -> Condition:
        entries = sum(len(port.entry_ids) for port in working)
        count = f"{entries} forward entries work" if entries > 1 else "1 forward entry works"
        external_ip = working[0].external_ip
        text = f"{count} on {external_ip}."
        if self._ledger.shuns(external_ip):
            text += " The address is blocked: the pod moves to another one as soon as there is room."
        before, denied = observed_condition(poddnat.get("status") or {}), self._routes_denied()
        if denied or (denied is None and before is not None and before.message.endswith(_BY_ZONE)):
            text += _BY_ZONE
        return Condition(ready=True, reason="Ready", message=text)

    def blocked(self, poddnat: Manifest, trouble: Trouble, working: Sequence[WorkingPort] = ()) -> PodDNATAnswer:
        """Tell what is the matter; as an event too, unless that was told before."""
        before = observed_condition(poddnat.get("status") or {})
        told = before is not None and before.reason == trouble.reason and before.message.startswith(trouble.message)
        if not told or _was_ready(poddnat):
            log.warning("PodDNAT %s: %s", key_of(poddnat), trouble.message)
            self._cluster.warn(poddnat, trouble.reason, trouble.message)
        message = f"{trouble.message} {trouble.figures}".rstrip()
        condition = Condition(ready=False, reason=trouble.reason, message=message)
        return self.judged(poddnat, working, condition, resync_after=trouble.retry_after)

    def judged(
        self,
        poddnat: Manifest,
        working: Sequence[WorkingPort],
        condition: Condition,
        *,
        resync_after: float = REST_SECONDS,
    ) -> PodDNATAnswer:
        """Write a status with this condition; nothing in it differs from the last one unless something has changed."""
        written = status(poddnat.get("status") or {}, working, condition, rfc3339(self._today()))
        return PodDNATAnswer(written, resync_after=resync_after)


def later(seconds: float) -> Later:
    """Ask to be asked again; Metacontroller takes whole seconds, and zero for at once, again and again."""
    return Later(float(max(1, round(min(seconds, _LONGEST_WAIT)))))


def _was_ready(poddnat: Manifest) -> bool:
    before = observed_condition(poddnat.get("status") or {})
    return before is not None and before.ready
