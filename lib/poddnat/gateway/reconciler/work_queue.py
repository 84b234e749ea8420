"""Whose turn it is to write: creates and deletes are two classes that take turns, and who failed waits apart."""

import heapq
from collections import OrderedDict
from collections.abc import Collection
from itertools import islice, takewhile

from poddnat.gateway.reconciler.calls import Kind
from poddnat.gateway.reconciler.concurrency import MOST_AT_ONCE

MOST_TURNS = 10
"""How many writes a PodDNAT may send in a row while others wait."""


class WorkQueue:
    """PodDNATs that have something to write, by their uids. Not safe for use from several threads at once."""

    def __init__(self) -> None:
        self._ready: dict[Kind, OrderedDict[str, int]] = {kind: OrderedDict() for kind in Kind}
        self._delayed: dict[str, tuple[float, Kind]] = {}
        self._heap: list[tuple[float, str]] = []
        self._last_ticket = dict.fromkeys(Kind, 0)
        self._tickets: dict[str, tuple[Kind, int]] = {}
        # Of those who had their turn: put back in front, they stand as before among themselves.
        self._turn = Kind.CREATE

    def __len__(self) -> int:
        return sum(map(len, self._ready.values())) + len(self._delayed)

    def uids(self, kind: Kind) -> list[str]:
        """List who has a write of a class to send: in their order, those that wait apart last."""
        return [*self._ready[kind], *(uid for uid, (_, other) in self._delayed.items() if other is kind)]

    def add(self, uid: str, kind: Kind, *, front: bool = False) -> None:
        """Queue a PodDNAT, once: a second time changes nothing, but for its class.

        ``front``: it had its turn, and comes before all others but those who had theirs and came earlier. So does who
        had a turn and waited apart since, whether or not that time is over.
        """
        if uid in self._ready[kind]:
            return
        had = self._tickets.get(uid)
        front = front or (had is not None and uid in self._delayed)
        self.remove(uid)
        ready = self._ready[kind]
        if front:
            first = next(iter(ready.values()), self._last_ticket[kind] + 1) - 1
            ready[uid] = had[1] if had is not None and had[0] is kind else first
            earlier = [*takewhile(lambda other: ready[other] < ready[uid], islice(ready, MOST_AT_ONCE))]
            for each in (uid, *reversed(earlier)):
                ready.move_to_end(each, last=False)
        else:
            self._last_ticket[kind] += 1
            ready[uid] = self._last_ticket[kind]

    def add_after(self, uid: str, kind: Kind, at: float) -> None:
        """Queue a PodDNAT at a later time: at the end, or where it stood if it had its turn."""
        if self._delayed.get(uid) == (at, kind):
            return
        self.remove(uid)
        self._delayed[uid] = (at, kind)
        heapq.heappush(self._heap, (at, uid))

    def remove(self, uid: str) -> None:
        """Take a PodDNAT out of the queue; what it has under way may bring it back in front."""
        self._delayed.pop(uid, None)
        for ready in self._ready.values():
            ready.pop(uid, None)

    def forget(self, uid: str) -> None:
        """Take a PodDNAT out of the queue for good."""
        self.remove(uid)
        self._tickets.pop(uid, None)

    def pop(self, now: float, *, closed: Collection[Kind] = ()) -> str | None:
        """Take out who is next, but nobody of a ``closed`` class; None: nobody's turn has come."""
        self._admit(now)
        for kind in (self._turn, *(other for other in Kind if other is not self._turn)):
            if self._ready[kind] and kind not in closed:
                self._turn = next(other for other in Kind if other is not kind)
                uid, ticket = self._ready[kind].popitem(last=False)
                self._tickets[uid] = kind, ticket
                return uid
        return None

    def let_one_pass(self, uid: str) -> None:
        """Put a PodDNAT that is next behind the one after it: whether that gets through tells whose fault it is."""
        for ready in self._ready.values():
            first_two = [*islice(ready, 2)]
            if first_two[:1] == [uid] and len(first_two) > 1:
                ready.move_to_end(first_two[1], last=False)
                ready[uid], ready[first_two[1]] = ready[first_two[1]], ready[uid]

    def return_turn(self, kind: Kind) -> None:
        """Let a class be next again: its turn came to nothing. Otherwise one class could get all the vain turns."""
        self._turn = kind

    def next_at(self) -> float:
        """Give the time at which the next one that waits apart comes back; infinite: nobody waits."""
        self._tidy()
        return self._heap[0][0] if self._heap else float("inf")

    def ahead(self, uid: str) -> int:
        """Estimate how many writes come before a PodDNAT's."""
        for kind, ready in self._ready.items():
            if uid in ready:
                first = next(iter(ready.values()))
                others = sum(len(other) for k, other in self._ready.items() if k is not kind)
                here = min(ready[uid] - first, len(ready) - 1)  # Tickets of those who left are still counted.
                return here + min(here, others)
        return 0

    def _admit(self, now: float) -> None:
        while self.next_at() <= now:
            _, uid = heapq.heappop(self._heap)
            self.add(uid, self._delayed[uid][1])

    def _tidy(self) -> None:
        """Drop what is on the heap of those that no longer wait, or for another time."""
        while self._heap and self._delayed.get(self._heap[0][1], (None,))[0] != self._heap[0][0]:
            heapq.heappop(self._heap)
