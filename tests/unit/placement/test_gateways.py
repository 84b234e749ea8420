"""Where a pod is put: the route decides on the gateway, the policies on the address; and what is said when none can."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poddnat.api import Problem, ProblemError
from poddnat.config import Policy
from poddnat.model import Address
from poddnat.placement import Candidate, Place, eligible_tiers, order_by_policy
from poddnat.placement.gateways import Route

HERE = "cn-hangzhou-j"
THERE = "cn-hangzhou-k"
ADDRESS = Address(ip="172.16.0.7", eni="eni-1", vswitch="vsw-1", zone=HERE)


def candidate(gateway_id: str, zone: str = HERE, *, usable: bool = True, blocked: int = 0) -> Candidate:
    return Candidate(gateway_id, zone, (Place(gateway_id, f"203.0.113.{gateway_id}"),) if usable else (), blocked)


def to(gateway_id: str) -> Route:
    return Route("vtb-1", "NatGateway", gateway_id)


def gateways(route: Route | None, *candidates: Candidate) -> list[list[str]]:
    """Give the gateways of each tier."""
    return [[place.gateway_id for place in tier] for tier in eligible_tiers(ADDRESS, route, candidates)]


def refusal(route: Route | None, *candidates: Candidate) -> Problem:
    with pytest.raises(ProblemError) as caught:
        eligible_tiers(ADDRESS, route, candidates)
    return caught.value.problem


# Which gateway


@pytest.mark.parametrize(
    "on_route",
    [pytest.param(candidate("ngw-b"), id="all alike"), pytest.param(candidate("ngw-b", THERE), id="in another zone")],
)
def test_gateway_on_the_route_of_replies_is_the_only_one(on_route: Candidate) -> None:
    assert gateways(to("ngw-b"), candidate("ngw-a"), on_route, candidate("ngw-c")) == [["ngw-b"]]


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        pytest.param(
            [candidate("ngw-a", THERE), candidate("ngw-b")], [["ngw-b"], ["ngw-a"]], id="the pod's zone first"
        ),
        pytest.param([candidate("ngw-b"), candidate("ngw-a")], [["ngw-b", "ngw-a"]], id="else all alike"),
        pytest.param([candidate("ngw-a", usable=False), candidate("ngw-b")], [["ngw-b"]], id="unusable ones never"),
        pytest.param([candidate("ngw-a", THERE)], [["ngw-a"]], id="another zone rather than none"),
        pytest.param(
            [candidate("ngw-a", THERE), candidate("ngw-b", "")], [["ngw-b"], ["ngw-a"]], id="a region's is in each zone"
        ),
    ],
)
def test_where_the_route_is_not_known_the_tiers_are(candidates: list[Candidate], expected: list[list[str]]) -> None:
    assert gateways(None, *candidates) == expected


# Which address

IPS = [f"203.0.113.{number}" for number in range(1, 6)]
some_places = st.lists(
    st.builds(Place, st.sampled_from(["ngw-a", "ngw-b"]), st.sampled_from(IPS), st.sampled_from(Policy))
)


def places(policy: Policy, *ips: str) -> list[Place]:
    return [Place("ngw-a", ip, policy) for ip in ips]


def order(tier: list[Place], used: dict[str, int] | None = None, pod_uid: str = "pod-1") -> list[str]:
    return [
        place.external_ip
        for place in order_by_policy(tier, lambda place: (used or {}).get(place.external_ip, 0), pod_uid)
    ]


def test_uniform_tries_the_address_first_that_fewest_use() -> None:
    assert order(places(Policy.UNIFORM, "a", "b", "c"), {"a": 2, "b": 0, "c": 1}) == ["b", "c", "a"]


def test_uniform_keeps_the_pools_order_among_equals() -> None:
    assert order(places(Policy.UNIFORM, "b", "a")) == ["b", "a"]


def test_in_order_keeps_the_pools_order_however_many_use_an_address() -> None:
    assert order(places(Policy.IN_ORDER, "a", "b"), {"a": 9}) == ["a", "b"]


def test_random_gives_each_address_its_share() -> None:
    tier = places(Policy.RANDOM, *IPS)
    firsts = Counter(order(tier, pod_uid=f"pod-{number}")[0] for number in range(1000))
    assert all(150 < firsts[ip] < 250 for ip in IPS)


def test_random_is_the_same_for_a_pod_that_asks_again() -> None:
    tier = places(Policy.RANDOM, *IPS)
    assert order(tier, pod_uid="pod-7") == order(tier[::-1], pod_uid="pod-7")


def test_entries_with_another_policy_keep_their_turn() -> None:
    tier = places(Policy.UNIFORM, "a", "b") + places(Policy.IN_ORDER, "c", "d") + places(Policy.UNIFORM, "e", "f")
    used = {"a": 5, "b": 4, "c": 3, "d": 2, "e": 1, "f": 0}
    assert order(tier, used) == ["b", "a", "c", "d", "f", "e"]


@given(some_places, st.text(), st.dictionaries(st.sampled_from(IPS), st.integers(0, 3)))
def test_every_place_is_tried_once(tier: list[Place], pod_uid: str, used: dict[str, int]) -> None:
    tried = list(order_by_policy(tier, lambda place: used.get(place.external_ip, 0), pod_uid))
    assert Counter(tried) == Counter(tier)


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
    for word in [*words, "vSwitch vsw-1", "ngw-a, ngw-b", "an operator has to change"]:
        assert word in error.message


def test_gateway_on_route_that_cannot_serve_is_named() -> None:
    error = refusal(to("ngw-a"), candidate("ngw-a", usable=False), candidate("ngw-b"))
    assert error.reason == "GatewayUnusable"
    assert error.message.startswith("NAT gateway ngw-a has no external address of the pool, or was not found; an")


def test_gateway_whose_addresses_are_all_blocked_is_not_explained_like_one_that_has_none() -> None:
    error = refusal(to("ngw-a"), candidate("ngw-a", usable=False, blocked=2))
    assert error.reason == "GatewayUnusable"
    assert error.message.startswith("All external addresses of NAT gateway ngw-a are blocked; an operator has to")


def test_gateway_that_is_locked_is_explained() -> None:
    error = refusal(to("ngw-a"), replace(candidate("ngw-a", usable=False), locked=True))
    assert error.reason == "GatewayUnusable"
    assert error.message.startswith("NAT gateway ngw-a is locked for an unpaid bill, or by the cloud's security; an")
