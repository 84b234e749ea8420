"""Where pods are put, and when they move: blocked addresses, addresses that come and go, full gateways, namespaces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from metacontroller_standin.waiting import wait_until
from poddnat.config import AccessKey
from tests.unit.hooks.world import (
    EIP,
    EXPOSE_80,
    GATEWAY,
    KEY,
    OTHER_KEY,
    PORTS,
    RESULT,
    SECRET,
    STATUS,
    World,
    answer,
    cluster,
    condition,
    restarted,
    running,
)
from vpc_emulator.world import POD_DNAT_ACTIONS

Json = dict[str, Any]

OTHER = "203.0.113.99"
BOTH = {"eips": [EIP, OTHER]}
ALL = {"eips": None}


def sync(world: World, poddnat: Json) -> Json:
    """Sync a PodDNAT once, and store its status."""
    return world.set_status(poddnat, answer(lambda: world.sync_poddnat(poddnat))["status"])


def annotations_of(world: World, pod: Json) -> Json:
    """Read a pod's annotations."""
    metadata = pod["metadata"]
    read = world.api.get(world.api.resource("v1", "pods"), metadata["name"], metadata["namespace"])
    found: Json = read["metadata"]["annotations"]
    return found


def address(world: World, pod: Json, poddnat: Json | None = None) -> str:
    """Tell which address a pod should have."""
    found: str = world.attachment(pod, poddnat)["spec"]["externalIP"]
    return found


# Blocked addresses


def test_no_new_pod_is_put_on_a_blocked_address() -> None:
    with running(entry=BOTH, network={"blockedEips": ["203.0.113.0/28"]}) as world:
        pods = [world.make_pod(EXPOSE_80, name=f"web-{number}", ip=f"172.16.1.{number}") for number in (1, 2)]
        assert [address(world, pod) for pod in pods] == [OTHER, OTHER]


def test_pod_learns_that_all_addresses_are_blocked() -> None:
    with running(network={"blockedEips": [EIP]}) as world:
        pod = world.make_pod(EXPOSE_80)
        given = answer(lambda: world.sync_pod(pod))
        assert given["attachments"] == []
        text = f"GatewayUnusable: All external addresses of NAT gateway {GATEWAY} are blocked"
        assert given["annotations"][STATUS].startswith(text)


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


def test_pod_at_rest_moves_soon_after_its_address_has_left_the_gateway() -> None:
    with running(entry=BOTH, refresh_interval=1.0) as world, cluster(world):
        pod = world.make_pod(EXPOSE_80, ip="")
        wait_until(lambda: EIP in annotations_of(world, pod).get(RESULT, ""), 10, "the pod to be exposed")
        world.emulator.remove_eip(GATEWAY, EIP)
        wait_until(lambda: OTHER in annotations_of(world, pod).get(RESULT, ""), 10, "the pod to have moved")


def test_gateways_are_described_more_often_than_tables_are_read() -> None:
    with running(refresh_interval=1.0, haste=1.0) as world:
        calls = world.emulator.calls
        wait_until(lambda: calls.count("DescribeNatGateways") >= 6, 20, "five more calls")
        assert calls.count("DescribeForwardTableEntries") < 4


def test_address_that_joins_the_gateway_is_used_without_a_restart() -> None:
    with running(entry={**ALL, "portRangeEnd": 512}, refresh_interval=1.0) as world:
        for number in (1, 2):
            world.expose(world.make_pod(EXPOSE_80, name=f"web-{number}", ip=f"172.16.1.{number}"))
        third = world.make_pod(EXPOSE_80, name="web-3", ip="172.16.1.3")
        assert answer(lambda: world.sync_pod(third))["annotations"][STATUS].startswith("NoFreePorts: ")
        world.emulator.add_eip(GATEWAY, "203.0.113.50")
        wait_until(lambda: answer(lambda: world.sync_pod(third))["attachments"], 10, "the address to be noticed")
        assert address(world, third) == "203.0.113.50"


# Another values file


def test_pod_moves_from_an_address_once_it_is_blocked_if_the_values_say_so() -> None:
    with running(entry=BOTH) as world:
        pod = world.make_pod(EXPOSE_80)
        poddnat = world.expose(pod)
        world.change_values(entry=BOTH, network={"blockedEips": [EIP], "moveFromBlockedEips": True})
        poddnat = sync(world, poddnat)
        ready, _, message = condition(poddnat)
        assert ready == "True"
        assert message.endswith("The address is blocked: the pod moves to another one as soon as there is room.")
        assert address(world, pod, poddnat) == OTHER


def test_pod_stays_reachable_on_a_blocked_address_while_there_is_no_other() -> None:
    with running() as world:
        pod = world.make_pod(EXPOSE_80)
        poddnat = world.expose(pod)
        world.change_values(network={"blockedEips": [EIP], "moveFromBlockedEips": True})
        given = answer(lambda: world.sync_pod(pod, poddnat))
        assert given["attachments"][0]["spec"] == poddnat["spec"]
        assert len(world.entries()) == 1


def test_pod_stays_on_a_blocked_address_unless_the_values_say_otherwise() -> None:
    with running(entry=BOTH) as world:
        pod = world.make_pod(EXPOSE_80)
        poddnat = world.expose(pod)
        world.change_values(entry=BOTH, network={"blockedEips": [EIP]})
        assert sync(world, poddnat)["status"] == poddnat["status"]
        assert address(world, pod, poddnat) == EIP


@pytest.mark.parametrize("since", ["2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z"], ids=["long ago", "just now"])
def test_pod_whose_port_has_left_the_pool_gets_another_one(since: str) -> None:
    with running() as world:
        pod = world.make_pod(EXPOSE_80)
        poddnat = world.expose(pod)
        poddnat["status"]["conditions"][0]["lastTransitionTime"] = since
        world.change_values(entry={"portRangeStart": 600})
        poddnat = sync(world, poddnat)
        assert condition(poddnat)[:2] == ("False", "NotInPool")
        wait_until(lambda: not world.entries(), 10, "the old entry to go")
        moved = world.attachment(pod, poddnat)["spec"]
        assert moved["portMapping"] == [{"externalPort": "600", "internalPort": "80"}]


def test_pod_whose_port_is_still_in_the_pool_keeps_it() -> None:
    with running() as world:
        pod = world.make_pod(EXPOSE_80)
        poddnat = world.expose(pod)
        world.change_values(last_port=2000)
        assert sync(world, poddnat)["status"] == poddnat["status"]
        other = world.make_pod(EXPOSE_80, name="web-2", ip="172.16.1.8")
        assert world.attachment(other)["spec"]["portMapping"][0]["externalPort"] == "513"


def test_poddnats_in_the_wrong_place_are_told_so_without_any_call_of_a_hook_and_no_others() -> None:
    with running(entry=BOTH) as world:
        for number in (1, 2):
            world.expose(world.make_pod(EXPOSE_80, name=f"web-{number}", ip=f"172.16.1.{number}"))
        world.change_values(entry={"eips": [OTHER]})
        wait_until(lambda: condition(world.poddnat("web-1") or {})[1] == "NotInPool", 10, "the first to be told")
        assert condition(world.poddnat("web-2") or {})[1] == "Ready"


def test_pod_moves_by_itself_when_its_address_has_left_the_pool() -> None:
    with running(entry=BOTH) as world, cluster(world):
        pod = world.make_pod(EXPOSE_80)
        wait_until(lambda: annotations_of(world, pod).get(STATUS) == "Ready", 20, "the pod to be Ready")
        world.change_values(entry={"eips": [OTHER]})
        wait_until(lambda: OTHER in (annotations_of(world, pod).get(RESULT) or ""), 20, "the pod to move")
        assert [entry.external_ip for entry in world.entries()] == [OTHER]


def test_pod_moves_by_itself_from_an_address_that_is_attacked() -> None:
    with running(entry=BOTH) as world, cluster(world):
        pod = world.make_pod(EXPOSE_80)
        wait_until(lambda: annotations_of(world, pod).get(STATUS) == "Ready", 20, "the pod to be Ready")
        world.change_values(entry=BOTH, network={"blockedEips": [EIP], "moveFromBlockedEips": True})
        wait_until(lambda: OTHER in (annotations_of(world, pod).get(RESULT) or ""), 20, "the pod to move")
        assert [entry.external_ip for entry in world.entries()] == [OTHER]


def test_reservation_that_the_new_pool_does_not_hold_is_void() -> None:
    with running() as world:
        pod = world.make_pod(EXPOSE_80)
        world.attachment(pod)
        world.change_values(entry={"portRangeStart": 600})
        assert world.attachment(pod)["spec"]["portMapping"][0]["externalPort"] == "600"


def test_gateway_that_joins_the_pool_is_used_and_one_that_leaves_is_cleaned_up() -> None:
    with running() as world:
        pod = world.make_pod(EXPOSE_80)
        poddnat = world.expose(pod)
        world.change_values(entry={"natgwId": "ngw-2", "eips": None})
        poddnat = sync(world, poddnat)
        assert condition(poddnat)[1] == "NotInPool"
        wait_until(lambda: not world.entries(), 10, "the entry to go")
        given = answer(lambda: world.sync_pod(pod, poddnat))["annotations"]
        assert given[STATUS].startswith("NoGateway: ")


def test_no_poddnat_is_made_anew_while_its_gateway_is_out_of_the_pool() -> None:
    with running() as world, cluster(world) as busy:
        pods = [world.make_pod(EXPOSE_80, name=f"web-{n}", ip="") for n in range(3)]
        wait_until(lambda: all(annotations_of(world, pod).get(STATUS) == "Ready" for pod in pods), 20, "all Ready")
        world.change_values(entry={"natgwId": "ngw-2", "eips": None})

        def are_told() -> bool:
            return all((annotations_of(world, pod).get(STATUS) or "").startswith("NoGateway: ") for pod in pods)

        wait_until(are_told, 20, "all to be told")
        for number in range(10):
            before = busy.standin.counts().hook_answers.total()
            for pod in pods:
                world.annotate(pod, {"example.com/look": str(number)})
            wait_until(lambda: busy.standin.counts().hook_answers.total() >= before + 3, 20, "their hooks' calls")  # noqa: B023
        made = sum(count for (verb, _), count in busy.standin.counts().requests.items() if verb == "create")
        assert made == len(pods)


def test_new_credentials_are_used_from_the_next_call_on() -> None:
    with running(refresh_interval=1.0) as world:
        world.emulator.revoke_credential(KEY)
        pod = world.make_pod(EXPOSE_80)
        given = answer(lambda: world.sync_pod(pod))["annotations"]
        assert given[STATUS].startswith("AccessDenied: ")
        world.service.apply(replace(world.values, credential=AccessKey(OTHER_KEY, SECRET)))
        wait_until(lambda: answer(lambda: world.sync_pod(pod))["attachments"], 10, "the new key to be used")


# The way of replies


def test_default_route_past_the_pool_is_explained() -> None:
    with running() as world:
        world.emulator.set_default_route("vtb-1", "Instance", "i-firewall")
        pod = world.make_pod(EXPOSE_80)
        given = answer(lambda: world.sync_pod(pod))
        text = "The default route of the pod's vSwitch vsw-1 (route table vtb-1) leads to Instance i-firewall, but"
        assert given["annotations"][STATUS].startswith(f"NoGateway: {text}")
        assert world.warnings() == [("Pod", "NoGateway")]


ROUTES = {"vpc:DescribeRouteTableList", "vpc:DescribeRouteEntryList"}


def test_without_the_right_to_read_routes_pods_are_put_by_zone_and_their_poddnats_say_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with running() as world:
        world.emulator.set_allowed_actions(KEY, sorted(POD_DNAT_ACTIONS - ROUTES))
        pods = [world.make_pod(EXPOSE_80, name=f"web-{number}", ip=f"172.16.1.{number}") for number in (1, 2)]
        poddnats = [world.expose(pod) for pod in pods]
        assert all("The gateway was chosen by its zone" in condition(poddnat)[2] for poddnat in poddnats)
        assert sync(world, poddnats[0])["status"] == poddnats[0]["status"]
        assert caplog.text.count("routes can't be read and are ignored: gateways are chosen by zone alone") == 1


# An address that serves SNAT too


def test_high_port_works_on_an_address_that_serves_snat_too() -> None:
    with running(entry={"portRangeStart": 1025, "portRangeEnd": 2000}) as world:
        world.emulator.add_eip(GATEWAY, EIP, snat=True)
        with restarted(world) as again:
            again.expose(again.make_pod({**EXPOSE_80, PORTS: "80,9000-9010/udp"}))
        assert {entry.external_port for entry in world.entries()} == {"1025", "1025/1035"}


# Full gateways


def test_pods_that_wait_for_quota_get_it_in_order_and_learn_how_much_is_missing() -> None:
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
        assert message.startswith(f"NAT gateway {GATEWAY} has reached its quota of 1 forward entries; an operator has")
        assert message.endswith("2 pods wait for 2 more entries there.")
        # The last one asks first, and often.
        world.finalized(first)
        wait_until(lambda: world.sync_poddnat(waiting[1]) and world.entries(), 10, "the quota to be used")
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


def test_pod_in_a_namespace_that_is_not_allowed_gets_nothing_and_learns_which_are() -> None:
    with running(network=GAMES) as world:
        pod = world.make_pod(EXPOSE_80)
        assert world.refusal(pod) == (
            "NamespaceNotAllowed: Namespace default may not have public ports; allowedNamespaces in the values allows "
            "lobby and those with the labels team=games; an operator has to add it, or the user to use another."
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
        given = answer(lambda: world.sync_pod(pod, poddnat))
        assert given["attachments"] == []
        assert RESULT not in given["annotations"]


# Limits


def test_pod_with_too_many_ports_learns_how_many_it_may_have() -> None:
    with running(network={"limits": {"portsPerPod": 2}}) as world:
        pod = world.make_pod({**EXPOSE_80, PORTS: "80-82"})
        assert world.refusal(pod) == (
            "TooManyPorts: The pod asks for 3 public ports, but one pod may have 2 (limits.portsPerPod in the values); "
            "the user has to list fewer, or an operator has to raise the limit."
        )
        assert world.warnings() == [("Pod", "TooManyPorts")]


def test_namespace_gets_no_more_ports_than_its_limit_and_others_keep_theirs() -> None:
    with running(network={"limits": {"portsPerNamespace": 1}}) as world:
        first = world.make_pod(EXPOSE_80)
        poddnat = world.expose(first)
        second = world.make_pod(EXPOSE_80, name="web-2", ip="172.16.1.8")
        given = answer(lambda: world.sync_pod(second))
        assert given["annotations"][STATUS].startswith(
            "NamespaceLimitReached: The pod asks for 1 public port, more than"
        )
        assert world.attachment(first, poddnat)["spec"] == poddnat["spec"]


def test_lowered_limit_leaves_a_pod_what_it_has_and_gives_it_no_more() -> None:
    with running() as world:
        pod = world.make_pod({**EXPOSE_80, PORTS: "80,81"})
        poddnat = world.expose(pod)
        world.change_values(network={"limits": {"portsPerPod": 1}})
        assert world.attachment(pod, poddnat)["spec"] == poddnat["spec"]
        pod = world.annotate(pod, {PORTS: "80,81,82"})
        given = answer(lambda: world.sync_pod(pod, poddnat))
        assert given["attachments"][0]["spec"] == poddnat["spec"]
        assert given["annotations"][STATUS].startswith("TooManyPorts: ")
