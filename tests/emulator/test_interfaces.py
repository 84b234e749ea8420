"""Network interfaces of nodes whose pods have addresses in IPv4 prefixes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.emulator.support import POD_WITH_EIP, Cloud, Refusal, small_world
from vpc_emulator import Emulator, EmulatorServer, World, WorldError

IN_PREFIX = "172.16.5.17"


def _world(**changes: Any) -> dict[str, Any]:
    node = {
        "id": "eni-node",
        "vswitch": "vsw-1",
        "instance": "i-1",
        "private_ips": "172.16.4.1",
        "ipv4_prefixes": ["172.16.5.0/28", "172.16.5.16/28"],
    }
    other = {"id": "eni-other", "vswitch": "vsw-1", "instance": "i-2", "private_ips": POD_WITH_EIP}
    return small_world(network_interfaces=[node, other], **changes)


@contextmanager
def _cloud(raw: dict[str, Any]) -> Iterator[Cloud]:
    with EmulatorServer(Emulator(World.from_dict(raw))) as server:
        yield Cloud(server.endpoint)


def test_interface_tells_its_prefixes() -> None:
    with _cloud(_world()) as cloud:
        (interface,) = cloud.interfaces(instance_id="i-1")["NetworkInterfaceSets"]["NetworkInterfaceSet"]
    prefixes = [one["Ipv4Prefix"] for one in interface["Ipv4PrefixSets"]["Ipv4PrefixSet"]]
    assert prefixes == ["172.16.5.0/28", "172.16.5.16/28"]
    assert [one["PrivateIpAddress"] for one in interface["PrivateIpSets"]["PrivateIpSet"]] == ["172.16.4.1"]


def test_interfaces_are_found_by_instance() -> None:
    with _cloud(_world()) as cloud:
        assert cloud.interface_ids(instance_id="i-2") == ["eni-other"]
        assert cloud.interface_ids(instance_id="i-0") == []


def test_address_in_a_prefix_is_not_found_by_address() -> None:
    with _cloud(_world()) as cloud:
        assert cloud.interface_ids(private_ip_address=[IN_PREFIX, POD_WITH_EIP]) == ["eni-other"]


def test_address_in_a_prefix_is_found_where_the_world_says_so() -> None:
    with _cloud(_world(address_filter_finds_prefixes=True)) as cloud:
        assert cloud.interface_ids(private_ip_address=[IN_PREFIX]) == ["eni-node"]


@pytest.mark.parametrize("address", ["2408:4005::1", "::ffff:172.16.4.1", "pod"])
def test_one_address_that_is_not_ipv4_refuses_the_whole_call(address: str) -> None:
    with _cloud(_world()) as cloud, Refusal("InvalidParameter", 400):
        cloud.interface_ids(private_ip_address=["172.16.4.1", address])


def test_target_in_a_prefix_of_an_interface_with_an_eip_is_refused() -> None:
    raw = _world()
    raw["network_interfaces"][0]["public_ip"] = "8.8.4.4"
    with _cloud(raw) as cloud, Refusal("Forbindden", 400):
        cloud.create(internal_ip=IN_PREFIX)


def test_prefix_of_another_length_is_a_mistake() -> None:
    raw = _world()
    raw["network_interfaces"][0]["ipv4_prefixes"] = ["172.16.5.0/24"]
    with pytest.raises(WorldError, match=r"network_interfaces\[0\].ipv4_prefixes: are not all of length 28"):
        World.from_dict(raw)
