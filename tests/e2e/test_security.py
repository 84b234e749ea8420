"""Who may call the hooks, and what the API server lets the server's own pods do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.waiting import wait_until
from tests.e2e import world
from tests.hushed import OTHER_TOKEN
from tests.unit.hooks import certificates
from tests.unit.hooks.world import EXPOSE_80

if TYPE_CHECKING:
    from pathlib import Path

    from metacontroller_standin.kubelet import Kubelet
    from tests.e2e.controlplane import ControlPlane
    from tests.e2e.runners import Runner

Json = dict[str, Any]

pytestmark = pytest.mark.controlplane

MANIFESTS = world.MANIFESTS


# Callers. That the right token opens the hooks is what all other tests here show.


def test_wrong_token_exposes_nothing_and_is_told_as_an_event(
    installed: ControlPlane, metacontroller: Runner, namespace: str, kubelet: Kubelet, tmp_path: Path
) -> None:
    assert kubelet
    with world.running(installed, metacontroller, namespace, tmp_path, token=OTHER_TOKEN) as cluster:
        cluster.create_pod("web", EXPOSE_80)
        wait_until(lambda: "SyncError" in cluster.kubectl("get", "events"), 15, "the event")
        assert "401" in cluster.kubectl("get", "events")
        assert "no valid bearer token" in cluster.kubectl("get", "events")
        assert cluster.poddnats() == []
        assert cluster.entries() == []


def test_pod_is_exposed_over_tls(
    installed: ControlPlane, metacontroller: Runner, namespace: str, kubelet: Kubelet, tmp_path: Path
) -> None:
    assert kubelet
    files = certificates.make(tmp_path)
    with world.running(installed, metacontroller, namespace, tmp_path, certificate=files) as cluster:
        cluster.create_pod("web", EXPOSE_80)
        assert len(cluster.wait_ready("web")["status"]["entries"]) == 1
