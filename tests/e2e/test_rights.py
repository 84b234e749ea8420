"""The server's rights in the cluster: all that is granted is used, all that is used is granted.

One life of the server in which it does all that it ever asks the API server for; the audit log tells what that was.
"""

from __future__ import annotations

import copy
import itertools
import json
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.waiting import wait_until
from poddnat.api import FIXED
from poddnat.api.readiness import CONDITION
from tests.e2e import kruise, world
from tests.e2e.rights import RBAC, RIGHTS, Right, needed
from tests.e2e.runners import StandInRunner
from tests.e2e.world import SYSTEM, Cluster, Server
from tests.hushed import TOKEN
from tests.unit.hooks import world as small
from tests.unit.hooks.world import EXPOSE_80, PORTS, STATUS
from vpc_emulator import EmulatorServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.controlplane import ControlPlane

Json = dict[str, Any]

pytestmark = pytest.mark.controlplane

CONTAINERS = [{"name": "web", "image": "nginx"}]
FIXED_80 = {**EXPOSE_80, FIXED: "true"}


def without(right: Right) -> list[Json]:
    """Give the shipped roles but for one right, for a user who is named after it."""
    name = "-".join(["without", *right]).replace("/", ".").replace("--", "-")
    manifests = [copy.deepcopy(manifest) for manifest in RBAC if manifest["kind"] != "ServiceAccount"]
    for manifest in manifests:
        manifest["metadata"]["name"] = name
        if "roleRef" in manifest:
            manifest["roleRef"]["name"] = name
            manifest["subjects"] = [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}]
        elif manifest["metadata"].get("namespace", "") == right.namespace:
            for rule in manifest["rules"]:
                if right.group in rule["apiGroups"] and right.resource in rule["resources"]:
                    rule["verbs"].remove(right.verb)
            manifest["rules"] = [rule for rule in manifest["rules"] if rule["verbs"]]
    return manifests


def may_all(controlplane: ControlPlane, user: str, asked: list[Right]) -> bool:
    """Ask the API server whether somebody may do all of something."""
    return all(may(controlplane, user, one) for one in asked)


def may(controlplane: ControlPlane, user: str, asked: Right) -> bool:
    """Ask the API server whether somebody may do something."""
    resource, _, subresource = asked.resource.partition("/")
    what = {"verb": asked.verb, "group": asked.group, "resource": resource, "subresource": subresource}
    spec = {"user": user, "resourceAttributes": {**what, "namespace": asked.namespace}}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = controlplane.api.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


# The life


@pytest.fixture
def life(installed: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[tuple[Cluster, int]]:
    """A server that is one of several replicas, and asks for namespaces' labels, too; and where its log begins."""
    installed.install_crds(kruise.ADVANCED, kruise.GAME_SERVERS)
    installed.kubectl("label", "namespace", namespace, "stage=live")
    forget_replicas(installed)
    addresses = (f"172.16.1.{number}" for number in range(1, 15))
    network = {"allowedNamespaces": {"selector": {"matchLabels": {"stage": "live"}}}}
    with EmulatorServer(small.cloud(settle_seconds=0.2)) as cloud, Kubelet(installed.api, addresses, node="node-1"):
        server = Server(installed, small.values(cloud.url, network=network), tmp_path, lease=f"{SYSTEM}/poddnat")
        runner = StandInRunner(installed)
        start = installed.audit_log.end()
        server.start(POD_NAME="poddnat-1", POD_IP="172.16.9.1")
        try:
            server.wait_ready()
            runner.apply(world.controllers(installed, server.url))
            yield Cluster(installed, namespace, cloud.emulator, server), start
        finally:
            runner.stop()
            server.stop()
            forget_replicas(installed)


def forget_replicas(controlplane: ControlPlane) -> None:
    """Take away what replicas leave behind, so that nobody waits for a lease."""
    left = ["lease/poddnat", "endpointslice/poddnat-active"]
    controlplane.kubectl("delete", *left, f"--namespace={SYSTEM}", "--ignore-not-found")


def live(cluster: Cluster) -> None:
    """Let the server do all that it ever does."""
    elsewhere = json.dumps({"endpoints": [{"addresses": ["172.16.9.9"]}]})
    slice_ = ["endpointslice/poddnat-active", f"--namespace={SYSTEM}"]
    cluster.controlplane.kubectl("patch", *slice_, "--type=merge", f"--patch={elsewhere}")
    _pods(cluster)
    wait_until(lambda: "172.16.9.1" in cluster.controlplane.kubectl("get", *slice_), 10, "hooks to be led back")


def _pods(cluster: Cluster) -> None:
    cluster.create_pod("typo", {**EXPOSE_80, PORTS: "http"})
    gates = [{"conditionType": CONDITION}]
    _create_pod(cluster, "web", EXPOSE_80, readinessGates=gates)
    owners = [_owner(cluster, crd) for crd in (kruise.ADVANCED, kruise.GAME_SERVERS)]
    for owner in owners:
        _create_pod(cluster, f"{owner['name']}-0", FIXED_80, owner=owner)
    cluster.create_stateful_set(FIXED_80)
    names = ["web", "arena-0", *(f"{owner['name']}-0" for owner in owners)]
    for name in names:
        cluster.wait_ready(name)
    cluster.kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=20s")
    wait_until(lambda: STATUS in cluster.annotations("typo"), 15, "the mistake to be told")
    _show_otherwise(cluster, "web")
    # Pods with a fixed address go, and their owners are asked; a pod opts out.
    cluster.kubectl("scale", "statefulset/arena", "--replicas=0")
    cluster.kubectl("delete", "pods", *names[2:], "--timeout=15s")
    cluster.kubectl("annotate", "pod", "web", "k8s.aliyun.com/pod-dnat-")
    for crd, owner in zip((kruise.ADVANCED, kruise.GAME_SERVERS), owners, strict=True):
        cluster.kubectl("delete", crd["metadata"]["name"], owner["name"])
    cluster.wait_clear()


def _create(cluster: Cluster, manifest: Json) -> Json:
    created: Json = json.loads(cluster.kubectl("create", "-f", "-", "--output=json", stdin=json.dumps(manifest)))
    return created


def _create_pod(
    cluster: Cluster, name: str, annotations: dict[str, str], *, owner: Json | None = None, **spec: Any
) -> None:
    metadata = {"name": name, "annotations": annotations, "ownerReferences": [owner] if owner else []}
    spec = {"containers": CONTAINERS, **spec}
    _create(cluster, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def _owner(cluster: Cluster, crd: Json) -> Json:
    """Create an object of a custom kind; return a reference to it."""
    spec = crd["spec"]
    kind = {"apiVersion": f"{spec['group']}/{spec['versions'][0]['name']}", "kind": spec["names"]["kind"]}
    name = spec["names"]["kind"].lower()
    made = _create(cluster, {**kind, "metadata": {"name": name}, "spec": {"replicas": 1}})
    return {**kind, "name": name, "uid": made["metadata"]["uid"], "controller": True}


def _show_otherwise(cluster: Cluster, name: str) -> None:
    """Call the server with a PodDNAT that is not as it has seen it."""
    poddnat = cluster.poddnat(name)
    assert poddnat is not None
    poddnat["metadata"]["labels"] = {"made": "up"}
    request = urllib.request.Request(
        f"{cluster.server.url}/poddnat/sync",
        json.dumps(small.poddnat_request(poddnat)).encode(),
        {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def test_each_right_is_used_and_missed_when_it_is_taken_away(
    controlplane: ControlPlane, life: tuple[Cluster, int]
) -> None:
    cluster, start = life
    live(cluster)
    requests = controlplane.audit_log.of_server(start)
    # Policies ask for the last one by themselves; no request needs it.
    assert needed(requests) == {right for right in RIGHTS if right.verb != "adopt"}
    assert [request for request in requests if request.forbidden] == []

    everybody = {right: without(right) for right in RIGHTS}
    for manifest in itertools.chain.from_iterable(everybody.values()):
        controlplane.put(manifest)
    for right, manifests in everybody.items():
        user = manifests[0]["metadata"]["name"]
        # One that each of the two roles still gives.
        left = [next(one for one in RIGHTS if one != right and one.namespace == place) for place in ("", SYSTEM)]
        wait_until(partial(may_all, controlplane, user, left), 10, f"the roles of {user} to count")
        assert not may(controlplane, user, right), right
