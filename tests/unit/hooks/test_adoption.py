"""PodDNATs of ACK's own controller: left alone until the operator's command takes them over."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.apply import DECORATOR
from metacontroller_standin.waiting import wait_until
from metacontroller_standin.workloads import add_pods
from poddnat.api import OWN_ENTRIES, is_terminating
from poddnat.cli.adoption import Action, Adoption, Move, moves
from poddnat.cli.intervals import CONFLICT_TRIES
from poddnat.cli.ports_report import ports_report
from poddnat.cli.site import Site
from poddnat.cloud import CloudClient
from poddnat.config.values import parse
from poddnat.kube import KubeClient, connect_to
from tests.unit.hooks import acks
from tests.unit.hooks.test_cluster import pod_report, wait_ready
from tests.unit.hooks.test_fixed import FIXED_80, delete_pod, make_owner, outside, pod_of, wait_away
from tests.unit.hooks.world import (
    EIP,
    EXPOSE_80,
    FINALIZER,
    GATEWAY,
    POD_DNAT,
    RESULT,
    STATUS,
    World,
    answer,
    cluster,
    condition,
    restarted,
    values,
)
from vpc_emulator import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vpc_emulator import ForwardEntry

Json = dict[str, Any]


class Ack:
    """A world that ACK's controller was in: one pod with one entry, and who moves it."""

    def __init__(self, world: World, finalizer: str = acks.FINALIZER) -> None:
        self.world = world
        self.pod = world.make_pod(EXPOSE_80)
        self.entry = acks.entry(world.emulator)
        made = world.api.create(world.poddnats, acks.poddnat(self.pod, self.entry, finalizer))
        self.poddnat = self.write_status(made, acks.status(self.entry))
        self.connection = connect_to(world.memory.url)
        self.cluster = KubeClient(self.connection)
        self.cloud = CloudClient(world.values)
        self.site = Site(world.values, self.cloud, self.cluster)

    def write_status(self, poddnat: Json, status: Json) -> Json:
        name = poddnat["metadata"]["name"]
        return self.world.api.patch(self.world.poddnats, name, {"status": status}, "default", "status")

    def change(self, patch: Json) -> None:
        self.world.api.patch(self.world.poddnats, "web-1", patch, "default")

    def delete_pod(self) -> None:
        self.world.api.delete(self.world.api.resource("v1", "pods"), "web-1", "default", grace_period=0)

    def moves(self, *, release: bool = False) -> list[Move]:
        return moves(self.site.snapshot(), self.world.values, self.cluster.pod, release=release)

    def move(self, *, release: bool = False) -> Move:
        (only,) = self.moves(release=release)
        return only

    def run(self, *, release: bool = False) -> list[bool]:
        return carry_out(self.site, self.moves(release=release))

    def entries(self) -> list[ForwardEntry]:
        return self.world.entries()


def carry_out(site: Site, todo: list[Move]) -> list[bool]:
    results: list[bool] = []
    Adoption(site).run(todo, lambda _move, succeeded: results.append(succeeded), timeout=10)
    return results


def adopt(world: World) -> list[bool]:
    """Do what is to be done, and tell how it went."""
    connection = connect_to(world.memory.url)
    site = Site(world.values, CloudClient(world.values), KubeClient(connection))
    results = carry_out(site, moves(site.snapshot(), world.values, site.kube.pod))
    connection.close()  # type: ignore[no-untyped-call]
    return results


@pytest.fixture(params=[acks.FINALIZER, acks.OTHER_FINALIZER], ids=["of 2022", "another"])
def ack(world: World, request: pytest.FixtureRequest) -> Iterator[Ack]:
    ack = Ack(world, request.param)
    yield ack
    ack.connection.close()  # type: ignore[no-untyped-call]


# The server leaves them alone.


def test_poddnat_of_acks_controller_keeps_its_entries_and_is_told_to_be_adopted(ack: Ack) -> None:
    reported = answer(lambda: ack.world.sync_poddnat(ack.poddnat))
    conditions = reported["status"].pop("conditions")
    assert reported["status"] == ack.poddnat["status"]
    reported["status"]["conditions"] = conditions
    assert condition(reported)[:2] == ("False", "NotAdopted")
    assert ack.world.cloud_writes() == 0


def test_poddnat_without_our_mark_is_left_alone_whatever_its_finalizers(world: World) -> None:
    ack = Ack(world, finalizer="")
    assert condition(answer(lambda: world.sync_poddnat(ack.poddnat)))[1] == "NotAdopted"
    assert (ack.move().action, ack.run()) == (Action.ADOPT, [True])
    ack.connection.close()  # type: ignore[no-untyped-call]


def test_nothing_is_taken_from_a_status_that_makes_no_sense_to_us(ack: Ack) -> None:
    odd = {"entries": [{"externalIP": EIP, "ipProtocol": "any"}], "created": "yes"}
    stored = ack.write_status(ack.poddnat, odd)
    status = answer(lambda: ack.world.sync_poddnat(stored))["status"]
    assert status["created"] == "yes"
    assert status["entries"][0]["ipProtocol"] == "any"


def test_poddnat_of_acks_controller_that_is_deleted_is_let_go_without_a_touch(ack: Ack) -> None:
    assert ack.world.finalized(ack.poddnat)["finalized"] is True
    assert ack.entries() == [ack.entry]


def test_pod_of_acks_controller_gets_no_second_poddnat_and_is_told_why(ack: Ack) -> None:
    with restarted(ack.world) as again:
        reported = answer(lambda: again.sync_pod(ack.pod))
    assert reported["attachments"] == []
    assert reported["annotations"][STATUS].startswith("NotAdopted: ")


def test_nobody_else_gets_a_port_of_acks_controller(ack: Ack) -> None:
    with restarted(ack.world) as again:
        other = again.make_pod(EXPOSE_80, name="web-2", ip="172.16.1.8")
        assert again.attachment(other)["spec"]["portMapping"][0]["externalPort"] == "513"


# What is decided.


def test_poddnat_that_a_pod_needs_is_adopted(ack: Ack) -> None:
    assert (ack.move().action, ack.move().entry_ids) == (Action.ADOPT, (ack.entry.id,))


def test_poddnat_whose_pod_is_gone_is_released(ack: Ack) -> None:
    (move,) = moves(ack.site.snapshot(), ack.world.values, lambda _namespace, _name: None)
    assert (move.action, move.why) == (Action.RELEASE, "its pod is gone")


def test_poddnat_that_no_pod_owns_is_left_while_its_pod_is_away(ack: Ack) -> None:
    ack.change({"metadata": {"ownerReferences": []}})
    ack.delete_pod()
    assert ack.move().action is Action.LEAVE
    assert ack.move().why.startswith("its pod is away; ")
    assert ack.move(release=True).action is Action.RELEASE


def test_poddnat_whose_pod_has_another_ip_is_released(ack: Ack) -> None:
    ack.world.set_pod_status(ack.pod, "Running", "172.16.1.8")
    assert ack.move().action is Action.RELEASE


def test_poddnat_whose_pod_asks_for_nothing_any_more_is_released(ack: Ack) -> None:
    ack.world.annotate(ack.pod, {POD_DNAT: "false"})
    assert ack.move().action is Action.RELEASE


def test_poddnat_that_hangs_on_its_finalizer_is_released(ack: Ack) -> None:
    ack.world.api.delete(ack.world.poddnats, "web-1", "default")
    assert ack.move().action is Action.RELEASE


def test_poddnat_outside_the_pool_is_left_with_what_to_do(ack: Ack) -> None:
    ack.change({"spec": {"portMapping": [{"externalPort": "2000", "internalPort": "80"}]}})
    ack.write_status(ack.poddnat, {"entries": []})
    move = ack.move()
    assert move.action is Action.LEAVE
    assert "203.0.113.10:2000 on ngw-1 is not in the values file's pool" in move.why
    assert "--release" in move.why


@pytest.mark.parametrize("release", [False, True])
def test_poddnat_that_names_somebody_elses_entry_is_left_alone(ack: Ack, *, release: bool) -> None:
    foreign = acks.entry(ack.world.emulator, ip="172.16.1.9", port=600)
    ack.write_status(ack.poddnat, acks.status(foreign))
    assert ack.move(release=release).action is Action.LEAVE
    assert ack.run(release=release) == []
    assert foreign in ack.entries()


def test_poddnat_of_ours_is_none_of_its_business(world: World) -> None:
    world.expose(world.make_pod(EXPOSE_80))
    connection = connect_to(world.memory.url)
    site = Site(world.values, CloudClient(world.values), KubeClient(connection))
    assert moves(site.snapshot(), world.values, site.kube.pod, release=True) == []
    connection.close()  # type: ignore[no-untyped-call]


# What becomes of it.


def test_adopted_poddnat_works_on_with_the_entry_that_it_had(ack: Ack) -> None:
    assert ack.run() == [True]
    adopted = ack.world.poddnat()
    assert adopted is not None
    assert adopted["metadata"].get("finalizers", []) == []
    (owner,) = adopted["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (ack.pod["metadata"]["uid"], True)
    with restarted(ack.world) as again:
        reported = answer(lambda: again.sync_poddnat(adopted))
        assert condition(reported)[1] == "Ready"
        ready = again.set_status(adopted, reported["status"])
        kept = answer(lambda: again.sync_pod(ack.pod, ready))
        assert kept["attachments"][0]["spec"] == adopted["spec"]
        assert kept["annotations"][STATUS] == "Ready"
        assert RESULT in kept["annotations"]
    assert ack.entries() == [ack.entry]
    assert ack.world.cloud_writes() == 0


def test_poddnat_that_is_written_to_meanwhile_is_adopted_all_the_same(ack: Ack) -> None:
    todo = ack.moves()
    ack.write_status(ack.poddnat, {"conditions": [{"type": "Ready", "status": "False", "reason": "NotAdopted"}]})
    assert carry_out(ack.site, todo) == [True]
    assert (ack.world.poddnat() or {})["metadata"]["annotations"][DECORATOR] == "pod-dnat"


@pytest.mark.parametrize(
    "change",
    [
        lambda ack: ack.change({"spec": {"internalIP": "172.16.1.8"}}),
        lambda ack: ack.change({"metadata": {"ownerReferences": []}}),
        lambda ack: ack.world.api.delete(ack.world.poddnats, "web-1", "default"),
        lambda ack: ack.write_status(ack.poddnat, {"entries": []}),
    ],
    ids=["spec", "owner", "deleted", "entries"],
)
def test_poddnat_is_left_alone_once_something_that_decides_about_it_has_changed(
    ack: Ack, change: Callable[[Ack], object]
) -> None:
    todo = ack.moves()
    change(ack)
    assert carry_out(ack.site, todo) == [False]
    assert DECORATOR not in (ack.world.poddnat() or {})["metadata"].get("annotations", {})


def test_adopting_is_given_up_where_somebody_else_always_writes_first(
    ack: Ack, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo, tries = ack.moves(), itertools.count(1)
    patch_poddnat = KubeClient.patch_poddnat

    def patch_too_late(client: KubeClient, namespace: str, name: str, patch: Json) -> bool:
        ack.change({"metadata": {"labels": {"written": str(next(tries))}}})
        return patch_poddnat(client, namespace, name, patch)

    monkeypatch.setattr(KubeClient, "patch_poddnat", patch_too_late)
    assert carry_out(ack.site, todo) == [False]
    assert next(tries) == CONFLICT_TRIES + 1


def test_adopted_poddnat_takes_its_entry_with_it(ack: Ack) -> None:
    ack.run()
    adopted = ack.world.poddnat()
    assert adopted is not None
    with restarted(ack.world) as again:
        assert again.finalized(adopted)["finalized"] is True
    assert ack.entries() == []


def test_entry_without_a_name_is_not_lost_by_what_is_reported_while_it_is_deleted(ack: Ack) -> None:
    ack.run()
    adopted = ack.world.poddnat()
    assert adopted is not None
    ack.world.emulator.add_fault(Fault("error", action="DeleteForwardEntry", code="Forbidden.RAM", status=403, times=1))
    with restarted(ack.world) as first:
        first.set_status(adopted, answer(lambda: first.finalize(adopted))["status"])
        # It may have answered before the table was listed, and is called again; the fault is not for the next one.
        wait_until(
            lambda: first.finalize(adopted) and ack.world.emulator.calls.count("DeleteForwardEntry"),
            10,
            "the delete to be refused",
        )
    with restarted(ack.world) as second:
        shown = second.poddnat()
        assert shown is not None
        assert (shown["status"]["entries"], shown["status"]["releasing"]) == ([], [ack.entry.id])
        assert second.finalized(shown)["finalized"] is True
    assert ack.entries() == []


def adopted(ack: Ack) -> Json:
    """Adopt the PodDNAT, and let the server see it work."""
    ack.run()
    found = ack.world.poddnat()
    assert found is not None
    with restarted(ack.world) as server:
        reported = answer(lambda: server.sync_poddnat(found))
        assert condition(reported)[1] == "Ready"
        return server.set_status(found, reported["status"])


def delete_while_the_server_is_away(ack: Ack) -> None:
    ack.change({"metadata": {"finalizers": [FINALIZER]}})
    ack.delete_pod()
    wait_until(lambda: is_terminating(ack.world.poddnat() or {"metadata": {}}), 5, "the PodDNAT to be deleted")


def test_entry_of_an_adopted_pod_that_goes_while_the_server_is_away_goes_too(ack: Ack) -> None:
    ready = adopted(ack)
    delete_while_the_server_is_away(ack)
    with restarted(ack.world) as again:
        assert again.finalized(ready)["finalized"] is True
    assert ack.entries() == []


def test_entry_that_nothing_proves_after_its_pod_has_gone_is_left_and_told(ack: Ack) -> None:
    ready = adopted(ack)
    ack.change({"metadata": {"annotations": {OWN_ENTRIES: None}}})
    delete_while_the_server_is_away(ack)
    with restarted(ack.world) as again:
        assert again.finalized(ready)["finalized"] is True
    assert ack.entries() == [ack.entry]
    assert ("PodDNAT", "EntryLeft") in ack.world.warnings()


def test_entry_recorded_as_a_poddnats_own_is_another_ones_that_bears_its_name(ack: Ack) -> None:
    theirs = ack.world.emulator.add_entry(
        GATEWAY,
        external_ip=EIP,
        external_port=700,
        internal_ip="172.16.1.8",
        internal_port=80,
        name="poddnat_c-other_another",
    )
    ready = adopted(ack)
    ack.change({"metadata": {"annotations": {OWN_ENTRIES: f"{ack.entry.id},{theirs.id}"}}})
    with restarted(ack.world) as again:
        assert again.finalized(ready)["finalized"] is True
    assert [entry.id for entry in ack.entries()] == [theirs.id]


def test_entry_of_an_adopted_poddnat_goes_when_the_pool_leaves_it_out_over_a_restart(ack: Ack) -> None:
    ready = adopted(ack)
    url = ack.world.values.endpoints.vpc
    assert url is not None
    narrow = values(url, last_port=511, entry={"portRangeStart": 500})
    ack.world.emulator.add_fault(Fault("delay", action="DescribeForwardTableEntries", seconds=0.5))
    with restarted(replace(ack.world, values=parse(narrow))) as again:
        assert again.sync_poddnat(ready).status_code == 429
        reported = answer(lambda: again.sync_poddnat(ready))
        assert (condition(reported)[1], reported["status"]["entries"]) == ("NotInPool", [])
        wait_until(lambda: ack.entries() == [], 5, "the entry to go")


def test_adopted_pod_keeps_its_entry_after_its_poddnat_said_that_none_works(ack: Ack) -> None:
    """As after the cloud was away: the status that lists none is no reason to take the entry for somebody else's."""
    ready = adopted(ack)
    blocked = ack.world.set_status(ready, {**ready["status"], "entries": [], "ports": ""})
    with restarted(ack.world) as again:
        reported = answer(lambda: again.sync_poddnat(blocked))
        assert condition(reported)[1] == "Ready"
        kept = answer(lambda: again.sync_pod(ack.pod, blocked))
        assert kept["attachments"][0]["spec"] == ready["spec"]
    assert ack.entries() == [ack.entry]


def test_ids_that_nobody_has_confirmed_yet_stay_in_every_status(ack: Ack) -> None:
    ack.run()
    unseen = ack.world.poddnat()
    assert unseen is not None
    ack.world.emulator.add_fault(Fault("error", code="Forbidden.RAM", status=403, times=None))
    with restarted(ack.world) as denied:
        reported = answer(lambda: denied.sync_poddnat(unseen))["status"]
        assert (reported["entries"], reported["releasing"]) == ([], [ack.entry.id])
        blocked = denied.set_status(unseen, reported)
    ack.world.emulator.clear_faults()
    with restarted(ack.world) as again:
        reported = answer(lambda: again.sync_poddnat(blocked))
        assert condition(reported)[1] == "Ready"
        assert "releasing" not in reported["status"]
    assert ack.entries() == [ack.entry]


def test_adopted_poddnats_entry_counts_as_its_own_where_ports_are_listed(ack: Ack) -> None:
    ack.run()
    report = ports_report(ack.site.snapshot(), ack.world.values)
    assert [(gateway.ours, gateway.foreign) for gateway in report.gateways] == [(1, 0)]
    assert [mapping.podDNAT for mapping in report.mappings] == ["default/web-1"]


def test_released_poddnat_is_gone_and_so_are_its_entries_alone(ack: Ack) -> None:
    other = acks.entry(ack.world.emulator, ip="172.16.1.9", port=600)
    assert ack.run(release=True) == [True]
    assert ack.entries() == [other]
    assert ack.world.poddnat() is None


def test_adopting_once_more_finds_nothing_to_do(ack: Ack) -> None:
    ack.run()
    assert ack.moves() == []


# Fixed pods.


def wait_ready_while_touched(world: World, pod: Json) -> None:
    """Change the pod until it is told that it is ready: otherwise it is asked about once a minute."""

    def is_ready() -> bool:
        world.annotate(pod, {"touched": str(time.monotonic())})
        return pod_report(world, "arena-0").get(STATUS) == "Ready"

    wait_until(is_ready, 10, "the adopted pod to be Ready", interval=0.2)


def test_adopted_poddnat_of_a_living_fixed_pod_outlives_it_from_the_first_moment(world: World) -> None:
    make_owner(world, {})
    pod = world.annotate(world.set_pod_status(pod_of(world), "Running", "172.16.1.1"), {**FIXED_80})
    entry = acks.entry(world.emulator, ip="172.16.1.1", port=700)
    world.api.create(world.poddnats, acks.poddnat(pod, entry))
    world.api.patch(world.poddnats, "arena-0", {"status": acks.status(entry)}, "default", "status")
    assert adopt(world) == [True]
    adopted = world.poddnat("arena-0") or {}
    assert [owner["kind"] for owner in adopted["metadata"]["ownerReferences"]] == ["Pod", "Namespace"]


@pytest.mark.parametrize("ip", ["172.16.1.1", "172.16.1.200"], ids=["where it was", "at another IP"])
def test_adopted_fixed_pod_has_its_address_and_so_has_the_one_that_replaces_it(world: World, ip: str) -> None:
    owner = make_owner(world, {})  # here ACK's controller was first
    owner["spec"]["template"]["metadata"]["annotations"] = FIXED_80
    pod = world.set_pod_status(pod_of(world), "Running", "172.16.1.1")
    entry = acks.entry(world.emulator, ip=ip, port=700)
    made = acks.poddnat(pod, entry)
    del made["metadata"]["ownerReferences"]
    world.api.create(world.poddnats, made)
    world.api.patch(world.poddnats, "arena-0", {"status": acks.status(entry)}, "default", "status")
    world.annotate(pod, {**FIXED_80})
    with restarted(world) as again, cluster(again):
        wait_until(
            lambda: pod_report(again, "arena-0").get(STATUS, "").startswith("NotAdopted: "), 10, "the pod to be told"
        )
        wait_until(lambda: (again.poddnat("arena-0") or {})["status"].get("conditions"), 10, "the PodDNAT to be told")
        assert adopt(again) == [True]
        wait_ready_while_touched(again, pod)
        assert outside(again) == (EIP, ["700"])
        delete_pod(again)
        wait_away(again)
        add_pods(again.api, owner, 1)
        wait_ready(again, "arena-0")
        assert outside(again) == (EIP, ["700"])
        (working,) = again.entries()
        assert (working.external_port, working.name) != ("700", "")
