"""What one link of a chain comes to: its state, and a text that says what there is, or what to do."""

from dataclasses import dataclass
from enum import StrEnum

from poddnat.cli.explain.facts import Unread


class State(StrEnum):
    """How a link is."""

    OK = "ok"
    WARNING = "warning"
    """It holds, and yet somebody should look."""
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """It could not be looked at."""
    SKIPPED = "-"
    """It depends on a link before it that is wrong."""


@dataclass(frozen=True)
class Finding:
    """What a link comes to."""

    state: State
    text: str
    passes: bool = False
    """Whether that usually passes by itself; when the server says why it does not, that says more."""


@dataclass(frozen=True)
class Link:
    """One link of the chain from a pod to its public ports."""

    name: str
    state: State
    text: str

    def as_dict(self) -> dict[str, str]:
        """Write it for programs."""
        state = "skipped" if self.state is State.SKIPPED else self.state.value
        return {"link": self.name, "state": state, "text": self.text}


def ok(text: str) -> Finding:
    """Say that a link holds."""
    return Finding(State.OK, text)


def warning(text: str) -> Finding:
    """Say that a link holds, and what is odd about it."""
    return Finding(State.WARNING, text)


def wrong(text: str) -> Finding:
    """Say what is wrong, and what to do."""
    return Finding(State.WRONG, text)


def passing(text: str) -> Finding:
    """Say what is not right yet."""
    return Finding(State.WRONG, f"{text}; nobody has to act while that passes.", passes=True)


def unknown(why: Unread | str) -> Finding:
    """Say why a link can't be looked at, and what to do."""
    return Finding(State.UNKNOWN, why.text if isinstance(why, Unread) else why)
