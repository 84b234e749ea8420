"""Reading one page as soon as the rate limit lets it, and all that a filter matches, over its pages."""

import threading
from collections.abc import Callable
from typing import Any

from poddnat.cloud import ENTRIES_PER_PAGE, CloudClient, CloudError, EntryFilter, EntryPage, Meaning
from poddnat.gateway.read_budget import CallGates


class PageReader:
    """Reads pages of one gateway's table."""

    def __init__(self, gateway_id: str, cloud: CloudClient, gates: CallGates, stopping: threading.Event) -> None:
        """Make a reader for one gateway; ``stopping`` ends all waiting."""
        self._gateway_id = gateway_id
        self._cloud = cloud
        self._gates = gates
        self._stopping = stopping

    def page(self, number: int, where: EntryFilter, *, refresh: bool) -> EntryPage:
        """Read one page; a throttled one is asked for again, so that a long listing isn't begun anew.

        Raises:
            CloudError: it can't be read, or it is time to stop; never that it was throttled.
        """
        while not self._stopping.is_set():
            if (wait := self._gates.wait(None)) > 0:
                self._stopping.wait(wait)
                continue
            self._gates.sent(None, refresh=refresh)
            error: CloudError | None = None
            try:
                return self._cloud.describe_forward_table_entries(self._gateway_id, page=number, where=where)
            except CloudError as failure:
                error = failure
                if error.meaning is not Meaning.THROTTLED:
                    raise
            finally:
                self._gates.answered(None, error)
        raise CloudError(Meaning.UNKNOWN, action="DescribeForwardTableEntries", code="Stopped", message="at the end")


def read_pages(fetch: Callable[[int], EntryPage]) -> EntryPage:
    """Read all pages, merged; ``fetch`` gets one page by its number.

    A table may change between two pages, so that a row slips through unseen: the rows are proof of what is there, and
    of what is not only where ``total`` is their number and they fit on one page.

    Raises:
        CloudError: whatever ``fetch`` raises.
    """
    found: dict[str, Any] = {}
    number = 0
    while True:
        number += 1
        page = fetch(number)
        found.update((entry.entry_id, entry) for entry in page.entries)
        if len(page.entries) < ENTRIES_PER_PAGE or number * ENTRIES_PER_PAGE >= page.total:
            return EntryPage(tuple(found.values()), page.total)
