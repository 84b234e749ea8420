"""The program itself, whose values file changes while it runs."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

import yaml

from metacontroller_standin.waiting import wait_until
from tests.faults.test_sigkill import serving
from tests.unit.hooks.world import EXPOSE_80, World, running, values

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.program import Program


def says(program: Program, path: str, line: str) -> bool:
    """Whether an answer of the program's has a line."""
    with urllib.request.urlopen(f"{program.url}{path}", timeout=5) as response:
        return line in response.read().decode().splitlines()


def write(program: Program, world: World, **entry: int) -> None:
    """Write the file with something else in the pool's entry."""
    url = world.values.endpoints.vpc
    assert url is not None
    program.values_file.write_text(yaml.safe_dump(values(url, entry=entry)), encoding="utf-8")


def test_running_program_bears_a_mistake_in_its_values_and_takes_over_what_is_right(tmp_path: Path) -> None:
    with running(started=False) as world, serving(world, tmp_path) as program:
        write(program, world, portRangeEnd=1)
        wait_until(lambda: says(program, "/metrics", "poddnat_values_valid 0.0"), 20, "the mistake to be noticed")
        assert says(program, "/readyz", "ok")
        write(program, world, portRangeStart=700, portRangeEnd=800)
        wait_until(lambda: says(program, "/metrics", "poddnat_values_valid 1.0"), 20, "the values to be taken over")
        world.make_pod(EXPOSE_80, ip="")
        wait_until(world.entries, 20, "the pod to get its port")
        assert [entry.external_port for entry in world.entries()] == ["700"]
