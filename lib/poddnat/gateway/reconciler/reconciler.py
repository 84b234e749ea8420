"""What is to be done on one NAT gateway: what PodDNATs should have there, the table as last seen, and the next call.

No threads, no network, no clock: the caller brings the time, makes the calls that ``next`` chooses, and hands back
what came of them. Nothing is kept that can't be found out again: after a crash, the next process reads the table and
is told by the hooks what is desired. ``states`` has the table of what is done when.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from poddnat.api import Problem
from poddnat.cloud import CloudError, EntryFilter, EntryPage, Meaning, Scope, problem_of
from poddnat.gateway.intervals import POLL_TOGETHER, REQUEUE_LONGEST, STUCK_AFTER
from poddnat.gateway.problems import conflict_problem, entry_stuck, quota_exceeded, taken_by_unseen
from poddnat.gateway.progress import Blocked, Done, Progress, Waiting
from poddnat.gateway.reconciler.calls import Call, Create, Delete, Find, Kind, Read, ReadPage, Write
from poddnat.gateway.reconciler.concurrency import ConcurrencyLimiter
from poddnat.gateway.reconciler.desired import DesiredState, Item, Key, Unverified
from poddnat.gateway.reconciler.ownership import Ownership
from poddnat.gateway.reconciler.plan import OwnEntries, Plan, make_plan
from poddnat.gateway.reconciler.poller import MOST_FILTERS, Asked, Listing, Poller
from poddnat.gateway.reconciler.states import STEPS, EntryState, Evidence
from poddnat.gateway.reconciler.stats import GatewayStats
from poddnat.gateway.reconciler.table import Table
from poddnat.gateway.reconciler.work_queue import MOST_TURNS, WorkQueue
from poddnat.gateway.reconciler.write_gate import WriteGate
from poddnat.model import EntryStatus, ForwardEntry, ForwardRule

EVERYTHING = EntryFilter()
_FAILURES_TO_TELL = 3
_TRIES_TO_TELL = 7
"""A write refused so often in a row has been for about a minute, by its backoff."""
_MOVING = frozenset({EntryState.PENDING, EntryState.SURPLUS, EntryState.DELETING})


class Gates(Protocol):
    """What holds calls back beyond this gateway: the rate limits, and the read budget."""

    def wait(self, kind: Kind | None) -> float:
        """Give the seconds until a write of a class, or a read (None), may go out; 0 means now."""

    def refresh_wait(self) -> float:
        """Give the seconds until a page may be read that nobody waits for."""


class Reconciler:
    """The state of one gateway's work. Not safe for use from several threads at once."""

    def __init__(self, gateway_id: str, ownership: Ownership, is_alive: Callable[[str], bool]) -> None:
        """``is_alive`` tells of a PodDNAT's uid, from memory, whether it exists."""
        self.gateway_id = gateway_id
        self.table = Table()
        self.concurrency = ConcurrencyLimiter()
        self.queue = WorkQueue()
        self.gate = WriteGate(gateway_id)
        self.loaded = False
        """Whether the whole table has been listed since the start."""
        self._current = False
        # Whether it has been listed since this process is the active one: before, others may have written.
        self._current_from = -math.inf
        self._poller = Poller()
        self._asked: list[Asked] = []
        self._due_last = False
        self._ownership = ownership
        self._known_alive = is_alive
        self._desired: dict[str, DesiredState] = {}
        self._watching: dict[str, set[str]] = {}
        # By an entry's id: the PodDNATs that wait for it to change.
        self._proven: dict[EntryFilter, float] = {}
        # By the read under way: what it has shown whole, and when that was asked for.
        self._suspects: dict[str, None] = {}
        # Entries of ours that the last listing, of several pages, did not show: asked for by id before it is believed.
        self._listed = False
        # Whether a listing of the whole table has ended that nobody was told of yet.
        self._read_error: CloudError | None = None
        self._refused_uids: set[str] = set()
        self._last_refused = ""
        # Whose writes the gateway was too busy for since it took one.

    def invalidate(self) -> None:
        """Have the whole table listed as soon as may be: somebody doubts what is known of it."""
        self._poller.invalidate()

    def resync(self, now: float) -> None:
        """Take over from another writer: what is known of the table may be old, and is verified before it is used."""
        self._current, self._current_from = False, now
        self._poller.begin_anew()

    # What is desired.

    def set_desired(
        self, own: OwnEntries, rules: tuple[ForwardRule, ...], now: float, *, release: bool = False
    ) -> Progress:
        """Set what a PodDNAT should have, or that it is to be released, and tell how far it is."""
        desired = self._desired.get(own.uid)
        if desired is None:
            desired = DesiredState(own, rules, since=now, quiet_since=now, release=release, moved_at=now)
            self._desired[own.uid] = desired
            self._verify(desired)
        elif (rules, release) != (desired.rules, desired.release):
            desired.change(own, rules, release=release, now=now)
            self._verify(desired)
        else:
            desired.own = own
        plan = self._place(desired, now)
        if self._is_fulfilled(desired, plan):
            self._forget(own.uid)
            return Done(plan.working)
        return self._progress(desired, plan, now)

    def working(self, own: OwnEntries, rules: tuple[ForwardRule, ...]) -> Done | None:
        """Tell whether a PodDNAT has exactly these rules, without desiring anything; None: not so, or not known."""
        if not self.loaded or own.uid in self._desired:
            return None
        plan = make_plan(rules, self.table, own, self._ownership, self._is_alive)
        return Done(plan.working) if plan.at_rest else None

    def orphan(self, own: OwnEntries, now: float) -> None:
        """Release a PodDNAT that went without asking for it; nobody waits for the outcome."""
        self.set_desired(own, (), now, release=True)
        if (desired := self._desired.get(own.uid)) is not None:
            desired.orphaned = True

    def has_any(self, own: OwnEntries) -> bool:
        """Whether there is, or is about to be, anything of a PodDNAT here."""
        return own.uid in self._desired or bool(own.entries(self.table))

    def is_busy_with(self, uid: str) -> bool:
        """Whether something of a PodDNAT is being changed here."""
        return uid in self._desired

    def stats(self, now: float) -> GatewayStats:
        """Tell how the work stands."""
        since = {kind: [self._desired[uid].since for uid in self.queue.uids(kind)] for kind in Kind}
        return GatewayStats(
            waiting={kind: len(times) for kind, times in since.items()},
            oldest_seconds={kind: now - min(times, default=now) for kind, times in since.items()},
            watching=len(self._desired) - len(self.queue),
            in_flight=self.concurrency.in_flight,
            unsettled=self.concurrency.unsettled,
            limit=self.concurrency.limit,
            entries=len(self.table),
            quota=self.gate.quota.known,
            loaded=self.loaded,
        )

    def _verify(self, desired: DesiredState) -> None:
        """Have a read tell what a PodDNAT has where the table doesn't: it is old, or the end of all has to be proven."""
        desired.confirmed = not desired.release and (self._current or bool(desired.rules))
        if not self._current:
            desired.unverified.update(dict.fromkeys(desired.rules, Unverified(Evidence.BY_NAME, desired.since)))

    def _plan(self, desired: DesiredState) -> Plan:
        return make_plan(desired.rules, self.table, desired.own, self._ownership, self._is_alive)

    def _is_alive(self, uid: str) -> bool:
        desired = self._desired.get(uid)
        return not desired.release if desired is not None else self._known_alive(uid)

    def _is_fulfilled(self, desired: DesiredState, plan: Plan) -> bool:
        return plan.at_rest and desired.confirmed and not desired.in_flight

    def _progress(self, desired: DesiredState, plan: Plan, now: float) -> Progress:
        entries = desired.own.entries(self.table) if desired.release else plan.working
        working = tuple(entry for entry in entries if entry.status is EntryStatus.AVAILABLE)
        if (problem := self._problem(desired, plan, now)) is not None:
            return Blocked(problem, working)
        # Half of the time that is left: who asks too late is told too late, when things go faster than thought.
        seconds = self.queue.ahead(desired.own.uid) * self.concurrency.seconds_per_write() / 2
        return Waiting(min(seconds, REQUEUE_LONGEST), working)

    def _problem(self, desired: DesiredState, plan: Plan, now: float) -> Problem | None:
        """Tell what is the matter, beginning with what is the PodDNAT's own; None: nothing that would last."""
        items = desired.items(plan)
        if (
            not desired.unverified_conflicts(items)
            and (conflict := conflict_problem(plan, self._ownership)) is not None
        ):
            return conflict
        if desired.problem is not None:
            return desired.problem
        if plan.creates and self.gate.quota.is_full(len(self.table), now):
            missing = [self._desired[uid].missing for uid in self.queue.uids(Kind.CREATE)]
            return quota_exceeded(self.gateway_id, self.gate.quota.known, len(missing), sum(missing))
        if (held_back := self._held_back(desired)) is not None:
            return held_back
        stuck = [item.entry for item in items if item.state in _MOVING and item.entry is not None]
        if stuck and now - desired.moved_at > STUCK_AFTER:
            return entry_stuck(self.gateway_id, stuck[0], STUCK_AFTER)
        return None

    def _held_back(self, desired: DesiredState) -> Problem | None:
        """Tell what keeps the gateway, or the PodDNAT's address, from being read or written."""
        address = desired.rules[0].external_ip if desired.rules else None
        if (problem := self.gate.problem(address)) is not None:
            return problem
        error = self._read_error
        if error is None or (error.passes and self._poller.failures < _FAILURES_TO_TELL):
            return None
        return problem_of(error, self.gateway_id)

    def _place(self, desired: DesiredState, now: float, *, goes_on: bool = False) -> Plan:
        """Put a PodDNAT where it belongs: into the queue if it has something to write, and have asked what it waits for.

        ``goes_on``: it has just had its turn, and may have some more before others.
        """
        plan = self._plan(desired)
        items = desired.items(plan)
        desired.take_notice(items, now)
        self._queue(desired, items, now, goes_on=goes_on)
        self._watch(desired, items)
        self._poll(desired, items, now)
        if desired.orphaned and self._is_fulfilled(desired, plan):
            self._forget(desired.own.uid)
        return plan

    def _queue(self, desired: DesiredState, items: Sequence[Item], now: float, *, goes_on: bool) -> None:
        uid = desired.own.uid
        if (write := desired.next_write(items)) is None:
            self.queue.remove(uid)
            return
        kind, item = write
        at = max(desired.retry_at, self.gate.opens_at(item.external_ip))
        if at > now:
            self.queue.add_after(uid, kind, at)
        elif goes_on and desired.turns >= MOST_TURNS:
            desired.turns = 0
            self.queue.add(uid, kind)
        else:
            self.queue.add(uid, kind, front=goes_on)

    def _watch(self, desired: DesiredState, items: Sequence[Item]) -> None:
        uid = desired.own.uid
        entry_ids = {item.entry.entry_id for item in items if item.entry is not None and STEPS[item.state].evidence}
        for entry_id in desired.watched - entry_ids:
            self._unwatch(entry_id, uid)
        for entry_id in entry_ids - desired.watched:
            self._watching.setdefault(entry_id, set()).add(uid)
        desired.watched = entry_ids

    def _unwatch(self, entry_id: str, uid: str) -> None:
        watchers = self._watching[entry_id]
        watchers.discard(uid)
        if not watchers:
            del self._watching[entry_id]

    def _poll(self, desired: DesiredState, items: Sequence[Item], now: float) -> None:
        """Plan when to ask for what: anew for items that have come into another state."""
        polls = {}
        for item in items:
            if not STEPS[item.state].evidence or item.key in desired.in_flight:
                continue
            expected_at = self._expected_at(item.key, item.state)
            poll = desired.polls.get(item.key)
            if poll is None or poll.state is not item.state:
                poll = desired.first_poll(item, now, expected_at)
            elif expected_at > now and not math.isinf(poll.at):
                poll.at = expected_at
            polls[item.key] = poll
        desired.polls = polls
        self._poller.schedule(desired.own.uid, desired.next_poll())

    def _expected_at(self, key: Key, state: EntryState) -> float:
        """Give the time at which asking for an entry is worth a read; -inf: nobody knows.

        Where several settle at once, they are asked for together: one page may show them all.
        """
        if state not in _MOVING:
            return -math.inf
        at = self.concurrency.expected_at(str(key), more_to_write=len(self.queue) > 0)
        return math.ceil(at / POLL_TOGETHER) * POLL_TOGETHER if self.concurrency.limit > 1 and at > 0 else at

    def _forget(self, uid: str) -> None:
        desired = self._desired.pop(uid, None)
        self.queue.remove(uid)
        self._poller.schedule(uid, math.inf)
        for entry_id in desired.watched if desired is not None else ():
            self._unwatch(entry_id, uid)

    # What to do next.

    def next(self, now: float, gates: Gates, *, may_write: bool = True) -> tuple[Call | None, float]:
        """Choose the next call, or say in how many seconds to ask again."""
        read, wait = self._next_read(now, gates)
        if read is not None or not may_write:
            return read, wait
        write, write_wait = self._next_write(now, gates)
        return write, min(wait, write_wait)

    def _next_read(self, now: float, gates: Gates) -> tuple[Read | None, float]:
        if self._poller.reading:
            return None, math.inf
        if (closed := max(gates.wait(None), self._poller.retry_at - now)) > 0:
            return None, closed
        read = None if self._due_last or self._poller.listing_is_cheaper else self._due(now)
        self._due_last = read is not None
        wait = math.inf
        if read is None:
            read, wait = self._poller.next_page(now, refresh_wait=gates.refresh_wait(), stamp=self.table.now())
            read = read or self._due(now)
        self._poller.reading = read is not None
        return read, min(wait, self._poller.next_due() - now)

    def _due(self, now: float) -> Read | None:
        """Choose a read for what is due, or for what a listing did not show."""
        asked: list[Asked] = []
        for uid in self._poller.take_due(now):
            desired = self._desired[uid]
            for item in desired.items(self._place(desired, now)):
                poll = desired.polls.get(item.key)
                if poll is not None and poll.at <= now:
                    pending = item.entry is not None and item.state in {EntryState.PENDING, EntryState.SURPLUS}
                    asked.append(Asked(uid, item.key, poll, desired.filters(item), pending))
                    poll.at = math.inf
            self._poller.schedule(uid, desired.next_poll())
        self._asked = asked
        if asked:
            return self._poller.choose(asked)
        suspects = [EntryFilter(entry_id=entry_id) for entry_id in self._suspects][:MOST_FILTERS]
        return Find(tuple(suspects)) if suspects else None

    def _next_write(self, now: float, gates: Gates) -> tuple[Write | None, float]:
        if not len(self.queue):
            return None, math.inf
        if (wait := max(self.concurrency.wait(now), self.gate.gateway_opens_at - now)) > 0:
            return None, wait
        closed, wait = self._closed(now, gates)
        while (uid := self.queue.pop(now, closed=closed)) is not None:
            desired = self._desired[uid]
            items = desired.items(self._plan(desired))
            write = desired.next_write(items)
            if write is None or max(desired.retry_at, self.gate.opens_at(write[1].external_ip)) > now:
                self._place(desired, now)
                continue
            call = self._call(desired, write[1])
            desired.in_flight.add(write[1].key)
            desired.turns += 1
            self.concurrency.sent()
            self._place(desired, now, goes_on=True)
            return call, 0.0
        return None, min(wait, self.queue.next_at() - now)

    def _closed(self, now: float, gates: Gates) -> tuple[set[Kind], float]:
        """Tell which classes of writes can't be sent now, and in how many seconds one of them can."""
        waits = {kind: gates.wait(kind) for kind in Kind}
        if self.queue.uids(Kind.CREATE):
            free_at = self.gate.quota.free_at(len(self.table), self.concurrency.in_flight, now)
            waits[Kind.CREATE] = max(waits[Kind.CREATE], free_at - now)
        closed = {kind: wait for kind, wait in waits.items() if wait > 0}
        return set(closed), min(closed.values(), default=math.inf)

    def _call(self, desired: DesiredState, item: Item) -> Write:
        own, token = desired.own, desired.token(item.key)
        if (rule := item.rule) is not None:
            return Create(own.uid, own.name, rule, token, own.pod)
        if item.entry is None:
            raise ValueError(f"{item} is nothing to delete")
        owner = self._ownership.owner_in(item.entry.name)
        return Delete(own.uid, item.entry, token, owner if owner != own.uid else None, own.pod)

    # What came of writes.

    def created(self, call: Create, entry_id: str, table_id: str, now: float) -> None:
        """Take over that the cloud accepted a create."""
        self.concurrency.accepted(entry_id, Kind.CREATE, now)
        self.table.put(ForwardEntry(entry_id, call.name, call.rule, EntryStatus.PENDING, table_id))
        self.gate.quota.taken(len(self.table))
        self._passed(call, now)

    def deleted(self, call: Delete, now: float) -> None:
        """Take over that the cloud accepted a delete."""
        self.concurrency.accepted(call.entry.entry_id, Kind.DELETE, now)
        self._put(call.entry, EntryStatus.DELETING, now)
        self._passed(call, now)

    def vetoed(self, call: Delete, now: float) -> None:
        """Take over that a leftover was not deleted after all: its PodDNAT lives."""
        self.concurrency.failed()
        self._desired[call.uid].put_off(now)
        self._answered(call, now)

    def failed(self, call: Write, error: CloudError, now: float) -> None:
        """Take over that a write came to nothing, or that nobody knows."""
        desired = self._desired[call.uid]
        if error.meaning is Meaning.BUSY:
            self._refused(call, desired, error, now)
        else:
            self.concurrency.failed()
        match error.meaning:
            case Meaning.BUSY | Meaning.THROTTLED:
                pass
            case Meaning.FULL:
                self.gate.quota.refused(len(self.table), now)
            case Meaning.GONE if isinstance(call, Delete):
                desired.intent_ended(call.key)
                self.table.remove(call.entry.entry_id)
                self._changed({call.entry.entry_id}, now)
            case Meaning.UNKNOWN | Meaning.TOKEN_MISMATCH | Meaning.TAKEN:
                self._unknown(call, desired, error, now)
            case Meaning.DENIED | Meaning.UNUSABLE:
                self.gate.failed(error, call.uid, call.rule.external_ip, now)
            case Meaning.UNLISTED:
                self._put_off(desired, error, now)
            case _:
                desired.problem = problem_of(error, self.gateway_id)
                desired.put_off(now, at_least=desired.problem.retry_after)
        self._answered(call, now)

    def _refused(self, call: Write, desired: DesiredState, error: CloudError, now: float) -> None:
        """Take over that a write came too early: for its entry, its address, or the gateway."""
        self._refused_uids.add(call.uid)
        is_suspect = desired.backoff.failures > 0 or (self._last_refused == call.uid)
        self._last_refused = call.uid
        if error.scope is Scope.GATEWAY and (len(self._refused_uids) > 1 or not is_suspect):
            self.concurrency.refused(now)
            self.queue.turn_again(call.kind)
            return
        # The same one again, while nobody knows of others: it waits behind them.
        self.concurrency.failed()
        if error.scope is Scope.ADDRESS:
            self.gate.failed(error, call.uid, call.rule.external_ip, now)
        elif isinstance(call, Delete):
            self._put(call.entry, EntryStatus.MODIFYING, now)  # It is not settled after all, and is asked for.
        self._put_off(desired, error, now)

    def _unknown(self, call: Write, desired: DesiredState, error: CloudError, now: float) -> None:
        """Take over that a write may have been done, or that somebody unseen is in its way: a read has to tell."""
        if error.meaning is Meaning.TOKEN_MISMATCH:
            desired.intent_ended(call.key)
        if error.meaning is Meaning.UNKNOWN:
            self.gate.failed(error, call.uid, call.rule.external_ip, now)
        desired.put_off(now)
        if isinstance(call, Delete):
            self._put(call.entry, EntryStatus.MODIFYING, now)
            return
        desired.unverified[call.rule] = Unverified(Evidence.BY_SIDES, now)
        if error.meaning is Meaning.TAKEN and desired.backoff.failures > 1:
            # The filters showed nobody: they find equal ports only, not a range that overlaps.
            self.invalidate()
            if desired.backoff.failures >= _FAILURES_TO_TELL:
                desired.problem = taken_by_unseen(call.rule, error)

    def _put_off(self, desired: DesiredState, error: CloudError, now: float) -> None:
        """Try again later and ever later; what doesn't pass within a minute or so is told."""
        desired.put_off(now)
        if desired.backoff.failures >= _TRIES_TO_TELL:
            desired.problem = problem_of(error, self.gateway_id)

    def _put(self, entry: ForwardEntry, status: EntryStatus, now: float) -> None:
        self.table.put(replace(entry, status=status))
        self._changed({entry.entry_id}, now)

    def _passed(self, call: Write, now: float) -> None:
        self.gate.passed(call.rule.external_ip)
        self._refused_uids.clear()
        self._last_refused = ""
        desired = self._desired[call.uid]
        desired.intent_ended(call.key)
        desired.unverified.pop(call.rule, None)
        desired.reset_backoff()
        self._answered(call, now)

    def _answered(self, call: Write, now: float) -> None:
        desired = self._desired[call.uid]
        desired.in_flight.discard(call.key)
        desired.quiet_since = now
        self._place(desired, now, goes_on=True)

    # What came of reads.

    def found(self, where: EntryFilter, page: EntryPage, *, since: int, started_at: float, now: float) -> None:
        """Take over all that was listed under a filter; ``page.total`` says whether it is.

        ``since`` is the table's stamp, and ``started_at`` the time, from before it was asked for.
        """
        shown = {entry.entry_id for entry in page.entries}
        self._merge(page.entries, since=since, started_at=started_at, now=now)
        if where.entry_id is not None:
            self._suspects.pop(where.entry_id, None)
        if page.total == len(page.entries):
            self._proven[where] = started_at
            self._drop((i for i in self._near(where) if i not in shown), since=since, now=now)

    def page_read(self, call: ReadPage, page: EntryPage, *, since: int, started_at: float, now: float) -> None:
        """Take over one page of the table."""
        shown = {entry.entry_id for entry in page.entries}
        self._merge(page.entries, since=since, started_at=started_at, now=now)
        if not call.listing:
            self._poller.page_showed([str(one.key) for one in self._asked], shown, page.total)
            return
        if call.page == 1 and page.total == len(page.entries):
            self._proven[EVERYTHING] = started_at
            self._drop((i for i in self.table.ids() if i not in shown), since=since, now=now)
        listing = self._poller.page_read(
            shown=len(page.entries), total=page.total, since=since, started_at=started_at, now=now
        )
        if listing is not None:
            self._take_listing(listing, now)

    def read_ended(self, now: float) -> None:
        """Take over that a read is complete: what it has not changed is asked for again later."""
        self._read_error = None
        self._poller.worked()
        asked, proven, self._asked, self._proven = self._asked, self._proven, [], {}
        for one in asked:
            desired = self._desired.get(one.uid)
            if desired is None:
                continue
            times = [proven.get(EVERYTHING, proven.get(where)) for where in one.filters]
            if None not in times:
                self._prove(desired, one, min(time for time in times if time is not None), now)
        for uid in {one.uid for one in asked} & self._desired.keys():
            self._place(self._desired[uid], now)
        self._ask_again(asked, now)

    def read_failed(self, error: CloudError, now: float) -> None:
        """Take over that a read was cut short."""
        asked, self._asked, self._proven = self._asked, [], {}
        self._poller.reading = False
        if error.meaning is not Meaning.THROTTLED:
            self._read_error = error
            self._poller.failed(now)
        self._ask_again(asked, now)

    def _ask_again(self, asked: Sequence[Asked], now: float) -> None:
        self._poller.reading = False
        for one in asked:
            desired = self._desired.get(one.uid)
            if desired is not None and desired.polls.get(one.key) is one.poll:
                one.poll.again(now, not_before=self._expected_at(one.key, one.poll.state))
                self._poller.schedule(one.uid, desired.next_poll())

    def _prove(self, desired: DesiredState, asked: Asked, started_at: float, now: float) -> None:
        """Take over that a read told of an item for sure, where that is more than the table shows by now."""
        quiet = not desired.in_flight and started_at >= desired.quiet_since
        match asked.poll.state:
            case EntryState.CONFLICT:
                desired.conflicts_seen[str(asked.key)] = now
            case EntryState.UNVERIFIED if isinstance(asked.key, ForwardRule):
                unverified = desired.unverified.get(asked.key)
                if unverified is not None and started_at >= unverified.since:
                    del desired.unverified[asked.key]
            case EntryState.GONE | EntryState.DELETING if quiet and EntryFilter(name=desired.own.name) in asked.filters:
                desired.confirmed = bool(desired.rules) or not desired.own.entries(self.table)

    def _merge(self, rows: Sequence[ForwardEntry], *, since: int, started_at: float, now: float) -> None:
        changed = self.table.merge(rows, since=since)
        for row in rows:
            if row.status is EntryStatus.AVAILABLE:
                self.concurrency.seen_settled(row.entry_id, now)
            else:
                self.concurrency.seen_pending(row.entry_id, started_at)
        self._changed(changed, now)

    def _drop(self, entry_ids: Iterable[str], *, since: int, now: float) -> None:
        gone = self.table.drop([*entry_ids], since=since)
        for entry_id in gone:
            self.concurrency.seen_settled(entry_id, now)
        self._changed(gone, now)

    def _changed(self, entry_ids: Collection[str], now: float) -> None:
        """See what entries that have changed mean for those who wait for them."""
        uids = {uid for entry_id in entry_ids for uid in self._watching.get(entry_id, ())}
        for uid in uids:
            self._place(self._desired[uid], now)

    def _near(self, where: EntryFilter) -> list[str]:
        """List the entries that a filter would show."""
        if where.entry_id is not None:
            near: Iterable[ForwardEntry | None] = [self.table.get(where.entry_id)]
        elif where.name is not None:
            near = self.table.named(where.name)
        else:
            near = self.table
        return [entry.entry_id for entry in near if entry is not None and where.matches(entry)]

    def _take_listing(self, listing: Listing, now: float) -> None:
        """Take over a listing of the whole table; what several pages did not show is only suspected to have gone."""
        missing = self.table.not_shown(since=listing.since)
        ours = [entry.entry_id for entry in missing if self._ownership.owner_in(entry.name) is not None]
        foreign = {entry.entry_id for entry in missing}.difference(ours)
        self._drop(self.table.unseen_twice(foreign), since=self.table.now(), now=now)
        self._suspects = dict.fromkeys(ours)
        self.concurrency.forget_all_but(self.table.ids())
        self.loaded = self._listed = True
        self._current = self._current or listing.started_at >= self._current_from
        for desired in list(self._desired.values()):
            if self._current:
                desired.trust_table()
            self._place(desired, now)

    def take_listed(self) -> bool:
        """Tell, once each time, that the whole table has been listed and what it did not show been asked for."""
        listed, self._listed = self._listed and not self._suspects, self._listed and bool(self._suspects)
        return listed

    def unclaimed(self) -> list[str]:
        """List the PodDNATs named by entries that nobody desires anything for, as far as is known."""
        owners = {self._ownership.owner_in(name) for name in self.table.names()}
        return sorted(uid for uid in owners if uid is not None and uid not in self._desired and not self._is_alive(uid))
