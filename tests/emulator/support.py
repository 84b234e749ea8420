"""A small world, and the real SDKs behind short names."""

import copy
from typing import Any

import pytest
from alibabacloud_ecs20140526 import models as ecs
from alibabacloud_ecs20140526.client import Client as EcsClient
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from alibabacloud_tea_openapi.utils_models import Config
from alibabacloud_vpc20160428 import models as vpc
from alibabacloud_vpc20160428.client import Client as VpcClient
from darabonba.runtime import RuntimeOptions

from tests.hushed import KEY_SECRET, STS_SECRET, STS_TOKEN

REGION = "cn-hangzhou"
GATEWAY = "ngw-1"
TABLE = "ftb-1"
EIP = "47.96.0.1"
SNAT_EIP = "47.96.0.2"
POD = "172.16.1.7"
POD_WITH_EIP = "172.16.3.1"
SECRET = KEY_SECRET

_WORLD: dict[str, Any] = {
    "regions": [REGION, "cn-beijing"],
    "credentials": [
        {"access_key_id": "key", "access_key_secret": SECRET},
        {"access_key_id": "sts-key", "access_key_secret": STS_SECRET, "security_token": STS_TOKEN},
        {
            "access_key_id": "reader",
            "access_key_secret": SECRET,
            "actions": ["vpc:DescribeForwardTableEntries"],
        },
    ],
    "vpcs": [{"id": "vpc-1", "cidr": "172.16.0.0/12"}],
    "route_tables": [
        {"id": "vtb-1", "vpc": "vpc-1", "default_route": {"type": "NatGateway", "id": GATEWAY}},
        {"id": "vtb-2", "vpc": "vpc-1"},
    ],
    "vswitches": [
        {
            "id": "vsw-1",
            "vpc": "vpc-1",
            "zone": "cn-hangzhou-j",
            "cidr": "172.16.0.0/20",
            "route_table": "vtb-1",
        },
        {
            "id": "vsw-2",
            "vpc": "vpc-1",
            "zone": "cn-hangzhou-k",
            "cidr": "172.16.16.0/20",
            "route_table": "vtb-2",
        },
    ],
    "nat_gateways": [
        {
            "id": GATEWAY,
            "vpc": "vpc-1",
            "vswitch": "vsw-1",
            "forward_tables": [TABLE],
            "eips": [EIP, {"address": SNAT_EIP, "allocation_id": "eip-snat", "snat": True}],
            "writes_at_once": 100,
        },
        {
            "id": "ngw-2",
            "vpc": "vpc-1",
            "zone": "cn-hangzhou-k",
            "eips": ["47.96.0.9"],
            "settle_seconds": 5,
        },
    ],
    "eips": ["47.96.0.100"],
    "network_interfaces": [
        {"id": "eni-1", "vswitch": "vsw-1", "private_ips": ["172.16.1.0/28"], "security_groups": ["sg-1"]},
        {"id": "eni-2", "vswitch": "vsw-2", "private_ips": "172.16.16.1"},
        {"id": "eni-3", "vswitch": "vsw-1", "private_ips": POD_WITH_EIP, "public_ip": "8.8.4.4"},
    ],
}


def small_world(**changes: Any) -> dict[str, Any]:
    """Two gateways in one VPC: the first settles at once and bears many writes; the second is serial."""
    return {**copy.deepcopy(_WORLD), **changes}


class Cloud:
    """The SDKs as a client of one endpoint."""

    def __init__(self, endpoint: str, *, key: str = "key", secret: str = SECRET, token: str | None = None) -> None:
        config = {
            "access_key_id": key,
            "access_key_secret": secret,
            "security_token": token,
            "endpoint": endpoint,
            "protocol": "HTTP",
            "region_id": REGION,
        }
        self.vpc = VpcClient(Config(**config))
        self.ecs = EcsClient(Config(**config))
        self.runtime = RuntimeOptions()

    def create(self, **changes: Any) -> str:
        """Create an entry and return its id."""
        wanted = {
            "region_id": REGION,
            "forward_table_id": TABLE,
            "external_ip": EIP,
            "external_port": "512",
            "internal_ip": POD,
            "internal_port": "80",
            "ip_protocol": "TCP",
        }
        request = vpc.CreateForwardEntryRequest(**(wanted | changes))
        answer = self.vpc.create_forward_entry_with_options(request, self.runtime)
        return str(answer.body.forward_entry_id)

    def delete(self, entry_id: str, **changes: Any) -> None:
        wanted = {"region_id": REGION, "forward_table_id": TABLE, "forward_entry_id": entry_id}
        request = vpc.DeleteForwardEntryRequest(**(wanted | changes))
        self.vpc.delete_forward_entry_with_options(request, self.runtime)

    def listing(self, **filters: Any) -> dict[str, Any]:
        """Return the answer of DescribeForwardTableEntries."""
        request = vpc.DescribeForwardTableEntriesRequest(
            **({"region_id": REGION, "forward_table_id": TABLE, "page_size": 50} | filters)
        )
        answer: dict[str, Any] = self.vpc.describe_forward_table_entries(request).body.to_map()
        return answer

    def entries(self, **filters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.listing(**filters)["ForwardTableEntries"]["ForwardTableEntry"]
        return found

    def statuses(self, **filters: Any) -> list[str]:
        return [entry["Status"] for entry in self.entries(**filters)]

    def gateways(self, **filters: Any) -> list[dict[str, Any]]:
        request = vpc.DescribeNatGatewaysRequest(**({"region_id": REGION} | filters))
        found: list[dict[str, Any]] = self.vpc.describe_nat_gateways(request).body.to_map()["NatGateways"]["NatGateway"]
        return found

    def eips(self, **filters: Any) -> list[str]:
        request = vpc.DescribeEipAddressesRequest(**({"region_id": REGION} | filters))
        body = self.vpc.describe_eip_addresses(request).body.to_map()
        return [eip["IpAddress"] for eip in body["EipAddresses"]["EipAddress"]]

    def interfaces(self, **filters: Any) -> dict[str, Any]:
        request = ecs.DescribeNetworkInterfacesRequest(**({"region_id": REGION} | filters))
        answer: dict[str, Any] = self.ecs.describe_network_interfaces(request).body.to_map()
        return answer

    def interface_ids(self, **filters: Any) -> list[str]:
        found = self.interfaces(**filters)["NetworkInterfaceSets"]["NetworkInterfaceSet"]
        return [interface["NetworkInterfaceId"] for interface in found]


class Refusal:
    """A context in which the cloud must refuse a call with this code."""

    def __init__(self, code: str, status: int | None = None) -> None:
        self.code, self.status = code, status
        self._raises = pytest.raises(AlibabaCloudException)

    def __enter__(self) -> pytest.ExceptionInfo[AlibabaCloudException]:
        return self._raises.__enter__()

    def __exit__(self, *about: Any) -> bool:
        caught = self._raises.__exit__(*about)
        error = self._raises.excinfo.value
        assert error.code == self.code
        assert self.status in {None, error.status_code}
        return caught
