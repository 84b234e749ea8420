"""Where pods are put, and when they move: blocked addresses, addresses that come and go, full gateways, namespaces."""

from __future__ import annotations

from typing import Any

from metacontroller_standin.waiting import wait_until
from tests.unit.hooks.world import EIP, EXPOSE_80, GATEWAY, RESULT, STATUS, World, answer, condition, running

Json = dict[str, Any]

OTHER = "203.0.113.99"
BOTH = {"eips": [EIP, OTHER]}
ALL = {"eips": None}


def sync(world: World, poddnat: Json) -> Json:
    """Sync a PodDNAT once, and store its status."""
    return world.set_status(poddnat, answer(lambda: world.sync_poddnat(poddnat))["status"])


def address(world: World, pod: Json, poddnat: Json | None = None) -> str:
    """Tell which address a pod should have."""
    found: str = world.attachment(pod, poddnat)["spec"]["externalIP"]
    return found


# Blocked addresses


def test_no_new_pod_is_put_on_a_blocked_address() -> None:
    with running(entry=BOTH, network={"blockedEips": ["203.0.113.0/28"]}) as world:
        pods = [world.make_pod(EXPOSE_80, name=f"web-{number}", ip=f"172.16.1.{number}") for number in (1, 2)]
        assert [address(world, pod) for pod in pods] == [OTHER, OTHER]


def test_pod_is_told_when_all_addresses_are_blocked() -> None:
    with running(network={"blockedEips": [EIP]}) as world:
        pod = world.make_pod(EXPOSE_80)
        told = answer(lambda: world.sync_pod(pod))
        assert told["attachments"] == []
        text = f"GatewayUnusable: All external addresses of NAT gateway {GATEWAY} are blocked"
        assert told["annotations"][STATUS].startswith(text)


# Addresses that leave the gateway, and come


def test_pod_moves_when_its_address_has_left_the_gateway() -> None:
    with running(entry=BOTH, refresh_interval=1.0) as world:
        pod = world.make_pod(EXPOSE_80)
        poddnat = world.expose(pod)
        world.emulator.remove_eip(GATEWAY, EIP)
        wait_until(lambda: condition(sync(world, poddnat))[1] != "Ready", 10, "the loss to be noticed")
        poddnat = sync(world, poddnat)
        assert condition(poddnat)[:2] == ("False", "ExternalAddressUnusable")
        assert address(world, pod, poddnat) == OTHER


def test_address_that_joins_the_gateway_is_used_without_a_restart() -> None:
    with running(entry={**ALL, "portRangeEnd": 512}, refresh_interval=1.0) as world:
        for number in (1, 2):
            world.expose(world.make_pod(EXPOSE_80, name=f"web-{number}", ip=f"172.16.1.{number}"))
        third = world.make_pod(EXPOSE_80, name="web-3", ip="172.16.1.3")
        assert answer(lambda: world.sync_pod(third))["annotations"][STATUS].startswith("NoFreePorts: ")
        world.emulator.add_eip(GATEWAY, "203.0.113.50")
        wait_until(lambda: answer(lambda: world.sync_pod(third))["attachments"], 10, "the address to be noticed")
        assert address(world, third) == "203.0.113.50"


# Full gateways


def test_pods_that_wait_for_room_get_it_in_order_and_are_told_how_much_is_missing() -> None:
    with running(entry={"quota": 1}) as world:
        pods = [world.make_pod(EXPOSE_80, name=f"web-{number}", ip=f"172.16.1.{number}") for number in (1, 2, 3)]
        first = world.expose(pods[0])
        waiting = [
            world.make_poddnat(world.attachment(pod)["spec"], owner=pod, name=pod["metadata"]["name"])
            for pod in pods[1:]
        ]
        waiting = [sync(world, poddnat) for poddnat in waiting]
        ready, reason, message = condition(sync(world, waiting[0]))
        assert (ready, reason) == ("False", "QuotaExceeded")
        assert message.startswith(f"NAT gateway {GATEWAY} has reached its quota of 1 forward entries; an operator can")
        assert message.endswith("2 pods wait for 2 more entries there.")
        # The last one asks first, and often.
        answer(lambda: world.finalize(first))
        wait_until(lambda: world.sync_poddnat(waiting[1]) and world.entries(), 10, "the room to be used")
        assert [entry.internal_ip for entry in world.entries()] == ["172.16.1.2"]


# Namespaces


def namespace(world: World, labels: dict[str, str]) -> None:
    """Create the pods' namespace, or give it other labels."""
    namespaces = world.api.resource("v1", "namespaces")
    if any(item["metadata"]["name"] == "default" for item in world.api.list(namespaces)["items"]):
        world.api.patch(namespaces, "default", {"metadata": {"labels": labels}})
    else:
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "labels": labels}}
        world.api.create(namespaces, made)


GAMES = {"allowedNamespaces": {"names": ["lobby"], "selector": {"matchLabels": {"team": "games"}}}}


def test_pod_in_a_namespace_that_is_not_allowed_gets_nothing_and_is_told_which_are() -> None:
    with running(network=GAMES) as world:
        pod = world.make_pod(EXPOSE_80)
        told = answer(lambda: world.sync_pod(pod))
        assert told["attachments"] == []
        assert told["annotations"][STATUS] == (
            "NamespaceNotAllowed: Namespace default may not have public ports; allowedNamespaces in the values allows "
            "lobby and those with the labels team=games; an operator has to add it."
        )
        assert world.warnings() == [("Pod", "NamespaceNotAllowed")]


def test_pod_in_a_namespace_with_the_right_labels_gets_its_ports() -> None:
    with running(network=GAMES) as world:
        namespace(world, {"team": "games"})
        world.expose(world.make_pod(EXPOSE_80))


def test_poddnat_by_hand_exposes_nothing_in_a_namespace_that_is_not_allowed() -> None:
    with running(network={"allowedNamespaces": {"names": ["lobby"]}}) as world:
        pod = world.make_pod(EXPOSE_80)
        mapping = [{"externalPort": "512", "internalPort": "80"}]
        spec = {"externalIP": EIP, "internalIP": "172.16.1.7", "portMapping": mapping, "tableId": GATEWAY}
        poddnat = world.make_poddnat({**spec, "protocol": "tcp"}, owner=pod)
        assert condition(sync(world, poddnat))[1] == "NamespaceNotAllowed"
        assert world.cloud_writes() == 0


def test_pod_whose_namespace_is_not_allowed_any_more_loses_its_ports() -> None:
    with running(network=GAMES) as world:
        namespace(world, {"team": "games"})
        pod = world.make_pod(EXPOSE_80)
        poddnat = world.expose(pod)
        namespace(world, {"team": "web"})
        wait_until(lambda: condition(sync(world, poddnat))[1] == "NamespaceNotAllowed", 10, "the labels to be read")
        wait_until(lambda: not world.entries(), 10, "the entry to go")
        told = answer(lambda: world.sync_pod(pod, poddnat))
        assert told["attachments"] == []
        assert RESULT not in told["annotations"]
