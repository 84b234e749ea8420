"""Drift: entries that somebody else took away are made anew, and orphaned ones are collected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from metacontroller_standin.waiting import wait_until
from poddnat.gateway import Ownership
from poddnat.kube import KubeError
from tests.unit.hooks.world import EIP, EXPOSE_80, GATEWAY, POD_IP, World, cluster, running, says_who_acts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from vpc_emulator import ForwardEntry


@pytest.fixture
def world() -> Iterator[World]:
    """A world that reads its tables every half second."""
    with running(refresh_interval=0.5) as world:
        yield world


def works(world: World, *, but: str) -> bool:
    """Whether the PodDNAT says that one entry works, another one than this, and it does."""
    poddnat = world.poddnat()
    claims = (poddnat or {}).get("status", {}).get("entries", [])
    there = [entry.id for entry in world.entries() if entry.status == "Available"]
    return len(there) == 1 and [claim["forwardEntryId"] for claim in claims] == there != [but]


def exposed(world: World) -> ForwardEntry:
    """Have a pod exposed, and return its entry."""
    world.make_pod(EXPOSE_80)
    wait_until(lambda: works(world, but=""), 10, "the pod to be exposed")
    (entry,) = world.entries()
    return entry


def test_entry_deleted_by_hand_is_made_anew_without_waiting_for_the_next_sync(world: World) -> None:
    with cluster(world):
        entry = exposed(world)
        world.emulator.delete_entry(GATEWAY, entry.id)
        wait_until(lambda: works(world, but=entry.id), 10, "the entry to be there again")
    assert "poddnat_lost_total{" in world.client.get("/metrics").text


def test_entry_led_elsewhere_by_hand_is_led_back(world: World) -> None:
    with cluster(world):
        entry = exposed(world)
        world.emulator.edit_entry(GATEWAY, entry.id, internal_ip="172.16.1.14")
        wait_until(lambda: works(world, but=entry.id), 10, "the entry to lead to the pod again")
    assert [e.internal_ip for e in world.entries()] == [entry.internal_ip]


def test_drifted_entry_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    (entry,) = world.entries()
    wait_until(lambda: (world.service.poddnats.all() or [{}])[0].get("status"), 10, "the status to be seen")
    world.emulator.delete_entry(GATEWAY, entry.id)
    message = f"PodDNAT default/web-1: somebody deleted or changed entry {entry.id} on {GATEWAY}; it is made anew"
    wait_until(lambda: message in caplog.messages, 10, "the drift to be noticed")
    reads = world.emulator.calls.count("DescribeForwardTableEntries")
    wait_until(lambda: world.emulator.calls.count("DescribeForwardTableEntries") > reads + 2, 10, "more listings")
    assert caplog.messages.count(message) == 1
    wait_until(lambda: works(world, but=entry.id), 10, "the entry to be there again, without any call of a hook")
    assert (world.poddnat() or {})["spec"] == poddnat["spec"]


def test_poddnat_at_rest_is_not_written_to(world: World) -> None:
    before = world.expose(world.make_pod(EXPOSE_80))
    reads = world.emulator.calls.count("DescribeForwardTableEntries")
    wait_until(lambda: world.emulator.calls.count("DescribeForwardTableEntries") > reads + 2, 10, "more listings")
    assert world.poddnat() == before


def test_orphaned_entry_is_collected_counted_and_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    name = Ownership("c-test").name_of("uid-of-one-that-is-gone")
    world.emulator.add_entry(
        GATEWAY, external_ip=EIP, external_port=600, internal_ip="172.16.1.9", internal_port=600, name=name
    )
    wait_until(lambda: not world.entries(), 10, "the orphan to be collected")
    assert len([record for record in caplog.records if "deleting the entries of" in record.getMessage()]) == 1
    assert f'poddnat_swept_total{{gateway="{GATEWAY}"}} 1.0' in world.client.get("/metrics").text


def leave_behind(world: World, count: int, *, first_port: int = 512, who: str = "gone") -> None:
    """Put entries into the table whose PodDNATs are gone."""
    for number in range(count):
        world.emulator.add_entry(
            GATEWAY,
            external_ip=EIP,
            external_port=first_port + number,
            internal_ip="172.16.1.9",
            internal_port=first_port + number,
            name=Ownership("c-test").name_of(f"{who}-{number}"),
        )


def held(world: World) -> str:
    """Read the metric of what is left to operators."""
    text = world.client.get("/metrics").text
    return next(line.split()[1] for line in text.splitlines() if line.startswith("poddnat_gateway_orphans{"))


def test_mass_of_orphans_is_kept_and_reported_and_its_ports_are_given_to_nobody(world: World) -> None:
    leave_behind(world, 8)
    wait_until(lambda: held(world) == "8.0", 10, "the mass to be noticed")
    pod = world.make_pod(EXPOSE_80)
    wait_until(lambda: world.attachment(pod)["spec"]["portMapping"][0]["externalPort"] == "520", 10, "a port besides")
    assert len(world.entries()) == 8
    (warning,) = world.operator_warnings
    assert warning[0] == "ManyOrphans"
    assert warning[1].startswith(
        f"8 PodDNATs with forward entries on {GATEWAY} are gone at once, so the entries are kept"
    )
    assert says_who_acts(warning[1])


def test_another_cluster_with_the_same_cluster_id_is_noticed_and_named(world: World) -> None:
    leave_behind(world, 1, who="theirs")
    wait_until(lambda: not world.entries(), 10, "the orphan to be collected")
    reads = world.emulator.calls.count("DescribeForwardTableEntries")
    wait_until(lambda: world.emulator.calls.count("DescribeForwardTableEntries") > reads + 2, 10, "listings without it")
    leave_behind(world, 1, who="theirs")
    wait_until(lambda: world.operator_warnings, 10, "the other cluster to be told")
    assert world.operator_warnings[0][0] == "ClusterIdShared"
    assert says_who_acts(world.operator_warnings[0][1])
    assert len(world.entries()) == 1


def test_api_server_that_is_away_is_asked_once_what_other_values_mean(world: World) -> None:
    for name, ip in (("web-1", POD_IP), ("web-2", "172.16.1.14")):
        world.expose(world.make_pod(EXPOSE_80, name=name, ip=ip))
    wait_until(lambda: len(world.service.poddnats.all()) > 1, 10, "both to be seen")
    asked = []

    def is_misplaced(poddnat: dict[str, Any]) -> bool:
        asked.append(poddnat)
        raise KubeError("timed out")

    world.service.drift.resync_misplaced(is_misplaced)
    assert len(asked) == 1


def test_living_pod_whose_poddnat_is_made_another_pods_has_the_same_port_by_another_poddnat(world: World) -> None:
    with cluster(world):
        exposed(world)
        (before,) = world.entries()
        taken = world.poddnat() or {}
        (owner,) = taken["metadata"]["ownerReferences"]
        metadata = {"ownerReferences": [{**owner, "uid": "of-a-backup"}]}
        mappings = [{"externalPort": "600", "internalPort": "80"}]
        world.api.patch(world.poddnats, "web-1", {"metadata": metadata, "spec": {"portMapping": mappings}}, "default")
        world.api.delete(world.poddnats, "web-1", "default")  # As the garbage collector does.
        wait_until(lambda: works(world, but=before.id), 20, "the pod's own PodDNAT to work")
    assert [entry.external_port for entry in world.entries()] == [before.external_port]
