"""How long a gateway's writes stay unsettled (Pending, Deleting), and so how many are unsettled at a moment.

What is known of one write is a chance that it is still unsettled. The gateway's answers are about all of them
together: "busy" says that as many as it bears are unsettled, taking a write says that it was fewer, and a listing
tells of each. Pure arithmetic; all times are seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from poddnat.gateway.intervals import SETTLE_TIME_LONGEST_FIRST, SETTLE_TIME_LONGEST_STEP

_LEAST_WEIGHT = 1 / 32
"""Of a new time against all earlier ones, however many there were: a gateway may change."""
_FOREIGN_WEIGHT = 4
"""How many of a kind's own times those of the other kind are worth."""
_FLOOR = 0.04
_LEAST_USUAL = 0.05
_LONGEST_MULTIPLE = 4.0


@dataclass
class SettleTime:
    """The times that writes of one kind take: evenly spread around a smoothed mean, two mean deviations each way."""

    mean: float
    deviation: float
    _learned: int = 0

    @classmethod
    def first(cls, shortest: float, longest: float) -> Self:
        """Begin with one time, known to lie between two bounds."""
        mean = (min(shortest, SETTLE_TIME_LONGEST_FIRST) + min(longest, SETTLE_TIME_LONGEST_FIRST)) / 2
        return cls(mean, mean / 6)

    @classmethod
    def like(cls, other: Self) -> Self:
        """Begin with what is known of another kind of writes; a few of this kind's own soon count for more."""
        return cls(other.mean, other.deviation, min(other._learned, _FOREIGN_WEIGHT))

    def learn(self, shortest: float, longest: float) -> None:
        """Take over one more time, known to lie between two bounds.

        An entry that was stuck for minutes says little about the next ones, which would be awaited as long: a time
        far beyond what is usual counts as several times the usual one, so that a slow gateway is still found out.
        """
        usual = max(self.mean, _LEAST_USUAL) * _LONGEST_MULTIPLE
        shortest, longest = min(shortest, usual), min(longest, usual)
        # Of far bounds, what is likely: where they meet what is usual.
        first, last = max(shortest, self.surely_pending()), min(longest, self.surely_settled())
        if first >= last:
            first, last = shortest, longest
        self._learned += 1
        weight = max(1 / (self._learned + 1), _LEAST_WEIGHT)
        self.deviation += weight * (_mean_distance(self.mean, first, last) - self.deviation)
        self.mean += weight * ((first + last) / 2 - self.mean)

    @property
    def step(self) -> float:
        """Half of what it is worth being exact about."""
        return max(self.deviation, _FLOOR * self.mean)

    def surely_pending(self) -> float:
        """Give the age up to which a write is not settled yet."""
        return self.mean - 2 * self.step

    def surely_settled(self, pending_at: float = 0.0) -> float:
        """Give the age from which on a write should be settled, when it surely was unsettled at an earlier age.

        Seen so beyond all expectation, it may settle any moment, or be stuck: the later, the less is to be expected.
        """
        last = self.mean + 2 * self.step
        more = min(max(self.step / 2, pending_at - last), 2 * SETTLE_TIME_LONGEST_STEP)
        return max(last, pending_at + more)

    def likely_by(self, share: float, *, pending_at: float) -> float:
        """Give the age by which a share of the writes has settled that surely were unsettled at an age.

        Of those few that take longest, it is given no more exactly than it is worth.
        """
        first, last = max(self.surely_pending(), pending_at), self.surely_settled(pending_at)
        step = max(share * (last - first), share / 2 * (self.surely_settled() - self.surely_pending()))
        return min(first + step, last)

    def pending_share(self, age: float, *, pending_at: float) -> float:
        """Estimate what share of the writes that surely were unsettled at an age still are so at a later one."""
        first, last = max(self.surely_pending(), pending_at), self.surely_settled(pending_at)
        if age <= first:
            return 1.0
        return max(0.0, (last - age) / (last - first)) if first < last else 0.0


def _mean_distance(point: float, first: float, last: float) -> float:
    """Give the mean distance of a point from what is evenly spread between two others."""
    if not first < point < last:
        return abs((first + last) / 2 - point)
    return ((point - first) ** 2 + (last - point) ** 2) / (2 * (last - first))


def counts(chances: Sequence[float]) -> list[float]:
    """Give the chance of each number, from none to all, of independent things of which each has its own chance."""
    spread = [1.0]
    for chance in chances:
        spread = [
            fewer * (1 - chance) + more * chance for fewer, more in zip([*spread, 0.0], [0.0, *spread], strict=True)
        ]
    return spread
