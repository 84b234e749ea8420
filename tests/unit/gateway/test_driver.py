"""The calls that a gateway's driver makes, against a cloud that only notes them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.waiting import wait_until
from poddnat.cloud import CloudError, EntryPage, GatewayInfo, Meaning, RateLimiter
from poddnat.gateway import GatewayDriver, GatewayListener
from poddnat.gateway.read_budget import ReadBudget
from poddnat.gateway.reconciler import Create, Delete
from poddnat.model import Ports
from tests.unit.gateway.fake_table import OWNERSHIP, entry, own, rule
from vpc_emulator import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from poddnat.model import ForwardEntry


class Cloud:
    """Notes what it is called with, and fails as told."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.deleted: list[dict[str, Any]] = []
        self.entries: tuple[ForwardEntry, ...] = ()
        self.error: Exception | None = None
        self.meanwhile: Callable[[], None] = lambda: None

    def create_forward_entry(self, **call: Any) -> str:
        self.created.append(call)
        self.meanwhile()
        if self.error is not None:
            raise self.error
        return f"fwd-{len(self.created)}"

    def delete_forward_entry(self, **call: Any) -> None:
        self.deleted.append(call)
        if self.error is not None:
            raise self.error

    def describe_forward_table_entries(self, *_args: Any, **_more: Any) -> EntryPage:
        if self.error is not None:
            raise self.error
        return EntryPage(self.entries, len(self.entries))


class Alive:
    """All PodDNATs exist."""

    has_synced = True

    def is_of_another(self, _uid: str) -> bool:
        return False

    def is_alive(self, _uid: str) -> bool:
        return True

    def gone_of(self, _uids: Collection[str]) -> set[str]:
        return set()


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def make_driver(cloud: Cloud, listener: GatewayListener, clock: Callable[[], float]) -> GatewayDriver:
    made = GatewayDriver(
        "ngw-1",
        cloud,  # type: ignore[arg-type]
        OWNERSHIP,
        RateLimiter(clock),
        ReadBudget(lambda: True, clock=clock),
        Alive(),
        listener,
        clock=clock,
    )
    made.update(GatewayInfo("ngw-1", ("ftb-1", "ftb-2"), "Available", "zone", "vpc-1", ()))
    return made


@pytest.fixture
def driver(cloud: Cloud) -> GatewayDriver:
    """Make a driver that isn't started: its calls are made by hand."""
    return make_driver(cloud, GatewayListener(), ManualClock(100.0))


def next_write(driver: GatewayDriver) -> Create | Delete:
    """Make the calls that come first, and give the first that writes."""
    for _ in range(20):
        call, _ = driver._reconciler.next(driver._clock(), driver._gates)
        if isinstance(call, Create | Delete):
            return call
        assert call is not None
        driver._perform(call)
    raise AssertionError("nothing is written")


@pytest.mark.parametrize(
    ("ports", "sent"),
    [(Ports.of(80), False), (Ports.of(1024), False), (Ports.of(1025), True), (Ports.of(1020, 1030), True)],
    ids=str,
)
def test_r_port_break_is_sent_for_ports_above_1024(
    driver: GatewayDriver, cloud: Cloud, ports: Ports, *, sent: bool
) -> None:
    driver.set_desired(own(), (rule(1)._replace(external_ports=ports, internal_ports=ports),))
    driver._perform(next_write(driver))
    assert [call["port_break"] for call in cloud.created] == [sent]


@pytest.mark.parametrize(("table_id", "used"), [("ftb-2", "ftb-2"), ("", "ftb-1")], ids=["told", "not told"])
def test_j_entry_is_deleted_from_the_table_that_has_it(
    driver: GatewayDriver, cloud: Cloud, table_id: str, used: str
) -> None:
    there = entry(1)
    there = type(there)(there.entry_id, there.name, there.rule, there.status, table_id)
    driver._reconciler._state.concurrency.sent()
    driver._reconciler.set_desired(own(), (), 100.0, release=True)
    driver._perform(Delete("uid-1", there, "token", None))
    assert [call["table_id"] for call in cloud.deleted] == [used]


@pytest.mark.parametrize(
    "error",
    [RuntimeError("a bug"), CloudError(Meaning.UNKNOWN, action="x", code="NoAnswer", message="")],
    ids=["bug", "no answer"],
)
def test_b_write_is_over_whatever_came_of_it(driver: GatewayDriver, cloud: Cloud, error: Exception) -> None:
    driver.set_desired(own(), (rule(1),))
    call = next_write(driver)
    cloud.error = error
    driver._perform(call)
    assert driver.stats().in_flight == 0


@pytest.mark.parametrize("meaning", [Meaning.UNKNOWN, Meaning.DENIED])
def test_b_read_is_over_whatever_came_of_it(driver: GatewayDriver, cloud: Cloud, meaning: Meaning) -> None:
    call, _ = driver._reconciler.next(100.0, driver._gates)
    assert call is not None
    cloud.error = CloudError(meaning, action="x", code="Code", message="")
    driver._perform(call)
    assert not driver._reconciler.reads.reading


def test_write_is_not_made_without_the_lease(driver: GatewayDriver, cloud: Cloud) -> None:
    driver.set_desired(own(), (rule(1),))
    call = next_write(driver)
    driver._may_write = lambda: False
    driver._perform(call)
    assert cloud.created == []
    assert driver.stats().in_flight == 0


def test_gateway_that_has_gone_since_is_told_and_nothing_sent(driver: GatewayDriver, cloud: Cloud) -> None:
    driver.set_desired(own(), (rule(1),))
    call = next_write(driver)
    driver.update(None)
    driver._perform(call)
    assert cloud.created == []
    assert driver.stats().in_flight == 0


def test_entry_made_while_its_gateway_goes_is_known_with_its_table(driver: GatewayDriver, cloud: Cloud) -> None:
    driver.set_desired(own(), (rule(1),))
    call = next_write(driver)
    cloud.meanwhile = lambda: driver.update(None)
    driver._perform(call)
    assert [(one.entry_id, one.table_id) for one in driver.entries()] == [("fwd-1", "ftb-1")]


class Slow(GatewayListener):
    """Takes its time over a table that was listed, as one does that asks the API server whose its entries are."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.answered = threading.Event()

    def table_listed(self, _gateway_id: str) -> None:
        self.asked.set()
        self.answered.wait()


def test_calls_go_on_while_it_takes_long_to_find_out_whose_adopted_entries_are(cloud: Cloud) -> None:
    cloud.entries = (entry(1, name="made-by-ack", entry_id="fwd-adopted"),)
    listener = Slow()
    driver = make_driver(cloud, listener, time.monotonic)
    driver.start()
    try:
        assert listener.asked.wait(10)
        driver.set_desired(own(2), (rule(2),))
        wait_until(lambda: cloud.created, 10, "the entry of another PodDNAT to be made")
        driver.release(own(1, "fwd-adopted"))
        wait_until(lambda: cloud.deleted, 10, "the adopted entry to be deleted")
        assert not listener.answered.is_set()
    finally:
        listener.answered.set()
        driver.stop()
