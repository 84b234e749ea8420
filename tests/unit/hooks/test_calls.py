"""What one pod costs: calls of hooks, and Metacontroller's requests to the API server, of which it may make few."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from metacontroller_standin.waiting import wait_until
from poddnat.placement import intervals
from tests.unit.hooks.world import EXPOSE_80, STATUS, Cluster, World, cluster, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster in which nothing is hurried."""
    monkeypatch.setattr(intervals, "LONGEST_WAIT", 20.0)
    monkeypatch.setattr("poddnat.controllers.reminder.REMIND_AFTER", 60.0)
    with running(haste=1) as world, cluster(world, patient=True) as real:
        yield real


def answers(cluster: Cluster) -> Counter[tuple[str, int]]:
    """Count the hooks' answers so far, by path and HTTP status."""
    counted: Counter[tuple[str, int]] = Counter()
    for (url, status), calls in cluster.standin.counts().hook_answers.items():
        counted[urlsplit(url).path, status] += calls
    return counted


def requests(cluster: Cluster) -> Counter[tuple[str, str]]:
    """Count Metacontroller's requests so far, by verb and kind, but for those that begin to watch."""
    counted = cluster.standin.counts().requests
    return Counter({key: count for key, count in counted.items() if key[0] not in {"list", "watch"}})


def is_ready(world: World) -> bool:
    pod = world.api.get(world.api.resource("v1", "pods"), "web-1", "default")
    return (pod["metadata"].get("annotations") or {}).get(STATUS) == "Ready"


def make_ready(cluster: Cluster) -> None:
    """Create a pod, and wait until all is done for it."""
    cluster.world.make_pod(EXPOSE_80, ip="")
    wait_until(lambda: is_ready(cluster.world), 20, "the pod to be Ready")
    cluster.standin.wait_idle()


def test_pod_is_ready_by_six_calls_of_hooks_only_one_of_which_is_for_its_poddnat(real: Cluster) -> None:
    make_ready(real)
    # Without an IP, with one, with a PodDNAT, with one that is Ready, with its annotations; two may come at once.
    assert answers(real)["/pod/sync", 200] <= 5
    # The entry is asked for; that it works, the server tells by itself.
    assert answers(real)["/poddnat/sync", 429] == 1
    assert answers(real)["/poddnat/sync", 200] == 0
    assert answers(real).total() <= 6


def test_pod_is_ready_by_two_writes_of_metacontroller_and_one_of_the_server(real: Cluster) -> None:
    make_ready(real)
    assert requests(real) == {("create", "PodDNAT"): 1, ("update", "Pod"): 1}


def test_poddnat_goes_by_three_calls_of_its_hook_and_two_writes(real: Cluster) -> None:
    make_ready(real)
    answers_before, requests_before = answers(real), requests(real)
    real.world.api.delete(real.world.api.resource("v1", "pods"), "web-1", "default")
    wait_until(lambda: real.world.poddnat() is None, 20, "the PodDNAT to go")
    real.standin.wait_idle()
    given = answers(real) - answers_before
    # Its status shows no entries any more; the entries are being deleted; they have gone.
    assert given["/poddnat/finalize", 200] + given["/poddnat/finalize", 429] <= 3
    written = {key: count for key, count in (requests(real) - requests_before).items() if key[0] != "get"}
    assert written == {("update_status", "PodDNAT"): 1, ("update", "PodDNAT"): 1}
