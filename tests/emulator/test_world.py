"""The world file: what it may say, and how mistakes in it are reported."""

from pathlib import Path
from typing import Any

import pytest

from tests.emulator.support import small_world
from vpc_emulator import Emulator, World, WorldError


def test_world_is_loaded_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "world.yaml"
    path.write_text("vpcs: [{id: vpc-1, cidr: 10.0.0.0/8}]\n")
    assert list(World.load(path).vpcs) == ["vpc-1"]


def test_example_world_is_right() -> None:
    assert World.example().nat_gateways


def test_large_interface_is_spread_over_several() -> None:
    world = World.from_dict(
        small_world(network_interfaces=[{"id": "eni", "vswitch": "vsw-1", "private_ips": "172.16.4.0/22"}])
    )
    interfaces = list(world.network_interfaces.values())
    assert [interface.id for interface in interfaces[:2]] == ["eni-1", "eni-2"]
    assert sum(len(interface.private_ips) for interface in interfaces) == 1024


def test_entries_of_the_world_are_there_from_the_beginning() -> None:
    raw = small_world()
    raw["nat_gateways"][0]["entries"] = [
        {
            "external_ip": "47.96.0.1",
            "external_port": "80",
            "internal_ip": "172.16.1.1",
            "internal_port": "80",
            "name": "web",
        }
    ]
    (entry,) = Emulator(World.from_dict(raw)).forward_entries("ngw-1")
    assert (entry.name, entry.protocol, entry.status) == ("web", "tcp", "Available")


def _gateway(**changes: Any) -> dict[str, Any]:
    return {"nat_gateways": [{"id": "ngw-1", "vpc": "vpc-1", **changes}]}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"vpc": []}, "vpc: is not known here", id="misspelt key"),
        pytest.param(_gateway(qouta=1), r"nat_gateways\[0\].qouta: is not known", id="misspelt inner key"),
        pytest.param(_gateway(vpc="vpc-0"), r"nat_gateways\[0\].vpc: vpc-0 is not", id="unknown vpc"),
        pytest.param(_gateway(quota="many"), r"nat_gateways\[0\].quota: is not a whole", id="quota in words"),
        pytest.param(_gateway(writes_at_once=0), r"writes_at_once: .* at least 1", id="no writes at all"),
        pytest.param(_gateway(settle_jitter=2), "settle_jitter: .* from 0 to 1", id="jitter above one"),
        pytest.param(_gateway(eips=["1.2.3"]), r"eips\[0\].address: 1.2.3 is not", id="bad address"),
        pytest.param(_gateway(eips=["1.2.3.4"] * 2), r"eips\[1\].address: .* twice", id="eip twice"),
        pytest.param({"vpcs": {}}, "vpcs: is not a list", id="vpcs as a mapping"),
        pytest.param({"credentials": [{}]}, r"credentials\[0\].access_key_id: is missing", id="no key"),
        pytest.param({"rate_limit": {"calls": 1, "per": "day"}}, "rate_limit.per", id="rate per day"),
        pytest.param(
            {"network_interfaces": [{"id": "e", "vswitch": "vsw-1", "private_ips": "172.16.0.1/20"}]},
            r"network_interfaces\[0\]: 172.16.0.1/20 is not",
            id="address with a mask",
        ),
    ],
)
def test_mistake_is_reported_with_its_path(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(WorldError, match=complaint):
        World.from_dict(small_world(**changes))
