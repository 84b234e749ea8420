"""What is made of an API server's answers that don't arrive whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from metacontroller_standin.api import Api
from metacontroller_standin.memory_api import MemoryApi
from poddnat.kube import KubeClient, KubeError, NotServedError, connect_to
from tests.unit.odd_server import OddServer, odd_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIST = {"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "web-1"}}]}


@pytest.fixture
def server() -> Iterator[OddServer]:
    """An API server that knows one list."""
    with odd_server() as server:
        server.body = json.dumps(LIST).encode()
        yield server


@pytest.fixture
def kube(server: OddServer) -> KubeClient:
    """A client of that API server."""
    return KubeClient(connect_to(server.url))


def listed_pods(kube: KubeClient) -> tuple[list[object], str]:
    pods: list[object] = []
    version = kube.list_pods(pods.append)
    return pods, version


READS = {
    "PodDNATs": KubeClient.poddnats,
    "pods": listed_pods,
    "pod": lambda kube: kube.pod("default", "web-1"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_answer_that_breaks_off_is_no_answer(
    server: OddServer, kube: KubeClient, read: Callable[[KubeClient], object]
) -> None:
    server.lost = 5
    with pytest.raises(KubeError):
        read(kube)


@pytest.mark.parametrize("read", [KubeClient.poddnats, listed_pods], ids=["PodDNATs", "pods"])
def test_list_tells_what_there_is_and_where_to_watch_from(
    kube: KubeClient, read: Callable[[KubeClient], object]
) -> None:
    assert read(kube) == (LIST["items"], "7")


@pytest.mark.parametrize("read", [KubeClient.poddnats, lambda kube: kube.poddnat("a", "b")], ids=["list", "get"])
def test_path_that_is_not_served_is_told_as_the_missing_crd(
    server: OddServer, read: Callable[[KubeClient], object]
) -> None:
    server.status, server.body = 404, b"404 page not found\n"
    with pytest.raises(NotServedError, match=r"^the CRD poddnats\.alibabacloud\.com is not installed; apply"):
        read(KubeClient(connect_to(server.url)))


def test_pods_of_a_page_are_handed_on_before_the_next_page_is_asked_for(server: OddServer, kube: KubeClient) -> None:
    first = {"metadata": {"continue": "more"}, "items": [{"metadata": {"name": "web-0"}}]}
    server.first = [json.dumps(first).encode()]
    handed_on: list[tuple[str, int]] = []
    kube.list_pods(lambda pod: handed_on.append((pod["metadata"]["name"], server.asked)))
    assert handed_on == [("web-0", 1), ("web-1", 2)]


def test_poddnat_that_has_not_changed_is_given_as_it_is_known_already(server: OddServer, kube: KubeClient) -> None:
    served = [{"metadata": {"name": f"web-{n}", "uid": f"uid-{n}", "resourceVersion": "5"}} for n in range(2)]
    server.body = json.dumps({"metadata": {"resourceVersion": "7"}, "items": served}).encode()
    (first, second), _ = kube.poddnats()
    second["metadata"]["resourceVersion"] = "4"
    (again, changed), _ = kube.poddnats({"uid-0": first, "uid-1": second})
    assert again is first
    assert changed == served[1]
    assert changed is not second


def test_uids_of_all_poddnats_are_listed(server: OddServer, kube: KubeClient) -> None:
    items = [{"metadata": {"name": f"web-{n}", "uid": f"uid-{n}"}} for n in range(2)]
    server.body = json.dumps({"metadata": {"resourceVersion": "7"}, "items": items}).encode()
    assert kube.poddnat_uids() == {"uid-0", "uid-1"}


def test_pods_are_the_same_whether_listed_or_watched(server: OddServer, kube: KubeClient) -> None:
    metadata = {"name": "web-1", "resourceVersion": "8", "labels": None, "managedFields": [{"manager": "kubelet"}]}
    server.body = json.dumps({"metadata": {"resourceVersion": "7"}, "items": [{"metadata": metadata}]}).encode()
    listed, _ = listed_pods(kube)
    event = {"type": "ADDED", "object": {"metadata": metadata}}
    server.body = json.dumps(event).encode() + b"\n"
    watched: list[tuple[str, object]] = []
    assert kube.watch_pods("7", lambda kind, pod: watched.append((kind, pod))) == "8"
    assert watched == [("ADDED", listed[0])] == [("ADDED", {"metadata": {"name": "web-1", "resourceVersion": "8"}})]


@pytest.mark.parametrize("line", [b"\n", b"<html>Bad Gateway</html>\n"], ids=["empty", "HTML"])
def test_line_that_is_no_event_ends_the_watch(server: OddServer, kube: KubeClient, line: bytes) -> None:
    server.body = line
    with pytest.raises(KubeError, match="a line that is no JSON"):
        kube.watch_poddnats("7", lambda _kind, _poddnat: None)


def test_what_concerns_no_object_is_told_on_the_lease_once() -> None:
    with MemoryApi() as memory, Api(memory.url) as api:
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "poddnat", "namespace": "here"},
        }
        made = api.create(api.resource("coordination.k8s.io/v1", "leases"), lease)
        kube = KubeClient(connect_to(memory.url))
        for name in ("poddnat", "poddnat", "another"):
            kube.warn_on_lease("here", name, "ManyOrphans", "Many are gone.")
        (event,) = api.list(api.resource("v1", "events"))["items"]
    assert event["involvedObject"]["kind"] == "Lease"
    assert event["involvedObject"]["uid"] == made["metadata"]["uid"]
    assert (event["metadata"]["namespace"], event["reason"]) == ("here", "ManyOrphans")
