"""The active one of two replicas is lost while many pods are created: ``python -m tests.bench.lost_replica``.

Measured with and without the loss, on a real API server over Metacontroller where it is on ``PATH``, else over its
stand-in; the cloud is that of ``tests.bench.scale``. Written to ``build/lost_replica.json``.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from metacontroller_standin.manifests import point_at
from metacontroller_standin.waiting import wait_until
from tests.bench.emulated import emulated_cloud
from tests.bench.gateways import SETTLE
from tests.bench.scale import AT_ONCE, GATEWAYS, LONGEST, addresses, assets, deployment, watched_namespace, write
from tests.e2e import world
from tests.e2e.controlplane import ControlPlane
from tests.e2e.replicas import LEASE_SECONDS, Door, Node
from tests.e2e.runners import MetacontrollerRunner, StandInRunner
from tests.e2e.site import UsersPods

DEPLOYMENT = ("deployment/poddnat", f"--namespace={world.SYSTEM}")


@contextmanager
def replicas(controlplane: ControlPlane, program: str | None) -> Iterator[Node]:
    """Run two replicas, the cloud, who calls the hooks, and the nodes of pods."""
    with (
        tempfile.TemporaryDirectory() as folder,
        emulated_cloud(gateways=GATEWAYS, at_once=AT_ONCE, settle=SETTLE) as emulated,
    ):
        node = Node(controlplane, emulated.values_file, Path(folder))
        with (
            node,
            Door(controlplane.api, node) as door,
            controlplane.client_of("kubelet") as kubelet_api,
            UsersPods(kubelet_api, addresses(), node="node-2"),
        ):
            runner = MetacontrollerRunner(controlplane, program) if program else StandInRunner(controlplane)
            controlplane.kubectl("scale", *DEPLOYMENT, "--replicas=2")
            try:
                controlplane.kubectl("rollout", "status", *DEPLOYMENT, "--timeout=90s")
                wait_until(lambda: active(node), 60, "a replica to be active")
                runner.apply(point_at(world.CONTROLLERS, door.url))
                yield node
            finally:
                runner.stop()
                controlplane.kubectl("scale", *DEPLOYMENT, "--replicas=0")
                wait_until(lambda: not node.containers, 60, "the replicas to end")


def active(node: Node) -> str:
    """Name the replica that answers hooks; empty: none."""
    return next((name for name, container in list(node.containers.items()) if container.is_ready("/readyz")), "")


def seconds_until_ready(controlplane: ControlPlane, program: str | None, pods: int, *, lost: bool) -> float:
    """Create so many pods; lose the active replica once a third of them is Ready, and give its pod up after a while."""
    api = controlplane.api
    with watched_namespace(controlplane) as sight, replicas(controlplane, program) as node:
        started_at = time.monotonic()
        controlplane.kubectl("create", f"--namespace={sight.namespace}", "-f", "-", stdin=deployment(pods))
        if lost:
            wait_until(lambda: len(sight.ready) >= pods / 3, LONGEST, "a third of the pods to be Ready", interval=0.1)
            name = active(node)
            node.lose(name)
        wait_until(lambda: len(sight.ready) == pods, LONGEST, f"{pods} pods to be Ready", interval=0.1)
        seconds = time.monotonic() - started_at
        if lost:
            node.forget(name)
        controlplane.kubectl("delete", f"--namespace={sight.namespace}", "deployment", "web", "--wait=false")
        poddnats = api.resource("alibabacloud.com/v1", "poddnats")
        wait_until(
            lambda: not api.list(poddnats, sight.namespace)["items"], LONGEST, "all PodDNATs to go", interval=0.5
        )
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.lost_replica")
    parser.add_argument("--pods", type=int, default=300)
    pods: int = parser.parse_args().pods
    program = shutil.which("metacontroller")
    with tempfile.TemporaryDirectory(prefix="poddnat-lost-") as folder:
        controlplane = ControlPlane(assets(), Path(folder))
        controlplane.start()
        try:
            world.install(controlplane)
            usual = seconds_until_ready(controlplane, program, pods, lost=False)
            lost = seconds_until_ready(controlplane, program, pods, lost=True)
        finally:
            controlplane.stop()
    figures = {
        "pods": pods,
        "lease_seconds": LEASE_SECONDS,
        "ready_seconds": usual,
        "ready_seconds_with_the_loss": lost,
    }
    write("lost_replica.json", figures)
    text = f"{pods} pods Ready after {usual:.1f} s; with the active replica lost, after {lost:.1f} s"
    Console(highlight=False).print(f"{text} (lease: {LEASE_SECONDS} s)")


if __name__ == "__main__":
    main()
