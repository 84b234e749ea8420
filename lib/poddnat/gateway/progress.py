"""How far a PodDNAT has come on a gateway."""

from dataclasses import dataclass

from poddnat.api import Problem
from poddnat.model import ForwardEntry, ForwardRule


@dataclass(frozen=True)
class Done:
    """The gateway's table is as wanted: these entries work (or, after a release, none is left)."""

    entries: tuple[ForwardEntry, ...] = ()


@dataclass(frozen=True)
class Waiting:
    """On its way; ask again after ``seconds``. ``entries`` work already."""

    seconds: float
    entries: tuple[ForwardEntry, ...] = ()


@dataclass(frozen=True)
class Blocked:
    """Not getting anywhere for now; ``entries`` work all the same."""

    problem: Problem
    entries: tuple[ForwardEntry, ...] = ()
    taken: tuple[ForwardRule, ...] = ()
    """The rules that can't be had, because an entry of somebody else has their external ports."""


Progress = Done | Waiting | Blocked
