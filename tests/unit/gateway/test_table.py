"""A gateway's table as last seen: found by any side, and never set back by a listing that is old."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poddnat.gateway.reconciler.table import Table
from poddnat.model import EntryStatus, ForwardEntry, ForwardRule, Protocol
from tests.unit.samples import entry, rule, rules

if TYPE_CHECKING:
    from collections.abc import Iterable

PENDING, AVAILABLE, DELETING = EntryStatus.PENDING, EntryStatus.AVAILABLE, EntryStatus.DELETING


def table(*entries: ForwardEntry) -> Table:
    made = Table()
    for each in entries:
        made.put(each)
    return made


def learn(made: Table, rows: Iterable[ForwardEntry], *, since: int, gone: Iterable[str] = ()) -> None:
    """Take over a read that shows rows, and proves that others are gone."""
    made.merge(rows, since=since)
    made.drop(gone, since=since)


def found(entries: list[ForwardEntry]) -> set[str]:
    return {each.entry_id for each in entries}


# Look-ups


def test_entry_is_found_by_its_id() -> None:
    assert table(entry("fwd-1")).get("fwd-1") == entry("fwd-1")
    assert table(entry("fwd-1")).get("fwd-2") is None


def test_entries_are_found_by_their_name_in_a_steady_order() -> None:
    one, two, other = entry("fwd-1", "web"), entry("fwd-2", "web", rule("513", "81")), entry("fwd-3", "db")
    assert table(two, other, one).named("web") == [one, two]
    assert table(one).named("nobody") == []


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param(rule("512", "1"), id="same port"),
        pytest.param(rule("500/520", "1/21"), id="range around it"),
        pytest.param(rule("512/513", "1/2"), id="range that begins there"),
        pytest.param(rule("1/65535", "1/65535", protocol=Protocol.ANY, internal_ip="172.16.0.9"), id="whole address"),
    ],
)
def test_holder_of_the_external_side_is_found(holder: ForwardRule) -> None:
    assert found(table(entry(of=holder)).clashing_outside(rule("512", "80"))) == {"fwd-1"}


def test_holders_of_a_ranges_ports_are_found() -> None:
    held = table(
        entry("fwd-1", of=rule("510", "1")), entry("fwd-2", of=rule("511", "2")), entry("fwd-3", of=rule("9", "3"))
    )
    assert found(held.clashing_outside(rule("510/519", "80/89"))) == {"fwd-1", "fwd-2"}


def test_holder_of_a_range_is_found_once_from_anywhere_in_it() -> None:
    held = table(entry("fwd-1", of=rule("1000/1300", "1/301")))
    for ports in ("1000", "1150", "1300", "900/1000", "1300/1400", "1100/1200", "1/65535"):
        wanted = rule(ports, ports, internal_ip="172.16.0.99")
        assert [clash.entry_id for clash in held.clashing_outside(wanted)] == ["fwd-1"]
    for ports in ("999", "1301"):
        assert held.clashing_outside(rule(ports, ports)) == []


def test_holder_of_the_internal_side_is_found() -> None:
    held = table(entry(of=rule("9", "80", external_ip="203.0.113.99")))
    assert found(held.clashing_inside(rule("512", "80"))) == {"fwd-1"}


@given(st.lists(rules(), max_size=8), st.lists(st.integers(0, 7)), rules())
def test_look_ups_find_exactly_what_clashes(held: list[ForwardRule], removed: list[int], wanted: ForwardRule) -> None:
    entries = {f"fwd-{number}": entry(f"fwd-{number}", of=each) for number, each in enumerate(held)}
    made = table(*entries.values())
    for number in removed:
        made.remove(f"fwd-{number}")
        entries.pop(f"fwd-{number}", None)
    outside = {key for key, each in entries.items() if each.rule.clashes_outside(wanted)}
    inside = {key for key, each in entries.items() if each.rule.clashes_inside(wanted)}
    assert found(made.clashing_outside(wanted)) == outside
    assert found(made.clashing_inside(wanted)) == inside


def test_entry_that_changed_is_found_where_it_is_now_only() -> None:
    made = table(entry("fwd-1", "web", rule("512", "80")))
    made.put(entry("fwd-1", "db", rule("513", "81")))
    assert made.clashing_outside(rule("512", "9")) == []
    assert made.clashing_inside(rule("9", "80")) == []
    assert made.named("web") == []
    assert found(made.clashing_outside(rule("513", "9"))) == {"fwd-1"}


# Listings


def test_listing_shows_what_is_new() -> None:
    made = table()
    learn(made, [entry("fwd-1")], since=made.now(), gone=[])
    assert made.ids() == ["fwd-1"]


def test_listing_shows_how_an_entry_is_now() -> None:
    made = table(entry(status=PENDING))
    learn(made, [entry(status=AVAILABLE)], since=made.now(), gone=[])
    assert made.get("fwd-1") == entry(status=AVAILABLE)


def test_listing_shows_what_is_gone() -> None:
    made = table(entry())
    learn(made, [], since=made.now(), gone=["fwd-1"])
    assert len(made) == 0


def test_old_listing_does_not_take_away_what_was_created_since() -> None:
    made = table()
    asked = made.now()
    made.put(entry(status=PENDING))
    learn(made, [], since=asked, gone=["fwd-1"])
    assert made.ids() == ["fwd-1"]


def test_old_listing_does_not_bring_back_what_was_removed_since() -> None:
    made = table(entry())
    asked = made.now()
    made.remove("fwd-1")
    learn(made, [entry()], since=asked, gone=[])
    assert len(made) == 0


def test_old_listing_does_not_undo_a_delete_under_way() -> None:
    made = table(entry(status=AVAILABLE))
    asked = made.now()
    made.put(entry(status=DELETING))
    learn(made, [entry(status=AVAILABLE)], since=asked, gone=[])
    assert made.get("fwd-1") == entry(status=DELETING)


def test_next_listing_is_believed_again() -> None:
    made = table()
    asked = made.now()
    made.put(entry(status=PENDING))
    learn(made, [], since=asked, gone=["fwd-1"])
    learn(made, [], since=made.now(), gone=["fwd-1"])
    assert len(made) == 0


ids = st.sampled_from(["fwd-1", "fwd-2", "fwd-3"])


@given(before=st.sets(ids), put=st.sets(ids), removed=st.sets(ids), listed=st.sets(ids))
def test_old_listing_changes_nothing_but_what_was_left_alone_since(
    before: set[str], put: set[str], removed: set[str], listed: set[str]
) -> None:
    made = table(*(entry(entry_id) for entry_id in before))
    asked = made.now()
    for entry_id in put:
        made.put(entry(entry_id, status=PENDING))
    for entry_id in removed:
        made.remove(entry_id)
    learn(made, map(entry, sorted(listed)), since=asked, gone=before - listed)
    assert set(made.ids()) == (put - removed) | (listed - put - removed)


def test_read_tells_which_entries_are_new_or_other() -> None:
    made = table(entry("fwd-1"), entry("fwd-2", status=PENDING))
    shown = [entry("fwd-1"), entry("fwd-2", status=AVAILABLE), entry("fwd-3")]
    assert made.merge(shown, since=made.now()) == {"fwd-2", "fwd-3"}


def test_read_tells_which_entries_have_gone() -> None:
    made = table(entry("fwd-1"))
    assert made.drop(["fwd-1", "fwd-9"], since=made.now()) == {"fwd-1"}


def test_entry_shown_by_a_later_read_is_not_taken_away_by_an_earlier_one() -> None:
    made = table()
    earlier = made.now()
    made.merge([entry("fwd-1")], since=made.now())
    assert made.drop(["fwd-1"], since=earlier) == set()


def test_entries_that_no_page_of_a_listing_showed_are_told() -> None:
    made = table(entry("fwd-1"), entry("fwd-2"))
    since = made.now()
    made.merge([entry("fwd-1")], since=since)
    made.put(entry("fwd-3"))
    assert [each.entry_id for each in made.not_shown(since=since)] == ["fwd-2"]


def test_only_two_listings_in_a_row_say_of_a_foreign_entry_that_it_has_gone() -> None:
    made = table(entry("fwd-1"), entry("fwd-2"))
    assert made.unseen_twice(["fwd-1"]) == set()
    assert made.unseen_twice(["fwd-1", "fwd-2"]) == {"fwd-1"}
    assert made.unseen_twice([]) == set()
    assert made.unseen_twice(["fwd-2"]) == set()


def test_entry_seen_in_between_was_not_missed_twice() -> None:
    made = table(entry("fwd-1"))
    made.unseen_twice(["fwd-1"])
    made.merge([entry("fwd-1")], since=made.now())
    assert made.unseen_twice(["fwd-1"]) == set()
