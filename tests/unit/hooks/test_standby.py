"""A replica that stands by: it sees everything, answers no hook, and writes nothing until it is its turn."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from hooks.app import create_app
from metacontroller_standin.waiting import wait_until
from poddnat.cloud import CloudClient
from poddnat.kube import KubeClient, connect_to
from poddnat.service import Service
from tests.unit.hooks.world import EXPOSE_80, PORTS, World, answer, refreshing, running

if TYPE_CHECKING:
    from collections.abc import Iterator


class Standby:
    """A second service beside that of a world; `active` makes it its turn."""

    def __init__(self, world: World) -> None:
        self.active = False
        self._connection = connect_to(world.memory.url)
        self.service = Service(
            world.values,
            KubeClient(self._connection),
            CloudClient(world.values),
            may_write=lambda: self.active,
            clock=lambda: time.monotonic() * 20,
        )
        client = create_app(self.service, active=lambda: "poddnat-0").test_client()
        self.world = replace(world, service=self.service, client=client)

    def take_over(self) -> None:
        self.service.take_over()
        self.active = True
        wait_until(lambda: self.service.ready, 10, "the standby to have taken over")

    def stop(self) -> None:
        self.service.stop()
        self._connection.close()  # type: ignore[no-untyped-call]

    def shown(self, path: str) -> tuple[int, str]:
        response = self.world.client.get(path)
        return response.status_code, response.text.strip()

    def loaded(self) -> bool:
        return all(gateway.loaded for gateway in self.service.fleet.gateways())

    def looks(self) -> int:
        return self.world.emulator.calls.count("DescribeForwardTableEntries")


@contextmanager
def standing_by(world: World, *, refresh_interval: float | None = None) -> Iterator[Standby]:
    with refreshing(refresh_interval):
        standby = Standby(world)
        standby.service.start()
        try:
            wait_until(lambda: standby.service.warm and standby.loaded(), 10, "the standby to be warm")
            yield standby
        finally:
            standby.stop()


def test_standby_is_not_ready_and_names_who_is_active(world: World) -> None:
    with standing_by(world) as standby:
        assert standby.shown("/readyz") == (503, "standby: poddnat-0 is active")


def test_standby_is_well_for_who_takes_standing_by_for_well(world: World) -> None:
    with standing_by(world) as standby:
        assert standby.shown("/readyz?standbyok") == (200, "standby: poddnat-0 is active")


def test_standby_sends_hooks_back_to_ask_again(world: World) -> None:
    with standing_by(world) as standby:
        pod = world.make_pod(EXPOSE_80)
        response = standby.world.sync_pod(pod)
        assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
        assert response.headers["Connection"] == "close"


def test_standby_deletes_no_entry_of_a_poddnat_that_went_without_a_word(world: World) -> None:
    world.expose(world.make_pod(EXPOSE_80))
    with standing_by(world, refresh_interval=1.0) as standby:
        world.service.stop()
        world.api.delete(world.poddnats, "web-1", "default")
        before = standby.looks()
        wait_until(lambda: standby.looks() >= before + 4, 10, "four more listings")
        assert len(world.entries()) == 1
        standby.take_over()
        wait_until(lambda: not world.entries(), 10, "the entry to be collected by who took over")


def test_standby_that_takes_over_says_the_same_of_a_poddnat_without_a_write(world: World) -> None:
    with standing_by(world) as standby:
        poddnat = world.expose(world.make_pod(EXPOSE_80))
        writes = world.cloud_writes()
        world.service.stop()
        standby.take_over()
        status = answer(lambda: standby.world.sync_poddnat(poddnat))["status"]
        assert {**status, "observedGeneration": 1} == poddnat["status"]
        assert world.cloud_writes() == writes


def test_standby_that_takes_over_knows_the_ports_given_out_until_a_moment_ago(world: World) -> None:
    with standing_by(world) as standby:
        world.expose(world.make_pod(EXPOSE_80))
        world.service.stop()
        standby.take_over()
        other = world.make_pod(EXPOSE_80, name="web-2", ip="172.16.1.8")
        assert standby.world.attachment(other)["spec"]["portMapping"][0]["externalPort"] == "513"


def test_only_the_active_replica_tells_of_gateways_and_ports(world: World) -> None:
    """What another one knows is as old as its last listing, and would be shown beside what is true."""
    with standing_by(world) as standby:
        wait_until(lambda: world.service.ready and world.service.fleet.known, 10, "the active one to know its gateways")
        active, other = (replica.client.get("/metrics").text for replica in (world, standby.world))
        for name in ("poddnat_gateway_entries{", "poddnat_eip_free_ports{"):
            assert name in active
            assert name not in other
        assert "poddnat_poddnats{" in other


def test_standby_that_takes_over_finalizes_what_the_other_created(world: World) -> None:
    with standing_by(world) as standby:
        poddnat = world.expose(world.make_pod(EXPOSE_80))
        world.service.stop()
        standby.take_over()
        assert standby.world.finalized(poddnat)["finalized"] is True
    assert world.entries() == []


def test_replica_that_loses_its_turn_writes_nothing_more() -> None:
    with running(settle_seconds=0.5, started=False) as world, standing_by(world) as standby:
        standby.take_over()
        pod = world.make_pod({**EXPOSE_80, PORTS: "80,81,82,83,84,85"})
        poddnat = world.make_poddnat(standby.world.attachment(pod)["spec"], owner=pod)
        wait_until(lambda: standby.world.sync_poddnat(poddnat) and world.entries(), 5, "the first entry")
        standby.active = False
        standby.service.stop()
        assert 0 < len(world.entries()) < 6
