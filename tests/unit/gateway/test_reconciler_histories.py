"""Whatever happens on a gateway, in whatever order: nothing is forgotten, nothing foreign harmed, all comes right."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition
from hypothesis.stateful import rule as step

from poddnat.cloud import ENTRIES_PER_PAGE, CloudError, EntryPage, Meaning, Scope
from poddnat.gateway import Done, OwnEntries
from poddnat.gateway.reconciler import Create, Delete, Find, Kind, ReadPage, Reconciler
from poddnat.model import EntryStatus, ForwardEntry, ForwardRule, Ports, Protocol
from tests.unit.gateway.fake_table import FOREIGN, OWNERSHIP, Gates, foreign_rows

if TYPE_CHECKING:
    from poddnat.cloud import EntryFilter
    from poddnat.gateway.reconciler import Call

UIDS = ("uid-1", "uid-2", "uid-3")
EIPS = ("203.0.113.1", "203.0.113.2")
HOOKS_ASK_EVERY = 5.0
COMES_RIGHT_WITHIN = 900.0
"""Two refreshes of the table and a little: what others did behind our back is found out by these only."""
AT_REST = 900.0

uids = st.sampled_from(UIDS)
ports = st.integers(1, 3)
numbers = st.integers(0, 99)

BUSY = [
    ("IncorretForwardEntryStatus", Scope.GATEWAY),
    ("LastTokenProcessing", Scope.ENTRY),
    ("OperationUnsupported.EipInBinding", Scope.ADDRESS),
]
FAULTS = [
    *((Meaning.BUSY, code, scope) for code, scope in BUSY),
    (Meaning.THROTTLED, "Throttling.User", Scope.ACTION),
    (Meaning.FULL, "QuotaExceeded", Scope.GATEWAY),
    (Meaning.DENIED, "Forbidden.RAM", Scope.ACCOUNT),
    (Meaning.UNUSABLE, "Invalid.natgwNotExist", Scope.GATEWAY),
    (Meaning.UNLISTED, "NeverHeardOf", Scope.UNCLEAR),
    (Meaning.TOKEN_MISMATCH, "IdempotentParameterMismatch", Scope.ENTRY),
    (Meaning.WRONG, "InvalidInternalIp.Malformed", Scope.ENTRY),
    (Meaning.ADDRESS, "InvalidIp.NotInNatgw", Scope.ADDRESS),
    (Meaning.TAKEN, "OperationUnsupported.ForwardEntry", Scope.ENTRY),
    (Meaning.UNKNOWN, "NoAnswer", Scope.UNCLEAR),
]


def error(meaning: Meaning, code: str, scope: Scope) -> CloudError:
    return CloudError(meaning, action="CreateForwardEntry", code=code, message="it says", scope=scope)


def rule_of(uid: str, port: int, shift: int = 0) -> ForwardRule:
    """Give a PodDNAT's rule for one of its ports; ``shift`` has it on another external port."""
    number = UIDS.index(uid)
    external = Ports.of(1000 + 10 * number + port + 100 * shift)
    return ForwardRule(EIPS[number % 2], external, f"172.16.0.{number + 1}", Ports.of(port), Protocol.TCP)


class Histories(RuleBasedStateMachine):
    """One gateway's table, all who write to it, and the reconciler."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.rows: dict[str, ForwardEntry] = {}
        self.hidden: set[str] = set()
        """Ids of entries that nobody is shown."""
        self.tokens: dict[str, tuple[object, str]] = {}
        """What each ClientToken was first used for, and the result."""
        self.alive: set[str] = set(UIDS)
        self.wanted: dict[str, tuple[tuple[ForwardRule, ...], bool]] = {}
        """What hooks ask for, over and over, until it is done."""
        self.rest: dict[str, tuple[ForwardRule, ...]] = {}
        """What PodDNATs were told to have."""
        self.writes: list[Create | Delete] = []
        self.read: Find | ReadPage | None = None
        self.read_parts: list[tuple[EntryFilter | None, int]] = []
        self.gates = Gates()
        self.calls: Counter[str] = Counter()
        self.ids = itertools.count()
        self.reconciler = Reconciler("ngw-1", OWNERSHIP, self.alive.__contains__)

    @initialize(foreign=st.sampled_from([0, 1, 48, 60, 120]), limit=st.sampled_from([1, 8]))
    def begin(self, foreign: int, limit: int) -> None:
        self.rows = {row.entry_id: row for row in foreign_rows(foreign)}
        self.reconciler._state.concurrency.limit = limit

    # What hooks ask for.

    @step(uid=uids, chosen=st.sets(ports, min_size=1), shift=st.booleans())
    def set_desired(self, uid: str, chosen: set[int], shift: bool) -> None:  # noqa: FBT001
        self.alive.add(uid)
        self.wanted[uid] = (tuple(rule_of(uid, port, shift) for port in sorted(chosen)), False)
        self.ask(uid)

    @step(uid=uids)
    def release(self, uid: str) -> None:
        self.wanted[uid] = ((), True)
        self.ask(uid)

    @step(uid=uids)
    def withdraw(self, uid: str) -> None:
        if uid in self.alive:
            self.wanted[uid] = ((), False)
            self.ask(uid)

    @step(uid=uids)
    def orphan(self, uid: str) -> None:
        self.alive.discard(uid)
        self.wanted.pop(uid, None)
        self.rest.pop(uid, None)
        if self.reconciler.has_any(self.own(uid)):
            self.reconciler.orphan(self.own(uid), self.now)

    @step()
    def ask_again(self) -> None:
        for uid in list(self.wanted):
            self.ask(uid)

    def own(self, uid: str) -> OwnEntries:
        return OwnEntries(uid, OWNERSHIP.name_of(uid))

    def ask(self, uid: str) -> object:
        rules, release = self.wanted[uid]
        progress = self.reconciler.set_desired(self.own(uid), rules, self.now, release=release)
        if isinstance(progress, Done):
            del self.wanted[uid]
            self.rest[uid] = rules
            if release:
                self.released(uid)
        return progress

    def released(self, uid: str) -> None:
        assert not [row for row in self.rows.values() if row.name == OWNERSHIP.name_of(uid)]
        assert not [call for call in self.writes if call.uid == uid]
        self.alive.discard(uid)
        del self.rest[uid]

    # What the reconciler does.

    @step(may_write=st.booleans())
    def call(self, may_write: bool) -> None:  # noqa: FBT001
        call, wait = self.reconciler.next(self.now, self.gates, may_write=may_write)
        assert call is not None or wait > 0
        if call is not None:
            self.take(call)

    def take(self, call: Call) -> None:
        if isinstance(call, Create | Delete):
            assert call.key not in [other.key for other in self.writes if other.uid == call.uid]
            if isinstance(call, Delete):
                owner = OWNERSHIP.owner_in(call.entry.name)
                assert owner is not None
                assert owner in (call.uid, call.leftover_of)
            self.writes.append(call)
        else:
            assert self.read is None
            self.read = call
            self.read_parts = (
                [(None, call.page)] if isinstance(call, ReadPage) else [(where, 1) for where in call.filters]
            )

    # What becomes of writes.

    @precondition(lambda self: self.writes)
    @step(number=numbers)
    def write_done(self, number: int) -> None:
        self.finish(self.writes.pop(number % len(self.writes)))

    @precondition(lambda self: self.writes)
    @step(number=numbers, fault=st.sampled_from(FAULTS))
    def write_refused(self, number: int, fault: tuple[Meaning, str, Scope]) -> None:
        self.reconciler.writes.failed(self.writes.pop(number % len(self.writes)), error(*fault), self.now)

    @precondition(lambda self: self.writes)
    @step(number=numbers)
    def write_done_but_answer_lost(self, number: int) -> None:
        call = self.writes.pop(number % len(self.writes))
        self.do(call)
        self.reconciler.writes.failed(call, error(Meaning.UNKNOWN, "NoAnswer", Scope.UNCLEAR), self.now)

    def finish(self, call: Create | Delete) -> None:
        result = self.do(call)
        if isinstance(result, CloudError):
            self.reconciler.writes.failed(call, result, self.now)
        elif result is None:
            assert isinstance(call, Delete)
            self.reconciler.writes.vetoed(call, self.now)
        elif isinstance(call, Create):
            self.reconciler.writes.created(call, result, "ftb-1", self.now)
        else:
            self.reconciler.writes.deleted(call, self.now)

    def do(self, call: Create | Delete) -> str | CloudError | None:
        """Do what the API does; returns the entry's id, or None for a leftover of a PodDNAT that lives."""
        if isinstance(call, Delete) and call.leftover_of is not None and call.leftover_of in self.alive:
            return None
        if call.token in self.tokens:
            what, entry_id = self.tokens[call.token]
            if what != (type(call), call.key):
                return error(Meaning.TOKEN_MISMATCH, "IdempotentParameterMismatch", Scope.ENTRY)
            return entry_id
        result = self.create(call) if isinstance(call, Create) else self.delete(call)
        if isinstance(result, str):
            self.tokens[call.token] = ((type(call), call.key), result)
        return result

    def create(self, call: Create) -> str | CloudError:
        for row in self.rows.values():
            if row.rule.clashes_outside(call.rule) or row.rule.clashes_inside(call.rule):
                return error(Meaning.TAKEN, "OperationUnsupported.ForwardEntry", Scope.ENTRY)
        entry_id = f"fwd-{next(self.ids)}"
        self.rows[entry_id] = ForwardEntry(entry_id, call.name, call.rule, EntryStatus.PENDING)
        return entry_id

    def delete(self, call: Delete) -> str | CloudError:
        row = self.rows.get(call.entry.entry_id)
        if row is None:
            return error(Meaning.GONE, "InvalidForwardEntryId.NotFound", Scope.ENTRY)
        assert OWNERSHIP.owner_in(row.name) in {call.uid, call.leftover_of}
        if row.status is not EntryStatus.AVAILABLE:
            return error(Meaning.BUSY, "IncorretForwardEntryStatus", Scope.GATEWAY)
        self.rows[row.entry_id] = replace(row, status=EntryStatus.DELETING)
        return row.entry_id

    # What becomes of reads.

    @precondition(lambda self: self.read)
    @step()
    def read_on(self) -> None:
        call = self.read
        assert call is not None
        where, number = self.read_parts.pop(0)
        since, started_at = self.reconciler.table.now(), self.now
        found = [
            row
            for row in self.rows.values()
            if row.entry_id not in self.hidden and (where is None or where.matches(row))
        ]
        first = (number - 1) * ENTRIES_PER_PAGE
        page = EntryPage(tuple(found[first : first + ENTRIES_PER_PAGE]), len(found))
        self.now += 0.01
        if isinstance(call, ReadPage):
            self.reconciler.reads.page_read(call, page, since=since, started_at=started_at, now=self.now)
        else:
            assert where is not None
            self.reconciler.reads.found(where, page, since=since, started_at=started_at, now=self.now)
        if not self.read_parts:
            self.read = None
            self.reconciler.reads.ended(self.now)
            self.collect()

    @precondition(lambda self: self.read)
    @step(
        fault=st.sampled_from(
            [
                (Meaning.THROTTLED, "Throttling", Scope.ACTION),
                (Meaning.UNKNOWN, "NoAnswer", Scope.UNCLEAR),
                (Meaning.DENIED, "Forbidden.RAM", Scope.ACCOUNT),
            ]
        )
    )
    def read_fails(self, fault: tuple[Meaning, str, Scope]) -> None:
        self.read, self.read_parts = None, []
        self.reconciler.reads.failed(error(*fault), self.now)

    def collect(self) -> None:
        if self.reconciler.reads.take_listed():
            for uid in self.reconciler.unclaimed():
                if uid not in self.alive:
                    self.reconciler.orphan(self.own(uid), self.now)

    # What others do, and time.

    @step(seconds=st.sampled_from([0.05, 0.5, 5.0, 40.0, 301.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @step(number=numbers)
    def one_settles(self, number: int) -> None:
        moving = [row for row in self.rows.values() if row.status is not EntryStatus.AVAILABLE]
        if moving:
            self.settle(moving[number % len(moving)])

    def settle(self, row: ForwardEntry) -> None:
        if row.status is EntryStatus.DELETING:
            del self.rows[row.entry_id]
        elif row.status is EntryStatus.PENDING:
            self.rows[row.entry_id] = replace(row, status=EntryStatus.AVAILABLE)

    @step(number=numbers, how_many=st.integers(1, 3))
    def foreign_rows_change(self, number: int, how_many: int) -> None:
        there = [row for row in self.rows.values() if row.name == FOREIGN]
        for row in (there[number % len(there) :] + there)[:how_many] if there else ():
            self.rows.pop(row.entry_id, None)
            new = f"fwd-e{next(self.ids)}"
            self.rows[new] = replace(row, entry_id=new)

    @step(uid=uids, port=ports, wide=st.booleans(), hidden=st.booleans())
    def somebody_takes(self, uid: str, port: int, wide: bool, hidden: bool) -> None:  # noqa: FBT001
        wanted = rule_of(uid, port)
        inside = Ports.of(port)
        ports_ = Ports.of(wanted.external_ports.first - 1, wanted.external_ports.first) if wide else None
        taken = wanted._replace(
            external_ports=ports_ or wanted.external_ports,
            internal_ip="10.9.9.9",
            internal_ports=Ports.of(port, port + 1) if wide else inside,
        )
        self.foreign_entry(taken, hidden=hidden)

    def foreign_entry(self, taken: ForwardRule, *, hidden: bool, name: str = FOREIGN) -> None:
        if any(row.rule.clashes_outside(taken) or row.rule.clashes_inside(taken) for row in self.rows.values()):
            return
        entry_id = f"fwd-x{next(self.ids)}"
        self.rows[entry_id] = ForwardEntry(entry_id, name, taken, EntryStatus.AVAILABLE)
        if hidden:
            self.hidden.add(entry_id)

    @step(number=numbers)
    def somebody_deletes(self, number: int) -> None:
        there = [row for row in self.rows.values() if not row.entry_id.startswith("fwd-f")]
        if there:
            del self.rows[there[number % len(there)].entry_id]

    @step(uid=uids, port=ports, shift=st.booleans())
    def another_of_us_has_written(self, uid: str, port: int, shift: bool) -> None:  # noqa: FBT001
        """Take over from another writer, which has made an entry for one of our PodDNATs."""
        if self.reconciler.is_busy_with(uid):
            return  # Until it takes over, a process is asked for nothing.
        self.foreign_entry(rule_of(uid, port, shift), hidden=False, name=OWNERSHIP.name_of(uid))
        self.reconciler.resync(self.now)

    @step()
    def doubt(self) -> None:
        self.reconciler.invalidate()

    @step(allowed=st.booleans(), kind=st.sampled_from([*Kind, None]))
    def gate(self, allowed: bool, kind: Kind | None) -> None:  # noqa: FBT001
        self.gates.waits[kind] = 0.0 if allowed else 0.3
        self.gates.refresh = 0.0 if allowed else 7.5

    # What always holds.

    def writes_under_way_are_counted(self) -> None:
        assert self.reconciler._state.concurrency.in_flight == len(self.writes)
        in_flight = Counter((uid, key) for uid, one in self.reconciler._state.desired.items() for key in one.in_flight)
        assert in_flight == Counter((call.uid, call.key) for call in self.writes)

    def nothing_is_forgotten(self) -> None:
        made = self.reconciler._state
        queued = {uid for kind in Kind for uid in made.queue.uids(kind)}
        asked = {one.uid for one in self.reconciler.reads._asked}
        assert queued <= made.desired.keys()
        scheduled = self.scheduled()
        assert scheduled.keys() <= made.desired.keys()
        for uid, desired in made.desired.items():
            if uid in queued or uid in scheduled or uid in asked or desired.in_flight:
                continue
            assert made.is_fulfilled(desired, made.plan(desired))

    def scheduled(self) -> dict[str, float]:
        """Tell when PodDNATs are asked for."""
        rankings = self.reconciler._state.poller._scheduled.values()
        assert sum(map(len, rankings)) == len({uid for ranking in rankings for uid in ranking}), "one in both"
        return {uid: ranking.rank(uid) for ranking in rankings for uid in ranking}

    def structures_agree(self) -> None:
        made = self.reconciler._state
        watching = {(i, uid) for i in made._watching for uid in made._watching.get(i)}
        assert watching == {(i, uid) for uid, desired in made.desired.items() for i in desired.watched}
        assert self.reconciler.reads.reading == (self.read is not None)
        scheduled = self.scheduled()
        for uid, desired in made.desired.items():
            assert scheduled.get(uid, math.inf) == desired.next_poll()

    def no_rule_has_two_entries(self) -> None:
        for uid in UIDS:
            rules = [row.rule for row in self.rows.values() if row.name == OWNERSHIP.name_of(uid)]
            assert len(set(rules)) == len(rules)

    # In the end.

    def teardown(self) -> None:
        self.hidden.clear()
        self.gates = Gates(refresh=0.0)
        for row in list(self.rows.values()):
            if row.name == FOREIGN and not row.entry_id.startswith("fwd-f"):
                del self.rows[row.entry_id]
        while self.writes:
            self.finish(self.writes.pop())
        self.go_on(COMES_RIGHT_WITHIN)
        for uid, rules in self.rest.items():
            there = {row.rule: row.status for row in self.rows.values() if row.name == OWNERSHIP.name_of(uid)}
            assert there == dict.fromkeys(rules, EntryStatus.AVAILABLE)
        assert not self.wanted
        assert self.reconciler._state.concurrency.in_flight == 0
        self.calls.clear()
        self.go_on(AT_REST)
        assert self.calls["write"] == 0
        pages = 1 + len(self.rows) // ENTRIES_PER_PAGE
        assert self.calls["read"] <= 4 * pages

    def go_on(self, seconds: float) -> None:
        """Let everything work for a while: hooks ask until they are told that it is done, and now and then."""
        end, ask_at, settle_at = self.now + seconds, self.now, self.now
        while self.now < end:
            if ask_at <= self.now:
                ask_at = self.now + HOOKS_ASK_EVERY
                for uid, rules in self.rest.items():
                    if uid not in self.wanted and uid in self.alive:
                        self.wanted[uid] = (rules, False)
                self.ask_again()
            if settle_at <= self.now:
                settle_at = self.now + 1.0
                for row in list(self.rows.values()):
                    self.settle(row)
            if self.read is not None:
                self.calls["read"] += 1
                self.read_on()
                continue
            call, wait = self.reconciler.next(self.now, self.gates)
            if call is None:
                assert wait > 0
                self.now = min(self.now + max(wait, 1e-6), ask_at, settle_at, end)
                continue
            self.take(call)
            if self.writes:
                self.calls["write"] += 1
                self.now += 0.01
                self.finish(self.writes.pop())
            self.check_all()

    @invariant()
    def check_all(self) -> None:
        self.writes_under_way_are_counted()
        self.nothing_is_forgotten()
        self.structures_agree()
        self.no_rule_has_two_entries()


Histories.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestHistories = Histories.TestCase
