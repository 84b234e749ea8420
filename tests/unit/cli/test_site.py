"""What commands share that read and write a running installation: the snapshot, calls made again, and tasks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from poddnat.api import UNNAMED
from poddnat.cli.intervals import THROTTLED_CALLS, THROTTLED_LONGEST
from poddnat.cli.site import Site, Snapshot, retry_throttled, run_tasks
from poddnat.cloud import ALL_ENTRIES, ENTRIES_PER_PAGE, CloudError, EntryFilter, EntryPage, Meaning
from poddnat.model import EntryStatus, ForwardEntry, ForwardRule, Ports, Protocol

if TYPE_CHECKING:
    from poddnat.gateway import Fleet


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses made, none of which takes any time."""
    made: list[float] = []
    monkeypatch.setattr("poddnat.cli.site.time.sleep", made.append)
    return made


class Failing:
    """A call that fails so many times, and then answers."""

    def __init__(self, meaning: Meaning, times: int, *, retry_after: float | None = None) -> None:
        self._error = CloudError(meaning, action="DescribeNatGateways", code="X", message="no", retry_after=retry_after)
        self._times = times
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._times:
            raise self._error
        return "answer"


def test_throttled_call_is_made_again_after_longer_and_longer_pauses(pauses: list[float]) -> None:
    assert retry_throttled(Failing(Meaning.THROTTLED, THROTTLED_CALLS - 1)) == "answer"
    assert pauses == sorted(pauses)
    assert all(0 < pause <= THROTTLED_LONGEST for pause in pauses)


def test_throttled_call_is_made_again_after_the_time_that_the_cloud_gives(pauses: list[float]) -> None:
    retry_throttled(Failing(Meaning.THROTTLED, 2, retry_after=7.0))
    assert pauses == [7.0, 7.0]


def test_call_that_is_throttled_each_time_fails_after_so_many(pauses: list[float]) -> None:
    call = Failing(Meaning.THROTTLED, 100)
    with pytest.raises(CloudError):
        retry_throttled(call)
    assert (call.calls, len(pauses)) == (THROTTLED_CALLS, THROTTLED_CALLS - 1)


def test_call_that_fails_otherwise_is_not_made_again(pauses: list[float]) -> None:
    call = Failing(Meaning.DENIED, 100)
    with pytest.raises(CloudError):
        retry_throttled(call)
    assert (call.calls, pauses) == (1, [])


class StartedFleet:
    """Notes what is done to it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")


def run(fleet: StartedFleet, tasks: list[str], is_done: Any, *, timeout: float) -> list[tuple[str, bool]]:
    return list(run_tasks(cast("Fleet", fleet), tasks, is_done, timeout=timeout))


def test_tasks_are_told_as_they_are_done_and_those_that_are_not_in_time_have_failed() -> None:
    fleet = StartedFleet()
    assert run(fleet, ["never", "at once"], lambda task: task == "at once", timeout=0.3) == [
        ("at once", True),
        ("never", False),
    ]
    assert fleet.calls == ["start", "stop"]


def test_fleet_is_stopped_when_a_task_can_not_be_asked_for() -> None:
    fleet = StartedFleet()
    with pytest.raises(ZeroDivisionError):
        run(fleet, ["one"], lambda _task: 1 / 0, timeout=10)
    assert fleet.calls == ["start", "stop"]


def test_without_a_task_no_fleet_is_started() -> None:
    fleet = StartedFleet()
    assert run(fleet, [], lambda _task: True, timeout=10) == []
    assert fleet.calls == []


GATEWAY = "ngw-1"


def entry(number: int) -> ForwardEntry:
    rule = ForwardRule("203.0.113.1", Ports.of(1000 + number), "172.16.1.1", Ports.of(80), Protocol.TCP)
    return ForwardEntry(f"fwd-{number}", "", rule, EntryStatus.AVAILABLE)


class SlippingCloud:
    """Has a table of several pages; while it is listed, rows slip from one to another that was read before."""

    def __init__(self, entries: int, *, slipping: set[str]) -> None:
        self.table = [entry(number) for number in range(entries)]
        self._slipping = slipping
        self.asked: list[str] = []

    def describe_nat_gateways(self) -> list[Any]:
        return [SimpleNamespace(gateway_id=GATEWAY)]

    def describe_forward_table_entries(self, _gateway_id: str, *, page: int, where: EntryFilter) -> EntryPage:
        if where != ALL_ENTRIES:
            self.asked.append(str(where.entry_id))
            found = tuple(row for row in self.table if where.matches(row))
            return EntryPage(found, len(found))
        first = (page - 1) * ENTRIES_PER_PAGE
        rows = self.table[first : first + ENTRIES_PER_PAGE]
        return EntryPage(tuple(row for row in rows if row.entry_id not in self._slipping), len(self.table))


def snapshot(cloud: SlippingCloud, *claimed: str) -> Snapshot:
    """Read a site with one PodDNAT, which claims these entries."""
    entries = [
        {
            "externalIP": row.rule.external_ip,
            "externalPort": str(row.rule.external_ports),
            "internalIP": row.rule.internal_ip,
            "internalPort": str(row.rule.internal_ports),
            "ipProtocol": row.rule.protocol.value,
            "forwardEntryId": row.entry_id,
        }
        for row in map(entry, (int(name.partition("-")[2]) for name in claimed))
    ]
    poddnat = {"metadata": {"uid": "uid-1"}, "spec": {"tableId": GATEWAY}, "status": {"entries": entries}}
    kube = SimpleNamespace(poddnats=lambda: ([poddnat], "1"))
    site = Site(
        cast("Any", SimpleNamespace(gateway_ids=(GATEWAY,), installation=UNNAMED)),
        cast("Any", cloud),
        cast("Any", kube),
    )
    return site.snapshot()


def test_entry_that_several_pages_did_not_show_is_asked_for_by_its_id() -> None:
    cloud = SlippingCloud(120, slipping={"fwd-60", "fwd-61"})
    shown = {row.entry_id for row in snapshot(cloud, "fwd-3", "fwd-60", "fwd-999").tables[GATEWAY]}
    assert {"fwd-3", "fwd-60"} <= shown
    assert not {"fwd-61", "fwd-999"} & shown
    assert cloud.asked == ["fwd-60", "fwd-999"]


def test_entry_that_the_only_page_does_not_show_is_not_there() -> None:
    cloud = SlippingCloud(20, slipping=set())
    assert len(snapshot(cloud, "fwd-3", "fwd-999").tables[GATEWAY]) == 20
    assert cloud.asked == []
