"""The reading calls around the entries."""

from alibabacloud_vpc20160428 import models as vpc

from tests.emulator.support import EIP, GATEWAY, POD_WITH_EIP, REGION, SNAT_EIP, Cloud, Refusal, small_world
from vpc_emulator import Emulator, EmulatorServer, World


def test_gateway_tells_tables_addresses_and_zone(cloud: Cloud) -> None:
    (gateway,) = cloud.gateways(nat_gateway_id=GATEWAY)
    assert gateway["ForwardTableIds"] == {"ForwardTableId": ["ftb-1"]}
    assert gateway["NatGatewayPrivateInfo"] == {"VswitchId": "vsw-1", "IzNo": "cn-hangzhou-j"}
    shown = [(ip["IpAddress"], ip["AllocationId"]) for ip in gateway["IpLists"]["IpList"]]
    assert shown == [(EIP, "eip-47-96-0-1"), (SNAT_EIP, "eip-snat")]


def test_gateway_of_a_whole_region_has_no_zone() -> None:
    raw = small_world()
    raw["nat_gateways"][0]["regional"] = True
    with EmulatorServer(Emulator(World.from_dict(raw))) as server:
        (gateway,) = Cloud(server.endpoint).gateways(nat_gateway_id=GATEWAY)
    assert gateway["NatGatewayPrivateInfo"] == {"VswitchId": "vsw-1"}


def test_gateways_are_found_by_vpc_and_zone(cloud: Cloud) -> None:
    assert len(cloud.gateways(vpc_id="vpc-1")) == 2
    assert [gateway["NatGatewayId"] for gateway in cloud.gateways(zone_id="cn-hangzhou-k")] == ["ngw-2"]


def test_gateways_of_unknown_vpc_are_not_found(cloud: Cloud) -> None:
    with Refusal("InvalidVpcId.NotFound", 404):
        cloud.gateways(vpc_id="vpc-0")


def test_removed_gateway_is_listed_no_more(cloud: Cloud, emulator: Emulator) -> None:
    emulator.remove_gateway(GATEWAY)
    assert cloud.gateways(nat_gateway_id=GATEWAY) == []


def test_eips_of_a_gateway_follow_binding_and_unbinding(cloud: Cloud, emulator: Emulator) -> None:
    def of_gateway() -> list[str]:
        return cloud.eips(associated_instance_type="Nat", associated_instance_id=GATEWAY)

    assert of_gateway() == [EIP, SNAT_EIP]
    emulator.remove_eip(GATEWAY, EIP)
    emulator.add_eip(GATEWAY, "47.96.0.3")
    assert of_gateway() == [SNAT_EIP, "47.96.0.3"]


def test_eip_is_found_by_address(cloud: Cloud) -> None:
    assert cloud.eips(eip_address=f"{EIP},47.96.0.9") == [EIP, "47.96.0.9"]


def test_route_tables_tell_their_vswitches(cloud: Cloud) -> None:
    request = vpc.DescribeRouteTableListRequest(region_id=REGION, vpc_id="vpc-1")
    body = cloud.vpc.describe_route_table_list(request).body.to_map()
    tables = body["RouterTableList"]["RouterTableListType"]
    assert {table["RouteTableId"]: table["VSwitchIds"]["VSwitchId"] for table in tables} == {
        "vtb-1": ["vsw-1"],
        "vtb-2": ["vsw-2"],
    }


def _default_hops(cloud: Cloud, table: str) -> list[tuple[str, str]]:
    request = vpc.DescribeRouteEntryListRequest(
        region_id=REGION, route_table_id=table, destination_cidr_block="0.0.0.0/0"
    )
    routes = cloud.vpc.describe_route_entry_list(request).body.to_map()["RouteEntrys"]["RouteEntry"]
    return [(hop["NextHopType"], hop["NextHopId"]) for route in routes for hop in route["NextHops"]["NextHop"]]


def test_default_route_points_at_the_gateway(cloud: Cloud) -> None:
    assert _default_hops(cloud, "vtb-1") == [("NatGateway", GATEWAY)]


def test_route_table_without_default_route_shows_none(cloud: Cloud) -> None:
    assert _default_hops(cloud, "vtb-2") == []


def test_changed_default_route_is_shown(cloud: Cloud, emulator: Emulator) -> None:
    emulator.set_default_route("vtb-1", "Instance", "i-1")
    assert _default_hops(cloud, "vtb-1") == [("Instance", "i-1")]


def test_routes_of_unknown_table_are_not_found(cloud: Cloud) -> None:
    with Refusal("InvalidRouteTableId.NotFound", 404):
        _default_hops(cloud, "vtb-0")


def test_interfaces_are_found_by_several_addresses_at_once(cloud: Cloud) -> None:
    addresses = ["172.16.1.3", "172.16.1.9", "172.16.16.1", "172.31.255.255"]
    assert cloud.interface_ids(private_ip_address=addresses) == ["eni-1", "eni-2"]


def test_interface_tells_vswitch_zone_groups_and_addresses(cloud: Cloud) -> None:
    body = cloud.interfaces(private_ip_address=["172.16.1.3"])
    (interface,) = body["NetworkInterfaceSets"]["NetworkInterfaceSet"]
    assert (interface["VSwitchId"], interface["ZoneId"]) == ("vsw-1", "cn-hangzhou-j")
    assert interface["SecurityGroupIds"] == {"SecurityGroupId": ["sg-1"]}
    addresses = [one["PrivateIpAddress"] for one in interface["PrivateIpSets"]["PrivateIpSet"]]
    assert addresses == [f"172.16.1.{number}" for number in range(16)]


def test_interface_tells_its_own_public_address(cloud: Cloud) -> None:
    body = cloud.interfaces(private_ip_address=[POD_WITH_EIP])
    (interface,) = body["NetworkInterfaceSets"]["NetworkInterfaceSet"]
    assert interface["AssociatedPublicIp"] == {"PublicIpAddress": "8.8.4.4"}


def test_interfaces_are_asked_for_at_most_a_hundred_addresses(cloud: Cloud) -> None:
    addresses = [f"172.16.1.{number}" for number in range(101)]
    assert cloud.interface_ids(private_ip_address=addresses[:100]) == ["eni-1"]
    with Refusal("InvalidParameter", 400):
        cloud.interface_ids(private_ip_address=addresses)


def test_interfaces_are_found_by_vswitch(cloud: Cloud) -> None:
    assert cloud.interface_ids(v_switch_id="vsw-2") == ["eni-2"]
