"""Deployments and StatefulSets whose pods come and go by themselves."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.api import name_of
from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.waiting import wait_until
from metacontroller_standin.workload_controller import WorkloadController
from tests.unit.standin.scenario import DEPLOYMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metacontroller_standin.api import Api

Json = dict[str, Any]


@pytest.fixture(autouse=True)
def controllers(api: Api) -> Iterator[None]:
    addresses = (f"172.16.1.{number}" for number in itertools.count(1))
    with Kubelet(api, addresses), WorkloadController(api):
        yield


def apply(api: Api, kind: str, replicas: int) -> Json:
    manifest = copy.deepcopy(DEPLOYMENT)
    manifest["metadata"] = {"name": "web", "namespace": "default"}
    manifest["kind"], manifest["spec"]["replicas"] = kind, replicas
    return api.create(api.resource_of(manifest), manifest)


def pods(api: Api) -> list[Json]:
    items: list[Json] = api.list(api.resource("v1", "pods"))["items"]
    return items


def wait_pods(api: Api, count: int) -> list[str]:
    """Wait until there are just so many pods, all of which run; return their names."""

    def are_there() -> bool:
        there = pods(api)
        return len(there) == count and all((pod.get("status") or {}).get("podIP") for pod in there)

    wait_until(are_there, 15, f"{count} pods")
    return sorted(map(name_of, pods(api)))


def change(api: Api, workload: Json, patch: Json) -> None:
    api.patch(api.resource_of(workload), name_of(workload), patch, "default")


NEW_TEMPLATE = {"spec": {"template": {"metadata": {"labels": {"version": "2"}}}}}


def test_deployment_is_scaled_up_and_down(api: Api) -> None:
    deployment = apply(api, "Deployment", 2)
    wait_pods(api, 2)
    change(api, deployment, {"spec": {"replicas": 4}})
    wait_pods(api, 4)
    change(api, deployment, {"spec": {"replicas": 1}})
    wait_pods(api, 1)

    def shown() -> Json:
        found: Json = api.get(api.resource_of(deployment), "web", "default").get("status", {})
        return found

    wait_until(lambda: shown().get("readyReplicas") == 1, 15, "the status to tell")


def test_deployments_new_template_replaces_its_pods(api: Api) -> None:
    deployment = apply(api, "Deployment", 2)
    before = wait_pods(api, 2)
    change(api, deployment, NEW_TEMPLATE)
    wait_until(lambda: not set(before) & set(map(name_of, pods(api))), 15, "the old pods to go")
    wait_pods(api, 2)
    assert {pod["metadata"]["labels"]["version"] for pod in pods(api)} == {"2"}


def test_stateful_sets_pod_comes_back_under_its_name(api: Api) -> None:
    apply(api, "StatefulSet", 2)
    assert wait_pods(api, 2) == ["web-0", "web-1"]
    (first, _) = pods(api)
    api.delete(api.resource("v1", "pods"), "web-0", "default")
    wait_until(lambda: first["metadata"]["uid"] not in {p["metadata"]["uid"] for p in pods(api)}, 15, "it to go")
    assert wait_pods(api, 2) == ["web-0", "web-1"]


def test_stateful_set_loses_its_last_pods_and_replaces_those_of_an_old_template(api: Api) -> None:
    stateful_set = apply(api, "StatefulSet", 3)
    wait_pods(api, 3)
    change(api, stateful_set, {"spec": {"replicas": 2}})
    assert wait_pods(api, 2) == ["web-0", "web-1"]
    change(api, stateful_set, NEW_TEMPLATE)

    def are_new() -> bool:
        return [pod["metadata"]["labels"].get("version") for pod in pods(api)] == ["2", "2"]

    wait_until(are_new, 15, "both pods to be new")


def test_pods_go_with_their_deployment(api: Api) -> None:
    deployment = apply(api, "Deployment", 2)
    wait_pods(api, 2)
    api.delete(api.resource_of(deployment), "web", "default")
    wait_pods(api, 0)
