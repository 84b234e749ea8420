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
