"""Fixtures for tests on a real API server; such tests are marked `controlplane`."""

from __future__ import annotations

import ipaddress
import itertools
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from metacontroller_standin.api import name_of
from metacontroller_standin.kubelet import Kubelet
from tests.e2e import world
from tests.e2e.controlplane import ControlPlane
from tests.e2e.rights import RIGHTS, needed
from tests.e2e.runners import MetacontrollerRunner, Runner, StandInRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.world import Cluster

ASSETS = pytest.StashKey[Path]()
REPORTED = pytest.StashKey[bool]()
BUILD = Path(__file__).parents[1] / "controlplane" / "build"

_running: list[ControlPlane] = []


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the control plane before the first test: when it is not in the cache, that takes minutes."""
    needed = any(item.get_closest_marker("controlplane") for item in session.items)
    if not needed or session.config.option.collectonly:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        done = subprocess.run([str(BUILD)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        pytest.exit("there is no control plane to test on; see above", returncode=1)
    session.config.stash[ASSETS] = Path(done.stdout.strip())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the ends of the control plane's logs with a test that failed on it."""
    report = yield
    if report is not None and report.failed and item.get_closest_marker("controlplane"):
        report.sections += [("control plane", controlplane.logs()) for controlplane in _running]
    return report


@pytest.fixture(scope="session")
def controlplane(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane for the whole run; its logs stay in pytest's temporary folder."""
    started = ControlPlane(pytestconfig.stash[ASSETS], tmp_path_factory.mktemp("controlplane"))
    started.start()
    _running.append(started)
    yield started
    _running.remove(started)
    started.stop()
    # Whatever the tests did, the server asked for nothing that the shipped roles don't grant. An API server that has
    # just started may refuse for a moment what they do grant.
    refused = [request for request in started.audit_log.of_server() if request.forbidden]
    assert needed(refused) <= set(RIGHTS)


@pytest.fixture
def namespace(controlplane: ControlPlane) -> Iterator[str]:
    """A namespace of the test's own, emptied afterwards."""
    namespaces = controlplane.api.resource("v1", "namespaces")
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "test-"}}
    name = name_of(controlplane.api.create(namespaces, made))
    yield name
    controlplane.clear_namespace(name)


@pytest.fixture
def pod_addresses() -> Iterator[str]:
    """The addresses that pods get, in order; override it for others."""
    first = ipaddress.ip_address("172.16.1.1")
    return (str(first + number) for number in itertools.count())


@pytest.fixture
def kubelet(controlplane: ControlPlane, namespace: str, pod_addresses: Iterator[str]) -> Iterator[Kubelet]:
    """Pods run and end as if there were a node."""
    assert namespace  # cleared only after the kubelet has gone
    with controlplane.client_of("kubelet") as api, Kubelet(api, pod_addresses, node="node-1") as running:
        yield running


def runner_of(name: str, controlplane: ControlPlane) -> Runner:
    """Make what calls hooks: the stand-in, or Metacontroller itself where it is on PATH."""
    if name == "stand-in":
        return StandInRunner(controlplane)
    program = shutil.which("metacontroller")
    if program is None:
        pytest.skip("metacontroller is not on PATH")
    return MetacontrollerRunner(controlplane, program)


@pytest.fixture(params=["stand-in", "metacontroller"])
def metacontroller(request: pytest.FixtureRequest, controlplane: ControlPlane, namespace: str) -> Iterator[Runner]:
    """What calls hooks."""
    assert namespace  # cleared only after nobody writes there any more
    runner = runner_of(request.param, controlplane)
    yield runner
    runner.stop()


@pytest.fixture(scope="session")
def printed(controlplane: ControlPlane) -> str:
    """What `kubectl apply` printed when the project was installed."""
    return world.install(controlplane)


@pytest.fixture(scope="session")
def installed(controlplane: ControlPlane, printed: str) -> ControlPlane:
    """The control plane with the project installed."""
    assert printed
    return controlplane


@pytest.fixture
def cluster(
    installed: ControlPlane, metacontroller: Runner, namespace: str, kubelet: Kubelet, tmp_path: Path
) -> Iterator[Cluster]:
    """A namespace in which pods are exposed, by Metacontroller and by its stand-in."""
    assert kubelet
    with world.running(installed, metacontroller, namespace, tmp_path) as cluster:
        yield cluster
