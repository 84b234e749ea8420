"""What is known of one gateway, and where each PodDNAT stands: in the queue to write, waiting for a read, or both."""

import math
from collections.abc import Callable, Collection, Sequence

from poddnat.gateway.reconciler.calls import Key, Kind
from poddnat.gateway.reconciler.concurrency import ConcurrencyLimiter
from poddnat.gateway.reconciler.desired import DesiredState, Item
from poddnat.gateway.reconciler.ownership import Ownership
from poddnat.gateway.reconciler.plan import Plan, make_plan
from poddnat.gateway.reconciler.poller import Poller
from poddnat.gateway.reconciler.states import STEPS, EntryState
from poddnat.gateway.reconciler.table import Index, Table
from poddnat.gateway.reconciler.work_queue import MOST_TURNS, WorkQueue
from poddnat.gateway.reconciler.write_gate import EntryQuota, WriteGate

MOVING = frozenset({EntryState.PENDING, EntryState.SURPLUS, EntryState.DELETING})


class GatewayState:
    """The table as last seen, what is desired, and who is next. Not safe for use from several threads at once."""

    def __init__(self, gateway_id: str, ownership: Ownership, is_alive: Callable[[str], bool]) -> None:
        """``is_alive`` tells of a PodDNAT's uid, from memory, whether it exists."""
        self.gateway_id = gateway_id
        self.ownership = ownership
        self.table = Table()
        self.concurrency = ConcurrencyLimiter()
        self.queue = WorkQueue()
        self.quota = EntryQuota()
        self.gate = WriteGate(gateway_id)
        self.poller = Poller()
        self.desired: dict[str, DesiredState] = {}
        self.fulfilled: set[str] = set()
        """PodDNATs that have come to have what they desire, and have not been told of."""
        self._known_alive = is_alive
        self._watching = Index[str]()
        # By an entry's id: the PodDNATs that wait for it to change.

    def plan(self, desired: DesiredState) -> Plan:
        """Hold what is desired against the table."""
        return make_plan(desired.rules, self.table, desired.own, self.ownership, self.is_alive)

    def is_alive(self, uid: str) -> bool:
        """Whether a PodDNAT exists and is not being released."""
        desired = self.desired.get(uid)
        return not desired.release if desired is not None else self._known_alive(uid)

    def is_fulfilled(self, desired: DesiredState, plan: Plan) -> bool:
        """Whether the table is as desired, and nothing is left to do or to prove."""
        return plan.at_rest and desired.confirmed and not desired.in_flight

    def place(self, desired: DesiredState, now: float, *, goes_on: bool = False) -> Plan:
        """Put a PodDNAT where it belongs: into the queue if it has something to write, and have its reads planned.

        ``goes_on``: it has just had its turn, and may have some more before others.
        """
        plan = self.plan(desired)
        items = desired.items(plan)
        desired.update_states(items, now)
        self._enqueue(desired, items, now, goes_on=goes_on)
        self._watch(desired, items)
        self._poll(desired, items, now)
        if self.is_fulfilled(desired, plan):
            if desired.orphaned:
                self.forget(desired.own.uid)
            elif not desired.release:
                self.fulfilled.add(desired.own.uid)
        return plan

    def _enqueue(self, desired: DesiredState, items: Sequence[Item], now: float, *, goes_on: bool) -> None:
        uid = desired.own.uid
        if (write := desired.next_write(items)) is None:
            self.queue.remove(uid)
            return
        kind, item = write
        desired.next_address = item.external_ip
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
            self._watching.discard(entry_id, uid)
        for entry_id in entry_ids - desired.watched:
            self._watching.add(entry_id, uid)
        desired.watched = entry_ids

    def _poll(self, desired: DesiredState, items: Sequence[Item], now: float) -> None:
        """Plan when to ask for what: anew for items that have come into another state."""
        polls = {}
        for item in items:
            if not STEPS[item.state].evidence or item.key in desired.in_flight:
                continue
            expected_at = self.expected_at(desired, item.key, item.state)
            poll = desired.polls.get(item.key)
            if poll is None or poll.state is not item.state:
                poll = desired.first_poll(item, now, expected_at)
            elif expected_at > now and not math.isinf(poll.at):
                poll.at = expected_at
            polls[item.key] = poll
        desired.polls = polls
        self.poller.schedule(desired.own.uid, desired.next_poll(), desired.kind)

    def expected_at(self, desired: DesiredState, key: Key, state: EntryState) -> float:
        """Give the time at which asking for an entry is worth a read; -inf: nobody knows."""
        if state not in MOVING:
            return -math.inf
        more_to_write = len(self.queue) > 0
        return self.concurrency.expected_at(str(key), more_to_write=more_to_write, in_the_way=desired.held_up)

    def changed(self, entry_ids: Collection[str], now: float) -> None:
        """See what entries that have changed mean for those who wait for them."""
        uids = {uid for entry_id in entry_ids for uid in self._watching.get(entry_id)}
        for uid in uids:
            self.place(self.desired[uid], now)

    def forget(self, uid: str) -> None:
        """Drop what was desired for a PodDNAT: it has it."""
        for entry_id in self.desired.pop(uid).watched:
            self._watching.discard(entry_id, uid)
        self.fulfilled.discard(uid)
        self.queue.forget(uid)
        self.poller.schedule(uid, math.inf, Kind.CREATE)
