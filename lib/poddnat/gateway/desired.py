"""What one PodDNAT wants of a gateway, and how far the gateway's driver has come with it."""

import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import islice, takewhile

from poddnat.api import Problem
from poddnat.gateway.concurrency import MOST_AT_ONCE, Kind
from poddnat.gateway.plan import OwnEntries, Plan
from poddnat.model import ForwardEntry, ForwardRule

_SHORTEST_PAUSE = 0.25
_LONGEST_PAUSE = 30.0


@dataclass
class Wish:
    """The rules that a PodDNAT should have (none: it is being released), and the state of our efforts."""

    mine: OwnEntries
    rules: tuple[ForwardRule, ...]
    since: float
    quiet_since: float
    """No write of ours for this PodDNAT was under way after this moment."""
    release: bool = False
    unattended: bool = False
    """Nobody will ask how it went: its PodDNAT is gone."""
    confirmed: bool = False
    """A listing that began after ``quiet_since`` showed none of its entries; only asked for on release."""
    sending: set[ForwardRule | str] = field(default_factory=set)
    """Writes under way: a rule to create, an entry's id to delete."""
    suspects: set[ForwardRule] = field(default_factory=set)
    """Rules whose create may have been done or is blocked by somebody: to be looked up before the next try."""
    doubted: set[str] = field(default_factory=set)
    """Ids of entries of others in the way, to be looked up before that is told: they may have gone since."""
    looked_up: set[str] = field(default_factory=set)
    settling: tuple[ForwardEntry, ...] = ()
    """Entries that the last plan had to wait for."""
    missing: int = 0
    """How many entries the last plan had to create."""
    problem: Problem | None = None
    retry_at: float = float("-inf")
    failures: int = 0
    """Tries in a row that came to nothing for a reason of its own."""
    _tokens: dict[ForwardRule | str, str] = field(default_factory=dict)

    def token(self, intent: ForwardRule | str) -> str:
        """Give the ClientToken of an intent (to create a rule, to delete an entry's id), the same over all tries."""
        return self._tokens.setdefault(intent, uuid.uuid4().hex)

    def fulfilled(self, intent: ForwardRule | str) -> None:
        """End an intent. The API would answer its token with the same result even after that has been undone."""
        self._tokens.pop(intent, None)
        if isinstance(intent, ForwardRule):
            self.suspects.discard(intent)

    def change(self, mine: OwnEntries, rules: tuple[ForwardRule, ...], *, release: bool, now: float) -> None:
        """Want something else from now on; what is under way is sorted out by the next plan."""
        if rules == self.rules and release == self.release:
            self.mine = mine
            return
        self.mine, self.rules, self.release = mine, rules, release
        self.since = self.quiet_since = now
        self.confirmed = False
        self.suspects &= set(rules)
        self.looked_up.clear()
        # A rule given up and wanted again later is another intent: it may have been created and deleted meanwhile.
        current = {*rules, *self.sending}
        self._tokens = {i: token for i, token in self._tokens.items() if isinstance(i, str) or i in current}
        self.forgive()

    def heed(self, plan: Plan) -> None:
        """Note what a plan has to wait for."""
        self.settling = plan.settling
        self.missing = len(plan.creates)
        self.doubted = {conflict.entry.entry_id for conflict in plan.conflicts} - self.looked_up

    def put_off(self, now: float, *, at_least: float = 0.0) -> None:
        """Let its next write wait: ever longer the more often it failed."""
        self.failures += 1
        self.retry_at = now + max(at_least, min(_SHORTEST_PAUSE * 2.0**self.failures, _LONGEST_PAUSE))

    def forgive(self) -> None:
        """Forget past failures: something has changed that may have caused them."""
        self.problem = None
        self.retry_at = float("-inf")
        self.failures = 0

    def next_write(self, plan: Plan) -> tuple[Kind, ForwardRule | ForwardEntry] | None:
        """Choose what to send next: entries in the way first."""
        for entry in plan.deletes:
            if entry.entry_id not in self.sending:
                return Kind.DELETE, entry
        for rule in plan.creates:
            if rule not in self.sending and rule not in self.suspects:
                return Kind.CREATE, rule
        return None


class Lanes:
    """Who is next: creates and deletes wait in lanes of their own, and the lanes take turns."""

    def __init__(self) -> None:
        self._lanes: dict[Kind, OrderedDict[str, int]] = {kind: OrderedDict() for kind in Kind}
        self._since: dict[str, float] = {}
        self._last_ticket = dict.fromkeys(Kind, 0)
        self._turn = Kind.CREATE

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def length(self, kind: Kind) -> int:
        """Count who waits in one lane."""
        return len(self._lanes[kind])

    def uids(self, kind: Kind) -> list[str]:
        """List who waits in one lane, in their order."""
        return list(self._lanes[kind])

    def add(self, uid: str, kind: Kind, *, since: float = 0.0, front: bool = False) -> None:
        """Queue a PodDNAT, once: a second time changes nothing, but for its lane.

        ``front``: it had its turn and goes on. Of several that come back together, those that have waited longer,
        ``since`` an earlier time, stay ahead.
        """
        for other, lane in self._lanes.items():
            if other is not kind:
                lane.pop(uid, None)
        lane = self._lanes[kind]
        if uid in lane:
            return
        self._since[uid] = since
        if front:
            longer = [*takewhile(lambda other: self._since[other] < since, islice(lane, MOST_AT_ONCE))]
            lane[uid] = lane[longer[-1]] if longer else next(iter(lane.values()), self._last_ticket[kind] + 1) - 1
            for each in (uid, *reversed(longer)):
                lane.move_to_end(each, last=False)
        else:
            self._last_ticket[kind] += 1
            lane[uid] = self._last_ticket[kind]

    def remove(self, uid: str) -> None:
        """Take a PodDNAT out of the queue."""
        self._since.pop(uid, None)
        for lane in self._lanes.values():
            lane.pop(uid, None)

    def pop(self, *, closed: Kind | None = None) -> str | None:
        """Take out who is next, but nobody of a ``closed`` lane; None: nobody waits."""
        kinds = [self._turn, *(kind for kind in Kind if kind is not self._turn)]
        for kind in kinds:
            if self._lanes[kind] and kind is not closed:
                self._turn = next(other for other in Kind if other is not kind)
                return self._lanes[kind].popitem(last=False)[0]
        return None

    def turn_again(self, kind: Kind) -> None:
        """Let a lane be next again: its turn came to nothing. Otherwise one lane could get all the vain turns."""
        self._turn = kind

    def ahead(self, uid: str) -> int:
        """Estimate how many writes come before a PodDNAT's."""
        for kind, lane in self._lanes.items():
            if uid in lane:
                first = next(iter(lane.values()))
                others = sum(len(other) for k, other in self._lanes.items() if k is not kind)
                here = min(lane[uid] - first, len(lane) - 1)  # Tickets of those who left are still counted.
                return here + min(here, others)
        return 0
