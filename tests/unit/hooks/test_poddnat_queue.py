"""PodDNATs on their way: the server itself tells how far they are, without any other call of their hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.waiting import wait_until
from poddnat.controllers.intervals import RESYNC
from poddnat.gateway.intervals import STUCK_AFTER
from tests.unit.hooks.test_standby import Standby
from tests.unit.hooks.world import (
    EXPOSE_80,
    GATEWAY,
    PORTS,
    World,
    condition,
    poddnat_request,
    running,
)
from vpc_emulator import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]


@pytest.fixture
def world() -> Iterator[World]:
    """A cloud that takes a moment for each write, so that nothing works yet when the hook answers."""
    with running(settle_seconds=0.3) as world:
        yield world


def begun(world: World, **annotations: str) -> Json:
    """Make the PodDNAT that a pod should have, and call its hook once."""
    pod = world.make_pod({**EXPOSE_80, **annotations})
    attachment = world.attachment(pod)
    record = attachment["metadata"].get("annotations")
    poddnat = world.make_poddnat(attachment["spec"], owner=pod, record=record)
    assert world.client.post("/poddnat/sync", json=poddnat_request(poddnat)).status_code == 429
    return poddnat


def reason(world: World) -> str:
    """Read why the PodDNAT is Ready, or isn't; empty: its status says nothing yet."""
    poddnat = world.poddnat() or {}
    return condition(poddnat)[1] if poddnat.get("status") else ""


def wait_for(world: World, expected: str) -> Json:
    wait_until(lambda: reason(world) == expected, 10, f"the status to say {expected}")
    return world.poddnat() or {}


def test_hook_is_told_to_come_as_late_as_at_rest(world: World) -> None:
    poddnat = begun(world)
    again = world.client.post("/poddnat/sync", json=poddnat_request(poddnat))
    assert again.headers["Retry-After"] == str(round(RESYNC))


def test_status_is_written_when_the_entry_works(world: World) -> None:
    begun(world)
    poddnat = wait_for(world, "Ready")
    assert [entry["forwardEntryId"] for entry in poddnat["status"]["entries"]] == [e.id for e in world.entries()]


def test_status_is_what_metacontroller_would_write(world: World) -> None:
    begun(world)
    poddnat = wait_for(world, "Ready")
    answered = world.client.post("/poddnat/sync", json=poddnat_request(poddnat)).get_json()["status"]
    assert poddnat["status"] == {**answered, "observedGeneration": poddnat["metadata"]["generation"]}


def test_nothing_more_is_written_once_it_is_ready(world: World) -> None:
    begun(world)
    ready = wait_for(world, "Ready")
    for _ in range(3):
        world.service.poddnat_queue.add([ready["metadata"]["uid"]])
        wait_until(lambda: not world.service.poddnat_queue.waiting, 5, "the queue to be empty")
    assert world.poddnat() == ready


def test_what_keeps_an_entry_from_being_made_is_told(world: World) -> None:
    world.emulator.add_fault(Fault("error", action="CreateForwardEntry", code="Forbidden.RAM", status=403, times=None))
    begun(world)
    wait_until(lambda: reason(world) not in {"", "Ready"}, STUCK_AFTER, "the refusal to be told")
    assert ("PodDNAT", reason(world)) in world.warnings()


def test_all_ports_work_before_the_status_says_so(world: World) -> None:
    begun(world, **{PORTS: "80,81,82"})
    assert len(wait_for(world, "Ready")["status"]["entries"]) == 3


def test_older_answer_that_overwrites_that_it_is_ready_is_overwritten_again(world: World) -> None:
    begun(world)
    ready = wait_for(world, "Ready")
    wait_until(lambda: (world.service.poddnats.get("default", "web-1") or {}).get("status"), 5, "it to be seen")
    stale = {**ready["status"], "entries": [], "conditions": [{**ready["status"]["conditions"][0], "status": "False"}]}
    stale["conditions"][0]["reason"] = "GatewayUnavailable"
    world.set_status(ready, stale)
    assert wait_for(world, "Ready")["status"]["entries"] == ready["status"]["entries"]


@pytest.mark.parametrize("done", [True, False], ids=["its answer is lost", "it is lost"])
def test_write_that_is_lost_is_made_again(world: World, *, done: bool) -> None:
    world.connection.lose("PATCH", done=done)
    begun(world)
    wait_for(world, "Ready")
    assert world.connection.lost_all


def test_spec_that_has_changed_since_is_the_one_that_counts(world: World) -> None:
    poddnat = begun(world)
    mapping = [{"externalPort": "600", "internalPort": "80"}]
    changed = world.api.patch(world.poddnats, "web-1", {"spec": {"portMapping": mapping}}, "default")
    world.client.post("/poddnat/sync", json=poddnat_request(changed))
    wait_until(lambda: [e.external_port for e in world.entries()] == ["600"], 10, "the new port alone")
    assert wait_for(world, "Ready")["status"]["observedGeneration"] == poddnat["metadata"]["generation"] + 1


def test_poddnat_that_is_deleted_meanwhile_is_left_to_its_finalize_hook(world: World) -> None:
    poddnat = begun(world)
    world.delete(poddnat)
    wait_until(lambda: not world.service.poddnat_queue.waiting, 10, "the queue to be empty")
    assert reason(world) != "Ready"


def test_standby_writes_no_status(world: World) -> None:
    standby = Standby(world)
    standby.service.start()
    try:
        wait_until(lambda: standby.service.warm, 10, "the standby to have listed all")
        begun(world)
        uid = wait_for(world, "Ready")["metadata"]["uid"]
        before = world.poddnat()
        standby.service.poddnat_queue.add([uid])
        wait_until(lambda: not standby.service.poddnat_queue.waiting, 5, "its queue to be empty")
        assert world.poddnat() == before
    finally:
        standby.service.stop()


def test_poddnat_that_nobody_knows_is_given_up(world: World) -> None:
    world.service.poddnat_queue.add(["uid-of-nobody"])
    wait_until(lambda: not world.service.poddnat_queue.waiting, 30, "the queue to be empty")
    assert world.service.fleet.get(GATEWAY) is not None
