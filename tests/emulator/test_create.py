"""CreateForwardEntry: what it makes, and what it refuses."""

import pytest

from tests.emulator.support import EIP, GATEWAY, POD_WITH_EIP, SNAT_EIP, Cloud, Refusal
from vpc_emulator import Emulator


def test_created_entry_is_listed_with_all_it_was_given(cloud: Cloud) -> None:
    entry_id = cloud.create(forward_entry_name="poddnat_c1_uid")
    assert cloud.entries() == [
        {
            "ForwardEntryId": entry_id,
            "ForwardEntryName": "poddnat_c1_uid",
            "ForwardTableId": "ftb-1",
            "NatGatewayId": "ngw-1",
            "ExternalIp": EIP,
            "ExternalPort": "512",
            "InternalIp": "172.16.1.7",
            "InternalPort": "80",
            "IpProtocol": "tcp",
            "Status": "Available",
        }
    ]


@pytest.mark.parametrize(
    ("changes", "code", "status"),
    [
        pytest.param({"external_ip": "one"}, "InvalidExternalIp.Malformed", 400, id="external ip is a word"),
        pytest.param({"internal_ip": "172.16"}, "InvalidInternalIp.Malformed", 400, id="internal ip is short"),
        pytest.param({"external_port": "0"}, "InvalidExternalPort.Malformed", 400, id="port 0"),
        pytest.param({"external_port": "65536"}, "InvalidExternalPort.Malformed", 400, id="port 65536"),
        pytest.param({"internal_port": "080"}, "InvalidInternalPort.Malformed", 400, id="leading zero"),
        pytest.param({"external_port": "20/10"}, "InvalidExternalPort.Malformed", 400, id="range backwards"),
        pytest.param({"external_port": "10/20"}, "InvalidExternalPort.Malformed", 400, id="range onto a port"),
        pytest.param({"external_port": "Any"}, "InvalidExternalPort.Malformed", 400, id="any port of TCP"),
        pytest.param({"ip_protocol": "sctp"}, "InvalidProtocal.ValueNotSupported", 400, id="protocol sctp"),
        pytest.param({"ip_protocol": "Any"}, "InvalidExternalPort.Malformed", 400, id="Any with a port"),
        pytest.param({"forward_entry_name": "a"}, "InvalidParameter.Name.Malformed", 400, id="short name"),
        pytest.param({"forward_entry_name": "1abc"}, "InvalidParameter.Name.Malformed", 400, id="digit first"),
        pytest.param({"forward_entry_name": "a/b"}, "InvalidParameter.Name.Malformed", 400, id="slash in name"),
        pytest.param({"forward_entry_name": "a" * 129}, "InvalidParameter.Name.Malformed", 400, id="long name"),
        pytest.param({"internal_port": None}, "MissingParameter", 400, id="no internal port"),
        pytest.param({"region_id": "mars"}, "InvalidRegionId.NotFound", 404, id="unknown region"),
        pytest.param({"region_id": "cn-beijing"}, "InvalidForwardTableId.NotFound", 404, id="other region"),
        pytest.param({"forward_table_id": "ftb-0"}, "InvalidForwardTableId.NotFound", 404, id="unknown table"),
        pytest.param({"external_ip": "47.0.0.1"}, "InvalidExternalIp.NotFound", 404, id="not our EIP"),
        pytest.param({"external_ip": "47.96.0.9"}, "InvalidIp.NotInNatgw", 400, id="EIP of another gateway"),
        pytest.param({"external_ip": "47.96.0.100"}, "InvalidIp.NotInNatgw", 400, id="EIP of no gateway"),
        pytest.param({"internal_ip": "10.0.0.1"}, "Forbidden.InternalIpOutOfVpcCIDR", 400, id="not in the VPC"),
        pytest.param({"internal_ip": POD_WITH_EIP}, "Forbindden", 400, id="target has an EIP"),
        pytest.param({"internal_ip": EIP}, "InvalidParameter", 400, id="external is internal"),
        pytest.param({"client_token": "ü"}, "InvalidClientToken.Malformed", 400, id="token is not ASCII"),
        pytest.param({"client_token": "t" * 65}, "InvalidClientToken.Malformed", 400, id="token too long"),
        pytest.param({"dry_run": True}, "DryRunOperation", 400, id="dry run that passes"),
    ],
)
def test_create_is_refused(cloud: Cloud, changes: dict[str, object], code: str, status: int) -> None:
    with Refusal(code, status):
        cloud.create(**changes)
    assert cloud.entries() == []


def test_dry_run_reports_what_would_be_refused(cloud: Cloud) -> None:
    cloud.create()
    with Refusal("OperationUnsupported.ForwardEntry"):
        cloud.create(external_port="513", dry_run=True)


def test_same_external_port_of_other_protocol_is_accepted(cloud: Cloud) -> None:
    cloud.create(ip_protocol="tcp")
    cloud.create(ip_protocol="UDP")
    assert [entry["IpProtocol"] for entry in cloud.entries()] == ["tcp", "udp"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"internal_port": "81"}, "InvalidParameter.ForwardEntry.Duplicated", id="external side"),
        pytest.param({"external_port": "513"}, "OperationUnsupported.ForwardEntry", id="internal side"),
        pytest.param(
            {"external_port": "500/520", "internal_port": "100/120"},
            "InvalidParameter.ForwardEntry.Duplicated",
            id="external range around it",
        ),
        pytest.param(
            {"external_port": "600/620", "internal_port": "70/90"},
            "OperationUnsupported.ForwardEntry",
            id="internal range around it",
        ),
    ],
)
def test_taken_side_is_refused(cloud: Cloud, changes: dict[str, str], code: str) -> None:
    cloud.create()
    with Refusal(code, 400):
        cloud.create(**changes)


def test_quota_counts_a_range_as_one_entry(cloud: Cloud, emulator: Emulator) -> None:
    emulator.set_quota(GATEWAY, 2)
    cloud.create(external_port="1000/1099", internal_port="2000/2099")
    cloud.create()
    with Refusal("QuotaExceeded.ForwardEntry", 400):
        cloud.create(external_port="513", internal_port="81")


def test_high_port_of_snat_address_needs_port_break(cloud: Cloud) -> None:
    with Refusal("Forbidden.ExternalIp.UsedInSnatTable", 400):
        cloud.create(external_ip=SNAT_EIP, external_port="1025")
    cloud.create(external_ip=SNAT_EIP, external_port="1024")
    cloud.create(external_ip=SNAT_EIP, external_port="1025", internal_port="81", port_break=True)


def test_ip_mapping_keeps_its_address_for_itself(cloud: Cloud) -> None:
    cloud.create(ip_protocol="Any", external_port="Any", internal_port="Any")
    assert (cloud.entries()[0]["IpProtocol"], cloud.entries()[0]["ExternalPort"]) == ("any", "any")
    with Refusal("Forbidden.ExternalIp.UsedInForwardTable"):
        cloud.create()


def test_ip_mapping_of_used_address_is_refused(cloud: Cloud) -> None:
    cloud.create()
    with Refusal("Forbidden.ExternalIp.UsedInForwardTable"):
        cloud.create(ip_protocol="Any", external_port="Any", internal_port="Any")


def test_ip_mapping_of_snat_address_is_refused(cloud: Cloud) -> None:
    with Refusal("Forbidden.ExternalIp.UsedInSnatTable"):
        cloud.create(external_ip=SNAT_EIP, ip_protocol="Any", external_port="Any", internal_port="Any")


def test_gateway_that_is_not_available_refuses_writes(cloud: Cloud, emulator: Emulator) -> None:
    entry_id = cloud.create()
    emulator.set_gateway_status(GATEWAY, "Modifying")
    with Refusal("IncorrectStatus.NATGW", 400):
        cloud.create(external_port="513", internal_port="81")
    with Refusal("IncorrectStatus.NATGW", 400):
        cloud.delete(entry_id)
