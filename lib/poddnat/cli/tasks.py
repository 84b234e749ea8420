"""Work that a command has gateways' own drivers do: they heed the pace, and survive lost answers."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from poddnat.gateway import Fleet

_POLL_SECONDS = 0.1

_Errand = TypeVar("_Errand")


def run_tasks(
    fleet: Fleet, errands: Sequence[_Errand], is_done: Callable[[_Errand], bool], *, patience: float
) -> Iterator[tuple[_Errand, bool]]:
    """Run a fleet that is not started yet until all is done; yield each errand with how it went, as soon as it did.

    ``is_done`` asks for what is wanted, as often as it is called, and tells whether it is done. What takes longer than
    ``patience`` seconds has failed.
    """
    if not errands:
        return
    waiting, deadline = list(errands), time.monotonic() + patience
    fleet.start()
    try:
        while waiting and time.monotonic() < deadline:
            for errand in [errand for errand in waiting if is_done(errand)]:
                waiting.remove(errand)
                yield errand, True
            time.sleep(_POLL_SECONDS)
    finally:
        fleet.stop()
    yield from ((errand, False) for errand in waiting)
