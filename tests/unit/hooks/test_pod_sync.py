"""The sync hook for annotated pods: which PodDNAT a pod should have, and what it is told."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest
from kubernetes.client.exceptions import ApiException

from metacontroller_standin.waiting import wait_until
from poddnat.kube import KubeError
from poddnat.timestamps import now
from tests.unit.hooks.world import (
    EIP,
    EXPOSE_80,
    FINALIZER,
    GATEWAY,
    POD_DNAT,
    POD_IP,
    PORTS,
    PROTOCOL,
    RESULT,
    STATUS,
    World,
    answer,
    condition,
    running,
    says_who_acts,
)
from vpc_emulator import Fault

if TYPE_CHECKING:
    from tests.unit.hooks.world import Json


def test_pod_with_an_ip_gets_a_poddnat_of_its_name(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    assert world.attachment(pod) == {
        "apiVersion": "alibabacloud.com/v1",
        "kind": "PodDNAT",
        "metadata": {"namespace": "default", "name": "web-1", "finalizers": [FINALIZER]},
        "spec": {
            "eni": "eni-1",
            "externalIP": EIP,
            "internalIP": POD_IP,
            "portMapping": [{"externalPort": "512", "internalPort": "80"}],
            "protocol": "tcp",
            "tableId": GATEWAY,
            "vswitch": "vsw-1",
            "zoneID": "cn-hangzhou-j",
        },
    }


def test_finalizers_that_others_put_on_a_poddnat_stay(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    world.make_poddnat(world.attachment(pod)["spec"], owner=pod)
    theirs = [FINALIZER, "example.com/theirs"]
    held = world.api.patch(world.poddnats, "web-1", {"metadata": {"finalizers": theirs}}, "default")
    assert world.attachment(pod, held)["metadata"]["finalizers"] == theirs
    held["metadata"]["finalizers"] = ["example.com/theirs"]
    assert world.attachment(pod, held)["metadata"]["finalizers"] == ["example.com/theirs", FINALIZER]


def test_ports_keep_the_order_of_the_annotation(world: World) -> None:
    pod = world.make_pod({POD_DNAT: "", PORTS: "7778, 7777", PROTOCOL: "UDP"})
    spec = world.attachment(pod)["spec"]
    assert [mapping["internalPort"] for mapping in spec["portMapping"]] == ["7778", "7777"]
    assert spec["protocol"] == "udp"


def test_pod_gets_the_same_answer_as_long_as_its_poddnat_is_not_visible(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    first = world.attachment(pod)
    assert [world.attachment(pod) for _ in range(10)] == [first] * 10


def test_two_pods_get_different_ports(world: World) -> None:
    pods = [world.make_pod(EXPOSE_80, name=f"web-{number}", ip=f"172.16.1.{number}") for number in (1, 2)]
    assert [world.attachment(pod)["spec"]["portMapping"][0]["externalPort"] for pod in pods] == ["512", "513"]


def test_pod_keeps_its_ports_once_its_poddnat_is_there(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    assert world.attachment(pod, poddnat)["spec"] == poddnat["spec"]


@pytest.mark.parametrize(("chosen", "given"), [("600", "600"), ("512", "514"), ("2000", "514")])
def test_public_port_chosen_by_hand_is_taken_over_if_it_is_free_and_in_the_pool(
    world: World, chosen: str, given: str
) -> None:
    world.expose(world.make_pod(EXPOSE_80, name="other", ip="172.16.1.8"))  # has 512
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    edited = world.stored({**poddnat, "spec": {**poddnat["spec"], "portMapping": [_leads_to_80(chosen)]}})
    assert world.attachment(pod, edited)["spec"]["portMapping"] == [_leads_to_80(given)]


def _leads_to_80(external_port: str) -> dict[str, str]:
    return {"externalPort": external_port, "internalPort": "80"}


def test_pod_with_another_port_list_keeps_the_ports_that_it_still_lists(world: World) -> None:
    pod = world.make_pod({POD_DNAT: "true", PORTS: "80,443"})
    poddnat = world.expose(pod)
    pod = world.annotate(pod, {PORTS: "8080,443"})
    mappings = world.attachment(pod, poddnat)["spec"]["portMapping"]
    assert mappings == [
        {"externalPort": "514", "internalPort": "8080"},
        {"externalPort": "513", "internalPort": "443"},
    ]


MIXED = "27015/tcpudp, 9000-9010/udp, 80"


def test_item_is_one_mapping_whatever_its_form(world: World) -> None:
    spec = world.attachment(world.make_pod({POD_DNAT: "true", PORTS: MIXED}))["spec"]
    assert spec["protocol"] == "udp"
    assert spec["portMapping"] == [
        {"externalPort": "523", "internalPort": "27015", "protocol": "tcpudp"},
        {"externalPort": "512/522", "internalPort": "9000/9010"},
        {"externalPort": "512", "internalPort": "80", "protocol": "tcp"},
    ]


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        pytest.param("80,9000-9010/udp,27015/tcpudp", ["512", "512/522", "523"], id="another order"),
        pytest.param("27015/tcpudp,9000-9010/udp,81", ["523", "512/522", "513"], id="another port"),
        pytest.param("27015/tcpudp,9000-9011/udp,80", ["523", "524/535", "512"], id="a longer range"),
        pytest.param("27015/udp,9000-9010/udp,80", ["523", "512/522", "512"], id="one protocol of both"),
        pytest.param("27015/tcpudp,80", ["523", "512"], id="one item fewer"),
    ],
)
def test_pod_with_another_list_keeps_the_items_that_it_still_lists(world: World, changed: str, kept: list[str]) -> None:
    pod = world.make_pod({POD_DNAT: "true", PORTS: MIXED})
    poddnat = world.expose(pod)
    pod = world.annotate(pod, {PORTS: changed})
    assert [each["externalPort"] for each in world.attachment(pod, poddnat)["spec"]["portMapping"]] == kept


def test_item_that_wants_both_protocols_now_keeps_its_port(world: World) -> None:
    pod = world.make_pod({POD_DNAT: "true", PORTS: "80"})
    poddnat = world.expose(pod)
    pod = world.annotate(pod, {PORTS: "80/tcpudp"})
    (mapping,) = world.attachment(pod, poddnat)["spec"]["portMapping"]
    assert mapping == {"externalPort": "512", "internalPort": "80", "protocol": "tcpudp"}
    other = world.make_pod({POD_DNAT: "true", PORTS: "53/udp"}, name="web-2", ip="172.16.1.8")
    assert world.attachment(other)["spec"]["portMapping"][0]["externalPort"] == "513"


def test_item_that_can_not_have_both_protocols_keeps_the_one_that_it_has() -> None:
    with running(last_port=512) as world:
        pod = world.make_pod({POD_DNAT: "true", PORTS: "80"})
        poddnat = world.expose(pod)
        world.expose(world.make_pod({POD_DNAT: "true", PORTS: "53/udp"}, name="web-2", ip="172.16.1.8"))
        pod = world.annotate(pod, {PORTS: "80/tcpudp"})
        given = answer(lambda: world.sync_pod(pod, poddnat))
    assert given["attachments"][0]["spec"] == poddnat["spec"]
    assert given["annotations"][STATUS].startswith("NoFreePorts: ")
    assert "1 x tcpudp port" in given["annotations"][STATUS]


def test_a_port_that_can_not_be_had_does_not_cost_the_ports_that_the_pod_has() -> None:
    with running(last_port=513) as world:
        pod = world.make_pod({POD_DNAT: "true", PORTS: "80,443"})
        poddnat = world.expose(pod)
        pod = world.annotate(pod, {PORTS: "80,443,8080"})
        given = answer(lambda: world.sync_pod(pod, poddnat))
    assert given["attachments"][0]["spec"] == poddnat["spec"]
    assert given["annotations"][STATUS].startswith("NoFreePorts: ")


def test_ready_pod_is_told_its_public_addresses(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    reported = answer(lambda: world.sync_pod(pod, poddnat))["annotations"]
    assert reported[STATUS] == "Ready"
    assert json.loads(reported[RESULT]) == [
        {"externalIP": EIP, "externalPort": "512", "internalPort": "80", "protocol": "tcp"}
    ]


def test_pod_that_was_told_is_not_written_again(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    reported = world.annotate(pod, answer(lambda: world.sync_pod(pod, poddnat))["annotations"])
    assert "annotations" not in answer(lambda: world.sync_pod(reported, poddnat))


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_finished_pod_should_have_no_poddnat(world: World, phase: str) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    finished = world.set_pod_status(pod, phase, POD_IP)
    assert answer(lambda: world.sync_pod(finished, poddnat))["attachments"] == []


def test_pod_without_an_ip_gets_nothing_yet(world: World) -> None:
    pod = world.make_pod(EXPOSE_80, ip="")
    assert answer(lambda: world.sync_pod(pod)) == {"attachments": []}


def test_terminating_pod_keeps_its_poddnat(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert world.attachment(pod, poddnat)["spec"] == poddnat["spec"]


def test_terminating_pod_gets_nothing_new(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert answer(lambda: world.sync_pod(pod)) == {"attachments": []}


def test_ready_pod_whose_poddnat_is_being_deleted_is_not_called_ready_any_more(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    leaving = world.expose(pod)
    pod = world.annotate(pod, answer(lambda: world.sync_pod(pod, leaving))["annotations"])
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    reported = answer(lambda: world.sync_pod(pod, leaving))["annotations"]
    assert reported[STATUS].startswith("Updating: ")
    assert reported[RESULT] is None


def test_pod_is_not_called_ready_because_of_a_poddnat_that_is_being_deleted(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    leaving = world.expose(pod)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert "annotations" not in answer(lambda: world.sync_pod(pod, leaving))


def test_pod_waits_while_the_poddnat_of_an_earlier_pod_of_its_name_is_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.memory.store, "collect", lambda _kind, _key: None)  # the garbage collector comes later
    exposed = world.expose(world.make_pod(EXPOSE_80))
    wait_until(lambda: world.service.poddnats.is_alive(exposed["metadata"]["uid"]), 5, "it to be seen")
    world.api.delete(world.api.resource("v1", "pods"), "web-1", "default", grace_period=0)
    again = world.make_pod(EXPOSE_80)
    assert world.sync_pod(again).status_code == 429


def test_pod_takes_the_place_of_a_poddnat_of_its_name_that_nobody_owns(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    orphaned = world.make_poddnat(world.attachment(pod)["spec"])
    uid = orphaned["metadata"]["uid"]
    wait_until(lambda: world.service.poddnats.is_alive(uid), 5, "it to be seen")
    assert world.sync_pod(pod).status_code == 429
    assert world.poddnat() is None
    wait_until(lambda: not world.service.poddnats.is_alive(uid), 5, "its end to be seen")
    assert world.attachment(pod)["metadata"]["name"] == "web-1"


def test_pod_is_told_by_which_command_to_delete_what_has_its_name(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    spec = world.attachment(pod)["spec"]
    owned = world.make_poddnat(spec, owner={**world.make_pod({}, name="other", ip="172.16.1.8"), "kind": "Widget"})
    wait_until(lambda: world.service.poddnats.is_alive(owned["metadata"]["uid"]), 5, "it to be seen")
    assert "kubectl delete poddnat -n default web-1" in world.refusal(pod)


def test_pod_is_told_why_the_poddnat_of_an_earlier_pod_does_not_go(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    world.emulator.add_fault(Fault("error", action="DeleteForwardEntry", code="Forbidden.RAM", status=403, times=None))
    world.set_status(poddnat, world.finalized(poddnat)["status"])
    world.api.delete(world.api.resource("v1", "pods"), "web-1", "default", grace_period=0)
    again = world.make_pod(EXPOSE_80)
    world.service.pod_reconciler._wall_clock = lambda: now() + dt.timedelta(minutes=1)
    wait_until(lambda: world.sync_pod(again).status_code == 200, 5, "the status to be seen")
    reported = world.refusal(again)
    assert reported.startswith("AccessDenied: PodDNAT web-1 of an earlier pod is still being removed: ")
    assert "DeleteForwardEntry answered Forbidden.RAM" in reported


def test_pod_waits_in_silence_while_entries_go_that_nobody_could_delete_while_the_hooks_were_away(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    world.emulator.set_settle(GATEWAY, 60.0)
    world.finalize(poddnat)  # deletes it, and the answer gets lost
    world.api.delete(world.api.resource("v1", "pods"), "web-1", "default", grace_period=0)
    again = world.make_pod(EXPOSE_80)
    let_pass(world, minutes=1)
    world.set_status(poddnat, answer(lambda: world.finalize(poddnat))["status"])
    wait_until(lambda: is_shown_leaving(world, poddnat), 5, "the status to be seen")
    assert world.sync_pod(again).status_code == 429
    let_pass(world, minutes=2)
    told = answer(lambda: world.sync_pod(again))
    assert told["annotations"][STATUS].startswith("Leaving: PodDNAT web-1 of an earlier pod is still being removed: ")
    assert told["resyncAfterSeconds"] == 1  # no event of the pod tells when they have gone


def let_pass(world: World, *, minutes: float) -> None:
    """Let it be so much later than it is, for those who write and judge conditions."""
    later = dt.timedelta(minutes=minutes)
    for part in (world.service.pod_reconciler, world.service.poddnat_reconciler._reporter):
        part._wall_clock = lambda: now() + later


def is_shown_leaving(world: World, poddnat: Json) -> bool:
    seen = world.service.poddnats.get("default", poddnat["metadata"]["name"])
    return seen is not None and condition(seen)[1] == "Leaving"


# Pods that can't be exposed


@pytest.mark.parametrize(
    ("annotations", "sentence"),
    [
        ({POD_DNAT: "ture", PORTS: "80"}, f'{POD_DNAT} is "ture"'),
        ({POD_DNAT: "true"}, f"{PORTS} names no port"),
        ({POD_DNAT: "true", PORTS: "80,http"}, f"{PORTS} has"),
        ({POD_DNAT: "true", PORTS: "0"}, f"{PORTS} has"),
        ({POD_DNAT: "true", PORTS: "80,80"}, f"{PORTS} lists"),
        ({POD_DNAT: "true", PORTS: "10/20"}, "write a range with a hyphen, such as 10-20"),
        ({POD_DNAT: "true", PORTS: "80", PROTOCOL: "sctp"}, f'{PROTOCOL} is "sctp"'),
    ],
)
def test_wrong_annotation_leaves_nothing_exposed_and_is_explained(
    world: World, annotations: dict[str, str], sentence: str
) -> None:
    pod = world.make_pod(annotations)
    reported = world.refusal(pod)
    assert reported.startswith("InvalidAnnotation: ")
    assert sentence in reported


def test_mended_annotation_gives_the_pod_the_same_ports_again(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    wrong = world.annotate(pod, {PORTS: "80,http"})
    assert answer(lambda: world.sync_pod(wrong, poddnat))["attachments"] == []
    other = world.make_pod(EXPOSE_80, name="web-2", ip="172.16.1.8")
    assert world.attachment(other)["spec"]["portMapping"] != poddnat["spec"]["portMapping"]
    mended = world.annotate(pod, {PORTS: "80"})
    assert world.attachment(mended)["spec"] == poddnat["spec"]


def test_wrong_annotation_takes_the_result_of_the_right_one_away(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    pod = world.annotate(pod, {**answer(lambda: world.sync_pod(pod, poddnat))["annotations"], PORTS: "eighty"})
    reported = answer(lambda: world.sync_pod(pod, poddnat))
    assert reported["attachments"] == []
    assert reported["annotations"][RESULT] is None


def test_refused_pod_gets_one_warning_event_however_often_it_asks(world: World) -> None:
    pod = world.make_pod({POD_DNAT: "ture"})
    for _ in range(3):
        answer(lambda: world.sync_pod(pod))
    assert world.warnings() == [("Pod", "InvalidAnnotation")]


def test_pod_on_its_nodes_network_is_refused(world: World) -> None:
    pod = world.make_pod(EXPOSE_80, hostNetwork=True)
    assert world.refusal(pod).startswith("HostNetwork: ")


def test_pod_on_a_virtual_node_by_name_is_refused(world: World) -> None:
    pod = world.make_pod(EXPOSE_80, nodeName="virtual-kubelet-cn-hangzhou-j")
    assert world.refusal(pod).startswith("VirtualNode: ")


def test_pod_on_a_virtual_node_by_label_is_refused(world: World) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "eci", "labels": {"type": "virtual-kubelet"}}}
    world.api.create(world.api.resource("v1", "nodes"), node)
    pod = world.make_pod(EXPOSE_80, nodeName="eci")
    assert world.refusal(pod).startswith("VirtualNode: ")


def test_pod_whose_ip_nobody_in_the_vpc_has_is_refused_once_it_was_looked_for_several_times(world: World) -> None:
    pod = world.make_pod(EXPOSE_80, ip="10.0.0.1")
    assert world.refusal(pod).startswith("NoNetworkInterface: ")
    assert world.emulator.calls.count("DescribeNetworkInterfaces") >= 3


def set_addresses(world: World, *ips: str) -> Json:
    """Make a pod with these addresses, the first one as its main one."""
    world.make_pod(EXPOSE_80, ip="")
    patch = {"status": {"phase": "Running", "podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}}
    return world.api.patch(world.api.resource("v1", "pods"), "web-1", patch, "default", "status")


@pytest.mark.parametrize("ips", [("172.16.1.7", "2408:4005::7"), ("2408:4005::7", "172.16.1.7")])
def test_pod_with_dual_stack_is_exposed_by_its_ipv4_address(world: World, ips: tuple[str, str]) -> None:
    pod = set_addresses(world, *ips)
    poddnat = world.expose(pod)
    assert poddnat["spec"]["internalIP"] == "172.16.1.7"
    assert [entry.internal_ip for entry in world.entries()] == ["172.16.1.7"]


def test_pod_with_ipv6_only_is_told_so_without_a_call(world: World) -> None:
    pod = set_addresses(world, "2408:4005::7")
    reported = world.refusal(pod)
    assert reported.startswith("NoIPv4Address: The pod has only an IPv6 address, 2408:4005::7, and")
    assert says_who_acts(reported)
    assert world.emulator.calls.count("DescribeNetworkInterfaces") == 0


def test_pod_whose_ip_lies_in_a_prefix_of_its_nodes_interface_is_exposed(world: World) -> None:
    spec = {"providerID": "cn-hangzhou.i-9"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-9"}, "spec": spec}
    world.api.create(world.api.resource("v1", "nodes"), node)
    pod = world.make_pod(EXPOSE_80, ip="172.16.2.17", nodeName="node-9")
    assert world.expose(pod)["spec"]["eni"] == "eni-9"


def test_pod_that_switches_off_should_have_nothing(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    pod = world.annotate(pod, {**answer(lambda: world.sync_pod(pod, poddnat))["annotations"], POD_DNAT: "false"})
    assert answer(lambda: world.sync_pod(pod, poddnat)) == {
        "attachments": [],
        "annotations": {STATUS: None, RESULT: None},
    }


# Opting out by removing the annotations


def test_pod_that_removes_the_request_loses_its_poddnat_and_its_result(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    reported = answer(lambda: world.sync_pod(pod, poddnat))["annotations"]
    pod = world.annotate(pod, {**reported, POD_DNAT: None, PORTS: None})
    assert answer(lambda: world.opt_out(pod))["annotations"] == {STATUS: None, RESULT: None}
    assert world.poddnat() is None


def test_opting_out_spares_a_poddnat_that_is_not_the_pods_own(world: World) -> None:
    other = world.make_pod(EXPOSE_80, name="web-2")
    world.make_poddnat(world.attachment(other)["spec"], owner=other, name="web-1")
    pod = world.make_pod({STATUS: "Ready"}, ip="172.16.1.8")
    answer(lambda: world.opt_out(pod))
    assert world.poddnat() is not None


def test_opting_out_twice_is_fine(world: World) -> None:
    pod = world.make_pod({STATUS: "Ready"})
    first = answer(lambda: world.opt_out(pod))
    assert answer(lambda: world.opt_out(pod)) == first


def test_misspelt_annotation_is_reported_as_an_event_and_the_pod_gets_its_ports(world: World) -> None:
    pod = world.make_pod({**EXPOSE_80, "k8s.aliyun.com/pod-dnat-expose-protocal": "udp"})
    assert world.attachment(pod)["spec"]["protocol"] == "tcp"
    assert world.warnings() == [("Pod", "AnnotationIgnored")]


def test_pod_whose_main_annotation_is_misspelt_is_told_so_though_no_hook_is_called_for_it(world: World) -> None:
    world.make_pod({"k8s.aliyun.com/pod-dnats": "true", PORTS: "80"}, name="misspelt")
    world.make_pod({"k8s.aliyun.com/pod-eip": "true"}, name="of-others")
    wait_until(world.warnings, 5, "the event")
    (event,) = world.api.list(world.api.resource("v1", "events"))["items"]
    assert event["involvedObject"]["name"] == "misspelt"
    assert (event["involvedObject"]["kind"], event["reason"]) == ("Pod", "AnnotationIgnored")
    assert "pod-dnats has no effect on a pod without k8s.aliyun.com/pod-dnat (did you mean that?)" in event["message"]


def test_port_that_a_waiting_pod_would_get_next_is_not_kept_for_it_once_it_is_deleted() -> None:
    with running(last_port=512) as world:
        first = world.make_pod(EXPOSE_80)
        world.expose(first)
        waiting = world.make_pod(EXPOSE_80, name="web-2", ip="172.16.1.8")
        assert world.refusal(waiting).startswith("NoFreePorts: ")
        wait_until(lambda: len(world.service._pods.all()) == 2, 5, "both to be seen")
        pods = world.api.resource("v1", "pods")
        for name in ("web-2", "web-1"):
            world.api.delete(pods, name, "default", grace_period=0)
        wait_until(lambda: not world.service._pods.all() and not world.entries(), 10, "both to be gone")
        third = world.make_pod(EXPOSE_80, name="web-3", ip="172.16.1.9")
        assert ports_of(world.attachment(third)) == ["512"]


# Public ports equal to the pod's own

OWN = {**EXPOSE_80, "poddnat.alibabacloud.com/prefer-own-ports": "true"}


def ports_of(poddnat: Json) -> list[str]:
    return [mapping["externalPort"] for mapping in poddnat["spec"]["portMapping"]]


def test_pod_that_prefers_its_own_ports_gets_them_where_they_are_free_and_in_the_pool(world: World) -> None:
    pod = world.make_pod({**OWN, PORTS: "700,80,800-802/udp,900/tcpudp"})
    assert ports_of(world.attachment(pod)) == ["700", "512", "800/802", "900"]
    events = world.api.list(world.api.resource("v1", "events"))["items"]
    (reported,) = [event["message"] for event in events if event["reason"] == "OtherPorts"]
    assert reported == (
        f"Public ports equal to the pod's own are not free on {EIP}, or not in the pool: it has 512 for 80/tcp; "
        "nobody has to act."
    )


def test_own_ports_that_another_pod_has_are_not_given_twice_and_stay_with_the_first(world: World) -> None:
    first = world.make_pod({**OWN, PORTS: "700"})
    poddnat = world.expose(first)
    second = world.make_pod({**OWN, PORTS: "700"}, name="web-2", ip="172.16.1.8")
    assert ports_of(world.attachment(second)) == ["512"]
    assert ports_of(world.attachment(first, poddnat)) == ["700"]


def test_pod_keeps_the_ports_that_it_has_when_it_begins_to_prefer_its_own(world: World) -> None:
    pod = world.make_pod({**EXPOSE_80, PORTS: "700"})
    poddnat = world.expose(pod)
    pod = world.annotate(pod, {"poddnat.alibabacloud.com/prefer-own-ports": "true"})
    assert ports_of(world.attachment(pod, poddnat)) == ports_of(poddnat) == ["512"]


def test_address_that_has_the_pods_own_ports_free_is_preferred() -> None:
    with running(entry={"eips": [EIP, "203.0.113.99"]}) as world:
        world.expose(world.make_pod({**OWN, PORTS: "700"}))
        for number in (2, 3, 4):
            world.expose(world.make_pod(EXPOSE_80, name=f"web-{number}", ip=f"172.16.1.{number}"))
        pod = world.make_pod({**OWN, PORTS: "700"}, name="web-5", ip="172.16.1.5")
        assert ports_of(world.attachment(pod)) == ["700"]


def test_refusal_of_the_api_server_is_reported_as_what_it_is_and_takes_nothing_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    refusal = KubeError("nodes is forbidden: no right")
    refusal.__cause__ = ApiException(status=403)

    def refuse(*_args: object) -> None:
        raise refusal

    monkeypatch.setattr("poddnat.placement.Nodes.is_virtual", refuse)
    reported = answer(lambda: world.sync_pod(pod, poddnat))
    assert reported["annotations"][STATUS].startswith("ApiServerRefused: The API server refuses what poddnat has to do")
    assert "nodes is forbidden: no right" in reported["annotations"][STATUS]
    assert reported["attachments"][0]["spec"] == poddnat["spec"]


def test_api_server_that_is_away_is_reported_to_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise KubeError("no answer")

    pod = world.make_pod(EXPOSE_80)
    monkeypatch.setattr("poddnat.placement.Nodes.is_virtual", fail)
    assert world.sync_pod(pod).status_code == 429
