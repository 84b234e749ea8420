"""What a user tries who may write pods' annotations and PodDNATs, statuses too, in one namespace; and forged calls.

Each attack is told why it came to nothing, and nothing of anybody else's is exposed, taken or lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.api import name_of
from metacontroller_standin.apply import DECORATOR, owner_reference
from metacontroller_standin.waiting import wait_until
from poddnat.api.fixed import OWNER, POD_UID, STRATEGY
from tests.unit.hooks.world import (
    EIP,
    EXPOSE_80,
    FINALIZER,
    GATEWAY,
    POD_DNAT,
    PORTS,
    STATUS,
    World,
    answer,
    condition,
    pod_request,
    poddnat_request,
    restarted,
    running,
)

if TYPE_CHECKING:
    from vpc_emulator import ForwardEntry

Json = dict[str, Any]

VICTIM_IP = "172.16.1.9"
NODE_IP = "172.16.1.2"
API_SERVER_IP = "172.16.1.3"


@pytest.fixture
def victim(world: World) -> Json:
    """The PodDNAT of somebody else's pod, which works."""
    return world.expose(world.make_pod(EXPOSE_80, name="victim", ip=VICTIM_IP))


def attack(world: World, **changes: Any) -> Json:
    """Make the PodDNAT of an own pod that asks for port 80, with changes that nobody has agreed to."""
    pod = world.make_pod(EXPOSE_80, name="attacker")
    return world.make_poddnat({**world.attachment(pod)["spec"], **changes}, owner=pod, name="attacker")


def verdict(world: World, poddnat: Json) -> tuple[str, str]:
    """Return reason and sentence that a PodDNAT gets."""
    return condition(answer(lambda: world.sync_poddnat(poddnat)))[1:]


def bastion(world: World, **about: Any) -> ForwardEntry:
    """Make an entry that an operator has made by hand."""
    where = {"external_ip": EIP, "external_port": 600, "internal_ip": "172.16.0.9", "internal_port": 22}
    return world.emulator.add_entry(GATEWAY, **{**where, "name": "bastion", **about})


def works(world: World, poddnat: Json) -> bool:
    """Whether a PodDNAT has what it had."""
    reported = {entry["forwardEntryId"] for entry in poddnat["status"]["entries"]}
    return reported <= {entry.id for entry in world.entries() if entry.status == "Available"}


# What is exposed


@pytest.mark.parametrize("ip", [VICTIM_IP, NODE_IP, API_SERVER_IP], ids=["pod", "node", "API server"])
def test_address_of_another_is_not_exposed(world: World, victim: Json, ip: str) -> None:
    reason, message = verdict(world, attack(world, internalIP=ip))
    assert (reason, f"pod attacker does not have the IP {ip}" in message) == ("NotAllowed", True)
    assert [entry.internal_ip for entry in world.entries()] == [VICTIM_IP]
    assert works(world, victim)


@pytest.mark.parametrize("port", ["22", "79-81", "1-65535"])
def test_port_that_is_not_annotated_is_not_exposed(world: World, port: str) -> None:
    size = {"22": "600", "79-81": "600-602", "1-65535": "1-65535"}[port]
    mapping = [{"externalPort": size.replace("-", "/"), "internalPort": port.replace("-", "/")}]
    reason, _ = verdict(world, attack(world, portMapping=mapping))
    assert reason in {"NotAllowed", "NotInPool"}
    assert world.entries() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"externalIP": "203.0.113.99"},
        {"tableId": "ngw-2"},
        {"portMapping": [{"externalPort": "22", "internalPort": "80"}]},
    ],
    ids=["address", "gateway", "port"],
)
def test_public_side_outside_the_pool_is_not_had(world: World, changes: Json) -> None:
    reason, message = verdict(world, attack(world, **changes))
    assert (reason, "is not in the values file's pool" in message) == ("NotInPool", True)
    assert world.entries() == []


def test_pod_on_its_nodes_network_does_not_expose_the_node(world: World) -> None:
    pod = world.make_pod(EXPOSE_80, name="attacker", ip=NODE_IP, hostNetwork=True)
    reported = answer(lambda: world.sync_pod(pod))
    assert (reported["attachments"], reported["annotations"][STATUS].partition(":")[0]) == ([], "HostNetwork")
    spec = {"tableId": GATEWAY, "externalIP": EIP, "internalIP": NODE_IP}
    mapping = [{"externalPort": "600", "internalPort": "80"}]
    by_hand = world.make_poddnat({**spec, "portMapping": mapping}, owner=pod, name="attacker")
    assert verdict(world, by_hand)[0] == "NotAllowed"
    assert world.entries() == []


def test_another_pod_named_as_the_owner_is_exposed_only_as_it_asks_itself(world: World) -> None:
    shy = world.make_pod({}, name="shy", ip=VICTIM_IP)
    spec = {**attack(world)["spec"], "internalIP": VICTIM_IP}
    forged = world.make_poddnat(spec, owner=shy, name="shy")
    assert world.sync_poddnat(forged).status_code == 429
    assert world.poddnat("shy") is None
    assert world.warnings() == [("PodDNAT", "NotAllowed")]
    assert world.entries() == []


@pytest.mark.parametrize(
    "owner", [{"kind": "ReplicaSet"}, {"name": "victim"}, {"uid": "another"}, {"controller": False}], ids=str
)
def test_owner_that_is_not_the_pod_itself_allows_nothing(world: World, victim: Json, owner: Json) -> None:
    poddnat = attack(world)
    true = poddnat["metadata"]["ownerReferences"][0]
    # The second one is there, so the garbage collector leaves the PodDNAT alone.
    keeper = {**owner_reference(world.make_pod({}, name="keeper", ip="172.16.1.8")), "controller": False}
    poddnat["metadata"]["ownerReferences"] = [{**true, **owner}, keeper]
    assert verdict(world, poddnat)[0] == "NotAllowed"
    assert [entry.internal_ip for entry in world.entries()] == [VICTIM_IP]
    assert works(world, victim)


@pytest.mark.parametrize(("whose", "reason"), [("own", "NotAllowed"), ("victim", "PodAway"), ("nobody", "PodAway")])
def test_poddnat_passed_off_as_that_of_a_fixed_pod_exposes_nothing(
    world: World, victim: Json, whose: str, reason: str
) -> None:
    pods = {"own": world.make_pod(EXPOSE_80, name="attacker"), "victim": pod_of(world, victim)}
    uid = pods[whose]["metadata"]["uid"] if whose in pods else "made-up"
    mapping = [{"externalPort": "700", "internalPort": "80"}]
    spec = {"tableId": GATEWAY, "externalIP": EIP, "internalIP": VICTIM_IP, "portMapping": mapping}
    world.make_poddnat(spec, name="attacker")
    marks = {OWNER: "apps/v1 StatefulSet x 1", STRATEGY: "Never", POD_UID: uid}
    world.api.patch(world.poddnats, "attacker", {"metadata": {"annotations": marks}}, "default")
    reported = answer(lambda: world.sync_poddnat(world.poddnat("attacker") or {}))
    assert condition(reported)[1] == reason
    assert [entry.internal_ip for entry in world.entries()] == [VICTIM_IP]
    assert works(world, victim)


def pod_of(world: World, poddnat: Json) -> Json:
    return world.api.get(world.api.resource("v1", "pods"), name_of(poddnat), "default")


def test_entry_does_not_outlive_the_pod_when_the_owner_is_taken_out_and_the_status_says_ready(world: World) -> None:
    """Else the next pod with that IP would be exposed."""
    pod = world.make_pod(EXPOSE_80, name="attacker")
    poddnat = world.expose(pod)
    poddnat["metadata"]["ownerReferences"] = []
    poddnat["status"]["conditions"][0]["lastTransitionTime"] = "2020-01-01T00:00:00Z"
    world.stored(poddnat)
    world.api.delete(world.api.resource("v1", "pods"), "attacker", "default", grace_period=0)
    act = "the user has to delete it, or to change the pod's annotations"
    assert verdict(world, poddnat) == (
        "NotAllowed",
        f"Nothing is exposed for this PodDNAT, because no pod owns it; {act}.",
    )
    wait_until(lambda: not world.entries(), 5, "the entry to go")


def test_entry_does_not_outlive_the_pod_when_a_finalizer_holds_the_poddnat(world: World) -> None:
    pod = world.make_pod(EXPOSE_80, name="attacker")
    poddnat = world.expose(pod)
    world.api.patch(world.poddnats, "attacker", {"metadata": {"finalizers": ["attack/er", FINALIZER]}}, "default")
    world.api.delete(world.poddnats, "attacker", "default")
    world.finalized(poddnat)
    held = world.api.patch(world.poddnats, "attacker", {"metadata": {"finalizers": ["attack/er"]}}, "default")
    reason, _ = verdict(world, held)
    assert reason == "Leaving"
    assert world.entries() == []


def test_entry_does_not_outlive_the_pod_when_the_poddnat_is_passed_off_as_acks(world: World) -> None:
    pod = world.make_pod(EXPOSE_80, name="attacker")
    poddnat = world.expose(pod)
    without_mark = {"metadata": {"annotations": {DECORATOR: None}}}
    passed_off = world.api.patch(world.poddnats, "attacker", without_mark, "default")
    answer(lambda: world.sync_poddnat(passed_off))
    wait_until(lambda: not world.entries(), 5, "the entry to go")
    marked = {"metadata": {"annotations": {DECORATOR: "pod-dnat"}, "finalizers": [FINALIZER]}}
    answer(lambda: world.sync_poddnat(world.api.patch(world.poddnats, "attacker", marked, "default")))
    world.api.patch(world.poddnats, "attacker", without_mark, "default")
    world.api.delete(world.poddnats, "attacker", "default")
    world.finalized(poddnat)
    assert world.entries() == []


# What others have


def test_foreign_entrys_port_is_not_taken(world: World) -> None:
    entry = bastion(world)
    mapping = [{"externalPort": "600", "internalPort": "80"}]
    reason, message = verdict(world, attack(world, portMapping=mapping))
    assert reason == "ExternalPortTaken"
    assert f"belongs to somebody else by entry {entry.id}, which is not ours to touch" in message
    assert world.entries() == [entry]


def test_pods_port_is_not_taken_from_it(world: World, victim: Json) -> None:
    reason, message = verdict(world, attack(world, portMapping=victim["spec"]["portMapping"]))
    assert reason == "ExternalPortTaken"
    assert victim["metadata"]["uid"] in message
    assert works(world, victim)
    pod = pod_of(world, victim)
    assert world.attachment(pod, victim)["spec"] == victim["spec"]


def test_port_that_is_allocated_to_somebody_without_an_entry_is_not_taken(world: World, victim: Json) -> None:
    """As for a fixed pod that is away: the cloud alone would not mind."""
    world.emulator.delete_entry(GATEWAY, victim["status"]["entries"][0]["forwardEntryId"])
    with restarted(world) as again:
        poddnat = attack(again, portMapping=victim["spec"]["portMapping"])
        reason, message = verdict(again, poddnat)
        assert reason == "ExternalPortTaken"
        assert victim["metadata"]["uid"] in message
        assert {entry.internal_ip for entry in again.entries()} <= {VICTIM_IP}


def test_pod_has_the_ports_of_one_poddnat_only() -> None:
    with running(last_port=513) as world:
        pod = world.make_pod(EXPOSE_80, name="attacker")
        poddnat = world.expose(pod)
        (port,) = {512, 513} - {int(poddnat["spec"]["portMapping"][0]["externalPort"])}
        second = {**poddnat["spec"], "portMapping": [{"externalPort": str(port), "internalPort": "80"}]}
        assert verdict(world, world.make_poddnat(second, owner=pod, name="second"))[0] == "NotAllowed"
        other = world.make_pod(EXPOSE_80, name="other", ip=VICTIM_IP)
        assert world.expose(other)["spec"]["portMapping"][0]["externalPort"] == str(port)


def test_ports_named_by_hand_are_left_to_others() -> None:
    with running(last_port=513) as world:
        mapping = [{"externalPort": str(port), "internalPort": str(port)} for port in (512, 513)]
        spec = {"tableId": GATEWAY, "externalIP": EIP, "internalIP": VICTIM_IP, "portMapping": mapping}
        assert verdict(world, world.make_poddnat(spec, name="greedy"))[0] == "NotAllowed"
        assert world.expose(world.make_pod(EXPOSE_80))["spec"]["externalIP"] == EIP


@pytest.mark.parametrize("whose", ["a pod of another name", "a pod that asks for less", "a pod that asks for nothing"])
def test_poddnat_keeps_no_port_from_others_by_being_there(whose: str) -> None:
    with running(last_port=513) as world:
        annotated: dict[str, str] = {} if whose.endswith("nothing") else EXPOSE_80
        pod = world.make_pod(annotated, name="attacker")
        mapping = [{"externalPort": "512/513", "internalPort": "80/81", "protocol": "tcpudp"}]
        spec = {"tableId": GATEWAY, "externalIP": EIP, "internalIP": "172.16.1.7", "portMapping": mapping}
        name = "other" if whose.endswith("name") else "attacker"
        world.make_poddnat(spec, owner=pod, name=name)
        wait_until(lambda: world.service.poddnats.get("default", name), 5, "the PodDNAT to be seen")
        assert world.expose(world.make_pod(EXPOSE_80, ip=VICTIM_IP))["spec"]["externalIP"] == EIP


def test_poddnat_that_names_more_than_it_was_given_keeps_what_it_was_given_and_no_more() -> None:
    with running(last_port=514) as world:
        poddnat = world.expose(world.make_pod(EXPOSE_80, name="attacker"))
        world.service.poddnat_queue.stop()  # Nobody has judged the edit yet.
        spec = {"portMapping": [{"externalPort": "512/514", "internalPort": "80/82"}]}
        edited = world.api.patch(world.poddnats, "attacker", {"spec": spec}, "default")
        wait_until(lambda: generation(world, "attacker") == edited["metadata"]["generation"], 5, "the edit to be seen")
        other = world.attachment(world.make_pod(EXPOSE_80, ip=VICTIM_IP))
        assert other["spec"]["portMapping"][0]["externalPort"] == "513"
        assert works(world, poddnat)


def generation(world: World, name: str) -> int:
    """Tell which generation of a PodDNAT the server has seen last."""
    found = world.service.poddnats.get("default", name)
    return int(found["metadata"]["generation"]) if found else 0


@pytest.mark.parametrize("name", ["bastion", "", "poddnat_another-cluster_uid-1"])
@pytest.mark.parametrize("finish", ["sync", "spoil", "delete"])
def test_foreign_entry_named_in_the_status_is_not_touched(world: World, name: str, finish: str) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80, name="attacker"))
    entry = bastion(world, name=name)
    claimed = {**poddnat["status"]["entries"][0], "forwardEntryId": entry.id}
    poddnat["status"]["entries"].append(claimed)
    with restarted(world) as again:
        # A process that has seen none of it yet has to look at the entry itself.
        poddnat = again.stored(poddnat)
        if finish == "spoil":
            poddnat["spec"]["portMapping"] = []
        ask = again.finalize if finish == "delete" else again.sync_poddnat
        reported = answer(lambda: ask(poddnat))
        if finish == "sync":
            assert [each["forwardEntryId"] for each in reported["status"]["entries"]] != [entry.id]
        left = 2 if finish == "sync" else 1
        wait_until(lambda: answer(lambda: ask(poddnat)) and len(again.entries()) == left, 10, "the own entry to go")
        assert entry in again.entries()


def test_entry_of_another_poddnat_named_in_the_status_is_not_touched(world: World, victim: Json) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80, name="attacker"))
    poddnat["status"]["entries"] += victim["status"]["entries"]
    world.finalized(world.stored(poddnat))
    wait_until(lambda: len(world.entries()) == 1, 5, "the own entry alone to go")
    assert works(world, victim)


def test_poddnat_copied_from_another_cluster_gets_entries_of_its_own(world: World) -> None:
    pod = world.make_pod(EXPOSE_80, name="attacker")
    spec = world.attachment(pod)["spec"]
    theirs = bastion(world, name="poddnat_another-cluster_uid-1", external_port=700)
    copied = world.make_poddnat(spec, owner=pod, name="attacker")
    entries = [{**_entry(spec), "forwardEntryId": theirs.id, "externalPort": "700"}]
    copied = world.set_status(copied, {"entries": entries})
    reported = answer(lambda: world.sync_poddnat(copied))
    assert condition(reported)[1] == "Ready"
    assert theirs.id not in {entry["forwardEntryId"] for entry in reported["status"]["entries"]}
    world.finalized(copied)
    assert world.entries() == [theirs]


def _entry(spec: Json) -> Json:
    (mapping,) = spec["portMapping"]
    return {
        "externalIP": spec["externalIP"],
        "externalPort": mapping["externalPort"],
        "internalIP": spec["internalIP"],
        "internalPort": mapping["internalPort"],
        "ipProtocol": "tcp",
    }


def test_renamed_entry_that_leads_to_the_pod_is_still_its_own(world: World) -> None:
    """The other side of it: what was renamed in the console must not be lost, nor left behind."""
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    (entry,) = world.entries()
    world.emulator.rename_entry(GATEWAY, entry.id, "renamed")
    with restarted(world) as again:
        reported = answer(lambda: again.sync_poddnat(poddnat))
        assert [each["forwardEntryId"] for each in reported["status"]["entries"]] == [entry.id]
        again.finalized(poddnat)
        assert again.entries() == []


def test_renamed_entry_goes_with_its_pod_after_a_restart(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    (entry,) = world.entries()
    world.emulator.rename_entry(GATEWAY, entry.id, "renamed")
    with restarted(world) as again:
        wait_until(lambda: again.service.poddnat_reconciler._entries.own(poddnat).known_ids, 5, "its pod to be asked")
        again.api.delete(again.api.resource("v1", "pods"), name_of(pod), "default", grace_period=0)
        wait_until(lambda: not again.entries(), 10, "the entry to go")


# Forged calls: whatever the token, only what the API server has is acted upon


def refused(world: World, path: str, body: Json) -> str:
    """Return why a call came to nothing."""
    response = world.client.post(path, json=body)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
    return response.text


def test_call_for_a_poddnat_that_is_not_there_does_nothing(world: World, victim: Json) -> None:
    forged = {**victim, "metadata": {**victim["metadata"], "uid": "forged"}}
    for path in ("/poddnat/sync", "/poddnat/finalize"):
        why = refused(world, path, poddnat_request(forged))
        assert why == "the API server has no PodDNAT default/victim with the uid forged\n"
    assert works(world, victim)


def test_call_to_finalize_a_living_poddnat_does_nothing(world: World, victim: Json) -> None:
    dying = {**victim, "metadata": {**victim["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    for shown in (victim, dying):
        why = refused(world, "/poddnat/finalize", poddnat_request(shown, finalizing=True))
        assert why == "PodDNAT default/victim is not being deleted\n"
    assert works(world, victim)


@pytest.mark.parametrize(
    "forged",
    [
        {"spec": {}},
        {"spec": {"tableId": GATEWAY, "externalIP": EIP, "internalIP": NODE_IP, "portMapping": []}},
        {"status": {}},
    ],
    ids=["no spec", "another spec", "no status"],
)
def test_call_with_another_content_goes_by_what_the_api_server_has(world: World, victim: Json, forged: Json) -> None:
    response = world.client.post("/poddnat/sync", json=poddnat_request({**victim, **forged}))
    assert response.get_json()["status"]["entries"] == victim["status"]["entries"]
    assert works(world, victim)


def test_call_with_another_owner_goes_by_what_the_api_server_has(world: World, victim: Json) -> None:
    attacker = world.make_pod(EXPOSE_80, name="attacker")
    forged = {**victim, "metadata": {**victim["metadata"], "ownerReferences": [owner_reference(attacker)]}}
    forged["spec"] = {**victim["spec"], "internalIP": attacker["status"]["podIP"]}
    answer(lambda: world.client.post("/poddnat/sync", json=poddnat_request(forged)))
    assert [entry.internal_ip for entry in world.entries()] == [VICTIM_IP]
    assert works(world, victim)


def test_call_to_opt_out_a_pod_that_asks_takes_nothing_from_it(world: World, victim: Json) -> None:
    pod = pod_of(world, victim)
    forged = {**pod, "metadata": {**pod["metadata"], "annotations": {}}}
    why = refused(world, "/pod/opt-out", {**pod_request(forged), "attachments": {}})
    assert why == "pod default/victim has the annotation k8s.aliyun.com/pod-dnat\n"
    assert world.poddnat("victim") == victim


def test_call_for_a_pod_that_is_not_there_gets_no_port_reserved() -> None:
    with running(last_port=512) as world:
        made = world.make_pod(EXPOSE_80, name="made-up")
        world.api.delete(world.api.resource("v1", "pods"), name_of(made), "default", grace_period=0)
        wait_until(lambda: not world.service._pods.is_alive(made["metadata"]["uid"]), 5, "its end to be seen")
        why = refused(world, "/pod/sync", pod_request(made))
        assert why == f"the API server has no pod default/made-up with the uid {made['metadata']['uid']}\n"
        assert world.attachment(world.make_pod(EXPOSE_80, name="real", ip="172.16.1.8"))


def test_call_for_a_pod_with_made_up_ports_exposes_nothing(world: World) -> None:
    pod = world.make_pod(EXPOSE_80, name="victim", ip=VICTIM_IP)
    forged = {**pod, "metadata": {**pod["metadata"], "annotations": {POD_DNAT: "true", PORTS: "22"}}}
    made = world.make_poddnat(world.attachment(forged)["spec"], owner=pod, name="victim")
    forged_spec = {**made["spec"], "portMapping": [{"externalPort": "512", "internalPort": "22"}]}
    assert verdict(world, {**made, "spec": forged_spec})[0] == "NotAllowed"
    assert world.entries() == []
