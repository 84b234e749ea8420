"""The sync hook for PodDNATs: forward entries as asked for and as permitted, and a status that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.apply import owner_reference
from metacontroller_standin.waiting import wait_until
from tests.unit.hooks.world import (
    EIP,
    EXPOSE_80,
    GATEWAY,
    POD_DNAT,
    POD_IP,
    PORTS,
    PROTOCOL,
    World,
    answer,
    condition,
    running,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]


@pytest.fixture
def slow_world() -> Iterator[World]:
    """A cloud that takes a moment for each write."""
    with running(settle_seconds=0.5) as world:
        yield world


def exposed(world: World, pod: Json, **changes: Any) -> Json:
    """Make the PodDNAT that a pod should have, with changes to its spec that the pod's sync did not make."""
    return world.make_poddnat({**world.attachment(pod)["spec"], **changes}, owner=pod, name=pod["metadata"]["name"])


def test_poddnat_gets_its_entry_and_its_status_shows_it(world: World) -> None:
    poddnat = exposed(world, world.make_pod(EXPOSE_80))
    status = answer(lambda: world.sync_poddnat(poddnat))["status"]
    (entry,) = world.entries()
    assert entry.status == "Available"
    assert status["entries"] == [
        {
            "externalIP": EIP,
            "externalPort": "512",
            "forwardEntryId": entry.id,
            "internalIP": POD_IP,
            "internalPort": "80",
            "ipProtocol": "tcp",
        }
    ]


def test_entries_name_the_cluster_and_the_poddnat(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    assert [entry.name for entry in world.entries()] == [f"poddnat_c-test_{poddnat['metadata']['uid']}"]


def test_ready_says_where_the_entries_work(world: World) -> None:
    poddnat = world.expose(world.make_pod({POD_DNAT: "true", PORTS: "80,443"}))
    assert condition(poddnat) == ("True", "Ready", f"2 forward entries work on {EIP}.")
    assert poddnat["status"]["ports"] == "512->80/tcp,513->443/tcp"


def test_udp_ports_become_udp_entries(world: World) -> None:
    world.expose(world.make_pod({POD_DNAT: "true", PORTS: "7777,7778", PROTOCOL: "udp"}))
    assert {(entry.protocol, entry.internal_port) for entry in world.entries()} == {("udp", "7777"), ("udp", "7778")}


def test_range_is_one_entry_on_the_gateway(world: World) -> None:
    poddnat = world.expose(world.make_pod({POD_DNAT: "true", PORTS: "9000-9010/udp"}))
    assert [(e.external_port, e.internal_port, e.protocol) for e in world.entries()] == [
        ("512/522", "9000/9010", "udp")
    ]
    assert poddnat["status"]["ports"] == "512-522->9000-9010/udp"


def test_item_of_both_protocols_is_two_entries_on_the_gateway_and_one_of_the_status(world: World) -> None:
    poddnat = world.expose(world.make_pod({POD_DNAT: "true", PORTS: "27015/tcpudp"}))
    tcp, udp = sorted(world.entries(), key=lambda entry: entry.protocol)
    assert (tcp.external_port, tcp.protocol, udp.external_port, udp.protocol) == ("512", "tcp", "512", "udp")
    (shown,) = poddnat["status"]["entries"]
    assert (shown["ipProtocol"], shown["forwardEntryId"]) == ("tcpudp", f"{tcp.id},{udp.id}")
    assert condition(poddnat) == ("True", "Ready", f"2 forward entries work on {EIP}.")


def test_item_of_both_protocols_is_not_shown_while_only_one_works(world: World) -> None:
    pod = world.make_pod({POD_DNAT: "true", PORTS: "27015/tcpudp,80"})
    poddnat = exposed(world, pod)
    world.emulator.add_entry(
        GATEWAY, external_ip=EIP, external_port=600, internal_ip=POD_IP, internal_port=27015, protocol="udp"
    )
    reported = answer(lambda: world.sync_poddnat(poddnat))
    assert condition(reported)[:2] == ("False", "InternalAddressTaken")
    assert [entry["internalPort"] for entry in reported["status"]["entries"]] == ["80"]


def fill_pages(world: World) -> None:
    """Make the table so long that looking for single entries is cheaper than at all of it."""
    for number in range(1, 201):
        world.emulator.add_entry(
            GATEWAY, external_ip="203.0.113.99", external_port=number, internal_ip="172.16.1.9", internal_port=number
        )


@pytest.mark.parametrize(
    ("ports", "external", "internal", "reason"),
    [
        pytest.param("80", "500/600", "500/600", "ExternalPortTaken", id="a port within somebody's range"),
        pytest.param("9000-9010", "515", "22", "ExternalPortTaken", id="a range around somebody's port"),
        pytest.param("80", "700/800", "50/150", "InternalAddressTaken", id="an internal port within somebody's range"),
        pytest.param("9000-9010", "700", "9005", "InternalAddressTaken", id="internal ports around somebody's"),
    ],
)
def test_holder_of_ports_that_only_overlap_is_found(
    world: World, ports: str, external: str, internal: str, reason: str
) -> None:
    fill_pages(world)
    pod = world.make_pod({POD_DNAT: "true", PORTS: ports})
    poddnat = exposed(world, pod)
    ip = POD_IP if reason.startswith("Internal") else "172.16.1.10"
    # After the table was read: only a refused write tells that something is there.
    foreign = world.emulator.add_entry(
        GATEWAY, external_ip=EIP, external_port=external, internal_ip=ip, internal_port=internal
    )
    wait_until(lambda: foreign.id in condition(answer(lambda: world.sync_poddnat(poddnat)))[2], 20, "the holder")
    assert condition(answer(lambda: world.sync_poddnat(poddnat)))[1] == reason


def other_port(world: World, pod: Json, poddnat: Json) -> str:
    """Let a PodDNAT report that somebody has its port, and tell which port the pod's next call gives."""
    reported = answer(lambda: world.sync_poddnat(poddnat))
    assert condition(reported)[1] == "ExternalPortTaken"
    poddnat = world.set_status(poddnat, reported["status"])
    return str(world.attachment(pod, poddnat)["spec"]["portMapping"][0]["externalPort"])


def test_pod_gets_another_port_at_once_though_the_table_was_not_listed_since_somebody_took_its_own(
    world: World,
) -> None:
    fill_pages(world)
    pod = world.make_pod(EXPOSE_80)
    poddnat = exposed(world, pod)
    world.emulator.add_entry(GATEWAY, external_ip=EIP, external_port=512, internal_ip="172.16.1.10", internal_port=22)
    assert other_port(world, pod, poddnat) == "513"


def test_poddnat_for_less_than_its_pod_asks_for_now_goes_on_working(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    world.annotate(pod, {PORTS: "80/tcpudp"})
    assert condition(answer(lambda: world.sync_poddnat(poddnat)))[:2] == ("True", "Ready")


def test_asked_again_gives_the_same_status_to_the_letter(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    status = answer(lambda: world.sync_poddnat(poddnat))["status"]
    assert {**status, "observedGeneration": 1} == poddnat["status"]


def test_no_status_is_reported_while_the_entry_is_pending(slow_world: World) -> None:
    poddnat = exposed(slow_world, slow_world.make_pod(EXPOSE_80))
    wait_until(lambda: slow_world.sync_poddnat(poddnat).status_code == 429 and slow_world.entries(), 5, "the entry")
    response = slow_world.sync_poddnat(poddnat)
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) >= 1


def test_entry_removed_by_somebody_else_comes_back() -> None:
    with running(refresh_interval=1.0) as world:
        poddnat = world.expose(world.make_pod(EXPOSE_80))
        world.emulator.delete_entry(GATEWAY, world.entries()[0].id)
        wait_until(lambda: world.sync_poddnat(poddnat) and world.entries(), 10, "the entry to come back")
        assert [entry.external_port for entry in world.entries()] == ["512"]


# Nothing is exposed that the pod does not ask for


def refusal(world: World, poddnat: Json) -> tuple[str, str]:
    """Return reason and sentence with which a PodDNAT is refused; see that nothing was asked of the cloud."""
    reported = answer(lambda: world.sync_poddnat(poddnat))
    assert reported["status"]["entries"] == []
    assert world.cloud_writes() == 0
    ready, reason, message = condition(reported)
    assert ready == "False"
    return reason, message


def test_poddnat_without_a_pod_is_refused(world: World) -> None:
    spec = world.attachment(world.make_pod(EXPOSE_80))["spec"]
    reason, message = refusal(world, world.make_poddnat(spec, name="by-hand"))
    assert reason == "NotAllowed"
    assert "no pod owns it" in message


def test_poddnat_for_an_address_outside_the_pool_is_refused(world: World) -> None:
    reason, message = refusal(world, exposed(world, world.make_pod(EXPOSE_80), externalIP="203.0.113.99"))
    assert reason == "NotInPool"
    assert f"203.0.113.99:512 on {GATEWAY}" in message


def test_poddnat_for_a_port_outside_the_pool_is_refused(world: World) -> None:
    mapping = [{"externalPort": "22", "internalPort": "80"}]
    reason, message = refusal(world, exposed(world, world.make_pod(EXPOSE_80), portMapping=mapping))
    assert reason == "NotInPool"
    assert f"{EIP}:22" in message


def test_poddnat_for_a_gateway_outside_the_pool_is_refused(world: World) -> None:
    reason, _ = refusal(world, exposed(world, world.make_pod(EXPOSE_80), tableId="ngw-2"))
    assert reason == "NotInPool"


def test_poddnat_for_another_pods_ip_is_refused(world: World) -> None:
    world.make_pod(EXPOSE_80, name="victim", ip="172.16.1.9")
    reason, message = refusal(world, exposed(world, world.make_pod(EXPOSE_80), internalIP="172.16.1.9"))
    assert reason == "NotAllowed"
    assert "pod web-1 does not have the IP 172.16.1.9" in message


@pytest.mark.parametrize(
    "changes",
    [
        {"portMapping": [{"externalPort": "512", "internalPort": "22"}]},
        {"portMapping": [{"externalPort": "512", "internalPort": "80", "protocol": "tcpudp"}]},
        {"portMapping": [{"externalPort": "512/513", "internalPort": "80/81"}]},
        {"protocol": "udp"},
    ],
)
def test_poddnat_for_a_port_that_the_pod_does_not_list_is_refused(world: World, changes: Json) -> None:
    reason, message = refusal(world, exposed(world, world.make_pod(EXPOSE_80), **changes))
    assert reason == "NotAllowed"
    assert "pod web-1 does not ask for port" in message


def test_poddnat_of_an_earlier_pod_of_the_same_name_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.memory.store, "collect", lambda _kind, _key: None)  # the garbage collector comes later
    other = world.make_pod({}, name="other", ip="172.16.1.8")
    poddnat = exposed(world, world.make_pod(EXPOSE_80))
    earlier = {**poddnat["metadata"]["ownerReferences"][0], "uid": "that-of-an-earlier-pod"}
    poddnat["metadata"]["ownerReferences"] = [earlier, {**owner_reference(other), "controller": False}]
    reason, message = refusal(world, poddnat)
    assert reason == "NotAllowed"
    assert "its pod web-1 (uid that-of-an-earlier-pod) is gone" in message


def test_poddnat_of_a_pod_on_its_nodes_network_is_refused(world: World) -> None:
    spec = world.attachment(world.make_pod(EXPOSE_80, name="other"))["spec"]
    pod = world.make_pod(EXPOSE_80, hostNetwork=True)
    reason, message = refusal(world, world.make_poddnat(spec, owner=pod))
    assert reason == "NotAllowed"
    assert "uses its node's network" in message


def test_refused_poddnat_gets_a_warning_event(world: World) -> None:
    poddnat = world.make_poddnat(world.attachment(world.make_pod(EXPOSE_80))["spec"], name="by-hand")
    answer(lambda: world.sync_poddnat(poddnat))
    assert world.warnings() == [("PodDNAT", "NotAllowed")]


@pytest.mark.parametrize(
    "changes",
    [
        {"externalIP": ""},
        {"tableId": ""},
        {"protocol": "any"},
        {"portMapping": []},
        {"portMapping": [{"externalPort": "512/513", "internalPort": "80"}]},
        {"portMapping": [{"externalPort": "http", "internalPort": "80"}]},
        {"portMapping": [{"externalPort": "512"}]},
    ],
)
def test_poddnat_with_a_spec_that_makes_no_sense_is_told_so(world: World, changes: Json) -> None:
    reason, message = refusal(world, exposed(world, world.make_pod(EXPOSE_80), **changes))
    assert reason == "InvalidSpec"
    assert "the user has to correct or delete this PodDNAT" in message


def test_poddnat_without_a_spec_is_told_so(world: World) -> None:
    poddnat = world.make_poddnat({}, name="by-hand")
    del poddnat["spec"]
    assert refusal(world, poddnat)[0] == "InvalidSpec"


def test_poddnat_whose_spec_was_spoilt_loses_its_entries(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    spoilt = {**poddnat, "spec": {**poddnat["spec"], "portMapping": []}}
    wait_until(lambda: answer(lambda: world.sync_poddnat(spoilt)) and not world.entries(), 5, "the entry to go")


# The pod decides as long as it lives


def test_poddnat_of_a_pod_that_opted_out_before_it_was_ready_is_deleted(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = exposed(world, pod)
    world.annotate(pod, {POD_DNAT: None, PORTS: None})
    assert world.sync_poddnat(poddnat).status_code == 429
    assert world.poddnat() is None
    assert world.entries() == []


def test_poddnat_of_a_pod_that_opted_out_when_it_had_just_become_ready_is_deleted(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    world.annotate(pod, {POD_DNAT: None, PORTS: None})
    wait_until(lambda: world.sync_poddnat(poddnat) and world.poddnat() is None, 10, "the PodDNAT to be deleted")


def test_poddnat_that_has_long_been_ready_costs_no_look_at_its_pod(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    poddnat["status"]["conditions"][0]["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    monkeypatch.delattr("poddnat.controllers.authorization.Authorizer.check")
    assert condition(answer(lambda: world.sync_poddnat(poddnat)))[0] == "True"


def test_entries_of_a_terminating_pod_stay(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    world.api.delete(world.api.resource("v1", "pods"), "web-1", "default")
    assert condition(answer(lambda: world.sync_poddnat(poddnat)))[:2] == ("True", "Ready")
    assert len(world.entries()) == 1


def test_terminating_pod_gets_no_new_entry(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = exposed(world, pod)
    world.api.delete(world.api.resource("v1", "pods"), "web-1", "default")
    reported = answer(lambda: world.sync_poddnat(poddnat))
    assert condition(reported)[:2] == ("False", "Leaving")
    assert world.cloud_writes() == 0
