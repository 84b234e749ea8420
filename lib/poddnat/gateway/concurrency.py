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

from poddnat.gateway.settle_time import Settling, counts, given_that

# More writes at once than any gateway is known to bear.
MOST_AT_ONCE = 16
LONGEST_LOOK_GAP = 0.8
"""Who waits for an entry learns within about this many seconds that it works."""
_LONGEST_TRY_GAP = 0.9
"""The same where a gateway bears one write, and the next one tells, unless it is slow and uneven."""
_LOOK_AFTER = 0.45
"""Share of the settling time between two looks at a gateway that bears several: more looks gain little."""
_FIRST_STEP = 0.05
_LONGEST_STEP = 10.0
_PROBE_AFTER = 64
_RISK = 0.6
"""The chance of a refusal to take at first, where a gateway bears one write."""
_REFUSALS = 1.25
"""How many refusals each write is worth there: tried out, a write spares time, and the look that would tell."""
_REFUSALS_OF_MANY = 0.65
"""The same where it bears several, for all of them together."""
_BOLDER = 1.01
_BOLDEST = 1.5
_PROBABLE = 0.9
_CERTAIN = 0.999


class Kind(Enum):
    """Creating and deleting may take the gateway different times."""

    CREATE = "create"
    DELETE = "delete"


@dataclass
class _Open:
    kind: Kind
    accepted_at: float
    pending_until: float
    """The last moment at which it surely was unsettled."""
    known_at: float
    """The last moment about which an answer told anything."""
    chance: float = 1.0
    """How likely it was unsettled at that moment."""


class Pace:
    """Decides when the next write may go to one gateway, and learns from what came of it."""

    def __init__(self) -> None:
        self.limit = 1
        """How many unsettled writes the gateway bears, as far as is known."""
        self.in_flight = 0
        """Writes sent and not answered yet."""
        self.settling = {kind: Settling() for kind in Kind}
        self._open: dict[str, _Open] = {}
        self._presumed = ("", _Open(Kind.CREATE, 0.0, 0.0, 0.0))
        # The last entry that was taken to have settled because the next write was accepted.
        self._growing = True
        self._boldness = 1.0
        # Rises with each write and falls with each refusal, so that these stay as many as they are worth.
        self._unexplained = 0
        self._lowered = False
        # Whether the last answer to a write lowered the limit.
        # Refusals in a row though, as far as is known, there was room.
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
        early, late = start, max([start, *map(self._tried_by, self._open.values())])
        while late - early > _FIRST_STEP / 50:
            middle = (early + late) / 2
            early, late = (early, middle) if self._has_room(middle) else (middle, late)
        return late - now

    def _has_room(self, at: float) -> bool:
        """Whether a write is likely enough to be accepted.

        A refusal costs a call, an idle place costs the limit's share of the gateway's capacity: the more it bears at
        once, the surer a try has to be.
        """
        room = self._allowed() - self.in_flight
        likely = sum(counts(self._chances(at))[:room])
        return likely >= (_PROBABLE if self._growing else 1 - self._boldness * _RISK / math.sqrt(self.limit))

    def _chances(self, at: float) -> list[float]:
        return [self._chance(write, at) for write in self._open.values()]

    def _chance(self, write: _Open, at: float) -> float:
        begun = write.accepted_at
        since, pending_at = write.known_at - begun, write.pending_until - begun
        return write.chance * self._settling(write.kind).pending_share(at - begun, since=since, pending_at=pending_at)

    def _tried_by(self, write: _Open) -> float:
        """Give the time at which a write should have settled, or has been awaited long where only a try tells that."""
        settling, begun = self._settling(write.kind), write.accepted_at
        settled = begun + settling.surely_settled(write.pending_until - begun)
        if self.limit > 1 or write.known_at - begun > 2 * settling.surely_settled():  # Stuck, perhaps.
            return settled
        early = begun + settling.surely_pending()
        return min(settled, max(early, write.known_at) + max(_LONGEST_TRY_GAP, settling.step))

    def sent(self) -> None:
        """Note that a write goes out."""
        self.in_flight += 1

    def accepted(self, entry_id: str, kind: Kind, now: float) -> None:
        """Note that the gateway took a write; ``entry_id`` names the entry that is unsettled by it."""
        # The one write before is tried to be followed early, which must not be taken for two at once.
        least = 1.0 if self.limit == 1 else _PROBABLE
        busy = self.in_flight + sum(chance >= least for chance in self._chances(now))
        self.in_flight -= 1
        if self.limit == 1:
            # On a gateway that takes one at a time, taking this one says that the one before has settled.
            for earlier, write in list(self._open.items()):
                self._close(earlier, now)
                self._presumed = (earlier, write)
        elif not self._growing and not self._probing:
            self._conclude(0, self.limit - 1, now)
        if self._growing and busy >= self.limit:
            self.limit = min(busy + 1, MOST_AT_ONCE)
        else:
            self._boldness = min(self._boldness * _BOLDER, _BOLDEST)
        self._since_probe = 0 if self._growing else self._since_probe + 1
        self._unexplained = 0
        self._lowered = False
        self._hold_until = -math.inf
        self._open[entry_id] = _Open(kind, now, now, now)

    def refused(self, now: float) -> None:
        """Note that the gateway was too busy for a write."""
        self.in_flight -= 1
        at_most = self.in_flight + len(self._open)
        start_anew = False
        if self._probing:
            self._since_probe = 0
        elif at_most < self.limit:
            # Refused with fewer under way than it once bore; twice in a row: it is another gateway by now.
            start_anew, self._lowered = self._lowered, True
            self.limit = 1 if start_anew else max(1, at_most)
        else:
            refusals = _REFUSALS if self.limit == 1 else _REFUSALS_OF_MANY / self.limit
            self._boldness *= _BOLDER ** (-1 / refusals)
        self._growing = start_anew
        if self._open and self._conclude(self.limit - self.in_flight, len(self._open), now):
            self._unexplained = 0
            return
        self._unexplained += 1
        self._hold_until = now + self._backoff()

    def _conclude(self, least: int, most: int, now: float) -> bool:
        """Take over how many are unsettled; returns whether that can be, by what was known."""
        chances = given_that(self._chances(now), least, most)
        if chances is None:
            return False
        for write, chance in zip(self._open.values(), chances, strict=True):
            write.chance, write.known_at = chance, now
            if chance > _CERTAIN:
                write.pending_until = now
        return True

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
        write = self._open.get(entry_id)
        if write is not None and write.pending_until < now:
            write.pending_until = write.known_at = now
            write.chance = 1.0

    def looked_settled(self, entry_id: str, now: float) -> None:
        """Note that a listing showed an entry settled, or gone."""
        self._close(entry_id, now)

    def due_at(self, entry_id: str, *, more_to_write: bool) -> float:
        """Give the time from which on looking at an entry is likely to find it settled."""
        write = self._open.get(entry_id)
        if write is None:
            return -math.inf
        settling = self._settling(write.kind)
        if settling.mean is None:
            return write.accepted_at
        if self.limit == 1 and more_to_write:
            return math.inf  # The next write will tell.
        if self.limit == 1:
            return write.accepted_at + settling.mean
        # To know of one that settled early is to have a place for the next; to look at one again so soon tells little.
        early = write.accepted_at + settling.surely_pending() - settling.step
        return max(early, write.pending_until + self._usual_gap(settling.mean))

    def looked(self) -> None:
        """Note that a listing was read: what is under way is known again, so a refusal need not be sat out."""
        if (there := sum(write.chance == 1.0 for write in self._open.values())) > self.limit:
            self.limit, self._growing = there, True
        if self.limit > 1 and self._unexplained <= 1:
            self._hold_until = -math.inf

    def look_gap(self) -> float:
        """Give the seconds between two looks at what is settling."""
        mean = self._settling(Kind.CREATE).mean
        if mean is None:
            # Nothing is known yet: look often at first, then ever more rarely.
            self._blind_looks += 1
            return min(_FIRST_STEP * 2.0**self._blind_looks, LONGEST_LOOK_GAP)
        return LONGEST_LOOK_GAP if self.limit == 1 else self._usual_gap(mean)

    def _usual_gap(self, mean: float) -> float:
        return min(mean * _LOOK_AFTER, LONGEST_LOOK_GAP)

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
        settling.learn(write.pending_until - write.accepted_at, now - write.accepted_at)

    def _settling(self, kind: Kind) -> Settling:
        own = self.settling[kind]
        other = self.settling[Kind.DELETE if kind is Kind.CREATE else Kind.CREATE]
        return own if own.mean is not None else other

    def _backoff(self) -> float:
        mean = self._settling(Kind.CREATE).mean
        step = _FIRST_STEP if mean is None else max(mean / 8, _FIRST_STEP)
        return min(step * 2.0 ** (self._unexplained - 1), _LONGEST_STEP)
