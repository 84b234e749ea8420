"""All gateways: what the cloud leaves out for a moment is not gone, and what is gone is not kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from poddnat.cloud import Eip, EntryPage, GatewayInfo
from poddnat.config.values import parse
from poddnat.gateway import Fleet, GatewayListener
from poddnat.gateway.intervals import MISSING_BELIEVED_AFTER
from tests.unit.gateway.fake_table import OWNERSHIP
from vpc_emulator import ManualClock

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

POOL, OTHER = "ngw-pool", "ngw-other"
EIP, SECOND = "203.0.113.10", "203.0.113.11"


def info(gateway_id: str, *eips: str) -> GatewayInfo:
    return GatewayInfo(gateway_id, ("ftb-1",), "Available", "zone", "vpc-1", tuple(map(Eip, eips)))


class Cloud:
    """Tells of gateways, whose tables are empty."""

    def __init__(self) -> None:
        self.gateways = [info(POOL, EIP, SECOND), info(OTHER, "203.0.113.20")]

    def describe_nat_gateways(self) -> list[GatewayInfo]:
        return self.gateways

    def describe_eip_addresses(self, _gateway_id: str) -> list[str]:
        return []

    def describe_forward_table_entries(self, *_args: object, **_more: object) -> EntryPage:
        return EntryPage((), 0)


class Nobody:
    has_synced = True

    def is_of_another(self, _uid: str) -> bool:
        return False

    def is_alive(self, _uid: str) -> bool:
        return False

    def gone_of(self, uids: Collection[str]) -> set[str]:
        return set(uids)


class Listener(GatewayListener):
    def __init__(self) -> None:
        self.left = 0

    def places_left(self) -> None:
        self.left += 1


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(100.0)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def fleet(cloud: Cloud, clock: ManualClock, listener: Listener) -> Iterator[Fleet]:
    pool = {"natgwId": POOL, "zoneId": "cn-hangzhou-j", "portRangeStart": 512, "portRangeEnd": 1024}
    values = parse(
        {
            "clusterID": "c-test",
            "regionID": "cn-hangzhou",
            "vpcID": "vpc-1",
            "enableControllers": ["natgw"],
            "networkController": {"natGwPool": [pool]},
            "credential": {"accessKey": "key", "accessSecret": "secret"},
        }
    )
    made = Fleet(values, cloud, OWNERSHIP, Nobody(), listener, clock=clock)  # type: ignore[arg-type]
    made._add(POOL)
    made._refresh()
    yield made
    for driver in made.gateways():
        driver.halt()
    for driver in made.gateways():
        driver.stop()


def addresses(fleet: Fleet) -> list[str]:
    return [place.external_ip for candidate in fleet.candidates() for place in candidate.places]


@pytest.mark.parametrize("seconds", [2.0, 5.0, MISSING_BELIEVED_AFTER - 1])
def test_k_address_that_is_left_out_for_a_moment_stays(
    fleet: Fleet, cloud: Cloud, clock: ManualClock, listener: Listener, seconds: float
) -> None:
    cloud.gateways = [info(POOL, SECOND), info(OTHER, "203.0.113.20")]
    assert not fleet._refresh()
    clock.now += seconds
    assert not fleet._refresh()
    assert sorted(addresses(fleet)) == [EIP, SECOND]
    cloud.gateways = [info(POOL, EIP, SECOND), info(OTHER, "203.0.113.20")]
    assert fleet._refresh()
    clock.now += MISSING_BELIEVED_AFTER
    cloud.gateways = [info(POOL, SECOND), info(OTHER, "203.0.113.20")]
    assert not fleet._refresh()
    assert fleet.serves(POOL, EIP)
    assert listener.left == 0


def test_k_address_that_stays_away_has_left(fleet: Fleet, cloud: Cloud, clock: ManualClock, listener: Listener) -> None:
    cloud.gateways = [info(POOL, SECOND), info(OTHER, "203.0.113.20")]
    fleet._refresh()
    clock.now += MISSING_BELIEVED_AFTER
    assert fleet._refresh()
    assert addresses(fleet) == [SECOND]
    assert listener.left == 1


def test_k_gateway_that_is_left_out_for_a_moment_stays(fleet: Fleet, cloud: Cloud, clock: ManualClock) -> None:
    cloud.gateways = []
    fleet._refresh()
    clock.now += MISSING_BELIEVED_AFTER - 1
    fleet._refresh()
    assert fleet.exists(POOL)
    assert fleet.problem(POOL) is None
    assert sorted(addresses(fleet)) == [EIP, SECOND]


def gone(fleet: Fleet, cloud: Cloud, clock: ManualClock) -> None:
    cloud.gateways = []
    fleet._refresh()
    clock.now += MISSING_BELIEVED_AFTER
    fleet._refresh()


def test_m_driver_of_a_gateway_that_has_vanished_is_dropped(fleet: Fleet, cloud: Cloud, clock: ManualClock) -> None:
    assert fleet.get(OTHER) is not None
    gone(fleet, cloud, clock)
    assert [driver.gateway_id for driver in fleet.gateways()] == [POOL]
    assert fleet.get(OTHER) is None


def test_m_gateway_of_the_pool_that_has_vanished_is_told(fleet: Fleet, cloud: Cloud, clock: ManualClock) -> None:
    gone(fleet, cloud, clock)
    problem = fleet.problem(POOL)
    assert problem is not None
    assert "is not among the VPC's NAT gateways" in problem.message
    assert addresses(fleet) == []
