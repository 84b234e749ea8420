"""What a pod gets and loses as it opts out and in again, loses its IP, or brings annotations along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.waiting import wait_until
from poddnat.api.readiness import CONDITION
from poddnat.kube import KubeClient, KubeError
from tests.unit.hooks.world import (
    EXPOSE_80,
    POD_DNAT,
    POD_IP,
    PORTS,
    RESULT,
    STATUS,
    World,
    answer,
    condition,
    restarted,
    running,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

GATE: dict[str, Any] = {"readinessGates": [{"conditionType": CONDITION}]}
NOTHING_LEFT: dict[str, str | None] = {POD_DNAT: None, PORTS: None, STATUS: None, RESULT: None}


@pytest.fixture
def world() -> Iterator[World]:
    """A world in which nothing is hasty: ports are reserved for their whole time."""
    with running(haste=1.0) as world:
        yield world


def stored(world: World) -> Json:
    return world.api.get(world.api.resource("v1", "pods"), "web-1", "default")


def gate(world: World) -> tuple[str, str] | None:
    conditions = stored(world)["status"].get("conditions") or []
    return next(((one["status"], one["reason"]) for one in conditions if one["type"] == CONDITION), None)


def lose(world: World, poddnat: Json) -> None:
    """Play Metacontroller for a pod that should have no PodDNAT any more."""
    if world.poddnat() is not None:
        world.finalized(poddnat)
        world.api.patch(world.poddnats, "web-1", {"metadata": {"finalizers": None}}, "default")
    wait_until(lambda: not world.service.poddnats.is_alive(poddnat["metadata"]["uid"]), 5, "the PodDNAT to go")


def port_of(attachment: Json) -> str:
    return str(attachment["spec"]["portMapping"][0]["externalPort"])


def next_port(world: World) -> str:
    """Tell which port the next pod gets."""
    return port_of(world.attachment(world.make_pod(EXPOSE_80, name="web-2", ip="172.16.1.8")))


def test_pod_that_loses_its_ip_for_a_moment_comes_back_with_its_ports_though_others_ask_meanwhile() -> None:
    with running(haste=1.0, last_port=512) as world:
        pod = world.make_pod(EXPOSE_80)
        poddnat = world.expose(pod)
        gone = answer(lambda: world.sync_pod(world.set_pod_status(pod, "Running", ""), poddnat))
        assert gone["attachments"][0]["spec"]["internalIP"] == ""
        assert gone["resyncAfterSeconds"] > 0
        lose(world, poddnat)
        other = world.make_pod(EXPOSE_80, name="web-2", ip="172.16.1.9")
        assert world.refusal(other).startswith("NoFreePorts: ")
        again = world.set_pod_status(pod, "Running", "172.16.1.8")
        assert port_of(world.attachment(again)) == "512"


def without_ip(world: World, pod: Json, poddnat: Json) -> tuple[Json, Json]:
    """Let a pod lose its IP, and play Metacontroller for it; return both as they are then."""
    pod = world.set_pod_status(pod, "Running", "")
    spec = world.attachment(pod, poddnat)["spec"]
    changed = world.api.patch(world.poddnats, "web-1", {"spec": spec}, "default")
    return pod, world.set_status(changed, answer(lambda: world.sync_poddnat(changed))["status"])


def test_pod_without_ip_has_a_poddnat_that_exposes_nothing_and_says_so(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    _, poddnat = without_ip(world, pod, world.expose(pod))
    assert (condition(poddnat)[:2], poddnat["status"]["entries"]) == (("False", "PodWithoutIP"), [])
    wait_until(lambda: not world.entries(), 5, "the entry to go")


def test_pod_that_loses_its_ip_has_its_ports_again_though_the_server_was_restarted_meanwhile() -> None:
    with running(haste=1.0, last_port=513) as world:
        pod = world.make_pod(EXPOSE_80)
        pod, poddnat = without_ip(world, pod, world.expose(pod))
        with restarted(world) as again:
            assert next_port(again) == "513"
            back = again.set_pod_status(pod, "Running", "172.16.1.9")
            spec = again.attachment(back, poddnat)["spec"]
            assert (spec["portMapping"][0]["externalPort"], spec["internalIP"]) == ("512", "172.16.1.9")
            moved = again.api.patch(again.poddnats, "web-1", {"spec": spec}, "default")
            assert condition(answer(lambda: again.sync_poddnat(moved)))[1] == "Ready"
            assert [entry.internal_ip for entry in again.entries()] == ["172.16.1.9"]


def test_entry_of_a_pod_that_lost_its_ip_just_before_a_restart_goes(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    world.service.stop()
    world.set_pod_status(pod, "Running", "")
    cleared = world.api.patch(world.poddnats, "web-1", {"spec": {**poddnat["spec"], "internalIP": ""}}, "default")
    with restarted(world) as again:
        assert condition(answer(lambda: again.sync_poddnat(cleared)))[1] == "PodWithoutIP"
        wait_until(lambda: not again.entries(), 5, "the entry to go")


def test_pod_that_has_finished_leaves_its_ports_to_others(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    assert answer(lambda: world.sync_pod(world.set_pod_status(pod, "Failed", POD_IP), poddnat))["attachments"] == []
    assert dict(world.service._registry._reservations.by_pod) == {}


def test_pod_that_is_switched_off_and_on_again_within_a_minute_has_the_same_ports(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    off = world.annotate(pod, {POD_DNAT: "false"})
    assert answer(lambda: world.sync_pod(off, poddnat))["attachments"] == []
    lose(world, poddnat)
    assert next_port(world) == "513"
    assert port_of(world.attachment(world.annotate(pod, {POD_DNAT: "true"}))) == "512"


def test_pod_that_loses_its_annotation_for_a_moment_has_the_same_ports(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    wait_until(world.service.poddnats.all, 5, "the PodDNAT to be seen")
    off = world.annotate(pod, {POD_DNAT: None, STATUS: "Ready"})
    answer(lambda: world.opt_out(off))
    lose(world, poddnat)
    assert next_port(world) == "513"
    assert port_of(world.attachment(world.annotate(pod, {POD_DNAT: "true"}))) == "512"


def test_pod_that_is_refused_for_its_namespace_has_the_same_ports_when_that_is_mended(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    world.change_values(network={"allowedNamespaces": {"names": ["other"]}})
    assert answer(lambda: world.sync_pod(pod, poddnat))["attachments"] == []
    lose(world, poddnat)
    world.change_values()
    assert next_port(world) == "513"
    assert port_of(world.attachment(pod)) == "512"


def test_pod_that_is_refused_for_its_node_has_the_same_ports_when_that_is_mended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    # A node's labels are read once in ten minutes.
    monkeypatch.setattr("poddnat.placement.Nodes.is_virtual", lambda _nodes, _name: True)
    refused = answer(lambda: world.sync_pod(pod, poddnat))
    assert refused["annotations"][STATUS].startswith("VirtualNode: ")
    assert refused["attachments"] == []
    lose(world, poddnat)
    monkeypatch.undo()
    assert next_port(world) == "513"
    assert port_of(world.attachment(pod)) == "512"


def wait_seen(world: World) -> None:
    wait_until(world.service._pods.all, 5, "the pod to be seen by the watch")
    wait_until(world.service.poddnats.all, 5, "the PodDNAT to be seen")


def test_pod_that_removes_all_annotations_ours_included_is_no_longer_exposed_and_no_hook_is_called(
    world: World,
) -> None:
    pod = world.make_pod(EXPOSE_80, **GATE)
    poddnat = world.expose(pod)
    ready(world, pod, poddnat)
    wait_seen(world)
    world.annotate(pod, NOTHING_LEFT)
    wait_until(lambda: world.poddnat() is None and not world.entries(), 5, "its PodDNAT and its entry to go")
    wait_until(lambda: gate(world) == ("False", "NotExposed"), 5, "the gate to close")


def test_opt_out_that_nobody_could_act_on_at_once_is_noticed_by_the_next_sync(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    wait_seen(world)
    poddnat["status"]["conditions"][0]["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    assert condition(answer(lambda: world.sync_poddnat(poddnat)))[0] == "True"
    world.service._may_write = lambda: False
    world.annotate(pod, NOTHING_LEFT)
    uid = pod["metadata"]["uid"]
    wait_until(lambda: world.service._pods.has_opted_out(uid), 5, "the opt-out to be seen")
    world.service._may_write = lambda: True
    world.service._authorizer._clock = lambda: 1e9
    assert world.sync_poddnat(poddnat).status_code == 429
    assert world.poddnat() is None


def ready(world: World, pod: Json, poddnat: Json) -> None:
    """Play Metacontroller until a gated pod is ready."""
    world.annotate(pod, answer(lambda: world.sync_pod(stored(world), poddnat))["annotations"])
    answer(lambda: world.sync_pod(stored(world), poddnat))
    assert gate(world) == ("True", "Ready")


def test_gate_closes_though_no_server_ran_when_the_pod_lost_all_annotations(world: World) -> None:
    pod = world.make_pod(EXPOSE_80, **GATE)
    poddnat = world.expose(pod)
    ready(world, pod, poddnat)
    world.service.stop()
    world.annotate(pod, NOTHING_LEFT)
    with restarted(world) as again:
        wait_until(lambda: (again.sync_poddnat(poddnat), again.poddnat())[1] is None, 5, "the PodDNAT to go")
        assert gate(again) == ("False", "NotExposed")


def test_poddnat_of_a_pod_that_opts_out_stays_until_the_gate_could_be_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def be_away(*_args: object) -> bool:
        raise KubeError("the API server is away")

    pod = world.make_pod(EXPOSE_80, **GATE)
    poddnat = world.expose(pod)
    ready(world, pod, poddnat)
    wait_seen(world)
    monkeypatch.setattr(KubeClient, "set_pod_condition", be_away)
    world.annotate(pod, {POD_DNAT: None})
    assert world.opt_out(stored(world)).status_code == 429
    assert world.poddnat() is not None
    monkeypatch.undo()
    wait_until(lambda: (world.opt_out(stored(world)), world.poddnat())[1] is None, 5, "the PodDNAT to go")
    assert gate(world) == ("False", "NotExposed")


def test_gate_closes_when_the_annotation_is_removed(world: World) -> None:
    pod = world.make_pod(EXPOSE_80, **GATE)
    ready(world, pod, world.expose(pod))
    world.annotate(pod, {POD_DNAT: None})
    reported = answer(lambda: world.opt_out(stored(world)))
    assert reported["annotations"] == {STATUS: None, RESULT: None}
    assert gate(world) == ("False", "NotExposed")


def test_gated_pod_that_is_switched_off_is_told_so(world: World) -> None:
    pod = world.make_pod({POD_DNAT: "false"}, **GATE)
    answer(lambda: world.sync_pod(pod))
    assert gate(world) == ("False", "NotExposed")


def test_gate_stays_closed_for_a_status_that_a_template_brought_along(world: World) -> None:
    pod = world.make_pod({**EXPOSE_80, STATUS: "Ready", RESULT: "[]"}, **GATE)
    first = answer(lambda: world.sync_pod(pod))
    assert first["annotations"][STATUS].startswith("Updating: ")
    assert gate(world) is None
    world.annotate(pod, first["annotations"])
    answer(lambda: world.sync_pod(stored(world)))
    assert gate(world) == ("False", "Updating")
    poddnat = world.make_poddnat(first["attachments"][0]["spec"], owner=pod)
    ready(world, pod, world.set_status(poddnat, answer(lambda: world.sync_poddnat(poddnat))["status"]))
