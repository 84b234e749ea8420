"""What is done on a gateway, and when: against a table that answers at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from poddnat.cloud import EntryFilter, Meaning, Scope
from poddnat.gateway import Blocked, Done, Waiting
from poddnat.gateway.intervals import REFRESH, STUCK_AFTER
from poddnat.gateway.problems import quota_exceeded
from poddnat.gateway.reconciler import Create, Delete, Find, Kind, ReadPage
from poddnat.gateway.reconciler.state import GatewayState
from poddnat.gateway.reconciler.states import EntryState
from poddnat.model import EntryStatus, ForwardEntry, Ports
from tests.unit.gateway.fake_table import FOREIGN, OWNERSHIP, Desk, entry, failure, foreign_rows, own, rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from poddnat.cloud import CloudError
    from poddnat.gateway import Progress
    from poddnat.gateway.reconciler.desired import DesiredState

MANY = 4000
TAKEN = failure(Meaning.TAKEN, "OperationUnsupported.ForwardEntry", Scope.ENTRY)
ENTRY_BUSY = failure(Meaning.BUSY, "LastTokenProcessing", Scope.ENTRY)
GATEWAY_BUSY = failure(Meaning.BUSY, "IncorretForwardEntryStatus", Scope.GATEWAY)
BINDING = failure(Meaning.BUSY, "OperationUnsupported.EipInBinding", Scope.ADDRESS)
DENIED = failure(Meaning.DENIED, "Forbidden.RAM", Scope.ACCOUNT)
MODIFYING = failure(Meaning.UNUSABLE, "Invalid.natgwNotExist", Scope.GATEWAY)
FULL = failure(Meaning.FULL, "QuotaExceeded", Scope.GATEWAY)
GONE = failure(Meaning.GONE, "InvalidForwardEntryId.NotFound", Scope.ENTRY)
MISTAKE = failure(Meaning.WRONG, "InvalidInternalIp.Malformed", Scope.ENTRY)
LEFT = failure(Meaning.ADDRESS, "InvalidIp.NotInNatgw", Scope.ADDRESS)


def desire(desk: Desk, number: int = 1, *ports: int, external_ip: str = "203.0.113.1") -> Progress:
    rules = tuple(
        rule(number, external_ip=external_ip, port=port)._replace(internal_ports=Ports.of(port)) for port in ports
    )
    return desk.reconciler.set_desired(own(number), rules or (rule(number, external_ip=external_ip),), desk.now)


def release(desk: Desk, number: int = 1) -> Progress:
    return desk.reconciler.set_desired(own(number), (), desk.now, release=True)


def run_until(desk: Desk, asked: Callable[[], Progress], *, within: float) -> None:
    """Let hooks ask each second until something is done."""
    end = desk.now + within
    while not isinstance(asked(), Done):
        assert desk.now < end, "it takes too long"
        desk.run(1.0)


def send_all(desk: Desk) -> list[Create | Delete]:
    """Take all writes that may be sent at this moment."""
    sent = []
    while (call := desk.next()[0]) is not None:
        if isinstance(call, Create | Delete):
            sent.append(call)
        else:
            desk.answer(call)
    return sent


# At rest


def test_nothing_is_called_at_rest_until_the_next_refresh() -> None:
    desk = Desk(entry(1)).load()
    desk.gates.refresh = 0.0
    assert isinstance(desire(desk), Done)
    call, wait = desk.next()
    assert call is None
    assert wait == pytest.approx(REFRESH, abs=1.0)


def test_refresh_waits_for_the_read_budget() -> None:
    desk = Desk(entry(1)).load()
    desk.now += 2 * REFRESH
    desk.gates.refresh = 7.0
    call, wait = desk.next()
    assert call is None
    assert wait == pytest.approx(7.0)
    desk.gates.refresh = 0.0
    assert desk.next()[0] == ReadPage(1, listing=True, refresh=True)


def test_poddnat_that_has_what_it_should_is_known_without_desiring_anything() -> None:
    desk = Desk(entry(1))
    assert desk.reconciler.working(own(), (rule(1),)) is None
    desk.load()
    assert desk.reconciler.working(own(), (rule(1),)) == Done((entry(1),))
    assert desk.reconciler.working(own(2), (rule(2),)) is None
    assert not desk.reconciler.is_busy_with("uid-1")


# Creating and deleting


def test_poddnat_released_while_its_create_is_queued_is_never_created() -> None:
    desk = Desk().load()
    desire(desk)
    release(desk)
    desk.run(60.0)
    assert desk.calls["write"] == 0
    assert not len(desk.reconciler._state.queue)


def test_poddnat_released_while_its_create_is_under_way_leaves_nothing() -> None:
    desk = Desk().load()
    desire(desk)
    call = desk.next_create()
    release(desk)
    desk.accept(call)
    desk.settle()
    run_until(desk, lambda: release(desk), within=10.0)
    assert not desk.rows


def test_release_is_done_only_after_a_later_look_shows_nothing() -> None:
    desk = Desk().load()
    assert isinstance(release(desk), Waiting)
    desk.answer(desk.next_call())
    assert isinstance(release(desk), Done)


@pytest.mark.parametrize("rows", [0, 60, 120, 5000])
def test_release_is_not_done_while_a_look_by_name_shows_one(rows: int) -> None:
    desk = Desk(*foreign_rows(rows)).load()
    desk.rows["fwd-late"] = entry(1, entry_id="fwd-late")
    assert isinstance(release(desk), Waiting)
    desk.answer(desk.next_call())
    assert isinstance(release(desk), Waiting)
    run_until(desk, lambda: release(desk), within=10.0)
    assert "fwd-late" not in desk.rows


def test_lost_create_answer_is_read_up_before_anything_is_sent_again() -> None:
    desk = Desk(*foreign_rows(60)).load()
    desire(desk)
    desk.refuse(desk.next_create(), failure(Meaning.UNKNOWN))
    again = desk.next_call()
    assert again == Find(
        (
            EntryFilter(external_ip="203.0.113.1", external_port="1001"),
            EntryFilter(internal_ip="172.16.0.1", internal_port="80"),
        )
    )


@pytest.mark.parametrize("rows", [0, 60])
def test_entry_found_after_a_lost_answer_is_taken_for_done(rows: int) -> None:
    desk = Desk(*foreign_rows(rows)).load()
    desire(desk)
    desk.refuse(desk.next_create(), failure(Meaning.UNKNOWN))
    desk.rows["fwd-1"] = entry(1)
    desk.run(5.0)
    assert isinstance(desire(desk), Done)
    assert desk.calls["write"] == 0


@pytest.mark.parametrize("rows", [0, 60])
def test_create_not_found_after_a_lost_answer_is_sent_again_with_the_same_token(rows: int) -> None:
    desk = Desk(*foreign_rows(rows)).load()
    desire(desk)
    first = desk.next_create()
    desk.refuse(first, failure(Meaning.UNKNOWN))
    assert desk.next_write() == first


@pytest.mark.parametrize("rows", [0, 60])
def test_token_used_for_something_else_is_given_up_after_a_read(rows: int) -> None:
    desk = Desk(*foreign_rows(rows)).load()
    desire(desk)
    first = desk.next_create()
    desk.refuse(first, failure(Meaning.TOKEN_MISMATCH, "IdempotentParameterMismatch", Scope.ENTRY))
    between = desk.next_call()
    assert isinstance(between, Find | ReadPage)
    desk.answer(between)
    second = desk.next_create()
    assert second.rule == first.rule
    assert second.token != first.token


def test_lost_delete_answer_is_read_up() -> None:
    desk = Desk(entry(1), *foreign_rows(60)).load()
    release(desk)
    call = desk.next_write()
    desk.refuse(call, failure(Meaning.UNKNOWN))
    del desk.rows["fwd-1"]
    desk.run(5.0)
    assert isinstance(release(desk), Done)
    assert desk.calls["write"] == 0


def test_entry_that_went_while_it_was_to_be_deleted_is_deleted() -> None:
    desk = Desk(entry(1), *foreign_rows(60)).load()
    release(desk)
    call = desk.next_write()
    del desk.rows["fwd-1"]
    desk.refuse(call, GONE)
    run_until(desk, lambda: release(desk), within=10.0)


def test_leftover_of_a_dead_pod_with_this_ip_is_deleted_before_the_create() -> None:
    stale = entry(1, name=OWNERSHIP.name_of("uid-dead"), entry_id="fwd-9")
    desk = Desk(stale, alive=lambda uid: uid != "uid-dead").load()
    desire(desk)
    call = desk.next_write()
    assert isinstance(call, Delete)
    assert (call.entry.entry_id, call.leftover_of) == ("fwd-9", "uid-dead")
    desk.accept(call)
    desk.settle()
    assert desk.next_create().rule == rule(1)


def test_leftover_whose_poddnat_lives_after_all_is_tried_ever_more_rarely() -> None:
    stale = entry(1, name=OWNERSHIP.name_of("uid-dead"), entry_id="fwd-9")
    desk = Desk(stale, alive=lambda uid: uid != "uid-dead").load()
    desire(desk)
    vetoed: list[float] = []

    def veto(call: Create | Delete) -> None:
        assert isinstance(call, Delete)
        vetoed.append(desk.now)
        desk.reconciler.writes.vetoed(call, desk.now)

    desk.run(3600.0, write=veto)
    assert "fwd-9" in desk.rows
    assert 100 <= len(vetoed) <= 200
    assert desk.reconciler._state.concurrency.in_flight == 0


def test_edited_rule_under_our_name_is_replaced() -> None:
    desk = Desk(entry(2, name=OWNERSHIP.name_of("uid-1"))).load()
    desire(desk)
    run_until(desk, lambda: desire(desk), within=30.0)
    assert [(row.rule, row.name) for row in desk.rows.values()] == [(rule(1), own().name)]


def test_gate_of_one_kind_of_writes_does_not_stop_the_other() -> None:
    desk = Desk(entry(1)).load()
    release(desk, 1)
    desire(desk, 2)
    desk.gates.waits[Kind.CREATE] = 30.0
    assert isinstance(desk.next_write(), Delete)


# What is in the way


def test_foreign_entry_in_the_way_of_other_rules_too_is_told_as_soon() -> None:
    desk = Desk(entry(1, name=FOREIGN), *foreign_rows(60)).load()
    desire(desk)
    desk.run(1.0)
    assert isinstance(desire(desk), Blocked)
    desire(desk, 1, 1001)
    desk.run(1.0)
    assert isinstance(desire(desk, 1, 1001), Blocked)


def test_foreign_entry_on_the_port_blocks_and_is_not_touched() -> None:
    desk = Desk(entry(1, name=FOREIGN)).load()
    assert isinstance(desire(desk), Waiting)
    desk.answer(desk.next_call())  # whether it is still there
    blocked = desire(desk)
    assert isinstance(blocked, Blocked)
    assert "is mapped for somebody else by entry fwd-1" in blocked.problem.message
    desk.run(300.0)
    assert desk.calls["write"] == 0


@pytest.mark.parametrize("rows", [0, 60])
def test_foreign_entry_on_the_port_that_has_gone_meanwhile_blocks_nobody(rows: int) -> None:
    desk = Desk(entry(1, name=FOREIGN), *foreign_rows(rows)).load()
    desire(desk)
    del desk.rows["fwd-1"]
    desk.answer(desk.next_call())
    assert isinstance(desk.next()[0], Create)


@pytest.mark.parametrize("rows", [0, 60])
def test_conflict_ends_soon_after_the_foreign_entry_has_gone(rows: int) -> None:
    desk = Desk(entry(1, name=FOREIGN), *foreign_rows(rows)).load()
    desire(desk)
    desk.run(100.0)
    del desk.rows["fwd-1"]
    run_until(desk, lambda: desire(desk), within=40.0)


# The quota


def test_full_table_blocks_with_the_reason_and_is_tried_again_when_an_entry_has_gone() -> None:
    desk = Desk(entry(2)).load()
    desire(desk)
    desk.refuse(desk.next_create(), FULL)
    blocked = desire(desk)
    assert isinstance(blocked, Blocked)
    assert blocked.problem.reason == "QuotaExceeded"
    desk.reconciler.table.remove("fwd-2")
    assert isinstance(desk.next()[0], Create)


def generous(desk: Desk) -> Desk:
    """Let a reconciler believe that its gateway bears many writes at once."""
    desk.reconciler._state.concurrency.limit = 8
    return desk


def test_room_that_appears_goes_to_those_who_have_waited_longest() -> None:
    desk = generous(Desk(entry(9), entry(8)).load())
    for number in (1, 2, 3):
        desk.now += 1.0
        desire(desk, number)
    sent = send_all(desk)
    assert len(sent) > 1
    for refused in sent:
        desk.refuse(refused, FULL)
    desk.reconciler.table.remove("fwd-9")
    desk.now += 100.0
    assert [call.uid for call in send_all(desk)] == ["uid-1"]


def test_no_more_creates_are_sent_at_once_than_a_limited_table_has_room_for() -> None:
    desk = generous(Desk(entry(9)).load())
    desk.reconciler._state.quota.limit = 3
    for number in (1, 2, 3):
        desire(desk, number)
    first, second = send_all(desk)
    assert (first.uid, second.uid) == ("uid-1", "uid-2")
    desk.accept(first)
    desk.accept(second)
    desk.settle()
    desk.now += 100.0
    assert send_all(desk) == []
    assert desk.reconciler._state.quota.is_full(len(desk.reconciler.table), desk.now)
    desk.reconciler.table.remove("fwd-9")
    desk.now += 0.1
    assert [call.uid for call in send_all(desk)] == ["uid-3"]


def test_full_table_tells_how_many_wait_for_how_much() -> None:
    desk = Desk().load()
    desk.reconciler._state.quota.limit = 0
    desire(desk, 1, 501, 502)
    blocked = desire(desk, 3)
    assert isinstance(blocked, Blocked)
    assert blocked.problem.message.startswith("NAT gateway ngw-1 has reached its quota of 0 forward entries")
    assert blocked.problem.details == "2 pods wait for 3 more entries there."


def test_numbers_that_are_told_change_seldom_while_many_wait() -> None:
    told = {quota_exceeded("ngw-1", 100, pods, 2 * pods).details for pods in range(11, 1000)}
    assert "up to 20 pods wait for up to 50 more entries there." in told
    assert len(told) <= 12


def test_quota_is_told_once_met_and_no_longer_when_it_was_raised() -> None:
    desk = Desk(entry(2)).load()
    desire(desk)
    assert desk.reconciler.stats(desk.now).quota is None
    desk.refuse(desk.next_create(), FULL)
    stats = desk.reconciler.stats(desk.now)
    assert (stats.quota, stats.entries) == (1, 1)
    desk.now += 70.0
    desk.accept(desk.next_create())
    assert desk.reconciler.stats(desk.now).quota is None


# What is told


def test_refused_content_is_told_and_not_sent_again_at_once() -> None:
    desk = Desk().load()
    desire(desk)
    desk.refuse(desk.next_create(), MISTAKE)
    blocked = desire(desk)
    assert isinstance(blocked, Blocked)
    assert "InvalidInternalIp.Malformed" in blocked.problem.message
    desk.run(30.0)
    assert desk.calls["write"] == 0


def test_stats_tell_who_waits_since_when_and_what_is_under_way() -> None:
    desk = Desk(entry(1), entry(2)).load()
    desk.now = 5.0
    release(desk, 1)
    for number in (3, 4):
        desk.now = float(number)
        desire(desk, number)
    desk.now = 10.0
    call = desk.next_create()
    stats = desk.reconciler.stats(10.0)
    assert stats.waiting == {Kind.CREATE: 1, Kind.DELETE: 1}
    assert stats.oldest_seconds == {Kind.CREATE: 6.0, Kind.DELETE: 5.0}
    assert (stats.in_flight, stats.unsettled, stats.limit, stats.watching) == (1, 0, 1, 1)
    desk.accept(call)
    stats = desk.reconciler.stats(10.1)
    assert (stats.in_flight, stats.unsettled) == (0, 1)


def test_entry_that_is_stuck_says_so_within_two_minutes() -> None:
    desk = Desk().load()
    desire(desk)
    desk.accept(desk.next_create())
    desk.run(STUCK_AFTER + 5.0)
    blocked = desire(desk)
    assert isinstance(blocked, Blocked)
    assert "has been Pending for 90 seconds or more" in blocked.problem.message


@pytest.mark.parametrize("error", [ENTRY_BUSY, BINDING, GATEWAY_BUSY], ids=lambda error: str(error.scope.value))
def test_write_that_stays_refused_says_so_within_two_minutes(error: CloudError) -> None:
    desk = Desk().load()
    desire(desk)
    desk.run(120.0, write=lambda call: desk.refuse(call, error))
    assert isinstance(desire(desk), Blocked)


# Listings


def unclaimed(desk: Desk) -> list[str]:
    return desk.reconciler.unclaimed() if desk.reconciler.reads.take_listed() else []


def list_again(desk: Desk, *, between: Callable[[], None] = lambda: None) -> None:
    """Have the whole table listed; something happens after each page."""
    desk.reconciler.invalidate()
    while True:
        call = desk.next_call(may_write=False)
        desk.answer(call)
        if isinstance(call, ReadPage) and call.listing and desk.reconciler._state.poller._listing is None:
            return
        between()


def test_entries_of_a_poddnat_that_is_gone_are_named_after_each_listing() -> None:
    desk = Desk(entry(1), alive=lambda _: False)
    desk.answer(desk.next_call())
    assert unclaimed(desk) == ["uid-1"]
    assert unclaimed(desk) == []


def test_entries_that_are_not_ours_are_never_named() -> None:
    desk = Desk(entry(1, name=FOREIGN), alive=lambda _: False)
    desk.answer(desk.next_call())
    assert unclaimed(desk) == []


def test_entries_of_a_poddnat_that_is_being_released_are_not_named() -> None:
    desk = Desk(entry(1), alive=lambda _: False)
    release(desk)
    desk.answer(desk.next_call())
    assert unclaimed(desk) == []


def test_row_that_slips_between_two_pages_is_still_there() -> None:
    desk = Desk(*foreign_rows(60), entry(1), *(replace(row, entry_id=f"{row.entry_id}-b") for row in foreign_rows(60)))
    desk.load()

    def slip() -> None:
        desk.rows.pop("fwd-f00000", None)
        desk.rows.setdefault("fwd-new", foreign_rows(1)[0])
        row = desk.rows.pop("fwd-1")
        desk.rows = {"fwd-1": row, **desk.rows}

    moved = False

    def once() -> None:
        nonlocal moved
        if not moved:
            slip()
        moved = True

    list_again(desk, between=once)
    assert desk.reconciler.table.get("fwd-1") is not None
    assert isinstance(desire(desk), Done)


def test_row_of_ours_that_a_long_listing_did_not_show_is_asked_for_by_its_id() -> None:
    desk = Desk(*foreign_rows(60), entry(1)).load()
    del desk.rows["fwd-1"]
    list_again(desk)
    assert desk.reconciler.table.get("fwd-1") is not None
    assert not desk.reconciler.reads.take_listed()
    call = desk.next_call()
    assert call == Find((EntryFilter(entry_id="fwd-1"),))
    desk.answer(call)
    assert desk.reconciler.table.get("fwd-1") is None
    assert desk.reconciler.reads.take_listed()


def test_foreign_row_is_believed_to_have_gone_after_two_long_listings() -> None:
    desk = Desk(*foreign_rows(60), entry(1, name=FOREIGN)).load()
    del desk.rows["fwd-1"]
    list_again(desk)
    assert desk.reconciler.table.get("fwd-1") is not None
    list_again(desk)
    assert desk.reconciler.table.get("fwd-1") is None


def test_listing_of_one_page_proves_what_has_gone() -> None:
    desk = Desk(entry(1), entry(2, name=FOREIGN)).load()
    desk.rows.clear()
    list_again(desk)
    assert len(desk.reconciler.table) == 0


@pytest.mark.parametrize("rows", [0, 60], ids=["one page", "two pages"])
def test_listing_that_began_before_a_takeover_does_not_stand_for_the_one_after(rows: int) -> None:
    desk = Desk(*foreign_rows(rows)).load()
    desk.now += 2 * REFRESH
    desk.gates.refresh = 0.0
    under_way = desk.next_call()
    since, started_at = desk.reconciler.table.now(), desk.now
    page = desk.page(1)
    desk.now += 0.1
    desk.rows["fwd-1"] = entry(1)  # The other writer's last deed.
    desk.reconciler.resync(desk.now)
    assert isinstance(under_way, ReadPage)
    desk.reconciler.reads.page_read(under_way, page, since=since, started_at=started_at, now=desk.now)
    desk.reconciler.reads.ended(desk.now)
    desk.run(10.0)
    assert desk.reconciler.reads.current
    assert desk.reconciler.table.get("fwd-1") is not None


def test_takeover_during_a_long_listing_begins_it_with_the_first_page() -> None:
    desk = Desk(*foreign_rows(120)).load()
    desk.now += 2 * REFRESH
    desk.gates.refresh = 0.0
    desk.answer(desk.next_call())
    under_way = desk.next_call()
    assert under_way == ReadPage(2, listing=True, refresh=True)
    since, started_at = desk.reconciler.table.now(), desk.now
    page = desk.page(2)
    desk.reconciler.resync(desk.now)
    assert isinstance(under_way, ReadPage)
    desk.reconciler.reads.page_read(under_way, page, since=since, started_at=started_at, now=desk.now)
    desk.reconciler.reads.ended(desk.now)
    following = desk.next_call()
    assert isinstance(following, ReadPage)
    assert following.page == 1


def test_takeover_during_the_first_listing_lets_it_go_on_whatever_the_budget() -> None:
    desk = Desk(*foreign_rows(5000))
    for page in range(1, 11):
        call = desk.next_call()
        assert call == ReadPage(page, listing=True)
        desk.answer(call)
    desk.reconciler.resync(desk.now)
    assert desk.next_call(limit=1.0) == ReadPage(11, listing=True)
    desk.reconciler.reads.failed(failure(Meaning.THROTTLED, "Throttling"), desk.now)
    desk.run(10.0)
    assert desk.reconciler.loaded


@pytest.mark.parametrize("rows", [0, 60], ids=["one page", "two pages"])
def test_doubt_that_arises_during_a_listing_is_answered_by_a_later_one(rows: int) -> None:
    desk = Desk(*foreign_rows(rows)).load()
    desk.now += 2 * REFRESH
    desk.gates.refresh = 0.0
    under_way = desk.next_call()

    def come() -> None:
        desk.rows = {"fwd-1": entry(1), **desk.rows}
        desk.reconciler.invalidate()

    desk.answer(under_way, change=come)
    desk.run(10.0)
    assert desk.reconciler.table.get("fwd-1") is not None


def test_creates_after_a_takeover_do_not_wait_for_a_long_table() -> None:
    desk = Desk(*foreign_rows(5000)).load()
    desk.reconciler.resync(desk.now)
    desire(desk)
    desk.calls.clear()
    call = desk.next_create(limit=2.0)
    assert call.rule == rule(1)
    assert desk.calls["read"] <= 2


def test_entry_that_another_writer_has_made_is_found_before_it_is_created_again() -> None:
    desk = Desk(*foreign_rows(5000)).load()
    desk.rows["fwd-1"] = entry(1)
    desk.reconciler.resync(desk.now)
    desire(desk)
    desk.run(5.0)
    assert isinstance(desire(desk), Done)
    assert desk.calls["write"] == 0


# What has gone wrong in larger and longer worlds.


@pytest.mark.parametrize("count", [1, 25, 100])
@pytest.mark.parametrize("rows", [0, 49, 51, 120, 5000])
def test_a_poddnats_deleted_together_are_all_finalized_whatever_the_table(rows: int, count: int) -> None:
    numbers = range(1, count + 1)
    desk = generous(Desk(*foreign_rows(rows), *map(entry, numbers)).load())
    waiting = set(numbers)
    while waiting:
        waiting = {number for number in waiting if not isinstance(release(desk, number), Done)}
        desk.run(1.0)
        assert desk.now < 15.0 + 0.2 * count
    desk.calls.clear()
    desk.run(600.0)
    assert desk.calls == Counter()


@pytest.mark.parametrize(
    "error",
    [DENIED, MODIFYING, ENTRY_BUSY, GATEWAY_BUSY, BINDING, TAKEN, FULL, GONE, LEFT],
    ids=lambda error: error.code,
)
def test_b_day_of_refusals_leaves_no_trace(error: CloudError) -> None:
    desk = Desk(*foreign_rows(60)).load()
    for number in (1, 2):
        desire(desk, number)
    desk.gates.refresh = 60.0
    desk.run(24 * 3600.0, write=lambda call: desk.refuse(call, error))
    assert desk.reconciler._state.concurrency.in_flight == 0
    for number in (1, 2):
        run_until(desk, lambda number=number: desire(desk, number), within=60.0)  # type: ignore[misc]


def test_c_entry_stuck_in_pending_is_waited_for_and_not_deleted() -> None:
    desk = generous(Desk().load())
    desire(desk, 1)
    desk.accept(desk.next_create())
    release(desk, 1)
    desk.run(60.0)
    assert desk.calls["write"] == 0
    assert [item.state for item in desk.items()] == [EntryState.SURPLUS]
    desk.settle()
    run_until(desk, lambda: release(desk, 1), within=60.0)


@pytest.mark.parametrize("error", [ENTRY_BUSY, GATEWAY_BUSY], ids=["of the entry", "that seems to be the gateway's"])
def test_c_write_that_stays_refused_delays_nobody_else(error: CloudError) -> None:
    desk = Desk().load()
    for number in range(1, 10):
        desire(desk, number)

    def write(call: Create | Delete) -> None:
        if call.uid == "uid-1":
            desk.refuse(call, error)
        else:
            desk.accept(call)
            desk.settle()

    desk.run(10.0, write=write)
    assert all(isinstance(desire(desk, number), Done) for number in range(2, 10))


def test_c_address_that_is_refused_holds_back_its_own_pods_only() -> None:
    desk = Desk().load()
    for number in range(1, 10):
        desire(desk, number, external_ip=f"203.0.113.{number % 2}")

    def write(call: Create | Delete) -> None:
        if call.rule.external_ip == "203.0.113.1":
            desk.refuse(call, BINDING)
        else:
            desk.accept(call)
            desk.settle()

    desk.run(10.0, write=write)
    assert all(isinstance(desire(desk, n, external_ip="203.0.113.0"), Done) for n in range(2, 10, 2))
    desk.calls.clear()
    desk.run(600.0, write=write)
    assert desk.calls["write"] <= 50


def test_what_is_refused_as_it_is_is_tried_again_within_a_minute() -> None:
    desk = Desk().load()
    desire(desk)
    desk.refuse(desk.next_create(), MISTAKE)
    desk.run(60.0)
    assert isinstance(desire(desk), Done)


def test_many_that_are_refused_as_they_are_take_a_tenth_of_the_limit_together() -> None:
    desk = Desk().load()
    for number in range(1, 101):
        desire(desk, number)
    desk.run(300.0, write=lambda call: desk.refuse(call, MISTAKE))
    desk.calls.clear()
    desk.run(600.0, write=lambda call: desk.refuse(call, MISTAKE))
    assert 100 <= desk.calls["write"] <= 200


def test_e_listing_that_the_table_changes_under_is_not_begun_again() -> None:
    desk = Desk(*foreign_rows(5000))
    number = 0

    def change() -> None:
        nonlocal number
        number += 1
        del desk.rows[f"fwd-f{number:05}"]
        desk.rows[f"fwd-x{number}"] = replace(foreign_rows(1)[0], entry_id=f"fwd-x{number}")

    while not desk.reconciler.loaded:
        desk.answer(desk.next_call(), change=change)
    assert desk.calls["read"] == 100


def test_g_row_that_one_long_listing_misses_changes_no_status() -> None:
    desk = Desk(*foreign_rows(60), entry(1)).load()
    row = desk.rows.pop("fwd-1")
    list_again(desk)
    desk.rows["fwd-1"] = row
    assert isinstance(desire(desk), Done)
    desk.answer(desk.next_call())
    assert isinstance(desire(desk), Done)


@pytest.mark.parametrize("rows", [0, 60, 5000])
def test_h_port_taken_by_nobody_visible_is_told_and_costs_little(rows: int) -> None:
    desk = Desk(*foreign_rows(rows)).load()
    desire(desk)
    refuse = TAKEN
    desk.run(60.0, write=lambda call: desk.refuse(call, refuse))
    blocked = desire(desk)
    assert isinstance(blocked, Blocked)
    assert "shows no entry that has it" in blocked.problem.message
    desk.calls.clear()
    desk.run(3600.0, write=lambda call: desk.refuse(call, refuse))
    assert desk.calls["read"] <= 400


def test_h_port_taken_by_a_range_is_a_conflict_after_the_table_was_listed() -> None:
    wide = entry(9, name=FOREIGN, entry_id="fwd-wide")
    wide = replace(wide, rule=wide.rule._replace(external_ports=Ports.of(1000, 1010)))
    desk = Desk(*foreign_rows(60)).load()
    desk.rows["fwd-wide"] = wide
    desire(desk)
    desk.run(30.0, write=lambda call: desk.refuse(call, TAKEN))
    blocked = desire(desk)
    assert isinstance(blocked, Blocked)
    assert "fwd-wide" in blocked.problem.message


@pytest.mark.parametrize("code", ["LastTokenProcessing", "SomethingNeverHeardOf"])
def test_i_code_that_passes_by_itself_is_tried_again_soon(code: str) -> None:
    meaning = Meaning.BUSY if code == "LastTokenProcessing" else Meaning.UNLISTED
    desk = Desk().load()
    desire(desk)
    desk.run(5.0, write=lambda call: desk.refuse(call, failure(meaning, code, Scope.ENTRY)))
    assert isinstance(desire(desk), Waiting)
    run_until(desk, lambda: desire(desk), within=10.0)


@pytest.mark.parametrize("error", [ENTRY_BUSY, DENIED, BINDING], ids=["entry", "account", "address"])
def test_n_choosing_the_next_call_does_not_go_through_all_that_wait(error: CloudError) -> None:
    desk = Desk().load()
    numbers = range(1, MANY + 1)
    for number in numbers:
        # One address for all.
        desk.reconciler.set_desired(
            own(number),
            (
                rule(number % 250, port=number % 60000 + 1)._replace(
                    internal_ip=f"172.{16 + number // 60000}.{number // 250}.{number % 250}"
                ),
            ),
            desk.now,
        )
    desk.run(20.0, write=lambda call: desk.refuse(call, error))
    plans: list[int] = []
    plan = GatewayState.plan

    def counted(made: GatewayState, desired: DesiredState) -> object:
        plans[-1] += 1
        return plan(made, desired)

    with mock.patch.object(GatewayState, "plan", counted):
        for _ in range(300):
            plans.append(0)
            call, wait = desk.next()
            if isinstance(call, Create | Delete):
                desk.refuse(call, error)
            elif call is not None:
                desk.answer(call)
            else:
                desk.now += wait
    assert max(plans) <= 50


def test_o_poddnat_of_many_ports_takes_turns_with_others_after_ten() -> None:
    desk = Desk().load()
    desire(desk, 1, *range(2001, 2091))
    for number in (2, 3, 4):
        desire(desk, number)
    desk.run(600.0, until=lambda: len({call.uid for call in desk.sent}) == 4)
    assert len(desk.sent) <= 4 * 10 + 3


def test_poddnat_that_a_busy_gateway_refuses_many_times_keeps_its_place() -> None:
    desk = Desk().load()
    desire(desk, 1)
    desk.accept(desk.next_create())
    for number in range(2, 7):
        desire(desk, number)
    refused: list[str] = []

    def refuse(call: Create | Delete) -> None:
        refused.append(call.uid)
        desk.refuse(call, GATEWAY_BUSY)

    desk.run(600.0, write=refuse, until=lambda: len(refused) == 30)
    assert set(refused) == {"uid-2", "uid-3"}


@pytest.mark.parametrize("ports", [1, 5, 10])
def test_o_poddnat_of_up_to_ten_ports_is_served_in_one_go(ports: int) -> None:
    desk = Desk().load()
    desire(desk, 1, *range(2001, 2001 + ports))
    desire(desk, 2)
    desk.run(60.0, until=lambda: len(desk.sent) == ports + 1)
    assert [call.uid for call in desk.sent] == ["uid-1"] * ports + ["uid-2"]


def pending_rows(numbers: range) -> list[ForwardEntry]:
    return [entry(number, status="Pending") for number in numbers]


@pytest.mark.parametrize("at", ["first", "last", "middle"])
def test_p_entries_are_found_on_whichever_page_they_are_listed(at: str) -> None:
    numbers = range(1, 13)
    foreign = foreign_rows(400)
    cut = {"first": 0, "last": len(foreign), "middle": 200}[at]
    desk = Desk(*foreign[:cut], *pending_rows(numbers), *foreign[cut:]).load()
    for number in numbers:
        desire(desk, number)
    desk.run(20.0)
    desk.calls.clear()
    for row in list(desk.rows.values()):
        desk.set_status(row.entry_id, EntryStatus.AVAILABLE)
    desk.run(25.0)
    assert all(isinstance(desire(desk, number), Done) for number in numbers)
    assert desk.calls["read"] <= 2 * len(numbers)


def test_look_by_name_for_a_release_says_nothing_of_what_is_wanted_since() -> None:
    desk = Desk(entry(1), *foreign_rows(60)).load()
    desk.reconciler.resync(desk.now)
    desk.reconciler.set_desired(own(), (), desk.now, release=True)
    desk.reconciler.table.remove("fwd-1")
    desk.reconciler.set_desired(own(), (), desk.now, release=True)
    call = desk.next_call(may_write=False)
    while not isinstance(call, Find):
        desk.answer(call)
        call = desk.next_call(may_write=False)
    desire(desk)
    desk.answer(call)
    run_until(desk, lambda: desire(desk), within=60.0)


def test_takeover_verifies_what_was_found_before_it() -> None:
    desk = Desk(*foreign_rows(60)).load()
    release(desk)
    desk.answer(desk.next_call())
    desk.rows["fwd-1"] = entry(1)
    desk.reconciler.resync(desk.now)
    assert isinstance(release(desk), Waiting)
