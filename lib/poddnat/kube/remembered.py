"""Answers that stay true for a while, so that the API server is not asked for them each time."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

_REMEMBERED = 10_000

_Answer = TypeVar("_Answer")


class Remembered(Generic[_Answer]):
    """Asks about names, and remembers what it was told. Safe to use from several threads."""

    def __init__(
        self, ask: Callable[[str], _Answer], seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``ask`` tells of a name; it is asked again after so many seconds."""
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[_Answer, float]] = OrderedDict()

    def __call__(self, name: str) -> _Answer:
        """Tell of a name; raises what ``ask`` raises, which is not remembered."""
        with self._lock:
            known = self._known.get(name)
        if known is not None and self._clock() < known[1]:
            return known[0]
        answer = self._ask(name)
        with self._lock:
            self._known[name] = (answer, self._clock() + self._seconds)
            self._known.move_to_end(name)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return answer
