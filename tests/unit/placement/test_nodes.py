"""What is asked about nodes, and how long the answer is used."""

from __future__ import annotations

from typing import Any

import pytest

from poddnat.kube import KubeClient, KubeError
from poddnat.placement import Nodes
from vpc_emulator import ManualClock


class FakeKube(KubeClient):
    """An API server whose nodes are all virtual, and whose next answers may be failures."""

    def __init__(self, failures: int = 0) -> None:
        self.asked: list[str] = []
        self.failures = failures

    def node(self, name: str) -> dict[str, Any] | None:
        self.asked.append(name)
        if len(self.asked) <= self.failures:
            raise KubeError
        return {"metadata": {"labels": {"type": "virtual-kubelet"}}}


def test_node_is_asked_about_again_once_its_time_is_up() -> None:
    clock, kube = ManualClock(), FakeKube()
    nodes = Nodes(kube, clock=clock)
    for clock.now in (0.0, 599.0, 600.0):
        assert nodes.is_virtual("node-1")
    assert kube.asked == ["node-1", "node-1"]


def test_failure_is_not_cached() -> None:
    nodes = Nodes(FakeKube(failures=1))
    with pytest.raises(KubeError):
        nodes.is_virtual("node-1")
    assert nodes.is_virtual("node-1")


def test_name_of_a_virtual_node_tells_enough() -> None:
    kube = FakeKube()
    assert Nodes(kube).is_virtual("virtual-kubelet-cn-hangzhou-k")
    assert kube.asked == []


@pytest.mark.parametrize(
    ("provider_id", "expected"),
    [
        pytest.param("cn-hangzhou.i-bp1abc", "i-bp1abc", id="the cloud controller manager's"),
        pytest.param("alicloud://cn-hangzhou.i-bp1abc", "i-bp1abc", id="with a scheme"),
        pytest.param("i-bp1abc", "i-bp1abc", id="bare"),
        pytest.param("cn-hangzhou.eci-bp1abc", None, id="no ECS instance"),
        pytest.param(None, None, id="none yet"),
    ],
)
def test_node_names_its_instance(provider_id: str | None, expected: str | None) -> None:
    class Kube(FakeKube):
        def node(self, name: str) -> dict[str, Any] | None:
            return {"metadata": {"name": name}, "spec": {"providerID": provider_id}}

    assert Nodes(Kube()).instance_of("node-1") == expected
