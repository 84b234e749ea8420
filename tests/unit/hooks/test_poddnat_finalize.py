"""The finalize hook for PodDNATs: nothing of a PodDNAT is left in the cloud when it may go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.waiting import wait_until
from poddnat.controllers import Authorizer
from tests.unit.hooks.world import EIP, EXPOSE_80, GATEWAY, POD_DNAT, PORTS, STATUS, World, answer, condition, running
from vpc_emulator import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator


Json = dict[str, Any]


@pytest.fixture
def slow_world() -> Iterator[World]:
    """A cloud that takes a moment for each write."""
    with running(settle_seconds=1.0) as world:
        yield world


def test_finalized_once_the_table_shows_none_of_its_entries(slow_world: World) -> None:
    poddnat = slow_world.expose(slow_world.make_pod({POD_DNAT: "true", PORTS: "80,443"}))
    first_to_wait(slow_world, poddnat)
    answers = []

    def is_final() -> bool:
        left = len(slow_world.entries())
        answers.append((slow_world.finalize(poddnat), left))
        return answers[-1][0].status_code == 200

    wait_until(is_final, 10, "the finalizer to be let go")
    last, _ = answers.pop()
    assert last.get_json()["finalized"] is True
    assert slow_world.entries() == []
    assert any(left == 2 for _, left in answers)
    assert {response.status_code for response, _ in answers} == {429}


def first_to_wait(world: World, poddnat: Json) -> Json:
    """Answer the first finalize call as Metacontroller takes it: its status is written."""
    waiting = world.finalize(poddnat)
    assert waiting.status_code == 200
    reported: Json = waiting.get_json()
    world.set_status(poddnat, reported["status"])
    return reported


def test_first_call_that_has_to_wait_empties_the_entries_and_keeps_their_ids(slow_world: World) -> None:
    poddnat = slow_world.expose(slow_world.make_pod(EXPOSE_80))
    reported = first_to_wait(slow_world, poddnat)
    assert (reported["finalized"], reported["status"]["entries"], reported["status"]["ports"]) == (False, [], "")
    assert reported["status"]["releasing"] == [poddnat["status"]["entries"][0]["forwardEntryId"]]
    assert condition(reported)[:2] == ("False", "Leaving")
    assert reported["resyncAfterSeconds"] >= 1


def test_waiting_for_entries_to_go_is_written_once_and_then_told_in_whole_seconds(slow_world: World) -> None:
    poddnat = slow_world.expose(slow_world.make_pod(EXPOSE_80))
    first_to_wait(slow_world, poddnat)
    assert int(slow_world.finalize(poddnat).headers["Retry-After"]) >= 1


def test_first_call_is_the_last_one_where_the_entries_have_gone_by_then(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    gateway = world.service.fleet.get(GATEWAY)
    assert gateway is not None
    released = gateway._reconciler._state.desired
    world.delete(poddnat)
    wait_until(lambda: any(one.confirmed for one in list(released.values())), 10, "the entries to be seen gone")
    only = world.finalize(poddnat)
    assert only.get_json()["finalized"] is True
    assert world.entries() == []


def test_finalized_again_gives_the_same_answer(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    first = world.finalized(poddnat)
    assert world.finalized(poddnat) == first


def test_poddnat_that_never_had_entries_is_finalized(world: World) -> None:
    spec = world.attachment(world.make_pod(EXPOSE_80))["spec"]
    poddnat = world.make_poddnat(spec, name="by-hand")
    assert world.finalized(poddnat)["finalized"] is True


def test_poddnat_with_a_spec_that_makes_no_sense_is_finalized(world: World) -> None:
    poddnat = world.make_poddnat({"portMapping": [], "tableId": "nonsense"}, name="by-hand")
    assert world.finalized(poddnat)["finalized"] is True


def test_poddnat_without_a_spec_is_finalized(world: World) -> None:
    poddnat = world.make_poddnat({}, name="by-hand")
    del poddnat["spec"]
    assert world.finalized(poddnat)["finalized"] is True


def test_poddnat_of_a_gateway_that_is_gone_is_finalized(world: World) -> None:
    spec = world.attachment(world.make_pod(EXPOSE_80))["spec"]
    poddnat = world.make_poddnat({**spec, "tableId": "ngw-sold"})
    assert world.finalized(poddnat)["finalized"] is True


def test_somebody_elses_entry_stays(world: World) -> None:
    world.emulator.add_entry(
        GATEWAY, external_ip=EIP, external_port=22, internal_ip="172.16.0.9", internal_port=22, name="bastion"
    )
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    world.finalized(poddnat)
    assert [entry.name for entry in world.entries()] == ["bastion"]


def test_status_says_why_an_entry_can_not_be_deleted(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    world.emulator.add_fault(Fault("error", action="DeleteForwardEntry", code="Forbidden.RAM", status=403, times=None))
    reported = world.finalized(poddnat)
    assert reported["finalized"] is False
    assert reported["status"]["conditions"][0]["reason"] == "AccessDenied"
    assert reported["status"]["entries"] == []
    assert reported["status"]["releasing"] == [poddnat["status"]["entries"][0]["forwardEntryId"]]


def test_port_is_free_again_when_the_poddnat_has_gone() -> None:
    with running(last_port=512) as world:
        poddnat = world.expose(world.make_pod(EXPOSE_80))
        other = world.make_pod(EXPOSE_80, name="web-2", ip="172.16.1.8")
        assert answer(lambda: world.sync_pod(other))["annotations"][STATUS].startswith("NoFreePorts: ")
        world.finalized(poddnat)
        world.api.patch(world.poddnats, "web-1", {"metadata": {"finalizers": None}}, "default")
        wait_until(lambda: answer(lambda: world.sync_pod(other))["attachments"], 5, "the port to be given to another")


def test_nothing_is_left_of_a_poddnat_that_goes_while_it_is_synced(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.make_poddnat(world.attachment(pod)["spec"], owner=pod)
    uid, service = poddnat["metadata"]["uid"], world.service
    wait_until(lambda: service.poddnats.is_alive(uid), 5, "it to be seen")
    check = Authorizer.check

    def check_and_lose(*args: Any) -> object:
        verdict = check(*args)
        world.api.delete(world.poddnats, "web-1", "default")
        wait_until(lambda: not service.poddnats.is_alive(uid), 5, "its end to be seen")
        return verdict

    monkeypatch.setattr(Authorizer, "check", check_and_lose)
    world.sync_poddnat(poddnat)
    wait_until(lambda: not service.fleet.gateways()[0].is_busy_with(uid), 5, "its entries to be withdrawn")
    assert world.entries() == []
    assert service._registry._observed == {}
