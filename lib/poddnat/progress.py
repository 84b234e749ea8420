"""How far a PodDNAT has come, as the gateway answers it and the hooks tell it on."""

from dataclasses import dataclass

from poddnat.model import ForwardEntry


@dataclass(frozen=True)
class Trouble:
    """Something lasting that is the matter: a reason in CamelCase and one sentence that says who has to act."""

    reason: str
    message: str
    retry_after: float = 60.0
    """Seconds after which asking again makes sense."""
    figures: str = ""
    """A sentence more, with figures that change though the matter is the same: not worth telling anew."""


class TroubleError(Exception):
    """What was asked for can't be had; carries what to tell."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


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

    trouble: Trouble
    entries: tuple[ForwardEntry, ...] = ()


Progress = Done | Waiting | Blocked


@dataclass(frozen=True)
class Later:
    """A hook's answer when there is none yet: ask again after these seconds, and write nothing meanwhile."""

    seconds: float


class LaterError(Exception):
    """There is no answer yet: something has to be found out first, or to take effect."""
