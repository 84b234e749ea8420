"""A hook's answer when there is none yet: the object goes back to Metacontroller's queue."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RequeueAfter:
    """A hook's answer when there is none yet: ask again after these seconds, and write nothing meanwhile."""

    seconds: float


class RequeueError(Exception):
    """There is no answer yet: something has to be found out first, or to take effect."""
