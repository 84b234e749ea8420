"""Pods' lives in a whole cluster in memory, with the shipped controllers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from metacontroller_standin.waiting import wait_until
from metacontroller_standin.workloads import create
from poddnat.files import MANIFESTS
from poddnat.kube import KubeClient, KubeError, connect_to
from tests.unit.hooks.world import EXPOSE_80, POD_DNAT, PORTS, RESULT, STATUS, Cluster, World, cluster, running
from vpc_emulator import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]


@pytest.fixture
def busy() -> Iterator[Cluster]:
    """A cluster with hook server, Metacontroller's stand-in and kubelet."""
    with running(settle_seconds=0.05) as world, cluster(world) as busy:
        yield busy


def pod_report(world: World, name: str = "web-1") -> dict[str, str]:
    """Read what a pod's annotations report of its exposure."""
    pod = world.api.get(world.api.resource("v1", "pods"), name, "default")
    return {key: value for key, value in pod["metadata"].get("annotations", {}).items() if key in (STATUS, RESULT)}


def wait_ready(world: World, *names: str) -> None:
    wait_until(
        lambda: all(pod_report(world, name).get(STATUS) == "Ready" for name in names), 10, f"{names} to be Ready"
    )


def wait_clear(world: World) -> None:
    wait_until(lambda: not world.entries() and world.poddnat() is None, 10, "entry and PodDNAT to go")


def test_pod_is_exposed_as_long_as_it_is_there(busy: Cluster) -> None:
    world = busy.world
    world.make_pod(EXPOSE_80, ip="")
    wait_ready(world, "web-1")
    assert [entry.status for entry in world.entries()] == ["Available"]
    world.api.delete(world.api.resource("v1", "pods"), "web-1", "default")
    wait_clear(world)


def test_pods_of_the_examples_get_all_their_ports(busy: Cluster) -> None:
    world = busy.world
    pods: list[Json] = []
    for name in ("deployment", "statefulset", "game-servers"):
        example = yaml.safe_load((MANIFESTS / "examples" / f"{name}.yaml").read_text(encoding="utf-8"))
        pods += create(world.api, example)
    wait_ready(world, *(pod["metadata"]["name"] for pod in pods))
    shown = sorted((entry.internal_port, entry.protocol) for entry in world.entries())
    twice = [("27015", "tcp"), ("27015", "udp"), ("7777", "udp"), ("7778", "udp"), ("9000/9010", "udp")]
    assert shown == sorted([*twice, *twice, ("80", "tcp")])


def test_correcting_a_typo_heals(busy: Cluster) -> None:
    world = busy.world
    pod = world.make_pod({POD_DNAT: "yes", PORTS: "80"}, ip="")
    wait_until(lambda: pod_report(world).get(STATUS, "").startswith("InvalidAnnotation: "), 10, "the pod to be told")
    assert world.warnings() == [("Pod", "InvalidAnnotation")]
    assert world.entries() == []
    world.annotate(pod, {POD_DNAT: "true"})
    wait_ready(world, "web-1")


@pytest.mark.parametrize("change", [{POD_DNAT: None, PORTS: None}, {POD_DNAT: "false"}], ids=["removed", "false"])
def test_opting_out_leaves_nothing(busy: Cluster, change: dict[str, str | None]) -> None:
    world = busy.world
    pod = world.make_pod(EXPOSE_80, ip="")
    wait_ready(world, "web-1")
    world.annotate(pod, change)
    wait_clear(world)
    wait_until(lambda: pod_report(world) == {}, 10, "the results to go")


def test_pod_that_changes_its_mind_back_and_forth_ends_up_exposed_once(busy: Cluster) -> None:
    world = busy.world
    pod = world.make_pod(EXPOSE_80, ip="")
    wait_ready(world, "web-1")
    for value in ("false", "true", "nonsense", "true"):
        world.annotate(pod, {POD_DNAT: value})
    wait_until(
        lambda: pod_report(world).get(STATUS) == "Ready" and len(world.entries()) == 1, 15, "the pod to be exposed"
    )


def test_pod_that_asks_for_another_port_gets_that_one_instead(busy: Cluster) -> None:
    world = busy.world
    pod = world.make_pod(EXPOSE_80, ip="")
    wait_ready(world, "web-1")
    world.annotate(pod, {PORTS: "8080"})
    wait_until(lambda: [entry.internal_port for entry in world.entries()] == ["8080"], 10, "the other port")
    wait_until(lambda: '"internalPort":"8080"' in pod_report(world).get(RESULT, ""), 10, "the pod to be told")


def test_pod_of_the_same_name_as_one_just_deleted_is_exposed(busy: Cluster) -> None:
    world = busy.world
    pods = world.api.resource("v1", "pods")
    world.make_pod(EXPOSE_80, ip="")
    wait_ready(world, "web-1")
    world.api.delete(pods, "web-1", "default", grace_period=0)
    wait_until(lambda: not world.api.exists(pods, "web-1", "default"), 5, "the pod to go")
    again = world.make_pod(EXPOSE_80, ip="")
    wait_ready(world, "web-1")
    (entry,) = world.entries()
    assert entry.internal_ip == world.api.get(pods, "web-1", "default")["status"]["podIP"]
    assert (world.poddnat() or {})["metadata"]["ownerReferences"][0]["uid"] == again["metadata"]["uid"]


def test_poddnat_without_a_spec_disturbs_nobody_and_can_be_deleted(busy: Cluster) -> None:
    world = busy.world
    metadata = {"name": "by-hand", "namespace": "default"}
    by_hand = {"apiVersion": "alibabacloud.com/v1", "kind": "PodDNAT", "metadata": metadata}
    world.api.create(world.poddnats, by_hand)
    wait_until(lambda: "status" in (world.poddnat("by-hand") or {}), 10, "the PodDNAT to be judged")
    world.make_pod(EXPOSE_80, ip="")
    wait_ready(world, "web-1")
    world.api.delete(world.poddnats, "by-hand", "default")
    wait_until(lambda: world.poddnat("by-hand") is None, 10, "the PodDNAT to go")


def test_settled_cluster_causes_no_write_anywhere(busy: Cluster) -> None:
    world = busy.world
    for number in range(5):
        world.make_pod(EXPOSE_80, name=f"web-{number}", ip="")
    world.make_pod({POD_DNAT: "nonsense"}, name="wrong", ip="")
    wait_ready(world, *(f"web-{number}" for number in range(5)))
    busy.standin.wait_idle()
    before = (world.memory.store.revision, world.cloud_writes())
    calls = busy.standin.counts().hook_calls.total()
    for number in range(5):  # an event that concerns nobody
        pod = world.api.get(world.api.resource("v1", "pods"), f"web-{number}", "default")
        world.annotate(pod, {"example.com/unrelated": "1"})
    wait_until(lambda: busy.standin.counts().hook_calls.total() >= calls + 5, 10, "the hooks to be asked again")
    busy.standin.wait_idle()
    assert (world.memory.store.revision, world.cloud_writes()) == (before[0] + 5, before[1])


def test_container_that_restarts_changes_nothing(busy: Cluster) -> None:
    world = busy.world
    world.make_pod(EXPOSE_80, ip="")
    wait_ready(world, "web-1")
    busy.standin.wait_idle()
    before = (world.memory.store.revision, world.entries(), world.cloud_writes())
    calls = busy.standin.counts().hook_calls.total()
    again = {"status": {"containerStatuses": [{"name": "web", "restartCount": 1, "ready": True}]}}
    world.api.patch(world.api.resource("v1", "pods"), "web-1", again, "default", "status")
    wait_until(lambda: busy.standin.counts().hook_calls.total() > calls, 10, "the hook to be asked again")
    busy.standin.wait_idle()
    assert (world.memory.store.revision, world.entries(), world.cloud_writes()) == (before[0] + 1, *before[1:])


def test_each_pod_costs_one_create_and_no_look_of_its_own() -> None:
    names = [f"web-{number}" for number in range(10)]
    with running(haste=1, settle_seconds=0.05) as world, cluster(world, patient=True):
        for name in names:
            world.make_pod(EXPOSE_80, name=name, ip="")
        wait_ready(world, *names)
        calls = world.emulator.calls
        assert calls.count("CreateForwardEntry", "OK") == 10
        assert calls.count("DescribeForwardTableEntries") < 10
        assert calls.count("DescribeNetworkInterfaces") < 10


def reported_events(world: World) -> int:
    """Count the events, and let them expire."""
    events = world.api.resource("v1", "events")
    found = world.api.list(events)["items"]
    for event in found:
        world.api.delete(events, event["metadata"]["name"], "default")
    return len(found)


def test_event_is_reported_again_once_the_first_has_expired(world: World) -> None:
    clock = ManualClock()
    kubernetes = KubeClient(world.connection, clock=clock)
    pod = world.make_pod(EXPOSE_80)
    found = []
    for clock.now in (0.0, 3599.0, 3600.0):
        kubernetes.warn(pod, "NoFreePorts", "There are none.")
        found.append(reported_events(world))
    assert found == [1, 0, 1]


def test_event_that_could_not_be_written_is_reported_the_next_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = world.make_pod(EXPOSE_80)
    kubernetes = KubeClient(world.connection)
    with monkeypatch.context() as away:
        away.setattr(world.connection, "call_api", fail)
        kubernetes.warn(pod, "NoFreePorts", "There are none.")
    kubernetes.warn(pod, "NoFreePorts", "There are none.")
    assert reported_events(world) == 1


def fail(*_: object, **__: object) -> None:
    raise ConnectionError


def test_api_server_that_is_away_is_reported_without_the_call() -> None:
    with pytest.raises(KubeError) as caught:
        KubeClient(connect_to("http://127.0.0.1:1")).pod("default", "web-1")
    assert str(caught.value) == "http://127.0.0.1:1 gives no answer (connection refused)"
