"""Reading all that a filter matches, over its pages."""

from collections.abc import Callable
from typing import Any

from poddnat.cloud import ENTRIES_PER_PAGE, EntryPage


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
