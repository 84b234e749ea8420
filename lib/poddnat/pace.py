"""How fast one gateway may be written to: learned from its answers, never configured.

A write that the gateway has accepted stays unsettled (Pending, Deleting) for a while. Old gateways refuse the next
write until then, newer ones bear several at once. Two things are learned: how many (the limit), and how long
settling takes, so that the next write is sent about when a place becomes free; asking first would cost a call for
each write. All times are seconds of the caller's monotonic clock; nothing here waits or reads a clock.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

# Sixteen writes at once is more than any gateway is known to bear.
MOST_AT_ONCE = 16
_FIRST_STEP = 0.05
_LONGEST_STEP = 10.0
_PROBE_AFTER = 48
_PATIENCE = 2


class Kind(Enum):
    """Creating and deleting may take the gateway different times."""

    CREATE = "create"
    DELETE = "delete"


@dataclass
class Settling:
    """How long writes of one kind take to settle: a smoothed mean and mean deviation, in seconds."""

    mean: float | None = None
    deviation: float = 0.0

    _WEIGHT = 1 / 8
    _FLOOR = 0.04

    def learn(self, seconds: float) -> None:
        """Take over one measured time."""
        if self.mean is None:
            self.mean = seconds
            self.deviation = seconds / 6
            return
        self.deviation += self._WEIGHT * (abs(seconds - self.mean) - self.deviation)
        self.mean += self._WEIGHT * (seconds - self.mean)

    @property
    def step(self) -> float:
        """How long to wait between two tries around the expected time."""
        if self.mean is None:
            return _FIRST_STEP
        return max(self.deviation, self._FLOOR * self.mean)

    def expected(self, deviations: float) -> float:
        """Give the age at which a write is taken to be settled, so many deviations off the mean."""
        return 0.0 if self.mean is None else self.mean + deviations * self.step


@dataclass
class _Open:
    kind: Kind
    accepted_at: float
    pending_until: float = field(default=-math.inf)
    """The last moment at which it was known to be unsettled."""


class Pace:
    """Decides when the next write may go to one gateway, and learns from what came of it."""

    def __init__(self) -> None:
        self.limit = 1
        """How many unsettled writes the gateway bears, as far as is known."""
        self.in_flight = 0
        """Writes sent and not answered yet."""
        self.settling = {kind: Settling() for kind in Kind}
        self._open: dict[str, _Open] = {}
        self._growing = True
        self._refusals = 0
        self._since_probe = 0
        self._hold_until = -math.inf

    def seconds_per_write(self) -> float:
        """Estimate how long each write occupies the gateway, for telling those who wait."""
        means = [settling.mean for settling in self.settling.values() if settling.mean is not None]
        return (max(means) if means else _FIRST_STEP) / self.limit

    def wait(self, now: float) -> float:
        """Give the seconds until a write may be sent: 0 for at once, infinite while only an answer can change it."""
        free_at = self._hold_until
        room = self._allowed() - self.in_flight
        if room <= 0:
            return math.inf
        believed = sorted(self._believed_settled_at(write) for write in self._open.values())
        if len(believed) >= room:
            free_at = max(free_at, believed[len(believed) - room])
        return max(0.0, free_at - now)

    def sent(self) -> None:
        """Note that a write goes out."""
        self.in_flight += 1

    def accepted(self, entry_id: str, kind: Kind, now: float) -> None:
        """Note that the gateway took a write; ``entry_id`` names the entry that is unsettled by it."""
        busy = self.unsettled(now)
        self.in_flight -= 1
        if self.limit == 1:
            # On a gateway that takes one at a time, taking this one says that the one before has settled.
            for earlier in list(self._open):
                self._close(earlier, now)
        if busy > self.limit:
            self._growing = True
        if self._growing and busy >= self.limit:
            self.limit = min(busy + 1, MOST_AT_ONCE)
            self._since_probe = 0
        self._since_probe += 1
        self._refusals = 0
        self._hold_until = -math.inf
        self._open[entry_id] = _Open(kind, now)

    def refused(self, now: float) -> None:
        """Note that the gateway was too busy for a write."""
        self.in_flight -= 1
        self._refusals += 1
        if self._growing or self._probing or self._refusals > _PATIENCE:
            # One refusal among many writes may be chance; to be refused again with fewer under way is not.
            self.limit = max(1, min(self.limit, self.unsettled(now)))
            self._growing = False
            self._since_probe = 0
        if self.limit == 1:
            for write in self._open.values():
                write.pending_until = now
        self._hold_until = now + self._backoff()

    def failed(self) -> None:
        """Note that a write came to nothing for a reason that says nothing about the gateway's pace."""
        self.in_flight -= 1

    def forget_all_but(self, entry_ids: Iterable[str]) -> None:
        """Forget writes to entries that are no longer there, such as those deleted behind our back."""
        there = set(entry_ids)
        self._open = {entry_id: write for entry_id, write in self._open.items() if entry_id in there}

    def unsettled(self, now: float) -> int:
        """Count the writes on their way: sent, or accepted and not believed to have settled."""
        return self.in_flight + sum(1 for w in self._open.values() if self._believed_settled_at(w) > now)

    def looked_pending(self, entry_id: str, now: float) -> None:
        """Note that a listing showed an entry still unsettled."""
        if (write := self._open.get(entry_id)) is not None:
            write.pending_until = now

    def looked_settled(self, entry_id: str, now: float) -> None:
        """Note that a listing showed an entry settled, or gone."""
        self._close(entry_id, now)

    def due_at(self, entry_id: str) -> float:
        """Give the time from which on looking at an entry is likely to find it settled."""
        write = self._open.get(entry_id)
        return -math.inf if write is None else write.accepted_at + self._settling(write.kind).expected(0.0)

    @property
    def _probing(self) -> bool:
        """Whether it is time to try one more than the limit: a gateway may have become faster."""
        return self._since_probe > _PROBE_AFTER

    def _allowed(self) -> int:
        return min(self.limit + self._probing, MOST_AT_ONCE)

    def _close(self, entry_id: str, now: float) -> None:
        write = self._open.pop(entry_id, None)
        if write is None:
            return
        settling = self.settling[write.kind]
        longest = now - write.accepted_at
        if write.pending_until > write.accepted_at:
            settling.learn((write.pending_until - write.accepted_at + longest) / 2)
        elif settling.mean is None or longest < settling.mean:
            # Only known to be quicker than this.
            settling.learn(max(longest - settling.step / 2, longest / 2))

    def _settling(self, kind: Kind) -> Settling:
        own = self.settling[kind]
        other = self.settling[Kind.DELETE if kind is Kind.CREATE else Kind.CREATE]
        return own if own.mean is not None else other

    def _believed_settled_at(self, write: _Open) -> float:
        settling = self._settling(write.kind)
        if self._growing and settling.mean is None:
            return math.inf
        # A try too many is cheap where it also tells that the one write before has settled; with several writes
        # under way, most tries before the mean would be refused.
        return write.accepted_at + settling.expected(-1.0 if self.limit == 1 else 0.7)

    def _backoff(self) -> float:
        settling = self._settling(Kind.CREATE)
        # Around the expected time every step is alike; a gateway that takes much longer is asked ever more rarely.
        patience = 0 if settling.mean is None else 3
        step = settling.step / self.limit * 2 ** max(0, self._refusals - 1 - patience)
        return float(min(step, _LONGEST_STEP))
