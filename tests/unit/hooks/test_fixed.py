"""Fixed pods: the same public ports over deletion, rescheduling and restarts, and when they are released.

In a whole cluster in memory, where the test plays the controller of the StatefulSet.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from kubernetes.client.exceptions import ApiException

from metacontroller_standin.apply import DECORATOR, LAST_APPLIED, owner_reference
from metacontroller_standin.kinds import ServedKind
from metacontroller_standin.waiting import wait_until
from metacontroller_standin.workloads import add_pods
from poddnat.api import FIXED, RESYNC_TRIGGERED_AT, controller_of
from poddnat.api.annotations import RELEASE_STRATEGY
from poddnat.api.readiness import CONDITION
from poddnat.controllers import PodAnswer, RetainedPodDNATs
from poddnat.kube import KubeClient, KubeError
from tests.unit.hooks.test_cluster import pod_report, wait_ready
from tests.unit.hooks.test_placement import BOTH, OTHER
from tests.unit.hooks.test_standby import standing_by
from tests.unit.hooks.world import (
    ADDRESSES,
    EIP,
    EXPOSE_80,
    GATEWAY,
    POD_DNAT,
    POD_IP,
    PORTS,
    RESULT,
    STATUS,
    Cluster,
    World,
    answer,
    cluster,
    condition,
    poddnat_request,
    restarted,
    running,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

FIXED_80 = {**EXPOSE_80, FIXED: "true"}


STS = "apps/v1", "statefulsets"
PODS = "v1", "pods"
AWAY_SINCE = "poddnat.alibabacloud.com/away-since"
POD_UID = "poddnat.alibabacloud.com/pod-uid"


@pytest.fixture
def busy() -> Iterator[Cluster]:
    """A cluster with hook server, Metacontroller's stand-in and kubelet."""
    with running() as world, cluster(world) as busy:
        yield busy


def stateful_set(annotations: dict[str, str], *, kind: str = "StatefulSet") -> Json:
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}}
    spec = {"replicas": 1, "template": template}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "arena", "namespace": "default"}, "spec": spec}


def make_owner(world: World, annotations: dict[str, str], *, kind: str = "StatefulSet") -> Json:
    """Create a StatefulSet, or another owner, with one pod."""
    made = stateful_set(annotations, kind=kind)
    owner = world.api.create(world.api.resource_of(made), made)
    add_pods(world.api, owner, 1)
    return owner


def expose(world: World, annotations: dict[str, str] = FIXED_80) -> tuple[str, list[str]]:
    """Create a StatefulSet with one pod, wait until that is exposed, and return the external side."""
    make_owner(world, annotations)
    wait_ready(world, "arena-0")
    return outside(world)


def owner_of(world: World) -> Json:
    return world.api.get(world.api.resource(*STS), "arena", "default")


def delete_owner(world: World) -> None:
    world.api.delete(world.api.resource(*STS), "arena", "default")


def scale(world: World, replicas: int) -> None:
    world.api.patch(world.api.resource(*STS), "arena", {"spec": {"replicas": replicas}}, "default")


def pod_of(world: World) -> Json:
    return world.api.get(world.api.resource(*PODS), "arena-0", "default")


def delete_pod(world: World) -> None:
    """Delete the pod by force."""
    world.api.delete(world.api.resource(*PODS), "arena-0", "default", grace_period=0)


def outside(world: World, name: str = "arena-0") -> tuple[str, list[str]]:
    """Return the external side of a PodDNAT."""
    poddnat = world.poddnat(name)
    assert poddnat is not None
    return poddnat["spec"]["externalIP"], [mapping["externalPort"] for mapping in poddnat["spec"]["portMapping"]]


def reason(world: World, name: str = "arena-0") -> str:
    conditions = ((world.poddnat(name) or {}).get("status") or {}).get("conditions") or [{"reason": ""}]
    return str(conditions[0]["reason"])


def metadata(world: World) -> Json:
    """Read the PodDNAT's metadata; empty where there is none."""
    return (world.poddnat("arena-0") or {"metadata": {}})["metadata"]  # type: ignore[no-any-return]


def away_since(world: World) -> str | None:
    found: str | None = (metadata(world).get("annotations") or {}).get(AWAY_SINCE)
    return found


def let_it_be_away_since(world: World, minutes_ago: float) -> str:
    """Change since when the pod is away, which also has the PodDNAT synced again."""
    since = (dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    world.api.patch(world.poddnats, "arena-0", {"metadata": {"annotations": {AWAY_SINCE: since}}}, "default")
    return since


def wait_away(world: World) -> None:
    wait_until(lambda: reason(world) == "PodAway" and not world.entries(), 10, "the PodDNAT to be without its pod")


def wait_released(world: World) -> None:
    wait_until(lambda: world.poddnat("arena-0") is None and not world.entries(), 10, "the PodDNAT to be released")


def test_fixed_pod_is_told_its_ports_like_any_other(busy: Cluster) -> None:
    expose(busy.world)
    (pod, namespace) = metadata(busy.world)["ownerReferences"]
    assert (pod["uid"], pod["controller"]) == (pod_of(busy.world)["metadata"]["uid"], True)
    assert (namespace["kind"], "controller" in namespace) == ("Namespace", False)


def test_poddnat_of_a_fixed_pod_gets_no_entry_before_it_would_outlive_the_pod(world: World) -> None:
    make_owner(world, FIXED_80)
    pod = world.set_pod_status(pod_of(world), "Running", POD_IP)
    attachment = world.attachment(pod)
    poddnat = world.make_poddnat(
        attachment["spec"], owner=pod, name="arena-0", record=attachment["metadata"]["annotations"]
    )
    with patch.object(KubeClient, "patch_poddnat", return_value=False):
        assert world.sync_poddnat(poddnat).status_code == 429
    assert (world.entries(), has_second_owner(world)) == ([], False)
    answer(lambda: world.client.post("/poddnat/sync", json=poddnat_request(world.poddnat("arena-0") or {})))
    assert (len(world.entries()), has_second_owner(world)) == (1, True)


def test_poddnat_of_a_fixed_pod_whose_annotation_is_wrong_is_never_left_out_while_it_is_its_attachment(
    world: World,
) -> None:
    make_owner(world, FIXED_80)
    pod = world.set_pod_status(pod_of(world), "Running", POD_IP)
    ready = world.expose(pod)
    wrong = world.annotate(pod, {PORTS: "http"})
    assert world.sync_pod(wrong, ready).status_code == 429
    suspended = world.poddnat("arena-0") or {}
    assert [owner["kind"] for owner in suspended["metadata"]["ownerReferences"]] == ["StatefulSet"]
    assert world.sync_pod(wrong, ready).status_code == 429  # Metacontroller has not heard of that yet.
    assert world.refusal(wrong).startswith("InvalidAnnotation: ")


def test_successor_gets_the_poddnat_as_an_attachment_that_outlives_it_in_one_write(world: World) -> None:
    owner = make_owner(world, {**FIXED_80, PORTS: "700"})
    pod = world.set_pod_status(pod_of(world), "Running", POD_IP)
    claim_to_be_fixed(world, "arena-0", 700, owner=f"apps/v1 StatefulSet arena {owner['metadata']['uid']}")
    wait_until(lambda: world.service.poddnats.get("default", "arena-0"), 5, "the PodDNAT to be seen")
    seen: list[Json] = []

    def is_handed_over() -> bool:
        world.sync_pod(pod)
        seen.append(world.poddnat("arena-0") or {})
        return bool(seen[-1]["spec"].get("internalIP"))

    wait_until(is_handed_over, 5, "the PodDNAT to be handed over")
    taken = seen[-1]
    kinds = [(owner["kind"], owner.get("controller", False)) for owner in taken["metadata"]["ownerReferences"]]
    assert kinds == [("Pod", True), ("Namespace", False)]
    assert (taken["metadata"]["annotations"][DECORATOR], taken["spec"]["internalIP"]) == ("pod-dnat", POD_IP)
    assert outside(world) == (EIP, ["700"])


def test_poddnat_that_the_first_version_made_for_a_living_fixed_pod_is_taken_over_as_it_is(busy: Cluster) -> None:
    world = busy.world
    before = expose(world)
    (entry,) = world.entries()
    uid, pod, owner = metadata(world)["uid"], pod_of(world), owner_of(world)
    plain = {key: value for key, value in owner_reference(pod).items() if key in {"apiVersion", "kind", "name", "uid"}}
    made = {"ownerReferences": [owner_reference(owner), plain], "annotations": {DECORATOR: None, LAST_APPLIED: None}}
    world.api.patch(world.poddnats, "arena-0", {"metadata": made}, "default")
    world.annotate(pod, {"example.com/unrelated": "1"})

    def is_attached() -> bool:
        reference = controller_of(metadata(world))
        return reference is not None and reference.uid == pod["metadata"]["uid"]

    wait_until(is_attached, 10, "the PodDNAT to be the pod's attachment")
    busy.standin.wait_idle(horizon=1)
    assert (metadata(world)["uid"], outside(world), world.entries()) == (uid, before, [entry])


def test_fixed_pod_that_was_seen_without_an_ip_for_a_moment_has_its_ports_again(busy: Cluster) -> None:
    world = busy.world
    before = expose(world)
    poddnat = world.poddnat("arena-0")
    assert poddnat is not None
    # Its PodDNAT's sync alone sees it so: the pod's own is called before, and after.
    gone = {**pod_of(world), "status": {"phase": "Running"}}
    with patch.object(KubeClient, "pod", return_value=gone):
        world.service.poddnat_reconciler._authorizer.forget(poddnat["metadata"]["uid"])
        world.service.poddnat_reconciler.sync(poddnat)
    wait_until(lambda: (world.poddnat("arena-0") or {})["spec"]["internalIP"] and world.entries(), 10, "its entries")
    assert outside(world) == before


def test_fixed_pod_whose_hook_has_not_heard_of_the_suspension_is_called_again(world: World) -> None:
    make_owner(world, FIXED_80)
    pod = world.set_pod_status(pod_of(world), "Running", POD_IP)
    world.expose(pod)
    pod = world.annotate(pod, {STATUS: "Ready"})
    suspended = {"spec": {"internalIP": "", "eni": "", "vswitch": "", "zoneID": ""}}
    world.api.patch(world.poddnats, "arena-0", suspended, "default")
    answer(lambda: world.sync_poddnat(world.poddnat("arena-0") or {}))
    assert RESYNC_TRIGGERED_AT in pod_of(world)["metadata"]["annotations"]


def test_fixed_pod_that_is_told_nothing_while_its_ports_are_kept_for_it_is_called_again(world: World) -> None:
    make_owner(world, FIXED_80)
    pod = world.set_pod_status(pod_of(world), "Running", POD_IP)
    world.expose(pod)
    suspended = {"spec": {"internalIP": "", "eni": "", "vswitch": "", "zoneID": ""}}
    kept = world.api.patch(world.poddnats, "arena-0", suspended, "default")
    looked = answer(lambda: world.sync_poddnat(kept))
    assert RESYNC_TRIGGERED_AT not in pod_of(world)["metadata"]["annotations"]  # Its hook may just be being called.
    answer(lambda: world.sync_poddnat(world.set_status(kept, looked["status"])))
    assert RESYNC_TRIGGERED_AT in pod_of(world)["metadata"]["annotations"]


def test_attachment_is_answered_as_the_schema_says_whatever_somebody_wrote_into_its_record(world: World) -> None:
    make_owner(world, FIXED_80)
    pod = world.set_pod_status(pod_of(world), "Running", POD_IP)
    world.expose(pod)
    spoilt = {"metadata": {"annotations": {AWAY_SINCE: "2026-01-01T00:00:00Z", POD_UID: None}}}
    observed = world.api.patch(world.poddnats, "arena-0", spoilt, "default")
    terminating = {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    (attachment,) = answer(lambda: world.sync_pod(terminating, observed))["attachments"]
    assert attachment["metadata"]["annotations"][POD_UID] == pod["metadata"]["uid"]
    assert AWAY_SINCE not in attachment["metadata"]["annotations"]


def test_fixed_pod_that_is_away_has_no_entries_but_keeps_its_address_and_ports(busy: Cluster) -> None:
    before = expose(busy.world)
    delete_pod(busy.world)
    wait_away(busy.world)
    assert outside(busy.world) == before
    assert (busy.world.poddnat("arena-0") or {})["status"]["entries"] == []


def shown_as(world: World) -> tuple[str, int]:
    status = (world.poddnat("arena-0") or {}).get("status") or {}
    return str(status["conditions"][0]["reason"]), len(status["entries"])


def expose_alone(world: World) -> Json:
    """Expose a fixed pod where nobody calls hooks by himself; return its PodDNAT."""
    make_owner(world, FIXED_80)
    poddnat = world.expose(world.set_pod_status(pod_of(world), "Running", POD_IP))
    status = answer(
        lambda: world.client.post("/poddnat/sync", json=poddnat_request(world.poddnat("arena-0") or poddnat))
    )
    world.set_status(world.poddnat("arena-0") or poddnat, status["status"])
    assert shown_as(world) == ("Ready", 1)
    wait_until(world.service._pods.all, 5, "the pod to be seen")
    wait_until(lambda: seen_entries(world) == 1, 5, "its PodDNAT to be seen")
    return world.poddnat("arena-0") or {}


def seen_entries(world: World) -> int:
    seen = world.service.poddnats.get("default", "arena-0") or {}
    return len((seen.get("status") or {}).get("entries") or ())


def test_poddnat_of_a_fixed_pod_that_is_gone_shows_no_entries_before_any_hook_is_called(world: World) -> None:
    expose_alone(world)
    delete_pod(world)
    wait_until(lambda: shown_as(world) == ("PodAway", 0), 5, "the PodDNAT to show nothing")


def test_poddnat_that_somebody_writes_to_as_its_fixed_pod_goes_shows_no_entries_either(world: World) -> None:
    stale = expose_alone(world)
    uid = stale["metadata"]["annotations"][POD_UID]
    world.api.patch(world.poddnats, "arena-0", {"metadata": {"labels": {"by": "others"}}}, "default")
    world.service.poddnat_queue.stop()  # It would find that this pod is still there.
    world.service._lifecycle._retained.show_away(stale, uid)
    assert shown_as(world) == ("PodAway", 0)


def test_poddnat_that_the_next_pod_has_taken_over_goes_on_showing_its_entries(world: World) -> None:
    poddnat = expose_alone(world)
    world.service._lifecycle._retained.show_away(poddnat, "uid-of-the-pod-before")
    assert shown_as(world) == ("Ready", 1)


def test_fixed_pod_that_comes_back_with_another_ip_has_the_same_address_and_ports(busy: Cluster) -> None:
    world = busy.world
    before, ip = expose(world), world.entries()[0].internal_ip
    delete_pod(world)
    wait_away(world)
    add_pods(world.api, owner_of(world), 1)
    wait_ready(world, "arena-0")
    assert outside(world) == before
    assert [entry.internal_ip != ip for entry in world.entries()] == [True]


@pytest.mark.parametrize(
    "kind",
    [
        ServedKind("apps.kruise.io", ("v1beta1",), "statefulsets", "StatefulSet"),
        ServedKind("game.kruise.io", ("v1alpha1",), "gameserversets", "GameServerSet"),
        ServedKind("example.com", ("v1",), "fleets", "Fleet"),
    ],
    ids=lambda kind: kind.qualified_name,
)
def test_pod_of_any_controller_that_gives_names_again_can_be_fixed(busy: Cluster, kind: ServedKind) -> None:
    world = busy.world
    world.memory.register(kind)
    about = {"apiVersion": kind.api_version(kind.versions[0]), "kind": kind.kind}
    owner = world.api.create(world.api.resource_of(about), {**stateful_set(FIXED_80), **about})
    make_pod_of(world, owner)
    wait_ready(world, "arena-0")
    before = outside(world)
    delete_pod(world)
    wait_away(world)
    make_pod_of(world, owner)
    wait_ready(world, "arena-0")
    assert outside(world) == before
    world.api.delete(world.api.resource_of(about), "arena", "default")
    wait_released(world)


def make_pod_of(world: World, owner: Json) -> None:
    """Create the pod that an owner of any kind would."""
    template = owner["spec"]["template"]
    metadata = {"name": "arena-0", "namespace": "default", "ownerReferences": [owner_reference(owner)]}
    spec = {"nodeName": "node-1", **template["spec"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], **metadata}, "spec": spec}
    world.api.create(world.api.resource(*PODS), pod)


def test_nobody_else_is_given_the_ports_of_a_fixed_pod_that_is_away() -> None:
    with running(last_port=512) as world, cluster(world):
        expose(world)
        delete_pod(world)
        wait_away(world)
        world.make_pod(EXPOSE_80, ip="")
        wait_until(lambda: pod_report(world).get(STATUS, "").startswith("NoFreePorts: "), 10, "the pod to be refused")


def test_ip_of_a_fixed_pod_that_is_gone_serves_its_new_holder_only(world: World) -> None:
    ip = ADDRESSES[0]
    with cluster(world, addresses=[ip, ip]):
        before = expose(world)
        delete_pod(world)
        world.make_pod(EXPOSE_80, ip="")
        wait_ready(world, "web-1")
        (port,) = outside(world, "web-1")[1]
        assert before[1] != [port]
        assert [(entry.internal_ip, entry.external_port) for entry in world.entries()] == [(ip, port)]


def test_fixed_pod_whose_address_can_not_serve_it_any_more_gets_another_and_is_told() -> None:
    with running(entry={"eips": [EIP]}) as world, cluster(world):
        assert expose(world)[0] == EIP
        delete_pod(world)
        wait_away(world)
        world.change_values(entry={"eips": [OTHER]})
        add_pods(world.api, owner_of(world), 1)
        wait_ready(world, "arena-0")
        assert outside(world)[0] == OTHER
        assert ("Pod", "FixedAddressChanged") in world.warnings()


# When the ports are released


def test_scaling_down_releases_the_ports(busy: Cluster) -> None:
    expose(busy.world)
    scale(busy.world, 0)
    delete_pod(busy.world)
    wait_released(busy.world)


def test_deleting_the_owner_releases_the_ports_once_the_pod_is_gone(busy: Cluster) -> None:
    expose(busy.world)
    delete_owner(busy.world)
    wait_released(busy.world)


def test_never_keeps_the_ports_beyond_the_owner_until_a_new_one_takes_them(busy: Cluster) -> None:
    world, never = busy.world, {**FIXED_80, RELEASE_STRATEGY: "Never"}
    before = expose(world, never)
    delete_owner(world)
    wait_away(world)
    assert outside(world) == before
    assert expose(world, never) == before


def test_duration_releases_the_ports_when_the_pod_has_been_away_for_so_long(busy: Cluster) -> None:
    expose(busy.world, {**FIXED_80, RELEASE_STRATEGY: "5m30s"})
    delete_pod(busy.world)
    wait_away(busy.world)
    let_it_be_away_since(busy.world, minutes_ago=5)
    busy.standin.wait_idle(horizon=1)
    assert reason(busy.world) == "PodAway"
    let_it_be_away_since(busy.world, minutes_ago=6)
    wait_released(busy.world)


def test_time_of_an_absence_goes_on_over_a_restart(world: World) -> None:
    with cluster(world):
        expose(world, {**FIXED_80, RELEASE_STRATEGY: "1h"})
        delete_pod(world)
        wait_away(world)
        since = let_it_be_away_since(world, minutes_ago=59)
    with restarted(world) as again, cluster(again) as busy:
        busy.standin.wait_idle(horizon=1)
        assert (reason(again), away_since(again)) == ("PodAway", since)
        let_it_be_away_since(again, minutes_ago=61)
        wait_released(again)


def test_pod_that_went_while_nobody_looked_is_away_from_when_that_is_noticed(world: World) -> None:
    with cluster(world):
        expose(world, {**FIXED_80, RELEASE_STRATEGY: "1h"})
    world.service.stop()
    delete_pod(world)
    with restarted(world) as again, cluster(again):
        wait_away(again)
        wait_until(lambda: away_since(again), 10, "the time to begin")  # What others read is shown first.


def test_time_does_not_run_while_a_pod_is_there_that_can_not_have_its_ports(busy: Cluster) -> None:
    world = busy.world
    expose(world, {**FIXED_80, RELEASE_STRATEGY: "1h"})
    world.annotate(pod_of(world), {PORTS: "http"})
    wait_away(world)
    let_it_be_away_since(world, minutes_ago=61)
    wait_until(lambda: away_since(world) is None, 10, "the time to stop")
    delete_pod(world)
    world.api.patch(world.poddnats, "arena-0", {"metadata": {"labels": {"looked-at": "again"}}}, "default")
    wait_until(lambda: away_since(world), 10, "the time to begin")
    assert reason(world) == "PodAway"


def test_time_that_was_spoilt_by_hand_begins_anew(busy: Cluster) -> None:
    world = busy.world
    expose(world, {**FIXED_80, RELEASE_STRATEGY: "1h"})
    delete_pod(world)
    wait_away(world)
    world.api.patch(world.poddnats, "arena-0", {"metadata": {"annotations": {AWAY_SINCE: "noon"}}}, "default")
    wait_until(lambda: away_since(world) not in ("noon", None), 10, "the time to begin anew")


# Other ways that owners and annotations change


def test_pod_that_outlives_its_owner_keeps_its_ports_while_it_lives(busy: Cluster) -> None:
    world = busy.world
    before = expose(world)
    orphan(world)
    busy.standin.wait_idle(horizon=1)
    world.annotate(pod_of(world), {"example.com/unrelated": "1"})
    busy.standin.wait_idle(horizon=1)
    assert [owner["kind"] for owner in metadata(world)["ownerReferences"]] == ["Pod", "Namespace"]
    assert outside(world) == before
    delete_pod(world)
    wait_released(world)


def test_orphan_that_a_new_owner_of_the_same_name_adopts_is_fixed_as_before(busy: Cluster) -> None:
    world = busy.world
    before = expose(world)
    orphan(world)
    owner = world.api.create(world.api.resource(*STS), stateful_set(FIXED_80))
    adoption = {"metadata": {"ownerReferences": [owner_reference(owner)]}}
    world.api.patch(world.api.resource(*PODS), "arena-0", adoption, "default")
    wait_until(lambda: owner["metadata"]["uid"] in recorded_owner(world), 10, "the PodDNAT to be the new owner's")
    delete_pod(world)
    wait_away(world)
    assert outside(world) == before


def orphan(world: World) -> None:
    """Delete the owner as `kubectl delete --cascade=orphan` does: first, nothing refers to it any more."""
    world.api.patch(world.api.resource(*PODS), "arena-0", {"metadata": {"ownerReferences": None}}, "default")
    delete_owner(world)


def recorded_owner(world: World) -> str:
    """Return whose a fixed pod's PodDNAT says that it is; empty for others."""
    return str((metadata(world).get("annotations") or {}).get("poddnat.alibabacloud.com/owner", ""))


def has_second_owner(world: World) -> bool:
    return len(metadata(world).get("ownerReferences") or ()) > 1


@pytest.mark.parametrize(
    ("before", "change", "becomes"),
    [(FIXED_80, {FIXED: None}, False), (EXPOSE_80, {FIXED: "true"}, True)],
    ids=["no-longer-fixed", "fixed-from-now-on"],
)
def test_pod_that_changes_whether_it_is_fixed_keeps_its_ports_while_it_lives(
    busy: Cluster, before: dict[str, str], change: dict[str, str | None], *, becomes: bool
) -> None:
    world = busy.world
    had = expose(world, before)
    world.annotate(pod_of(world), change)

    def is_done() -> bool:
        fixed = (bool(recorded_owner(world)), has_second_owner(world)) == (becomes, becomes)
        return fixed and reason(world) == "Ready"

    wait_until(is_done, 10, "the PodDNAT to outlive its pod, or not")
    wait_ready(world, "arena-0")
    assert outside(world) == had


@pytest.mark.parametrize("ours", [(), (STATUS, RESULT)], ids=["request", "request-and-answer"])
def test_opting_out_releases_a_fixed_pods_ports(busy: Cluster, ours: tuple[str, ...]) -> None:
    never = {**FIXED_80, RELEASE_STRATEGY: "Never"}
    expose(busy.world, never)
    wait_until(busy.world.service._pods.all, 10, "the pod to be seen by the watch")
    busy.world.annotate(pod_of(busy.world), dict.fromkeys((*never, *ours)))
    wait_released(busy.world)
    assert not set(pod_of(busy.world)["metadata"].get("annotations") or {}) & {*never, STATUS, RESULT}


def test_fixed_pod_that_opts_out_and_in_again_has_the_same_ports(busy: Cluster) -> None:
    world = busy.world
    before = expose(world)
    world.annotate(pod_of(world), {POD_DNAT: "false"})
    wait_released(world)
    world.annotate(pod_of(world), {POD_DNAT: "true"})
    wait_ready(world, "arena-0")
    assert outside(world) == before


def test_fixed_pod_that_prefers_its_own_ports_keeps_them_for_the_next_pod(busy: Cluster) -> None:
    world = busy.world
    own = {**FIXED_80, PORTS: "700", "poddnat.alibabacloud.com/prefer-own-ports": "true"}
    before = expose(world, own)
    assert before[1] == ["700"]
    uid = pod_of(world)["metadata"]["uid"]
    delete_pod(world)
    wait_away(world)
    add_pods(world.api, owner_of(world), 1)
    wait_until(lambda: pod_of(world)["metadata"]["uid"] != uid, 10, "the next pod")
    wait_ready(world, "arena-0")
    assert outside(world) == before


def test_typo_on_a_fixed_pod_withdraws_its_ports_but_retains_them(busy: Cluster) -> None:
    world = busy.world
    before = expose(world)
    world.annotate(pod_of(world), {PORTS: "http"})
    wait_away(world)
    assert outside(world) == before
    world.annotate(pod_of(world), {PORTS: "80"})
    wait_ready(world, "arena-0")
    assert outside(world) == before


@pytest.mark.parametrize("kind", ["ReplicaSet", "Job"])
def test_pod_with_a_random_name_is_exposed_and_told_that_it_can_not_be_fixed(busy: Cluster, kind: str) -> None:
    world = busy.world
    owner = make_owner(world, FIXED_80, kind="ReplicaSet")
    (pod,) = world.api.list(world.api.resource(*PODS), "default")["items"]
    if kind == "Job":
        reference = {**owner_reference(owner), "apiVersion": "batch/v1", "kind": "Job"}
        of_job = {"metadata": {"ownerReferences": [reference]}}
        world.api.patch(world.api.resource(*PODS), pod["metadata"]["name"], of_job, "default")
    wait_ready(world, pod["metadata"]["name"])
    wait_until(lambda: ("Pod", "FixedNotPossible") in world.warnings(), 10, "the event")


def test_pod_whose_name_is_retained_for_another_owner_is_told_what_to_do(busy: Cluster) -> None:
    world = busy.world
    expose(world, {**FIXED_80, RELEASE_STRATEGY: "Never"})
    delete_owner(world)
    wait_away(world)
    world.make_pod(EXPOSE_80, name="arena-0", ip="")
    wait_until(lambda: pod_report(world, "arena-0").get(STATUS, "").startswith("NameTaken: "), 10, "the pod to be told")


def test_pod_whose_name_is_retained_for_an_owner_that_still_wants_it_is_told_what_to_do(busy: Cluster) -> None:
    world = busy.world
    expose(world)
    delete_pod(world)
    wait_away(world)
    world.make_pod(EXPOSE_80, name="arena-0", ip="")
    let_it_be_away_since(world, minutes_ago=1)
    wait_until(lambda: pod_report(world, "arena-0").get(STATUS, "").startswith("NameTaken: "), 10, "the pod to be told")
    assert "is kept for StatefulSet arena (release strategy Follow)" in pod_report(world, "arena-0")[STATUS]


def test_successor_is_told_why_the_api_server_does_not_let_it_have_its_ports(world: World) -> None:
    owner = make_owner(world, FIXED_80)
    pod = world.set_pod_status(pod_of(world), "Running", POD_IP)
    claim_to_be_fixed(world, "arena-0", 512, owner=f"apps/v1 StatefulSet arena {owner['metadata']['uid']}")
    wait_until(lambda: world.service.poddnats.get("default", "arena-0"), 5, "the PodDNAT to be seen")
    text = 'poddnats.alibabacloud.com "arena-0" is forbidden: a policy does not like it'
    refusal = KubeError(text)
    refusal.__cause__ = ApiException(status=403)
    with patch.object(KubeClient, "patch_poddnat", side_effect=refusal):
        reported = world.refusal(pod)
    assert reported.startswith(
        f"ApiServerRefused: The API server refuses what poddnat has to do for this pod ({text}); "
    )
    assert ("Pod", "ApiServerRefused") in world.warnings()


def test_never_written_on_the_poddnat_of_an_absent_pod_outlasts_its_owner(busy: Cluster) -> None:
    world = busy.world
    expose(world)
    delete_pod(world)
    wait_away(world)
    strategy = "poddnat.alibabacloud.com/release-strategy"
    world.api.patch(world.poddnats, "arena-0", {"metadata": {"annotations": {strategy: "Never"}}}, "default")
    wait_until(lambda: not metadata(world).get("ownerReferences"), 10, "the PodDNAT to be nobody's")
    delete_owner(world)
    world.api.patch(world.poddnats, "arena-0", {"metadata": {"annotations": {strategy: "Follow"}}}, "default")
    wait_released(world)


def test_owner_whose_api_version_is_no_longer_served_is_asked_in_another(busy: Cluster) -> None:
    world = busy.world
    before = expose(world)
    record = metadata(world)["annotations"]["poddnat.alibabacloud.com/owner"]
    delete_pod(world)
    wait_away(world)
    old = {"poddnat.alibabacloud.com/owner": record.replace("apps/v1 ", "apps/v1beta2 ")}
    world.api.patch(world.poddnats, "arena-0", {"metadata": {"annotations": old}}, "default")
    kube = KubeClient(world.connection)
    assert kube.workload("apps/v1beta2", "StatefulSet", "default", "arena") is not None
    assert kube.workload("apps/v1beta2", "StatefulSet", "default", "none") is None
    with pytest.raises(KeyError):
        kube.workload("game.kruise.io/v1alpha1", "GameServerSet", "default", "arena")
    let_it_be_away_since(world, 1)
    assert outside(world) == before


@pytest.mark.parametrize("annotations", [EXPOSE_80, FIXED_80], ids=["not-fixed", "fixed"])
def test_entries_of_a_poddnat_being_deleted_go_though_nobody_calls_its_hook(
    world: World, annotations: dict[str, str]
) -> None:
    with cluster(world):
        expose(world, annotations)
    assert world.entries()
    delete_pod(world)
    world.api.delete(world.poddnats, "arena-0", "default")
    wait_until(lambda: not world.entries(), 10, "the entries to be withdrawn")
    assert metadata(world)["finalizers"]


def test_fixed_pod_leaves_a_blocked_address_at_once() -> None:
    with running(entry=BOTH) as world, cluster(world, patient=True):
        address, _ = expose(world)
        world.change_values(entry=BOTH, network={"blockedEips": [address], "moveFromBlockedEips": True})
        wait_until(lambda: outside(world)[0] != address, 8, "the pod to move")
        moved = outside(world)[0]
        wait_until(lambda: moved in pod_report(world, "arena-0").get(RESULT, ""), 8, "the pod to be told")


# Restarts, other replicas, and calls of which nobody knows what became


def test_fixed_pod_that_went_while_the_server_was_away_is_noticed_when_it_is_back(world: World) -> None:
    with cluster(world):
        before = expose(world)
    world.service.stop()
    delete_pod(world)
    with restarted(world) as again, cluster(again):
        wait_away(again)
        assert outside(again) == before


def test_fixed_pod_that_goes_with_the_active_replica_is_suspended_by_the_next(world: World) -> None:
    with standing_by(world) as standby:
        with cluster(world):
            before = expose(world)
        world.service.stop()
        delete_pod(world)
        standby.take_over()
        with cluster(standby.world):
            wait_away(standby.world)
            assert outside(world) == before
            add_pods(world.api, owner_of(world), 1)
            wait_ready(world, "arena-0")
            assert outside(world) == before


def test_failover_while_a_fixed_pod_is_away_keeps_its_ports_and_the_time_of_its_absence() -> None:
    with running(last_port=512) as world, standing_by(world) as standby:
        with cluster(world):
            before = expose(world, {**FIXED_80, RELEASE_STRATEGY: "1h"})
            delete_pod(world)
            wait_away(world)
            since = let_it_be_away_since(world, minutes_ago=59)
        world.service.stop()
        standby.take_over()
        with cluster(standby.world) as busy:
            busy.standin.wait_idle(horizon=1)
            assert (outside(world), away_since(world)) == (before, since)
            world.make_pod(EXPOSE_80, ip="")
            wait_until(
                lambda: pod_report(world).get(STATUS, "").startswith("NoFreePorts: "), 10, "the pod to be refused"
            )


@pytest.mark.parametrize("done", [True, False], ids=["done", "not-done"])
def test_fixed_pods_ports_survive_calls_to_the_api_server_that_have_no_answer(busy: Cluster, *, done: bool) -> None:
    world, connection = busy.world, busy.world.connection
    connection.lose("PATCH", done=done)
    before = expose(world)
    assert connection.lost_all
    connection.lose("PATCH", done=done)
    delete_pod(world)
    wait_away(world)
    assert connection.lost_all
    connection.lose("PATCH", done=done)
    add_pods(world.api, owner_of(world), 1)
    wait_ready(world, "arena-0")
    assert connection.lost_all
    assert outside(world) == before
    assert len(world.entries()) == 1
    scale(world, 0)
    connection.lose("DELETE", done=done)
    delete_pod(world)
    wait_released(world)
    assert connection.lost_all


def test_poddnat_of_a_fixed_pod_that_is_deleted_by_hand_comes_back_at_once_with_the_same_ports(busy: Cluster) -> None:
    world = busy.world
    before, uid = expose(world), metadata(world)["uid"]
    world.api.delete(world.poddnats, "arena-0", "default")
    wait_until(lambda: metadata(world).get("uid") not in (None, uid) and reason(world) == "Ready", 10, "another")
    assert outside(world) == before


@pytest.mark.parametrize("change", [{"internalIP": "172.16.1.14"}, {"portMapping": []}, {"externalIP": OTHER}], ids=str)
def test_poddnat_of_a_fixed_pod_that_is_edited_by_hand_is_repaired_at_once(busy: Cluster, change: Json) -> None:
    world = busy.world
    ip, _ = expose(world)
    (entry,) = world.entries()
    busy.standin.wait_idle(horizon=30)
    world.api.patch(world.poddnats, "arena-0", {"spec": change}, "default")

    def is_right() -> bool:
        there = [(one.external_ip, one.external_port, one.internal_ip) for one in world.entries()]
        spec = (world.poddnat("arena-0") or {})["spec"]
        asked = [(spec["externalIP"], *outside(world)[1], spec["internalIP"])]
        return there == asked and asked[0][::2] == (ip, entry.internal_ip) and reason(world) == "Ready"

    wait_until(is_right, 10, "the PodDNAT to be put right")


def test_fixed_pod_at_rest_is_asked_about_only_when_something_changes(busy: Cluster) -> None:
    expose(busy.world)
    busy.standin.wait_idle(horizon=30)
    answered = busy.world.service.pod_reconciler.sync(pod_of(busy.world), busy.world.poddnat("arena-0"))
    assert isinstance(answered, PodAnswer)
    assert (answered.resync_after, answered.annotations) == (0.0, {})


def test_settled_fixed_pod_causes_no_write(busy: Cluster) -> None:
    world = busy.world
    expose(world)
    busy.standin.wait_idle(horizon=30)
    before = (world.memory.store.revision, world.cloud_writes())
    world.annotate(pod_of(world), {"example.com/unrelated": "1"})
    busy.standin.wait_idle(horizon=30)
    assert (world.memory.store.revision, world.cloud_writes()) == (before[0] + 1, before[1])


# Written by hand: what a PodDNAT claims of itself permits nothing


def claim_to_be_fixed(
    world: World, name: str, *ports: int, strategy: str = "Never", owner: str = "apps/v1 StatefulSet arena 1"
) -> Json:
    """Write a PodDNAT that retains ports for a pod that has never been."""
    mapping = [{"externalPort": str(port), "internalPort": str(port)} for port in ports]
    claims = {"owner": owner, "release-strategy": strategy}
    record = {f"poddnat.alibabacloud.com/{key}": value for key, value in claims.items()}
    return world.make_poddnat({"tableId": GATEWAY, "externalIP": EIP, "portMapping": mapping}, name=name, record=record)


def verdict(world: World, poddnat: Json) -> str:
    return condition(answer(lambda: world.sync_poddnat(poddnat)))[1]


def test_ports_retained_for_pods_that_are_away_are_capped_for_each_namespace_and_pod() -> None:
    with running(last_port=515, network={"limits": {"portsPerNamespace": 3, "portsPerPod": 2}}) as world:
        claims = [(512,), (513,), (514, 515), (512, 513, 514)]
        hoards = [claim_to_be_fixed(world, f"hoard-{number}", *ports) for number, ports in enumerate(claims)]
        reported = [verdict(world, hoard) for hoard in hoards]
        assert reported == ["PodAway", "PodAway", "NamespaceLimitReached", "TooManyPorts"]
        assert [verdict(world, hoard) for hoard in hoards] == reported
        (given,) = world.expose(world.make_pod(EXPOSE_80))["spec"]["portMapping"]
        assert given["externalPort"] in {"514", "515"}
        world.api.delete(world.poddnats, "hoard-0", "default")
        world.api.delete(world.poddnats, "hoard-1", "default")
        wait_until(lambda: verdict(world, hoards[2]) == "PodAway", 10, "the ports to be retained, as some are left")


def test_ports_are_not_retained_in_a_namespace_that_may_have_none() -> None:
    with running(last_port=512, network={"allowedNamespaces": {"names": ["games"]}}) as world:
        assert verdict(world, claim_to_be_fixed(world, "hoard", 512)) == "NamespaceNotAllowed"
        world.change_values(last_port=512)
        assert world.expose(world.make_pod(EXPOSE_80))["spec"]["externalIP"] == EIP


def test_ports_retained_for_an_owner_that_is_not_there_are_released() -> None:
    with running() as world:
        hoard = claim_to_be_fixed(world, "arena-0", 512, strategy="Follow")
        # The delete names the version that was judged: while a later one is on its way, the call has to come again.
        wait_until(lambda: world.sync_poddnat(hoard) and world.poddnat("arena-0") is None, 5, "the PodDNAT to be gone")


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


def test_pod_whose_absence_cannot_be_written_holds_up_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    add_pods(world.api, make_owner(world, FIXED_80), 1)
    for name, ip in (("arena-0", POD_IP), ("arena-1", ADDRESSES[-1])):
        world.expose(world.set_pod_status(world.api.get(world.api.resource(*PODS), name, "default"), "Running", ip))
    suspend = RetainedPodDNATs.suspend

    def suspend_others(retained: RetainedPodDNATs, poddnat: Json) -> None:
        if poddnat["metadata"]["name"] == "arena-0":
            raise KubeError("an admission webhook does not like it")
        suspend(retained, poddnat)

    monkeypatch.setattr(RetainedPodDNATs, "suspend", suspend_others)
    for name in ("arena-0", "arena-1"):
        world.api.delete(world.api.resource(*PODS), name, "default", grace_period=0)
    wait_until(lambda: not (world.poddnat("arena-1") or {})["spec"]["internalIP"], 5, "the other to be suspended")
