"""Who comes first, by a number such as a time or a ticket, where everybody's number may change at any time."""

import heapq
import math
from collections.abc import Iterator


class Ranking:
    """PodDNATs by their uids, each once: the lowest rank first, and of equal ones the one that came first."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, str]] = []
        # All places that were given; those given up are dropped once they are in front.
        self._given = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, uid: str) -> bool:
        return uid in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._places, key=self._places.__getitem__))

    def rank(self, uid: str) -> float:
        """Tell somebody's rank; infinite: not in it."""
        return self._places.get(uid, (math.inf, 0))[0]

    def put(self, uid: str, rank: float) -> None:
        """Put somebody in, or at another place; the same rank again changes nothing."""
        if self.rank(uid) != rank:
            self._given += 1
            self._places[uid] = rank, self._given
            heapq.heappush(self._heap, (rank, self._given, uid))

    def discard(self, uid: str) -> None:
        """Take somebody out who may be in it."""
        self._places.pop(uid, None)

    def first(self) -> tuple[float, str]:
        """Give the lowest rank, and who has it; infinite, and empty: nobody is in it."""
        while self._heap and self._places.get(self._heap[0][2]) != self._heap[0][:2]:
            heapq.heappop(self._heap)
        return (self._heap[0][0], self._heap[0][2]) if self._heap else (math.inf, "")

    def pop(self) -> tuple[float, str]:
        """Take out the first one of a ranking that isn't empty, and give its rank, too."""
        rank, uid = self.first()
        self.discard(uid)
        return rank, uid
