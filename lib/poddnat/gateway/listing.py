"""Reading a gateway's forward table: a whole listing over its pages, or the few entries of a filter.

A table may change between two pages, and then an entry can slip through unseen. A listing says whether that may have
happened; only one that is whole proves that something is not there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from poddnat.cloud import ENTRIES_PER_PAGE, EntryFilter, EntryPage
from poddnat.gateway.table import Table
from poddnat.model import ForwardEntry

EVERYTHING = EntryFilter()


def pages_of(entries: int) -> int:
    """Count the calls that a listing of so many entries takes."""
    return max(1, -(-entries // ENTRIES_PER_PAGE))


@dataclass(frozen=True)
class Listing:
    """What the cloud listed under a filter."""

    where: EntryFilter
    entries: tuple[ForwardEntry, ...]
    whole: bool

    def teach(self, table: Table, since: int) -> None:
        """Bring a table up to date with this listing, which was asked for at the table's stamp ``since``."""
        gone: list[str] = []
        if self.whole:
            shown = {entry.entry_id for entry in self.entries}
            gone = [entry.entry_id for entry in self._candidates(table) if entry.entry_id not in shown]
        table.learn(self.entries, since=since, gone=gone)

    def _candidates(self, table: Table) -> list[ForwardEntry]:
        near: Iterable[ForwardEntry] = table
        if self.where.entry_id is not None:
            entry = table.get(self.where.entry_id)
            near = [entry] if entry else []
        elif self.where.name is not None:
            near = table.named(self.where.name)
        return [entry for entry in near if self.where.matches(entry)]


def read_listing(fetch: Callable[[int], EntryPage], where: EntryFilter) -> Listing:
    """Read all pages of a filter; ``fetch`` gets one page by its number.

    Raises:
        CloudError: whatever ``fetch`` raises.
    """
    found: dict[str, ForwardEntry] = {}
    totals: set[int] = set()
    read = 0
    page = 1
    while True:
        answer = fetch(page)
        totals.add(answer.total)
        read += len(answer.entries)
        found.update((entry.entry_id, entry) for entry in answer.entries)
        if len(answer.entries) < ENTRIES_PER_PAGE or read >= answer.total:
            break
        page += 1
    return Listing(where, tuple(found.values()), whole=totals == {len(found)})
