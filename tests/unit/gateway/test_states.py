"""The states of an entry: each read that may be made for one resolves it, or is made again later, and not too often."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from poddnat.cloud import Meaning, Scope
from poddnat.gateway import Done
from poddnat.gateway.reconciler import Create, Find, Kind, ReadPage, states
from poddnat.gateway.reconciler.states import STEPS, EntryState, Evidence
from poddnat.model import EntryStatus, ForwardEntry, Ports
from tests.unit.gateway.fake_table import FOREIGN, OWNERSHIP, Desk, entry, failure, foreign_rows, own, rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from poddnat.gateway.reconciler import Delete
    from poddnat.gateway.reconciler.desired import Item

SIZES = (0, 1, 49, 50, 51, 100, 101, 5000)
READ = [state for state in EntryState if STEPS[state].evidence]
MOST_READS_AN_HOUR = 400

# The table in the docstring.


def documented() -> dict[str, list[str]]:
    """Read the table of the module's docstring: by the state, what is written in its columns."""
    assert states.__doc__ is not None
    border, *_ = [line for line in states.__doc__.splitlines() if line.startswith("====")]
    columns = [match.span() for match in re.finditer("=+", border)]
    table = states.__doc__.split(border)[2]
    rows: dict[str, list[str]] = {}
    for line in table.strip("\n").splitlines():
        cells = [line[first : None if n == len(columns) - 1 else last] for n, (first, last) in enumerate(columns)]
        if cells[0].strip():
            current = rows[cells[0].strip()] = [""] * len(columns)
        for number, cell in enumerate(cells):
            current[number] = f"{current[number]} {cell.strip()}".strip()
    return rows


def test_each_state_has_its_row_in_the_table_and_its_step() -> None:
    assert set(documented()) == {state.name for state in EntryState}
    assert set(STEPS) == set(EntryState)


@pytest.mark.parametrize("state", EntryState, ids=lambda state: state.name)
def test_row_of_the_table_says_what_is_written_next(state: EntryState) -> None:
    written = {"create": Kind.CREATE, "delete": Kind.DELETE, "nothing": None}
    assert written[documented()[state.name][2]] is STEPS[state].write


@pytest.mark.parametrize("state", EntryState, ids=lambda state: state.name)
def test_row_of_the_table_names_the_evidence_that_is_asked_for(state: EntryState) -> None:
    text = documented()[state.name][3]
    words = {Evidence.BY_ID: "by id", Evidence.BY_NAME: "by name", Evidence.BY_SIDES: "by both sides"}
    for evidence, word in words.items():
        assert (word in text) == (evidence in STEPS[state].evidence)


@pytest.mark.parametrize("state", EntryState, ids=lambda state: state.name)
def test_row_of_the_table_names_only_states_that_there_are(state: EntryState) -> None:
    named = set(re.findall(r"\b[A-Z]{4,}\b", " ".join(documented()[state.name])))
    assert named <= {other.name for other in EntryState}


@pytest.mark.parametrize("state", EntryState, ids=lambda state: state.name)
def test_nothing_is_both_written_and_read_in_a_state(state: EntryState) -> None:
    assert not (STEPS[state].write and STEPS[state].evidence)


# Every state that asks, whatever the read shows.


def others_of(number: int, *, first: int = 100) -> list[ForwardEntry]:
    return [entry(first + n, status="Pending") for n in range(number)]


def in_state(state: EntryState, rows: int, *, beside: int = 0, by_name: bool = False) -> Desk:
    """Bring the first PodDNAT's entry into a state, in a table of mostly somebody else's rows."""
    held = entry(1, name=FOREIGN) if state is EntryState.CONFLICT else entry(1)
    has_one = state in {EntryState.DELETING, EntryState.CONFLICT}
    desk = Desk(*foreign_rows(rows), *([held] if has_one else []), *others_of(beside)).load()
    if by_name:
        desk.gates.refresh = 0.0
        desk.reconciler.resync(desk.now)
    for number in range(100, 100 + beside):
        desk.reconciler.set_desired(own(number), (rule(number),), desk.now)
    release = state in {EntryState.GONE, EntryState.DELETING}
    desk.reconciler.set_desired(own(), () if release else (rule(1),), desk.now, release=release)
    if by_name:
        return desk
    match state:
        case EntryState.UNVERIFIED:
            desk.refuse(desk.next_create(), failure(Meaning.UNKNOWN))
        case EntryState.PENDING:
            desk.accept(desk.next_create())
        case EntryState.SURPLUS:
            desk.accept(desk.next_create())
            desk.reconciler.set_desired(own(), (), desk.now, release=True)
        case EntryState.DELETING:
            desk.accept(desk.next_write())
    assert [item.state for item in desk.items()] == [state]
    return desk


def on_the_rule(desk: Desk) -> list[ForwardEntry]:
    return [row for row in desk.rows.values() if row.rule.clashes_outside(rule(1)) or row.name == own().name]


def changed(desk: Desk) -> None:
    there = on_the_rule(desk)
    for row in there:
        desk.set_status(row.entry_id, EntryStatus.AVAILABLE)
    if not there:
        desk.rows["fwd-1"] = entry(1)


def gone(desk: Desk) -> None:
    for row in on_the_rule(desk):
        del desk.rows[row.entry_id]


def elses(desk: Desk) -> None:
    gone(desk)
    desk.rows["fwd-else"] = entry(1, name=FOREIGN, entry_id="fwd-else")


def hidden(desk: Desk) -> None:
    """Let a range be in the way that no filter by equal ports finds."""
    gone(desk)
    wide = replace(
        entry(1, name=FOREIGN, entry_id="fwd-wide"),
        rule=rule(1)._replace(
            external_ports=Ports.of(1000, 1010), internal_ports=Ports.of(80, 90), internal_ip="10.9.9.9"
        ),
    )
    desk.rows["fwd-wide"] = wide


def leftover(desk: Desk) -> None:
    gone(desk)
    desk.rows["fwd-dead"] = entry(1, name=OWNERSHIP.name_of("uid-dead"), entry_id="fwd-dead", status="Pending")


SHOWN: dict[str, Callable[[Desk], None]] = {
    "unchanged": lambda _: None,
    "changed": changed,
    "gone": gone,
    "somebody else's": elses,
    "somebody's range": hidden,
    "a leftover": leftover,
}


def asks_for(desk: Desk, item: Item) -> bool:
    return any(one.uid == "uid-1" and one.key == item.key for one in desk.reconciler.reads._asked)


def read_for(desk: Desk) -> tuple[Item, Find | ReadPage]:
    """Go on until a read is chosen that asks for the first PodDNAT's item."""
    for _ in range(300):
        call = desk.next_call()
        if isinstance(call, Find | ReadPage):
            found = [item for item in desk.items() if asks_for(desk, item)]
            if found:
                return found[0], call
            desk.answer(call)
    raise AssertionError("never asked for")


@pytest.mark.parametrize("beside", [0, 12], ids=["alone", "beside others that are Pending"])
@pytest.mark.parametrize("shows", SHOWN)
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("state", READ, ids=lambda state: state.name)
def test_read_resolves_a_state_or_is_made_again_later(state: EntryState, rows: int, shows: str, beside: int) -> None:
    desk = in_state(state, rows, beside=beside)
    item, call = read_for(desk)
    SHOWN[shows](desk)
    desk.answer(call)
    if "uid-1" not in desk.reconciler._state.desired:
        return
    again = [one for one in desk.items() if one.key == item.key and one.state is item.state]
    poll = desk.desired().polls.get(item.key)
    assert not again or (poll is not None and poll.at > desk.now)


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("shows", SHOWN)
def test_look_by_name_resolves_what_another_writer_may_have_done(shows: str, rows: int) -> None:
    desk = in_state(EntryState.UNVERIFIED, rows, by_name=True)
    desk.gates.refresh = float("inf")
    if "uid-1" in desk.reconciler._state.desired and desk.desired().unverified:
        SHOWN[shows](desk)
        desk.run(1.0, write=lambda _: None)
    assert not desk.desired().unverified


def refused(desk: Desk) -> Callable[[Create | Delete], None]:
    """Let no write come to anything, as long as the world does not change."""

    def write(call: Create | Delete) -> None:
        if isinstance(call, Create):
            desk.refuse(call, failure(Meaning.TAKEN, scope=Scope.ENTRY))
        else:
            desk.refuse(call, failure(Meaning.BUSY, scope=Scope.ENTRY))

    return write


@pytest.mark.parametrize("shows", SHOWN)
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("state", READ, ids=lambda state: state.name)
def test_reads_for_one_stuck_entry_are_few_in_an_hour(state: EntryState, rows: int, shows: str) -> None:
    desk = in_state(state, rows)
    SHOWN[shows](desk)
    desk.calls.clear()
    desk.run(3600.0, write=refused(desk))
    assert desk.calls["read"] <= MOST_READS_AN_HOUR
    assert desk.calls["write"] <= MOST_READS_AN_HOUR


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("state", READ, ids=lambda state: state.name)
def test_state_that_a_read_can_end_ends_once_the_world_moves_on(state: EntryState, rows: int) -> None:
    desk = in_state(state, rows)
    desk.run(60.0, write=refused(desk))
    if state is EntryState.CONFLICT:
        gone(desk)
    desk.settle()
    wanted, release = desk.desired().rules, desk.desired().release
    for _ in range(120):
        if isinstance(desk.reconciler.set_desired(own(), wanted, desk.now, release=release), Done):
            break
        desk.run(1.0)
    assert "uid-1" not in desk.reconciler._state.desired


def test_states_without_evidence_wait_for_a_write_or_for_nothing() -> None:
    desk = Desk(*foreign_rows(60)).load()
    desk.reconciler.set_desired(own(), (rule(1),), desk.now)
    assert [item.state for item in desk.items()] == [EntryState.ABSENT]
    assert desk.reconciler._state.queue.uids(Kind.CREATE) == ["uid-1"]
    call = desk.next_create()
    assert [item.state for item in desk.items()] == [EntryState.CREATING]
    entry_id = desk.accept(call)
    desk.set_status(entry_id, EntryStatus.AVAILABLE)
    desk.run(30.0)
    assert [item.state for item in desk.items()] == [EntryState.WORKING]
    desk.reconciler.set_desired(own(), (), desk.now)
    assert [item.state for item in desk.items()] == [EntryState.OBSOLETE]
    assert desk.reconciler._state.queue.uids(Kind.DELETE) == ["uid-1"]
