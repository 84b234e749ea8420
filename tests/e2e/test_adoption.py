"""Moving from ACK's component on a real API server, with its objects as its document shows them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.waiting import wait_until
from poddnat.api import FIXED
from poddnat.api.fixed import OWNER
from tests.unit.hooks import acks
from tests.unit.hooks.world import EIP, EXPOSE_80, RESULT, STATUS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.world import Cluster

Json = dict[str, Any]

pytestmark = pytest.mark.controlplane


def adopt(cluster: Cluster, folder: Path, *options: str) -> tuple[int, str]:
    """Run the command as the administrator does; return its exit code and all that it prints."""
    files = ["--values", str(folder / "values.yaml"), "--kubeconfig", str(cluster.controlplane.kubeconfig)]
    command = [sys.executable, "-m", "poddnat", "adopt", *files, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=40)
    return done.returncode, done.stdout + done.stderr


def ack_pod(cluster: Cluster, name: str, port: int, finalizer: str = acks.FINALIZER) -> str:
    """Create a pod as ACK's controller leaves it, with an entry; return the entry's id."""
    spec = {"containers": [{"name": "web", "image": "nginx"}]}
    metadata = {"name": name, "namespace": cluster.namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    cluster.api.create(cluster.api.resource("v1", "pods"), pod)
    return acks_was_here(cluster, name, port, EXPOSE_80, finalizer)


def acks_was_here(
    cluster: Cluster, name: str, port: int, annotations: dict[str, str], finalizer: str = acks.FINALIZER
) -> str:
    """Leave a pod as ACK's controller does, with an entry; return the entry's id."""
    wait_until(lambda: cluster.pod(name)["status"].get("podIP"), 10, "the pod to have an IP")
    pod = cluster.pod(name)
    entry = acks.entry(cluster.emulator, ip=pod["status"]["podIP"], port=port)
    poddnats = cluster.api.resource("alibabacloud.com/v1", "poddnats")
    cluster.api.create(poddnats, acks.poddnat(pod, entry, finalizer))
    cluster.api.patch(poddnats, name, {"status": acks.status(entry)}, cluster.namespace, "status")
    # Only now the annotations: here ACK's controller was first.
    pods = cluster.api.resource("v1", "pods")
    cluster.api.patch(pods, name, {"metadata": {"annotations": annotations}}, cluster.namespace)
    return entry.id


def told(cluster: Cluster, name: str) -> str:
    return cluster.annotations(name).get(STATUS, "")


@pytest.mark.parametrize("finalizer", [acks.FINALIZER, acks.OTHER_FINALIZER])
def test_pods_of_acks_controller_keep_their_ports_when_they_are_adopted(
    cluster: Cluster, tmp_path: Path, finalizer: str
) -> None:
    entry = ack_pod(cluster, "web", 700, finalizer)
    wait_until(lambda: told(cluster, "web").startswith("NotAdopted: "), 15, "the pod to be told")
    code, shown = adopt(cluster, tmp_path)
    assert (code, "adopt" in shown, "--yes" in shown) == (1, True, True)
    assert finalizer in (cluster.poddnat("web") or {})["metadata"]["finalizers"]
    assert adopt(cluster, tmp_path, "--yes")[0] == 0
    wait_until(lambda: told(cluster, "web") == "Ready", 70, "the adopted pod to be Ready")
    poddnat = cluster.poddnat("web")
    assert poddnat is not None
    assert poddnat["metadata"]["finalizers"] == ["metacontroller.io/compositecontroller-poddnat"]
    assert [(one.id, one.external_ip, one.external_port) for one in cluster.entries()] == [(entry, EIP, "700")]
    assert EIP in cluster.annotations("web")[RESULT]
    cluster.kubectl("delete", "pod", "web", "--timeout=15s")
    cluster.wait_clear()


def test_what_acks_controller_left_hanging_is_released(cluster: Cluster, tmp_path: Path) -> None:
    ack_pod(cluster, "web", 700)
    cluster.kubectl("delete", "pod", "web", "--timeout=15s")
    wait_until(
        lambda: (cluster.poddnat("web") or {"metadata": {}})["metadata"].get("deletionTimestamp"), 15, "its deletion"
    )
    assert len(cluster.entries()) == 1
    code, shown = adopt(cluster, tmp_path, "--yes")
    assert (code, "release" in shown) == (0, True), shown
    cluster.wait_clear()
    assert adopt(cluster, tmp_path) == (0, "No PodDNAT is that of ACK's controller.\n")


@pytest.mark.parametrize("finalizer", [acks.FINALIZER, acks.OTHER_FINALIZER])
def test_administrator_may_adopt_the_poddnat_of_a_fixed_pod(cluster: Cluster, tmp_path: Path, finalizer: str) -> None:
    cluster.create_stateful_set({})
    wait_until(lambda: cluster.api.list(cluster.api.resource("v1", "pods"), cluster.namespace)["items"], 10, "its pod")
    entry = acks_was_here(cluster, "arena-0", 700, {**EXPOSE_80, FIXED: "true"}, finalizer)
    wait_until(lambda: told(cluster, "arena-0").startswith("NotAdopted: "), 15, "the pod to be told")
    code, shown = adopt(cluster, tmp_path, f"{cluster.namespace}/arena-0", "--yes")
    assert code == 0, shown
    kept = (cluster.poddnat("arena-0") or {})["metadata"]["annotations"]
    assert kept[OWNER].startswith("apps/v1 StatefulSet arena ")
    assert [(one.id, one.external_ip, one.external_port) for one in cluster.entries()] == [(entry, EIP, "700")]
