"""The calls to the cloud that one gateway's agenda chooses."""

from dataclasses import dataclass

from poddnat.cloud import EntryFilter
from poddnat.model import ForwardEntry, ForwardRule


@dataclass(frozen=True)
class Create:
    """A call to make: create this entry."""

    uid: str
    name: str
    rule: ForwardRule
    token: str
    pod: str = ""
    """Namespace and name, for logs."""


@dataclass(frozen=True)
class Delete:
    """A call to make: delete this entry; ``leftover_of`` is the PodDNAT it belonged to when that is another one."""

    uid: str
    entry: ForwardEntry
    token: str
    leftover_of: str | None
    pod: str = ""


@dataclass(frozen=True)
class Look:
    """Calls to make: list what these filters match, one after the other."""

    filters: tuple[EntryFilter, ...]


@dataclass(frozen=True)
class Peek:
    """A call to make: read the one page where these entries are expected."""

    page: int
    expected: frozenset[str]


Call = Create | Delete | Look | Peek
