"""How fast one gateway may be written to: learned from its answers, never configured.

A write that the gateway has accepted stays unsettled (Pending, Deleting) for a while. Old gateways refuse the next
write until then, newer ones bear several at once. Two things are learned: how many (the limit), and how long
settling takes, so that the next write is sent about when a place becomes free; asking first would cost a call for
each write. All times are seconds of the caller's monotonic clock; nothing here waits or reads a clock.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

# More writes at once than any gateway is known to bear.
MOST_AT_ONCE = 16
LONGEST_LOOK_GAP = 0.8
"""Who waits for an entry learns within about this many seconds that it works."""
_LOOKS_PER_SETTLING = 2.0
_FIRST_STEP = 0.05
_LONGEST_STEP = 10.0
_PROBE_AFTER = 64
_PATIENCE = 3
_CAUTION = 0.4
_MANY = 8
"""With so many writes under way, or more: how many places to leave unused, on average, for being wrong about them."""
_PROBABLE = 0.9
_SOON = 0.5


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
    _LONGEST_FIRST = 10.0
    _LONGEST_MULTIPLE = 4.0

    def learn(self, shortest: float, longest: float) -> None:
        """Take over one time, known to lie between two bounds.

        An entry that was stuck for minutes says little about the next ones, which would be awaited as long: a time
        far beyond what is usual counts as several times the usual one, so that a slow gateway is still found out.
        """
        usual = self._LONGEST_FIRST if self.mean is None else max(self.mean, _FIRST_STEP) * self._LONGEST_MULTIPLE
        shortest, longest = min(shortest, usual), min(longest, usual)
        if self.mean is None:
            self.mean = (shortest + longest) / 2
            self.deviation = self.mean / 6
        elif longest - shortest < self.mean / 4:
            seconds = (shortest + longest) / 2
            self.deviation += self._WEIGHT * (abs(seconds - self.mean) - self.deviation)
            self.mean += self._WEIGHT * (seconds - self.mean)
        else:
            # Bounds far apart tell something only where they exclude the mean.
            self.mean += self._WEIGHT * (min(max(self.mean, shortest), longest) - self.mean)

    @property
    def step(self) -> float:
        """How long to wait between two tries around the expected time."""
        return _FIRST_STEP if self.mean is None else max(self.deviation, self._FLOOR * self.mean)

    def surely_pending(self) -> float:
        """Give the age up to which a write is not settled yet."""
        return math.inf if self.mean is None else self.mean - 2 * self.step

    def surely_settled(self) -> float:
        """Give the age from which on a write should be settled."""
        return math.inf if self.mean is None else self.mean + 2 * self.step

    def pending_share(self, age: float, seen_at: float) -> float:
        """Estimate the chance that a write is unsettled at an age, when it was seen so at an earlier age."""
        first, last = self.surely_pending(), self.surely_settled()
        if age <= first:
            return 1.0
        # Seen pending beyond all expectation: it may settle any moment.
        since = min(max(first, seen_at), last - self.step)
        return max(0.0, min(1.0, (last - max(age, since)) / (last - since)))


@dataclass
class _Open:
    kind: Kind
    accepted_at: float
    pending_until: float
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
        self._presumed = ("", _Open(Kind.CREATE, 0.0, 0.0))
        # The last entry that was taken to have settled because the next write was accepted.
        self._growing = True
        self._refusals = 0
        self._since_probe = 0
        self._hold_until = -math.inf
        self._blind_looks = 0

    @property
    def unsettled(self) -> int:
        """Count the writes that the gateway has accepted and that are not known to have settled."""
        return len(self._open)

    def seconds_per_write(self) -> float:
        """Estimate how long each write occupies the gateway, for telling those who wait."""
        means = [settling.mean for settling in self.settling.values() if settling.mean is not None]
        return (max(means) if means else _FIRST_STEP) / self.limit

    def wait(self, now: float) -> float:
        """Give the seconds until a write may be sent: 0 for at once, infinite while only an answer can change it."""
        start = max(now, self._hold_until)
        if self.in_flight >= self._allowed():
            return math.inf
        if self._has_room(start):
            return start - now
        horizon = max((w.accepted_at + self._settling(w.kind).surely_settled() for w in self._open.values()), default=0)
        if math.isinf(horizon):
            return math.inf
        early, late = start, max(start, horizon)
        while late - early > _FIRST_STEP / 50:
            middle = (early + late) / 2
            early, late = (early, middle) if self._has_room(middle) else (middle, late)
        return late - now

    def _has_room(self, at: float) -> bool:
        allowed = self._allowed()
        if self.limit == 1 and not self._growing:
            # A try too many is cheap where it also tells that the one write before has settled.
            busy = [w for w in self._open.values() if at < w.accepted_at + self._first_try(w)]
            return self.in_flight + len(busy) < allowed
        expected = self.in_flight + sum(self._pending_share(write, at) for write in self._open.values())
        certain = self._growing or expected == int(expected)
        return expected <= allowed - 1 - (0 if certain else _CAUTION * min(1.0, self.limit / _MANY))

    def _first_try(self, write: _Open) -> float:
        settling = self._settling(write.kind)
        return 0.0 if settling.mean is None else settling.mean - settling.step

    def _pending_share(self, write: _Open, at: float) -> float:
        return self._settling(write.kind).pending_share(at - write.accepted_at, write.pending_until - write.accepted_at)

    def sent(self) -> None:
        """Note that a write goes out."""
        self.in_flight += 1

    def accepted(self, entry_id: str, kind: Kind, now: float) -> None:
        """Note that the gateway took a write; ``entry_id`` names the entry that is unsettled by it."""
        # The one write before is tried to be followed early, which must not be taken for two at once.
        chance = 1.0 if self.limit == 1 else _PROBABLE
        busy = self.in_flight + sum(self._pending_share(write, now) >= chance for write in self._open.values())
        self.in_flight -= 1
        if self.limit == 1:
            # On a gateway that takes one at a time, taking this one says that the one before has settled.
            for earlier, write in list(self._open.items()):
                self._close(earlier, now)
                self._presumed = (earlier, write)
        if busy > self.limit:
            self._growing = True
        if self._growing and busy >= self.limit:
            self.limit = min(busy + 1, MOST_AT_ONCE)
        self._since_probe = 0 if self._growing else self._since_probe + 1
        self._refusals = 0
        self._hold_until = -math.inf
        self._open[entry_id] = _Open(kind, now, now)

    def refused(self, now: float) -> None:
        """Note that the gateway was too busy for a write."""
        self.in_flight -= 1
        self._refusals += 1
        at_most = self.in_flight + len(self._open)
        if self._probing:
            self._since_probe = 0
        elif at_most < self.limit:
            # Refused with fewer under way than it once bore.
            self.limit = max(1, at_most)
        self._growing = False
        if self.limit == 1 and len(self._open) == 1:
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

    def looked_pending(self, entry_id: str, now: float) -> None:
        """Note that a listing showed an entry still unsettled."""
        if entry_id == self._presumed[0] and self._presumed[1].pending_until < now:
            # It was not: the gateway bears more than one.
            self._open[entry_id] = self._presumed[1]
            self._growing = True
        if (write := self._open.get(entry_id)) is not None:
            write.pending_until = max(write.pending_until, now)

    def looked_settled(self, entry_id: str, now: float) -> None:
        """Note that a listing showed an entry settled, or gone."""
        self._close(entry_id, now)

    def due_at(self, entry_id: str, *, more_to_write: bool) -> float:
        """Give the time from which on looking at an entry is likely to find it settled."""
        write = self._open.get(entry_id)
        if write is None:
            return -math.inf
        if self.limit == 1 and more_to_write:
            return math.inf  # The next write will tell.
        settling = self._settling(write.kind)
        if settling.mean is None:
            return write.accepted_at
        # Where several writes are under way, to know of one that settled early is to have a place for the next.
        return write.accepted_at + (settling.mean if self.limit == 1 else settling.surely_pending())

    def looked(self) -> None:
        """Note that a listing was read: what is under way is known again, so a refusal need not be sat out."""
        if self.limit > 1 and self._refusals < _PATIENCE:
            self._hold_until = -math.inf

    def look_soon(self) -> float:
        """Give the seconds after a refusal in which something has probably settled, so that a look would tell."""
        mean = self._settling(Kind.CREATE).mean
        return math.inf if mean is None or self.limit == 1 else mean / self.limit * _SOON

    def look_gap(self) -> float:
        """Give the seconds between two looks at what is settling."""
        mean = self._settling(Kind.CREATE).mean
        if mean is None:
            # Nothing is known yet: look often at first, then ever more rarely.
            self._blind_looks += 1
            return min(_FIRST_STEP * 1.5**self._blind_looks, LONGEST_LOOK_GAP)
        return LONGEST_LOOK_GAP if self.limit == 1 else min(mean / _LOOKS_PER_SETTLING, LONGEST_LOOK_GAP)

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
        shortest, longest = write.pending_until - write.accepted_at, now - write.accepted_at
        if shortest > 0:
            settling.learn(shortest, longest)
        elif settling.mean is None or longest < settling.mean:
            # Only known to be quicker than this.
            settling.learn(max(0.0, longest - settling.step), longest)

    def _settling(self, kind: Kind) -> Settling:
        own = self.settling[kind]
        other = self.settling[Kind.DELETE if kind is Kind.CREATE else Kind.CREATE]
        return own if own.mean is not None else other

    def _backoff(self) -> float:
        settling = self._settling(Kind.CREATE)
        # Around the expected time every step is alike; a gateway that takes much longer is asked ever more rarely.
        if settling.mean is None:
            step = _FIRST_STEP * 2.0 ** (self._refusals - 1)
        elif self.limit == 1:
            step = settling.step * 2.0 ** max(0, self._refusals - _PATIENCE - 1)
        else:
            step = settling.mean / self.limit * 2.0 ** max(0, self._refusals - 2)
        return min(step, _LONGEST_STEP)
