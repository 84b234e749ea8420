"""Uninstalling as the page says, by its own commands: nothing is left behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from metacontroller_standin.api import ApiError, name_of, namespace_of
from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.standin import StandIn
from metacontroller_standin.waiting import wait_until
from tests.e2e import world
from tests.e2e.conftest import ASSETS
from tests.e2e.controlplane import ControlPlane
from tests.e2e.runners import MetacontrollerRunner
from tests.e2e.world import MANIFESTS, Cluster, Server
from tests.unit.docs.pages import commands, page, section
from tests.unit.hooks.world import EXPOSE_80, cloud, values
from vpc_emulator import EmulatorServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Json = dict[str, Any]

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(240)]

UNINSTALL = page("operators/uninstall")

THINKING = 12.0
"""How long a person looks at what a command wrote before the next one; longer than anything is repaired after."""


def documented(*, by_hand: bool) -> list[list[str]]:
    """Return the commands by which an installation from an overlay is uninstalled, with the program or without."""
    drain = commands(section(UNINSTALL, "First, in any case"))[:1]
    emptied = commands(section(UNINSTALL, "Without the program")) if by_hand else drain
    return emptied + commands(section(UNINSTALL, "Without Helm"))


def carry_out(plane: ControlPlane, command: list[str]) -> str:
    """Run a documented command as an admin of the cluster, with `--yes` where it would ask."""
    program, *arguments = command
    if program == "kubectl":
        return plane.kubectl(*[str(MANIFESTS) if word == "sites/NAME" else word for word in arguments])
    assert program == ".venv/bin/poddnat"
    options = ["--yes", "--timeout=60", f"--kubeconfig={plane.kubeconfig}"]
    done = subprocess.run(
        [sys.executable, "-m", "poddnat", *arguments, *options], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class FollowingStandIn:
    """The stand-in, with as many of the controllers as the API server still has."""

    def __init__(self, plane: ControlPlane, manifests: list[Json]) -> None:
        self._plane = plane
        self._running = {manifest["metadata"]["name"]: StandIn(plane.api, [manifest]) for manifest in manifests}
        self._manifests = {manifest["metadata"]["name"]: plane.put(manifest) for manifest in manifests}
        for one in self._running.values():
            one.start()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        while not self._stopping.wait(0.1):
            self._stop_deleted()

    def _stop_deleted(self) -> None:
        for name, manifest in self._manifests.items():
            if name in self._running and not self._exists(manifest):
                self._running.pop(name).stop()

    def _exists(self, manifest: Json) -> bool:
        resource = self._plane.api.resource_of(manifest)
        return self._plane.api.exists(resource, manifest["metadata"]["name"])

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        while self._running:
            self._running.popitem()[1].stop()


class FollowingMetacontroller:
    """Metacontroller itself."""

    def __init__(self, plane: ControlPlane, program: str, manifests: list[Json]) -> None:
        MetacontrollerRunner(plane, program).apply(manifests)

    def stop(self) -> None:
        pass  # It ends with the control plane.


@pytest.fixture
def plane(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane for this test alone: nothing of the project is left on it."""
    started = ControlPlane(pytestconfig.stash[ASSETS], tmp_path / "plane")
    started.folder.mkdir()
    started.start()
    world.install(started)
    yield started
    started.stop()


def exposed(plane: ControlPlane, server: Server, emulator: Any) -> Cluster:
    """Expose pods of every kind: alone, with a fixed address, with a mistake."""
    cluster = Cluster(plane, "default", emulator, server)
    cluster.create_pod("web", EXPOSE_80)
    cluster.create_pod("typo", {**EXPOSE_80, "k8s.aliyun.com/pod-dnat-expose-port": "http"})
    example = (MANIFESTS / "examples" / "statefulset.yaml").read_text(encoding="utf-8")
    cluster.kubectl("apply", "-f", "-", stdin=example)
    cluster.wait_ready("web")
    for name in ("arena-0", "arena-1"):
        cluster.kubectl("annotate", "pod", name, "--overwrite", "k8s.aliyun.com/pod-dnat-fixed=true")
        cluster.wait_ready(name)
    wait_until(lambda: "k8s.aliyun.com/pod-dnat-status" in cluster.annotations("typo"), 10, "the mistake to be told")
    return cluster


@contextmanager
def exposing(plane: ControlPlane, folder: Path, caller: str) -> Iterator[Cluster]:
    """Run everything that exposes pods, with pods of every kind; nobody's entry is left in the cloud at the end."""
    program = shutil.which("metacontroller")
    if caller == "metacontroller" and program is None:
        pytest.skip("metacontroller is not on PATH")
    addresses = (f"172.16.1.{number}" for number in range(1, 15))
    with EmulatorServer(cloud(settle_seconds=0.2)) as sky, Kubelet(plane.api, addresses, node="node-1"):
        server = Server(plane, values(sky.url), folder)
        server.start()
        server.wait_ready()
        manifests = world.controllers(plane, server.url)
        following: FollowingStandIn | FollowingMetacontroller = (
            FollowingMetacontroller(plane, program, manifests)
            if caller == "metacontroller" and program
            else FollowingStandIn(plane, manifests)
        )
        try:
            cluster = exposed(plane, server, sky.emulator)
            assert len(cluster.entries()) == 5
            yield cluster
        finally:
            following.stop()
            server.stop()
        assert cluster.entries() == []


def drain(cluster: Cluster) -> None:
    """Take all public ports away, by the documented command."""
    (command,) = commands(section(UNINSTALL, "First, in any case"))[:1]
    assert "it is safe to uninstall" in carry_out(cluster.controlplane, command)
    assert cluster.entries() == []


def prune(cluster: Cluster, *, backwards: bool) -> None:
    """Delete all that was applied, as GitOps does: all at once; the server ends with its Deployment."""
    plane = cluster.controlplane
    applied: list[Json] = list(yaml.safe_load_all(plane.kubectl("kustomize", str(MANIFESTS))))
    for manifest in reversed(applied) if backwards else applied:
        if manifest["kind"] == "Deployment":
            cluster.server.terminate()
        try:
            plane.api.delete(plane.api.resource_of(manifest), name_of(manifest), namespace_of(manifest))
        except ApiError as error:
            if not error.not_found:  # as what the drain has deleted is, or what went with the namespace
                raise


def installed(plane: ControlPlane) -> list[str]:
    """Name what is installed of the project, of the kinds that are outside of namespaces."""
    kinds = "namespaces,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"
    controllers = "decoratorcontrollers,compositecontrollers"
    named = plane.kubectl("get", f"{kinds},{controllers},customresourcedefinitions", "--output=name").split()
    return [name for name in named if "poddnat" in name or "pod-dnat" in name]


def assert_nothing_is_left(plane: ControlPlane) -> None:
    left = json.loads(plane.kubectl("get", "pods", "--all-namespaces", "--output=json"))["items"]
    assert len(left) == 4
    marks = [key for pod in left for key in pod["metadata"].get("annotations", {})]
    assert not [key for key in marks if key.endswith(("pod-dnat-status", "pod-dnat-result"))]
    assert not [pod for pod in left if pod["metadata"].get("finalizers")]
    assert installed(plane) == []


@pytest.mark.parametrize("caller", ["stand-in", "metacontroller"])
@pytest.mark.parametrize("by_hand", [False, True], ids=["with-the-program", "by-hand"])
def test_uninstalling_in_the_documented_order_leaves_nothing(
    plane: ControlPlane, tmp_path: Path, caller: str, *, by_hand: bool
) -> None:
    with exposing(plane, tmp_path, caller) as cluster:
        for command in documented(by_hand=by_hand):
            told = carry_out(plane, command)
            if "drain" in command:
                assert "it is safe to uninstall" in told
                assert cluster.entries() == []
            time.sleep(THINKING)
            if "drain" in command:
                assert json.loads(plane.kubectl("get", "poddnats", "-A", "--output=json"))["items"] == []
    assert_nothing_is_left(plane)


@pytest.mark.parametrize("caller", ["stand-in", "metacontroller"])
@pytest.mark.parametrize("backwards", [False, True], ids=["as-applied", "backwards"])
def test_pruning_everything_at_once_after_the_drain_leaves_nothing(
    plane: ControlPlane, tmp_path: Path, caller: str, *, backwards: bool
) -> None:
    with exposing(plane, tmp_path, caller) as cluster:
        drain(cluster)
        prune(cluster, backwards=backwards)
        wait_until(lambda: not installed(plane), 60, "all that was installed to go", interval=0.5)
    assert_nothing_is_left(plane)
