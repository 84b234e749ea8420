"""What pods cost the API server. Metacontroller's client is slow, so every write delays somebody's pod."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.audit_log import SERVER
from tests.unit.hooks.world import EXPOSE_80

if TYPE_CHECKING:
    from tests.e2e.audit_log import Request
    from tests.e2e.world import Cluster

pytestmark = pytest.mark.controlplane

PODS = 12
FEWEST = {"create poddnats": 1, "patch poddnats/status": 1, "update pods": 1}
"""For each pod: its PodDNAT, the status, which the server writes, and the result on the pod."""


def test_a_pod_costs_two_writes_of_metacontroller_and_one_of_the_server_and_none_at_rest(
    cluster: Cluster,
) -> None:
    audit_log = cluster.controlplane.audit_log
    start = audit_log.end()
    deploy(cluster, PODS)
    cluster.wait_all_ready(PODS)
    writes = ours(cluster, start)
    assert Counter(map(kind_of, writes)) == {kind: PODS * count for kind, count in FEWEST.items()}
    assert {kind_of(write) for write in writes if write.user == SERVER} == {"patch poddnats/status"}

    # Hooks are called for all that was touched, and by the time that a later pod is ready, that is over.
    cluster.kubectl("label", "pods,poddnats", "--all", "touched=yes")
    start = audit_log.end()
    cluster.create_pod("late", EXPOSE_80)
    cluster.wait_all_ready(PODS + 1)
    assert Counter(map(kind_of, ours(cluster, start))) == FEWEST


def test_nothing_is_left_of_many_pods(cluster: Cluster) -> None:
    deploy(cluster, PODS)
    cluster.wait_all_ready(PODS)
    cluster.kubectl("delete", "deployment", "web")
    cluster.wait_clear()


def deploy(cluster: Cluster, pods: int) -> None:
    labels = {"app": "web"}
    template: dict[str, Any] = {
        "metadata": {"labels": labels, "annotations": EXPOSE_80},
        "spec": {"containers": [{"name": "web", "image": "nginx"}]},
    }
    spec = {"replicas": pods, "selector": {"matchLabels": labels}, "template": template}
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest))


def ours(cluster: Cluster, start: int) -> list[Request]:
    # A refused write is one that came late: Metacontroller creates what its cache doesn't show yet.
    return [write for write in cluster.controlplane.audit_log.ours(cluster.namespace, start) if write.code < 400]


def kind_of(write: Request) -> str:
    return f"{write.verb} {write.resource}"
