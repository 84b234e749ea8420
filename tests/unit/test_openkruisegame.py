"""OpenKruiseGame's plugin AlibabaCloud-NATGW finds in v1beta1 PodDNATs what it looks for, all through a pod's life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.api import ApiError, name_of
from metacontroller_standin.waiting import wait_until
from tests.unit.hooks import openkruisegame as plugin
from tests.unit.hooks.world import EIP, POD_IP, PORTS, Cluster, World, answer, cluster, running

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

LISTS = ["80,8080", "80,53/udp", "7000-7010,80", "27015/tcpudp,9000-9010/udp", " 80 , 443/TCP ", "80"]


@pytest.fixture
def world() -> Iterator[World]:
    with running() as world:
        yield world


@pytest.fixture
def busy() -> Iterator[Cluster]:
    with running(settle_seconds=0.05) as world, cluster(world) as busy:
        yield busy


def read(world: World, name: str = "web-1") -> Json | None:
    """Read a PodDNAT as the plugin does."""
    try:
        return world.api.get(world.api.resource(plugin.VERSION, "poddnats"), name, "default")
    except ApiError as error:
        if error.not_found:
            return None
        raise


@pytest.mark.parametrize("ports", LISTS)
def test_network_is_ready_once_every_item_has_an_entry_whatever_its_form(world: World, ports: str) -> None:
    pod = world.make_pod(plugin.asking(ports))
    made = world.make_poddnat(world.attachment(pod)["spec"], owner=pod)
    assert not plugin.is_ready(pod, read(world))
    world.set_status(made, answer(lambda: world.sync_poddnat(made))["status"])
    assert plugin.is_ready(pod, read(world))


def test_entries_have_all_the_fields_and_all_are_texts(world: World) -> None:
    poddnat = world.expose(world.make_pod(plugin.asking("27015/tcpudp,9000-9010", "UDP")))
    shown = read(world, name_of(poddnat))
    assert shown is not None
    both, voice = plugin.entries(shown)
    ids = {entry.protocol: entry.id for entry in world.entries() if entry.internal_port == "27015"}
    assert both == {
        "externalIP": EIP,
        "externalPort": "523",
        "forwardEntryId": f"{ids['tcp']},{ids['udp']}",
        "internalIP": POD_IP,
        "internalPort": "27015",
        "ipProtocol": "tcpudp",
    }
    assert set(voice) == plugin.ENTRY
    assert (voice["externalPort"], voice["internalPort"]) == ("512/522", "9000/9010")
    assert plugin.addresses(shown) == [f"{EIP}:523 TCPUDP", f"{EIP}:512/522 UDP"]


def test_entries_stand_in_the_order_of_the_list(world: World) -> None:
    poddnat = world.expose(world.make_pod(plugin.asking("443,80,8080")))
    shown = read(world, name_of(poddnat))
    assert shown is not None
    assert [entry["internalPort"] for entry in plugin.entries(shown)] == ["443", "80", "8080"]


def test_replaced_pod_is_never_shown_with_the_address_of_the_one_before_it() -> None:
    with running(settle_seconds=0.5) as world:
        game, pods = plugin.Plugin(), world.api.resource("v1", "pods")
        poddnat = world.expose(world.make_pod(plugin.asking("80")))
        waiting = world.finalize(poddnat)
        world.set_status(poddnat, waiting.get_json()["status"])
        world.api.delete(pods, "web-1", "default", grace_period=0)
        again = world.make_pod(plugin.asking("80"), ip="172.16.1.8")
        for _ in range(2):
            game.pod_written(again, read(world))
        assert (game.shown[again["metadata"]["uid"]], game.ready) == ([], set())
        assert world.finalized(poddnat)["finalized"] is True


def test_pod_that_has_shown_a_ready_network_goes_on_showing_the_addresses_that_work(world: World) -> None:
    game, pod = plugin.Plugin(), world.make_pod(plugin.asking("80"))
    poddnat = world.expose(pod)
    for _ in range(2):
        game.pod_written(pod, read(world))
    world.set_status(poddnat, {"conditions": poddnat["status"]["conditions"]})
    game.pod_written(pod, read(world))
    assert game.shown[pod["metadata"]["uid"]] == [f"{EIP}:512 TCP"]
    assert game.ready == {pod["metadata"]["uid"]}


def test_network_becomes_ready_follows_a_changed_list_and_goes_with_its_pod(busy: Cluster) -> None:
    world = busy.world
    pods = world.api.resource("v1", "pods")
    pod = world.make_pod(plugin.asking("80,8080"), ip="")
    wait_until(lambda: plugin.is_ready(pod, read(world)), 10, "the network to be ready")
    pod = world.annotate(pod, {PORTS: "80,27015/tcpudp,9000-9010/udp"})
    assert not plugin.is_ready(pod, read(world))
    wait_until(lambda: plugin.is_ready(pod, read(world)), 10, "the network to be ready again")
    world.api.delete(pods, "web-1", "default")
    wait_until(lambda: read(world) is None and not world.entries(), 10, "the PodDNAT to go")
