"""What to read of a gateway's table next: as few calls as those who wait allow, one at a time.

Two things are read. What somebody waits for is asked for when it is due, by id, name or side; or, where that is fewer
calls, by a page that shows several. And the whole table is listed now and then, page by page, as the read budget
allows; a listing that the table changes under is merged, not begun again.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from poddnat.cloud import ENTRIES_PER_PAGE, EntryFilter
from poddnat.gateway.intervals import REFRESH
from poddnat.gateway.reconciler.calls import Find, Key, Kind, Read, ReadPage
from poddnat.gateway.reconciler.desired import Poll
from poddnat.gateway.reconciler.table import Table
from poddnat.ranking import Ranking

MOST_FILTERS = 8
"""How much is asked for in one go: what becomes due meanwhile should not wait for long."""
_MOST_AT_A_TURN = {Kind.CREATE: MOST_FILTERS, Kind.DELETE: 1}
_TURNS_IN_A_ROW = 4
"""How often PodDNATs that want entries are asked for before one that is released: pods wait for these."""
_WORTH = 1.2
"""How many of the entries asked for a page has to show, as expected, to be read instead of them."""
_WORTH_BESIDE = 0.45
"""The same where others are unsettled that are not due yet: it may show that they have settled early."""
_YIELD_WEIGHT = 0.3
_QUICK_PAGES = 4
"""Up to so many pages a table is read at once when another writer is taken over from."""


def pages_of(entries: int) -> int:
    """Count the calls that a listing of so many entries takes."""
    return max(1, -(-entries // ENTRIES_PER_PAGE))


@dataclass(frozen=True)
class Asked:
    """What a read is to tell: of which PodDNAT, of which of its items, and by which filters."""

    uid: str
    key: Key
    poll: Poll
    filters: tuple[EntryFilter, ...]
    on_page: bool
    """Whether a page at one end of the table is likely to show it."""


@dataclass
class Listing:
    """A listing of the whole table under way."""

    since: int
    """The table's stamp from before it began."""
    started_at: float
    next_page: int = 1


class Poller:
    """Chooses what to read. Not safe for use from several threads at once."""

    def __init__(self) -> None:
        self.total = 0
        """How many entries the table has, as the cloud said last."""
        self._scheduled = {Kind.CREATE: Ranking(), Kind.DELETE: Ranking()}
        # By the time at which a PodDNAT is asked for: those that want entries, and those that are being released.
        self._in_a_row = 0
        # How often those that want entries had their turn before the others.
        self._refresh_at = -math.inf
        self._urgent = True
        # Whether somebody doubts what is known: the next listing is not held back by the read budget.
        self._again = False
        # Whether that was doubted while a listing was under way.
        self._listing: Listing | None = None
        self._yields = {"last": 1.0, "first": 0.5}
        # What share of new entries a page at one end of the table shows: the API promises no order, so it is measured.
        self._end = "last"

    def schedule(self, uid: str, at: float, kind: Kind) -> None:
        """Have a PodDNAT asked for at a time, instead of any earlier plan; infinite: not at all."""
        for other, scheduled in self._scheduled.items():
            if other is not kind or math.isinf(at):
                scheduled.discard(uid)
            else:
                scheduled.put(uid, at)

    def take_due(self, now: float) -> list[str]:
        """Take out PodDNATs that are due, a few at a time, those first that have been due the longest.

        Those that want entries have most of the turns: where reads are scarce, pods don't wait for all that is deleted
        beside them, each of which takes a call.
        """
        due = [kind for kind, scheduled in self._scheduled.items() if scheduled.first()[0] <= now]
        if not due:
            return []
        kind = due[-1] if self._in_a_row >= _TURNS_IN_A_ROW else due[0]
        self._in_a_row = self._in_a_row + 1 if kind is Kind.CREATE else 0
        found, scheduled = list[str](), self._scheduled[kind]
        while len(found) < _MOST_AT_A_TURN[kind] and scheduled.first()[0] <= now:
            found.append(scheduled.pop()[1])
        return found

    def next_due(self) -> float:
        """Tell when the next PodDNAT is due."""
        return min(scheduled.first()[0] for scheduled in self._scheduled.values())

    def choose(self, asked: Sequence[Asked], now: float, *, table: Table, unsettled: int) -> Read:
        """Choose the cheapest read that tells what is asked; ``unsettled``: how many writes are."""
        pages = pages_of(max(self.total, len(table)))
        if pages == 1:
            self._listing = self._listing or Listing(table.now(), now)
            return ReadPage(1, listing=self._listing.next_page == 1)
        pending = sum(one.on_page for one in asked)
        self._end = max(self._yields, key=lambda end: self._yields[end])
        worth = _WORTH_BESIDE if unsettled > pending else _WORTH
        if pending == len(asked) and pending * self._yields[self._end] > worth:
            return ReadPage(pages if self._end == "last" else 1, listing=False)
        return Find(tuple(dict.fromkeys(where for one in asked for where in one.filters)))

    def page_showed(self, expected: Collection[str], shown: Collection[str]) -> None:
        """Learn how many of the entries expected on a page at one end of the table were there."""
        if expected:
            share = len(set(expected) & set(shown)) / len(set(expected))
            self._yields[self._end] += _YIELD_WEIGHT * (share - self._yields[self._end])

    # The listing of the whole table.

    def invalidate(self) -> None:
        """Have the whole table listed as soon as may be: from now on, so a listing under way does not do."""
        self._refresh_at, self._urgent, self._again = -math.inf, True, self._listing is not None

    def begin_anew(self) -> None:
        """Have the whole table listed from now on, whatever was shown before; a long one takes its time.

        One that is waited for, as the first one is, goes on.
        """
        if not self._urgent:
            self._listing, self._again = None, False
            self._refresh_at, self._urgent = -math.inf, pages_of(self.total) <= _QUICK_PAGES

    @property
    def listing_is_cheaper(self) -> bool:
        """Whether the rest of an urgent listing takes no more calls than asking for all that waits one by one."""
        done = self._listing.next_page - 1 if self._listing is not None else 0
        return self._urgent and pages_of(self.total) - done <= sum(map(len, self._scheduled.values()))

    def next_page(self, now: float, *, refresh_wait: float, stamp: int) -> tuple[ReadPage | None, float]:
        """Choose the next page of a listing, or say in how many seconds to ask again.

        ``refresh_wait``: seconds until the read budget allows another page; ``stamp``: the table's, to begin with.
        """
        at = -math.inf if self._listing is not None else self._refresh_at
        if not self._urgent:
            at = max(at, now + refresh_wait)
        if at > now:
            return None, at - now
        if self._listing is None:
            self._listing = Listing(stamp, now)
        return ReadPage(self._listing.next_page, listing=True, refresh=not self._urgent), 0.0

    def page_read(self, page: int, *, shown: int, now: float) -> Listing | None:
        """Take over a page of a listing; returns the listing once that was its last one.

        A page asked for by a listing that was begun anew since is none of it.
        """
        listing = self._listing
        if listing is None or page != listing.next_page:
            return None
        listing.next_page += 1
        if shown >= ENTRIES_PER_PAGE and listing.next_page <= pages_of(self.total):
            return None
        self._listing = None
        self._refresh_at = -math.inf if self._again else now + REFRESH
        self._urgent, self._again = self._again, False
        return listing
