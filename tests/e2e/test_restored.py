"""PodDNATs from a backup: living pods keep their addresses, nobody else is exposed, and what is stale ends.

A backup names owners by uids that nothing has any more, entries that are gone or another pod's by now, and other ports.
It is restored where nothing is of those names, or over what is there, as `kubectl apply` and backup programs do.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.api import ApiError, name_of
from metacontroller_standin.waiting import wait_until
from poddnat.api import FIXED
from tests.unit.hooks.world import EXPOSE_80

if TYPE_CHECKING:
    from tests.e2e.world import Cluster

Json = dict[str, Any]

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(150)]

FIXED_80 = {**EXPOSE_80, FIXED: "true"}
KEPT = ("name", "annotations", "labels", "ownerReferences", "finalizers")


def restore(cluster: Cluster, backup: list[Json]) -> None:
    """Write PodDNATs as they were, statuses too, over those that are there."""
    poddnats = cluster.api.resource("alibabacloud.com/v1", "poddnats")
    for item in backup:
        metadata = {key: item["metadata"][key] for key in KEPT if key in item["metadata"]}
        manifest = {"apiVersion": "alibabacloud.com/v1", "kind": "PodDNAT", "spec": item["spec"]}
        manifest["metadata"] = {**metadata, "namespace": cluster.namespace}
        there = cluster.poddnat(name_of(item))
        if there is None:
            cluster.api.create(poddnats, manifest)
        else:
            patch = {"metadata": metadata, "spec": item["spec"]}
            cluster.api.patch(poddnats, name_of(item), patch, cluster.namespace)
        with suppress(ApiError):  # Somebody may have deleted it already.
            cluster.api.patch(poddnats, name_of(item), {"status": item["status"]}, cluster.namespace, "status")


def outside(cluster: Cluster, name: str) -> tuple[str, list[str]]:
    spec = (cluster.poddnat(name) or {})["spec"]
    return spec["externalIP"], [mapping["externalPort"] for mapping in spec["portMapping"]]


def owners(cluster: Cluster, name: str) -> set[str]:
    found = cluster.poddnat(name) or {"metadata": {}}
    return {owner["uid"] for owner in found["metadata"].get("ownerReferences") or ()}


def wait_served(cluster: Cluster, name: str) -> None:
    """Wait until a pod is exposed by a PodDNAT of its own, with entries that are there and lead to it."""

    def is_served() -> bool:
        pods = json.loads(cluster.kubectl("get", "pods", "--output=json"))["items"]
        pod, poddnat = next((one for one in pods if name_of(one) == name), None), cluster.poddnat(name)
        if pod is None or poddnat is None or pod["metadata"]["uid"] not in owners(cluster, name):
            return False
        shown = {entry["forwardEntryId"] for entry in (poddnat.get("status") or {}).get("entries") or ()}
        there = {entry.id for entry in cluster.entries() if entry.internal_ip == pod["status"]["podIP"]}
        return bool(shown) and shown == there and "deletionTimestamp" not in poddnat["metadata"]

    wait_until(is_served, 60, f"pod {name} to be exposed by its own PodDNAT", interval=0.2)
    cluster.wait_ready(name)


def restore_of_a_pod_that_is_gone(cluster: Cluster) -> None:
    """Restore the PodDNAT of the pod web, which was deleted after the backup."""
    cluster.create_pod("web", EXPOSE_80)
    backup = [cluster.wait_ready("web")]
    cluster.kubectl("delete", "pod", "web", "--timeout=20s")
    cluster.wait_clear()
    restore(cluster, backup)


def test_stale_poddnat_of_a_pod_that_is_gone_ends_and_exposes_nothing(cluster: Cluster) -> None:
    restore_of_a_pod_that_is_gone(cluster)
    wait_until(lambda: cluster.poddnat("web") is None, 60, "the stale PodDNAT to go")
    assert cluster.entries() == []


def test_pod_gets_its_ports_where_a_stale_poddnat_of_its_name_is_restored_before_it(cluster: Cluster) -> None:
    restore_of_a_pod_that_is_gone(cluster)
    cluster.create_pod("web", EXPOSE_80)
    wait_served(cluster, "web")
    assert len(cluster.entries()) == 1


@pytest.mark.parametrize("annotations", [EXPOSE_80, FIXED_80], ids=["ordinary", "fixed"])
def test_living_pods_keep_their_addresses_where_an_old_backup_is_restored_over_their_poddnats(
    cluster: Cluster, annotations: dict[str, str]
) -> None:
    if annotations is FIXED_80:
        cluster.create_stateful_set(FIXED_80, 2)
        names = ["arena-0", "arena-1"]
    else:
        names = ["web-0", "web-1"]
        for name in names:
            cluster.create_pod(name, annotations)
    cluster.wait_all_ready(2)
    backup = cluster.poddnats()
    ports = [item["spec"]["portMapping"] for item in backup]
    for item, other in zip(backup, reversed(ports), strict=True):
        if annotations is EXPOSE_80:  # Each has the other's old port by now, as happens over time.
            item["spec"]["portMapping"] = other
        for owner in item["metadata"]["ownerReferences"]:
            owner["uid"] = f"00000000-0000-0000-0000-{owner['kind'].lower():0>12}"[:36]
    before = {name: outside(cluster, name) for name in names}
    restore(cluster, backup)
    for name in names:
        wait_served(cluster, name)
    assert {name: outside(cluster, name) for name in names} == before
    assert len(cluster.entries()) == 2


def test_backup_that_names_entries_of_others_costs_them_nothing(cluster: Cluster) -> None:
    cluster.create_pod("web-0", EXPOSE_80)
    backup = [cluster.wait_ready("web-0")]
    cluster.create_pod("web-1", EXPOSE_80)
    cluster.wait_ready("web-1")
    (theirs,) = [entry for entry in cluster.entries() if entry.internal_ip == cluster.pod("web-1")["status"]["podIP"]]
    backup[0]["status"]["entries"][0]["forwardEntryId"] = theirs.id
    cluster.kubectl("delete", "pod", "web-0", "--timeout=20s")
    wait_until(lambda: cluster.poddnat("web-0") is None, 30, "its PodDNAT to go")
    restore(cluster, backup)
    wait_until(lambda: cluster.poddnat("web-0") is None, 60, "the stale PodDNAT to go")
    assert cluster.entries() == [theirs]


@pytest.mark.parametrize("namespace_too", [False, True], ids=["same-namespace", "another-cluster"])
def test_fixed_pod_is_served_where_a_stale_poddnat_of_its_name_is_restored_before_its_owner(
    cluster: Cluster, *, namespace_too: bool
) -> None:
    cluster.create_stateful_set(FIXED_80, 1)
    cluster.wait_all_ready(1)
    (stale,) = backup = cluster.poddnats()
    cluster.kubectl("delete", "statefulset", "arena", "--timeout=20s")
    cluster.wait_clear()
    for owner in stale["metadata"]["ownerReferences"]:
        if namespace_too and owner["kind"] == "Namespace":
            owner["uid"] = "00000000-0000-0000-0000-000000000001"
    restore(cluster, backup)
    cluster.create_stateful_set(FIXED_80, 1)
    wait_served(cluster, "arena-0")
    assert len(cluster.entries()) == 1


def test_stale_poddnat_of_a_fixed_pod_whose_owner_is_gone_ends(cluster: Cluster) -> None:
    cluster.create_stateful_set(FIXED_80, 1)
    cluster.wait_all_ready(1)
    backup = cluster.poddnats()
    cluster.kubectl("delete", "statefulset", "arena", "--timeout=20s")
    cluster.wait_clear()
    restore(cluster, backup)
    wait_until(lambda: not cluster.poddnats(), 90, "the stale PodDNAT to go")
    assert cluster.entries() == []


def test_fixed_pod_is_served_whether_its_stale_poddnat_or_its_own_comes_first(cluster: Cluster) -> None:
    cluster.create_stateful_set(FIXED_80, 1)
    cluster.wait_all_ready(1)
    backup = cluster.poddnats()
    cluster.kubectl("scale", "statefulset", "arena", "--replicas=0")
    cluster.wait_clear()
    cluster.kubectl("patch", "statefulset", "arena", "--type=merge", "--patch", '{"spec":{"replicas":1}}')
    restore(cluster, backup)
    wait_served(cluster, "arena-0")
    assert len(cluster.entries()) == 1
