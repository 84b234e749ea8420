"""Several forward tables on one gateway."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.emulator.support import EIP, GATEWAY, TABLE, Cloud, Refusal, small_world
from vpc_emulator import Emulator, ManualClock, World

OTHER = "ftb-1b"


@pytest.fixture
def emulator(clock: ManualClock) -> Iterator[Emulator]:
    raw = small_world()
    raw["nat_gateways"][0]["forward_tables"] = [TABLE, OTHER]
    raw["nat_gateways"][0]["entries"] = [
        {
            "table": OTHER,
            "external_ip": EIP,
            "external_port": "22",
            "internal_ip": "172.16.1.1",
            "internal_port": "22",
        }
    ]
    emulator = Emulator(World.from_dict(raw), clock=clock, seed=7)
    yield emulator
    assert emulator.bugs == []


def _tables(cloud: Cloud, **filters: Any) -> list[tuple[str, str]]:
    return [(entry["ForwardTableId"], entry["ExternalPort"]) for entry in cloud.entries(**filters)]


def test_gateway_tells_all_its_tables(cloud: Cloud) -> None:
    (gateway,) = cloud.gateways(nat_gateway_id=GATEWAY)
    assert gateway["ForwardTableIds"] == {"ForwardTableId": [TABLE, OTHER]}


def test_created_entry_is_in_the_table_named(cloud: Cloud) -> None:
    cloud.create(forward_table_id=OTHER)
    assert _tables(cloud, forward_table_id=OTHER) == [(OTHER, "22"), (OTHER, "512")]
    assert _tables(cloud, forward_table_id=TABLE) == []


def test_listing_by_gateway_shows_the_entries_of_all_tables(cloud: Cloud) -> None:
    cloud.create()
    assert _tables(cloud, forward_table_id=None, nat_gateway_id=GATEWAY) == [(TABLE, "512"), (OTHER, "22")]


def test_pages_by_gateway_go_through_all_tables(cloud: Cloud) -> None:
    cloud.create()
    pages = [
        _tables(cloud, forward_table_id=None, nat_gateway_id=GATEWAY, page_size=1, page_number=page) for page in (1, 2)
    ]
    assert pages == [[(TABLE, "512")], [(OTHER, "22")]]


def test_table_of_another_gateway_is_not_found(cloud: Cloud) -> None:
    with Refusal("InvalidForwardTableId.NotFound", 404):
        cloud.entries(forward_table_id=TABLE, nat_gateway_id="ngw-2")


def test_entry_is_deleted_in_its_own_table_only(cloud: Cloud) -> None:
    entry_id = cloud.create(forward_table_id=OTHER)
    with Refusal("InvalidForwardEntryId.NotFound", 404):
        cloud.delete(entry_id, forward_table_id=TABLE)
    cloud.delete(entry_id, forward_table_id=OTHER)


def test_quota_is_counted_by_table(cloud: Cloud, emulator: Emulator) -> None:
    emulator.set_quota(GATEWAY, 1)
    cloud.create()
    with Refusal("QuotaExceeded.ForwardEntry", 400):
        cloud.create(forward_table_id=OTHER)


def test_ports_are_unique_within_a_table(cloud: Cloud) -> None:
    cloud.create()
    cloud.create(forward_table_id=OTHER)
    with Refusal("InvalidParameter.ForwardEntry.Duplicated", 400):
        cloud.create(forward_table_id=OTHER, internal_port="81")


def test_ip_mapping_keeps_its_address_from_the_other_table(cloud: Cloud) -> None:
    with Refusal("Forbidden.ExternalIp.UsedInForwardTable"):
        cloud.create(ip_protocol="Any", external_port="Any", internal_port="Any")


def test_pending_entry_of_one_table_blocks_the_other_on_a_serial_gateway(cloud: Cloud, emulator: Emulator) -> None:
    emulator.set_writes_at_once(GATEWAY, 1)
    emulator.set_settle(GATEWAY, 10)
    cloud.create()
    with Refusal("IncorretForwardEntryStatus", 400):
        cloud.create(forward_table_id=OTHER)


def test_address_used_in_any_table_is_used(cloud: Cloud) -> None:
    (gateway,) = cloud.gateways(nat_gateway_id=GATEWAY)
    assert gateway["IpLists"]["IpList"][0]["UsingStatus"] == "UsedByForwardTable"
