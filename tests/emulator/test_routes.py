"""Route tables of type System and Custom, and the vSwitches that use them."""

from typing import Any

import pytest
from alibabacloud_vpc20160428 import models as vpc

from tests.emulator.support import GATEWAY, REGION, Cloud, small_world
from vpc_emulator import Emulator, EmulatorServer, World, WorldError


def _world(*, lists: bool = True) -> dict[str, Any]:
    """A VPC whose second vSwitch names no route table, so that it uses the System one."""
    raw = small_world()
    route = {"type": "NatGateway", "id": GATEWAY}
    system = {"id": "vtb-0", "vpc": "vpc-1", "type": "System", "lists_vswitches": lists, "default_route": route}
    raw["route_tables"].append(system)
    del raw["vswitches"][1]["route_table"]
    return raw


def _tables(raw: dict[str, Any], **filters: str) -> dict[str, tuple[str, list[str]]]:
    with EmulatorServer(Emulator(World.from_dict(raw))) as server:
        request = vpc.DescribeRouteTableListRequest(region_id=REGION, vpc_id="vpc-1", **filters)
        body = Cloud(server.endpoint).vpc.describe_route_table_list(request).body.to_map()
    tables = body["RouterTableList"]["RouterTableListType"]
    return {table["RouteTableId"]: (table["RouteTableType"], table["VSwitchIds"]["VSwitchId"]) for table in tables}


def test_vswitch_without_a_table_uses_the_system_one() -> None:
    assert _tables(_world()) == {
        "vtb-0": ("System", ["vsw-2"]),
        "vtb-1": ("Custom", ["vsw-1"]),
        "vtb-2": ("Custom", []),
    }


def test_system_table_may_not_list_its_vswitches() -> None:
    assert _tables(_world(lists=False))["vtb-0"] == ("System", [])


def test_tables_are_found_by_type() -> None:
    assert list(_tables(_world(), route_table_type="System")) == ["vtb-0"]


def test_vswitch_without_a_table_needs_a_system_one() -> None:
    raw = small_world()
    del raw["vswitches"][1]["route_table"]
    with pytest.raises(WorldError, match=r"vswitches\[1\].route_table: is missing"):
        World.from_dict(raw)


def test_unknown_type_of_table_is_a_mistake() -> None:
    raw = small_world()
    raw["route_tables"][0]["type"] = "Main"
    with pytest.raises(WorldError, match=r"route_tables\[0\].type: is neither"):
        World.from_dict(raw)
