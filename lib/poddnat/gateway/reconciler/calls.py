"""The calls to the cloud that one gateway's reconciler chooses."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from poddnat.cloud import EntryFilter
from poddnat.model import ForwardEntry, ForwardRule

Key = ForwardRule | str
"""An entry that is wanted by its rule, one that is there by its id, and that none may be left by the PodDNAT's name."""


class Kind(Enum):
    """The two classes of writes: they take turns, and may take the gateway different times."""

    CREATE = "create"
    DELETE = "delete"


@dataclass(frozen=True)
class Create:
    """Create this entry."""

    uid: str
    name: str
    rule: ForwardRule
    token: str
    pod: str = ""
    """Namespace and name, for logs."""
    kind: ClassVar = Kind.CREATE

    @property
    def key(self) -> Key:
        """What it is about: the rule."""
        return self.rule


@dataclass(frozen=True)
class Delete:
    """Delete this entry; ``leftover_of`` is the PodDNAT that it belonged to when that is another one, now gone."""

    uid: str
    entry: ForwardEntry
    token: str
    leftover_of: str | None
    pod: str = ""
    kind: ClassVar = Kind.DELETE

    @property
    def key(self) -> Key:
        """What it is about: the entry's id."""
        return self.entry.entry_id

    @property
    def rule(self) -> ForwardRule:
        """What the entry does."""
        return self.entry.rule


@dataclass(frozen=True)
class Find:
    """List what these filters match, one after the other: each is proof of what is there and what is not."""

    filters: tuple[EntryFilter, ...]


@dataclass(frozen=True)
class ReadPage:
    """Read one page of the whole table: proof of what it shows only, unless it is all there is."""

    page: int
    listing: bool
    """Whether it belongs to a listing of the whole table; else it is read for the entries that it may show."""
    refresh: bool = False
    """Whether nobody waits for it."""


Write = Create | Delete
Read = Find | ReadPage
Call = Write | Read
