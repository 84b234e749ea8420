"""A server that starts anew: everything it has to know stands in the cluster and in the cloud."""

from __future__ import annotations

from metacontroller_standin.waiting import wait_until
from poddnat.api.fixed import OWNER, STRATEGY
from tests.unit.hooks.world import EIP, EXPOSE_80, GATEWAY, PORTS, World, answer, restarted, running
from vpc_emulator import Fault


def test_restarted_server_says_the_same_of_a_poddnat_without_a_write(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    writes = world.cloud_writes()
    with restarted(world) as again:
        status = answer(lambda: again.sync_poddnat(poddnat))["status"]
    assert {**status, "observedGeneration": 1} == poddnat["status"]
    assert world.cloud_writes() == writes


def test_restarted_server_does_not_call_a_poddnat_unready_before_it_has_seen_the_table(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    world.emulator.add_fault(Fault("delay", action="DescribeForwardTableEntries", seconds=0.5))
    with restarted(world) as again:
        assert again.sync_poddnat(poddnat).status_code == 429


def test_restarted_server_leaves_a_status_as_it_is_while_the_cloud_is_away(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    world.emulator.add_fault(Fault("error", code="ServiceUnavailable", times=None))
    with restarted(world) as again:
        wait_until(lambda: again.service.fleet.problem(GATEWAY), 10, "the cloud's absence to be noticed")
        response = again.sync_poddnat(poddnat).get_json()
        assert response["status"] == poddnat["status"]
        assert response["resyncAfterSeconds"] > 0


def test_restarted_server_gives_nobody_a_port_in_use(world: World) -> None:
    world.expose(world.make_pod(EXPOSE_80))
    with restarted(world) as again:
        other = again.make_pod(EXPOSE_80, name="web-2", ip="172.16.1.8")
        assert again.attachment(other)["spec"]["portMapping"][0]["externalPort"] == "513"


def test_restarted_server_gives_nobody_a_port_whose_entry_works_though_its_pod_tells_nothing_of_it(
    world: World,
) -> None:
    pod = world.make_pod(EXPOSE_80)
    world.expose(pod)
    world.annotate(pod, {PORTS: "a mistake"})
    with restarted(world) as again:
        other = again.make_pod(EXPOSE_80, name="web-2", ip="172.16.1.8")
        assert again.attachment(other)["spec"]["portMapping"][0]["externalPort"] == "513"


def test_restarted_server_is_not_ready_before_it_knows_which_pods_ask() -> None:
    with running(started=False) as world:
        world.service.poddnats.start()
        wait_until(lambda: world.service.poddnats.has_synced, 5, "the PodDNATs")
        assert not world.service.ready
        world.service._pods.start()
        wait_until(lambda: world.service.ready, 5, "the pods")
        world.service.poddnats.stop()
        world.service._pods.stop()


def test_restarted_server_keeps_a_pods_ports(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    with restarted(world) as again:
        assert again.attachment(pod, poddnat)["spec"] == poddnat["spec"]


def test_restarted_server_finalizes_what_its_predecessor_created(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    with restarted(world) as again:
        assert again.finalized(poddnat)["finalized"] is True
    assert world.entries() == []


def test_restarted_server_goes_on_with_an_entry_that_was_pending() -> None:
    with running(settle_seconds=0.5) as world:
        pod = world.make_pod(EXPOSE_80)
        poddnat = world.make_poddnat(world.attachment(pod)["spec"], owner=pod)
        wait_until(lambda: world.sync_poddnat(poddnat) and world.entries(), 5, "the entry")
        with restarted(world) as again:
            (entry,) = answer(lambda: again.sync_poddnat(poddnat))["status"]["entries"]
        assert [one.id for one in world.entries()] == [entry["forwardEntryId"]]


def test_restarted_server_collects_entries_of_a_poddnat_that_went_meanwhile(world: World) -> None:
    world.expose(world.make_pod(EXPOSE_80))
    world.service.stop()
    world.api.delete(world.poddnats, "web-1", "default")
    with restarted(world, refresh_interval=1.0):
        wait_until(lambda: not world.entries(), 10, "the entry to be collected")


def test_poddnat_that_nobody_owns_takes_no_port_of_a_running_pod_over_a_restart() -> None:
    with running(last_port=512) as world:
        spec = world.attachment(world.make_pod(EXPOSE_80, name="former", ip="172.16.1.8"))["spec"]
        ghost = world.make_poddnat(spec, name="former")
        world.set_status(ghost, answer(lambda: world.sync_poddnat(ghost))["status"])
        world.api.delete(world.api.resource("v1", "pods"), "former", "default", grace_period=0)
        wait_until(lambda: not world.service._registry._reservations.by_pod, 5, "the port to be free")
        pod = world.make_pod(EXPOSE_80)
        poddnat = world.expose(pod)
        with restarted(world) as again:
            assert again.attachment(pod, poddnat)["spec"] == poddnat["spec"]
            assert answer(lambda: again.sync_poddnat(poddnat))["status"]["conditions"][0]["reason"] == "Ready"
            assert answer(lambda: again.sync_poddnat(ghost))["status"]["conditions"][0]["reason"] == "NotAllowed"
            assert again.attachment(pod, poddnat)["spec"] == poddnat["spec"]


def test_poddnat_that_was_retained_beyond_a_limit_takes_no_port_of_a_running_pod_over_a_restart() -> None:
    limits = {"limits": {"portsPerNamespace": 1}}
    with running(last_port=513, network=limits) as world:
        mapping = {"externalPort": "512/513", "internalPort": "80/81"}
        spec = {"tableId": GATEWAY, "externalIP": EIP, "portMapping": [mapping]}
        ghost = world.make_poddnat(spec, name="former")
        marks = {OWNER: "apps/v1 StatefulSet x 1", STRATEGY: "Never"}
        ghost = world.api.patch(world.poddnats, "former", {"metadata": {"annotations": marks}}, "default")
        reported = answer(lambda: world.sync_poddnat(ghost))["status"]
        assert reported["conditions"][0]["reason"] == "NamespaceLimitReached"
        world.set_status(ghost, reported)
        world.change_values(last_port=513)
        pod = world.make_pod(EXPOSE_80)
        poddnat = world.expose(pod)
        with restarted(world) as again:
            assert again.attachment(pod, poddnat)["spec"] == poddnat["spec"]
