"""Whose turn it is to write: creates and deletes are two classes that take turns, and who failed waits apart."""

from collections.abc import Collection

from poddnat.gateway.reconciler.calls import Kind
from poddnat.ranking import Ranking

MOST_TURNS = 10
"""How many writes a PodDNAT may send in a row while others wait."""


class WorkQueue:
    """PodDNATs that have something to write, by their uids. Not safe for use from several threads at once."""

    def __init__(self) -> None:
        self._ready = {kind: Ranking() for kind in Kind}
        # By tickets, which are drawn anew at the end of the queue, and kept by those who had their turn.
        self._last_ticket = dict.fromkeys(Kind, 0)
        self._tickets: dict[str, tuple[Kind, float]] = {}
        self._delayed = {kind: Ranking() for kind in Kind}
        # Those that wait apart, by the time at which they come back.
        self._turn = Kind.CREATE

    def __len__(self) -> int:
        return sum(map(len, [*self._ready.values(), *self._delayed.values()]))

    def uids(self, kind: Kind) -> list[str]:
        """List who has a write of a class to send: in their order, those that wait apart last."""
        return [*self._ready[kind], *self._delayed[kind]]

    def add(self, uid: str, kind: Kind, *, front: bool = False) -> None:
        """Queue a PodDNAT, once: a second time changes nothing, but for its class.

        ``front``: it had its turn, and comes before all others but those who had theirs and came earlier. So does who
        had a turn and waited apart since, whether or not that time is over.
        """
        if uid in self._ready[kind]:
            return
        had = self._tickets.get(uid)
        front = front or (had is not None and any(uid in delayed for delayed in self._delayed.values()))
        self.remove(uid)
        if not front:
            self._last_ticket[kind] += 1
            ticket: float = self._last_ticket[kind]
        elif had is not None and had[0] is kind:
            ticket = had[1]
        else:
            ticket = min(self._ready[kind].first()[0], self._last_ticket[kind] + 1) - 1
        self._ready[kind].put(uid, ticket)

    def add_after(self, uid: str, kind: Kind, at: float) -> None:
        """Queue a PodDNAT at a later time: at the end, or where it stood if it had its turn."""
        if uid not in self._delayed[kind]:
            self.remove(uid)
        self._delayed[kind].put(uid, at)

    def remove(self, uid: str) -> None:
        """Take a PodDNAT out of the queue; what it has under way may bring it back in front."""
        for ranking in (*self._ready.values(), *self._delayed.values()):
            ranking.discard(uid)

    def forget(self, uid: str) -> None:
        """Take a PodDNAT out of the queue for good."""
        self.remove(uid)
        self._tickets.pop(uid, None)

    def pop(self, now: float, *, closed: Collection[Kind] = ()) -> tuple[str, Kind] | None:
        """Take out who is next, of what class, but nobody of a ``closed`` one; None: nobody's turn has come."""
        for kind, delayed in self._delayed.items():
            while delayed.first()[0] <= now:
                _, uid = delayed.pop()
                self.add(uid, kind, front=uid in self._tickets)
        for kind in (self._turn, *(other for other in Kind if other is not self._turn)):
            if self._ready[kind] and kind not in closed:
                self._turn = next(other for other in Kind if other is not kind)
                ticket, uid = self._ready[kind].pop()
                self._tickets[uid] = kind, ticket
                return uid, kind
        return None

    def let_one_pass(self, uid: str) -> None:
        """Put a PodDNAT that is next behind the one after it: whether that gets through tells whose fault it is."""
        for ready in self._ready.values():
            if ready.first()[1] == uid and len(ready) > 1:
                (first, _), (second, other) = ready.pop(), ready.pop()
                ready.put(other, first)
                ready.put(uid, second)

    def return_turn(self, kind: Kind) -> None:
        """Let a class be next again: its turn came to nothing. Otherwise one class could get all the vain turns."""
        self._turn = kind

    def next_at(self) -> float:
        """Give the time at which the next one that waits apart comes back; infinite: nobody waits."""
        return min(delayed.first()[0] for delayed in self._delayed.values())

    def ahead(self, uid: str) -> float:
        """Estimate how many writes come before a PodDNAT's."""
        for kind, ready in self._ready.items():
            if uid in ready:
                others = sum(len(other) for k, other in self._ready.items() if k is not kind)
                # Tickets of those who left are still counted.
                here = min(ready.rank(uid) - ready.first()[0], len(ready) - 1)
                return here + min(here, others)
        return 0
