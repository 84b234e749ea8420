"""How many ports a pod and a namespace may have."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from poddnat.config import Limits
from poddnat.ports import PortRegistry, PortRequest
from poddnat.ports.limits import LimitError
from tests.unit.ports.samples import (
    AT_A,
    AT_A_1,
    AT_BOTH,
    TWO_GATEWAYS,
    WEB,
    WEB_AND_TLS,
    A,
    allocation,
    exposed,
    offer,
    poddnat_with,
    pool,
    registry_of,
)
from tests.unit.samples import items

if TYPE_CHECKING:
    from poddnat.model import ExposedPort


def limited(registry: PortRegistry, **limits: int) -> PortRegistry:
    """Let values with these limits be in force."""
    registry.update(replace(TWO_GATEWAYS, limits=Limits(**limits)))
    return registry


def refused(registry: PortRegistry, pod_uid: str, asked: tuple[ExposedPort, ...], namespace: str = "games") -> str:
    """Tell why a pod gets nothing."""
    with pytest.raises(LimitError) as caught:
        registry.allocate(PortRequest(pod_uid, asked, namespace), AT_BOTH)
    return caught.value.problem.reason


@pytest.mark.parametrize("asked", [items("80", "81"), items("80-81"), items("80/tcpudp")], ids=str)
def test_pod_that_asks_for_more_ports_than_one_may_have_is_refused(
    registry: PortRegistry, asked: tuple[ExposedPort, ...]
) -> None:
    assert refused(limited(registry, ports_per_pod=1), "pod-1", asked) == "TooManyPorts"
    assert limited(registry, ports_per_pod=2).allocate(PortRequest("pod-1", asked), AT_BOTH) is not None


@pytest.mark.parametrize("shows", [False, True], ids=["reservations", "PodDNATs"])
def test_ports_of_a_namespace_are_counted_over_its(registry: PortRegistry, shows: bool) -> None:  # noqa: FBT001
    limited(registry, ports_per_namespace=2)
    for pod_uid in ("pod-1", "pod-2"):
        if shows:
            exposed(registry, pod_uid, WEB)
        else:
            registry.allocate(PortRequest(pod_uid, WEB, "games"), AT_BOTH)
    assert refused(registry, "pod-3", WEB) == "NamespaceLimitReached"
    assert registry.allocate(PortRequest("pod-3", WEB, "web"), AT_BOTH) is not None


def test_pod_is_not_counted_against_itself(registry: PortRegistry) -> None:
    limited(registry, ports_per_namespace=2)
    registry.allocate(PortRequest("pod-1", WEB_AND_TLS, "games"), AT_BOTH)
    exposed(registry, "pod-1", WEB)
    assert registry.allocate(PortRequest("pod-1", items("81", "82"), "games"), AT_BOTH) is not None


def test_ports_reserved_for_a_pod_that_lost_them_for_a_moment_are_counted(registry: PortRegistry) -> None:
    limited(registry, ports_per_namespace=1)
    exposed(registry, "pod-1", WEB)
    registry.reserve("pod-1", poddnat_with(allocation(AT_A_1, "512->80")), outlives="of pod-1")
    registry.poddnat_gone("of pod-1")
    assert refused(registry, "pod-2", WEB) == "NamespaceLimitReached"


def test_fixed_pod_that_comes_back_is_not_counted_against_the_ports_retained_for_it(registry: PortRegistry) -> None:
    exposed(registry, "pod-1", WEB)
    limited(registry, ports_per_namespace=1)
    assert registry.allocate(PortRequest("pod-2", items("81"), "games", "of pod-1"), AT_BOTH) is not None


def test_limits_take_away_nothing_that_a_pod_has(registry: PortRegistry) -> None:
    exposed(registry, "pod-1", WEB_AND_TLS)
    limited(registry, ports_per_pod=1, ports_per_namespace=1)
    assert registry.allocate(PortRequest("pod-1", items("81", "82"), "games"), AT_BOTH) is not None
    assert refused(registry, "pod-1", items("81", "82", "83")) == "TooManyPorts"


def test_ports_given_back_can_be_had_by_the_namespace_again(registry: PortRegistry) -> None:
    limited(registry, ports_per_namespace=1)
    exposed(registry, "pod-1", WEB)
    registry.poddnat_gone("of pod-1")
    assert registry.allocate(PortRequest("pod-2", WEB, "games"), AT_BOTH) is not None


def test_many_pods_that_ask_at_once_get_no_more_than_their_namespace_may_have() -> None:
    registry = registry_of(replace(pool(offer(A, "1000/2000")), limits=Limits(ports_per_namespace=50)))

    def ask(number: int) -> bool:
        try:
            return registry.allocate(PortRequest(f"pod-{number}", WEB, "games"), AT_A) is not None
        except LimitError:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(ask, range(200))) == 50
