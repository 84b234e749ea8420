"""Draining: everything goes, nothing comes again, and people are told when it is safe to go on."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml
from typer.testing import CliRunner

from metacontroller_standin.kubeconfig import kubeconfig
from poddnat.api import UNNAMED, Installation
from poddnat.cli.commands import app
from poddnat.cli.draining import Drain, why_left
from poddnat.cli.intervals import DRAIN_SURE_AFTER
from tests.unit.hooks.test_cluster import pod_report
from tests.unit.hooks.test_fixed import FIXED_80, expose
from tests.unit.hooks.world import RESULT, STATUS, World, cluster, restarted, running
from vpc_emulator.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Json = dict[str, Any]


OURS = {"annotations": dict([UNNAMED.attached_by])}


def poddnat(name: str, **metadata: Any) -> Json:
    return {"metadata": {"namespace": "default", "name": name, "uid": f"uid-of-{name}", **OURS, **metadata}, "spec": {}}


class FakeCluster:
    """A cluster that lets go of each PodDNAT as soon as it is deleted; `comes_again` are made anew once each."""

    def __init__(self, *poddnats: Json, comes_again: tuple[Json, ...] = (), stuck: bool = False) -> None:
        self.there = list(poddnats)
        self.comes_again = list(comes_again)
        self.stuck = stuck
        self.drained: list[str] = []
        self.stopped = 0

    def poddnats(self) -> tuple[list[Json], str]:
        return list(self.there), "1"

    def stop_giving_ports(self, _installation: Any) -> bool:
        self.stopped += 1
        return True

    def delete_poddnat(self, _namespace: str, name: str, _uid: str) -> None:
        self.drained.append(name)
        poddnat = next(one for one in self.there if one["metadata"]["name"] == name)
        if self.stuck:
            poddnat["metadata"]["deletionTimestamp"] = "2026-11-01T00:00:00Z"
            return
        self.there.remove(poddnat)
        if self.comes_again:
            self.there.append(self.comes_again.pop())


def drained(
    fake: FakeCluster, timeout: float = 60, installation: Installation = UNNAMED
) -> tuple[list[Json], list[int], float]:
    """Drain; return what is left, how many were shown at each look, and how long it took."""
    clock, shown = ManualClock(), list[int]()
    draining = Drain(cast("Any", fake), installation, clock=clock, sleep=clock.advance)
    left = draining.run(timeout, lambda left: shown.append(len(left)))
    return left, shown, clock()


def test_what_is_made_anew_is_deleted_too_and_nothing_is_believed_gone_at_once() -> None:
    fake = FakeCluster(poddnat("arena-0"), poddnat("web"), comes_again=(poddnat("arena-0"),))
    left, shown, seconds = drained(fake)
    assert left == []
    assert shown[:3] == [2, 1, 0]
    assert sorted(fake.drained) == ["arena-0", "arena-0", "web"]
    assert seconds >= DRAIN_SURE_AFTER
    assert fake.stopped == len(shown)  # A repository that is synced meanwhile may bring the controller back.


def test_objects_of_acks_own_controller_are_left_alone() -> None:
    fake = FakeCluster(poddnat("ack", annotations={}))
    assert drained(fake)[0] == []
    assert fake.drained == []


def test_one_installation_is_drained_and_what_is_of_others_stays() -> None:
    eu = Installation("eu")
    of_eu = {"annotations": dict([eu.attached_by]), "labels": eu.labels}
    fake = FakeCluster(poddnat("web"), poddnat("web-eu", **of_eu))
    assert drained(fake, installation=eu)[0] == []
    assert fake.drained == ["web-eu"]
    assert drained(fake)[0] == []
    assert fake.drained == ["web-eu", "web"]


def test_pods_of_others_go_on_showing_what_they_have(tmp_path: Path) -> None:
    with draining(tmp_path) as (world, command):
        done = CliRunner().invoke(app, [*command, "--yes", "--installation", "eu"])
        assert done.exit_code == 0, done.output
        assert "No PodDNAT of the installation eu is left, and 0 pods" in done.output.replace("\n", " ")
        assert world.poddnat("arena-0") is not None
        assert {STATUS, RESULT} <= set(pod_report(world, "arena-0"))


def test_what_does_not_go_is_told_with_the_servers_reason() -> None:
    stuck = poddnat("web")
    condition = {"type": "Ready", "status": "False", "reason": "AccessDenied", "message": "an operator has to act."}
    stuck["status"] = {"conditions": [condition]}
    left, _, _ = drained(FakeCluster(stuck, stuck=True), timeout=10)
    assert why_left(left) == (
        "1 PodDNAT is left (default/web); of it the server says AccessDenied: an operator has to act."
    )
    assert "is the server running, and Metacontroller?" in why_left([poddnat("web")])


@contextmanager
def draining(tmp_path: Path) -> Iterator[tuple[World, list[str]]]:
    """Expose a fixed pod; give the world, and the command that drains it.

    Metacontroller's stand-in doesn't notice that a controller is deleted: it is told so beforehand.
    """
    with running() as exposing:
        with cluster(exposing):
            expose(exposing, FIXED_80)
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(kubeconfig(exposing.memory.url)))
        with restarted(exposing) as world, cluster(world, deleted="pod-dnat"):
            yield world, ["drain", "--kubeconfig", str(path)]


@pytest.mark.parametrize(
    ("options", "exit_code", "says"),
    [
        ([], 1, {"safe": False, "why": "nothing was changed", "left": ["default/arena-0"], "podsCleared": 0}),
        (["--yes"], 0, {"safe": True, "why": "", "left": [], "podsCleared": 1}),
    ],
)
def test_programs_are_told_whether_it_is_safe_to_uninstall(
    options: list[str], exit_code: int, says: Json, tmp_path: Path
) -> None:
    with draining(tmp_path) as (_, command):
        done = CliRunner().invoke(app, [*command, "-o", "json", *options])
        assert json.loads(done.stdout) == says
        assert done.exit_code == exit_code


def test_fixed_pods_ports_go_for_good_while_the_pods_live(tmp_path: Path) -> None:
    with draining(tmp_path) as (world, command):
        asked = CliRunner().invoke(app, command)
        assert (asked.exit_code, world.poddnat("arena-0") is None) == (1, False)
        done = CliRunner().invoke(app, [*command, "--yes"])
        assert done.exit_code == 0, done.output
        assert "No PodDNAT is left" in done.output
        assert "it is safe to uninstall" in done.output
        assert world.poddnat("arena-0") is None
        assert world.entries() == []
        assert not {STATUS, RESULT} & set(pod_report(world, "arena-0"))
