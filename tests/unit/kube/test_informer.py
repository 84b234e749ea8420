"""What an informer does when a watch ends, well or not."""

from __future__ import annotations

import threading
import time
import weakref
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from metacontroller_standin.waiting import wait_until
from poddnat.api import POD_DNAT, Installation
from poddnat.api.annotations import STATUS
from poddnat.kube import KubeClient, KubeError, PodDNATInformer, PodInformer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Json = dict[str, Any]

EU = Installation("eu")


def poddnat(name: str, uid: str) -> Json:
    return {"metadata": {"namespace": "default", "name": name, "uid": uid, "generation": 1}}


class FakeKube(KubeClient):
    """An API server with PodDNATs, whose watches each end as the test says."""

    def __init__(self, *items: Json) -> None:
        self.items = list(items)
        self.lists = 0
        self.watches = 0
        self.failing = False
        self.end_of_watch: Callable[[str], str] = lambda version: version
        self.quiet = threading.Event()
        self.pods: list[Json] = []
        self.listings_that_break_off = 0

    def list_pods(self, on_pod: Callable[[Json], None]) -> str:
        for pod in self.pods:
            on_pod(pod)
            if self.listings_that_break_off:
                self.listings_that_break_off -= 1
                raise KubeError("The provided continue parameter is too old to display a consistent list result.")
        return "1"

    def watch_pods(self, resource_version: str, on_event: Callable[[str, Json], None]) -> str:  # noqa: ARG002
        return self.hang(resource_version)

    def poddnats(self, known: Mapping[str, Json] = MappingProxyType({})) -> tuple[list[Json], str]:  # noqa: ARG002
        self.lists += 1
        if self.failing:
            raise KubeError("the API server is away")
        return list(self.items), "1"

    def watch_poddnats(self, resource_version: str, on_event: Callable[[str, Json], None]) -> str:  # noqa: ARG002
        self.watches += 1
        return self.end_of_watch(resource_version)

    def hang(self, _version: str) -> str:
        """Be a watch that lasts until the test is over."""
        self.quiet.wait(30)
        return ""


@contextmanager
def started(informer: PodDNATInformer | PodInformer, kube: FakeKube) -> Iterator[None]:
    """Run an informer until the test is over, and end its watches then."""
    informer.start()
    try:
        yield
    finally:
        informer.stop()
        kube.quiet.set()


@contextmanager
def informing(kube: FakeKube) -> Iterator[tuple[PodDNATInformer, list[str]]]:
    """Run an informer; gives the names of what its handlers were called with, too."""
    handled: list[str] = []
    informer = PodDNATInformer(
        kube,
        lambda _before, item: handled.append(f"update {item['metadata']['name']}"),
        lambda item: handled.append(f"delete {item['metadata']['name']}"),
    )
    with started(informer, kube):
        yield informer, handled


def test_watch_goes_on_at_once_while_there_is_news() -> None:
    kube = FakeKube()

    def tell_something(version: str) -> str:
        return str(int(version) + 1) if int(version) < 20 else kube.hang(version)

    kube.end_of_watch = tell_something
    with informing(kube):
        wait_until(lambda: kube.watches == 20, 2, "twenty watches in a row")
        assert kube.lists == 1


def test_watch_that_tells_nothing_and_ends_at_once_is_not_repeated_in_a_hot_loop() -> None:
    for end in (lambda version: version, lambda _version: ""):
        kube = FakeKube()
        kube.end_of_watch = end
        with informing(kube):
            wait_until(lambda: kube.watches > 0, 2, "the first watch")  # noqa: B023  # called at once
            time.sleep(0.3)
            assert kube.watches == 1


def test_broken_watch_is_followed_by_a_list_that_shows_what_was_deleted_meanwhile() -> None:
    kube = FakeKube(poddnat("web-1", "uid-1"), poddnat("web-2", "uid-2"))

    def break_off(version: str) -> str:
        if kube.watches > 1:
            return kube.hang(version)
        kube.items.pop()
        raise KubeError("no more answer")

    kube.end_of_watch = break_off
    with informing(kube) as (informer, handled):
        wait_until(lambda: informer.was_deleted("uid-2"), 5, "the deletion to be seen")
        assert informer.all() == [poddnat("web-1", "uid-1")]
        assert handled == ["update web-1", "update web-2", "update web-1", "delete web-2"]


def test_informer_started_again_has_synced_only_after_another_list() -> None:
    kube = FakeKube(poddnat("web-1", "uid-1"))
    kube.end_of_watch = kube.hang
    with informing(kube) as (informer, _):
        wait_until(lambda: informer.has_synced, 5, "the list")
        kube.failing = True
        informer.start()
        assert not informer.has_synced
        kube.failing = False
        wait_until(lambda: informer.has_synced, 5, "the list")
        assert kube.lists >= 2


def pod(name: str, **annotations: str) -> Json:
    return {"metadata": {"namespace": "default", "name": name, "uid": f"uid-{name}", "annotations": annotations}}


@contextmanager
def informing_of_pods(kube: FakeKube) -> Iterator[tuple[PodInformer, list[str]]]:
    gone: list[str] = []
    informer = PodInformer(kube, lambda _namespace, name, _uid: gone.append(name))
    with started(informer, kube):
        yield informer, gone


def test_nothing_is_kept_of_pods_that_ask_for_no_ports() -> None:
    class Pod(dict[str, Any]):
        """A pod of whom it can be known whether somebody keeps it."""

    kube = FakeKube()
    others = [Pod(pod("db-0", **{"checksum/config": "1"})), Pod(pod("db-1"))]
    kept = [weakref.ref(other) for other in others]
    kube.pods = [pod("web-0", **{POD_DNAT: "true", "checksum/config": "1"}), *others]
    with informing_of_pods(kube) as (informer, _):
        wait_until(lambda: informer.has_synced, 5, "the list")
        assert informer.all() == [pod("web-0", **{POD_DNAT: "true"})]
        kube.pods.clear()
        others.clear()
        wait_until(lambda: [ref() for ref in kept] == [None, None], 5, "the others to be forgotten")


def test_list_that_breaks_off_between_pages_begins_anew_and_misses_no_deletion() -> None:
    kube = FakeKube()
    kube.pods = [pod("web-0", **{POD_DNAT: "true"}), pod("web-1", **{POD_DNAT: "true"})]
    with informing_of_pods(kube) as (informer, gone):
        wait_until(lambda: informer.has_synced, 5, "the list")
        del kube.pods[1]
        kube.listings_that_break_off = 1
        informer.start()
        wait_until(lambda: informer.has_synced, 5, "the second list")
        assert (gone, informer.is_alive("uid-web-0")) == (["web-1"], True)


def test_pod_is_told_of_when_it_is_new_or_its_annotations_of_ours_change() -> None:
    told: list[str] = []
    informer = PodInformer(
        FakeKube(), lambda _namespace, _name, _uid: None, on_update=lambda _namespace, name, _uid: told.append(name)
    )
    informer._apply("ADDED", pod("db-0", **{"checksum/config": "1"}))
    informer._apply("ADDED", pod("web-0", **{POD_DNAT: "true"}))
    assert told == ["web-0"]
    informer._apply("MODIFIED", pod("web-0", **{POD_DNAT: "true", "checksum/config": "1"}))
    assert told == ["web-0"]
    informer._apply("MODIFIED", pod("web-0", **{POD_DNAT: "false"}))
    assert told == ["web-0", "web-0"]
    assert (informer.get("uid-web-0"), informer.get("uid-db-0")) == (pod("web-0", **{POD_DNAT: "false"}), None)


def test_every_change_of_a_pod_after_which_a_hook_is_called_is_told() -> None:
    told: list[None] = []
    informer = PodInformer(FakeKube(), lambda _namespace, _name, _uid: None, on_heard=lambda: told.append(None))

    def tells(kind: str, item: Json) -> bool:
        before = len(told)
        informer._apply(kind, item)
        return len(told) > before

    asking, showing = pod("web-0", **{POD_DNAT: "true"}), pod("web-0", **{STATUS: "Ready"})
    assert tells("ADDED", asking)
    assert tells("MODIFIED", asking)
    assert not tells("ADDED", asking), "listed anew"
    assert tells("MODIFIED", showing)
    assert not tells("MODIFIED", pod("web-0"))
    assert not tells("ADDED", pod("db-0"))
    leaving = pod("web-0", **{POD_DNAT: "true"})
    leaving["metadata"]["deletionTimestamp"] = "2026-11-01T00:00:00Z"
    assert not tells("MODIFIED", leaving)


def test_of_other_installations_poddnats_only_the_metadata_is_kept_and_nothing_is_told() -> None:
    kube, told = FakeKube(), list[str]()
    ours, others = poddnat("web", "u1"), poddnat("web-eu", "u2")
    others = {"metadata": {**others["metadata"], "labels": EU.labels}, "status": {"ports": "512->80/tcp"}}
    kube.items, kube.end_of_watch = [ours, others], kube.hang
    informer = PodDNATInformer(
        kube,
        on_update=lambda _before, item: told.append(item["metadata"]["name"]),
        on_delete=lambda item: told.append(f"{item['metadata']['name']} gone"),
    )
    with started(informer, kube):
        assert (informer.all(), told) == ([ours], ["web"])
        assert informer.get("default", "web-eu") is None
        assert informer.of_another("default", "web-eu") == {"metadata": others["metadata"]}
        assert [informer.is_alive(uid) for uid in ("u1", "u2")] == [True, True]
        assert [informer.is_of_another(uid) for uid in ("u1", "u2")] == [False, True]
        kube.items = [ours]
        informer.start()
        wait_until(lambda: not informer.is_alive("u2"), 5, "it to be gone")
        assert informer.of_another("default", "web-eu") is None
        assert told.count("web-eu gone") == 0


def test_pod_of_another_installation_asks_for_nothing() -> None:
    kube, told = FakeKube(), list[str]()
    informer = PodInformer(kube, on_delete=lambda *_: None, on_opt_out=lambda _namespace, name, _uid: told.append(name))
    kube.pods = [pod("mine", **{POD_DNAT: "true"}), pod("theirs", **{POD_DNAT: "true"})]
    kube.pods[1]["metadata"]["labels"] = EU.labels
    with started(informer, kube):
        wait_until(lambda: informer.has_synced, 5, "the pods to be listed")
        assert [one["metadata"]["name"] for one in informer.all()] == ["mine"]
        kube.pods[0] = {"metadata": {**kube.pods[0]["metadata"], "labels": EU.labels}}
        informer.start()
        wait_until(lambda: informer.has_synced, 5, "the pods to be listed")
        assert told == ["mine"]
        assert informer.has_opted_out(kube.pods[0]["metadata"]["uid"])
