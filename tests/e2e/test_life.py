"""What becomes of public ports in a pod's life, with everything real but the cloud and the nodes.

==============================================  ====================================================================
what happens                                    then
==============================================  ====================================================================
the pod's IP changes                            the same public port leads to the new one
its list of ports changes                       the ports that stay in the list keep their public ports
a container restarts                            nothing changes
the pod ends by itself (Job), or is evicted     its entries go
the pod is deleted by force                     its entries go
the pod is stuck Terminating (its node is lost)  its entries stay
its namespace is deleted                        everything goes
its PodDNAT is deleted by hand                  it comes back with the same public port
its PodDNAT is edited by hand                   it is put right
fixed: deleted, rolling update                  the same public ports lead to the new pod
fixed: deleted in the foreground, with orphans  the same
fixed: its PodDNAT is deleted or edited by hand  it comes back, or is put right
fixed: gone while the server is away            noticed when the server is back; the same public ports
fixed: away, and its IP is another pod's        the other pod's own port alone leads there
fixed: scaled down, ordinal reserved            released
fixed: its owner is deleted                     released; with Never it stays until it is deleted by hand
fixed: its owner is deleted, not the pod        the same public ports, also with the next owner
fixed: away for longer than it should           released
fixed: on a pod with a random name              an event; the ports go with the pod
the result, by the downward API                 a file in the pod
readiness gate                                  the pod is Ready only once its entries work
… a rolling update at the entry quota           the new pod says what helps, and that helps
a quota refuses its PodDNAT                     an event says so, also to a fixed pod; once there is room, it is exposed
==============================================  ====================================================================

Opting out, wrong annotations, and pods that are deleted while the server is away are in test_one_pod.py; more of fixed
pods in tests/unit/hooks/test_fixed.py.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.waiting import wait_until
from poddnat.api import FIXED
from poddnat.api.annotations import RELEASE_STRATEGY
from poddnat.api.fixed import OWNER
from poddnat.api.readiness import CONDITION
from tests.e2e import world
from tests.e2e.conftest import runner_of
from tests.e2e.kruise import ADVANCED
from tests.unit.docs.pages import blocks, page
from tests.unit.hooks.world import ADDRESSES, EXPOSE_80, GATEWAY, PORTS, RESULT, STATUS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.controlplane import ControlPlane
    from tests.e2e.world import Cluster

Json = dict[str, Any]

pytestmark = pytest.mark.controlplane

over_the_stand_in = pytest.mark.parametrize("everywhere", ["stand-in"], indirect=True)

AWAY_SINCE = "poddnat.alibabacloud.com/away-since"
FIXED_80 = {**EXPOSE_80, FIXED: "true"}
CONTAINERS = [{"name": "web", "image": "nginx"}]


@pytest.fixture(scope="module", params=["stand-in", "metacontroller"])
def everywhere(
    request: pytest.FixtureRequest, installed: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """One server, and one caller of its hooks, for all tests: to start them takes longer than most of these."""
    addresses = itertools.cycle(ADDRESSES[1:])
    runner = runner_of(request.param, installed)
    with (
        installed.client_of("kubelet") as api,
        Kubelet(api, addresses, node="node-1"),
        world.running(installed, runner, "", tmp_path_factory.mktemp("life")) as cluster,
    ):
        yield cluster


@pytest.fixture
def cluster(everywhere: Cluster, namespace: str) -> Iterator[Cluster]:
    """A namespace of the test's own, from which nothing is left in the cloud afterwards."""
    cluster = replace(everywhere, namespace=namespace)
    yield cluster
    kinds = "deployments,replicasets,statefulsets.apps,pods,poddnats"
    cluster.kubectl("delete", kinds, "--all", "--force", "--grace-period=0", "--wait=false")
    cluster.wait_clear()


def create_stateful_set(cluster: Cluster, replicas: int = 1, annotations: dict[str, str] = FIXED_80) -> None:
    cluster.create_stateful_set(annotations, replicas)
    cluster.wait_all_ready(replicas)


def outside(cluster: Cluster, name: str = "arena-0") -> tuple[str, list[str]]:
    """Return the external side of a PodDNAT."""
    spec = (cluster.poddnat(name) or {})["spec"]
    return spec["externalIP"], [mapping["externalPort"] for mapping in spec["portMapping"]]


def serves(cluster: Cluster, name: str, uid: str) -> bool:
    """Tell whether another pod than that of this uid has a name, and is exposed."""
    listed = cluster.api.list(cluster.api.resource("v1", "pods"), cluster.namespace)["items"]
    pod = next((pod for pod in listed if pod["metadata"]["name"] == name), None)
    if pod is None or pod["metadata"]["uid"] == uid:
        return False
    ips = [entry.internal_ip for entry in cluster.entries()]
    ready = (pod["metadata"].get("annotations") or {}).get(STATUS) == "Ready"
    return bool(ready and pod["status"].get("podIP") in ips)


def wait_replaced(cluster: Cluster, uid: str, name: str = "arena-0") -> None:
    wait_until(lambda: serves(cluster, name, uid), 60, f"the new pod {name} to be exposed")


def wait_away(cluster: Cluster, name: str = "arena-0") -> None:
    def is_away() -> bool:
        conditions = ((cluster.poddnat(name) or {}).get("status") or {}).get("conditions") or [{"reason": ""}]
        return str(conditions[0]["reason"]) == "PodAway"

    wait_until(lambda: is_away() and not cluster.entries(), 60, "the PodDNAT to be without its pod")


def uid_of(cluster: Cluster, name: str = "arena-0") -> str:
    return str(cluster.pod(name)["metadata"]["uid"])


# Any pod


@over_the_stand_in
def test_new_ip_of_a_pod_gets_the_same_public_port(cluster: Cluster) -> None:
    cluster.create_pod("web", EXPOSE_80)
    cluster.wait_ready("web")
    before = outside(cluster, "web")
    status = {"status": {"podIP": "172.16.1.9", "podIPs": [{"ip": "172.16.1.9"}]}}
    cluster.api.patch(cluster.api.resource("v1", "pods"), "web", status, cluster.namespace, "status")
    wait_until(lambda: [entry.internal_ip for entry in cluster.entries()] == ["172.16.1.9"], 20, "the entry to move")
    assert outside(cluster, "web") == before


@over_the_stand_in
def test_ports_that_stay_in_the_list_keep_their_public_ports(cluster: Cluster) -> None:
    cluster.create_pod("web", {**EXPOSE_80, PORTS: "80,81"})
    cluster.wait_ready("web")
    before = outside(cluster, "web")[1]
    cluster.kubectl("annotate", "pod", "web", "--overwrite", f"{PORTS}=82,81")
    wait_until(lambda: {entry.internal_port for entry in cluster.entries()} == {"82", "81"}, 20, "the entries")
    assert outside(cluster, "web")[1][1] == before[1]


@over_the_stand_in
def test_container_that_restarts_changes_nothing(cluster: Cluster) -> None:
    cluster.create_pod("web", EXPOSE_80)
    spec = cluster.wait_ready("web")["spec"]
    (before,) = cluster.entries()
    pods = cluster.api.resource("v1", "pods")
    (container,) = cluster.pod("web")["status"]["containerStatuses"]
    restarted = {**container, "restartCount": 1}
    cluster.api.patch(pods, "web", {"status": {"containerStatuses": [restarted]}}, cluster.namespace, "status")
    cluster.create_pod("later", EXPOSE_80)
    cluster.wait_ready("later")
    assert before in cluster.entries()
    assert (cluster.poddnat("web") or {})["spec"] == spec


@over_the_stand_in
@pytest.mark.parametrize(("phase", "reason"), [("Succeeded", "Completed"), ("Failed", "Evicted")])
def test_pod_that_has_ended_loses_its_entries(cluster: Cluster, phase: str, reason: str) -> None:
    cluster.create_pod("web", EXPOSE_80)
    cluster.wait_ready("web")
    status = {"status": {"phase": phase, "reason": reason}}
    cluster.api.patch(cluster.api.resource("v1", "pods"), "web", status, cluster.namespace, "status")
    cluster.wait_clear()


@over_the_stand_in
def test_pod_deleted_by_force_loses_its_entries(cluster: Cluster) -> None:
    cluster.create_pod("web", EXPOSE_80)
    cluster.wait_ready("web")
    cluster.kubectl("delete", "pod", "web", "--force", "--grace-period=0")
    cluster.wait_clear()


@over_the_stand_in
def test_pod_stuck_terminating_keeps_its_entries(cluster: Cluster) -> None:
    cluster.create_pod("web", EXPOSE_80)
    cluster.wait_ready("web")
    cluster.kubectl("patch", "pod", "web", "-p", '{"metadata":{"finalizers":["example.com/lost-node"]}}')
    cluster.kubectl("delete", "pod", "web", "--wait=false")
    cluster.kubectl("label", "pod,pdnat", "--all", "looked-at=again")
    cluster.create_pod("later", EXPOSE_80)
    cluster.wait_ready("later")
    assert len(cluster.entries()) == 2
    cluster.kubectl("patch", "pod", "web", "-p", '{"metadata":{"finalizers":null}}')
    wait_until(lambda: len(cluster.entries()) == 1, 20, "its entry to go")


@over_the_stand_in
def test_deleted_namespace_leaves_nothing(cluster: Cluster) -> None:
    namespace = f"{cluster.namespace}-doomed"
    cluster.controlplane.kubectl("create", "namespace", namespace)
    metadata = {"name": "web", "namespace": namespace, "annotations": EXPOSE_80}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": CONTAINERS}}
    cluster.controlplane.kubectl("create", "-f", "-", stdin=json.dumps(pod))
    wait_until(cluster.entries, 20, "the entry")
    cluster.controlplane.kubectl("delete", "namespace", namespace, "--wait=false")
    # The namespace itself goes a few seconds after the last object in it.
    wait_until(lambda: not cluster.entries() and not replace(cluster, namespace=namespace).poddnats(), 20, "all to go")


@over_the_stand_in
def test_poddnat_deleted_by_hand_comes_back_with_the_same_port(cluster: Cluster) -> None:
    cluster.create_pod("web", EXPOSE_80)
    uid = cluster.wait_ready("web")["metadata"]["uid"]
    before = outside(cluster, "web")
    cluster.kubectl("delete", "pdnat", "web", "--timeout=15s")
    wait_until(
        lambda: (cluster.poddnat("web") or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid, 20, "a new one"
    )
    cluster.wait_ready("web")
    assert outside(cluster, "web") == before


@over_the_stand_in
def test_poddnat_edited_by_hand_is_put_right(cluster: Cluster) -> None:
    cluster.create_pod("web", EXPOSE_80)
    spec = cluster.wait_ready("web")["spec"]
    cluster.kubectl("patch", "pdnat", "web", "--type=merge", "-p", '{"spec":{"internalIP":"172.16.1.14"}}')
    wait_until(lambda: (cluster.poddnat("web") or {})["spec"] == spec, 20, "the PodDNAT to be put right")


def test_pod_with_the_readiness_gate_is_ready_once_its_entries_work(cluster: Cluster) -> None:
    spec = {"containers": CONTAINERS, "readinessGates": [{"conditionType": CONDITION}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "annotations": EXPOSE_80}, "spec": spec}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(pod))
    cluster.kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=20s")
    conditions = {item["type"]: item for item in cluster.pod("web")["status"]["conditions"]}
    assert conditions[CONDITION]["status"] == "True"
    assert [entry.status for entry in cluster.entries()] == ["Available"]
    cluster.kubectl("annotate", "pod", "web", "--overwrite", "k8s.aliyun.com/pod-dnat-expose-port=http")
    cluster.kubectl("wait", "pod/web", "--for=condition=Ready=False", "--timeout=20s")
    assert "InvalidAnnotation" in cluster.kubectl("get", "pod", "web", "--output=yaml")


def gated_deployment(strategy: Json) -> Json:
    """Write a Deployment of one pod with the readiness gate, which is updated by this strategy."""
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels, "annotations": EXPOSE_80},
        "spec": {"containers": CONTAINERS, "readinessGates": [{"conditionType": CONDITION}]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": strategy}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


@over_the_stand_in
@pytest.mark.parametrize("help_", ["raise the quota", "maxUnavailable"])
def test_rolling_update_that_the_entry_quota_stops_says_what_helps_and_that_helps(cluster: Cluster, help_: str) -> None:
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(gated_deployment({"maxSurge": 1, "maxUnavailable": 0})))
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    cluster.emulator.set_quota(GATEWAY, 1)
    try:
        cluster.kubectl("set", "image", "deployment/web", "web=nginx:2")
        pods = ("get", "pods", "--output=json")

        def waiting() -> list[Json]:
            items = json.loads(cluster.kubectl(*pods))["items"]
            return [pod for pod in items if "QuotaExceeded" in pod["metadata"]["annotations"].get(STATUS, "")]

        wait_until(waiting, 30, "the new pod to be told", interval=0.2)
        name = waiting()[0]["metadata"]["name"]
        # kubectl shows no more than the beginning of a long annotation here.
        assert "has reached its quota of 1 forward entries" in cluster.kubectl("describe", "pod", name)
        assert help_ in cluster.annotations(name)[STATUS]
        wait_until(
            lambda: help_ in cluster.kubectl("get", "pod", name, "--output=jsonpath={.status.conditions}"),
            10,
            "the readiness gate to say it, too",
        )
        if help_ == "maxUnavailable":
            patch = {"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": 1}}}}
            cluster.kubectl("patch", "deployment", "web", "--patch", json.dumps(patch))
        else:
            cluster.emulator.set_quota(GATEWAY, 2)
        cluster.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    finally:
        cluster.emulator.set_quota(GATEWAY, 100)
    # The server tries a full table again after a while; the next test should not have to wait for that.
    cluster.kubectl("scale", "deployment/web", "--replicas=2")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s")


def test_result_can_be_read_through_the_downward_api_as_the_page_shows(installed: ControlPlane, namespace: str) -> None:
    (shown,) = map(yaml.safe_load, blocks(page("users/look"), "yaml"))
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "game", "namespace": namespace}, **shown}
    installed.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    (item,) = shown["spec"]["volumes"][0]["downwardAPI"]["items"]
    assert item["fieldRef"]["fieldPath"] == f"metadata.annotations['{RESULT}']"


# Fixed pods


def test_fixed_pod_comes_back_with_the_same_address_and_port(cluster: Cluster) -> None:
    create_stateful_set(cluster)
    before, uid, ip = outside(cluster), uid_of(cluster), cluster.entries()[0].internal_ip
    cluster.kubectl("delete", "pod", "arena-0", "--timeout=15s")
    wait_replaced(cluster, uid)
    assert outside(cluster) == before
    assert [entry.internal_ip == ip for entry in cluster.entries()] == [False]


@over_the_stand_in
@pytest.mark.parametrize("cascade", ["foreground", "orphan"])
def test_fixed_pod_comes_back_with_the_same_port_however_its_deletion_cascades(cluster: Cluster, cascade: str) -> None:
    create_stateful_set(cluster)
    before, uid = outside(cluster), uid_of(cluster)
    cluster.kubectl("delete", "pod", "arena-0", f"--cascade={cascade}", "--timeout=15s")
    wait_replaced(cluster, uid)
    assert outside(cluster) == before


def test_poddnat_of_a_fixed_pod_deleted_or_edited_by_hand_is_put_right(cluster: Cluster) -> None:
    create_stateful_set(cluster)
    before, uid = outside(cluster), (cluster.poddnat("arena-0") or {})["metadata"]["uid"]
    cluster.kubectl("patch", "pdnat", "arena-0", "--type=merge", "-p", '{"spec":{"internalIP":"172.16.1.14"}}')
    ip = cluster.pod("arena-0")["status"]["podIP"]
    wait_until(lambda: (cluster.poddnat("arena-0") or {})["spec"]["internalIP"] == ip, 20, "the edit to be put right")
    cluster.kubectl("delete", "pdnat", "arena-0", "--timeout=15s")
    wait_until(lambda: (cluster.poddnat("arena-0") or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid, 20, "one")
    cluster.wait_all_ready(1)
    assert outside(cluster) == before


def test_rolling_update_keeps_the_ports_of_fixed_pods(cluster: Cluster) -> None:
    create_stateful_set(cluster, 2)
    before = [outside(cluster, name) for name in ("arena-0", "arena-1")]
    uids = {name: uid_of(cluster, name) for name in ("arena-0", "arena-1")}
    cluster.kubectl("set", "image", "statefulset/arena", "web=nginx:2")
    for name in ("arena-1", "arena-0"):
        wait_replaced(cluster, uids[name], name)
    assert [outside(cluster, name) for name in ("arena-0", "arena-1")] == before


@over_the_stand_in
def test_fixed_pod_deleted_by_force_while_the_server_is_away_comes_back_with_the_same_port(cluster: Cluster) -> None:
    create_stateful_set(cluster)
    before, uid = outside(cluster), uid_of(cluster)
    cluster.server.kill()
    cluster.kubectl("delete", "pod", "arena-0", "--force", "--grace-period=0")
    cluster.server.start()
    cluster.server.wait_ready()
    cluster.kubectl("label", "pods", "--all", "looked-at=again")  # The longer hooks failed, the later they are called.
    wait_replaced(cluster, uid)
    assert outside(cluster) == before


def test_scaling_down_releases_the_ports_of_fixed_pods_and_no_others(cluster: Cluster) -> None:
    create_stateful_set(cluster, 2)
    before = outside(cluster)
    cluster.kubectl("scale", "statefulset/arena", "--replicas=1")
    wait_until(lambda: cluster.poddnat("arena-1") is None and len(cluster.entries()) == 1, 20, "arena-1's to go")
    assert outside(cluster) == before


def test_deleting_the_owner_of_fixed_pods_releases_their_ports(cluster: Cluster) -> None:
    create_stateful_set(cluster)
    cluster.kubectl("delete", "statefulset", "arena", "--timeout=15s")
    cluster.wait_clear()


@over_the_stand_in
def test_never_keeps_the_ports_until_the_poddnat_is_deleted_by_hand(cluster: Cluster) -> None:
    create_stateful_set(cluster, annotations={**FIXED_80, RELEASE_STRATEGY: "Never"})
    before = outside(cluster)
    cluster.kubectl("delete", "statefulset", "arena", "--timeout=15s")
    wait_away(cluster)
    assert outside(cluster) == before
    cluster.kubectl("delete", "pdnat", "arena-0", "--timeout=15s")
    cluster.wait_clear()


@over_the_stand_in
def test_duration_releases_the_ports_after_that_time(cluster: Cluster) -> None:
    create_stateful_set(cluster, annotations={**FIXED_80, RELEASE_STRATEGY: "5m30s"})
    cluster.kubectl("delete", "statefulset", "arena", "--timeout=15s")
    wait_away(cluster)
    long_ago = (dt.datetime.now(dt.UTC) - dt.timedelta(minutes=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    cluster.kubectl("annotate", "pdnat", "arena-0", "--overwrite", f"{AWAY_SINCE}={long_ago}")
    cluster.wait_clear()


@over_the_stand_in
def test_ip_of_a_fixed_pod_that_is_away_leads_to_its_new_holder_only(cluster: Cluster) -> None:
    create_stateful_set(cluster, annotations={**FIXED_80, RELEASE_STRATEGY: "Never"})
    (port,), (entry,) = outside(cluster)[1], cluster.entries()
    cluster.kubectl("delete", "statefulset", "arena", "--timeout=15s")
    wait_away(cluster)
    cluster.create_pod("web", EXPOSE_80)
    cluster.wait_ready("web")
    status = {"status": {"podIP": entry.internal_ip, "podIPs": [{"ip": entry.internal_ip}]}}
    cluster.api.patch(cluster.api.resource("v1", "pods"), "web", status, cluster.namespace, "status")
    wait_until(lambda: [one.internal_ip for one in cluster.entries()] == [entry.internal_ip], 20, "the entry to move")
    assert [one.external_port for one in cluster.entries()] != [port]


@over_the_stand_in
def test_pod_that_outlives_its_owner_is_fixed_for_the_next_one(cluster: Cluster) -> None:
    create_stateful_set(cluster)
    before, (entry,) = outside(cluster), cluster.entries()
    cluster.kubectl("delete", "statefulset", "arena", "--cascade=orphan", "--timeout=15s")
    create_stateful_set(cluster)
    uid = cluster.kubectl("get", "statefulset", "arena", "--output=jsonpath={.metadata.uid}")

    def is_the_new_ones() -> bool:
        poddnat = cluster.poddnat("arena-0")
        return poddnat is not None and poddnat["metadata"]["annotations"][OWNER].endswith(uid)

    wait_until(is_the_new_ones, 20, "the PodDNAT to be the new owner's")
    assert (outside(cluster), cluster.entries()) == (before, [entry])


@over_the_stand_in
def test_pod_with_a_random_name_is_told_that_it_can_not_be_fixed(cluster: Cluster) -> None:
    metadata = {"labels": {"app": "web"}, "annotations": FIXED_80}
    template = {"metadata": metadata, "spec": {"containers": CONTAINERS}}
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(made))
    cluster.wait_all_ready(1)
    wait_until(lambda: "FixedNotPossible" in cluster.kubectl("describe", "pods"), 20, "the event")


def test_pods_of_an_advanced_stateful_set_keep_their_ports_until_their_ordinal_is_reserved(
    cluster: Cluster, installed: ControlPlane
) -> None:
    installed.install_crds(ADVANCED)
    kind = {"apiVersion": "apps.kruise.io/v1beta1", "kind": "StatefulSet"}
    metadata = {"name": "room", "namespace": cluster.namespace}
    owner = installed.put({**kind, "metadata": metadata, "spec": {"replicas": 1}})
    create_pod_of(cluster, owner)
    cluster.wait_ready("room-0")
    before, uid = outside(cluster, "room-0"), uid_of(cluster, "room-0")
    cluster.kubectl("delete", "pod", "room-0", "--timeout=15s")
    wait_away(cluster, "room-0")
    create_pod_of(cluster, owner)
    wait_replaced(cluster, uid, "room-0")
    assert outside(cluster, "room-0") == before
    resource = "statefulsets.apps.kruise.io/room"
    cluster.kubectl("patch", resource, "--type=merge", "-p", '{"spec":{"reserveOrdinals":[0]}}')
    cluster.kubectl("delete", "pod", "room-0", "--timeout=15s")
    cluster.wait_clear()


def create_pod_of(cluster: Cluster, owner: Json) -> None:
    """Create the pod that an Advanced StatefulSet's own controller would."""
    reference = {key: owner[key] for key in ("apiVersion", "kind")}
    reference |= {"name": "room", "uid": owner["metadata"]["uid"], "controller": True}
    metadata = {"name": "room-0", "annotations": FIXED_80, "ownerReferences": [reference]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": CONTAINERS}}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(pod))


@pytest.mark.parametrize("annotations", [EXPOSE_80, FIXED_80], ids=["ordinary", "fixed"])
def test_pod_whose_poddnat_a_quota_refuses_is_told_and_gets_its_ports_once_there_is_room(
    cluster: Cluster, annotations: dict[str, str]
) -> None:
    quotas = cluster.api.resource("v1", "resourcequotas")
    set_quota(cluster, 0)
    cluster.create_stateful_set(annotations)
    wait_until(lambda: "exceeded quota: poddnats" in cluster.kubectl("get", "events"), 15, "the event")
    assert cluster.poddnats() == []
    cluster.api.delete(quotas, "poddnats", cluster.namespace)
    cluster.kubectl("annotate", "pod", "arena-0", "example.com/try=again")
    cluster.wait_ready("arena-0")


def set_quota(cluster: Cluster, poddnats: int) -> None:
    """Let there be so many PodDNATs; no controller runs here that would write down the quota's status."""
    hard = {"count/poddnats.alibabacloud.com": str(poddnats)}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "poddnats"}, "spec": {"hard": hard}}
    quotas = cluster.api.resource("v1", "resourcequotas")
    cluster.api.create(quotas, {**quota, "metadata": {"name": "poddnats", "namespace": cluster.namespace}})
    used = dict.fromkeys(hard, "0")
    cluster.api.patch(quotas, "poddnats", {"status": {"hard": hard, "used": used}}, cluster.namespace, "status")
