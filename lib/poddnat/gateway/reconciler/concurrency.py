"""How many writes one gateway bears at once: learned from its answers, never configured.

A write that the gateway has accepted stays unsettled (Pending, Deleting) for a while. Old gateways refuse the next
write until then, newer ones bear several at once. Two things are learned: how many (the limit), and how long settling
takes, so that the next write is sent when a place is free. Whether it is free is asked by reads; a refused write is no
way to ask, but for one now and then that tries whether the gateway bears more. All times are seconds of the caller's
monotonic clock; nothing here waits or reads a clock.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from poddnat.backoff import Backoff
from poddnat.gateway.intervals import (
    CONCURRENCY_FIRST,
    CONCURRENCY_LONGEST,
    POLL_FIRST,
    POLL_LONGEST,
    POLL_TOGETHER,
    PRESUMED_RECHECK,
    STUCK_AFTER,
)
from poddnat.gateway.reconciler.calls import Kind
from poddnat.gateway.reconciler.settle_time import SettleTime, counts

# More writes at once than any gateway is known to bear.
MOST_AT_ONCE = 16
_TRY_ONE_MORE_AFTER = 64
"""Writes between two tries whether the gateway bears one more than it did: it may have become faster."""
_RISK_SERIAL = 0.05
"""The chance of a refusal to take where a gateway bears one write: a read tells as well, and leaves no error."""
_RISK = 0.6
"""The same, at first, where it bears several: an idle place costs its share of the gateway's capacity."""
_REFUSALS_OF_MANY = 0.4
"""How many refusals each write is worth there, for all of them together."""
_RISK_STEP = 1.01
_RISK_FACTOR_MOST = 1.5
_PROBABLE = 0.9
_SHORTEST_STEP = 0.001
_STUCK_MULTIPLE = 2.0
"""How many times as long as any write should take one takes that is stuck."""
_QUICK = 0.05
"""Seconds that a write is taken to occupy the gateway while nothing is known: who asks too early loses little."""
_TOGETHER = 0.45
"""As a share of the time that writes take: reading more often than that gains little."""
_LOOKS_AT_ONE = 6
"""The part of its age after which an entry is asked for again, where nothing is known of how long it takes."""
_LOOKS_SHARED = 3
"""Up to so many times as rarely where several are unsettled: what one of them takes tells what the others do."""
_SHARE_IF_SERIAL = 0.41
"""The share of writes that should have settled when one is asked for, where the next write waits for it.

With evenly spread times that is about two reads a write, and a tenth of the spread lost.
"""
_SHARES = {Kind.CREATE: 0.6, Kind.DELETE: 0.85}
"""The same where nobody waits but to be told: who creates wants to know, who deletes has time, unless to create."""


@dataclass
class _Unsettled:
    kind: Kind
    accepted_at: float
    pending_until: float
    """The last moment at which it surely was unsettled."""


class ConcurrencyLimiter:
    """Decides when the next write may go to one gateway, and learns from what came of it."""

    def __init__(self) -> None:
        self.limit = 1
        """How many unsettled writes the gateway bears, as far as is known."""
        self.in_flight = 0
        """Writes sent and not answered yet."""
        self._settle_times: dict[Kind, SettleTime] = {}
        self._unsettled: dict[str, _Unsettled] = {}
        self._presumed_settled: dict[str, _Unsettled] = {}
        self._presumed_at = -math.inf
        # The last entry that was taken to have settled because the next write was accepted, and when.
        self._risk_factor = 1.0
        # Rises with each write and falls with each refusal, so that these stay as many as they are worth.
        self._since_try = math.inf
        # Writes since it was last tried whether the gateway bears one more than the limit; infinite: each write tries
        # that, at first, and after it bore more than it did.
        self._doubted = False
        # Whether the last answer to a write was a refusal although fewer were under way than the limit.
        self._begun_at = -math.inf
        # When it was begun anew with one write: what the gateway bore before says nothing any more.
        self._backoff = Backoff(CONCURRENCY_FIRST, CONCURRENCY_LONGEST)
        self._retry_at = -math.inf

    @property
    def unsettled(self) -> int:
        """Count the writes that the gateway has accepted and that are not known to have settled."""
        return len(self._unsettled)

    def seconds_per_write(self) -> float:
        """Estimate how long each write occupies the gateway, for telling those who wait."""
        return max((settle_time.mean for settle_time in self._settle_times.values()), default=_QUICK) / self.limit

    def wait(self, now: float) -> float:
        """Give the seconds until a write may be sent: 0 for at once, infinite while only an answer can change it."""
        start = max(now, self._retry_at)
        if self.in_flight >= (1 if self._backoff.failures else self._allowed()):
            return math.inf
        if self._has_room(start):
            return start - now
        early, late = start, max([start, *map(self._settled_by, self._unsettled.values())])
        if not self._has_room(late):
            return math.inf
        while late - early > _SHORTEST_STEP:
            middle = (early + late) / 2
            early, late = (early, middle) if self._has_room(middle) else (middle, late)
        return late - now

    def sent(self) -> None:
        """Note that a write goes out."""
        self.in_flight += 1

    def accepted(self, entry_id: str, kind: Kind, now: float) -> None:
        """Note that the gateway took a write; ``entry_id`` names the entry that is unsettled by it."""
        busy = self.in_flight + sum(chance == 1.0 for chance in self._chances(now))
        self.in_flight -= 1
        if busy > self.limit:
            self.limit, self._since_try = min(busy, MOST_AT_ONCE), math.inf
        elif self.limit == 1:
            # On a gateway that takes one at a time, taking this one says that the one before has settled.
            for earlier, write in [pair for pair in self._unsettled.items() if not self._is_stuck(pair[1], now)]:
                self._settled(earlier, now)
                self._presumed_settled, self._presumed_at = {earlier: write}, now
        if not math.isinf(self._since_try):
            self._risk_factor = min(self._risk_factor * _RISK_STEP, _RISK_FACTOR_MOST)
            self._since_try += 1
        self._doubted = False
        self._backoff.reset()
        self._retry_at = -math.inf
        self._unsettled[entry_id] = _Unsettled(kind, now, now)

    def refused(self, now: float) -> None:
        """Note that the gateway was too busy for a write: a read tells when there is room, or else one write tries."""
        self.in_flight -= 1
        self._retry_at = now + self._backoff.failed()
        at_most = self.in_flight + self._unsettled_now(now)
        if at_most >= self.limit:
            self._doubted = False
            if self._trying_more:
                self._since_try = 0
            elif self.limit > 1:
                self._risk_factor *= _RISK_STEP ** (-self.limit / _REFUSALS_OF_MANY)
        elif at_most > 0:  # Not even one would say nothing of how many it bears.
            self.limit, self._since_try = self.limit - 1, 0
            if self._doubted:  # It is another gateway by now.
                self.limit, self._since_try, self._begun_at = 1, math.inf, now
            self._doubted = not self._doubted

    def is_busy(self, now: float) -> bool:
        """Whether the gateway has anything to do beside the write that was just answered."""
        return self.in_flight > 1 or self._unsettled_now(now) > 0

    def try_more(self) -> None:
        """Find out again how many the gateway bears: what it refused was no sign that it bears no more."""
        self._since_try = math.inf

    def failed(self) -> None:
        """Note that a write came to nothing for a reason that says nothing about how much the gateway bears."""
        self.in_flight -= 1

    def forget_all_but(self, entry_ids: Iterable[str]) -> None:
        """Forget writes to entries that are no longer there, such as those deleted behind our back."""
        there = set(entry_ids)
        self._unsettled = {entry_id: write for entry_id, write in self._unsettled.items() if entry_id in there}

    def seen_pending(self, entry_id: str, asked_at: float) -> None:
        """Note that a read asked for at a time showed an entry still unsettled."""
        presumed = self._presumed_settled.get(entry_id)
        if presumed is not None and presumed.pending_until < asked_at:
            # It was not: the gateway bears more than one.
            self._unsettled[entry_id] = presumed
            self._since_try = math.inf
        write = self._unsettled.get(entry_id)
        if write is not None and write.pending_until < asked_at:
            write.pending_until = asked_at
            self._take_proof(asked_at)

    def seen_settled(self, entry_id: str, now: float) -> None:
        """Note that a read showed an entry settled, or gone."""
        if entry_id in self._unsettled:
            self._settled(entry_id, now)
            self._retry_at = -math.inf

    def expected_at(self, entry_id: str, *, more_to_write: bool, in_the_way: bool = False) -> float:
        """Give the time at which asking for an unsettled entry is worth a read; -inf: nothing is known of it.

        ``in_the_way``: until it has gone, another entry of its PodDNAT can't be made. Where several settle at once,
        they are asked for together: one page may show them all.
        """
        write = self._unsettled.get(entry_id)
        if write is None:
            return self._presumed_at + PRESUMED_RECHECK if entry_id in self._presumed_settled else -math.inf
        settle_time, age = self._settle_time(write.kind), write.pending_until - write.accepted_at
        if settle_time is None:
            apart = max(POLL_FIRST, age / _LOOKS_AT_ONE) * min(self.unsettled, _LOOKS_SHARED)
            return write.pending_until + min(apart, POLL_LONGEST)
        if self.limit == 1 and more_to_write:
            share = _SHARE_IF_SERIAL
        else:
            share = _SHARES[Kind.CREATE if in_the_way else write.kind]
        at = write.accepted_at + settle_time.likely_by(share, pending_at=age)
        together = min(POLL_TOGETHER, settle_time.mean * _TOGETHER)
        return math.ceil(at / together) * together if self.limit > 1 else at

    @property
    def _trying_more(self) -> bool:
        """Whether it is time to try one more than the limit."""
        return self._since_try > _TRY_ONE_MORE_AFTER

    def _allowed(self) -> int:
        return min(self.limit + self._trying_more, MOST_AT_ONCE)

    def _has_room(self, at: float) -> bool:
        """Whether a write is likely enough to be accepted.

        A refusal costs a call, an idle place costs the limit's share of the gateway's capacity: the more it bears at
        once, the surer a try has to be.
        """
        room = self._allowed() - self.in_flight
        likely = sum(counts(self._chances(at))[:room])
        if self._trying_more:
            return likely >= _PROBABLE
        return likely >= 1 - (_RISK_SERIAL if self.limit == 1 else self._risk_factor * _RISK / math.sqrt(self.limit))

    def _chances(self, at: float) -> list[float]:
        return [self._chance(write, at) for write in self._unsettled.values()]

    def _chance(self, write: _Unsettled, at: float) -> float:
        """Tell how likely a write is still unsettled at a time."""
        settle_time = self._settle_time(write.kind)
        if self._is_stuck(write, at):
            return 0.0  # Whether others are refused because of it, only the next write tells.
        if settle_time is None:
            return 1.0  # Nothing is known of how long it takes: only a read tells.
        return settle_time.pending_share(at - write.accepted_at, pending_at=write.pending_until - write.accepted_at)

    def _unsettled_now(self, now: float) -> int:
        return sum(not self._is_stuck(write, now) for write in self._unsettled.values())

    def _is_stuck(self, write: _Unsettled, at: float) -> bool:
        settle_time = self._settle_time(write.kind)
        limit = STUCK_AFTER if settle_time is None else _STUCK_MULTIPLE * settle_time.surely_settled()
        return at - write.accepted_at > limit

    def _settled_by(self, write: _Unsettled) -> float:
        settle_time, age = self._settle_time(write.kind), write.pending_until - write.accepted_at
        return write.accepted_at + (STUCK_AFTER if settle_time is None else settle_time.surely_settled(age))

    def _take_proof(self, seen_at: float) -> None:
        """Raise the limit to what a read proves: the last write was taken while all those were unsettled."""
        writes = [write for write in self._unsettled.values() if not self._is_stuck(write, seen_at)]
        last = max((write.accepted_at for write in writes if write.accepted_at <= seen_at), default=-math.inf)
        there = sum(write.accepted_at <= last <= write.pending_until for write in writes)
        if there > self.limit and last > self._begun_at:
            self.limit, self._since_try = min(there, MOST_AT_ONCE), math.inf

    def _settled(self, entry_id: str, now: float) -> None:
        write = self._unsettled.pop(entry_id)
        shortest, longest = write.pending_until - write.accepted_at, now - write.accepted_at
        if (known := self._settle_time(write.kind)) is None:
            self._settle_times[write.kind] = SettleTime.first(shortest, longest)
        else:
            self._settle_times.setdefault(write.kind, SettleTime.like(known)).learn(shortest, longest)

    def _settle_time(self, kind: Kind) -> SettleTime | None:
        """Tell what is known of a kind of writes, by those of the other kind if need be; None: nothing."""
        return self._settle_times.get(kind) or next(iter(self._settle_times.values()), None)
