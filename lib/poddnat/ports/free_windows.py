"""Where as many free ports as an item needs lie in a row, ordered by how long they have been free.

A window is that many ports in a row. It becomes free with the last of its ports, so windows can wait in line just as
single ports do: a new one goes to the end. Windows that became free together and begin one after the other are kept
as one stretch; so an untouched range of ports is one stretch, however many ports it has.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import NamedTuple


class Stretch(NamedTuple):
    """Windows that begin at ``first``, ``first + 1`` and so on up to ``last``, all free since the same moment."""

    first: int
    last: int
    since: int


class FreeWindows:
    """The free windows of one size. Moments are counted by the caller, and never go back."""

    def __init__(self) -> None:
        self._by_place: list[Stretch] = []
        self._by_age: list[tuple[int, int, Stretch]] = []

    def __iter__(self) -> Iterator[Stretch]:
        """Give the stretches, the longest free first; of equally old ones the smallest, to spare large ones."""
        return (stretch for _, _, stretch in self._by_age)

    def by_place(self) -> Iterator[Stretch]:
        """Give the stretches from the lowest port on."""
        return iter(self._by_place)

    def add(self, first: int, last: int, since: int) -> None:
        """Add windows that begin at ``first`` to ``last`` and have just become free."""
        stretch = Stretch(first, last, since)
        insort(self._by_place, stretch)
        insort(self._by_age, _age(stretch))

    def cut(self, first: int, last: int) -> None:
        """Remove the windows that begin at ``first`` to ``last``, as far as they are there."""
        begin = bisect_left(self._by_place, (first,))
        if begin and self._by_place[begin - 1].last >= first:
            begin -= 1
        end = bisect_right(self._by_place, (last + 1,), lo=begin)
        hit = self._by_place[begin:end]
        left = [Stretch(s.first, first - 1, s.since) for s in hit[:1] if s.first < first]
        right = [Stretch(last + 1, s.last, s.since) for s in hit[-1:] if s.last > last]
        for stretch in hit:
            del self._by_age[bisect_left(self._by_age, _age(stretch))]
        self._by_place[begin:end] = left + right
        for stretch in left + right:
            insort(self._by_age, _age(stretch))


def _age(stretch: Stretch) -> tuple[int, int, Stretch]:
    return stretch.since, stretch.last - stretch.first, stretch
