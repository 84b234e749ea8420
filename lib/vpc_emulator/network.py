"""The reading actions about what surrounds the entries: gateways, EIPs, routes, network interfaces."""

from collections.abc import Iterable
from typing import Any, Final

from vpc_emulator import exceptions as errors
from vpc_emulator import values
from vpc_emulator.account import Account
from vpc_emulator.assets import Eip, NetworkInterface, RouteTable
from vpc_emulator.gateways import Gateway
from vpc_emulator.values import Parameters

Answer = dict[str, Any]

_MAX_ADDRESSES: Final = 100
_MIN_RESULTS: Final = 10
_MAX_RESULTS: Final = 500


class NetworkAnswers(Account):
    """Describes the account's network."""

    def describe_nat_gateways(self, parameters: Parameters) -> Answer:
        """List NAT gateways: pages of 10, at most 50."""
        region = self._region(parameters)
        wanted = {
            "NatGatewayId": parameters.get("NatGatewayId"),
            "VpcId": self._vpc(parameters, region),
            "Status": parameters.get("Status"),
        }
        zone = parameters.get("ZoneId")
        shown = [
            self._gateway_answer(gateway)
            for gateway in self.gateways.values()
            if gateway.region == region and zone in {None, "", gateway.spec.zone}
        ]
        return _page(_filtered(shown, wanted), "NatGateways", "NatGateway", parameters, high=50)

    def describe_eip_addresses(self, parameters: Parameters) -> Answer:
        """List EIPs: pages of 10, at most 100."""
        region = self._region(parameters)
        wanted = {
            "AllocationId": parameters.get("AllocationId"),
            "InstanceId": parameters.get("AssociatedInstanceId"),
            "InstanceType": parameters.get("AssociatedInstanceType"),
            "Status": parameters.get("Status"),
        }
        addresses = [text.strip() for text in parameters.get("EipAddress", "").split(",") if text.strip()]
        shown = [
            _eip_answer(eip, in_binding=self.is_in_binding(eip.address))
            for eip in self.eips.values()
            if eip.region == region and (not addresses or eip.address in addresses)
        ]
        return _page(_filtered(shown, wanted), "EipAddresses", "EipAddress", parameters, high=100)

    def describe_route_table_list(self, parameters: Parameters) -> Answer:
        """List route tables with their vSwitches: pages of 10, at most 50."""
        region = self._region(parameters)
        wanted = {
            "RouteTableId": parameters.get("RouteTableId"),
            "VpcId": self._vpc(parameters, region),
            "RouteTableType": parameters.get("RouteTableType"),
        }
        shown = [
            self._route_table_answer(table)
            for table in self.route_tables.values()
            if self.world.vpcs[table.vpc].region == region
        ]
        return _page(_filtered(shown, wanted), "RouterTableList", "RouterTableListType", parameters, high=50)

    def describe_route_entry_list(self, parameters: Parameters) -> Answer:
        """List the routes of one table: the default route, and a system route to each vSwitch."""
        region = self._region(parameters)
        table = self.route_tables.get(values.required(parameters, "RouteTableId"))
        if table is None or self.world.vpcs[table.vpc].region != region:
            raise errors.RouteTableNotFound(parameters["RouteTableId"])
        hops = {"NextHopType": parameters.get("NextHopType"), "NextHopId": parameters.get("NextHopId")}
        wanted = {
            "DestinationCidrBlock": parameters.get("DestinationCidrBlock"),
            "Type": parameters.get("RouteEntryType"),
        }
        shown = [
            route for route in _filtered(self._routes(table), wanted) if _filtered(route["NextHops"]["NextHop"], hops)
        ]
        size = values.number(parameters, "MaxResult", default=10, high=100)
        start = values.number(parameters, "NextToken", default=0, low=0)
        answer: Answer = {
            "RouteEntrys": {"RouteEntry": shown[start : start + size]},
            "TotalCount": len(shown),
        }
        return answer | _next_token(start + size, len(shown))

    def describe_network_interfaces(self, parameters: Parameters) -> Answer:
        """List network interfaces, also by up to 100 private addresses, primary or secondary."""
        region = self._region(parameters)
        addresses = values.repeated(parameters, "PrivateIpAddress")
        if len(addresses) > _MAX_ADDRESSES:
            raise errors.InvalidParameter("more than 100 of PrivateIpAddress")
        if not all(map(values.is_ipv4, addresses)):
            raise errors.InvalidParameter("PrivateIpAddress")
        wanted = {
            "InstanceId": parameters.get("InstanceId"),
            "VSwitchId": parameters.get("VSwitchId"),
            "VpcId": self._vpc(parameters, region),
            "PrivateIpAddress": parameters.get("PrimaryIpAddress"),
            "Status": parameters.get("Status"),
        }
        ids = values.repeated(parameters, "NetworkInterfaceId")
        group = parameters.get("SecurityGroupId")
        interfaces = [
            eni
            for eni in self._interfaces_with(addresses)
            if self.world.vpcs[eni.vpc].region == region
            and (not ids or eni.id in ids)
            and (not group or group in eni.security_groups)
        ]
        return _interface_page(_filtered([_interface_answer(eni) for eni in interfaces], wanted), parameters)

    def _interfaces_with(self, addresses: list[str]) -> Iterable[NetworkInterface]:
        if not addresses:
            return self.interfaces.values()
        in_prefixes = self.world.address_filter_finds_prefixes
        found = (self.interface_at(address, in_prefixes=in_prefixes) for address in addresses)
        return {eni.id: eni for eni in found if eni is not None}.values()

    def _region(self, parameters: Parameters) -> str:
        region = values.required(parameters, "RegionId")
        if region not in self.world.regions:
            raise errors.RegionNotFound(region)
        return region

    def _vpc(self, parameters: Parameters, region: str) -> str | None:
        vpc_id = parameters.get("VpcId")
        if vpc_id:
            vpc = self.world.vpcs.get(vpc_id)
            if vpc is None or vpc.region != region:
                raise errors.VpcNotFound(vpc_id)
        return vpc_id

    def _gateway_answer(self, gateway: Gateway) -> Answer:
        self.settle(gateway)
        spec = gateway.spec
        eips = [eip for eip in self.eips.values() if eip.gateway == spec.id]
        return {
            "NatGatewayId": spec.id,
            "Name": spec.id,
            "Status": gateway.status,
            "BusinessStatus": gateway.business_status,
            "NatType": "Enhanced",
            "NetworkType": "internet",
            "RegionId": gateway.region,
            "VpcId": spec.vpc,
            "ForwardTableIds": {"ForwardTableId": list(gateway.tables)},
            "SnatTableIds": {"SnatTableId": [f"stb-{spec.id}"]},
            "IpLists": {
                "IpList": [
                    {
                        "IpAddress": eip.address,
                        "AllocationId": eip.allocation_id,
                        "UsingStatus": _using_status(gateway, eip),
                        "SnatEntryEnabled": eip.snat_entry_enabled,
                    }
                    for eip in eips
                ]
            },
            "NatGatewayPrivateInfo": {"VswitchId": spec.vswitch} | ({"IzNo": spec.zone} if spec.zone else {}),
        }

    def _route_table_answer(self, table: RouteTable) -> Answer:
        vswitches = [
            vswitch.id
            for vswitch in self.world.vswitches.values()
            if vswitch.route_table == table.id and table.lists_vswitches
        ]
        return {
            "RouteTableId": table.id,
            "RouteTableName": table.id,
            "RouteTableType": table.type,
            "RouterType": "VRouter",
            "RouterId": f"vrt-{table.vpc}",
            "VpcId": table.vpc,
            "AssociateType": "VSwitch",
            "Status": "Available",
            "VSwitchIds": {"VSwitchId": vswitches},
        }

    def _routes(self, table: RouteTable) -> list[Answer]:
        routes = [
            _route(table, vswitch.cidr, "System", "local", "")
            for vswitch in self.world.vswitches.values()
            if vswitch.vpc == table.vpc
        ]
        if table.next_hop_type:
            routes.insert(0, _route(table, "0.0.0.0/0", "Custom", table.next_hop_type, table.next_hop_id))
        return routes


def _using_status(gateway: Gateway, eip: Eip) -> str:
    """Tell what uses an EIP now, as UsingStatus does (VPC API reference, DescribeNatGateways)."""
    if gateway.entries_at(eip.address):
        return "UsedByForwardSnatTable" if eip.snat else "UsedByForwardTable"
    return "UsedBySnatTable" if eip.snat else "Idle"


def _filtered(items: list[Answer], wanted: dict[str, str | None]) -> list[Answer]:
    return [item for item in items if all(not value or item.get(name) == value for name, value in wanted.items())]


def _page(items: list[Answer], outer: str, inner: str, parameters: Parameters, *, high: int) -> Answer:
    size = values.number(parameters, "PageSize", default=10, high=high)
    page = values.number(parameters, "PageNumber", default=1)
    shown = items[(page - 1) * size : page * size]
    return {outer: {inner: shown}, "PageNumber": page, "PageSize": size, "TotalCount": len(items)}


def _next_token(end: int, total: int) -> Answer:
    return {"NextToken": str(end)} if end < total else {}


def _interface_page(items: list[Answer], parameters: Parameters) -> Answer:
    """Page as ECS does: by MaxResults and NextToken, or the old way by PageNumber."""
    if "PageNumber" in parameters or "PageSize" in parameters:
        return _page(items, "NetworkInterfaceSets", "NetworkInterfaceSet", parameters, high=_MAX_RESULTS)
    size = values.number(parameters, "MaxResults", default=_MIN_RESULTS)
    size = min(max(size, _MIN_RESULTS), _MAX_RESULTS)
    start = values.number(parameters, "NextToken", default=0, low=0)
    answer: Answer = {
        "NetworkInterfaceSets": {"NetworkInterfaceSet": items[start : start + size]},
        "TotalCount": len(items),
    }
    return answer | _next_token(start + size, len(items))


def _eip_answer(eip: Eip, *, in_binding: bool) -> Answer:
    bound = bool(eip.gateway)
    status = "InUse" if bound else "Available"
    return {
        "AllocationId": eip.allocation_id,
        "IpAddress": eip.address,
        "InstanceId": eip.gateway,
        "InstanceType": "Nat" if bound else "",
        "Status": "Associating" if in_binding else status,
        "BusinessStatus": "Normal",
        "RegionId": eip.region,
        "OperationLocks": {"LockReason": []},
    }


def _route(table: RouteTable, cidr: str, kind: str, hop_type: str, hop_id: str) -> Answer:
    return {
        "RouteTableId": table.id,
        "RouteEntryId": f"rte-{table.id}-{cidr.replace('/', '-')}",
        "DestinationCidrBlock": cidr,
        "IpVersion": "ipv4",
        "Type": kind,
        "Status": "Available",
        "NextHops": {"NextHop": [{"NextHopType": hop_type, "NextHopId": hop_id, "Enabled": 1, "Weight": 100}]},
    }


def _interface_answer(eni: NetworkInterface) -> Answer:
    public = {"PublicIpAddress": eni.public_ip} if eni.public_ip else {}
    return {
        "NetworkInterfaceId": eni.id,
        "NetworkInterfaceName": eni.id,
        "Type": "Secondary",
        "Status": "InUse",
        "InstanceId": eni.instance,
        "Ipv4PrefixSets": {"Ipv4PrefixSet": [{"Ipv4Prefix": prefix} for prefix in eni.ipv4_prefixes]},
        "VpcId": eni.vpc,
        "VSwitchId": eni.vswitch,
        "ZoneId": eni.zone,
        "PrivateIpAddress": eni.private_ips[0],
        "SecurityGroupIds": {"SecurityGroupId": list(eni.security_groups)},
        "AssociatedPublicIp": public,
        "PrivateIpSets": {
            "PrivateIpSet": [
                {
                    "PrivateIpAddress": address,
                    "Primary": at == 0,
                    "AssociatedPublicIp": public if at == 0 else {},
                }
                for at, address in enumerate(eni.private_ips)
            ]
        },
    }
