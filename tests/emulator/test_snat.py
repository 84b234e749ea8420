"""Addresses that SNAT uses beside DNAT: what the gateway tells of them, and what creates on them need."""

import pytest

from tests.emulator.support import EIP, GATEWAY, SNAT_EIP, Cloud, Refusal
from vpc_emulator import Emulator


def _addresses(cloud: Cloud, key: str) -> dict[str, object]:
    (gateway,) = cloud.gateways(nat_gateway_id=GATEWAY)
    return {ip["IpAddress"]: ip[key] for ip in gateway["IpLists"]["IpList"]}


def test_address_tells_what_uses_it_now(cloud: Cloud, emulator: Emulator) -> None:
    emulator.add_eip(GATEWAY, "47.96.0.3")
    emulator.add_eip(GATEWAY, "47.96.0.4")
    emulator.add_snat_entry("47.96.0.4")
    cloud.create()
    cloud.create(external_ip=SNAT_EIP, external_port="80", internal_port="81")
    assert _addresses(cloud, "UsingStatus") == {
        EIP: "UsedByForwardTable",
        SNAT_EIP: "UsedByForwardSnatTable",
        "47.96.0.3": "Idle",
        "47.96.0.4": "UsedBySnatTable",
    }


def test_using_status_follows_entries_that_go(cloud: Cloud, emulator: Emulator) -> None:
    entry_id = cloud.create()
    cloud.delete(entry_id)
    emulator.remove_snat_entry(SNAT_EIP)
    assert set(_addresses(cloud, "UsingStatus").values()) == {"Idle"}


def test_snat_entry_enabled_does_not_tell_whether_there_is_snat(cloud: Cloud, emulator: Emulator) -> None:
    assert set(_addresses(cloud, "SnatEntryEnabled").values()) == {True}
    emulator.add_eip(GATEWAY, SNAT_EIP, snat=True, snat_entry_enabled=False)
    assert _addresses(cloud, "SnatEntryEnabled")[SNAT_EIP] is False
    with Refusal("Forbidden.ExternalIp.UsedInSnatTable", 400):
        cloud.create(external_ip=SNAT_EIP, external_port="1025")


def test_port_break_does_no_harm_where_snat_is_absent(cloud: Cloud) -> None:
    cloud.create(external_port="1025", port_break=True)
    assert cloud.statuses() == ["Available"]


def test_snat_entry_that_comes_later_refuses_high_ports(cloud: Cloud, emulator: Emulator) -> None:
    cloud.create(external_port="1025")
    emulator.add_snat_entry(EIP)
    with Refusal("Forbidden.ExternalIp.UsedInSnatTable", 400):
        cloud.create(external_port="1026", internal_port="81")


def test_last_port_of_a_range_decides_about_port_break(cloud: Cloud) -> None:
    ports = {"external_port": "1020/1025", "internal_port": "20/25"}
    with Refusal("Forbidden.ExternalIp.UsedInSnatTable", 400):
        cloud.create(external_ip=SNAT_EIP, **ports)
    cloud.create(external_ip=SNAT_EIP, port_break=True, **ports)


def test_address_without_gateway_gets_no_snat_entry(emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="on no NAT gateway"):
        emulator.add_snat_entry("47.96.0.100")
