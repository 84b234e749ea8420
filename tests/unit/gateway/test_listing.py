"""Reading a table page by page: what a listing shows, and when it proves that something is not there."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
from poddnat.gateway.listing import Listing, pages_of
from poddnat.gateway.table import Table

from poddnat.cloud import ENTRIES_PER_PAGE, CloudError, EntryFilter, EntryPage, Meaning
from poddnat.gateway import EVERYTHING, read_listing
from tests.unit.samples import entry, rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from poddnat.model import ForwardEntry

NAMED = EntryFilter(name="web")
BY_ID = EntryFilter(entry_id="fwd-1")


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


# Pages


@pytest.mark.parametrize(("entries", "pages"), [(0, 1), (1, 1), (49, 1), (50, 1), (51, 2), (100, 2), (101, 3)], ids=str)
def test_listing_takes_as_few_calls_as_there_are_pages(entries: int, pages: int) -> None:
    calls = count()
    serve = cloud(numbered(entries))

    def fetch(number: int) -> EntryPage:
        next(calls)
        return serve(number)

    read_listing(fetch, EVERYTHING)
    assert next(calls) == pages == pages_of(entries)


@pytest.mark.parametrize("entries", [0, 1, 50, 51, 120], ids=str)
def test_listing_of_a_quiet_table_is_whole(entries: int) -> None:
    there = numbered(entries)
    assert read_listing(cloud(there), EVERYTHING) == Listing(EVERYTHING, tuple(there), whole=True)


def test_entry_that_slips_through_because_another_goes_makes_the_listing_less_than_whole() -> None:
    there = numbered(120)
    listing = read_listing(cloud(there, change_after_page=1, change=lambda: there.__delitem__(0)), EVERYTHING)
    assert entry("fwd-51", of=rule("51", "51")) not in listing.entries
    assert not listing.whole


def test_entry_that_comes_while_pages_are_read_makes_the_listing_less_than_whole() -> None:
    there = numbered(120)
    come = entry("fwd-new", of=rule("999", "999"))
    listing = read_listing(cloud(there, change_after_page=1, change=lambda: there.insert(0, come)), EVERYTHING)
    assert not listing.whole


def test_entry_shown_on_two_pages_is_listed_once() -> None:
    there = numbered(60)
    come = entry("fwd-new", of=rule("999", "999"))
    listing = read_listing(cloud(there, change_after_page=1, change=lambda: there.insert(0, come)), EVERYTHING)
    assert len(listing.entries) == len({each.entry_id for each in listing.entries}) == 60


def test_total_that_changes_between_pages_makes_the_listing_less_than_whole() -> None:
    there = numbered(120)
    listing = read_listing(cloud(there, change_after_page=1, change=there.pop), EVERYTHING)
    assert len(listing.entries) == 119
    assert not listing.whole


def test_page_that_shows_an_entry_again_makes_the_listing_less_than_whole() -> None:
    there = numbered(60)

    def change() -> None:
        there.insert(0, there.pop())

    listing = read_listing(cloud(there, change_after_page=1, change=change), EVERYTHING)
    assert len(listing.entries) == 59
    assert not listing.whole


def test_table_that_ends_early_makes_the_listing_less_than_whole() -> None:
    listing = read_listing(lambda _: EntryPage((entry(),), total=7), EVERYTHING)
    assert not listing.whole


def test_failed_page_fails_the_listing() -> None:
    def fetch(_: int) -> EntryPage:
        raise CloudError(Meaning.UNKNOWN, action="DescribeForwardTableEntries", code="InternalError", message="")

    with pytest.raises(CloudError):
        read_listing(fetch, EVERYTHING)


# What a table learns


def taught(where: EntryFilter, *shown: ForwardEntry, whole: bool = True, of: list[ForwardEntry]) -> list[str]:
    """Teach a table of some entries a listing, and give the ids that it has then."""
    table = Table()
    for each in of:
        table.put(each)
    Listing(where, shown, whole).teach(table, table.now())
    return sorted(table.ids())


WEB = entry("fwd-1", "web")
DB = entry("fwd-2", "db", rule("513", "81"))


@pytest.mark.parametrize(
    ("where", "left"),
    [
        pytest.param(EVERYTHING, [], id="of everything: all"),
        pytest.param(NAMED, ["fwd-2"], id="of a name: those of that name"),
        pytest.param(BY_ID, ["fwd-2"], id="of an id: that one"),
        pytest.param(EntryFilter(entry_id="fwd-9"), ["fwd-1", "fwd-2"], id="of an unknown id: none"),
        pytest.param(EntryFilter(external_ip="203.0.113.10", external_port="513"), ["fwd-1"], id="of an external side"),
        pytest.param(EntryFilter(internal_ip="172.16.0.7", internal_port="80"), ["fwd-2"], id="of an internal side"),
        pytest.param(EntryFilter(name="web", external_port="9"), ["fwd-1", "fwd-2"], id="of two things: what has both"),
        pytest.param(EntryFilter(entry_id="fwd-1", name="db"), ["fwd-1", "fwd-2"], id="of an id and a name"),
    ],
)
def test_whole_listing_that_shows_nothing_proves_gone(where: EntryFilter, left: list[str]) -> None:
    assert taught(where, of=[WEB, DB]) == left


@pytest.mark.parametrize("where", [EVERYTHING, NAMED, BY_ID], ids=["everything", "name", "id"])
def test_listing_that_is_not_whole_proves_nothing_gone(where: EntryFilter) -> None:
    assert taught(where, whole=False, of=[WEB, DB]) == ["fwd-1", "fwd-2"]


def test_listing_that_is_not_whole_still_shows_what_it_shows() -> None:
    assert taught(EVERYTHING, DB, whole=False, of=[WEB]) == ["fwd-1", "fwd-2"]
