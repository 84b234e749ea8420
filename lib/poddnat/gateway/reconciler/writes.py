"""The writing side: which PodDNAT's write goes next, and what came of it."""

import math
from dataclasses import replace
from typing import Protocol

from poddnat.cloud import FAILURES_TO_TELL, CloudError, Meaning, Scope, problem_of
from poddnat.gateway.intervals import CONCURRENCY_LONGEST, REJECTED_APART, STUCK_AFTER
from poddnat.gateway.problems import taken_by_unseen
from poddnat.gateway.reconciler.calls import Create, Delete, Kind, Write
from poddnat.gateway.reconciler.desired import DesiredState, Item, Unverified
from poddnat.gateway.reconciler.state import GatewayState
from poddnat.gateway.reconciler.states import Evidence
from poddnat.model import EntryStatus, ForwardEntry

_FAILURES_TO_LIST = 2
_REFUSALS_OF_ENTRY = 3
"""So often in a row a gateway that takes others in between is too busy for one, and it is the entry's own matter."""


class Gates(Protocol):
    """What holds calls back beyond this gateway: the rate limits, and the read budget."""

    def wait(self, kind: Kind | None) -> float:
        """Give the seconds until a write of a class, or a read (None), may go out; 0 means now."""

    def refresh_wait(self) -> float:
        """Give the seconds until a page may be read that nobody waits for."""


class Writes:
    """Chooses writes and takes over their outcomes. Not safe for use from several threads at once."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._refused_last = ""
        # Whose write the gateway was too busy for last, since when it has taken none, and what it said.
        self._refused_since = math.inf
        self._refusal: CloudError | None = None
        self._passed_writes = 0

    def next(self, now: float, gates: Gates) -> tuple[Write | None, float]:
        """Choose the next write, or say in how many seconds to ask again."""
        if not len(self._state.queue):
            return None, math.inf
        if (wait := max(self._state.concurrency.wait(now), self._state.gate.opens_at() - now)) > 0:
            return None, wait
        closed, wait = self._closed(now, gates)
        while (popped := self._state.queue.pop(now, closed=closed)) is not None:
            uid, kind = popped
            desired = self._state.desired[uid]
            if (at := self._state.gate.opens_at(desired.next_address)) > now:
                self._state.queue.add_after(uid, kind, at)  # Without a plan: there may be thousands.
                continue
            write = desired.next_write(desired.items(self._state.plan(desired)))
            if write is None or write[0] is not kind or desired.retry_at > now:
                self._state.place(desired, now)
                continue
            call = self._call(desired, write[1])
            desired.in_flight.add(write[1].key)
            desired.turns += 1
            self._state.concurrency.sent()
            self._state.place(desired, now, goes_on=True)
            return call, 0.0
        return None, min(wait, self._state.queue.next_at() - now)

    def lasting_refusal(self, now: float) -> CloudError | None:
        """Give what the gateway answers that has been too busy for every write for long; None: it has not."""
        return self._refusal if now - self._refused_since > STUCK_AFTER else None

    def _closed(self, now: float, gates: Gates) -> tuple[set[Kind], float]:
        """Tell which classes of writes can't be sent now, and in how many seconds one of them can."""
        waits = {kind: gates.wait(kind) for kind in Kind}
        free_at = self._state.quota.free_at(len(self._state.table), self._state.concurrency.in_flight, now)
        waits[Kind.CREATE] = max(waits[Kind.CREATE], free_at - now)
        closed = {kind: wait for kind, wait in waits.items() if wait > 0}
        return set(closed), min(closed.values(), default=math.inf)

    def _call(self, desired: DesiredState, item: Item) -> Write:
        own, token = desired.own, desired.token(item.key)
        if (rule := item.rule) is not None:
            return Create(own.uid, own.name, rule, token, own.pod)
        if item.entry is None:
            raise ValueError(f"{item} is nothing to delete")
        owner = self._state.ownership.owner_in(item.entry.name)
        return Delete(own.uid, item.entry, token, owner if owner != own.uid else None, own.pod)

    def created(self, call: Create, entry_id: str, table_id: str, now: float) -> None:
        """Take over that the cloud accepted a create."""
        self._state.concurrency.accepted(entry_id, Kind.CREATE, now)
        self._state.table.put(ForwardEntry(entry_id, call.name, call.rule, EntryStatus.PENDING, table_id))
        self._state.quota.taken(len(self._state.table))
        self._passed(call, now)

    def deleted(self, call: Delete, now: float) -> None:
        """Take over that the cloud accepted a delete."""
        self._state.concurrency.accepted(call.entry.entry_id, Kind.DELETE, now)
        self._put(call.entry, EntryStatus.DELETING, now)
        self._passed(call, now)

    def vetoed(self, call: Delete, now: float) -> None:
        """Take over that a leftover was not deleted after all: its PodDNAT lives."""
        self._state.concurrency.failed()
        self._state.desired[call.uid].back_off(now)
        self._answered(call, now)

    def failed(self, call: Write, error: CloudError, now: float) -> None:
        """Take over that a write came to nothing, or that nobody knows."""
        desired = self._state.desired[call.uid]
        desired.failed(error, now)
        if error.meaning is Meaning.BUSY:
            self._refused(call, desired, error, now)
        else:
            self._state.concurrency.failed()
        match error.meaning:
            case Meaning.BUSY | Meaning.THROTTLED:
                pass
            case Meaning.FULL if isinstance(call, Create):
                self._state.quota.refused(len(self._state.table), now)
            case Meaning.GONE if isinstance(call, Delete):
                desired.intent_ended(call.key)
                if call.key in desired.said_gone:
                    desired.back_off(now)
                desired.said_gone.add(call.key)
                self._state.table.remove(call.entry.entry_id)
                self._state.changed({call.entry.entry_id}, now)
            case Meaning.UNKNOWN | Meaning.TOKEN_MISMATCH | Meaning.TAKEN:
                self._unknown(call, desired, error, now)
            case Meaning.DENIED | Meaning.UNUSABLE:
                self._state.gate.failed(error, call.uid, call.rule.external_ip, now)
            case Meaning.UNLISTED | Meaning.FULL:
                desired.back_off(now)
            case _:
                desired.problem = problem_of(error, self._state.gateway_id)
                rejected = sum(one.problem is not None for one in self._state.desired.values())
                desired.back_off(now, at_least=max(desired.problem.retry_after, rejected * REJECTED_APART))
        self._answered(call, now)

    def _refused(self, call: Write, desired: DesiredState, error: CloudError, now: float) -> None:
        """Take over that a write came too early: for its entry, its address, or the gateway."""
        self._refused_since = min(self._refused_since, now)
        self._refusal = error
        first = self._refused_last in ("", call.uid)
        desired.turns = max(0, desired.turns - 1)  # It has not had its turn.
        desired.refused += self._passed_writes > desired.refused_after
        self._refused_last, desired.refused_after = call.uid, self._passed_writes
        if error.scope is Scope.GATEWAY and desired.refused < _REFUSALS_OF_ENTRY:
            if self._state.concurrency.is_busy(now) or not first:
                self._state.concurrency.refused(now)
                self._state.queue.return_turn(call.kind)
                return
            # Refused by a gateway at rest: it may be the entry, so others need not wait. It may be somebody else, too.
            self._state.concurrency.failed()
            desired.back_off(now, at_most=CONCURRENCY_LONGEST)
            return
        self._state.concurrency.failed()
        if error.scope is Scope.GATEWAY:
            desired.refused = 0
            self._state.concurrency.try_more()  # It was the entry: others passed in between, and it taught nothing.
        if error.scope is Scope.ADDRESS:
            self._state.gate.failed(error, call.uid, call.rule.external_ip, now)
        elif isinstance(call, Delete):
            self._put(call.entry, EntryStatus.MODIFYING, now)  # It is not settled after all, and is asked for.
        desired.back_off(now)

    def _unknown(self, call: Write, desired: DesiredState, error: CloudError, now: float) -> None:
        """Take over that a write may have been done, or that somebody unseen is in its way: a read has to tell."""
        if error.meaning is Meaning.TOKEN_MISMATCH:
            desired.intent_ended(call.key)
        if error.meaning is Meaning.UNKNOWN:
            self._state.gate.failed(error, call.uid, call.rule.external_ip, now)
        desired.back_off(now)
        if isinstance(call, Delete):
            self._put(call.entry, EntryStatus.MODIFYING, now)
            return
        desired.unverified[call.rule] = Unverified(Evidence.BY_SIDES, now)
        if error.meaning is Meaning.TAKEN and desired.backoff.failures == _FAILURES_TO_LIST:
            # The filters showed nobody: they find equal ports only, not a range that overlaps. Once, as it costs much.
            self._state.poller.invalidate()
        if error.meaning is Meaning.TAKEN and desired.backoff.failures >= FAILURES_TO_TELL:
            desired.problem = taken_by_unseen(call.rule, error)

    def _put(self, entry: ForwardEntry, status: EntryStatus, now: float) -> None:
        self._state.table.put(replace(entry, status=status))
        self._state.changed({entry.entry_id}, now)

    def _passed(self, call: Write, now: float) -> None:
        self._state.gate.passed(call.rule.external_ip)
        self._passed_writes += 1
        self._refused_last = ""
        self._refused_since = math.inf
        desired = self._state.desired[call.uid]
        desired.intent_ended(call.key)
        desired.unverified.pop(call.rule, None)
        desired.reset_backoff()
        self._answered(call, now)

    def _answered(self, call: Write, now: float) -> None:
        desired = self._state.desired[call.uid]
        desired.in_flight.discard(call.key)
        desired.quiet_since = now
        self._state.place(desired, now, goes_on=True)
        if desired.refused:
            self._state.queue.let_one_pass(call.uid)
