"""A hook's answer when there is none yet: the object goes back to Metacontroller's queue."""

from dataclasses import dataclass

from poddnat.controllers.intervals import LONGEST_REQUEUE


@dataclass(frozen=True)
class RequeueAfter:
    """A hook's answer when there is none yet: ask again after these seconds, and write nothing meanwhile."""

    seconds: float


class RequeueError(Exception):
    """There is no answer yet: something has to be found out first, or to take effect."""


def requeue_after(seconds: float) -> RequeueAfter:
    """Round and bound a wait: Metacontroller takes whole seconds, and zero for at once, again and again."""
    return RequeueAfter(float(max(1, round(min(seconds, LONGEST_REQUEUE)))))
