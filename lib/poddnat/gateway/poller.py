"""When to read a gateway's table again, and which part of it: as seldom as those who wait allow."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

from poddnat.cloud import ENTRIES_PER_PAGE, EntryFilter
from poddnat.gateway.calls import Look, Peek
from poddnat.gateway.concurrency import LONGEST_LOOK_GAP, Pace
from poddnat.gateway.desired import Wish
from poddnat.gateway.listing import EVERYTHING, pages_of
from poddnat.gateway.table import Table
from poddnat.model import ForwardEntry

_VAIN_LOOKS = 15
_MORE_RARELY = 1.25
_LONGEST_GAP = 10.0


class Lookout:
    """Chooses what to read. Not safe for use from several threads at once."""

    def __init__(self, table: Table, pace: Pace, *, refresh_interval: float) -> None:
        """``refresh_interval``: seconds between two listings of the whole table when nothing else asks for one."""
        self._table = table
        self._pace = pace
        self._refresh_interval = refresh_interval
        self._refresh_at = -math.inf
        self._looking = False
        self._look_after = -math.inf
        self._last_settling: set[ForwardEntry] = set()
        self._vain_looks = 0
        # In a row, each showing what waiting PodDNATs' entries were like before.
        self._newest_last = True
        # On which end of a listing new entries show up: the API doesn't say, so it is found out.
        self._unpeeked: set[str] = set()
        # Entries that a peek didn't show where they were expected.
        self._late_elsewhere = False
        # Whether a peek left out an entry on another page for which the next look would be too late.
        self._last_gap = 0.0

    def doubt(self, now: float) -> None:
        """Have the whole table read as soon as may be."""
        self._refresh_at = min(self._refresh_at, now)

    def next(
        self, now: float, waiting: Collection[Wish], *, more_to_write: bool, urgent_only: bool
    ) -> tuple[Look | Peek | None, float]:
        """Choose what to read now, or say in how many seconds to ask again; one at a time.

        ``waiting``: those who wait for something in the table to change. ``urgent_only`` puts them off while there is
        more to write.
        """
        if self._looking:
            return None, math.inf
        look, wait = self._due(now, waiting, more_to_write=more_to_write, urgent_only=urgent_only)
        self._looking = look is not None
        return look, wait

    def _due(
        self, now: float, waiting: Collection[Wish], *, more_to_write: bool, urgent_only: bool
    ) -> tuple[Look | Peek | None, float]:
        if now >= self._refresh_at:
            return Look((EVERYTHING,)), 0.0
        wait = self._refresh_at - now
        if not waiting:
            return None, wait
        patient = self._look_after + (LONGEST_LOOK_GAP * 4 if urgent_only and more_to_write else 0.0)
        if now < patient:
            return None, min(wait, patient - now)
        filters: dict[EntryFilter, None] = {}
        pending: dict[str, float] = {}
        for wish in waiting:
            for due, where in self._worth_a_look(wish, more_to_write=more_to_write):
                if due > now:
                    wait = min(wait, due - now)
                    continue
                filters[where] = None
                if where.entry_id is not None and self._table.get(where.entry_id) is not None:
                    pending[where.entry_id] = now - due
        return self._cheapest(filters, pending), wait

    def _worth_a_look(self, wish: Wish, *, more_to_write: bool) -> Iterator[tuple[float, EntryFilter]]:
        """Yield what to look at for somebody who waits, and from when on."""
        if wish.sending:
            return
        for rule in wish.suspects:
            yield wish.retry_at, EntryFilter(external_ip=rule.external_ip, external_port=str(rule.external_ports))
            yield wish.retry_at, EntryFilter(internal_ip=rule.internal_ip, internal_port=str(rule.internal_ports))
        for entry in wish.settling:
            due = self._pace.due_at(entry.entry_id, more_to_write=more_to_write)
            yield due, EntryFilter(entry_id=entry.entry_id)
        for entry_id in wish.doubted:
            yield -math.inf, EntryFilter(entry_id=entry_id)
        if wish.release and not wish.settling and not wish.confirmed:
            yield -math.inf, EntryFilter(name=wish.mine.name)

    def _cheapest(self, filters: Collection[EntryFilter], pending: Mapping[str, float]) -> Look | Peek | None:
        """Choose between looking one by one, at the page of the newest entries, and at everything."""
        pages = pages_of(len(self._table))
        beside_others = len(pending) > 1 or self._pace.unsettled > 1  # A page shows these for the same one call.
        if pending and len(pending) == len(filters) and beside_others and pages > 1:
            missed = tuple(where for where in filters if where.entry_id in self._unpeeked)
            return Look(missed) if missed else self._peek(pending)
        if len(filters) >= pages:
            return Look((EVERYTHING,))
        return Look(tuple(filters)) if filters else None

    def _peek(self, pending: Mapping[str, float]) -> Peek:
        """Choose the page that most likely shows the entry that has been due the longest, and those beside it.

        ``pending``: entries that are waited for, and for how many seconds they have been due.
        """
        places = self._table.counted_from_newest(pending)
        total = len(self._table)
        at: dict[int, set[str]] = {}
        for entry_id, place in places.items():
            index = total - 1 - place if self._newest_last else place
            at.setdefault(index // ENTRIES_PER_PAGE + 1, set()).add(entry_id)
        # Not the page with most of them: another one's would wait as long as there are always more here.
        longest = max(places, key=lambda entry_id: pending[entry_id])
        page = next(page for page, ids in at.items() if longest in ids)
        late_by = LONGEST_LOOK_GAP - self._last_gap
        self._late_elsewhere = any(late >= late_by for entry_id, late in pending.items() if entry_id not in at[page])
        return Peek(page, frozenset(at[page]))

    # What came of it.

    def peeked(self, job: Peek, entries: Sequence[ForwardEntry]) -> None:
        """Note what a peek showed; it proves nothing about what it doesn't show."""
        expected = set(job.expected)
        missed = expected - {entry.entry_id for entry in entries}
        if expected and missed == expected:
            self._newest_last = not self._newest_last
        self._unpeeked = missed

    def looked_at(self, where: EntryFilter) -> None:
        """Note that a part of the table has been listed."""
        self._unpeeked.discard(where.entry_id or "")

    def refreshed(self, now: float, *, whole: bool) -> None:
        """Note that the whole table has been listed; ``whole`` tells whether nothing can have slipped through."""
        self._refresh_at = now + (self._refresh_interval if whole else LONGEST_LOOK_GAP)

    def written(self, now: float) -> None:
        """Note that the cloud accepted a write: there will be something new to see."""
        self._look_after = min(self._look_after, now + LONGEST_LOOK_GAP)

    def failed(self, now: float) -> None:
        """Note that a look was cut short."""
        self._looking = False
        self._look_after = now + self._pace.look_gap()

    def ended(self, now: float, settling: set[ForwardEntry]) -> None:
        """Note that a look is complete; ``settling``: what those who wait are waiting for after it."""
        self._looking = False
        self._look_after = now + self._gap(settling)

    def _gap(self, settling: set[ForwardEntry]) -> float:
        """Give the seconds until the next look: ever more while nothing moves, as when an entry is stuck."""
        if self._unpeeked or self._late_elsewhere:
            self._late_elsewhere = False
            return 0.0  # A peek at another page has told nothing of them yet.
        self._vain_looks = self._vain_looks + 1 if settling and settling == self._last_settling else 0
        self._last_settling = settling
        more = _MORE_RARELY ** max(0, self._vain_looks - _VAIN_LOOKS)
        self._last_gap = min(self._pace.look_gap() * more, _LONGEST_GAP)
        return self._last_gap
