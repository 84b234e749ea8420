"""Reading all that a filter matches, over its pages."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from poddnat.cloud import ENTRIES_PER_PAGE, CloudError, EntryPage, Meaning
from poddnat.gateway import read_pages
from poddnat.gateway.reconciler.poller import pages_of
from tests.unit.samples import entry, rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from poddnat.model import ForwardEntry


def numbered(how_many: int) -> list[ForwardEntry]:
    return [entry(f"fwd-{number}", of=rule(str(number), str(number))) for number in range(1, how_many + 1)]


def cloud(
    entries: list[ForwardEntry], *, change_after_page: int = 0, change: Callable[[], object] = lambda: None
) -> Callable[[int], EntryPage]:
    """Serve pages of a list, which changes after one of them has been fetched."""

    def fetch(number: int) -> EntryPage:
        first = (number - 1) * ENTRIES_PER_PAGE
        page = EntryPage(tuple(entries[first : first + ENTRIES_PER_PAGE]), total=len(entries))
        if number == change_after_page:
            change()
        return page

    return fetch


@pytest.mark.parametrize(("entries", "pages"), [(0, 1), (1, 1), (49, 1), (50, 1), (51, 2), (100, 2), (101, 3)], ids=str)
def test_reading_takes_as_few_calls_as_there_are_pages(entries: int, pages: int) -> None:
    calls = count()
    serve = cloud(numbered(entries))

    def fetch(number: int) -> EntryPage:
        next(calls)
        return serve(number)

    read_pages(fetch)
    assert next(calls) == pages == pages_of(entries)


@pytest.mark.parametrize("entries", [0, 1, 50, 51, 120], ids=str)
def test_all_of_a_quiet_table_is_read(entries: int) -> None:
    there = numbered(entries)
    assert read_pages(cloud(there)) == EntryPage(tuple(there), total=entries)


def test_entry_shown_on_two_pages_is_read_once() -> None:
    there = numbered(60)
    come = entry("fwd-new", of=rule("999", "999"))
    found = read_pages(cloud(there, change_after_page=1, change=lambda: there.insert(0, come)))
    assert len(found.entries) == len({each.entry_id for each in found.entries}) == 60


def test_entry_that_slips_through_leaves_fewer_than_the_total_of_before() -> None:
    there = numbered(120)
    found = read_pages(cloud(there, change_after_page=1, change=lambda: there.__delitem__(0)))
    assert entry("fwd-51", of=rule("51", "51")) not in found.entries


def test_table_that_ends_early_ends_the_reading() -> None:
    assert read_pages(lambda _: EntryPage((entry(),), total=7)) == EntryPage((entry(),), total=7)


def test_failed_page_fails_the_reading() -> None:
    def fetch(_: int) -> EntryPage:
        raise CloudError(Meaning.UNKNOWN, action="DescribeForwardTableEntries", code="InternalError", message="")

    with pytest.raises(CloudError):
        read_pages(fetch)
