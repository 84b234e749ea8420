"""The cloud, the API server, or the way to the hooks is away: nothing is lost, nobody is kept waiting for longer."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from poddnat.controllers.intervals import CUT_OFF_TRY
from tests.faults.cloud import POD_IPS
from tests.faults.steps import heal
from tests.faults.world import REFRESH, running
from vpc_emulator import Fault

if TYPE_CHECKING:
    from tests.faults.world import World

HOUR = 3600.0
SOON = 60.0


def remembered(world: World) -> int:
    """Count what the gateways' drivers have to do, or keep in mind."""
    (process,) = world.processes
    states = [gateway._reconciler._state for gateway in process.service.fleet.gateways()]
    return sum(len(s.desired) + len(s._watching) + len(s.queue) + s.concurrency.unsettled for s in states)


def come_and_go(world: World, minutes: int) -> list[int]:
    """Let a pod go and another one come each minute; return what is remembered after each."""
    found = []
    for minute, ip in zip(range(minutes), itertools.cycle(POD_IPS), strict=False):
        world.add_pod(f"pod-{minute}", ip)
        world.pass_time(SOON)
        found.append(remembered(world))
        assert f"pod-{minute - len(POD_IPS)}" not in world.cluster.pods  # Pods are deleted whatever is away.
    return found


def test_cloud_away_for_an_hour_costs_nothing_that_lasts() -> None:
    with running() as world:
        for number, ip in enumerate(POD_IPS):
            world.add_pod(f"pod-{number}", ip)
        world.settles(100.0)
        before = {entry.id for entry in world.entries()}
        world.emulator.add_fault(Fault("error", code="ServiceUnavailable", times=None))
        world.pass_time(HOUR)
        assert {entry.id for entry in world.entries()} == before
        heal(world)
        world.settles(2 * REFRESH)
        assert {entry.id for entry in world.entries()} == before


def test_pods_come_and_go_while_the_cloud_is_away_and_memory_stays_flat() -> None:
    with running() as world:
        come_and_go(world, 2 * len(POD_IPS))
        world.emulator.add_fault(Fault("error", code="ServiceUnavailable", times=None))
        counts = come_and_go(world, 60)
        # Each PodDNAT that waits to be finalized is remembered, and in a cluster they go on waiting: nothing else is.
        assert max(counts) <= 3 * (len(world.cluster.dnats) + 2)
        heal(world)
        world.settles(2 * REFRESH)
        world.pass_time(SOON)
        assert remembered(world) == 0


def test_api_server_away_for_a_minute_changes_nothing_and_all_goes_on_when_it_is_back() -> None:
    with running() as world:
        for number, ip in enumerate(POD_IPS[:3]):
            world.add_pod(f"pod-{number}", ip)
        world.settles(100.0)
        world.cluster.set_away(away=True)
        writes = world.writes()
        world.pass_time(SOON)
        assert world.writes() == writes
        world.cluster.set_away(away=False)
        world.delete_pod("pod-0")
        world.add_pod("pod-3", POD_IPS[0])
        world.settles(SOON)


@pytest.mark.parametrize("seconds", [25.0, 40.0, 79.0, 129.0, 600.0])
def test_pods_replaced_while_the_way_to_the_hooks_was_barred_are_ready_soon_after(seconds: float) -> None:
    with running() as world:
        for number, ip in enumerate(POD_IPS[:3]):
            world.add_pod(f"pod-{number}", ip)
        world.settles(100.0)
        world.pass_time(SOON)
        world.metacontroller.barred = True
        for number, ip in enumerate(POD_IPS[:3]):
            world.pass_time(3.0)
            world.delete_pod(f"pod-{number}")
            world.add_pod(f"new-{number}", ip)
        writes = world.cluster.writes.total()
        world.pass_time(seconds)
        assert world.cluster.writes.total() - writes <= seconds / CUT_OFF_TRY + 1
        world.metacontroller.barred = False
        world.settles(CUT_OFF_TRY + 10.0)
        world.stays_quiet(2 * REFRESH)
