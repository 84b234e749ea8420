"""Fixed pods: the same public ports over deletion, rescheduling and restarts, and when they are given up.

In a whole cluster in memory, where the test plays the controller of the StatefulSet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.waiting import wait_until
from metacontroller_standin.workloads import add_pods
from poddnat.annotations import FIXED, RELEASE_STRATEGY
from poddnat.readiness import CONDITION
from tests.unit.hooks.test_cluster import told, wait_ready
from tests.unit.hooks.world import EXPOSE_80, PORTS, STATUS, Cluster, World, cluster, condition, restarted, running

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

FIXED_80 = {**EXPOSE_80, FIXED: "true"}


@pytest.fixture
def busy() -> Iterator[Cluster]:
    """A cluster with hook server, Metacontroller's stand-in and kubelet."""
    with running() as world, cluster(world) as busy:
        yield busy


def make_owner(world: World, annotations: dict[str, str], *, kind: str = "StatefulSet") -> Json:
    """Create a StatefulSet, or another owner, with one pod."""
    plural = {"StatefulSet": "statefulsets", "ReplicaSet": "replicasets"}[kind]
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}}
    metadata = {"name": "arena", "namespace": "default"}
    made = {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": {"replicas": 1, "template": template}}
    owner = world.api.create(world.api.resource("apps/v1", plural), made)
    add_pods(world.api, owner, 1)
    return owner


def scale(world: World, replicas: int) -> None:
    world.api.patch(world.api.resource("apps/v1", "statefulsets"), "arena", {"spec": {"replicas": replicas}}, "default")


def delete_pod(world: World, name: str = "arena-0") -> None:
    """Delete a pod by force, and wait until its PodDNAT knows."""
    world.api.delete(world.api.resource("v1", "pods"), name, "default", grace_period=0)


def outside(world: World, name: str = "arena-0") -> tuple[str, list[str]]:
    """Return the external side of a PodDNAT."""
    poddnat = world.poddnat(name)
    assert poddnat is not None
    return poddnat["spec"]["externalIP"], [mapping["externalPort"] for mapping in poddnat["spec"]["portMapping"]]


def reason(world: World, name: str = "arena-0") -> str:
    conditions = ((world.poddnat(name) or {}).get("status") or {}).get("conditions") or [{"reason": ""}]
    return str(conditions[0]["reason"])


def wait_away(world: World) -> None:
    wait_until(lambda: reason(world) == "PodAway" and not world.entries(), 10, "the PodDNAT to be without its pod")


def wait_released(world: World) -> None:
    wait_until(lambda: world.poddnat("arena-0") is None and not world.entries(), 10, "the PodDNAT to be released")


def test_fixed_pod_is_told_its_ports_like_any_other(busy: Cluster) -> None:
    owner = make_owner(busy.world, FIXED_80)
    wait_ready(busy.world, "arena-0")
    (reference, pod) = (busy.world.poddnat("arena-0") or {})["metadata"]["ownerReferences"]
    assert (reference["uid"], reference["controller"], pod["kind"]) == (owner["metadata"]["uid"], True, "Pod")


def test_fixed_pod_that_is_away_has_no_entries_but_keeps_its_address_and_ports(busy: Cluster) -> None:
    make_owner(busy.world, FIXED_80)
    wait_ready(busy.world, "arena-0")
    before = outside(busy.world)
    delete_pod(busy.world)
    wait_away(busy.world)
    assert outside(busy.world) == before
    assert (busy.world.poddnat("arena-0") or {})["status"]["entries"] == []


def test_fixed_pod_that_comes_back_with_another_ip_has_the_same_address_and_ports(busy: Cluster) -> None:
    world = busy.world
    owner = make_owner(world, FIXED_80)
    wait_ready(world, "arena-0")
    before, ip = outside(world), world.entries()[0].internal_ip
    delete_pod(world)
    wait_away(world)
    add_pods(world.api, owner, 1)
    wait_ready(world, "arena-0")
    assert outside(world) == before
    assert [entry.internal_ip != ip for entry in world.entries()] == [True]


def test_nobody_else_is_given_the_ports_of_a_fixed_pod_that_is_away() -> None:
    with running(last_port=512) as world, cluster(world):
        make_owner(world, FIXED_80)
        wait_ready(world, "arena-0")
        delete_pod(world)
        wait_away(world)
        world.make_pod(EXPOSE_80, ip="")
        wait_until(lambda: told(world).get(STATUS, "").startswith("NoFreePorts: "), 10, "the pod to be refused")


def test_ip_of_a_fixed_pod_that_is_gone_serves_its_new_holder_only(busy: Cluster) -> None:
    world = busy.world
    make_owner(world, FIXED_80)
    wait_ready(world, "arena-0")
    ip = world.entries()[0].internal_ip
    delete_pod(world)
    world.set_pod_status(world.make_pod(EXPOSE_80, ip=ip), "Running", ip)  # the kubelet may have given it another one
    wait_until(lambda: [entry.internal_ip for entry in world.entries()] == [ip], 10, "the new holder's entry")
    wait_ready(world, "web-1")
    (port,) = outside(world, "web-1")[1]
    assert [(entry.internal_ip, entry.external_port) for entry in world.entries()] == [(ip, port)]
    assert outside(world)[1] != [port]


def test_scaling_down_releases_the_ports(busy: Cluster) -> None:
    make_owner(busy.world, FIXED_80)
    wait_ready(busy.world, "arena-0")
    scale(busy.world, 0)
    delete_pod(busy.world)
    wait_released(busy.world)


def test_deleting_the_owner_releases_the_ports_once_the_pod_is_gone(busy: Cluster) -> None:
    world = busy.world
    make_owner(world, FIXED_80)
    wait_ready(world, "arena-0")
    world.api.delete(world.api.resource("apps/v1", "statefulsets"), "arena", "default")
    wait_released(world)


def test_never_keeps_the_ports_beyond_the_owner_until_a_new_one_takes_them(busy: Cluster) -> None:
    world = busy.world
    make_owner(world, {**FIXED_80, RELEASE_STRATEGY: "Never"})
    wait_ready(world, "arena-0")
    before = outside(world)
    world.api.delete(world.api.resource("apps/v1", "statefulsets"), "arena", "default")
    wait_away(world)
    assert outside(world) == before
    make_owner(world, {**FIXED_80, RELEASE_STRATEGY: "Never"})
    wait_ready(world, "arena-0")
    assert outside(world) == before


def test_duration_releases_the_ports_when_the_pod_has_been_away_for_so_long(busy: Cluster) -> None:
    make_owner(busy.world, {**FIXED_80, RELEASE_STRATEGY: "2s"})
    wait_ready(busy.world, "arena-0")
    delete_pod(busy.world)
    wait_away(busy.world)
    wait_released(busy.world)


def test_taking_fixed_away_from_a_pod_leaves_it_its_ports_while_it_lives(busy: Cluster) -> None:
    world = busy.world
    make_owner(world, FIXED_80)
    wait_ready(world, "arena-0")
    before = outside(world)
    pod = world.api.get(world.api.resource("v1", "pods"), "arena-0", "default")
    world.annotate(pod, {FIXED: None})
    wait_until(lambda: owner_kind(world) == "Pod", 10, "the PodDNAT to be the pod's own")
    wait_ready(world, "arena-0")
    assert outside(world) == before


def owner_kind(world: World) -> str:
    owners = (world.poddnat("arena-0") or {"metadata": {}})["metadata"].get("ownerReferences") or [{"kind": ""}]
    return str(owners[0]["kind"])


def test_pod_that_becomes_fixed_keeps_its_ports(busy: Cluster) -> None:
    world = busy.world
    make_owner(world, EXPOSE_80)
    wait_ready(world, "arena-0")
    before = outside(world)
    pod = world.api.get(world.api.resource("v1", "pods"), "arena-0", "default")
    world.annotate(pod, {FIXED: "true"})
    wait_until(lambda: owner_kind(world) == "StatefulSet", 10, "the PodDNAT to be the StatefulSet's")
    wait_ready(world, "arena-0")
    assert outside(world) == before


def test_opting_out_releases_a_fixed_pods_ports(busy: Cluster) -> None:
    world = busy.world
    make_owner(world, {**FIXED_80, RELEASE_STRATEGY: "Never"})
    wait_ready(world, "arena-0")
    pod = world.api.get(world.api.resource("v1", "pods"), "arena-0", "default")
    world.annotate(pod, dict.fromkeys([*FIXED_80, RELEASE_STRATEGY]))
    wait_released(world)


def test_typo_on_a_fixed_pod_withdraws_its_ports_but_keeps_them_for_it(busy: Cluster) -> None:
    world = busy.world
    make_owner(world, FIXED_80)
    wait_ready(world, "arena-0")
    before = outside(world)
    pod = world.api.get(world.api.resource("v1", "pods"), "arena-0", "default")
    world.annotate(pod, {PORTS: "http"})
    wait_away(world)
    assert outside(world) == before
    world.annotate(pod, {PORTS: "80"})
    wait_ready(world, "arena-0")
    assert outside(world) == before


def test_pod_with_a_random_name_is_exposed_and_told_that_it_can_not_be_fixed(busy: Cluster) -> None:
    world = busy.world
    make_owner(world, FIXED_80, kind="ReplicaSet")
    (pod,) = world.api.list(world.api.resource("v1", "pods"), "default")["items"]
    wait_ready(world, pod["metadata"]["name"])
    assert ("Pod", "FixedNotPossible") in world.warnings()


def test_pod_whose_name_is_kept_for_another_owner_is_told_what_to_do(busy: Cluster) -> None:
    world = busy.world
    make_owner(world, {**FIXED_80, RELEASE_STRATEGY: "Never"})
    wait_ready(world, "arena-0")
    world.api.delete(world.api.resource("apps/v1", "statefulsets"), "arena", "default")
    wait_away(world)
    world.make_pod(EXPOSE_80, name="arena-0", ip="")
    wait_until(lambda: told(world, "arena-0").get(STATUS, "").startswith("NameTaken: "), 10, "the pod to be told")


def test_fixed_pod_that_went_while_the_server_was_away_is_noticed_when_it_is_back(world: World) -> None:
    with cluster(world):
        make_owner(world, FIXED_80)
        wait_ready(world, "arena-0")
    before = outside(world)
    world.service.stop()
    delete_pod(world)
    with restarted(world) as again, cluster(again):
        wait_away(again)
        assert outside(again) == before


def test_settled_fixed_pod_causes_no_write(busy: Cluster) -> None:
    world = busy.world
    make_owner(world, FIXED_80)
    wait_ready(world, "arena-0")
    busy.standin.wait_idle(horizon=30)
    before = (world.memory.store.revision, world.cloud_writes())
    pod = world.api.get(world.api.resource("v1", "pods"), "arena-0", "default")
    world.annotate(pod, {"example.com/unrelated": "1"})
    busy.standin.wait_idle(horizon=30)
    assert (world.memory.store.revision, world.cloud_writes()) == (before[0] + 1, before[1])


# Written by hand: what a PodDNAT claims of itself permits nothing


@pytest.mark.parametrize(
    ("record", "changes"),
    [
        ({"poddnat.alibabacloud.com/pod-uid": "another"}, {}),
        ({}, {"internalIP": "172.16.1.9"}),
        ({}, {"portMapping": [{"externalPort": "600", "internalPort": "22"}]}),
    ],
    ids=["another-pod", "another-ip", "another-port"],
)
def test_poddnat_that_claims_to_be_fixed_exposes_only_what_its_pod_asks_for(
    world: World, record: dict[str, str], changes: Json
) -> None:
    pod = world.make_pod(FIXED_80, name="arena-0")
    spec = {**world.attachment(pod)["spec"], **changes}
    owner = {"poddnat.alibabacloud.com/owner": "apps/v1 StatefulSet arena 1"}
    claims = {**owner, "poddnat.alibabacloud.com/pod-uid": pod["metadata"]["uid"], **record}
    poddnat = world.make_poddnat(spec, name="arena-0")
    metadata = {"annotations": claims}
    poddnat = world.api.patch(world.poddnats, "arena-0", {"metadata": metadata}, "default")
    response = world.sync_poddnat(poddnat)
    is_refused = response.status_code == 200 and condition(response.get_json())[1] == "NotAllowed"
    left = world.poddnat("arena-0")  # none, once the garbage collector has seen that there is no such owner
    assert is_refused or left is None or left["spec"]["internalIP"] == ""
    assert world.cloud_writes() == 0


def test_condition_of_the_readiness_gate_is_set_beside_the_others(busy: Cluster) -> None:
    world = busy.world
    world.make_pod(EXPOSE_80, ip="", readinessGates=[{"conditionType": CONDITION}])

    def conditions() -> dict[str, str]:
        pod = world.api.get(world.api.resource("v1", "pods"), "web-1", "default")
        return {item["type"]: item["status"] for item in pod["status"].get("conditions") or []}

    wait_until(lambda: conditions().get(CONDITION) == "True" == conditions().get("Ready"), 10, "the pod to be ready")
    assert conditions()["PodScheduled"] == "True"
