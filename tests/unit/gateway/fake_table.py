"""A gateway's forward table that answers at once, and a reconciler that works on it step by step."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from poddnat.cloud import ENTRIES_PER_PAGE, CloudError, EntryPage, Meaning, Scope
from poddnat.gateway import OwnEntries, Ownership
from poddnat.gateway.reconciler import Create, Delete, Find, Kind, ReadPage, Reconciler
from poddnat.model import EntryStatus, ForwardEntry, ForwardRule, Ports, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from poddnat.cloud import EntryFilter
    from poddnat.gateway.reconciler import Call
    from poddnat.gateway.reconciler.desired import DesiredState, Item

OWNERSHIP = Ownership("cluster")
FOREIGN = "bastion"
MOMENT = 0.02


def rule(number: int, *, external_ip: str = "203.0.113.1", port: int | None = None) -> ForwardRule:
    external = Ports.of(port or 1000 + number)
    return ForwardRule(external_ip, external, f"172.16.0.{number}", Ports.of(80), Protocol.TCP)


def own(number: int = 1, *known_ids: str) -> OwnEntries:
    uid = f"uid-{number}"
    return OwnEntries(uid, OWNERSHIP.name_of(uid), known_ids)


def entry(number: int = 1, *, name: str | None = None, entry_id: str = "", status: str = "Available") -> ForwardEntry:
    """Make the entry of a PodDNAT's rule, or somebody else's entry with the same rule."""
    return ForwardEntry(
        entry_id or f"fwd-{number}",
        OWNERSHIP.name_of(f"uid-{number}") if name is None else name,
        rule(number),
        EntryStatus(status),
    )


def failure(
    meaning: Meaning, code: str = "Code", scope: Scope = Scope.UNCLEAR, action: str = "CreateForwardEntry"
) -> CloudError:
    return CloudError(meaning, action=action, code=code, message="it says", scope=scope)


def foreign_rows(number: int) -> list[ForwardEntry]:
    """Make entries of somebody else that are in nobody's way."""
    rules = (
        ForwardRule("198.51.100.1", Ports.of(1 + n), f"10.0.{n // 250}.{n % 250}", Ports.of(1), Protocol.TCP)
        for n in range(number)
    )
    return [ForwardEntry(f"fwd-f{n:05}", FOREIGN, one, EntryStatus.AVAILABLE) for n, one in enumerate(rules)]


@dataclass
class Gates:
    """What holds calls back beyond the gateway; nothing, but refreshing, unless told."""

    refresh: float = math.inf
    waits: dict[Kind | None, float] = field(default_factory=dict)

    def wait(self, kind: Kind | None) -> float:
        return self.waits.get(kind, 0.0)

    def refresh_wait(self) -> float:
        return self.refresh


class Desk:
    """A reconciler, the table that it reads, and the time."""

    def __init__(self, *rows: ForwardEntry, alive: Callable[[str], bool] = lambda _uid: True) -> None:
        self.now = 0.0
        self.rows = {row.entry_id: row for row in rows}
        self.reconciler = Reconciler("ngw-1", OWNERSHIP, alive)
        self.gates = Gates()
        self.calls: Counter[str] = Counter()
        self.sent: list[Create | Delete] = []
        self._ids = itertools.count(1)

    # What is asked of the reconciler.

    def next(self, *, may_write: bool = True) -> tuple[Call | None, float]:
        return self.reconciler.next(self.now, self.gates, may_write=may_write)

    def next_call(self, *, limit: float = 1e4, may_write: bool = True) -> Call:
        """Go on in time until there is something to call."""
        end = self.now + limit
        while self.now < end:
            call, wait = self.next(may_write=may_write)
            if call is not None:
                return call
            self.now += min(max(wait, 1e-6), limit)
        raise AssertionError("nothing is called any more")

    def next_write(self, *, limit: float = 1e4) -> Create | Delete:
        """Answer reads until there is something to write."""
        while not isinstance(call := self.next_call(limit=limit), Create | Delete):
            self.answer(call)
        return call

    def next_create(self, *, limit: float = 1e4) -> Create:
        call = self.next_write(limit=limit)
        assert isinstance(call, Create)
        return call

    def desired(self, number: int = 1) -> DesiredState:
        return self.reconciler._state.desired[f"uid-{number}"]

    def items(self, number: int = 1) -> list[Item]:
        desired = self.desired(number)
        return desired.items(self.reconciler._state.plan(desired))

    def load(self) -> Desk:
        """List the whole table, as at a start."""
        while not self.reconciler.loaded:
            self.answer(self.next_call(may_write=False))
        self.reconciler.reads.take_listed()
        return self

    # What the cloud answers.

    def page(self, number: int, where: EntryFilter | None = None) -> EntryPage:
        self.calls["read"] += 1
        found = [row for row in self.rows.values() if where is None or where.matches(row)]
        first = (number - 1) * ENTRIES_PER_PAGE
        return EntryPage(tuple(found[first : first + ENTRIES_PER_PAGE]), len(found))

    def answer(self, call: Call, *, change: Callable[[], None] = lambda: None) -> None:
        """Answer a read by the table as it is; ``change`` happens after the last of its calls was answered."""
        assert isinstance(call, Find | ReadPage)
        since, started_at = self.reconciler.table.now(), self.now
        if isinstance(call, ReadPage):
            page = self.page(call.page)
            self.now += MOMENT
            self.reconciler.reads.page_read(call, page, since=since, started_at=started_at, now=self.now)
        else:
            for where in call.filters:
                since, started_at = self.reconciler.table.now(), self.now
                found = self.page(1, where)
                self.now += MOMENT
                self.reconciler.reads.found(where, found, since=since, started_at=started_at, now=self.now)
        change()
        self.reconciler.reads.ended(self.now)

    def accept(self, call: Call) -> str:
        """Do a write; returns the entry's id."""
        if isinstance(call, Create):
            entry_id = f"fwd-new-{next(self._ids)}"
            self.rows[entry_id] = ForwardEntry(entry_id, call.name, call.rule, EntryStatus.PENDING)
            self.reconciler.writes.created(call, entry_id, "ftb-1", self.now)
            return entry_id
        assert isinstance(call, Delete)
        self.set_status(call.entry.entry_id, EntryStatus.DELETING)
        self.reconciler.writes.deleted(call, self.now)
        return call.entry.entry_id

    def refuse(self, call: Call, error: CloudError) -> None:
        assert isinstance(call, Create | Delete)
        self.reconciler.writes.failed(call, error, self.now)

    def set_status(self, entry_id: str, status: EntryStatus) -> None:
        self.rows[entry_id] = replace(self.rows[entry_id], status=status)

    def settle(self) -> None:
        """Let everything come to rest."""
        for row in list(self.rows.values()):
            if row.status is EntryStatus.DELETING:
                del self.rows[row.entry_id]
            else:
                self.set_status(row.entry_id, EntryStatus.AVAILABLE)

    def run(
        self,
        seconds: float,
        *,
        write: Callable[[Create | Delete], None] | None = None,
        until: Callable[[], bool] = lambda: False,
    ) -> None:
        """Go on for a while: reads are answered, writes done and settled unless ``write`` says otherwise."""
        end = self.now + seconds
        while self.now < end and not until():
            call, wait = self.next()
            if call is None:
                self.now = min(end, self.now + max(wait, 1e-6))
            elif isinstance(call, Create | Delete):
                self.calls["write"] += 1
                self.sent.append(call)
                self.now += MOMENT
                if write is not None:
                    write(call)
                else:
                    self.accept(call)
                    self.settle()
            else:
                self.answer(call)
