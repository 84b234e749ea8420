"""The thread that suspends the PodDNATs of fixed pods, without a cluster around it."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from metacontroller_standin.waiting import wait_until
from poddnat.controllers import Cluster, LifecycleController
from poddnat.kube import KubeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

Json = dict[str, Any]


def poddnat(name: str) -> Json:
    """Write the PodDNAT of a fixed pod that is there."""
    record = {"owner": "apps/v1 StatefulSet arena uid-of-arena", "pod-uid": f"uid-of-{name}"}
    annotations = {f"poddnat.alibabacloud.com/{key}": value for key, value in record.items()}
    metadata = {"namespace": "default", "name": name, "uid": f"uid-of-dnat-{name}", "annotations": annotations}
    return {"metadata": metadata, "spec": {"internalIP": "172.16.1.7"}}


class Around:
    """What stands around the controller; it notes what the controller does."""

    def __init__(self) -> None:
        self.poddnats = {name: poddnat(name) for name in ("arena-0", "arena-1")}
        self.alive = {"uid-of-arena-0", "uid-of-arena-1"}
        self.active = True
        self.answers = True
        self.suspended: list[str] = []
        self.withdrawn: list[str] = []
        self.shown_away: list[str] = []
        self.on_withdraw: Callable[[str], object] = lambda _name: None

    def pod(self, _namespace: str, name: str) -> Json | None:
        uid = f"uid-of-{name}"
        return {"metadata": {"name": name, "uid": uid}} if uid in self.alive else None

    def withdraw(self, poddnat: Json) -> None:
        self.withdrawn.append(poddnat["metadata"]["name"])
        self.on_withdraw(poddnat["metadata"]["name"])

    def show_away(self, poddnat: Json, pod_uid: str) -> None:
        assert pod_uid == f"uid-of-{poddnat['metadata']['name']}"
        if not self.answers:
            raise KubeError("the API server is away")
        self.shown_away.append(poddnat["metadata"]["name"])

    @contextmanager
    def running(self) -> Iterator[LifecycleController]:
        poddnats = SimpleNamespace(
            has_synced=True,
            all=lambda: list(self.poddnats.values()),
            get=lambda _namespace, name: self.poddnats.get(name),
        )
        pods = SimpleNamespace(has_synced=True, is_alive=lambda uid: uid in self.alive)
        retained = SimpleNamespace(
            suspend=lambda poddnat: self.suspended.append(poddnat["metadata"]["name"]), show_away=self.show_away
        )
        controller = LifecycleController(
            Cluster(*cast("tuple[Any, Any, Any]", (SimpleNamespace(pod=self.pod), poddnats, pods))),
            cast("Any", retained),
            cast("Any", None),
            cast("Any", SimpleNamespace(withdraw=self.withdraw)),
            may_write=lambda: self.active,
        )
        controller.start()
        try:
            yield controller
        finally:
            controller.stop()


def test_odd_poddnat_does_not_keep_others_from_being_suspended() -> None:
    around = Around()
    around.alive.clear()

    def fail(name: str) -> None:
        if name == "arena-0":
            raise ValueError("an odd object")

    around.on_withdraw = fail
    with around.running():
        wait_until(lambda: around.suspended == ["arena-1"], 5, "the other to be suspended")


def test_nothing_is_withdrawn_while_the_process_is_not_the_active_one() -> None:
    around = Around()
    around.active = False
    around.alive.clear()
    with around.running() as controller:
        controller.pod_gone("default", "arena-1", "uid-of-arena-1")
    assert around.withdrawn == around.suspended == []


def test_entries_of_a_pod_that_is_gone_are_withdrawn_at_once() -> None:
    around = Around()
    with around.running() as controller:
        controller.pod_gone("default", "arena-0", "uid-of-its-predecessor")
        assert around.withdrawn == []
        controller.pod_gone("default", "arena-0", "uid-of-arena-0")
        assert around.withdrawn == ["arena-0"]


def test_poddnat_whose_pods_end_was_seen_shows_no_entries_before_it_is_suspended() -> None:
    around = Around()
    with around.running() as controller:
        around.alive.discard("uid-of-arena-0")
        controller.pod_gone("default", "arena-0", "uid-of-arena-0")
        wait_until(lambda: around.suspended, 5, "it to be suspended")
    assert around.shown_away[0] == around.suspended[0] == "arena-0"


def test_api_server_that_is_away_when_a_fixed_pod_goes_keeps_no_entries(caplog: pytest.LogCaptureFixture) -> None:
    around = Around()
    around.answers = False
    with around.running() as controller:
        controller.pod_gone("default", "arena-0", "uid-of-arena-0")
        assert around.withdrawn == ["arena-0"]
        wait_until(lambda: "emptying the status of PodDNAT default/arena-0" in caplog.text, 5, "it to be tried")
    assert around.shown_away == []
