"""A listing has no documented order, and its pages are read one after the other while others write."""

import pytest

from tests.emulator.support import EIP, GATEWAY, Cloud, small_world
from vpc_emulator import Emulator, Fault, World
from vpc_emulator.assets import ListingOrder


@pytest.fixture
def names(emulator: Emulator) -> list[str]:
    """Fill three pages of two rows with foreign entries, and return their names."""
    names = [f"entry-{number}" for number in range(6)]
    for number, name in enumerate(names):
        emulator.add_entry(
            GATEWAY,
            external_ip=EIP,
            external_port=1000 + number,
            internal_ip="172.16.1.1",
            internal_port=80 + number,
            name=name,
        )
    return names


def _page(cloud: Cloud, number: int) -> list[str]:
    return [entry["ForwardEntryName"] for entry in cloud.entries(page_size=2, page_number=number)]


def _pages(cloud: Cloud) -> list[str]:
    return [name for number in (1, 2, 3) for name in _page(cloud, number)]


def test_rows_come_in_order_of_creation_unless_told_otherwise(cloud: Cloud, names: list[str]) -> None:
    assert _pages(cloud) == names


def test_rows_come_newest_first(cloud: Cloud, emulator: Emulator, names: list[str]) -> None:
    emulator.set_listing_order("reverse")
    assert _pages(cloud) == names[::-1]


def test_arbitrary_order_is_another_one_but_stays(cloud: Cloud, emulator: Emulator, names: list[str]) -> None:
    emulator.set_listing_order("arbitrary")
    shown = _pages(cloud)
    assert sorted(shown) == names
    assert shown not in (names, names[::-1])
    assert _pages(cloud) == shown


def test_new_row_comes_anywhere_in_arbitrary_order(cloud: Cloud, emulator: Emulator) -> None:
    emulator.set_listing_order("arbitrary")
    ids = [cloud.create(external_port=str(100 + number), internal_port=str(100 + number)) for number in range(8)]
    assert [entry["ForwardEntryId"] for entry in cloud.entries()] == sorted(ids)


def test_unknown_order_is_refused(emulator: Emulator) -> None:
    order: ListingOrder = "sideways"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="sideways is none of"):
        emulator.set_listing_order(order)


def test_world_tells_the_order() -> None:
    world = World.from_dict(small_world(listing_order="reverse"))
    assert Emulator(world).listing_order == "reverse"


def test_default_order_is_for_worlds_that_tell_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Emulator, "default_listing_order", "arbitrary")
    assert Emulator(World.from_dict(small_world())).listing_order == "arbitrary"
    assert Emulator(World.from_dict(small_world(listing_order="creation"))).listing_order == "creation"


def test_row_slips_when_others_write_between_two_pages(cloud: Cloud, emulator: Emulator, names: list[str]) -> None:
    first = _page(cloud, 1)
    emulator.delete_entry(GATEWAY, emulator.forward_entries(GATEWAY)[0].id)
    cloud.create(forward_entry_name="newcomer")
    shown = first + _page(cloud, 2) + _page(cloud, 3)
    assert shown == [*names[:2], *names[3:], "newcomer"]


@pytest.mark.parametrize("order", ["creation", "arbitrary"])
@pytest.mark.usefixtures("names")
def test_slipped_row_is_missed_though_totals_agree(cloud: Cloud, emulator: Emulator, order: ListingOrder) -> None:
    emulator.set_listing_order(order)
    before = [entry["ForwardEntryId"] for entry in cloud.entries()]
    emulator.add_fault(Fault("slip-row", action="DescribeForwardTableEntries"))
    pages = [cloud.listing(page_size=2, page_number=number) for number in (1, 2, 3)]
    shown = {row["ForwardEntryId"] for page in pages for row in page["ForwardTableEntries"]["ForwardTableEntry"]}
    assert [page["TotalCount"] for page in pages] == [6, 6, 6]
    assert len(shown) == 6
    assert set(before) - shown == {before[2]}
    assert len(cloud.entries(forward_entry_id=before[2])) == 1


def test_slip_leaves_first_pages_alone(cloud: Cloud, emulator: Emulator, names: list[str]) -> None:
    emulator.add_fault(Fault("slip-row"))
    assert _page(cloud, 1) == names[:2]
    assert len(emulator.faults.list()) == 1


def test_nothing_slips_without_a_foreign_row_before_the_page(cloud: Cloud, emulator: Emulator) -> None:
    ids = [cloud.create(external_port=str(100 + number), internal_port=str(100 + number)) for number in range(4)]
    emulator.add_fault(Fault("slip-row"))
    rows = [row for page in (1, 2) for row in cloud.entries(page_size=2, page_number=page)]
    assert [row["ForwardEntryId"] for row in rows] == ids
