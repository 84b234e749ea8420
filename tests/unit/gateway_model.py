"""A NAT gateway in virtual time: drives an agenda through thousands of writes in a moment, without threads."""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable

from poddnat.cloud import ENTRIES_PER_PAGE, CloudError, Meaning
from poddnat.gateway import Done, OwnEntries, Ownership
from poddnat.gateway.calls import Call, Create, Delete, Look, Peek
from poddnat.gateway.listing import Listing
from poddnat.gateway.reconciler import Agenda
from poddnat.model import EntryStatus, ForwardEntry, ForwardRule, Ports, Protocol

OWNERSHIP = Ownership("cluster")
LATENCY = 0.02


class ModelGateway:
    """Bears ``at_once`` unsettled writes; each settles after ``settle`` seconds, give or take ``jitter``."""

    def __init__(self, *, at_once: int, settle: float = 1.0, jitter: float = 0.3, seed: int = 1) -> None:
        self.now = 0.0
        self.at_once = at_once
        self.settle = settle
        self.calls: Counter[str] = Counter()
        self.limits: list[tuple[float, int]] = []
        self.agenda = Agenda("ngw-1", OWNERSHIP, lambda _uid: True, refresh_interval=1e9)
        self._jitter = jitter
        self._random = random.Random(seed)  # noqa: S311  # repeatable, not secret
        self._entries: dict[str, tuple[ForwardEntry, float]] = {}
        self._ids = itertools.count()
        self._answers: list[tuple[float, int, Callable[[], None]]] = []
        self._wanted: dict[str, tuple[OwnEntries, tuple[ForwardRule, ...], bool]] = {}
        self.done_at: dict[str, float] = {}

    def want(self, number: int, *, release: bool = False) -> None:
        uid = f"uid-{number}"
        mine = OwnEntries(uid, OWNERSHIP.name_of(uid))
        self.done_at.pop(uid, None)
        self._wanted[uid] = (mine, () if release else (rule(number),), release)
        self.agenda.want(mine, self._wanted[uid][1], self.now, release=release)

    def run(self, *, until: Callable[[], bool] = lambda: False, limit: float = 1e5) -> None:
        """Go on until everybody has what they want, or a condition holds."""
        while not until() and self.now < limit:
            self._settle()
            self._poll()
            if not self._wanted:
                return
            call, wait = self.agenda.next(self.now, urgent_only=False)
            if call is not None:
                self._send(call)
                continue
            answer_at = self._answers[0][0] if self._answers else float("inf")
            self.now = min(self.now + max(wait, 1e-6), answer_at)
            while self._answers and self._answers[0][0] <= self.now:
                heapq.heappop(self._answers)[2]()

    def longest_lag(self) -> float:
        """Tell how long after its entry worked a PodDNAT was told so, at the longest."""
        works = {entry.name: at for entry, at in self._entries.values() if entry.status is EntryStatus.AVAILABLE}
        return max(at - works[OWNERSHIP.name_of(uid)] for uid, at in self.done_at.items())

    def unsettled(self) -> int:
        return sum(1 for entry, _ in self._entries.values() if entry.status is not EntryStatus.AVAILABLE)

    def entries(self) -> list[ForwardEntry]:
        self._settle()
        return [entry for entry, _ in self._entries.values()]

    def _poll(self) -> None:
        """Ask as the hooks do, but only for those that don't wait for their turn."""
        for uid in list(self.agenda._watching):
            mine, rules, release = self._wanted[uid]
            if isinstance(self.agenda.want(mine, rules, self.now, release=release), Done):
                self.done_at[uid] = self.now
                del self._wanted[uid]

    def _settle(self) -> None:
        for entry, at in list(self._entries.values()):
            if at <= self.now and entry.status is EntryStatus.PENDING:
                done = ForwardEntry(entry.entry_id, entry.name, entry.rule, EntryStatus.AVAILABLE)
                self._entries[entry.entry_id] = (done, at)
            elif at <= self.now and entry.status is EntryStatus.DELETING:
                del self._entries[entry.entry_id]

    def _send(self, call: Call) -> None:
        sent_at, since = self.now, self.agenda.table.now()
        arrival = self.now + LATENCY / 2

        def arrive() -> None:
            self._settle()
            answer = self._answer(call, since, sent_at)
            self._later(self.now + LATENCY / 2, answer)

        self._later(arrival, arrive)

    def _later(self, at: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._answers, (at, next(self._ids), what))

    def _answer(self, call: Call, since: int, sent_at: float) -> Callable[[], None]:
        agenda = self.agenda
        if isinstance(call, Look | Peek):
            return self._listing(call, since, sent_at)
        if self.unsettled() >= self.at_once:
            self.calls["refused"] += 1
            error = CloudError(Meaning.BUSY, action="x", code="IncorretForwardEntryStatus", message="")
            return lambda: self._noted(lambda: agenda.failed(call, error, self.now))
        self.calls["written"] += 1
        settles = self.now + self.settle * self._random.uniform(1 - self._jitter, 1 + self._jitter)
        if isinstance(call, Create):
            entry_id = f"fwd-{next(self._ids):06}"
            self._entries[entry_id] = (ForwardEntry(entry_id, call.name, call.rule, EntryStatus.PENDING), settles)
            return lambda: self._noted(lambda: agenda.created(call, entry_id, self.now))
        assert isinstance(call, Delete)
        old = call.entry
        leaving = ForwardEntry(old.entry_id, old.name, old.rule, EntryStatus.DELETING)
        self._entries[old.entry_id] = (leaving, settles)
        return lambda: self._noted(lambda: agenda.deleted(call, self.now))

    def _listing(self, call: Look | Peek, since: int, sent_at: float) -> Callable[[], None]:
        agenda = self.agenda
        everything = self.entries()
        if isinstance(call, Peek):
            self.calls["read"] += 1
            page = everything[(call.page - 1) * ENTRIES_PER_PAGE : call.page * ENTRIES_PER_PAGE]

            def peeked() -> None:
                agenda.peeked(call, page, since=since, started_at=sent_at, now=self.now)
                agenda.look_ended(self.now)

            return peeked
        listings = [
            Listing(where, tuple(e for e in everything if where.matches(e)), whole=True) for where in call.filters
        ]
        self.calls["read"] += sum(max(1, -(-len(one.entries) // ENTRIES_PER_PAGE)) for one in listings)

        def listed() -> None:
            for one in listings:
                agenda.listed(one, since=since, started_at=sent_at, now=self.now)
            agenda.look_ended(self.now)

        return listed

    def _noted(self, outcome: Callable[[], None]) -> None:
        outcome()
        if not self.limits or self.limits[-1][1] != self.agenda.pace.limit:
            self.limits.append((self.now, self.agenda.pace.limit))


def rule(number: int) -> ForwardRule:
    ip = f"172.16.{number // 250}.{number % 250 + 1}"
    return ForwardRule("203.0.113.1", Ports.of(1000 + number), ip, Ports.of(80), Protocol.TCP)
