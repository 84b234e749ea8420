"""What is to be done on one NAT gateway: what PodDNATs should have there, the table as last seen, and the next call.

No threads, no network, no clock: the caller brings the time, makes the calls that ``next`` chooses, and hands back
what came of them, to ``writes`` or ``reads``. Nothing is kept that can't be found out again: after a crash, the next
process reads the table and is told by the hooks what is desired. ``states`` has the table of what is done when.
"""

from collections.abc import Callable

from poddnat.api import PORT_TAKEN, Problem
from poddnat.cloud import problem_of
from poddnat.gateway.intervals import REQUEUE_LONGEST, STUCK_AFTER
from poddnat.gateway.problems import entry_stuck, quota_exceeded
from poddnat.gateway.progress import Blocked, Done, Progress, Waiting
from poddnat.gateway.reconciler.calls import Call, Kind
from poddnat.gateway.reconciler.conflicts import conflict_problem
from poddnat.gateway.reconciler.desired import DesiredState, Unverified
from poddnat.gateway.reconciler.ownership import Ownership
from poddnat.gateway.reconciler.plan import OwnEntries, Plan, Side, make_plan
from poddnat.gateway.reconciler.reads import Reads
from poddnat.gateway.reconciler.state import MOVING, GatewayState
from poddnat.gateway.reconciler.states import Evidence
from poddnat.gateway.reconciler.stats import GatewayStats
from poddnat.gateway.reconciler.table import Table
from poddnat.gateway.reconciler.writes import Gates, Writes
from poddnat.model import ForwardRule


class Reconciler:
    """The work on one gateway. Not safe for use from several threads at once."""

    def __init__(self, gateway_id: str, ownership: Ownership, is_alive: Callable[[str], bool]) -> None:
        """``is_alive`` tells of a PodDNAT's uid, from memory, whether it exists."""
        self._state = GatewayState(gateway_id, ownership, is_alive)
        self.writes = Writes(self._state)
        self.reads = Reads(self._state)

    @property
    def table(self) -> Table:
        """The table as last seen."""
        return self._state.table

    @property
    def loaded(self) -> bool:
        """Whether the whole table has been listed since the start."""
        return self.reads.loaded

    def set_quota(self, quota: int | None) -> None:
        """Let the table get no longer than this, whatever the cloud allows; None: as long as it allows."""
        self._state.quota.limit = quota

    def is_full(self, now: float) -> bool:
        """Whether the table had no room for an entry, and nothing has been freed since."""
        return self._state.quota.is_full(len(self.table), now)

    def invalidate(self) -> None:
        """Have the whole table listed as soon as may be: somebody doubts what is known of it."""
        self._state.poller.invalidate()

    def resync(self, now: float) -> None:
        """Take over from another writer: what is known of the table may be old, and is verified before it is used."""
        self.reads.resync(now)
        for desired in list(self._state.desired.values()):
            self._verify(desired)
            self._state.place(desired, now)

    def set_desired(
        self, own: OwnEntries, rules: tuple[ForwardRule, ...], now: float, *, release: bool = False
    ) -> Progress:
        """Set what a PodDNAT should have, or that it is to be released, and tell how far it is."""
        desired = self._state.desired.get(own.uid)
        if desired is None:
            desired = DesiredState(own, rules, since=now, quiet_since=now, release=release, moved_at=now)
            self._state.desired[own.uid] = desired
            self._verify(desired)
        elif desired.change(own, rules, release=release, now=now):
            self._verify(desired)
        desired.orphaned = False
        plan = self._state.place(desired, now)
        if self._state.is_fulfilled(desired, plan):
            self._state.forget(own.uid)
            return Done(plan.working)
        return self._progress(desired, plan, now)

    def working(self, own: OwnEntries, rules: tuple[ForwardRule, ...]) -> Done | None:
        """Tell whether a PodDNAT has exactly these rules, without desiring anything; None: not so, or not known."""
        if not self.loaded or own.uid in self._state.desired:
            return None
        plan = make_plan(rules, self._state.table, own, self._state.ownership, self._state.is_alive)
        return Done(plan.working) if plan.at_rest else None

    def orphan(self, own: OwnEntries, now: float) -> None:
        """Release a PodDNAT that went without asking for it; nobody waits for the outcome."""
        self.set_desired(own, (), now, release=True)
        if (desired := self._state.desired.get(own.uid)) is not None:
            desired.orphaned = True

    def has_any(self, own: OwnEntries) -> bool:
        """Whether there is, or is about to be, anything of a PodDNAT here."""
        return own.uid in self._state.desired or bool(own.entries(self._state.table))

    def take_fulfilled(self) -> set[str]:
        """Name the PodDNATs that have come to have what they desire, once each time."""
        fulfilled, self._state.fulfilled = self._state.fulfilled, set()
        return fulfilled

    def is_busy_with(self, uid: str) -> bool:
        """Whether something of a PodDNAT is being changed here."""
        return uid in self._state.desired

    def stats(self, now: float) -> GatewayStats:
        """Tell how the work stands."""
        since = {kind: [self._state.desired[uid].since for uid in self._state.queue.uids(kind)] for kind in Kind}
        return GatewayStats(
            waiting={kind: len(times) for kind, times in since.items()},
            oldest_seconds={kind: now - min(times, default=now) for kind, times in since.items()},
            watching=len(self._state.desired) - len(self._state.queue),
            in_flight=self._state.concurrency.in_flight,
            unsettled=self._state.concurrency.unsettled,
            limit=self._state.concurrency.limit,
            entries=len(self._state.table),
            quota=self._state.quota.known,
            loaded=self.loaded,
        )

    def _verify(self, desired: DesiredState) -> None:
        """Have a read tell what a PodDNAT has, where the table may be old or the end of all has to be proven."""
        desired.confirmed = not desired.release and (self.reads.current or bool(desired.rules))
        if not self.reads.current:
            desired.unverified.update(dict.fromkeys(desired.rules, Unverified(Evidence.BY_NAME, desired.since)))

    def _progress(self, desired: DesiredState, plan: Plan, now: float) -> Progress:
        working = plan.deletes if desired.release else plan.working  # What is to go works until then.
        if (problem := self._problem(desired, plan, now)) is not None:
            if problem.reason != PORT_TAKEN:
                return Blocked(problem, working)
            outside = tuple(conflict.rule for conflict in plan.conflicts if conflict.side is Side.EXTERNAL)
            return Blocked(problem, working, outside)
        # Half of the time that is left: who asks too late is told too late, when things go faster than thought.
        seconds = self._state.queue.ahead(desired.own.uid) * self._state.concurrency.seconds_per_write() / 2
        return Waiting(min(seconds, REQUEUE_LONGEST), working)

    def _problem(self, desired: DesiredState, plan: Plan, now: float) -> Problem | None:
        """Tell what is the matter, beginning with what is the PodDNAT's own; None: nothing that would last."""
        items = desired.items(plan)
        if (
            not desired.unverified_conflicts(items)
            and (conflict := conflict_problem(plan, self._state.ownership)) is not None
        ):
            return conflict
        if desired.problem is not None:
            return desired.problem
        if desired.last_error is not None and now - desired.failing_since > STUCK_AFTER:
            return problem_of(desired.last_error, self._state.gateway_id)
        if plan.creates and self._state.quota.is_full(len(self._state.table), now):
            missing = [self._state.desired[uid].missing for uid in self._state.queue.uids(Kind.CREATE)]
            return quota_exceeded(self._state.gateway_id, self._state.quota.known, len(missing), sum(missing))
        if (held_back := self._held_back(desired, now)) is not None:
            return held_back
        stuck = [item.entry for item in items if item.state in MOVING and item.entry is not None]
        if stuck and now - desired.moved_at > STUCK_AFTER:
            return entry_stuck(self._state.gateway_id, stuck[0])
        return None

    def _held_back(self, desired: DesiredState, now: float) -> Problem | None:
        """Tell what keeps the gateway, or the PodDNAT's address, from being read or written."""
        address = desired.rules[0].external_ip if desired.rules else ""
        if (problem := self._state.gate.problem(address)) is not None:
            return problem
        error = self.reads.lasting_error or self.writes.lasting_refusal(now)
        return problem_of(error, self._state.gateway_id) if error is not None else None

    def next(self, now: float, gates: Gates, *, may_write: bool = True) -> tuple[Call | None, float]:
        """Choose the next call, or say in how many seconds to ask again."""
        read, wait = self.reads.next(now, gates)
        if read is not None or not may_write:
            return read, wait
        write, write_wait = self.writes.next(now, gates)
        return write, min(wait, write_wait)

    def owners(self) -> set[str]:
        """Name the PodDNATs that have entries here, by the names of these."""
        owners = map(self._state.ownership.owner_in, self._state.table.names())
        return {uid for uid in owners if uid is not None}

    def unclaimed(self) -> list[str]:
        """List the PodDNATs named by entries that nobody desires anything for, as far as is known."""
        return sorted(uid for uid in self.owners() if not (self.is_busy_with(uid) or self._state.is_alive(uid)))
