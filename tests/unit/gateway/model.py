"""A NAT gateway in virtual time: drives a reconciler through thousands of writes in a moment, without threads."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from typing import TYPE_CHECKING

from poddnat.cloud import ENTRIES_PER_PAGE, CloudError, EntryPage, Meaning, Scope
from poddnat.gateway import Blocked, Done, OwnEntries, Ownership
from poddnat.gateway.reconciler import Create, Delete, Find, Kind, ReadPage, Reconciler
from poddnat.model import EntryStatus, ForwardEntry, ForwardRule, Ports, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from poddnat.cloud import EntryFilter
    from poddnat.gateway.reconciler import Call
    from poddnat.gateway.reconciler.writes import Gates

OWNERSHIP = Ownership("cluster")
LATENCY = 0.02
HOOKS_ASK_EVERY = 1.0


class OpenGates:
    """Lets everything through at once, but no refreshing."""

    def __init__(self) -> None:
        self.refresh = 0.0

    def wait(self, kind: Kind | None) -> float:  # noqa: ARG002
        return 0.0

    def refresh_wait(self) -> float:
        return self.refresh


class ModelGateway:
    """Bears ``at_once`` unsettled writes; each settles after ``settle`` seconds, give or take ``jitter``."""

    def __init__(
        self,
        *,
        at_once: int,
        settle: float = 1.0,
        jitter: float = 0.3,
        seed: int = 1,
        foreign: int = 0,
        order: str = "creation",
    ) -> None:
        self.now = 0.0
        self.at_once = at_once
        self.settle = settle
        self.calls: Counter[str] = Counter()
        self.limits: list[tuple[float, int]] = []
        self.gates: Gates = OpenGates()
        self.ask_every = HOOKS_ASK_EVERY
        """Seconds after which hooks ask about one that waits."""
        self.reconciler = Reconciler("ngw-1", OWNERSHIP, lambda _uid: True)
        self.done_at: dict[str, float] = {}
        self.first_done_at: dict[str, float] = {}
        self.problems: dict[str, str] = {}
        self.problems_at: dict[str, float] = {}
        """Seconds after it was wanted at which a PodDNAT's problem was told."""
        self.last_gone_at = 0.0
        """When the last entry of ours went."""
        self.on_read: Callable[[Call, int], None] = lambda _call, _pages: None
        self.stuck: set[str] = set()
        """External ports whose entries stay Pending."""
        self.refused: dict[str, CloudError] = {}
        """Errors by the external address, or by the external port, that a create is refused with."""
        self.hidden: set[ForwardRule] = set()
        """Rules of entries that listings of several pages don't show, as rows may slip between two pages."""
        self.missed = 0
        """How many rows listings have not shown."""
        self._jitter = jitter
        self._random = random.Random(seed)  # noqa: S311  # repeatable, not secret
        self._order = order
        self._entries: dict[str, tuple[ForwardEntry, float]] = {}
        self._ids = itertools.count()
        self._answers: list[tuple[float, int, Callable[[], None]]] = []
        self._wanted: dict[str, tuple[OwnEntries, tuple[ForwardRule, ...], bool]] = {}
        self._ask_at: dict[str, float] = {}
        self._wanted_at: dict[str, float] = {}
        self._when_pending: dict[str, Callable[[], None]] = {}
        self._foreign = itertools.count()
        for _ in range(foreign):
            self._add_foreign()

    def every(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something now and then, from now on."""

        def again() -> None:
            what()
            self._later(seconds, again)

        self._later(seconds, again)

    def churn(self) -> None:
        """Let somebody else replace one entry of theirs."""
        foreign = [entry_id for entry_id, (entry, _) in self._entries.items() if entry.name == "else"]
        del self._entries[self._random.choice(foreign)]
        self._add_foreign()

    def _add_foreign(self) -> None:
        number = next(self._foreign)
        rule_ = ForwardRule("198.51.100.1", Ports.of(1 + number % 60000), "10.0.0.1", Ports.of(1), Protocol.TCP)
        entry_id = f"fwd-f{number:06}"
        self._entries[entry_id] = (ForwardEntry(entry_id, "else", rule_, EntryStatus.AVAILABLE), 0.0)

    def want(self, number: int, *, release: bool = False, rules: tuple[ForwardRule, ...] = ()) -> None:
        uid = f"uid-{number}"
        own = OwnEntries(uid, OWNERSHIP.name_of(uid))
        self.done_at.pop(uid, None)
        self._wanted[uid] = (own, () if release else rules or (rule(number),), release)
        self._wanted_at[uid] = self.now
        self._ask(uid)

    @property
    def waiting(self) -> int:
        """How many PodDNATs have not got what they want."""
        return len(self._wanted)

    def when_pending(self, number: int, what: Callable[[], None]) -> None:
        """Do something as soon as a PodDNAT's entry is accepted."""
        self._when_pending[OWNERSHIP.name_of(f"uid-{number}")] = what

    def pass_time(self, seconds: float) -> None:
        """Let time pass, whether or not somebody waits."""
        end = self.now + seconds
        self.run(until=lambda: self.now >= end, limit=seconds, stay=True)

    def run(self, *, until: Callable[[], bool] = lambda: False, limit: float = 1e5, stay: bool = False) -> None:
        """Go on until everybody has what they want, or a condition holds."""
        end = self.now + limit
        while not until() and self.now < end:
            self._settle()
            self._poll()
            if not self._wanted and not stay:
                return
            call, wait = self.reconciler.next(self.now, self.gates)
            if call is not None:
                self._send(call)
                continue
            ask_at = min(self._ask_at.values(), default=float("inf"))
            answer_at = self._answers[0][0] if self._answers else float("inf")
            self.now = min(self.now + max(wait, 1e-6), answer_at, ask_at, end)
            while self._answers and self._answers[0][0] <= self.now:
                heapq.heappop(self._answers)[2]()

    def longest_lag(self) -> float:
        """Tell how long after its entry worked a PodDNAT was told so, at the longest."""
        return max(self.lags())

    def lags(self) -> list[float]:
        works = {entry.name: at for entry, at in self._entries.values() if entry.status is EntryStatus.AVAILABLE}
        return [at - works[OWNERSHIP.name_of(uid)] for uid, at in self.done_at.items()]

    def unsettled(self) -> int:
        return sum(1 for entry, _ in self._entries.values() if entry.status is not EntryStatus.AVAILABLE)

    def entries(self) -> list[ForwardEntry]:
        self._settle()
        entries = [entry for entry, _ in self._entries.values()]
        if self._order == "reverse":
            return entries[::-1]
        return sorted(entries, key=lambda entry: hash(entry.entry_id)) if self._order == "arbitrary" else entries

    def _poll(self) -> None:
        """Ask as the hooks do: those that don't wait for their turn at once, others now and then."""
        often = self.ask_every <= HOOKS_ASK_EVERY
        queued = {uid for kind in Kind for uid in self.reconciler._state.queue.uids(kind)}
        for uid in [uid for uid in self._wanted if (often and uid not in queued) or self._ask_at[uid] <= self.now]:
            self._ask(uid)

    def _ask(self, uid: str) -> None:
        own, rules, release = self._wanted[uid]
        progress = self.reconciler.set_desired(own, rules, self.now, release=release)
        self._ask_at[uid] = self.now + self.ask_every
        if isinstance(progress, Blocked):
            self.problems[uid] = progress.problem.message
            self.problems_at.setdefault(uid, self.now - self._wanted_at[uid])
        if isinstance(progress, Done):
            self.done_at[uid] = self.now
            self.first_done_at.setdefault(uid, self.now)
            del self._wanted[uid], self._ask_at[uid]

    def _settle(self) -> None:
        for entry, at in list(self._entries.values()):
            if at > self.now or str(entry.rule.external_ports) in self.stuck:
                continue
            if entry.status is EntryStatus.PENDING:
                done = ForwardEntry(entry.entry_id, entry.name, entry.rule, EntryStatus.AVAILABLE)
                self._entries[entry.entry_id] = (done, at)
            elif entry.status is EntryStatus.DELETING:
                del self._entries[entry.entry_id]
                self.last_gone_at = at

    def _send(self, call: Call) -> None:
        if isinstance(call, Create | Delete):
            self._later(LATENCY / 2, lambda: self._later(LATENCY / 2, self._write(call)))
        else:
            self._read(call)

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._answers, (self.now + seconds, next(self._ids), what))

    def _write(self, call: Create | Delete) -> Callable[[], None]:
        self._settle()
        reconciler = self.reconciler
        error = self._error(call)
        if error is not None:
            self.calls["refused"] += 1
            return lambda: self._noted(lambda: reconciler.writes.failed(call, error, self.now))
        self.calls["written"] += 1
        settles = self.now + self.settle * self._random.uniform(1 - self._jitter, 1 + self._jitter)
        if isinstance(call, Create):
            entry_id = f"fwd-{next(self._ids):06}"
            self._entries[entry_id] = (ForwardEntry(entry_id, call.name, call.rule, EntryStatus.PENDING), settles)

            def created() -> None:
                self._noted(lambda: reconciler.writes.created(call, entry_id, "ftb-1", self.now))
                if (what := self._when_pending.pop(call.name, None)) is not None:
                    what()

            return created
        old = call.entry
        leaving = ForwardEntry(old.entry_id, old.name, old.rule, EntryStatus.DELETING)
        self._entries[old.entry_id] = (leaving, settles)
        return lambda: self._noted(lambda: reconciler.writes.deleted(call, self.now))

    def _error(self, call: Create | Delete) -> CloudError | None:
        if isinstance(call, Create):
            for what in (call.rule.external_ip, str(call.rule.external_ports)):
                if what in self.refused:
                    return self.refused[what]
        elif self._entries[call.entry.entry_id][0].status is EntryStatus.PENDING:
            return busy(Scope.GATEWAY)
        stuck = sum(str(entry.rule.external_ports) in self.stuck for entry, _ in self._entries.values())
        return busy(Scope.GATEWAY) if self.unsettled() - stuck >= self.at_once else None

    def _read(self, call: Find | ReadPage) -> None:
        """Answer the calls of a read, one after the other, and tell the reconciler of each."""
        calls: list[tuple[EntryFilter | None, int]] = (
            [(None, call.page)] if isinstance(call, ReadPage) else [(where, 1) for where in call.filters]
        )

        def ask() -> None:
            if not calls:
                self.reconciler.reads.ended(self.now)
                self.reconciler.reads.take_listed()
                return
            where, number = calls.pop(0)
            since, started_at = self.reconciler.table.now(), self.now

            def arrive() -> None:
                page = self._page(call, where, number)
                self._later(LATENCY / 2, lambda: answer(page))

            def answer(page: EntryPage) -> None:
                if isinstance(call, ReadPage):
                    self.reconciler.reads.page_read(call, page, since=since, started_at=started_at, now=self.now)
                elif where is not None:
                    self.reconciler.reads.found(where, page, since=since, started_at=started_at, now=self.now)
                ask()

            self._later(LATENCY / 2, arrive)

        ask()

    def _page(self, call: Find | ReadPage, where: EntryFilter | None, number: int) -> EntryPage:
        self.calls["read"] += 1
        self.on_read(call, 1)
        rows: Iterable[ForwardEntry] = self.entries()
        found = [entry for entry in rows if where is None or where.matches(entry)]
        first, total = (number - 1) * ENTRIES_PER_PAGE, len(found)
        if where is None and total > ENTRIES_PER_PAGE:
            found = [entry for entry in found if entry.rule not in self.hidden]
            self.missed += total - len(found)
        return EntryPage(tuple(found[first : first + ENTRIES_PER_PAGE]), total)

    def _noted(self, outcome: Callable[[], None]) -> None:
        outcome()
        limit = self.reconciler._state.concurrency.limit
        if not self.limits or self.limits[-1][1] != limit:
            self.limits.append((self.now, limit))


def busy(scope: Scope) -> CloudError:
    return CloudError(Meaning.BUSY, action="x", code="IncorretForwardEntryStatus", message="", scope=scope)


def rule(number: int, external_ip: str = "203.0.113.1") -> ForwardRule:
    ip = f"172.16.{number // 250}.{number % 250 + 1}"
    return ForwardRule(external_ip, Ports.of(1000 + number), ip, Ports.of(80), Protocol.TCP)
