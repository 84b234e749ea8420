"""What is to be done on one NAT gateway: what PodDNATs want of it, the table as last seen, and the next call.

No threads, no network, no clock: the caller brings the time, makes the calls that ``next`` chooses, and hands back
what came of them. Nothing is kept that can't be found out again: after a crash, the next process lists the table and
is told by the hooks what is wanted.
"""

import math
from collections.abc import Callable, Sequence

from poddnat.cloud import ENTRIES_PER_PAGE, CloudError, EntryFilter, Meaning, problem_of
from poddnat.gateway.calls import Call, Create, Delete, Peek
from poddnat.gateway.concurrency import Kind, Pace
from poddnat.gateway.desired import Lanes, Wish
from poddnat.gateway.hold import Hold
from poddnat.gateway.listing import EVERYTHING, Listing
from poddnat.gateway.ownership import Ownership
from poddnat.gateway.plan import OwnEntries, Plan, make_plan
from poddnat.gateway.poller import Lookout
from poddnat.gateway.problems import conflict_problem, quota_exceeded
from poddnat.gateway.progress import Blocked, Done, Progress, Waiting
from poddnat.gateway.quota import Room
from poddnat.gateway.stats import GatewayStats
from poddnat.gateway.table import Table
from poddnat.model import EntryStatus, ForwardEntry, ForwardRule


class Agenda:
    """The state of one gateway's work. Not safe for use from several threads at once."""

    def __init__(
        self,
        gateway_id: str,
        ownership: Ownership,
        is_alive: Callable[[str], bool],
        *,
        refresh_interval: float,
    ) -> None:
        """``is_alive`` tells of a PodDNAT's uid, from memory, whether it exists; ``refresh_interval`` in seconds."""
        self.gateway_id = gateway_id
        self.table = Table()
        self.pace = Pace()
        self.lanes = Lanes()
        self.loaded = False
        """Whether the table has been listed since the start, or since ``resync``."""
        self._fresh_from = -math.inf
        self.room = Room()
        self._lookout = Lookout(self.table, self.pace, refresh_interval=refresh_interval)
        self._hold = Hold(gateway_id)
        self._ownership = ownership
        self._known_alive = is_alive
        self._wishes: dict[str, Wish] = {}
        self._watching: dict[str, None] = {}
        # PodDNATs that wait for something in the table to change, not for their turn to write.
        self._unclaimed: set[str] = set()
        # Owners of entries that the last whole listing showed though nobody lives who wants them.

    def invalidate(self, now: float) -> None:
        """Read the whole table as soon as may be: somebody doubts what is known of it."""
        self._lookout.doubt(now)

    def resync(self, now: float) -> None:
        """Believe the table only once a listing that begins from now on shows it: somebody else may have written."""
        self.loaded = False
        self._fresh_from = now
        self._lookout.doubt(-math.inf)
        self._unclaimed = set()

    # What is wanted.

    def want(self, mine: OwnEntries, rules: tuple[ForwardRule, ...], now: float, *, release: bool = False) -> Progress:
        """Want exactly these rules for a PodDNAT, or its release, and tell how far it is."""
        wish = self._wishes.get(mine.uid)
        if wish is None:
            wish = self._wishes[mine.uid] = Wish(mine, rules, since=now, quiet_since=now, release=release)
        wish.change(mine, rules, release=release, now=now)
        plan = self._place(wish)
        if self._fulfilled(wish, plan):
            self._forget(mine.uid)
            return Done(plan.working)
        return self._report(wish, plan, now)

    def working(self, mine: OwnEntries, rules: tuple[ForwardRule, ...]) -> Done | None:
        """Tell whether a PodDNAT has exactly these rules, without wanting anything; None: not so, or not known."""
        if not self.loaded or mine.uid in self._wishes:
            return None
        plan = make_plan(rules, self.table, mine, self._ownership, self._is_alive)
        return Done(plan.working) if plan.at_rest else None

    def orphan(self, mine: OwnEntries, now: float) -> None:
        """Release a PodDNAT that went without asking for it; nobody waits for the outcome."""
        self.want(mine, (), now, release=True)
        if (wish := self._wishes.get(mine.uid)) is not None:
            wish.unattended = True

    def concerns(self, mine: OwnEntries) -> bool:
        """Whether there is, or is about to be, anything of a PodDNAT here."""
        return mine.uid in self._wishes or bool(mine.entries(self.table))

    def is_busy_with(self, uid: str) -> bool:
        """Whether something of a PodDNAT is being changed here."""
        return uid in self._wishes

    def stats(self, now: float) -> GatewayStats:
        """Tell how the work stands."""
        since = {kind: [self._wishes[uid].since for uid in self.lanes.uids(kind)] for kind in Kind}
        return GatewayStats(
            waiting={kind: len(times) for kind, times in since.items()},
            oldest_seconds={kind: now - min(times, default=now) for kind, times in since.items()},
            watching=len(self._watching),
            in_flight=self.pace.in_flight,
            unsettled=self.pace.unsettled,
            limit=self.pace.limit,
            entries=len(self.table),
            quota=self.room.quota,
            loaded=self.loaded,
        )

    def _plan(self, wish: Wish) -> Plan:
        return make_plan(wish.rules, self.table, wish.mine, self._ownership, self._is_alive)

    def _is_alive(self, uid: str) -> bool:
        wish = self._wishes.get(uid)
        return not wish.release if wish is not None else self._known_alive(uid)

    def _fulfilled(self, wish: Wish, plan: Plan) -> bool:
        at_rest = self.loaded and plan.at_rest and not wish.sending and not wish.suspects
        return at_rest and (wish.confirmed or not wish.release)

    def _report(self, wish: Wish, plan: Plan, now: float) -> Progress:
        entries = wish.mine.entries(self.table) if wish.release else plan.working
        working = tuple(entry for entry in entries if entry.status is EntryStatus.AVAILABLE)
        problem = wish.problem or (None if wish.doubted else conflict_problem(plan, self._ownership))
        if problem is None and plan.creates and self.room.is_full(len(self.table), now):
            waiting = [self._wishes[uid].missing for uid in self.lanes.uids(Kind.CREATE)]
            problem = quota_exceeded(self.gateway_id, self.room.quota, len(waiting), sum(waiting))
        if (problem := problem or self._hold.problem) is not None:
            return Blocked(problem, working)
        # Half of the time that is left: who asks too late is told too late, when things go faster than thought.
        seconds = self.lanes.ahead(wish.mine.uid) * self.pace.seconds_per_write() / 2
        return Waiting(seconds, working)

    def _place(self, wish: Wish, *, front: bool = False) -> Plan:
        """Put a wish where it belongs: in a lane when it has something to write, else among those that watch."""
        plan = self._plan(wish)
        wish.heed(plan)
        uid = wish.mine.uid
        if (write := wish.next_write(plan)) is not None:
            self._watching.pop(uid, None)
            self.lanes.add(uid, write[0], since=wish.since, front=front)
        else:
            self.lanes.remove(uid)
            self._watching[uid] = None
            if wish.unattended and self._fulfilled(wish, plan):
                self._forget(uid)
        return plan

    def _forget(self, uid: str) -> None:
        self._wishes.pop(uid, None)
        self.lanes.remove(uid)
        self._watching.pop(uid, None)

    # What to do next.

    def next(self, now: float, *, urgent_only: bool, may_write: bool = True) -> tuple[Call | None, float]:
        """Choose the next call, or say in how many seconds to ask again; ``urgent_only`` puts off mere looks."""
        if now < self._hold.until:
            return None, self._hold.until - now
        waiting = [self._wishes[uid] for uid in self._watching]
        more_to_write = len(self.lanes) > 0
        look, wait = self._lookout.next(now, waiting, more_to_write=more_to_write, urgent_only=urgent_only)
        if look is not None:
            return look, 0.0
        if not may_write or not self.loaded or not more_to_write:
            return None, wait
        pace = self.pace.wait(now)
        if pace > 0:
            return None, min(wait, pace)
        write, put_off = self._take_write(now)
        return write, min(wait, put_off)

    def _take_write(self, now: float) -> tuple[Create | Delete | None, float]:
        """Take the next write out of the queue; those that must wait keep their places."""
        kept: list[tuple[str, Kind]] = []
        taken: Create | Delete | None = None
        room_in = math.inf
        if self.lanes.length(Kind.CREATE):
            room_in = self.room.free_at(len(self.table), self.pace.in_flight, now) - now
        # Without room, those who want to create may be many, and are not gone through in vain.
        closed, wait = (Kind.CREATE, room_in) if room_in > 0 else (None, math.inf)
        while taken is None and (uid := self.lanes.pop(closed=closed)) is not None:
            wish = self._wishes[uid]
            plan = self._plan(wish)
            if (write := wish.next_write(plan)) is None:
                self._place(wish)
                continue
            kind, what = write
            if now < wish.retry_at:
                kept.append((uid, kind))
                wait = min(wait, wish.retry_at - now)
                continue
            taken = self._call(wish, what)
            wish.sending.add(what if isinstance(what, ForwardRule) else what.entry_id)
            self.pace.sent()
            self._place(wish, front=True)
        for uid, kind in reversed(kept):
            self.lanes.add(uid, kind, since=self._wishes[uid].since, front=True)
        return taken, wait

    def _call(self, wish: Wish, what: ForwardRule | ForwardEntry) -> Create | Delete:
        if isinstance(what, ForwardRule):
            return Create(wish.mine.uid, wish.mine.name, what, wish.token(what), wish.mine.pod)
        owner = self._ownership.owner_in(what.name)
        leftover_of = owner if owner != wish.mine.uid else None
        return Delete(wish.mine.uid, what, wish.token(what.entry_id), leftover_of, wish.mine.pod)

    # What came of it.

    def created(self, job: Create, entry_id: str, now: float) -> None:
        """Take over that the cloud accepted a create."""
        self.pace.accepted(entry_id, Kind.CREATE, now)
        self.table.put(ForwardEntry(entry_id, job.name, job.rule, EntryStatus.PENDING))
        self.room.taken(len(self.table))
        self._written(job, now)

    def deleted(self, job: Delete, now: float) -> None:
        """Take over that the cloud accepted a delete."""
        entry = job.entry
        self.pace.accepted(entry.entry_id, Kind.DELETE, now)
        self.table.put(ForwardEntry(entry.entry_id, entry.name, entry.rule, EntryStatus.DELETING))
        self._written(job, now)

    def _written(self, job: Create | Delete, now: float) -> None:
        self._hold.recovered("writes")
        self._lookout.written(now)
        wish = self._wishes[job.uid]
        wish.fulfilled(job.rule if isinstance(job, Create) else job.entry.entry_id)
        wish.forgive()
        self._answered(job, wish, now)

    def _answered(self, job: Create | Delete, wish: Wish, now: float) -> None:
        wish.sending.discard(job.rule if isinstance(job, Create) else job.entry.entry_id)
        wish.quiet_since = now
        self._place(wish, front=True)

    def failed(self, job: Create | Delete, error: CloudError, now: float) -> None:
        """Take over that a write came to nothing, or that nobody knows."""
        wish = self._wishes[job.uid]
        if error.meaning is Meaning.BUSY:
            self.pace.refused(now)
            self.lanes.turn_again(Kind.CREATE if isinstance(job, Create) else Kind.DELETE)
        else:
            self.pace.failed()
        match error.meaning:
            case Meaning.BUSY | Meaning.THROTTLED:
                pass
            case Meaning.GONE if isinstance(job, Delete):
                self.table.remove(job.entry.entry_id)
                wish.fulfilled(job.entry.entry_id)
            case Meaning.UNKNOWN:
                self._doubt(job, wish, now)
                self._hold.failed("writes", error, now)
            case Meaning.TAKEN:
                self._doubt(job, wish, now)
                if wish.failures:
                    # The filters showed nobody: they find equal ports only, not a range that overlaps.
                    self._lookout.doubt(now)
                wish.put_off(now)
            case Meaning.FULL:
                self.room.refused(len(self.table), now)
            case Meaning.DENIED | Meaning.UNUSABLE:
                self._hold.failed("writes", error, now)
            case _:
                wish.problem = problem_of(error, self.gateway_id)
                wish.put_off(now, at_least=wish.problem.retry_after)
        self._answered(job, wish, now)

    def spared(self, job: Delete, now: float) -> None:
        """Take over that a leftover was not deleted after all: its PodDNAT lives."""
        self.pace.failed()
        self._wishes[job.uid].put_off(now)
        self._answered(job, self._wishes[job.uid], now)

    def _doubt(self, job: Create | Delete, wish: Wish, now: float) -> None:
        """Look before trying again: our picture of the table is wrong, or may be."""
        if isinstance(job, Create):
            wish.suspects.add(job.rule)
        else:
            self._lookout.doubt(now)

    def look_failed(self, error: CloudError, now: float) -> None:
        """Take over that a look was cut short."""
        self._lookout.failed(now)
        if error.meaning is not Meaning.THROTTLED:
            self._hold.failed("reads", error, now)

    def look_ended(self, now: float) -> None:
        """Take over that a look is complete."""
        self.pace.looked()
        self._hold.recovered("reads")
        for uid in list(self._watching):
            self._place(self._wishes[uid])
        self._lookout.ended(now, {entry for uid in self._watching for entry in self._wishes[uid].settling})

    def listed(self, listing: Listing, *, since: int, started_at: float, now: float) -> list[str]:
        """Take over what a look showed.

        ``since`` is the table's stamp, and ``started_at`` the time, from before it was asked for. Returns the uids
        whose entries should be swept, if their PodDNATs really are gone: nobody has wanted them for two listings.
        """
        listing.teach(self.table, since)
        self._notice(listing.entries, started_at, now)
        for uid in self._watching:
            self._take_notice(self._wishes[uid], listing, started_at, now)
        if listing.where != EVERYTHING:
            self._lookout.looked_at(listing.where)
            return []
        if started_at < self._fresh_from:
            return []
        self.loaded = True
        self._lookout.refreshed(now, whole=listing.whole)
        self.pace.forget_all_but(self.table.ids())
        return self._sweepable() if listing.whole else []

    def peeked(self, job: Peek, entries: Sequence[ForwardEntry], *, since: int, started_at: float, now: float) -> None:
        """Take over what a peek showed; it proves nothing about what it doesn't show."""
        self._lookout.peeked(job, entries)
        self.table.learn(entries, since=since, gone=())
        self._notice(entries, started_at, now)

    def _notice(self, entries: Sequence[ForwardEntry], started_at: float, now: float) -> None:
        for entry in entries:
            if entry.status is EntryStatus.AVAILABLE:
                self.pace.looked_settled(entry.entry_id, now)
            else:
                self.pace.looked_pending(entry.entry_id, started_at)

    def _take_notice(self, wish: Wish, listing: Listing, started_at: float, now: float) -> None:
        for entry in wish.settling:
            if self.table.get(entry.entry_id) is None:
                self.pace.looked_settled(entry.entry_id, now)
        if not listing.whole or started_at < wish.quiet_since or wish.sending:
            return
        # A listing of several pages can miss an entry when another one, on an earlier page, goes meanwhile.
        on_one_page = listing.where == EVERYTHING and len(listing.entries) <= ENTRIES_PER_PAGE
        if wish.release and (on_one_page or listing.where == EntryFilter(name=wish.mine.name)):
            wish.confirmed = not wish.mine.entries(self.table)
        wish.suspects = {rule for rule in wish.suspects if not _covers(listing.where, rule)}
        wish.looked_up |= {i for i in wish.doubted if listing.where in (EVERYTHING, EntryFilter(entry_id=i))}

    def _sweepable(self) -> list[str]:
        owners = {self._ownership.owner_in(entry.name) for entry in self.table}
        unclaimed = {uid for uid in owners if uid is not None and uid not in self._wishes and not self._is_alive(uid)}
        twice = sorted(unclaimed & self._unclaimed)
        self._unclaimed = unclaimed
        return twice


def _covers(where: EntryFilter, rule: ForwardRule) -> bool:
    """Whether a listing under this filter shows who holds a rule's sides. The internal look comes last."""
    return where in (
        EVERYTHING,
        EntryFilter(internal_ip=rule.internal_ip, internal_port=str(rule.internal_ports)),
    )
