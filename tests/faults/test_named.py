"""The situations that have hurt others, one by one; and each fault alone."""

from __future__ import annotations

import itertools
import math

import pytest

from tests.faults.cloud import EIPS, FIRST_PORT, GATEWAYS, POD_IPS, ROUTE_TABLE
from tests.faults.steps import (
    ACTIONS,
    CODES,
    CREATE,
    DELETE,
    LIST,
    ClockJump,
    EipLeaves,
    FailEntry,
    GatewayBusy,
    GatewayGone,
    Kill,
    LoseAnswer,
    LoseRequest,
    Quota,
    Refuse,
    RevokeKey,
    SettleTime,
    SomebodyAdds,
    SomebodyDeletes,
    SomebodyEdits,
    SomebodyRenames,
    SomebodyTakes,
    StartSecond,
    Step,
    Stick,
    ThrottleCalls,
    TimeOut,
    heal,
)
from tests.faults.world import OWNERSHIP, REFRESH, World, running
from vpc_emulator import Fault, ForwardEntry

IP, OTHER_IP = POD_IPS[:2]
EIP = EIPS[GATEWAYS[0]][0]
SOON = 30.0


def exposed(world: World, name: str = "a", ip: str = IP, ports: str = "80") -> list[ForwardEntry]:
    """Expose a pod, and return its entries."""
    world.add_pod(name, ip, ports)
    world.settles(100.0)
    return [entry for entry in world.ours() if entry.internal_ip == ip]


def created(world: World) -> int:
    return world.emulator.calls.count(CREATE, "OK")


# Pods.


def test_pod_gets_the_ip_of_a_dead_pod_whose_entry_still_stands() -> None:
    with running() as world:
        (old,) = exposed(world)
        world.kill()
        world.delete_pod("a", forced=True)
        world.add_pod("b", IP)
        world.start()
        world.settles(SOON)
        (new,) = world.ours()
        assert (new.internal_ip, new.id == old.id, new.name == old.name) == (IP, False, False)


def test_pod_gets_the_ip_of_a_pod_that_is_being_cleaned_up() -> None:
    with running(settle=20.0) as world:
        exposed(world, ports="80,81")
        world.delete_pod("a")
        world.add_pod("b", IP, "80,81")
        world.settles(200.0)
        assert {entry.internal_port for entry in world.ours()} == {"80", "81"}


def test_poddnat_deleted_while_its_creates_are_queued_leaves_nothing() -> None:
    with running(settle=20.0) as world:
        world.add_pod("a", IP, "80,81,82")
        world.scheduler.run(lambda: created(world) == 1, SOON)
        world.delete_pod("a")
        world.settles(100.0)
        assert world.entries() == []
        assert created(world) == 1


def test_poddnat_deleted_while_its_create_is_under_way_leaves_nothing() -> None:
    with running(latency=2.0) as world:
        world.add_pod("a", IP)
        world.scheduler.run(lambda: created(world) == 1, SOON)
        world.delete_pod("a")
        world.settles(100.0)
        assert world.entries() == []


def test_entry_of_the_same_name_on_an_edited_tuple_is_replaced() -> None:
    with running() as world:
        (entry,) = exposed(world)
        world.emulator.edit_entry(entry.gateway_id, entry.id, external_port="600")
        world.pass_time(2 * REFRESH)
        world.settles(REFRESH)
        (again,) = world.ours()
        assert (again.name, again.external_port) == (entry.name, entry.external_port)


def test_entry_renamed_by_somebody_goes_with_its_poddnat() -> None:
    with running() as world:
        (entry,) = exposed(world)
        world.emulator.rename_entry(entry.gateway_id, entry.id, "ops")
        world.pass_time(2 * REFRESH)
        world.delete_pod("a")
        world.settles(SOON)
        assert world.entries() == []


def test_entry_renamed_while_no_process_ran_goes_also_when_its_pod_opted_out_meanwhile() -> None:
    with running() as world:
        (entry,) = exposed(world)
        world.kill()
        world.emulator.rename_entry(entry.gateway_id, entry.id, "ops")
        world.edit_pod("a", "")
        world.start()
        world.settles(SOON)
        assert world.entries() == []


# Answers.


def test_lost_answer_of_a_create_makes_no_second_entry() -> None:
    with running() as world:
        LoseAnswer(CREATE).do(world)
        exposed(world)
        assert created(world) == 1


def test_create_that_arrives_after_it_was_given_up_makes_no_second_entry() -> None:
    with running() as world:
        TimeOut(20.0, CREATE).do(world)
        exposed(world)
        world.pass_time(60.0)
        assert len(world.entries()) == 1


def test_create_that_arrives_after_it_was_tried_again_and_undone_makes_nothing() -> None:
    with running() as world:
        TimeOut(40.0, CREATE).do(world)
        exposed(world)
        world.delete_pod("a")
        world.settles(SOON)
        assert world.emulator.calls.count(CREATE) == 1
        world.scheduler.run(lambda: world.emulator.calls.count(CREATE) == 2, 60.0)
        world.pass_time(1.0)
        assert world.entries() == []


def test_poddnat_whose_create_had_no_answer_is_not_finalized_before_the_table_was_read() -> None:
    with running() as world:
        LoseAnswer(CREATE).do(world)
        world.add_pod("a", IP)
        world.scheduler.run(lambda: created(world) == 1, SOON)
        world.pass_time(0.1)
        world.delete_pod("a")
        world.scheduler.run(lambda: not world.cluster.dnats, SOON)
        assert not world.cluster.dnats
        assert world.entries() == []


def test_create_that_arrives_after_its_poddnat_has_gone_is_collected() -> None:
    with running() as world:
        TimeOut(100.0, CREATE).do(world)
        world.add_pod("a", IP)
        world.scheduler.run(lambda: bool(world.network.cut_off), SOON)
        world.delete_pod("a")
        world.pass_time(110.0)
        assert not world.cluster.dnats
        assert len(world.entries()) == 1
        world.settles(3 * REFRESH)
        assert world.entries() == []


def test_lost_answer_of_a_delete_is_success_once_the_entry_is_gone() -> None:
    with running() as world:
        exposed(world)
        LoseAnswer(DELETE).do(world)
        world.delete_pod("a")
        world.settles(SOON)
        assert world.entries() == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidForwardEntryId.NotFound", ""),
        ("ResourceNotFound.ForwardEntry", ""),
        ("IncorretForwardEntryStatus", "The Specified forwardEntry is not exist"),
    ],
)
def test_delete_of_an_entry_that_is_not_there_is_success(code: str, message: str) -> None:
    with running() as world:
        (entry,) = exposed(world)
        world.emulator.delete_entry(entry.gateway_id, entry.id)
        world.emulator.add_fault(Fault("error", action=DELETE, code=code, message=message, times=None))
        world.delete_pod("a")
        world.settles(SOON)
        assert world.emulator.calls.count(DELETE) == world.emulator.calls.count(DELETE, code) == 1
        assert world.cluster.events == {}


# Gateways.


def test_pods_go_to_another_gateway_when_one_is_full() -> None:
    with running(routed=False) as world:
        Quota(GATEWAYS[0], 1).do(world)
        for name, ip in zip("abc", POD_IPS, strict=False):
            world.add_pod(name, ip)
        world.settles(REFRESH)
        assert sorted(entry.gateway_id for entry in world.ours()) == [GATEWAYS[0], GATEWAYS[1], GATEWAYS[1]]


def test_pods_wait_for_room_where_no_other_gateway_takes_their_replies() -> None:
    with running() as world:
        Quota(GATEWAYS[0], 1).do(world)
        world.add_pod("a", IP)
        world.add_pod("b", OTHER_IP)
        world.pass_time(REFRESH)
        assert len(world.entries()) == 1
        Quota(GATEWAYS[0], 2).do(world)
        world.settles(2 * 60.0)


def test_foreign_entry_on_the_port_that_a_pod_would_have_got_is_left_alone() -> None:
    with running() as world:
        world.add_foreign(EIP, FIRST_PORT, "172.16.1.14", 80)
        (entry,) = exposed(world)
        assert (entry.external_ip, entry.external_port) != (EIP, str(FIRST_PORT))
        world.check_foreign()


def test_foreign_entry_that_appears_on_a_port_just_promised_means_another_port() -> None:
    with running() as world:
        world.pass_time(10.0)
        world.add_foreign(EIP, FIRST_PORT, "172.16.1.14", 80)
        (entry,) = exposed(world)
        assert (entry.external_ip, entry.external_port) == (EIP, str(FIRST_PORT + 1))
        world.check_foreign()


def test_pod_moves_to_another_address_when_its_own_leaves_the_gateway() -> None:
    with running() as world:
        EipLeaves(EIP).do(world)
        (entry,) = exposed(world)
        assert entry.external_ip == EIPS[GATEWAYS[0]][1]


def test_pods_follow_the_default_route_when_their_gateway_is_gone() -> None:
    with running() as world:
        exposed(world)
        GatewayGone().do(world)
        world.settles(3 * REFRESH)
        (entry,) = world.entries()
        assert entry.gateway_id == GATEWAYS[1]


def test_pod_moves_when_there_is_somewhere_to_go_long_after_it_had_to() -> None:
    with running() as world:
        exposed(world)
        GatewayGone().do(world)
        world.emulator.set_default_route(ROUTE_TABLE, "NatGateway", GATEWAYS[0])
        world.pass_time(5 * REFRESH)
        world.emulator.set_default_route(ROUTE_TABLE, "NatGateway", GATEWAYS[1])
        world.settles(2 * REFRESH)


def test_poddnat_that_has_long_been_ready_is_no_longer_when_its_gateway_is_gone() -> None:
    with running() as world:
        exposed(world)
        world.pass_time(4 * REFRESH)
        GatewayGone().do(world)
        world.settles(3 * REFRESH)
        (entry,) = world.entries()
        assert entry.gateway_id == GATEWAYS[1]


def test_stuck_gateway_is_asked_ever_more_rarely() -> None:
    with running(at_once=4, settle=0.0) as world:
        exposed(world)
        Stick().do(world)
        world.add_pod("b", OTHER_IP, "80,81")
        world.pass_time(30.0)
        before = world.emulator.calls.count()
        world.pass_time(300.0)
        assert world.emulator.calls.count() - before <= 300 / 5
        heal(world)
        world.settles(SOON)


def test_gateway_that_was_stuck_for_minutes_is_used_as_before_afterwards() -> None:
    with running() as world:
        exposed(world)
        Stick().do(world)
        world.add_pod("b", OTHER_IP, "80,81")
        world.pass_time(300.0)
        heal(world)
        world.settles(SOON)
        for name, ip in zip("cdef", POD_IPS[2:], strict=True):
            world.add_pod(name, ip)
        world.settles(SOON)


# The account.


_LASTING = ["InternalError", "OperationConflict", "NoPermission", "Throttling.User"]
_REFUSED_WRITES = ["QuotaExceeded", "OperationUnsupported.ForwardEntry", "IncorrectStatus.ForwardEntry"]
_REFUSED_DELETES = ["InvalidForwardEntryId.NotFound", "MissingParameter", "InvalidIp.NotInNatgw"]


@pytest.mark.parametrize(
    ("action", "code"),
    [
        *itertools.product(["*", CREATE, DELETE, LIST], _LASTING),
        *itertools.product([CREATE, DELETE], _REFUSED_WRITES),
        *itertools.product([DELETE], _REFUSED_DELETES),
    ],
)
def test_api_that_refuses_for_ten_minutes_is_left_in_peace(code: str, action: str) -> None:
    with running() as world:
        exposed(world)
        world.emulator.add_fault(Fault("error", action=action, code=code, times=None))
        for name, ip in zip("bcd", POD_IPS[1:], strict=False):
            world.add_pod(name, ip)
        world.delete_pod("a")
        world.pass_time(60.0)
        before, writes = world.emulator.calls.count(), world.cluster.writes.total()
        world.pass_time(540.0)
        assert world.emulator.calls.count() - before <= 540 / 2, "no hot loop"
        assert world.cluster.writes.total() - writes <= 8, "no storm of writes"
        assert len(world.cluster.events) <= 8, "no storm of events"
        heal(world)
        world.settles(60.0)


def test_routes_are_still_heeded_after_the_key_was_revoked_for_a_while() -> None:
    with running() as world:
        exposed(world)
        RevokeKey().do(world)
        world.pass_time(1.5 * REFRESH)
        world.edit_pod("a", "80,81")  # Where its address lives is known, but not where its replies go by now.
        world.pass_time(REFRESH)
        heal(world)
        world.emulator.set_default_route(ROUTE_TABLE, "NatGateway", GATEWAYS[1])
        world.pass_time(REFRESH)
        (entry,) = exposed(world, "b", OTHER_IP)
        assert entry.gateway_id == GATEWAYS[1]


def test_routes_are_heeded_though_the_key_was_revoked_while_they_were_first_read() -> None:
    with running() as world:
        Refuse("InvalidAccessKeyId.NotFound", "DescribeRouteEntryList").do(world)
        for name, ip in zip("abcd", POD_IPS, strict=False):
            exposed(world, name, ip)
        assert {entry.gateway_id for entry in world.entries()} == {GATEWAYS[0]}


# Processes.


@pytest.mark.parametrize("moment", range(12))
def test_process_killed_at_any_moment_of_a_pods_life_leaves_work_that_the_next_one_finishes(moment: int) -> None:
    with running(latency=0.2) as world:
        world.add_pod("a", IP, "80,81")
        world.pass_time(0.5 * moment)
        world.kill()
        world.start()
        world.settles(SOON)
        assert len(world.entries()) == 2
        world.delete_pod("a")
        world.pass_time(0.3 * moment)
        world.kill()
        world.start()
        world.settles(SOON)
        assert world.entries() == []


def test_entries_of_a_poddnat_that_went_unfinalized_while_no_process_ran_are_collected() -> None:
    with running() as world:
        exposed(world)
        world.kill()
        world.delete_pod("a", forced=True)
        world.start()
        world.settles(2 * REFRESH)
        assert world.entries() == []


def test_two_processes_at_once_expose_each_pod_once() -> None:
    with running() as world:
        world.start()
        for name, ip in zip("abcd", POD_IPS, strict=False):
            world.add_pod(name, ip)
        world.settles(60.0)
        assert len(world.entries()) == 4
        world.kill()
        world.settles(SOON)


# Each alone.

_OTHER_READS = [action for action in ACTIONS if action not in {CREATE, DELETE, LIST}]


def lives(world: World) -> None:
    """Let pods come, change and go."""
    world.add_pod("a", IP, "80,81")
    world.pass_time(1.5)
    world.edit_pod("a", "80,82")
    world.add_pod("b", OTHER_IP)
    world.pass_time(2.0)
    world.delete_pod("a")
    world.pass_time(2.0)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    "actions", [[CREATE], [DELETE], [LIST], _OTHER_READS], ids=["create", "delete", "list", "others"]
)
def test_code_alone_does_no_lasting_harm(code: str, actions: list[str]) -> None:
    with running() as world:
        for action in actions:
            Refuse(code, action, 2).do(world)
        lives(world)
        heal(world)
        world.settles(2 * REFRESH)


_ALONE: list[Step] = [
    *(kind(action, 2) for kind in (LoseRequest, LoseAnswer) for action in ACTIONS),
    *(TimeOut(arrives, action) for arrives in (0.0, 3.0, 30.0, math.inf) for action in (CREATE, DELETE, LIST)),
    *(ThrottleCalls(seconds, action, 3) for seconds in (0.0, 5.0) for action in (CREATE, DELETE, LIST, "*")),
    FailEntry(),
    Stick(),
    Quota(GATEWAYS[0], 1),
    RevokeKey(),
    ClockJump(4000.0, -4000.0),
    Kill(),
    StartSecond(),
]


@pytest.mark.parametrize("step", _ALONE, ids=str)
def test_fault_alone_does_no_lasting_harm(step: Step) -> None:
    with running() as world:
        step.do(world)
        lives(world)
        heal(world)
        world.settles(2 * REFRESH)


_BEHIND_OUR_BACK: list[Step] = [
    SomebodyDeletes(0),
    SomebodyEdits(0, FIRST_PORT + 5),
    SomebodyRenames(0, "ops"),
    SomebodyRenames(0, OWNERSHIP.name_of("uid-of-nobody")),
    SomebodyTakes(0, same_pod=True),
    SomebodyTakes(0, same_pod=False),
    SomebodyAdds(EIP, FIRST_PORT + 2, OTHER_IP),
    SettleTime(30.0),
    GatewayBusy(GATEWAYS[0], busy=True),
    EipLeaves(EIP),
    GatewayGone(),
]


@pytest.mark.parametrize("fixed", [False, True], ids=["ordinary", "fixed"])
@pytest.mark.parametrize("step", _BEHIND_OUR_BACK, ids=str)
def test_change_behind_our_back_alone_does_no_lasting_harm(step: Step, *, fixed: bool) -> None:
    with running() as world:
        if fixed:
            world.add_fixed(0, IP, "80,81")
        else:
            world.add_pod("a", IP, "80,81")
        world.settles(SOON)
        step.do(world)
        lives(world)
        heal(world)
        world.settles(3 * REFRESH)
