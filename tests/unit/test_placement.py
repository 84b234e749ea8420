"""Which gateway can serve a pod: the route decides, then room and zone; and what is said when none can."""

from __future__ import annotations

import pytest

from poddnat.model import Address
from poddnat.placement import Candidate, NoGatewayError, Route, order

HERE = "cn-hangzhou-j"
THERE = "cn-hangzhou-k"
ADDRESS = Address(ip="172.16.0.7", eni="eni-1", vswitch="vsw-1", zone=HERE)


def candidate(gateway_id: str, zone: str = HERE, *, usable: bool = True, full: bool = False) -> Candidate:
    return Candidate(gateway_id, zone, usable, full)


def to(gateway_id: str) -> Route:
    return Route("vtb-1", "NatGateway", gateway_id)


def refusal(route: Route | None, *candidates: Candidate) -> NoGatewayError:
    with pytest.raises(NoGatewayError) as caught:
        order(ADDRESS, route, candidates)
    return caught.value


# Which one


@pytest.mark.parametrize(
    "on_the_way",
    [
        pytest.param(candidate("ngw-b"), id="all alike"),
        pytest.param(candidate("ngw-b", THERE), id="though in another zone"),
        pytest.param(candidate("ngw-b", full=True), id="though full"),
    ],
)
def test_gateway_on_the_way_of_replies_is_the_only_one(on_the_way: Candidate) -> None:
    assert order(ADDRESS, to("ngw-b"), [candidate("ngw-a"), on_the_way, candidate("ngw-c")]) == ["ngw-b"]


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        pytest.param([candidate("ngw-a", THERE), candidate("ngw-b")], ["ngw-b", "ngw-a"], id="the pod's zone first"),
        pytest.param([candidate("ngw-a", full=True), candidate("ngw-b")], ["ngw-b", "ngw-a"], id="room first"),
        pytest.param(
            [candidate("ngw-a", full=True), candidate("ngw-b", THERE)],
            ["ngw-b", "ngw-a"],
            id="a full one is the last resort even in the pod's zone",
        ),
        pytest.param([candidate("ngw-b"), candidate("ngw-a")], ["ngw-b", "ngw-a"], id="else the pool's order"),
        pytest.param([candidate("ngw-a", usable=False), candidate("ngw-b")], ["ngw-b"], id="unusable ones never"),
    ],
)
def test_where_the_route_is_not_known_the_order_is(candidates: list[Candidate], expected: list[str]) -> None:
    assert order(ADDRESS, None, candidates) == expected


# None


@pytest.mark.parametrize(
    ("route", "words"),
    [
        pytest.param(to("ngw-z"), ["leads to NatGateway ngw-z", "route table vtb-1"], id="to another gateway"),
        pytest.param(Route("vtb-1", "Instance", "i-1"), ["leads to Instance i-1"], id="to an instance"),
        pytest.param(Route("vtb-1", None, None), ["Route table vtb-1", "has no default route"], id="to nowhere"),
        pytest.param(Route("", None, None), ["The route table of", "has no default route"], id="table not known"),
    ],
)
def test_route_past_the_pool_is_explained(route: Route, words: list[str]) -> None:
    error = refusal(route, candidate("ngw-a"), candidate("ngw-b"))
    assert error.reason == "NoGateway"
    for word in [*words, "vSwitch vsw-1", "ngw-a, ngw-b", "an operator has to act"]:
        assert word in error.message


def test_gateway_on_the_way_that_cannot_serve_is_named() -> None:
    error = refusal(to("ngw-a"), candidate("ngw-a", usable=False), candidate("ngw-b"))
    assert error.reason == "GatewayUnusable"
    assert error.message.startswith("NAT gateway ngw-a has no external address or was not found; an operator has to")
