"""How long a namespace's labels are used before they are read again."""

from __future__ import annotations

from typing import Any

import pytest

from poddnat.config.values import parse
from poddnat.kube import KubeClient, KubeError
from poddnat.placement import Namespaces
from tests.unit.hooks.world import values
from vpc_emulator import ManualClock


class FakeKube(KubeClient):
    """An API server whose namespaces have the labels given; None: it doesn't answer."""

    def __init__(self, labels: dict[str, str] | None) -> None:
        self.labels = labels

    def namespace(self, name: str) -> dict[str, Any] | None:
        if self.labels is None:
            raise KubeError
        return {"metadata": {"name": name, "labels": self.labels}}


def namespaces(kube: KubeClient, clock: ManualClock) -> Namespaces:
    content = values("http://127.0.0.1:1")
    content["networkController"]["allowedNamespaces"] = {"selector": {"matchLabels": {"ports": "public"}}}
    return Namespaces(parse(content), kube, clock=clock)


def test_labels_are_read_again_once_their_time_is_up() -> None:
    clock, kube = ManualClock(), FakeKube({"ports": "public"})
    allowed = namespaces(kube, clock)
    clock.now = 0.0
    assert allowed.refusal("games") is None
    kube.labels = {}
    clock.now = 59.0
    assert allowed.refusal("games") is None
    clock.now = 60.0
    refusal = allowed.refusal("games")
    assert refusal is not None
    assert refusal.reason == "NamespaceNotAllowed"


def test_failure_is_not_cached() -> None:
    kube = FakeKube(None)
    allowed = namespaces(kube, ManualClock())
    with pytest.raises(KubeError):
        allowed.refusal("games")
    kube.labels = {"ports": "public"}
    assert allowed.refusal("games") is None
