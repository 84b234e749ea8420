"""DescribeForwardTableEntries: pages and filters."""

import pytest

from tests.emulator.support import EIP, GATEWAY, SNAT_EIP, Cloud, Refusal
from vpc_emulator import Emulator


@pytest.fixture
def hundred(emulator: Emulator) -> None:
    for number in range(100):
        emulator.add_entry(
            GATEWAY,
            external_ip=EIP,
            external_port=1000 + number,
            internal_ip=f"172.16.1.{number}",
            internal_port=80,
            name=f"entry-{number}",
        )


@pytest.mark.usefixtures("hundred")
def test_page_has_ten_entries_unless_told_otherwise(cloud: Cloud) -> None:
    answer = cloud.listing(page_size=None)
    assert len(answer["ForwardTableEntries"]["ForwardTableEntry"]) == 10
    assert (answer["TotalCount"], answer["PageNumber"], answer["PageSize"]) == (100, 1, 10)


@pytest.mark.usefixtures("hundred")
def test_pages_together_are_the_whole_table_in_order(cloud: Cloud) -> None:
    names = [entry["ForwardEntryName"] for page in (1, 2, 3) for entry in cloud.entries(page_number=page)]
    assert names == [f"entry-{number}" for number in range(100)]


@pytest.mark.parametrize(
    "filters",
    [
        pytest.param({"page_size": 51}, id="page too large"),
        pytest.param({"page_size": 0}, id="page of nothing"),
        pytest.param({"page_number": 0}, id="page 0"),
    ],
)
def test_impossible_page_is_refused(cloud: Cloud, filters: dict[str, int]) -> None:
    with Refusal("InvalidParameter", 400):
        cloud.listing(**filters)


def test_listing_needs_a_table_or_a_gateway(cloud: Cloud) -> None:
    with Refusal("MissingParameter", 400):
        cloud.listing(forward_table_id=None)


def test_listing_by_gateway_shows_its_tables(cloud: Cloud) -> None:
    entry_id = cloud.create()
    assert cloud.entries(forward_table_id=None, nat_gateway_id=GATEWAY)[0]["ForwardEntryId"] == entry_id
    assert cloud.entries(forward_table_id=None, nat_gateway_id="ngw-2") == []


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        pytest.param({"external_ip": EIP}, ["a", "b", "d"], id="external ip"),
        pytest.param({"external_ip": SNAT_EIP}, ["c"], id="other external ip"),
        pytest.param({"external_ip": EIP, "external_port": "512"}, ["a", "b"], id="external ip and port"),
        pytest.param({"external_port": "600/609"}, ["d"], id="range"),
        pytest.param({"external_port": "605"}, [], id="port inside a range"),
        pytest.param({"internal_ip": "172.16.1.1"}, ["a", "b"], id="internal ip"),
        pytest.param({"internal_port": "80", "internal_ip": "172.16.1.2"}, ["c"], id="internal ip and port"),
        pytest.param({"ip_protocol": "UDP"}, ["b"], id="protocol in capitals"),
        pytest.param({"forward_entry_name": "cc"}, ["c"], id="name"),
        pytest.param({"forward_entry_id": "fwd-0"}, [], id="unknown id"),
        pytest.param({"internal_ip": "172.16.1.1", "external_ip": SNAT_EIP}, [], id="filters that contradict"),
    ],
)
def test_filter_finds(cloud: Cloud, filters: dict[str, str], found: list[str]) -> None:
    cloud.create(internal_ip="172.16.1.1", forward_entry_name="aa")
    cloud.create(internal_ip="172.16.1.1", ip_protocol="udp", forward_entry_name="bb")
    cloud.create(external_ip=SNAT_EIP, internal_ip="172.16.1.2", forward_entry_name="cc")
    cloud.create(external_port="600/609", internal_port="700/709", forward_entry_name="dd")
    assert [entry["ForwardEntryName"][0] for entry in cloud.entries(**filters)] == found


def test_entry_is_found_by_its_id(cloud: Cloud) -> None:
    cloud.create(external_port="600", internal_port="81")
    entry_id = cloud.create()
    assert [entry["ExternalPort"] for entry in cloud.entries(forward_entry_id=entry_id)] == ["512"]
