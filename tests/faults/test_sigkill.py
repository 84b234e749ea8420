"""The program itself, killed in the middle of its work: real processes, real threads, real time."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import yaml

from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.manifests import point_at
from metacontroller_standin.standin import StandIn
from metacontroller_standin.waiting import wait_until
from poddnat.files import MANIFESTS
from tests.unit.hooks.world import EXPOSE_80, World, running, values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PODS = tuple((f"web-{number}", f"172.16.1.{number}") for number in range(1, 5))


class Program:
    """`poddnat serve` on one address, again and again."""

    def __init__(self, world: World, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{self._address}"
        endpoint = world.values.endpoints.vpc
        assert endpoint is not None
        self.values_file = folder / "values.yaml"
        self.values_file.write_text(yaml.safe_dump(values(endpoint)))
        self._kubeconfig = folder / "kubeconfig"
        self._kubeconfig.write_text(yaml.safe_dump(kubeconfig(world.memory.url)))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        files = ["--values", str(self.values_file), "--kubeconfig", str(self._kubeconfig)]
        command = [sys.executable, "-m", "poddnat", "serve", *files, "--listen", self._address]
        # What it writes shows with the test's own output.
        self._process = subprocess.Popen(command)
        wait_until(self._ready, 30, "the program to be ready")

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


def kubeconfig(server: str) -> dict[str, object]:
    """Write a kubeconfig for an API server that asks nobody who they are."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": {"server": server}}],
        "users": [{"name": "a", "user": {}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }


@contextmanager
def serving(world: World, folder: Path) -> Iterator[Program]:
    """Run the program, and what calls it."""
    controllers = list(yaml.safe_load_all((MANIFESTS / "controllers.yaml").read_text(encoding="utf-8")))
    program = Program(world, folder)
    try:
        program.start()
        addresses = (ip for _, ip in PODS)
        with StandIn(world.api, point_at(controllers, program.url)), Kubelet(world.api, addresses):
            yield program
    finally:
        program.kill()


def ready(world: World) -> list[str]:
    """Name the pods that are told that they are ready."""
    pods = world.api.list(world.api.resource("v1", "pods"))["items"]
    told = "k8s.aliyun.com/pod-dnat-status"
    return sorted(p["metadata"]["name"] for p in pods if p["metadata"]["annotations"].get(told) == "Ready")


@pytest.mark.timeout(120)
def test_program_killed_while_it_exposes_pods_and_while_it_cleans_up_finishes_both(tmp_path: Path) -> None:
    names = [name for name, _ in PODS]
    with running(settle_seconds=0.3, started=False) as world, serving(world, tmp_path) as program:
        for name in names:
            world.make_pod(EXPOSE_80, name=name, ip="")
        wait_until(lambda: len(world.entries()) >= 2, 30, "some entries")
        program.kill()
        program.start()
        wait_until(lambda: ready(world) == names, 60, "all pods to be ready")
        assert len(world.entries()) == len(names)
        for name in names:
            world.api.delete(world.api.resource("v1", "pods"), name, "default")
        wait_until(lambda: len(world.entries()) <= 3, 30, "some entries to go")
        program.kill()
        program.start()
        wait_until(lambda: all(world.poddnat(name) is None for name in names), 60, "all PodDNATs to go")
        assert world.entries() == []
