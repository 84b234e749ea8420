"""Why a pod can, or can't, be reached: what `poddnat explain` finds, and which link it blames."""

from __future__ import annotations

import json
import re
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.api import name_of
from metacontroller_standin.waiting import wait_until
from poddnat.cli.explain import LINKS, Facts, Outcome, Probe, Unread, cluster_links, probe, reading
from poddnat.kube import KubeClient, NotServedError, connect_to
from poddnat.model import PortMapping, Ports, Transport, WorkingPort
from poddnat.timestamps import now
from tests.unit.cli.explaining import CONTROLLERS, CRD, Explainer, explaining
from tests.unit.docs.pages import blocks, page
from tests.unit.hooks import acks
from tests.unit.hooks.world import (
    EIP,
    EXPOSE_80,
    GATEWAY,
    KEY,
    POD_DNAT,
    POD_IP,
    PORTS,
    STATUS,
    World,
    answer,
    cluster,
    running,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Json = dict[str, Any]


@pytest.fixture
def world() -> Iterator[World]:
    with running() as world:
        yield world


@pytest.fixture
def explainer(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Explainer]:
    monkeypatch.setattr(reading, "LEASE_LOOK", 0.01)
    monkeypatch.setattr(reading, "LEASE_RENEWED_WITHIN", 0.2)
    with explaining(world, tmp_path) as explainer:
        yield explainer


@pytest.fixture
def exposed(explainer: Explainer) -> Explainer:
    """A pod whose port works."""
    wait_until(lambda: all(one.loaded for one in explainer.world.service.fleet.gateways()), 10, "the tables")
    explainer.world.expose(explainer.world.make_pod(EXPOSE_80))
    return explainer


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every pod be old enough to have been heard of."""
    monkeypatch.setattr(cluster_links, "HOOKS_HEARD_WITHIN", 0.0)


# A pod that can be reached


def test_links_of_a_pod_that_works_are_all_ok_but_the_security_group_which_nobody_may_read(
    explainer: Explainer,
) -> None:
    with cluster(explainer.world):
        explainer.world.make_pod(EXPOSE_80, ip="")
        wait_until(lambda: told(explainer) == "Ready", 10, "the pod to be Ready")
        links = explainer.links()
    assert list(links) == [name for name in LINKS if name != "probe"]
    assert {name for name, (state, _) in links.items() if state != "ok"} == {"security group"}
    state, text = links["security group"]
    assert state == "unknown"
    assert "sg-default" in text
    assert "TCP 80" in text


def told(explainer: Explainer) -> str | None:
    """Read what the pod shows."""
    pod = explainer.world.api.get(explainer.world.api.resource("v1", "pods"), "web-1", "default")
    found: str | None = (pod["metadata"].get("annotations") or {}).get(STATUS)
    return found


def test_pods_of_the_page_are_explained_as_it_shows(explainer: Explainer) -> None:
    good, wrong = blocks(page("operators/troubleshooting"), "console")
    command = "$ kubectl poddnat explain default/web-1\n"
    with cluster(explainer.world):
        explainer.world.make_pod(EXPOSE_80, ip="")
        wait_until(lambda: told(explainer) == "Ready", 10, "the pod to be Ready")
        assert without_ids(command + explainer.run().stdout) == without_ids(good)
        explainer.world.emulator.set_default_route("vtb-1", "Instance", "i-firewall")
        assert command + explainer.run().stdout == wrong


def without_ids(text: str) -> str:
    return re.sub(r"fwd-\w+", "fwd-", text)


def test_output_fits_80_columns_and_ends_with_the_address(exposed: Explainer) -> None:
    result = exposed.run()
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line != line.rstrip()] == []
    assert f"{EIP}:512/tcp" in lines[-1]


def test_pod_is_named_with_a_namespace_or_by_its_option(exposed: Explainer) -> None:
    outputs = {exposed.run(*way).stdout for way in (["default/web-1"], ["web-1"], ["-n", "default", "web-1"])}
    assert len(outputs) == 1
    assert exposed.run("-n", "other", "default/web-1").exit_code == 2


def test_pod_that_works_while_its_server_is_gone_is_reachable_and_the_server_warned_of(exposed: Explainer) -> None:
    make_lease(exposed.world, "poddnat-1")
    exposed.world.service.stop()
    state, text = exposed.links()["hooks"]
    assert state == "warning"
    assert "an operator has to see that the server runs" in text
    assert exposed.run().exit_code == 0


def test_blocked_address_that_a_pod_keeps_is_a_warning(exposed: Explainer) -> None:
    exposed.change_values(network={"blockedEips": [EIP]})
    state, text = exposed.links()["public address"]
    assert state == "warning"
    assert "blockedEips" in text


def test_readiness_gate_that_is_not_open_is_a_warning(exposed: Explainer) -> None:
    world = exposed.world
    gates = [{"conditionType": "poddnat.alibabacloud.com/ready"}]
    pod = world.make_pod(EXPOSE_80, name="gated", ip="172.16.1.8", readinessGates=gates)
    world.expose(pod)
    assert exposed.links("default/gated")["readiness gate"][0] == "warning"


def test_rolling_update_that_can_not_move_at_the_entry_quota_is_explained(exposed: Explainer) -> None:
    world = exposed.world
    world.emulator.set_quota(GATEWAY, 1)
    gates = [{"conditionType": "poddnat.alibabacloud.com/ready"}]
    pod = world.make_pod(EXPOSE_80, name="new", ip="172.16.1.8", readinessGates=gates)
    made = world.make_poddnat(world.attachment(pod)["spec"], owner=pod, name="new")
    reported = answer(lambda: world.sync_poddnat(made))
    poddnat = world.set_status(made, reported["status"])
    pod = world.annotate(pod, answer(lambda: world.sync_pod(pod, poddnat))["annotations"])
    name, text = exposed.broken("default/new")
    assert name == "forward entry"
    for said in ("QuotaExceeded", "quota of 1 forward entries", "raise the quota", "maxUnavailable"):
        assert said in text


def test_range_and_both_protocols_are_named_for_the_security_group(exposed: Explainer) -> None:
    pod = exposed.world.make_pod({POD_DNAT: "true", PORTS: "53/tcpudp,9000-9010/udp"}, name="many", ip="172.16.1.8")
    exposed.world.expose(pod)
    _, text = exposed.links("default/many")["security group"]
    assert "TCP 53 and UDP 53, 9000-9010" in text


# The pod and what it asks for


def test_pod_that_is_not_there_is_the_first_link(explainer: Explainer) -> None:
    name, text = explainer.broken("default/nobody")
    assert name == "pod"
    assert "There is no pod default/nobody" in text
    assert "annotations" not in explainer.run("default/nobody").stdout


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ({POD_DNAT: "yes", PORTS: "80"}, 'is "yes"'),
        ({POD_DNAT: "true", PORTS: "http"}, 'the item "http"'),
        ({POD_DNAT: "true"}, "names no port"),
        ({POD_DNAT: "false", PORTS: "80"}, 'set it to "true"'),
        ({PORTS: "80"}, f"it has {PORTS}"),
        ({"k8s.aliyun.com/pod-dnt": "true"}, "it has k8s.aliyun.com/pod-dnt"),
        ({}, "no annotation k8s.aliyun.com/pod-dnat;"),
    ],
    ids=str,
)
def test_annotation_that_asks_for_nothing_is_blamed(
    explainer: Explainer, annotations: dict[str, str], said: str
) -> None:
    explainer.world.make_pod(annotations)
    name, text = explainer.broken()
    assert name == "annotations"
    assert said in text


def test_annotation_without_effect_is_a_warning(exposed: Explainer) -> None:
    pod = exposed.world.make_pod({**EXPOSE_80, f"{POD_DNAT}-expose-ports": "81"}, name="odd", ip="172.16.1.8")
    exposed.world.expose(pod)
    state, text = exposed.links("default/odd")["annotations"]
    assert state == "warning"
    assert f"did you mean {PORTS}" in text


def without_node(explainer: Explainer) -> None:
    explainer.world.make_pod(EXPOSE_80, nodeName=None, ip="")


def without_address(explainer: Explainer) -> None:
    explainer.world.make_pod(EXPOSE_80, ip="")


def on_node_network(explainer: Explainer) -> None:
    explainer.world.make_pod(EXPOSE_80, hostNetwork=True)


def on_virtual_node(explainer: Explainer) -> None:
    explainer.world.make_pod(EXPOSE_80, nodeName="virtual-kubelet-cn-hangzhou-j")


def with_ipv6_only(explainer: Explainer) -> None:
    explainer.world.make_pod(EXPOSE_80, ip="fd00::7")


def with_namespace_not_allowed(explainer: Explainer) -> None:
    explainer.change_values(network={"allowedNamespaces": {"names": ["lobby"]}})
    explainer.world.make_pod(EXPOSE_80)


def beyond_a_limit(explainer: Explainer) -> None:
    explainer.change_values(network={"limits": {"portsPerPod": 1}})
    explainer.world.make_pod({POD_DNAT: "true", PORTS: "80,81"})


def with_address_of_nobody(explainer: Explainer) -> None:
    explainer.world.make_pod(EXPOSE_80, ip="172.16.9.9")


def without_default_route(explainer: Explainer) -> None:
    explainer.world.emulator.set_default_route("vtb-1", "Instance", "i-firewall")
    explainer.world.make_pod(EXPOSE_80)


def with_unknown_gateway(explainer: Explainer) -> None:
    explainer.change_values(entry={"natgwId": "ngw-unknown"})
    explainer.world.make_pod(EXPOSE_80)


def with_gateway_not_paid_for(explainer: Explainer) -> None:
    explainer.world.emulator.set_business_status(GATEWAY, "FinancialLocked")
    explainer.world.make_pod(EXPOSE_80)


def with_all_addresses_blocked(explainer: Explainer) -> None:
    explainer.change_values(network={"blockedEips": [EIP]})
    explainer.world.make_pod(EXPOSE_80)


def without_free_ports(explainer: Explainer) -> None:
    explainer.change_values(entry={"portRangeEnd": 513})
    explainer.world.make_pod({POD_DNAT: "true", PORTS: "80,81,82"})


BROKEN: dict[Callable[[Explainer], None], str] = {
    without_node: "pod",
    without_address: "pod IP",
    on_node_network: "pod IP",
    on_virtual_node: "pod IP",
    with_ipv6_only: "pod IP",
    with_namespace_not_allowed: "namespace",
    beyond_a_limit: "limits",
    with_address_of_nobody: "network interface",
    without_default_route: "route",
    with_unknown_gateway: "route",
    with_gateway_not_paid_for: "gateway",
    with_all_addresses_blocked: "public address",
    without_free_ports: "public port",
}
TOLD = [one for one in BROKEN if one not in (without_node, without_address, with_gateway_not_paid_for)]
"""Of these the server tells at once; of the others it waits for the cluster, or for its next look at the gateways."""


@pytest.mark.parametrize("spoil", BROKEN, ids=lambda spoil: spoil.__name__)
def test_first_link_that_is_wrong_is_blamed_and_no_later_one(
    explainer: Explainer, spoil: Callable[[Explainer], None]
) -> None:
    spoil(explainer)
    name, text = explainer.broken()
    assert name == BROKEN[spoil]
    assert "the user has to" in text or "an operator has to" in text
    assert text.endswith(".")


@pytest.mark.parametrize("spoil", TOLD, ids=lambda spoil: spoil.__name__)
def test_what_is_blamed_is_said_in_the_servers_own_words(
    explainer: Explainer, spoil: Callable[[Explainer], None]
) -> None:
    spoil(explainer)
    pod = explainer.world.api.get(explainer.world.api.resource("v1", "pods"), "web-1", "default")
    said = explainer.world.refusal(pod).partition(": ")[2]
    assert explainer.broken()[1] == said


def test_containers_that_are_not_ready_are_a_warning(exposed: Explainer) -> None:
    pods = exposed.world.api.resource("v1", "pods")
    status = {"status": {"containerStatuses": [{"name": "web", "ready": False}]}}
    exposed.world.api.patch(pods, "web-1", status, "default", "status")
    state, text = exposed.links()["pod"]
    assert state == "warning"
    assert "not ready: web" in text


# Who calls the hooks


def remove_controllers(explainer: Explainer, *names: str) -> None:
    for controller in CONTROLLERS:
        if name_of(controller) in names:
            explainer.world.api.delete(explainer.world.api.resource_of(controller), name_of(controller))


@contextmanager
def without_crd(explainer: Explainer) -> Iterator[None]:
    explainer.world.memory.unregister("alibabacloud.com", "poddnats")
    yield
    explainer.world.memory.register_crd(CRD)


def test_crd_that_is_not_installed_is_told(explainer: Explainer) -> None:
    explainer.world.make_pod(EXPOSE_80)
    with without_crd(explainer):
        name, text = explainer.broken()
    assert name == "controllers"
    assert "The CRD poddnats.alibabacloud.com is not installed" in text


def test_metacontroller_that_is_not_installed_is_told(explainer: Explainer) -> None:
    explainer.world.make_pod(EXPOSE_80)
    for plural in ("decoratorcontrollers", "compositecontrollers"):
        explainer.world.memory.unregister("metacontroller.k8s.io", plural)
    name, text = explainer.broken()
    assert name == "controllers"
    assert "Metacontroller is not installed" in text


def test_controller_that_is_missing_is_named(explainer: Explainer) -> None:
    explainer.world.make_pod(EXPOSE_80)
    remove_controllers(explainer, "poddnat")
    name, text = explainer.broken()
    assert name == "controllers"
    assert "no controller poddnat," in text


def test_metacontroller_that_does_not_call_is_blamed_for_a_pod_that_waits(
    explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(monkeypatch)
    explainer.world.make_pod(EXPOSE_80)
    name, text = explainer.broken()
    assert name == "hooks"
    assert "No hook was called for this pod" in text


def test_pod_that_is_new_is_not_yet_blamed_on_metacontroller(explainer: Explainer) -> None:
    explainer.world.make_pod(EXPOSE_80)
    assert explainer.links()["hooks"][0] == "unknown"


def test_what_metacontroller_says_of_its_calls_is_told(explainer: Explainer) -> None:
    world = explainer.world
    pod = world.make_pod(EXPOSE_80)
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "web-1.1", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "name": "web-1", "namespace": "default", "uid": pod["metadata"]["uid"]},
        "type": "Warning",
        "reason": "SyncError",
        "message": "Sync error: connection refused",
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }
    world.api.create(world.api.resource("v1", "events"), event)
    name, text = explainer.broken()
    assert name == "hooks"
    assert "connection refused" in text


def make_lease(world: World, holder: str) -> None:
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "poddnat", "namespace": "poddnat-system"},
        "spec": {"holderIdentity": holder, "renewTime": "2026-01-01T00:00:00.000000Z"},
    }
    world.api.create(world.api.resource("coordination.k8s.io/v1", "leases"), lease)


@pytest.mark.parametrize(
    ("holder", "said"), [("", "Nobody holds the Lease"), ("poddnat-1", "does not renew the Lease")]
)
def test_server_that_does_not_run_is_blamed_for_a_pod_that_waits(explainer: Explainer, holder: str, said: str) -> None:
    make_lease(explainer.world, holder)
    explainer.world.make_pod(EXPOSE_80)
    name, text = explainer.broken()
    assert name == "hooks"
    assert said in text


# The PodDNAT and its entries


def test_poddnat_of_acks_controller_is_not_the_pods(explainer: Explainer) -> None:
    world = explainer.world
    pod = world.make_pod(EXPOSE_80)
    world.api.create(world.poddnats, acks.poddnat(pod, acks.entry(world.emulator)))
    name, text = explainer.broken()
    assert name == "PodDNAT"
    assert "poddnat adopt" in text


def test_entry_that_somebody_deleted_is_told(exposed: Explainer) -> None:
    (entry,) = exposed.world.entries()
    exposed.world.service.stop()
    exposed.world.emulator.delete_entry(GATEWAY, entry.id)
    name, text = exposed.broken()
    assert name == "forward entry"
    assert "somebody has deleted it" in text
    assert "poddnat audit --fix" in text


def test_entry_that_is_pending_is_waited_for(explainer: Explainer) -> None:
    world = explainer.world
    world.emulator.set_settle(GATEWAY, 600)
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.make_poddnat(world.attachment(pod)["spec"], owner=pod)
    world.sync_poddnat(poddnat)
    wait_until(world.entries, 10, "the entry to be asked for")
    name, text = explainer.broken()
    assert name == "forward entry"
    assert "is Pending; nobody has to act" in text


def test_port_that_somebody_else_has_is_told_with_the_entry(explainer: Explainer) -> None:
    world = explainer.world
    pod = world.make_pod(EXPOSE_80)
    world.make_poddnat(world.attachment(pod)["spec"], owner=pod)
    taken = world.emulator.add_entry(
        GATEWAY, external_ip=EIP, external_port=512, internal_ip="172.16.1.9", internal_port=22, name="ops"
    )
    name, text = explainer.broken()
    assert name == "forward entry"
    assert f"{EIP}:512 belongs to somebody else by entry {taken.id}" in text


def test_port_outside_the_pool_is_told(exposed: Explainer) -> None:
    exposed.world.service.stop()
    exposed.change_values(entry={"portRangeStart": 600})
    name, text = exposed.broken()
    assert name == "public port"
    assert "not in the values file's pool" in text


def test_address_that_has_left_the_gateway_is_told(exposed: Explainer) -> None:
    exposed.world.service.stop()
    exposed.world.emulator.remove_eip(GATEWAY, EIP)
    name, text = exposed.broken()
    assert name == "public address"
    assert "not an address of NAT gateway" in text


def test_route_that_was_changed_under_a_pod_is_told(exposed: Explainer) -> None:
    exposed.world.emulator.set_default_route("vtb-1", "NatGateway", "ngw-other")
    name, text = exposed.broken()
    assert name == "route"
    assert "ngw-other" in text


# What can't be read


def test_credentials_that_the_cloud_refuses_leave_its_links_unknown_and_say_what_to_do(exposed: Explainer) -> None:
    exposed.world.emulator.revoke_credential(KEY)
    links = exposed.links()
    assert exposed.run().exit_code == 0
    assert links["network interface"][0] == "unknown"
    assert "poddnat check-config" in links["network interface"][1]
    assert links["gateway"] == ("unknown", "not known, for the same reason")
    assert links["PodDNAT"][0] == "ok"


def test_without_values_the_cluster_is_explained(exposed: Explainer) -> None:
    links = exposed.links(values=False)
    assert "--values FILE" in links["namespace"][1]
    assert links["PodDNAT"][0] == "ok"


def test_where_the_cloud_can_not_be_read_the_servers_word_counts(explainer: Explainer) -> None:
    without_default_route(explainer)
    pod = explainer.world.api.get(explainer.world.api.resource("v1", "pods"), "web-1", "default")
    said = explainer.world.refusal(pod)
    explainer.world.annotate(pod, {STATUS: said})
    assert explainer.broken(values=False) == ("route", said)


def test_routes_that_may_not_be_read_are_a_warning(exposed: Explainer) -> None:
    allowed = ["ecs:DescribeNetworkInterfaces", "vpc:DescribeNatGateways", "vpc:DescribeForwardTableEntries"]
    exposed.world.emulator.set_allowed_actions(KEY, allowed)
    assert exposed.links()["route"][0] == "warning"


def test_api_server_that_gives_no_answer_ends_it_with_2_and_json_where_that_was_asked_for(
    explainer: Explainer,
) -> None:
    with closed() as port:
        known = explainer.kubeconfig.read_text(encoding="utf-8")
        explainer.kubeconfig.write_text(known.replace(explainer.world.memory.url, f"http://127.0.0.1:{port}"))
        result = explainer.run("default/web-1", "-o", "json")
    assert result.exit_code == 2
    assert "gives no answer" in json.loads(result.stdout)["error"]


# The probe


@contextmanager
def listening(kind: socket.SocketKind, *, answers: bool = True) -> Iterator[int]:
    """Listen on loopback, and answer what comes; give the port."""
    with socket.socket(socket.AF_INET, kind) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        if kind is socket.SOCK_STREAM:
            listener.listen()

        def answer() -> None:
            if kind is socket.SOCK_DGRAM and answers:
                _, client = listener.recvfrom(10)
                listener.sendto(b"here", client)

        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@contextmanager
def closed() -> Iterator[int]:
    """Give a port where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    yield port


def outcome_of(port: int, transport: Transport) -> Outcome:
    mapping = PortMapping(Ports.of(port), Ports.of(80), transport)
    (found,) = probe([WorkingPort("127.0.0.1", POD_IP, mapping, ())], timeout=0.3)
    return found.outcome


@pytest.mark.parametrize(
    ("kind", "transport"), [(socket.SOCK_STREAM, Transport.TCP), (socket.SOCK_DGRAM, Transport.UDP)]
)
def test_probe_of_a_port_that_answers(kind: socket.SocketKind, transport: Transport) -> None:
    with listening(kind) as port:
        assert outcome_of(port, transport) is Outcome.ANSWERED


def test_probe_of_udp_that_does_not_answer_says_only_that() -> None:
    with listening(socket.SOCK_DGRAM, answers=False) as port:
        assert outcome_of(port, Transport.UDP) is Outcome.SILENT


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.UDP])
def test_probe_of_a_port_where_nothing_listens_is_refused(transport: Transport) -> None:
    with closed() as port:
        assert outcome_of(port, transport) is Outcome.REFUSED


def test_probe_of_both_protocols_tries_each() -> None:
    mapping = PortMapping(Ports.of(9, 12), Ports.of(80, 83), Transport.TCPUDP)
    found = probe([WorkingPort("127.0.0.1", POD_IP, mapping, ())], timeout=0.3)
    assert [one.external for one in found] == ["127.0.0.1:9/tcp", "127.0.0.1:9/udp"]


@pytest.mark.parametrize(
    ("outcome", "transport", "link", "state"),
    [
        (Outcome.ANSWERED, Transport.TCP, "security group", "ok"),
        (Outcome.REFUSED, Transport.TCP, "security group", "ok"),
        (Outcome.REFUSED, Transport.TCP, "probe", "wrong"),
        (Outcome.SILENT, Transport.TCP, "probe", "wrong"),
        (Outcome.SILENT, Transport.UDP, "probe", "unknown"),
        (Outcome.UNREACHABLE, Transport.TCP, "probe", "unknown"),
    ],
)
def test_outcome_of_a_probe_judges_the_way_and_the_program(
    outcome: Outcome, transport: Transport, link: str, state: str
) -> None:
    (protocol,) = transport.protocols
    made = Probe(f"{EIP}:512/{protocol}", 80, protocol, outcome)
    facts = Facts("default", "web-1", now(), None, Unread(""), probes=(made,))
    assert LINKS[link](facts).state == state


@pytest.mark.parametrize(("listens", "state"), [(True, "ok"), (False, "wrong")])
def test_probe_tries_what_the_poddnat_says_to_work(exposed: Explainer, *, listens: bool, state: str) -> None:
    world = exposed.world
    with listening(socket.SOCK_STREAM) if listens else closed() as port:
        world.emulator.add_eip(GATEWAY, "127.0.0.1")
        entry = {"eips": ["127.0.0.1"], "portRangeStart": port, "portRangeEnd": port}
        exposed.change_values(entry=entry)
        wait_until(lambda: any(one.places for one in world.service.fleet.candidates()), 10, "the address to be seen")
        world.expose(world.make_pod(EXPOSE_80, name="local", ip="172.16.1.8"))
        assert exposed.links("default/local", "--probe")["probe"][0] == state


def test_nothing_is_probed_of_a_pod_that_can_not_be_reached(explainer: Explainer) -> None:
    on_node_network(explainer)
    assert "probe" not in explainer.links("default/web-1", "--probe")


# What else follows


def test_crd_that_is_not_installed_is_named_instead_of_a_404(explainer: Explainer) -> None:
    with (
        without_crd(explainer),
        pytest.raises(NotServedError, match=r"the CRD poddnats\.alibabacloud\.com is not installed"),
    ):
        KubeClient(connect_to(explainer.world.memory.url)).poddnats()
