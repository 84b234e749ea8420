"""Entries are Pending, then Available; Deleting, then gone. Meanwhile the gateway bears few other writes."""

import pytest

from tests.emulator.support import GATEWAY, Cloud, Refusal
from vpc_emulator import Emulator, Fault, ManualClock


@pytest.fixture(autouse=True)
def _settling_takes_ten_seconds(emulator: Emulator) -> None:
    emulator.set_settle(GATEWAY, 10)


def test_new_entry_is_pending_until_the_delay_is_over(cloud: Cloud, clock: ManualClock) -> None:
    cloud.create()
    clock.advance(9.9)
    assert cloud.statuses() == ["Pending"]
    clock.advance(0.2)
    assert cloud.statuses() == ["Available"]


def test_deleted_entry_is_deleting_and_then_gone(cloud: Cloud, clock: ManualClock) -> None:
    entry_id = cloud.create()
    clock.advance(10)
    cloud.delete(entry_id)
    assert cloud.statuses() == ["Deleting"]
    clock.advance(10)
    assert cloud.entries() == []


def test_deleting_entry_holds_its_ports_until_it_is_gone(cloud: Cloud, clock: ManualClock) -> None:
    entry_id = cloud.create()
    clock.advance(10)
    cloud.delete(entry_id)
    with Refusal("InvalidParameter.ForwardEntry.Duplicated"):
        cloud.create()
    clock.advance(10)
    cloud.create()


def test_serial_gateway_refuses_writes_while_an_entry_is_pending(
    cloud: Cloud, emulator: Emulator, clock: ManualClock
) -> None:
    emulator.set_writes_at_once(GATEWAY, 1)
    entry_id = cloud.create()
    with Refusal("IncorretForwardEntryStatus", 400):
        cloud.create(external_port="513", internal_port="81")
    with Refusal("IncorretForwardEntryStatus", 400):
        cloud.delete(entry_id)
    clock.advance(10)
    cloud.delete(entry_id)
    with Refusal("IncorretForwardEntryStatus", 400):
        cloud.create(external_port="513", internal_port="81")


def test_newer_gateway_bears_as_many_unsettled_entries_as_told(cloud: Cloud, emulator: Emulator) -> None:
    emulator.set_writes_at_once(GATEWAY, 3)
    for number in range(3):
        cloud.create(external_port=str(600 + number), internal_port=str(80 + number))
    with Refusal("IncorretForwardEntryStatus"):
        cloud.create()


def test_entry_is_deleted_once_it_is_available_and_once_only(cloud: Cloud, clock: ManualClock) -> None:
    entry_id = cloud.create()
    with Refusal("IncorretForwardEntryStatus", 400):
        cloud.delete(entry_id)
    clock.advance(10)
    cloud.delete(entry_id)
    with Refusal("IncorrectStatus.ForwardEntry", 400):
        cloud.delete(entry_id)


def test_jitter_spreads_the_delays(cloud: Cloud, emulator: Emulator, clock: ManualClock) -> None:
    emulator.set_settle(GATEWAY, 10, jitter=0.3)
    for number in range(20):
        cloud.create(external_port=str(600 + number), internal_port=str(80 + number))
    clock.advance(6.9)
    assert set(cloud.statuses()) == {"Pending"}
    clock.advance(3.1)
    assert set(cloud.statuses()) == {"Pending", "Available"}
    clock.advance(3.1)
    assert set(cloud.statuses()) == {"Available"}


def test_stuck_entry_stays_pending_until_told(cloud: Cloud, emulator: Emulator, clock: ManualClock) -> None:
    emulator.add_fault(Fault("stick", action="CreateForwardEntry"))
    entry_id = cloud.create()
    clock.advance(100_000)
    assert cloud.statuses() == ["Pending"]
    emulator.settle_entry(GATEWAY, entry_id)
    assert cloud.statuses() == ["Available"]


def test_failing_entry_disappears_instead_of_becoming_available(
    cloud: Cloud, emulator: Emulator, clock: ManualClock
) -> None:
    emulator.add_fault(Fault("fail-entry", action="CreateForwardEntry"))
    cloud.create()
    assert cloud.statuses() == ["Pending"]
    clock.advance(10)
    assert cloud.entries() == []
