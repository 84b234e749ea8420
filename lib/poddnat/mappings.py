"""What becomes of a PodDNAT: its forward entries brought to what it asks for, and its status.

Nothing here waits for the cloud. While something is on its way, the answer is "ask again later", which costs no
write; a status is written when there is something lasting to say.
"""

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from poddnat.absences import Absences, Over
from poddnat.cluster import Cluster
from poddnat.fixed import Fixed, pod_uid_of
from poddnat.fleet import Fleet
from poddnat.gateway import Gateway
from poddnat.ledger import Ledger
from poddnat.model import ForwardEntry, WorkingPort
from poddnat.ownership import Ownership, names_nobody
from poddnat.permission import Permissions, Verdict
from poddnat.plan import Mine
from poddnat.pod_facts import is_terminating
from poddnat.poddnat_object import (
    Condition,
    PodDNAT,
    SpecError,
    entry_ids,
    is_acks,
    is_ready,
    observed_condition,
    parse_spec,
    ready_since,
    spec_of,
    status,
    working_ports,
)
from poddnat.progress import Blocked, Done, Later, Progress, Trouble, Waiting
from poddnat.proofs import Proofs
from poddnat.stopwatch import Stopwatch
from poddnat.troubles import of_acks, of_left, of_missing, of_rival

log = logging.getLogger(__name__)

Manifest = dict[str, Any]

_BY_ZONE = (
    " The gateway was chosen by its zone, as the RAM policy doesn't allow to read routes (DescribeRouteTableList,"
    " DescribeRouteEntryList): unless the pod's default route leads to it, no connection comes about."
)

_REST_SECONDS = 300.0
_LONGEST_WAIT = 20.0
_PROBATION = dt.timedelta(seconds=2 * _REST_SECONDS)
_LEAVING = Condition(ready=False, reason="Leaving", message="The pod is terminating; nothing new is exposed.")


@dataclass(frozen=True)
class PodDNATAnswer:
    """A PodDNAT's whole status, and when to ask again although nothing has changed in the cluster."""

    status: Manifest
    resync_after: float = _REST_SECONDS
    finalized: bool = False


class Mappings:
    """Answers the PodDNAT hooks. Safe to use from several threads."""

    def __init__(
        self,
        ownership: Ownership,
        cluster: Cluster,
        fleet: Fleet,
        ledger: Ledger,
        permissions: Permissions,
        absences: Absences,
        stopwatch: Stopwatch,
        routes_denied: Callable[[], bool | None],
        *,
        today: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """``routes_denied`` tells whether gateways are chosen without knowing the routes; None: nobody has tried yet.

        ``today`` is the wall clock for conditions.
        """
        self._ownership = ownership
        self._cluster = cluster
        self._fleet = fleet
        self._ledger = ledger
        self._permissions = permissions
        self._absences = absences
        self._stopwatch = stopwatch
        self._routes_denied = routes_denied
        self._today = today
        self._proofs = Proofs()

    def sync(self, parent: Manifest) -> PodDNATAnswer | Later:
        """Bring a PodDNAT's entries to what it asks for, as far as it may, and tell how far that is.

        Raises:
            ClusterError: the API server could not be asked about the pod.
        """
        mine = self._mine(parent)
        if is_acks(parent["metadata"]):
            # Anybody may have put that finalizer there, so nothing of ours stays behind it.
            self._withdraw(mine)
            self.seen(parent)
            told = working_ports(parent.get("status") or {})
            return self._blocked(parent, of_acks(parent["metadata"]["name"]), told)
        if is_terminating(parent):
            # Somebody's finalizer holds it though ours has gone: nobody would tell when its pod goes.
            self._withdraw(mine)
            return PodDNATAnswer(self._status(parent, (), _LEAVING))
        fixed = Fixed.read(parent["metadata"])
        try:
            wanted = parse_spec(spec_of(parent), away=fixed is not None)
        except SpecError as error:
            self._withdraw(mine)
            act = "the user has to correct or delete this PodDNAT"
            return self._blocked(parent, Trouble("InvalidSpec", f"{error}; {act}."))
        self.seen(parent)
        if fixed is not None and not wanted.internal_ip:
            return self._away(parent, mine, fixed)
        self._leave_others(mine, wanted.gateway_id)
        if (misplaced := self._misplaced(parent, mine, wanted)) is not None:
            return misplaced
        gateway = self._fleet.get(wanted.gateway_id)
        if gateway is not None and self._fleet.exists(wanted.gateway_id) and self._is_proven(parent, wanted, fixed):
            done = gateway.working(mine, wanted.rules)
            if done is not None:
                return self._told(parent, wanted, done)
        return self._permitted(parent, mine, wanted, fixed, gateway)

    def _permitted(
        self, parent: Manifest, mine: Mine, wanted: PodDNAT, fixed: Fixed | None, gateway: Gateway | None
    ) -> PodDNATAnswer | Later:
        """Ask for the entries, as far as the pod itself wants them."""
        verdict = self._permissions.check(parent["metadata"], wanted)
        if isinstance(verdict, Trouble):
            return self._refused(parent, mine, wanted, verdict)
        self._allowed(parent)
        if verdict is Verdict.OPTED_OUT:
            metadata = parent["metadata"]
            self._cluster.delete_poddnat(metadata["namespace"], metadata["name"], metadata["uid"])
            return Later(1.0)
        if verdict is Verdict.AWAY and fixed is not None:
            self._withdraw(mine)
            self._absences.park(parent, fixed)
            return Later(1.0)
        trouble = self._fleet.trouble(wanted.gateway_id)
        seen = gateway is not None and gateway.loaded
        if not seen and self._fleet.exists(wanted.gateway_id) and is_ready(parent):
            # Just started: until the table is seen, nothing is known that would make the status untrue.
            return PodDNATAnswer(parent["status"], resync_after=trouble.retry_after) if trouble else Later(1.0)
        if gateway is None or trouble is not None:
            return self._blocked(parent, trouble or of_missing(wanted.gateway_id))
        mine = self._admitted(parent, wanted, gateway)
        rules = wanted.rules
        present = {entry.rule for entry in gateway.entries_of(mine)}
        if verdict is Verdict.LEAVING:
            rules = tuple(rule for rule in rules if rule in present)
        if not present.issuperset(rules) and (rival := self._ledger.rival(mine.uid)) is not None:
            return self._blocked(parent, of_rival(wanted.external_ip, rival))
        progress = gateway.ensure(mine, rules)
        if fixed is not None and self._absences.pods.has_gone(fixed.pod_uid):
            # It went after it was asked: what the watch took back then must not come again.
            self._withdraw(mine)
            return Later(1.0)
        return self._told(parent, wanted, progress)

    def _misplaced(self, parent: Manifest, mine: Mine, wanted: PodDNAT) -> PodDNATAnswer | None:
        """Tell what is wrong with where a PodDNAT is; None: nothing."""
        outside = self._permissions.outside(parent["metadata"], wanted)
        if outside is not None:
            return self._refused(parent, mine, wanted, outside)
        if not self._fleet.serves(wanted.gateway_id, wanted.external_ip):
            return self._blocked(parent, of_left(wanted.gateway_id, wanted.external_ip))
        return None

    def is_misplaced(self, parent: Manifest) -> bool:
        """Whether a PodDNAT is where it may not, or should not, stay.

        Raises:
            ClusterError: the API server did not tell the namespace's labels.
        """
        wanted = _wanted(parent)
        if wanted is None:
            return False
        outside = self._permissions.outside(parent["metadata"], wanted)
        return outside is not None or self._ledger.shuns(wanted.external_ip)

    def _refused(self, parent: Manifest, mine: Mine, wanted: PodDNAT, why: Trouble) -> PodDNATAnswer:
        """Take away what a PodDNAT may not have, and let others have the ports that it named."""
        self._withdraw(mine)
        if Fixed.read(parent["metadata"]) is None:
            self._ledger.poddnat_refused(mine.uid, (wanted.gateway_id, wanted.external_ip), wanted.mappings)
        return self._blocked(parent, why)

    def _allowed(self, parent: Manifest) -> None:
        self._ledger.poddnat_allowed(parent["metadata"]["uid"])
        self.seen(parent)

    def recognize(self, parent: Manifest) -> None:
        """Find out whether entries that a PodDNAT's status names are its own though their names don't say so.

        Its pod tells, and is asked only where there are such entries; once it has gone, nothing could tell.

        Raises:
            ClusterError: the API server could not be asked about the pod.
        """
        wanted = None if is_acks(parent["metadata"]) else _wanted(parent)
        gateway = self._fleet.get(wanted.gateway_id) if wanted is not None else None
        if wanted is None or gateway is None or not self._strangers(parent, wanted, gateway):
            return
        if self._permissions.check(parent["metadata"], wanted) in {Verdict.ALLOWED, Verdict.LEAVING}:
            self._admitted(parent, wanted, gateway)

    def _admitted(self, parent: Manifest, wanted: PodDNAT, gateway: Gateway) -> Mine:
        """Take such entries for its own; its pod has that address."""
        self._proofs.add(parent["metadata"]["uid"], self._strangers(parent, wanted, gateway))
        return self._mine(parent)

    def _strangers(self, parent: Manifest, wanted: PodDNAT, gateway: Gateway) -> set[str]:
        proven = self._proofs.of(parent["metadata"]["uid"])
        told = gateway.entries_with(entry_ids(parent.get("status") or {}))
        leading_here = (entry for entry in told if entry.rule.internal_ip == wanted.internal_ip)
        return {entry.entry_id for entry in leading_here if names_nobody(entry.name)} - proven

    def finalize(self, parent: Manifest) -> PodDNATAnswer | Later:
        """Take a PodDNAT's entries off the cloud; finalized once a listing shows none."""
        self.recognize(parent)
        mine = self._mine(parent)
        if is_acks(parent["metadata"]) and not any(gateway.concerns(mine) for gateway in self._fleet.gateways()):
            return PodDNATAnswer(parent.get("status") or {}, finalized=True)
        self._permissions.forget(mine.uid)
        outcomes = [self._released(gateway_id, mine) for gateway_id in self._places(parent, mine)]
        for outcome in outcomes:
            if isinstance(outcome, Blocked):
                return self._blocked(parent, outcome.trouble, _working(_wanted(parent), outcome.entries))
        waits = [outcome.seconds for outcome in outcomes if isinstance(outcome, Waiting)]
        if waits:
            return _later(max(waits))
        return PodDNATAnswer(parent.get("status") or {}, finalized=True)

    def seen(self, parent: Manifest) -> None:
        """Note an existing PodDNAT's external side, so that nobody else is given it."""
        wanted, metadata = _wanted(parent), parent["metadata"]
        if wanted is not None:
            home, namespace = (wanted.gateway_id, wanted.external_ip), metadata["namespace"]
            pod_uid = pod_uid_of(metadata)
            self._ledger.poddnat_seen(metadata["uid"], pod_uid, home, wanted.mappings, namespace=namespace)

    def withdraw(self, parent: Manifest) -> None:
        """Take a PodDNAT's entries away, because its pod has gone."""
        self._permissions.forget(parent["metadata"]["uid"])
        self._withdraw(self._mine(parent))

    def gone(self, parent: Manifest) -> None:
        """Note that a PodDNAT has gone, perhaps without a finalize call."""
        uid = parent["metadata"]["uid"]
        self._permissions.forget(uid)
        for gateway in self._fleet.gateways():
            gateway.abandon(self._mine(parent))
        self._proofs.forget(uid)
        self._ledger.poddnat_gone(uid)
        self._stopwatch.forget(pod_uid_of(parent["metadata"]))

    def _away(self, parent: Manifest, mine: Mine, fixed: Fixed) -> PodDNATAnswer | Later:
        """Tell of a fixed pod that is away, or release what was kept for it."""
        self._withdraw(mine)
        judged = self._absences.judge(parent, fixed)
        if isinstance(judged, Over):
            self._absences.release(parent, judged.message)
            return Later(1.0)
        condition = Condition(ready=False, reason="PodAway", message=judged.message)
        return PodDNATAnswer(self._status(parent, (), condition), judged.ask_again)

    def _is_proven(self, parent: Manifest, wanted: PodDNAT, fixed: Fixed | None) -> bool:
        """Whether its pod need not be asked again while its entries work.

        From the moment that a pod shows its result, its opting out is noticed by that. Before, only asking tells. A
        status may be forged, so this process must have asked the same pod about the same once.
        """
        if not self._permissions.has_allowed(parent["metadata"], wanted):
            return False
        if fixed is not None and not self._absences.pods.is_alive(fixed.pod_uid):
            return False
        since = ready_since(parent.get("status") or {})
        return since is not None and since < _written(self._today() - _PROBATION)

    def _mine(self, parent: Manifest) -> Mine:
        uid = parent["metadata"]["uid"]
        return Mine(uid, self._ownership.name_of(uid), self._proofs.of(uid), _name(parent))

    def _places(self, parent: Manifest, mine: Mine) -> list[str]:
        """List the gateways where a PodDNAT has, or may have, entries."""
        named = spec_of(parent).get("tableId")
        concerned = [gateway.gateway_id for gateway in self._fleet.gateways() if gateway.concerns(mine)]
        return list(dict.fromkeys([*([named] if named else []), *concerned]))

    def _released(self, gateway_id: str, mine: Mine) -> Progress:
        if self._fleet.known and not self._fleet.exists(gateway_id):
            return Done()  # A gateway that is gone has taken its entries with it.
        gateway = self._fleet.get(gateway_id)
        if gateway is None:
            trouble = self._fleet.trouble(gateway_id)
            return Blocked(trouble) if trouble else Waiting(1.0)
        progress = gateway.release(mine)
        trouble = self._fleet.trouble(gateway_id)
        return Blocked(trouble) if trouble is not None and isinstance(progress, Waiting) else progress

    def _leave_others(self, mine: Mine, gateway_id: str) -> None:
        """Give up what a PodDNAT had on gateways before it was moved."""
        for other in self._fleet.gateways():
            if other.gateway_id != gateway_id and other.concerns(mine):
                other.release(mine)

    def _withdraw(self, mine: Mine) -> None:
        """Take away what a PodDNAT has but may not have."""
        for gateway in self._fleet.gateways():
            if gateway.concerns(mine):
                gateway.ensure(mine, ())

    def _told(self, parent: Manifest, wanted: PodDNAT, progress: Progress) -> PodDNATAnswer | Later:
        self._proofs.add(parent["metadata"]["uid"], (entry.entry_id for entry in progress.entries))
        working = wanted.working(progress.entries)
        match progress:
            case Done():
                ready = self._ready(parent, working)
                if ready.ready:
                    before = observed_condition(parent.get("status") or {})
                    if before is None or not before.ready:
                        log.info("PodDNAT %s: %s", _name(parent), ready.message)
                    self._stopwatch.stop(pod_uid_of(parent["metadata"]))
                return PodDNATAnswer(self._status(parent, working, ready))
            case Blocked(trouble):
                return self._blocked(parent, trouble, working)
            case Waiting(seconds):
                before = observed_condition(parent.get("status") or {})
                if before is None or not before.ready:
                    return _later(seconds)
                # What was Ready no longer is, and its entries are shown as working until this is written.
                waiting = Condition(
                    ready=False, reason="Updating", message="Forward entries are being brought up to date."
                )
                return PodDNATAnswer(self._status(parent, working, waiting), resync_after=_later(seconds).seconds)

    def _ready(self, parent: Manifest, working: Sequence[WorkingPort]) -> Condition:
        if not working:
            return _LEAVING
        entries = sum(len(port.entry_ids) for port in working)
        count = f"{entries} forward entries work" if entries > 1 else "1 forward entry works"
        external_ip = working[0].external_ip
        text = f"{count} on {external_ip}."
        if self._ledger.shuns(external_ip):
            text += " The address is blocked: the pod moves to another one as soon as there is room."
        before, denied = observed_condition(parent.get("status") or {}), self._routes_denied()
        if denied or (denied is None and before is not None and before.message.endswith(_BY_ZONE)):
            text += _BY_ZONE
        return Condition(ready=True, reason="Ready", message=text)

    def _blocked(self, parent: Manifest, trouble: Trouble, working: Sequence[WorkingPort] = ()) -> PodDNATAnswer:
        before = observed_condition(parent.get("status") or {})
        told = before is not None and before.reason == trouble.reason and before.message.startswith(trouble.message)
        if not told or (before is not None and before.ready):
            log.warning("PodDNAT %s: %s", _name(parent), trouble.message)
            self._cluster.warn(parent, trouble.reason, trouble.message)
        message = f"{trouble.message} {trouble.figures}".rstrip()
        condition = Condition(ready=False, reason=trouble.reason, message=message)
        return PodDNATAnswer(self._status(parent, working, condition), resync_after=trouble.retry_after)

    def _status(self, parent: Manifest, working: Sequence[WorkingPort], condition: Condition) -> Manifest:
        return status(parent.get("status") or {}, working, condition, _written(self._today()))


def _wanted(parent: Manifest) -> PodDNAT | None:
    try:
        return parse_spec(spec_of(parent), away=Fixed.read(parent["metadata"]) is not None)
    except SpecError:
        return None


def _working(wanted: PodDNAT | None, entries: Sequence[ForwardEntry]) -> tuple[WorkingPort, ...]:
    return wanted.working(entries) if wanted is not None else ()


def _written(time: dt.datetime) -> str:
    """Write a time in RFC 3339 and UTC, in which the order of texts is that of times."""
    return time.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _later(seconds: float) -> Later:
    # Metacontroller takes whole seconds; zero would mean at once, again and again.
    return Later(float(max(1, round(min(seconds, _LONGEST_WAIT)))))


def _name(parent: Manifest) -> str:
    return f"{parent['metadata']['namespace']}/{parent['metadata']['name']}"
