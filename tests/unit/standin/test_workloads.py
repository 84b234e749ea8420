from __future__ import annotations

import copy
import itertools
import re
from typing import TYPE_CHECKING, Any

from metacontroller_standin import workloads
from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.waiting import wait_until
from tests.unit.standin.scenario import DEPLOYMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metacontroller_standin.api import Api

Json = dict[str, Any]


def addresses() -> Iterator[str]:
    return (f"172.16.1.{number}" for number in itertools.count(1))


def pods_of(api: Api) -> list[Json]:
    items: list[Json] = api.list(api.resource("v1", "pods"))["items"]
    return items


def scaled(replicas: int, kind: str = "Deployment") -> Json:
    manifest = copy.deepcopy(DEPLOYMENT)
    manifest["kind"] = kind
    manifest["spec"]["replicas"] = replicas
    return manifest


def test_a_deployments_pods_look_as_in_a_cluster(api: Api) -> None:
    pods = workloads.create(api, scaled(3))
    names = [pod["metadata"]["name"] for pod in pods]
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"example-[b-z0-9]{10}-[b-z0-9]{5}", name) for name in names)
    (replica_set,) = api.list(api.resource("apps/v1", "replicasets"))["items"]
    (owner,) = pods[0]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("ReplicaSet", replica_set["metadata"]["uid"])
    assert pods[0]["metadata"]["labels"].keys() == {"app", "pod-template-hash"}
    assert pods[0]["spec"]["nodeName"]


def test_a_stateful_sets_pods_are_numbered_and_come_back_under_their_names(api: Api) -> None:
    pods = workloads.create(api, scaled(3, "StatefulSet"))
    assert [pod["metadata"]["name"] for pod in pods] == ["example-0", "example-1", "example-2"]
    resource = api.resource("v1", "pods")
    api.delete(resource, "example-1", "default", grace_period=0)
    owner = api.get(api.resource("apps/v1", "statefulsets"), "example", "default")
    again = workloads.add_pods(api, owner, 2)
    assert [pod["metadata"]["name"] for pod in again] == ["example-1", "example-3"]


def test_pods_run_with_an_address_each_and_go_with_their_deployment(api: Api) -> None:
    with Kubelet(api, addresses()):
        workloads.create(api, scaled(20))
        wait_until(lambda: all(pod["status"]["phase"] == "Running" for pod in pods_of(api)), 10, "running pods")
        assert len({pod["status"]["podIP"] for pod in pods_of(api)}) == 20
        api.delete(api.resource("apps/v1", "deployments"), "example", "default")
        wait_until(lambda: not pods_of(api), 10, "the pods to go")


def test_the_kubelet_binds_pods_that_are_on_no_node(api: Api) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", "namespace": "default"},
        "spec": {"hostNetwork": True, "containers": []},
    }
    api.create(api.resource("v1", "pods"), manifest)
    with Kubelet(api, addresses(), node="node-7"):
        wait_until(lambda: pods_of(api)[0]["status"].get("podIP"), 10, "a running pod")
    (pod,) = pods_of(api)
    assert pod["spec"]["nodeName"] == "node-7"
    assert pod["status"]["podIP"] == pod["status"]["hostIP"], "a pod on the host's network has the host's address"
