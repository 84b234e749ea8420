"""The plan for one PodDNAT: what the entries in the way decide, and that plans come to an end and harm nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poddnat.gateway import OwnEntries, Ownership
from poddnat.gateway.reconciler.plan import Conflict, Plan, Side, make_plan
from poddnat.gateway.reconciler.table import Table
from poddnat.model import EntryStatus, ForwardEntry, ForwardRule, Protocol
from tests.unit.samples import entry, rule, rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

OURS = Ownership("c1")
ME, LIVING, DEAD = "uid-me", "uid-living", "uid-dead"
MINE = OwnEntries(ME, OURS.name_of(ME))
NOT_OURS = Ownership("c2").name_of(ME)

WEB = rule("512", "80")
TLS = rule("513", "443")
SAME_OUTSIDE = rule("512", "9999", internal_ip="172.16.0.99")
SAME_INSIDE = rule("9999", "80", external_ip="203.0.113.99")

PENDING, AVAILABLE = EntryStatus.PENDING, EntryStatus.AVAILABLE
MODIFYING, DELETING = EntryStatus.MODIFYING, EntryStatus.DELETING


def of(uid: str, entry_id: str, its: ForwardRule, status: EntryStatus = AVAILABLE) -> ForwardEntry:
    """Make an entry of one of our cluster's PodDNATs."""
    return entry(entry_id, OURS.name_of(uid), its, status)


def table(*entries: ForwardEntry) -> Table:
    made = Table()
    for each in entries:
        made.put(each)
    return made


def plan(desired: Sequence[ForwardRule], *entries: ForwardEntry, mine: OwnEntries = MINE) -> Plan:
    return make_plan(desired, table(*entries), mine, OURS, {ME, LIVING}.__contains__)


# What is in the way of a rule


def test_nothing_in_the_way_of_a_rule_has_it_created() -> None:
    assert plan([WEB]) == Plan(creates=(WEB,))


@pytest.mark.parametrize("in_the_way", [SAME_OUTSIDE, SAME_INSIDE], ids=["outside", "inside"])
def test_own_obsolete_entry_in_the_way_is_deleted_first(in_the_way: ForwardRule) -> None:
    obsolete = of(ME, "fwd-1", in_the_way)
    assert plan([WEB], obsolete) == Plan(deletes=(obsolete,))


@pytest.mark.parametrize("name", [OURS.name_of(ME), OURS.name_of(LIVING), OURS.name_of(DEAD), NOT_OURS, ""])
@pytest.mark.parametrize("in_the_way", [WEB, SAME_OUTSIDE, SAME_INSIDE], ids=["both sides", "outside", "inside"])
def test_any_entry_on_its_way_out_is_waited_for(name: str, in_the_way: ForwardRule) -> None:
    leaving = entry("fwd-1", name, in_the_way, DELETING)
    assert plan([WEB], leaving) == Plan(settling=(leaving,))


@pytest.mark.parametrize("in_the_way", [WEB, SAME_OUTSIDE, SAME_INSIDE], ids=["both sides", "outside", "inside"])
def test_leftover_of_a_poddnat_now_gone_is_deleted_first(in_the_way: ForwardRule) -> None:
    leftover = of(DEAD, "fwd-1", in_the_way)
    assert plan([WEB], leftover) == Plan(deletes=(leftover,))


@pytest.mark.parametrize(
    ("in_the_way", "side"),
    [
        pytest.param(SAME_OUTSIDE, Side.EXTERNAL, id="outside"),
        pytest.param(SAME_INSIDE, Side.INTERNAL, id="inside"),
        pytest.param(WEB, Side.INTERNAL, id="both sides, where another external port would not help"),
    ],
)
@pytest.mark.parametrize(
    ("name", "holder"),
    [
        pytest.param(OURS.name_of(LIVING), LIVING, id="living PodDNAT"),
        pytest.param(NOT_OURS, None, id="another cluster"),
        pytest.param("", None, id="no name"),
        pytest.param("web", None, id="somebody"),
    ],
)
def test_entry_of_anybody_else_is_a_conflict(
    name: str, holder: str | None, in_the_way: ForwardRule, side: Side
) -> None:
    theirs = entry("fwd-1", name, in_the_way)
    assert plan([WEB], theirs) == Plan(conflicts=(Conflict(WEB, theirs, side, holder),))


@pytest.mark.parametrize("status", [PENDING, MODIFYING])
def test_foreign_entry_that_is_not_at_rest_is_a_conflict_too(status: EntryStatus) -> None:
    assert plan([WEB], entry("fwd-1", "", SAME_OUTSIDE, status)).conflicts


def test_whole_mapped_address_is_a_conflict() -> None:
    whole = entry("fwd-1", "", rule("1/65535", "1/65535", internal_ip="172.16.0.99", protocol=Protocol.ANY))
    assert plan([WEB], whole).conflicts == (Conflict(WEB, whole, Side.EXTERNAL, None),)


def test_rule_waits_for_every_entry_in_its_way() -> None:
    leftover, theirs = of(DEAD, "fwd-1", SAME_INSIDE), entry("fwd-2", "", SAME_OUTSIDE)
    assert plan([WEB], leftover, theirs) == Plan(
        deletes=(leftover,), conflicts=(Conflict(WEB, theirs, Side.EXTERNAL, None),)
    )


def test_own_wanted_entry_in_the_way_of_another_wanted_rule_is_a_conflict() -> None:
    steady = of(ME, "fwd-1", WEB)
    made = make_plan([WEB, SAME_OUTSIDE], table(steady), MINE, OURS, lambda _: False)
    assert made == Plan(working=(steady,), conflicts=(Conflict(SAME_OUTSIDE, steady, Side.EXTERNAL, ME),))


def test_one_blocked_rule_does_not_hold_up_the_others() -> None:
    theirs = entry("fwd-1", "", SAME_OUTSIDE)
    assert plan([WEB, TLS], theirs).creates == (TLS,)


# What is there already


def test_entry_that_works_needs_nothing_more() -> None:
    steady = of(ME, "fwd-1", WEB)
    assert plan([WEB], steady) == Plan(working=(steady,))


@pytest.mark.parametrize("status", [PENDING, MODIFYING])
def test_entry_on_its_way_is_waited_for(status: EntryStatus) -> None:
    coming = of(ME, "fwd-1", WEB, status)
    assert plan([WEB], coming) == Plan(settling=(coming,))


def test_working_entries_are_in_the_order_of_the_rules() -> None:
    web, tls = of(ME, "fwd-2", WEB), of(ME, "fwd-1", TLS)
    assert plan([WEB, TLS], web, tls).working == (web, tls)


def test_entry_no_longer_wanted_is_deleted() -> None:
    web, tls = of(ME, "fwd-1", WEB), of(ME, "fwd-2", TLS)
    assert plan([WEB], web, tls) == Plan(working=(web,), deletes=(tls,))


def test_second_entry_for_the_same_rule_is_deleted() -> None:
    one, two = of(ME, "fwd-1", WEB), of(ME, "fwd-2", WEB)
    assert plan([WEB], one, two) == Plan(working=(one,), deletes=(two,))


def test_release_deletes_everything() -> None:
    web, tls = of(ME, "fwd-1", WEB), of(ME, "fwd-2", TLS)
    assert plan([], web, tls) == Plan(deletes=(web, tls))


@pytest.mark.parametrize("status", [PENDING, MODIFYING])
def test_entry_that_is_not_wanted_is_waited_for_until_it_can_be_deleted(status: EntryStatus) -> None:
    web, tls = of(ME, "fwd-1", WEB), of(ME, "fwd-2", TLS, status)
    assert plan([], web, tls) == Plan(deletes=(web,), settling=(tls,))


@pytest.mark.parametrize("status", [PENDING, MODIFYING])
def test_leftover_in_the_way_is_waited_for_until_it_can_be_deleted(status: EntryStatus) -> None:
    leftover = of(DEAD, "fwd-1", SAME_INSIDE, status)
    assert plan([WEB], leftover) == Plan(settling=(leftover,))


def test_release_waits_for_what_is_on_its_way_out() -> None:
    leaving = of(ME, "fwd-1", WEB, DELETING)
    assert plan([], leaving) == Plan(settling=(leaving,))


def test_entry_of_another_name_is_ours_by_the_id_in_the_status() -> None:
    renamed = entry("fwd-1", "web", WEB)
    assert plan([WEB], renamed, mine=replace(MINE, known_ids=("fwd-1",))) == Plan(working=(renamed,))


def test_id_in_the_status_that_the_table_does_not_have_means_nothing() -> None:
    assert plan([WEB], mine=replace(MINE, known_ids=("fwd-9",))) == Plan(creates=(WEB,))


@pytest.mark.parametrize(
    ("made", "at_rest"),
    [
        (Plan(), True),
        (Plan(working=(entry(),)), True),
        (Plan(settling=(entry(),)), False),
        (Plan(creates=(WEB,)), False),
        (Plan(deletes=(entry(),)), False),
        (Plan(conflicts=(Conflict(WEB, entry(), Side.EXTERNAL, None),)), False),
    ],
    ids=["empty", "working", "settling", "creates", "deletes", "conflicts"],
)
def test_plan_is_at_rest_when_nothing_is_left_to_do_or_to_wait_for(made: Plan, at_rest: bool) -> None:  # noqa: FBT001
    assert made.at_rest is at_rest


# Whatever the table


class Gateway:
    """A gateway that does at once what a plan says, and refuses what the API refuses."""

    def __init__(self, entries: Iterable[ForwardEntry]) -> None:
        self.entries = {each.entry_id: each for each in entries}
        self._created = 0

    def table(self) -> Table:
        return table(*self.entries.values())

    def apply(self, made: Plan) -> None:
        for each in made.deletes:
            del self.entries[each.entry_id]
        for wanted in made.creates:
            for other in self.entries.values():
                assert not wanted.clashes_outside(other.rule)
                assert not wanted.clashes_inside(other.rule)
            self._created += 1
            entry_id = f"fwd-new-{self._created}"
            self.entries[entry_id] = entry(entry_id, MINE.name, wanted)

    def settle(self) -> None:
        there = [each for each in self.entries.values() if each.status is not DELETING]
        self.entries = {each.entry_id: replace(each, status=AVAILABLE) for each in there}


def _apart(many: Iterable[ForwardRule]) -> list[ForwardRule]:
    """Keep those that the API takes side by side."""
    kept: list[ForwardRule] = []
    for each in many:
        if not any(each.clashes_outside(other) or each.clashes_inside(other) for other in kept):
            kept.append(each)
    return kept


names = st.sampled_from([MINE.name, OURS.name_of(LIVING), OURS.name_of(DEAD), NOT_OURS, "", "web"])
some_rules = rules(highest=4)
many_rules = st.lists(some_rules, max_size=6).map(_apart)
desires = st.lists(rules(highest=4, protocols=[Protocol.TCP, Protocol.UDP]), max_size=4).map(_apart)


@st.composite
def tables(draw: st.DrawFn) -> list[ForwardEntry]:
    """Tables that a gateway can have, with everybody's entries in every state."""
    return [
        entry(f"fwd-{number}", draw(names), each, draw(st.sampled_from(EntryStatus)))
        for number, each in enumerate(draw(many_rules))
    ]


@given(desires, tables())
def test_plan_applied_until_it_is_empty_soon_is(desired: list[ForwardRule], entries: list[ForwardEntry]) -> None:
    gateway = Gateway(entries)
    gateway.settle()
    for _ in range(2):  # What is in the way goes first.
        gateway.apply(plan(desired, *gateway.entries.values()))
    last = plan(desired, *gateway.entries.values())
    assert not last.writes
    assert not last.settling


@given(desires, tables())
def test_what_is_not_working_in_the_end_is_a_conflict(desired: list[ForwardRule], entries: list[ForwardEntry]) -> None:
    gateway = Gateway(entries)
    gateway.settle()
    for _ in range(2):
        gateway.apply(plan(desired, *gateway.entries.values()))
    last = plan(desired, *gateway.entries.values())
    working = {each.rule for each in last.working}
    blocked = {conflict.rule for conflict in last.conflicts}
    assert working | blocked == set(desired)
    assert not working & blocked


@given(desires, tables())
def test_creates_are_such_as_the_gateway_takes(desired: list[ForwardRule], entries: list[ForwardEntry]) -> None:
    made = plan(desired, *entries)
    Gateway(entries).apply(replace(made, deletes=()))


@given(desires, tables(), st.sets(st.sampled_from(["fwd-0", "fwd-1", "fwd-2"])))
def test_only_own_entries_and_leftovers_are_ever_deleted(
    desired: list[ForwardRule], entries: list[ForwardEntry], known: set[str]
) -> None:
    for each in plan(desired, *entries, mine=replace(MINE, known_ids=known)).deletes:
        assert each.name in (MINE.name, OURS.name_of(DEAD)) or each.entry_id in known


@given(desires, tables())
def test_leftovers_are_deleted_only_where_they_are_in_the_way(
    desired: list[ForwardRule], entries: list[ForwardEntry]
) -> None:
    for each in plan(desired, *entries).deletes:
        assert each.name == MINE.name or any(
            wanted.clashes_outside(each.rule) or wanted.clashes_inside(each.rule) for wanted in desired
        )


@given(desires, tables())
def test_entry_on_its_way_out_is_never_deleted_again(desired: list[ForwardRule], entries: list[ForwardEntry]) -> None:
    assert DELETING not in {each.status for each in plan(desired, *entries).deletes}


@given(desires, tables())
def test_planning_changes_nothing(desired: list[ForwardRule], entries: list[ForwardEntry]) -> None:
    given_table, wanted = table(*entries), list(desired)
    make_plan(wanted, given_table, MINE, OURS, {ME, LIVING}.__contains__)
    assert list(given_table) == entries
    assert wanted == desired


@given(desires, tables(), st.randoms(use_true_random=False))
def test_plan_does_not_depend_on_the_order_in_which_the_table_was_learned(
    desired: list[ForwardRule], entries: list[ForwardEntry], random: Random
) -> None:
    shuffled = list(entries)
    random.shuffle(shuffled)
    assert plan(desired, *shuffled) == plan(desired, *entries)


@given(desires, tables())
def test_only_what_is_available_is_ever_deleted(desired: list[ForwardRule], entries: list[ForwardEntry]) -> None:
    assert {each.status for each in plan(desired, *entries).deletes} <= {AVAILABLE}


@given(tables())
def test_release_leaves_nothing_of_ours(entries: list[ForwardEntry]) -> None:
    gateway = Gateway(entries)
    gateway.settle()
    gateway.apply(plan([], *gateway.entries.values()))
    gateway.settle()
    assert MINE.name not in {each.name for each in gateway.entries.values()}
