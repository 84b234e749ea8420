"""The program itself, killed in the middle of its work: real processes, real threads, real time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import yaml

from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.manifests import point_at
from metacontroller_standin.standin import StandIn
from metacontroller_standin.waiting import wait_until
from poddnat.files import MANIFESTS
from tests.faults.program import Program
from tests.unit.hooks.world import EXPOSE_80, World, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PODS = tuple((f"web-{number}", f"172.16.1.{number}") for number in range(1, 5))


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
