"""The reading side: what is read next, and what it proves."""

import math
from collections.abc import Iterable, Sequence

from poddnat.backoff import Backoff
from poddnat.cloud import ALL_ENTRIES, FAILURES_TO_TELL, CloudError, EntryFilter, EntryPage, Meaning
from poddnat.gateway.intervals import TABLE_RETRY_FIRST, TABLE_RETRY_LONGEST
from poddnat.gateway.reconciler.calls import Find, Read, ReadPage
from poddnat.gateway.reconciler.desired import DesiredState
from poddnat.gateway.reconciler.poller import MOST_FILTERS, Asked, Listing
from poddnat.gateway.reconciler.state import GatewayState
from poddnat.gateway.reconciler.states import EntryState
from poddnat.gateway.reconciler.writes import Gates
from poddnat.model import EntryStatus, ForwardEntry, ForwardRule


class Reads:
    """Chooses reads and takes over what they show. Not safe for use from several threads at once."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self.loaded = False
        """Whether the whole table has been listed since the start."""
        self.current = False
        """Whether it has been listed since this process is the active one: before, others may have written."""
        self._current_from = -math.inf
        self.reading = False
        """Whether a read is under way."""
        self._asked: list[Asked] = []
        self._proven: dict[EntryFilter, float] = {}
        # By the read under way: what it has shown whole, and when that was asked for.
        self._due_last = False
        self._not_shown: dict[str, None] = {}
        # Entries of ours that the last listing, of several pages, did not show: asked for by id before it is believed.
        self._listed = False
        # Whether a listing of the whole table has ended that nobody was told of yet.
        self._error: CloudError | None = None
        # What the last read came to; None: it was answered.
        self._retry_at = -math.inf
        self._backoff = Backoff(TABLE_RETRY_FIRST, TABLE_RETRY_LONGEST)

    @property
    def lasting_error(self) -> CloudError | None:
        """Why the table can't be read, unless that may pass by itself; None: it can."""
        error = self._error
        passing = error is not None and error.passes and self._backoff.failures < FAILURES_TO_TELL
        return None if passing else error

    def resync(self, now: float) -> None:
        """Take over from another writer: what is known of the table may be old, and is verified before it is used."""
        self.current, self._current_from = False, now
        self._state.poller.begin_anew()

    def next(self, now: float, gates: Gates) -> tuple[Read | None, float]:
        """Choose what to read now, or say in how many seconds to ask again; one at a time."""
        if self.reading:
            return None, math.inf
        if (closed := max(gates.wait(None), self._retry_at - now)) > 0:
            return None, closed
        read = None if self._due_last or self._state.poller.listing_is_cheaper else self._due(now)
        self._due_last = read is not None
        wait = math.inf
        if read is None:
            read, wait = self._state.poller.next_page(
                now, refresh_wait=gates.refresh_wait(), stamp=self._state.table.now()
            )
            read = read or self._due(now)
        self.reading = read is not None
        return read, min(wait, self._state.poller.next_due() - now)

    def _due(self, now: float) -> Read | None:
        """Choose a read for what is due, or for what a listing did not show."""
        asked: list[Asked] = []
        for uid in self._state.poller.take_due(now):
            desired = self._state.desired[uid]
            items = desired.items(self._state.place(desired, now))
            if uid not in self._state.desired:
                continue  # It was waited for by nobody, and is done.
            for item in items:
                poll = desired.polls.get(item.key)
                if poll is not None and poll.at <= now and len(asked) < MOST_FILTERS:
                    on_page = item.state in {EntryState.PENDING, EntryState.SURPLUS} and not poll.by_id
                    asked.append(Asked(uid, item.key, poll, desired.filters(item), on_page))
                    poll.at, poll.by_id = math.inf, False
            self._state.poller.schedule(uid, desired.next_poll(), desired.kind)
        self._asked = asked
        read: Read = Find(())
        if asked:
            unsettled = self._state.concurrency.unsettled
            read = self._state.poller.choose(asked, now, table=self._state.table, unsettled=unsettled)
        if isinstance(read, ReadPage):
            return read
        not_shown = [EntryFilter(entry_id=entry_id) for entry_id in self._not_shown]
        filters = (*read.filters, *not_shown[: max(0, MOST_FILTERS - len(read.filters))])
        return Find(filters) if filters else None

    def found(self, where: EntryFilter, page: EntryPage, *, since: int, started_at: float, now: float) -> None:
        """Take over all that was listed under a filter; ``page.total`` says whether it is.

        ``since`` is the table's stamp, and ``started_at`` the time, from before it was asked for.
        """
        shown = {entry.entry_id for entry in page.entries}
        self._merge(page.entries, since=since, started_at=started_at, now=now)
        if where.entry_id is not None:
            self._not_shown.pop(where.entry_id, None)
        if page.total == len(page.entries):
            self._proven[where] = started_at
            self._drop((i for i in self._near(where) if i not in shown), since=since, now=now)

    def page_read(self, call: ReadPage, page: EntryPage, *, since: int, started_at: float, now: float) -> None:
        """Take over one page of the table."""
        shown = {entry.entry_id for entry in page.entries}
        if call.page == 1:
            self.found(ALL_ENTRIES, page, since=since, started_at=started_at, now=now)
        else:
            self._merge(page.entries, since=since, started_at=started_at, now=now)
        self._state.poller.total = page.total
        if not call.listing:
            self._state.poller.page_showed([str(one.key) for one in self._asked], shown)
            for one in self._asked:
                one.poll.by_id = one.key not in shown
            return
        listing = self._state.poller.page_read(call.page, shown=len(page.entries), now=now)
        if listing is not None:
            self._take_listing(listing, now)

    def ended(self, now: float) -> None:
        """Take over that a read is complete: what it has not changed is asked for again later."""
        self._error, self._retry_at = None, -math.inf
        self._backoff.reset()
        asked, proven, self._asked, self._proven = self._asked, self._proven, [], {}
        for one in asked:
            desired = self._state.desired.get(one.uid)
            if desired is None:
                continue
            times = [proven.get(ALL_ENTRIES, proven.get(where)) for where in one.filters]
            if None not in times:
                self._prove(desired, one, min(time for time in times if time is not None))
        for uid in {one.uid for one in asked} & self._state.desired.keys():
            self._state.place(self._state.desired[uid], now)
        self._ask_again(asked, now)

    def failed(self, error: CloudError, now: float) -> None:
        """Take over that a read was cut short."""
        asked, self._asked, self._proven = self._asked, [], {}
        if error.meaning is not Meaning.THROTTLED:
            self._error, self._retry_at = error, now + self._backoff.failed()
        self._ask_again(asked, now)

    def _ask_again(self, asked: Sequence[Asked], now: float) -> None:
        self.reading = False
        for one in asked:
            desired = self._state.desired.get(one.uid)
            if desired is not None and desired.polls.get(one.key) is one.poll:
                one.poll.again(now, not_before=self._state.expected_at(desired, one.key, one.poll.state))
                self._state.poller.schedule(one.uid, desired.next_poll(), desired.kind)

    def _prove(self, desired: DesiredState, asked: Asked, started_at: float) -> None:
        """Take over that a read told of an item for sure, where that is more than the table shows by now."""
        quiet = not desired.in_flight and started_at >= desired.quiet_since
        match asked.poll.state:
            case EntryState.CONFLICT:
                asked.poll.seen = True
            case EntryState.UNVERIFIED if isinstance(asked.key, ForwardRule):
                unverified = desired.unverified.get(asked.key)
                if unverified is not None and started_at >= unverified.since:
                    del desired.unverified[asked.key]
            case EntryState.GONE | EntryState.DELETING if quiet and EntryFilter(name=desired.own.name) in asked.filters:
                desired.confirmed = bool(desired.rules) or not desired.own.entries(self._state.table)

    def _merge(self, rows: Sequence[ForwardEntry], *, since: int, started_at: float, now: float) -> None:
        changed = self._state.table.merge(rows, since=since)
        for row in rows:
            if row.status is EntryStatus.AVAILABLE:
                self._state.concurrency.seen_settled(row.entry_id, now)
            else:
                self._state.concurrency.seen_pending(row.entry_id, started_at)
        self._state.changed(changed, now)

    def _drop(self, entry_ids: Iterable[str], *, since: int, now: float) -> None:
        gone = self._state.table.drop([*entry_ids], since=since)
        for entry_id in gone:
            self._state.concurrency.seen_settled(entry_id, now)
        self._state.changed(gone, now)

    def _near(self, where: EntryFilter) -> list[str]:
        """List the entries that a filter would show."""
        if where.entry_id is not None:
            near: Iterable[ForwardEntry | None] = [self._state.table.get(where.entry_id)]
        elif where.name is not None:
            near = self._state.table.named(where.name)
        else:
            near = self._state.table
        return [entry.entry_id for entry in near if entry is not None and where.matches(entry)]

    def _take_listing(self, listing: Listing, now: float) -> None:
        """Take over a listing of the whole table; what several pages did not show is only suspected to have gone."""
        missing = self._state.table.not_shown(since=listing.since)
        ours = [entry.entry_id for entry in missing if self._state.ownership.owner_in(entry.name) is not None]
        foreign = {entry.entry_id for entry in missing}.difference(ours)
        self._drop(self._state.table.unseen_twice(foreign), since=self._state.table.now(), now=now)
        self._not_shown = dict.fromkeys(ours)
        self._state.concurrency.forget_all_but(self._state.table.ids())
        self.loaded = self._listed = True
        self.current = self.current or listing.started_at >= self._current_from
        for desired in list(self._state.desired.values()):
            if self.current:
                desired.trust_table()
            self._state.place(desired, now)

    def take_listed(self) -> bool:
        """Tell, once each time, that the whole table has been listed and what it did not show been asked for."""
        listed, self._listed = self._listed and not self._not_shown, self._listed and bool(self._not_shown)
        return listed
