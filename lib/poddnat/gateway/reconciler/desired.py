"""What one PodDNAT should have on a gateway, the states of its entries, and what is next for them."""

import math
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from poddnat.api import Problem
from poddnat.backoff import Backoff
from poddnat.cloud import CloudError, EntryFilter
from poddnat.gateway.intervals import CONFLICT_RECHECK, POLL_FIRST, POLL_LONGEST, RETRY_FIRST, RETRY_LONGEST
from poddnat.gateway.reconciler.calls import Key, Kind
from poddnat.gateway.reconciler.plan import OwnEntries, Plan
from poddnat.gateway.reconciler.states import STEPS, EntryState, Evidence
from poddnat.model import EntryStatus, ForwardEntry, ForwardRule

_OF_A_RULE = frozenset(
    {EntryState.ABSENT, EntryState.CREATING, EntryState.UNVERIFIED, EntryState.PENDING, EntryState.WORKING}
)
"""The states of entries that are wanted, with nothing in the way."""


@dataclass(frozen=True)
class Item:
    """One entry on its way."""

    key: Key
    state: EntryState
    entry: ForwardEntry | None = None

    @property
    def rule(self) -> ForwardRule | None:
        """The rule to create, if that is what it is about."""
        return self.key if isinstance(self.key, ForwardRule) else None

    @property
    def external_ip(self) -> str:
        """The gateway's address that it is about; empty: none."""
        rule = self.rule or (self.entry.rule if self.entry is not None else None)
        return rule.external_ip if rule is not None else ""


@dataclass
class Poll:
    """When to ask for an item the next time, while it stays in its state."""

    state: EntryState
    at: float
    by_id: bool = False
    """Whether a page that should have shown it did not: it is asked for by id next."""
    seen: bool = False
    """Whether a read has told that it stays: an entry of others that is in the way is told only then."""
    backoff: Backoff = field(default_factory=lambda: Backoff(POLL_FIRST, POLL_LONGEST))

    def again(self, now: float, *, not_before: float) -> None:
        """Note that a read has changed nothing."""
        if self.state is EntryState.CONFLICT:
            self.at = now + CONFLICT_RECHECK
            return
        self.at = not_before if now < not_before < math.inf else now + self.backoff.failed()


@dataclass(frozen=True)
class Unverified:
    """What to read before a rule is tried, and since when that is asked for: an older read doesn't tell."""

    evidence: Evidence
    since: float


@dataclass
class DesiredState:
    """The rules that a PodDNAT should have (none: it is being released), and the state of our efforts."""

    own: OwnEntries
    rules: tuple[ForwardRule, ...]
    since: float
    """When it was asked for, or last changed."""
    quiet_since: float
    """No write of ours for this PodDNAT was under way after this moment."""
    release: bool = False
    orphaned: bool = False
    """Nobody will ask how it went: its PodDNAT is gone."""
    confirmed: bool = False
    """Nothing has to prove that none of its entries is left: it wants some, or a look by name has shown none."""
    in_flight: set[Key] = field(default_factory=set)
    """Writes under way: a rule to create, an entry's id to delete."""
    unverified: dict[ForwardRule, Unverified] = field(default_factory=dict)
    """Rules that may have been created, or are blocked by somebody unseen: what to read before the next try."""
    said_gone: set[Key] = field(default_factory=set)
    """Entries that weren't there by the answer to a delete: one that is listed all the same is not tried at once."""
    polls: dict[Key, Poll] = field(default_factory=dict)
    problem: Problem | None = None
    retry_at: float = -math.inf
    backoff: Backoff = field(default_factory=lambda: Backoff(RETRY_FIRST, RETRY_LONGEST))
    refused: int = 0
    """How often in a row the gateway was too busy for its write, while it took others in between."""
    refused_after: int = -1
    """How many writes the gateway had taken, of anybody, when it refused this one's last."""
    failing_since: float = math.inf
    """When its writes began to fail; infinite: the last one did not."""
    last_error: CloudError | None = None
    turns: int = 0
    """Writes that it has sent in a row, before others; those refused as too many don't count."""
    moved_at: float = 0.0
    """When one of its entries changed its state last."""
    watched: set[str] = field(default_factory=set)
    """The ids of entries that it waits for to change."""
    next_address: str = ""
    """To which address it has something to write next, as last planned."""
    _states: dict[Key, EntryState] = field(default_factory=dict)
    _tokens: dict[Key, str] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """How many entries it has to have created yet."""
        return sum(isinstance(key, ForwardRule) for key in self._states)

    @property
    def held_up(self) -> bool:
        """Whether one of its rules can't be tried before something has gone that is in the way."""
        return sum(state in _OF_A_RULE for state in self._states.values()) < len(self.rules)

    def token(self, key: Key) -> str:
        """Give the ClientToken of an intent (to create a rule, to delete an entry's id), the same over all tries."""
        return self._tokens.setdefault(key, uuid.uuid4().hex)

    def intent_ended(self, key: Key) -> None:
        """End an intent. The API would answer its token with the same result even after that has been undone."""
        self._tokens.pop(key, None)

    def change(self, own: OwnEntries, rules: tuple[ForwardRule, ...], *, release: bool, now: float) -> bool:
        """Want this from now on, and tell whether it is new; what is under way is sorted out by the next plan."""
        if rules == self.rules and release == self.release:
            self.own = own
            return False
        self.own, self.rules, self.release = own, rules, release
        self.since = self.quiet_since = self.moved_at = now
        self.unverified = {rule: why for rule, why in self.unverified.items() if rule in rules}
        self.polls = {key: poll for key, poll in self.polls.items() if poll.state is not EntryState.CONFLICT}
        # A rule given up and wanted again later is another intent: it may have been created and deleted meanwhile.
        current = {*rules, *self.in_flight}
        self._tokens = {key: token for key, token in self._tokens.items() if isinstance(key, str) or key in current}
        self.reset_backoff()
        return True

    def trust_table(self) -> None:
        """Ask by name no more: the table has been listed. What that may have missed, the cloud doesn't make twice."""
        self.unverified = {rule: why for rule, why in self.unverified.items() if why.evidence is not Evidence.BY_NAME}

    def failed(self, error: CloudError, now: float) -> None:
        """Note that a write of it came to nothing."""
        self.failing_since, self.last_error = min(self.failing_since, now), error

    def back_off(self, now: float, *, at_least: float = 0.0, at_most: float = math.inf) -> None:
        """Let its next write wait: ever longer the more often it failed."""
        self.retry_at = now + max(at_least, min(self.backoff.failed(), at_most))

    def reset_backoff(self) -> None:
        """Forget past failures: something has changed that may have caused them."""
        self.problem = self.last_error = None
        self.failing_since = math.inf
        self.refused = 0
        self.retry_at = -math.inf
        self.backoff.reset()

    def items(self, plan: Plan) -> list[Item]:
        """Tell for each of its entries in which state it is."""
        return [*self._items(plan)]

    def _items(self, plan: Plan) -> Iterator[Item]:
        for entry in plan.deletes:
            under_way = entry.entry_id in self.in_flight
            yield Item(entry.entry_id, EntryState.DELETING if under_way else EntryState.OBSOLETE, entry)
        for rule in plan.creates:
            if rule in self.in_flight:
                yield Item(rule, EntryState.CREATING)
            else:
                yield Item(rule, EntryState.UNVERIFIED if rule in self.unverified else EntryState.ABSENT)
        for entry in plan.settling:
            yield Item(entry.entry_id, self._settling(entry), entry)
        for conflict in plan.conflicts:
            yield Item(conflict.entry.entry_id, EntryState.CONFLICT, conflict.entry)
        for entry in plan.working:
            yield Item(entry.entry_id, EntryState.WORKING, entry)
        if not (self.confirmed or plan.deletes or plan.settling or self.in_flight):
            yield Item(self.own.name, EntryState.GONE)

    def _settling(self, entry: ForwardEntry) -> EntryState:
        if entry.status is EntryStatus.DELETING:
            return EntryState.DELETING
        return EntryState.PENDING if entry.rule in self.rules else EntryState.SURPLUS

    def update_states(self, items: Sequence[Item], now: float) -> None:
        """Note in which states its entries are now."""
        states = {item.key: item.state for item in items}
        if states != self._states:
            self._states, self.moved_at = states, now
        self.unverified = {
            rule: why for rule, why in self.unverified.items() if rule in states or rule in self.in_flight
        }

    def next_write(self, items: Sequence[Item]) -> tuple[Kind, Item] | None:
        """Choose what to send next: entries in the way first."""
        return next(((write, item) for item in items if (write := STEPS[item.state].write) is not None), None)

    def unverified_conflicts(self, items: Sequence[Item]) -> bool:
        """Whether something in the way was not asked for by its id yet: it may have gone since."""
        polls = [self.polls.get(item.key) for item in items if item.state is EntryState.CONFLICT]
        return any(poll is None or not poll.seen for poll in polls)

    def first_poll(self, item: Item, now: float, expected_at: float) -> Poll:
        """Plan when to ask for an item that has come into its state; ``expected_at``: when it is likely to change."""
        match item.state:
            case EntryState.UNVERIFIED | EntryState.GONE:
                return Poll(item.state, max(now, self.retry_at))
            case EntryState.CONFLICT:
                return Poll(item.state, now)
            case _:
                poll = Poll(item.state, now)
                poll.again(now, not_before=expected_at)
                return poll

    @property
    def kind(self) -> Kind:
        """Whether it wants entries, or gives up all that it has."""
        return Kind.DELETE if self.release else Kind.CREATE

    def next_poll(self) -> float:
        """Tell when the next read is due; infinite: none is."""
        return min((poll.at for poll in self.polls.values()), default=math.inf)

    def filters(self, item: Item) -> tuple[EntryFilter, ...]:
        """Tell what to list for an item, so that the answer proves where it is."""
        evidence = self._evidence(item)
        if evidence is Evidence.BY_NAME:
            return (EntryFilter(name=self.own.name),)
        if evidence is Evidence.BY_SIDES and (rule := item.rule) is not None:
            return (
                EntryFilter(external_ip=rule.external_ip, external_port=str(rule.external_ports)),
                EntryFilter(internal_ip=rule.internal_ip, internal_port=str(rule.internal_ports)),
            )
        return (EntryFilter(entry_id=str(item.key)),)

    def _evidence(self, item: Item) -> Evidence:
        if item.state is EntryState.UNVERIFIED and item.rule is not None:
            return self.unverified[item.rule].evidence
        # On a release the last one is asked for by the name that all of them have: that proves its end as well.
        by_name = item.state is EntryState.DELETING and self.release and len(self._states) == 1
        named = item.entry is not None and item.entry.name == self.own.name
        return Evidence.BY_NAME if by_name and named else STEPS[item.state].evidence[0]
