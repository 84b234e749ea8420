"""PodDNATs stored under another definition of their kind, laxer than ours, are used, or told what is wrong, and go."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.api import ApiError
from metacontroller_standin.apply import DECORATOR, owner_reference
from metacontroller_standin.waiting import wait_until
from tests.e2e import world
from tests.e2e.world import MANIFESTS
from tests.unit.hooks.world import EIP, EXPOSE_80, GATEWAY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from metacontroller_standin.kubelet import Kubelet
    from tests.e2e.controlplane import ControlPlane
    from tests.e2e.runners import Runner
    from tests.e2e.world import Cluster

Json = dict[str, Any]

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(180)]

(OURS,) = world.read(MANIFESTS / "crd.yaml")
MAPPING = {"externalPort": "700", "internalPort": "80"}
ENTRY = {"externalIP": EIP, "externalPort": "700", "forwardEntryId": "fwd-gone", "internalPort": "80"}
READY = {"type": "Ready", "status": "True", "reason": "Ready", "message": "All work."}

ODD: dict[str, tuple[Json | None, Json | None]] = {
    "null-fields": (dict.fromkeys(["zoneID", "vswitch", "eni", "protocol", "entryId", "externalPort"]), {}),
    "null-spec": (None, None),
    "null-lists": ({"portMapping": None}, dict.fromkeys(["entries", "conditions", "ports", "observedGeneration"])),
    "null-entries": ({}, {"entries": [None, dict.fromkeys(ENTRY), ENTRY], "conditions": [None]}),
    "unknown-fields": (
        {"more": {"a": [1]}, "portMapping": [MAPPING | {"more": 1, "protocol": None}]},
        {"more": 1, "entries": [ENTRY | {"more": {}}]},
    ),
    "no-times": ({}, {"conditions": [READY], "observedGeneration": 1}),
    "no-types": ({}, {"conditions": [{"status": "True"}, READY, READY]}),
    "long-texts": (
        {"zoneID": "z" * 300, "eni": "e" * 300},
        {"entries": [ENTRY | {"forwardEntryId": "f" * 1000}], "ports": "p" * 70_000, "created": "c" * 100},
    ),
    "other-types": (
        {"portMapping": [{"externalPort": 700, "internalPort": 80}], "protocol": "sctp"},
        {"observedGeneration": "1", "entries": {}, "conditions": "none"},
    ),
}
"""By name: what is put into the spec and the status of a PodDNAT that its pod should have; None: nothing but null."""


def laxer() -> Json:
    """Write a definition of PodDNATs that takes anything."""
    crd = copy.deepcopy(OURS)
    for version in crd["spec"]["versions"]:
        version["schema"] = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return crd


def put_in_force(plane: ControlPlane, namespace: str, crd: Json, *, takes_anything: bool) -> None:
    """Put a definition in the place of the one that is there, and wait until the API server goes by it."""
    plane.install_crds(crd)
    poddnats = plane.api.resource("alibabacloud.com/v1", "poddnats")

    def is_in_force() -> bool:
        try:
            odd = {"apiVersion": "alibabacloud.com/v1", "kind": "PodDNAT", "spec": {"tableId": 1}}
            plane.api.create(poddnats, odd | {"metadata": {"generateName": "try-", "namespace": namespace}})
        except ApiError:
            return not takes_anything
        return takes_anything

    wait_until(is_in_force, 15, "the definition to be in force")
    for item in plane.api.list(poddnats, namespace)["items"]:
        if item["metadata"]["name"].startswith("try-"):
            plane.api.delete(poddnats, item["metadata"]["name"], namespace)


def store(plane: ControlPlane, namespace: str, name: str, *, owner: Json | None) -> None:
    """Store an odd PodDNAT, as Metacontroller's if it has an owner."""
    spec, status = ODD[name]
    ip = owner["status"]["podIP"] if owner else "172.16.1.200"
    asked = {"tableId": GATEWAY, "externalIP": EIP, "internalIP": ip, "portMapping": [MAPPING]}
    metadata: Json = {"name": name if owner else f"{name}-by-hand", "namespace": namespace}
    if owner:
        metadata |= {"annotations": {DECORATOR: "pod-dnat"}, "ownerReferences": [owner_reference(owner)]}
    poddnat = {"apiVersion": "alibabacloud.com/v1", "kind": "PodDNAT", "metadata": metadata}
    poddnats = plane.api.resource("alibabacloud.com/v1", "poddnats")
    made = plane.api.create(poddnats, poddnat | {"spec": None if spec is None else asked | spec})
    plane.api.update_status(poddnats, made | {"status": status})


@pytest.fixture
def upgraded(
    installed: ControlPlane, metacontroller: Runner, namespace: str, kubelet: Kubelet, tmp_path: Path
) -> Iterator[Cluster]:
    """A cluster whose odd PodDNATs were stored under the laxer definition, and that has ours now, and the server."""
    assert kubelet
    cluster = world.Cluster(installed, namespace, None, None)  # type: ignore[arg-type]  # nothing runs yet
    try:
        put_in_force(installed, namespace, laxer(), takes_anything=True)
        for name in ODD:
            cluster.create_pod(name, EXPOSE_80)
        for name in ODD:
            wait_until(lambda name=name: cluster.pod(name)["status"].get("podIP"), 15, "the pod's IP")  # type: ignore[misc]
            store(installed, namespace, name, owner=cluster.pod(name))
            store(installed, namespace, name, owner=None)
    finally:
        put_in_force(installed, namespace, OURS, takes_anything=False)
    with world.running(installed, metacontroller, namespace, tmp_path) as running:
        yield running


def told(cluster: Cluster, name: str) -> str:
    """Return the reason that a PodDNAT shows; empty: none."""
    status = (cluster.poddnat(name) or {}).get("status") or {}
    conditions = status.get("conditions")
    return str(conditions[-1].get("reason", "")) if isinstance(conditions, list) and conditions[-1:] != [None] else ""


def test_poddnats_of_a_laxer_definition_serve_their_pods_or_say_why_not_and_can_be_deleted(
    upgraded: Cluster, metacontroller: Runner
) -> None:
    poddnats = {item["metadata"]["name"] for item in upgraded.poddnats()}
    assert poddnats == {*ODD, *(f"{name}-by-hand" for name in ODD)}
    for name in ODD:
        upgraded.wait_ready(name)
        wait_until(lambda name=name: told(upgraded, f"{name}-by-hand") == "NotAdopted", 15, f"{name} to be told")  # type: ignore[misc]
    assert len(upgraded.entries()) == len(ODD)
    upgraded.kubectl("delete", "pods", "--all", "--timeout=20s")
    upgraded.kubectl("delete", "poddnats", "--all", "--timeout=20s")
    upgraded.wait_clear()
    codes = {code for _, code in metacontroller.hook_answers()}
    assert codes <= {200, 429}
    assert [line for line in upgraded.server.log().splitlines() if json.loads(line)["level"] == "error"] == []
