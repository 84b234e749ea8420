"""Other people's rows that change while time passes."""

import pytest

from tests.emulator.support import EIP, GATEWAY, Cloud
from vpc_emulator import Emulator, ManualClock


@pytest.fixture(autouse=True)
def _ten_foreign_entries(emulator: Emulator) -> None:
    for number in range(10):
        emulator.add_entry(
            GATEWAY,
            external_ip=EIP,
            external_port=1000 + number,
            internal_ip="172.16.1.1",
            internal_port=80 + number,
            name="foreign",
        )


def _rows(cloud: Cloud) -> dict[str, str]:
    return {entry["ExternalPort"]: entry["ForwardEntryId"] for entry in cloud.entries()}


def _changed(before: dict[str, str], after: dict[str, str]) -> int:
    assert before.keys() == after.keys()
    return sum(before[port] != after[port] for port in before)


def test_so_many_foreign_entries_are_replaced_each_time(cloud: Cloud, emulator: Emulator, clock: ManualClock) -> None:
    emulator.set_churn(GATEWAY, entries=3, seconds=5)
    first = _rows(cloud)
    clock.advance(5)
    second = _rows(cloud)
    assert _changed(first, second) == 3
    clock.advance(5)
    assert _changed(second, _rows(cloud)) == 3


def test_nothing_is_replaced_before_it_is_time(cloud: Cloud, emulator: Emulator, clock: ManualClock) -> None:
    emulator.set_churn(GATEWAY, entries=3, seconds=5)
    first = _rows(cloud)
    clock.advance(4.9)
    assert _rows(cloud) == first


def test_all_are_replaced_after_a_long_time(cloud: Cloud, emulator: Emulator, clock: ManualClock) -> None:
    emulator.set_churn(GATEWAY, entries=3, seconds=5)
    first = _rows(cloud)
    clock.advance(3600)
    assert _changed(first, _rows(cloud)) == 10


def test_entries_made_through_the_api_stay(cloud: Cloud, emulator: Emulator, clock: ManualClock) -> None:
    entry_id = cloud.create()
    emulator.set_churn(GATEWAY, entries=100, seconds=5)
    clock.advance(5)
    assert _rows(cloud)["512"] == entry_id


def test_churn_ends_when_told(cloud: Cloud, emulator: Emulator, clock: ManualClock) -> None:
    emulator.set_churn(GATEWAY, entries=3, seconds=5)
    emulator.set_churn(GATEWAY, entries=0, seconds=5)
    first = _rows(cloud)
    clock.advance(60)
    assert _rows(cloud) == first


def test_churn_without_time_is_refused(emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="more than 0 seconds"):
        emulator.set_churn(GATEWAY, entries=1, seconds=0)
