"""Two replicas, as the shipped Deployment runs them, and the load they are put under."""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metacontroller_standin.api import Api, ApiError, name_of
from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.manifests import point_at
from metacontroller_standin.waiting import wait_until
from tests.e2e.replicas import Door, Node
from tests.e2e.world import CONTROLLERS, SYSTEM
from tests.unit.hooks.world import EIP, EXPOSE_80, GATEWAY, STATUS, cloud, values
from vpc_emulator import Emulator, EmulatorServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.controlplane import ControlPlane
    from tests.e2e.runners import Runner

Json = dict[str, Any]

AT_ONCE = 5
"""Pods that there are at a time while pods come and go."""


class UsersPods(Kubelet):
    """All nodes but the one with the server."""

    def _on_change(self, old: Json | None, new: Json | None) -> None:
        if (new or old or {})["metadata"]["namespace"] != SYSTEM:
            super()._on_change(old, new)


@dataclass
class Site:
    """A cluster with two replicas, and the cloud."""

    controlplane: ControlPlane
    namespace: str
    """Where users' pods are: one for each test."""
    emulator: Emulator
    node: Node
    door: Door

    @property
    def api(self) -> Api:
        return self.controlplane.api

    def kubectl(self, *arguments: str) -> str:
        return self.controlplane.kubectl(f"--namespace={SYSTEM}", *arguments)

    def holder(self) -> str:
        leases = self.api.resource("coordination.k8s.io/v1", "leases")
        try:
            return str(self.api.get(leases, "poddnat", SYSTEM)["spec"].get("holderIdentity") or "")
        except ApiError:
            return ""

    def active(self) -> str:
        """Name the pod that holds the lease, is led to, and answers hooks; empty: none."""
        name = self.holder()
        container = self.node.containers.get(name)
        led = container is not None and self.door.leads_to() == container.ip
        return name if led and container is not None and container.is_ready("/readyz") else ""

    def wait_active(self, but: str = "") -> float:
        """Wait until a replica, or another one, is active; return after how many seconds."""
        began = time.monotonic()
        wait_until(lambda: self.active() not in {"", but}, 60, "a replica to be active")
        return time.monotonic() - began

    def wait_complete(self) -> None:
        """Wait until both replicas run, and one of them is active."""
        self.kubectl("rollout", "status", "deployment/poddnat", "--timeout=90s")
        wait_until(lambda: len(self.node.containers) == 2 and self.active(), 60, "two replicas, one of them active")

    def losses(self, name: str) -> list[str]:
        """Tell when a replica has told that it lost the lease, in order."""
        return self.node.told(name, "is lost")

    def evict(self, name: str) -> None:
        """Have one of the server's pods go as `kubectl drain` does."""
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": SYSTEM},
        }
        self.api.call("POST", f"/api/v1/namespaces/{SYSTEM}/pods/{name}/eviction", eviction)

    def add_node(self, name: str) -> None:
        """Let a node be seen, on which there are pods already."""
        self.controlplane.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})

    def remove_nodes(self) -> None:
        """Let no node be seen."""
        nodes = self.api.resource("v1", "nodes")
        for node in self.api.list(nodes)["items"]:
            self.api.delete(nodes, name_of(node))

    # Users' pods.

    def create(self, name: str) -> None:
        metadata = {"name": name, "namespace": self.namespace, "annotations": EXPOSE_80}
        spec = {"containers": [{"name": "web", "image": "nginx"}]}
        self.api.create(self.pods, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def delete(self, name: str) -> None:
        self.api.delete(self.pods, name, self.namespace)

    @property
    def pods(self) -> Any:
        return self.api.resource("v1", "pods")

    def all_told(self) -> bool:
        """Whether each pod is told that it is ready, and just their entries are there."""
        pods = self.api.list(self.pods, self.namespace)["items"]
        told = [(pod["metadata"].get("annotations") or {}).get(STATUS) for pod in pods]
        held = [e["forwardEntryId"] for dnat in self.dnats() for e in (dnat.get("status") or {}).get("entries", ())]
        there = {entry.id for entry in self.emulator.forward_entries(GATEWAY) if entry.name != "ops"}
        return told == ["Ready"] * len(pods) and len(held) == len(pods) and set(held) == there

    def cloud_writes(self) -> int:
        """Count the calls of the cloud so far that were meant to change something."""
        calls = self.emulator.calls
        return calls.count("CreateForwardEntry") + calls.count("DeleteForwardEntry")

    def dnats(self) -> list[Json]:
        items: list[Json] = self.api.list(self.api.resource("alibabacloud.com/v1", "poddnats"), self.namespace)["items"]
        return items

    def sync_errors(self) -> list[str]:
        events = self.api.list(self.api.resource("v1", "events"), self.namespace)["items"]
        return [event["message"] for event in events if event["reason"] == "SyncError"]


class Load:
    """Pods come and go, all the time."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")
        self.created = 0

    def __enter__(self) -> Load:
        self._thread.start()
        wait_until(lambda: self.created > AT_ONCE, 60, "pods to come and go")
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        for number in itertools.count():
            self._site.create(f"web-{number}")
            self.created += 1
            if number >= AT_ONCE:
                self._site.delete(f"web-{number - AT_ONCE}")
            if self._stopping.wait(0.3):
                return


@contextmanager
def two_replicas(controlplane: ControlPlane, runner: Runner, folder: Path) -> Iterator[Site]:
    """Run two replicas, and who calls them, with an entry of somebody else's on the gateway."""
    emulator = cloud(settle_seconds=0.2)
    foreign = emulator.add_entry(
        GATEWAY, external_ip=EIP, external_port=513, internal_ip="172.16.2.1", internal_port=22, name="ops"
    )
    addresses = (f"172.16.1.{number}" for number in itertools.cycle(range(1, 15)))
    with EmulatorServer(emulator) as server:
        node = Node(controlplane, values(server.url), folder)
        with node, Door(controlplane.api, node) as door, UsersPods(controlplane.api, addresses, node="node-2"):
            site = Site(controlplane, "", emulator, node, door)
            site.kubectl("scale", "deployment/poddnat", "--replicas=2")
            try:
                site.wait_complete()
                runner.apply(point_at(CONTROLLERS, door.url))
                yield site
            finally:
                runner.stop()
                site.kubectl("scale", "deployment/poddnat", "--replicas=0")
                wait_until(lambda: not node.containers, 60, "the replicas to end")
    assert foreign in emulator.forward_entries(GATEWAY)
    assert emulator.bugs == []
