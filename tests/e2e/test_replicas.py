"""Two replicas: whichever goes, nothing is lost or doubled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from metacontroller_standin.api import name_of
from metacontroller_standin.waiting import wait_until
from tests.e2e.conftest import runner_of
from tests.e2e.replicas import LEASE_SECONDS
from tests.e2e.site import Load, Site, two_replicas
from tests.e2e.world import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.controlplane import ControlPlane

# Two replicas, a control plane and a load of pods take their time on a busy machine.
pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", params=["stand-in", "metacontroller"])
def site(
    request: pytest.FixtureRequest, installed: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    runner = runner_of(request.param, installed)
    with two_replicas(installed, runner, tmp_path_factory.mktemp("replicas")) as site:
        yield site


@pytest.fixture
def replicas(site: Site, namespace: str) -> Iterator[Site]:
    """The site, with both replicas running and no pods of users; and so again afterwards."""
    site.namespace = namespace
    yield site
    for pod in site.api.list(site.pods, site.namespace)["items"]:
        site.delete(name_of(pod))
    wait_until(lambda: site.all_told() and not site.dnats(), 90, "everything to go")
    site.wait_complete()


def test_rolling_update_completes_and_loses_no_sync(replicas: Site) -> None:
    before = set(replicas.node.containers)
    with Load(replicas):
        replicas.kubectl("rollout", "restart", "deployment/poddnat")
        replicas.kubectl("rollout", "status", "deployment/poddnat", "--timeout=90s")
    wait_until(lambda: len(replicas.node.containers) == 2, 60, "the old replicas to end")
    assert not before & set(replicas.node.containers)
    assert {name: replicas.node.exit_codes[name] for name in before} == dict.fromkeys(before, 0)
    wait_until(replicas.all_told, 60, "all pods to be exposed")
    assert replicas.sync_errors() == []


def test_replica_told_to_stop_hands_over_at_once(replicas: Site) -> None:
    first = replicas.active()
    replicas.api.delete(replicas.pods, first, SYSTEM)
    seconds = replicas.wait_active(but=first)
    assert seconds < LEASE_SECONDS  # nobody has had to wait for the lease to run out
    replicas.create("web")
    wait_until(replicas.all_told, 60, "the pod to be exposed")
    print(f"told to stop: another replica was active after {seconds:.1f} s")  # noqa: T201


def test_replica_killed_under_load_is_replaced_within_the_leases_time(replicas: Site) -> None:
    first = replicas.active()
    with Load(replicas):
        replicas.node.lose(first)
        seconds = replicas.wait_active(but=first)
    assert seconds < 2 * LEASE_SECONDS
    wait_until(replicas.all_told, 90, "all pods to be exposed")
    replicas.node.forget(first)
    print(f"killed: another replica was active after {seconds:.1f} s")  # noqa: T201
