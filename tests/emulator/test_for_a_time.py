"""What refuses writes for a time: entries that get stuck, addresses in binding, gateways in change or unpaid."""

import pytest

from tests.emulator.support import EIP, GATEWAY, SNAT_EIP, Cloud, Refusal
from vpc_emulator import Emulator, Fault, ManualClock


def test_stuck_entry_is_pending_for_its_time(cloud: Cloud, emulator: Emulator, clock: ManualClock) -> None:
    emulator.add_fault(Fault("stick", action="CreateForwardEntry", seconds=300))
    cloud.create()
    clock.advance(299)
    assert cloud.statuses() == ["Pending"]
    clock.advance(1)
    assert cloud.statuses() == ["Available"]


def test_stuck_delete_is_deleting_for_its_time(cloud: Cloud, emulator: Emulator, clock: ManualClock) -> None:
    emulator.add_fault(Fault("stick", action="DeleteForwardEntry", seconds=300))
    cloud.delete(cloud.create())
    clock.advance(299)
    assert cloud.statuses() == ["Deleting"]
    clock.advance(1)
    assert cloud.entries() == []


def test_stuck_delete_without_a_time_waits_to_be_released(cloud: Cloud, emulator: Emulator, clock: ManualClock) -> None:
    emulator.add_fault(Fault("stick", action="DeleteForwardEntry"))
    entry_id = cloud.create()
    cloud.delete(entry_id)
    clock.advance(100_000)
    assert cloud.statuses() == ["Deleting"]
    emulator.settle_entry(GATEWAY, entry_id)
    assert cloud.entries() == []


@pytest.mark.parametrize(("status", "left"), [("Pending", ["Available"]), ("Deleting", [])])
def test_settled_entry_gets_stuck_for_a_time(
    cloud: Cloud, emulator: Emulator, clock: ManualClock, status: str, left: list[str]
) -> None:
    emulator.stick_entry(GATEWAY, cloud.create(), status=status, seconds=60)
    assert cloud.statuses() == [status]
    clock.advance(60)
    assert cloud.statuses() == left


def test_entry_gets_stuck_in_no_other_status(cloud: Cloud, emulator: Emulator) -> None:
    entry_id = cloud.create()
    with pytest.raises(ValueError, match="stuck in status Available"):
        emulator.stick_entry(GATEWAY, entry_id, status="Available")


@pytest.mark.parametrize("writes_at_once", [pytest.param(1, id="old gateway"), pytest.param(100, id="new gateway")])
def test_pending_entry_cannot_be_deleted(cloud: Cloud, emulator: Emulator, writes_at_once: int) -> None:
    emulator.set_writes_at_once(GATEWAY, writes_at_once)
    entry_id = cloud.create()
    emulator.stick_entry(GATEWAY, entry_id)
    with Refusal("IncorretForwardEntryStatus", 400):
        cloud.delete(entry_id)


def test_pending_entry_of_a_new_gateway_stops_no_other_delete(cloud: Cloud, emulator: Emulator) -> None:
    other = cloud.create(external_port="513", internal_port="81")
    emulator.stick_entry(GATEWAY, cloud.create())
    cloud.delete(other)


def test_pending_entry_of_an_old_gateway_stops_every_delete(cloud: Cloud, emulator: Emulator) -> None:
    emulator.set_writes_at_once(GATEWAY, 1)
    other = cloud.create(external_port="513", internal_port="81")
    emulator.stick_entry(GATEWAY, cloud.create())
    with Refusal("IncorretForwardEntryStatus", 400):
        cloud.delete(other)


def test_address_in_binding_refuses_creates_for_a_time(cloud: Cloud, emulator: Emulator, clock: ManualClock) -> None:
    emulator.set_eip_in_binding(EIP, 30)
    with Refusal("OperationUnsupported.EipInBinding", 400):
        cloud.create()
    clock.advance(30)
    cloud.create()


def test_address_in_binding_leaves_the_others_alone(cloud: Cloud, emulator: Emulator) -> None:
    emulator.set_eip_in_binding(EIP, 30)
    cloud.create(external_ip=SNAT_EIP)


def test_entry_of_an_address_in_binding_can_be_deleted(cloud: Cloud, emulator: Emulator) -> None:
    entry_id = cloud.create()
    emulator.set_eip_in_binding(EIP, 30)
    cloud.delete(entry_id)


def test_address_in_binding_is_associating(cloud: Cloud, emulator: Emulator, clock: ManualClock) -> None:
    emulator.set_eip_in_binding(EIP, 30)
    assert cloud.eips(status="Associating") == [EIP]
    clock.advance(30)
    assert cloud.eips(status="Associating") == []


def test_gateway_is_modifying_for_a_time(cloud: Cloud, emulator: Emulator, clock: ManualClock) -> None:
    emulator.set_gateway_status(GATEWAY, "Modifying", seconds=20)
    with Refusal("IncorrectStatus.NATGW", 400):
        cloud.create()
    assert cloud.gateways(nat_gateway_id=GATEWAY)[0]["Status"] == "Modifying"
    clock.advance(20)
    assert cloud.gateways(nat_gateway_id=GATEWAY)[0]["Status"] == "Available"
    cloud.create()


def test_gateway_is_normal_unless_told_otherwise(cloud: Cloud) -> None:
    assert {gateway["BusinessStatus"] for gateway in cloud.gateways()} == {"Normal"}


def test_unpaid_gateway_is_locked_and_refuses_writes(cloud: Cloud, emulator: Emulator) -> None:
    entry_id = cloud.create()
    emulator.set_business_status(GATEWAY, "FinancialLocked")
    (gateway,) = cloud.gateways(nat_gateway_id=GATEWAY)
    assert (gateway["BusinessStatus"], gateway["Status"]) == ("FinancialLocked", "Available")
    with Refusal("Forbidden.FinancialLocked", 400):
        cloud.create(external_port="513", internal_port="81")
    with Refusal("Forbidden.FinancialLocked", 400):
        cloud.delete(entry_id)


def test_unpaid_gateway_still_lists_its_entries(cloud: Cloud, emulator: Emulator) -> None:
    cloud.create()
    emulator.set_business_status(GATEWAY, "FinancialLocked")
    assert cloud.statuses() == ["Available"]
