"""What is done on a gateway, and when: in virtual time, against a model of the gateway."""

import pytest
from poddnat.gateway.calls import Create, Delete, Look
from poddnat.gateway.concurrency import LONGEST_LOOK_GAP, Kind
from poddnat.gateway.listing import Listing
from tests.unit.gateway_model import OWNERSHIP, ModelGateway, rule

from poddnat.cloud import CloudError, Meaning
from poddnat.gateway import EVERYTHING, Blocked, Done, OwnEntries, Waiting
from poddnat.gateway.problems import quota_exceeded
from poddnat.gateway.reconciler import Agenda
from poddnat.model import EntryStatus, ForwardEntry

MAPPINGS = 200


def mine(number: int = 1) -> OwnEntries:
    return OwnEntries(f"uid-{number}", OWNERSHIP.name_of(f"uid-{number}"))


def agenda(*listed: ForwardEntry, alive: bool = True) -> Agenda:
    made = Agenda("ngw-1", OWNERSHIP, lambda _uid: alive, refresh_interval=300.0)
    look(made, *listed)
    return made


def look(made: Agenda, *listed: ForwardEntry, now: float = 0.0) -> list[str]:
    """Answer the look that the agenda asks for first with these entries."""
    call, _ = made.next(now, urgent_only=False)
    assert isinstance(call, Look)
    listing = Listing(call.filters[0], listed, whole=True)
    swept = made.listed(listing, since=made.table.now(), started_at=now, now=now)
    made.look_ended(now)
    return swept


def entry(number: int, *, name: str | None = None, entry_id: str = "fwd-1") -> ForwardEntry:
    return ForwardEntry(entry_id, name or OWNERSHIP.name_of(f"uid-{number}"), rule(number), EntryStatus.AVAILABLE)


def failure(meaning: Meaning, code: str = "Code") -> CloudError:
    return CloudError(meaning, action="CreateForwardEntry", code=code, message="it says")


def run(gateway: ModelGateway, *, release: bool = False) -> float:
    """Create (or release) all mappings and return the time it took, in settling times of the gateway's capacity."""
    started_at = gateway.now
    gateway.calls.clear()
    for number in range(MAPPINGS):
        gateway.want(number, release=release)
    gateway.run()
    return (gateway.now - started_at) * gateway.at_once / (MAPPINGS * gateway.settle)


@pytest.mark.parametrize("release", [False, True], ids=["creating", "deleting"])
def test_an_old_gateway_is_kept_busy_one_write_after_the_other(*, release: bool) -> None:
    gateway = ModelGateway(at_once=1)
    if release:
        run(gateway)
    assert run(gateway, release=release) < 1.2
    assert gateway.calls["refused"] < 2 * MAPPINGS


def test_a_new_gateways_capacity_is_learned_and_used() -> None:
    gateway = ModelGateway(at_once=8)
    assert run(gateway) < 1.3
    assert gateway.agenda.pace.limit == 8
    assert gateway.calls["refused"] < 0.2 * MAPPINGS
    assert gateway.calls["read"] < 0.5 * MAPPINGS


def test_a_gateway_that_turns_touchy_is_written_to_serially_within_a_few_refusals() -> None:
    gateway = ModelGateway(at_once=8)
    run(gateway)
    gateway.at_once = 1
    gateway.calls.clear()
    for number in range(MAPPINGS):
        gateway.want(number, release=True)
    gateway.run(until=lambda: gateway.agenda.pace.limit == 1)
    assert gateway.calls["refused"] <= 8


def test_a_gateway_that_bears_more_is_found_out() -> None:
    gateway = ModelGateway(at_once=1)
    run(gateway)
    gateway.at_once = 8
    run(gateway, release=True)
    assert gateway.agenda.pace.limit == 8


def test_nothing_is_called_at_rest_until_the_next_refresh() -> None:
    resting = agenda(entry(1))
    assert isinstance(resting.want(mine(), (rule(1),), 1.0), Done)
    call, wait = resting.next(1.0, urgent_only=False)
    assert call is None
    assert wait == pytest.approx(299.0)


def test_each_entry_is_seen_to_work_soon_on_whichever_page_it_is_listed() -> None:
    gateway = ModelGateway(at_once=8, settle=5.0)
    run(gateway)
    assert gateway.longest_lag() < 3 * LONGEST_LOOK_GAP


def test_a_poddnat_released_while_its_create_is_queued_is_never_created() -> None:
    waiting = agenda()
    waiting.want(mine(), (rule(1),), 1.0)
    waiting.want(mine(), (), 1.1, release=True)
    call, _ = waiting.next(1.2, urgent_only=False)
    assert isinstance(call, Look)
    assert not len(waiting.lanes)


def test_a_release_is_done_only_after_a_later_listing_shows_nothing() -> None:
    releasing = agenda()
    assert isinstance(releasing.want(mine(), (), 1.0, release=True), Waiting)
    look(releasing, now=2.0)
    assert isinstance(releasing.want(mine(), (), 2.1, release=True), Done)


def test_a_lost_create_answer_is_looked_up_before_anything_is_sent_again() -> None:
    lost = agenda()
    lost.want(mine(), (rule(1),), 1.0)
    call, _ = lost.next(1.0, urgent_only=False)
    assert isinstance(call, Create)
    lost.failed(call, failure(Meaning.UNKNOWN), 1.1)
    again, _ = lost.next(30.0, urgent_only=False)
    assert isinstance(again, Look)


def test_an_entry_found_after_a_lost_answer_is_taken_for_done() -> None:
    lost = agenda()
    lost.want(mine(), (rule(1),), 1.0)
    call, _ = lost.next(1.0, urgent_only=False)
    assert isinstance(call, Create)
    lost.failed(call, failure(Meaning.UNKNOWN), 1.1)
    look(lost, entry(1), now=30.0)
    assert isinstance(lost.want(mine(), (rule(1),), 31.0), Done)


def test_a_create_not_found_after_a_lost_answer_is_sent_again_with_the_same_token() -> None:
    lost = agenda()
    lost.want(mine(), (rule(1),), 1.0)
    first, _ = lost.next(1.0, urgent_only=False)
    assert isinstance(first, Create)
    lost.failed(first, failure(Meaning.UNKNOWN), 1.1)
    look(lost, now=30.0)
    second, _ = lost.next(31.0, urgent_only=False)
    assert second == first


def test_a_full_table_blocks_with_the_reason_and_is_tried_again_when_an_entry_has_gone() -> None:
    full = agenda(entry(2))
    full.want(mine(), (rule(1),), 1.0)
    call, _ = full.next(1.0, urgent_only=False)
    assert isinstance(call, Create)
    full.failed(call, failure(Meaning.FULL), 1.1)
    blocked = full.want(mine(), (rule(1),), 1.2)
    assert isinstance(blocked, Blocked)
    assert blocked.problem.reason == "QuotaExceeded"
    full.table.remove("fwd-1")
    again, _ = full.next(1.3, urgent_only=False)
    assert isinstance(again, Create)


def send_all(made: Agenda, now: float) -> list[Create]:
    """Take all creates that may be sent at this moment."""
    sent = []
    while (call := made.next(now, urgent_only=True)[0]) is not None:
        if isinstance(call, Create):
            sent.append(call)
    return sent


def generous(made: Agenda) -> Agenda:
    """Let an agenda believe that its gateway bears many writes at once."""
    made.pace.limit = 8
    return made


def test_room_that_appears_goes_to_those_who_have_waited_longest() -> None:
    full = generous(agenda(entry(9), entry(8, entry_id="fwd-2")))
    for number in (1, 2, 3):
        full.want(mine(number), (rule(number),), float(number))
    sent = send_all(full, 4.0)
    assert len(sent) > 1
    for refused in sent:
        full.failed(refused, failure(Meaning.FULL), 4.1)
    full.table.remove("fwd-1")
    assert [call.uid for call in send_all(full, 100.0)] == ["uid-1"]


def test_no_more_creates_are_sent_at_once_than_a_limited_table_has_room_for() -> None:
    limited = generous(agenda(entry(9)))
    limited.room.limit = 3
    for number in (1, 2, 3):
        limited.want(mine(number), (rule(number),), 1.0)
    first, second = send_all(limited, 2.0)
    assert (first.uid, second.uid) == ("uid-1", "uid-2")
    limited.created(first, "fwd-7", 2.1)
    limited.created(second, "fwd-8", 2.1)
    assert send_all(limited, 100.0) == []
    assert limited.room.is_full(len(limited.table), 100.0)
    limited.table.remove("fwd-1")
    assert [call.uid for call in send_all(limited, 100.1)] == ["uid-3"]


def test_full_table_tells_how_many_wait_for_how_much() -> None:
    limited = agenda()
    limited.room.limit = 0
    limited.want(mine(1), (rule(1), rule(2)), 1.0)
    blocked = limited.want(mine(3), (rule(3),), 1.0)
    assert isinstance(blocked, Blocked)
    assert blocked.problem.message.startswith("NAT gateway ngw-1 has reached its quota of 0 forward entries")
    assert blocked.problem.details == "2 pods wait for 3 more entries there."


def test_figures_change_seldom_while_many_wait() -> None:
    told = {quota_exceeded("ngw-1", 100, pods, 2 * pods).details for pods in range(11, 1000)}
    assert "up to 20 pods wait for up to 50 more entries there." in told
    assert len(told) <= 12


def test_refused_content_is_told_and_not_sent_again_at_once() -> None:
    wrong = agenda()
    wrong.want(mine(), (rule(1),), 1.0)
    call, _ = wrong.next(1.0, urgent_only=False)
    assert isinstance(call, Create)
    wrong.failed(call, failure(Meaning.WRONG, "InvalidInternalIp.Malformed"), 1.1)
    blocked = wrong.want(mine(), (rule(1),), 1.2)
    assert isinstance(blocked, Blocked)
    assert "InvalidInternalIp.Malformed" in blocked.problem.message
    assert wrong.next(1.3, urgent_only=False)[0] is None


def test_failures_of_the_whole_gateway_hold_it_back_ever_longer() -> None:
    denied = agenda()
    denied.want(mine(), (rule(1),), 1.0)
    now, waits = 1.0, []
    for _ in range(5):
        call, _ = denied.next(now, urgent_only=False)
        assert isinstance(call, Create)
        denied.failed(call, failure(Meaning.DENIED), now)
        _, wait = denied.next(now, urgent_only=False)
        waits.append(wait)
        now += wait
    assert waits == sorted(waits)
    assert waits[-1] >= 8 * waits[0]


def test_a_leftover_of_a_dead_pod_with_this_ip_is_deleted_before_the_create() -> None:
    stale = ForwardEntry("fwd-9", OWNERSHIP.name_of("uid-dead"), rule(1), EntryStatus.AVAILABLE)
    reused = agenda(stale, alive=False)
    reused.want(mine(), (rule(1),), 1.0)
    call, _ = reused.next(1.0, urgent_only=False)
    assert isinstance(call, Delete)
    assert (call.entry.entry_id, call.leftover_of) == ("fwd-9", "uid-dead")


def test_a_foreign_entry_on_the_port_blocks_and_is_not_touched() -> None:
    foreign = agenda(entry(1, name="bastion"))
    assert isinstance(foreign.want(mine(), (rule(1),), 1.0), Waiting)
    look(foreign, entry(1, name="bastion"), now=10.0)  # whether it is still there
    assert isinstance(foreign.want(mine(), (rule(1),), 11.0), Blocked)
    assert foreign.next(11.0, urgent_only=False)[0] is None


def test_a_foreign_entry_on_the_port_that_has_gone_meanwhile_blocks_nobody() -> None:
    foreign = agenda(entry(1, name="bastion"))
    foreign.want(mine(), (rule(1),), 1.0)
    look(foreign, now=10.0)
    call, _ = foreign.next(10.0, urgent_only=False)
    assert isinstance(call, Create)


def test_an_edited_tuple_under_our_name_is_replaced() -> None:
    edited = agenda(entry(2, name=OWNERSHIP.name_of("uid-1")))
    edited.want(mine(), (rule(1),), 1.0)
    call, _ = edited.next(1.0, urgent_only=False)
    assert isinstance(call, Create | Delete)
    other, _ = edited.next(1.0, urgent_only=False)
    assert {type(call), type(other)} <= {Create, Delete, type(None)}


def test_entries_of_a_poddnat_that_is_gone_are_named_for_sweeping_at_the_second_listing() -> None:
    left = Agenda("ngw-1", OWNERSHIP, lambda _uid: False, refresh_interval=300.0)
    assert look(left, entry(1)) == []
    assert look(left, entry(1), now=300.0) == ["uid-1"]


def test_entries_that_are_not_ours_are_never_named_for_sweeping() -> None:
    left = Agenda("ngw-1", OWNERSHIP, lambda _uid: False, refresh_interval=300.0)
    look(left, entry(1, name="bastion"))
    assert look(left, entry(1, name="bastion"), now=300.0) == []


def test_a_listing_torn_between_two_pages_proves_nothing_gone() -> None:
    torn = agenda(entry(1))
    torn.listed(Listing(EVERYTHING, (), whole=False), since=torn.table.now(), started_at=1.0, now=1.0)
    assert torn.table.get("fwd-1") is not None


def test_creates_and_deletes_take_turns() -> None:
    gateway = ModelGateway(at_once=1)
    for number in range(10):
        gateway.want(number)
    gateway.run()
    for number in range(10):
        gateway.want(number, release=True)
    for number in range(10, 20):
        gateway.want(number)
    gateway.run(until=lambda: gateway.agenda.lanes.length(Kind.DELETE) <= 3)
    assert 1 <= gateway.agenda.lanes.length(Kind.CREATE) <= 6


def test_figures_tell_who_waits_since_when_and_what_is_under_way() -> None:
    busy = agenda(entry(1), entry(2, entry_id="fwd-2"))
    busy.want(mine(1), (), 5.0, release=True)
    for number in (3, 4):
        busy.want(mine(number), (rule(number),), float(number))
    call, _ = busy.next(10.0, urgent_only=False)
    assert isinstance(call, Create)
    stats = busy.stats(10.0)
    assert stats.waiting == {Kind.CREATE: 1, Kind.DELETE: 1}
    assert stats.oldest_seconds == {Kind.CREATE: 6.0, Kind.DELETE: 5.0}
    assert (stats.in_flight, stats.unsettled, stats.limit, stats.watching) == (1, 0, 1, 1)
    busy.created(call, "fwd-3", 10.1)
    assert (busy.stats(10.1).in_flight, busy.stats(10.1).unsettled) == (0, 1)


def test_quota_is_told_once_met_and_no_longer_when_it_was_raised() -> None:
    full = agenda(entry(2))
    full.want(mine(), (rule(1),), 1.0)
    call, _ = full.next(1.0, urgent_only=False)
    assert isinstance(call, Create)
    assert full.stats(1.0).quota is None
    full.failed(call, failure(Meaning.FULL), 1.1)
    assert (full.stats(1.1).quota, full.stats(1.1).entries) == (1, 1)
    again, _ = full.next(70.0, urgent_only=False)
    assert isinstance(again, Create)
    full.created(again, "fwd-9", 70.1)
    assert full.stats(70.1).quota is None
