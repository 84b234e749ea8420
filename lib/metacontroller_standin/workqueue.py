"""The queue between events and workers: a key is in it once, and with one worker at a time."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import Counter
from typing import Generic, TypeVar

K = TypeVar("K")

FIRST_RETRY = 0.005
LONGEST_RETRY = 1000.0
"""Seconds between retries of a key that fails: client-go's defaults for controllers."""


class WorkQueue(Generic[K]):
    """A key added while it is being worked on comes up again afterwards, once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ready: dict[K, None] = {}  # a set that keeps its order
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._later: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._failures: Counter[K] = Counter()
        self._tie_breaker = itertools.count()
        self._closed = False

    def add(self, key: K) -> None:
        """Ask for a key to be worked on now."""
        with self._changed:
            self._add(key)

    def _add(self, key: K) -> None:
        if self._closed:
            return
        if key in self._working:
            self._again.add(key)
        elif key not in self._ready:
            self._ready[key] = None
            self._changed.notify()

    def add_after(self, key: K, delay: float) -> None:
        """Ask for a key to be worked on after so many seconds, or earlier if that was asked for before."""
        if delay <= 0:
            self.add(key)
            return
        due = time.monotonic() + delay
        with self._changed:
            if due < self._due.get(key, float("inf")):
                self._due[key] = due
                heapq.heappush(self._later, (due, next(self._tie_breaker), key))
                self._changed.notify()

    def add_failed(self, key: K) -> None:
        """Ask for another try, the later the more often it failed."""
        with self._changed:
            delay = min(FIRST_RETRY * 2.0 ** self._failures[key], LONGEST_RETRY)
            self._failures[key] += 1
        self.add_after(key, delay)

    def forget(self, key: K) -> None:
        """Forget a key's failures."""
        with self._changed:
            self._failures.pop(key, None)

    def get(self) -> K | None:
        """Wait for a key to work on; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                wait = self._take_due()
                if self._ready:
                    key = next(iter(self._ready))
                    del self._ready[key]
                    self._working.add(key)
                    return key
                self._changed.wait(wait)
            return None

    def _take_due(self) -> float | None:
        """Make ready what is due; return the seconds until the next one is."""
        now = time.monotonic()
        while self._later:
            due, _, key = self._later[0]
            if self._due.get(key) == due and due > now:
                return due - now
            heapq.heappop(self._later)
            if self._due.get(key) == due:  # otherwise an earlier time took its place
                del self._due[key]
                self._add(key)
        return None

    def done(self, key: K) -> None:
        """Say that the work on a key, taken with `get`, is over."""
        with self._changed:
            self._working.discard(key)
            if key in self._again:
                self._again.discard(key)
                self._add(key)

    def busy(self, *, horizon: float = float("inf")) -> bool:
        """Tell whether anything is ready, being worked on, or due within so many seconds."""
        latest = time.monotonic() + horizon
        with self._changed:
            return bool(self._ready or self._working) or any(due <= latest for due in self._due.values())

    def close(self) -> None:
        """Send all workers home."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
