"""Two replicas: whichever goes, nothing is lost or doubled."""

from __future__ import annotations

import signal
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from metacontroller_standin.api import ApiError, name_of
from metacontroller_standin.waiting import wait_until
from tests.e2e.conftest import runner_of
from tests.e2e.replicas import LEASE_SECONDS
from tests.e2e.site import AT_ONCE, Load, Site, two_replicas
from vpc_emulator import Fault

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
    site.remove_nodes()
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


def test_pod_of_a_drained_node_goes_with_its_entries(replicas: Site) -> None:
    replicas.create("web")
    wait_until(replicas.all_told, 60, "the pod to be exposed")
    replicas.add_node("node-2")
    replicas.kubectl("drain", "node-2", "--force", "--timeout=30s")  # forced, as nobody makes another one
    wait_until(lambda: not replicas.dnats(), 30, "the PodDNAT to go")
    assert replicas.all_told()


def test_evicted_replica_hands_over_at_once_and_the_other_is_not_evicted_meanwhile(replicas: Site) -> None:
    first = replicas.active()
    (second,) = set(replicas.node.containers) - {first}
    replicas.evict(first)
    with pytest.raises(ApiError, match="disruption budget"):
        replicas.evict(second)
    seconds = replicas.wait_active(but=first)
    assert seconds < LEASE_SECONDS  # nobody has had to wait for the lease to run out
    replicas.create("web")
    wait_until(replicas.all_told, 60, "the pod to be exposed")
    print(f"told to stop: another replica was active after {seconds:.1f} s")  # noqa: T201


def is_evicted(replicas: Site, name: str) -> bool:
    """Evict a pod; False: its disruption budget does not allow that yet."""
    try:
        replicas.evict(name)
    except ApiError as error:
        if error.code != HTTPStatus.TOO_MANY_REQUESTS:
            raise
        return False
    return True


def test_replica_that_is_not_ready_may_be_evicted_whatever_the_disruption_budget(replicas: Site) -> None:
    (second,) = set(replicas.node.containers) - {replicas.active()}
    process = replicas.node.containers[second].program.process
    process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: not replicas.node.containers[second].ready, 20, "the kubelet to notice")
        wait_until(lambda: is_evicted(replicas, second), 20, "the disruption controller to notice", interval=0.2)
    finally:
        process.send_signal(signal.SIGCONT)
    wait_until(lambda: second not in replicas.node.containers, 30, "it to end")


def test_replica_killed_under_load_is_replaced_within_the_leases_time(replicas: Site) -> None:
    first = replicas.active()
    with Load(replicas):
        replicas.node.lose(first)
        seconds = replicas.wait_active(but=first)
    assert seconds < 2 * LEASE_SECONDS
    wait_until(replicas.all_told, 90, "all pods to be exposed")
    replicas.node.forget(first)
    print(f"killed: another replica was active after {seconds:.1f} s")  # noqa: T201


def test_replica_that_was_asleep_under_load_gives_way_to_the_one_that_took_over(replicas: Site) -> None:
    first = replicas.active()
    process = replicas.node.containers[first].program.process
    with Load(replicas):
        process.send_signal(signal.SIGSTOP)
        seconds = replicas.wait_active(but=first)
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: process.poll() is not None, 30, "the one that was asleep to end")
    assert process.returncode == 1
    assert replicas.active() not in {"", first}
    wait_until(replicas.all_told, 90, "all pods to be exposed")
    print(f"asleep: another replica was active after {seconds:.1f} s")  # noqa: T201


def test_replica_cut_off_from_the_api_server_under_load_stops_before_another_takes_over(replicas: Site) -> None:
    first = replicas.active()
    wire = replicas.node.containers[first].to_api_server
    with Load(replicas):
        before = replicas.losses(first)
        wire.cut()
        seconds = replicas.wait_active(but=first)
        second = replicas.active()
        wait_until(lambda: len(replicas.losses(first)) > len(before), 30, "the loss to be told")
        wire.mend()
    assert replicas.losses(first)[-1] < replicas.node.told(second, "active: ")[-1]
    wait_until(replicas.all_told, 90, "all pods to be exposed")
    print(f"cut off: another replica was active after {seconds:.1f} s")  # noqa: T201


def test_api_server_away_for_longer_than_the_lease_costs_nothing_that_lasts(replicas: Site) -> None:
    for number in range(AT_ONCE):
        replicas.create(f"web-{number}")
    wait_until(replicas.all_told, 60, "the pods to be exposed")
    first, writes = replicas.active(), replicas.cloud_writes()
    before = replicas.losses(first)
    replicas.controlplane.freeze_api_server()
    wait_until(lambda: len(replicas.losses(first)) > len(before), 30, "the lease to be lost")
    replicas.controlplane.restart_api_server()
    assert replicas.cloud_writes() == writes
    back = time.monotonic()
    replicas.wait_active()
    replicas.delete("web-0")
    replicas.create("web")
    wait_until(replicas.all_told, 60, "the new pod to be exposed")
    print(f"API server away: a new pod was exposed {time.monotonic() - back:.1f} s after it was back")  # noqa: T201


def test_pods_can_be_deleted_while_the_cloud_is_away_and_their_entries_go_when_it_is_back(replicas: Site) -> None:
    replicas.create("web")
    wait_until(replicas.all_told, 60, "the pod to be exposed")
    replicas.emulator.add_fault(Fault("error", code="ServiceUnavailable", times=None))
    replicas.kubectl("delete", "pod", "web", f"--namespace={replicas.namespace}", "--timeout=10s")
    assert replicas.dnats()
    replicas.emulator.clear_faults()
    wait_until(lambda: not replicas.dnats(), 60, "the PodDNAT to go")
    assert replicas.all_told()
