"""The operators' commands as kubectl's plugin, on a real API server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from metacontroller_standin.waiting import wait_until
from tests.unit.hooks import world as small
from tests.unit.hooks.world import EXPOSE_80, GATEWAY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.world import Cluster

pytestmark = pytest.mark.controlplane


@pytest.fixture
def plugin(cluster: Cluster, tmp_path: Path) -> dict[str, str]:
    """An environment in which kubectl finds its plugin and the plugin the cluster."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "kubectl-poddnat"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from poddnat.cli import plugin; plugin()" "$@"\n')
    program.chmod(0o755)
    values = tmp_path / "plugin-values.yaml"
    url = yaml.safe_load((tmp_path / "values.yaml").read_text(encoding="utf-8"))["endpoints"]["vpc"]
    values.write_text(yaml.safe_dump(small.values(url)))
    return {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "KUBECONFIG": str(cluster.controlplane.kubeconfig),
        "PODDNAT_VALUES": str(values),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


def run(cluster: Cluster, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``kubectl poddnat``."""
    command = [cluster.controlplane.kubectl_program, "poddnat", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.timeout(120)
def test_audit_finds_and_mends_what_somebody_deleted(cluster: Cluster, plugin: dict[str, str]) -> None:
    cluster.create_pod("web", EXPOSE_80)
    (before,) = cluster.wait_ready("web")["status"]["entries"]
    cluster.emulator.delete_entry(GATEWAY, before["forwardEntryId"])
    found = run(cluster, plugin, "audit", "-o", "json")
    assert found.returncode == 1, found.stderr
    (finding,) = json.loads(found.stdout)["findings"]
    assert (finding["kind"], finding["podDNAT"]) == ("missing", f"{cluster.namespace}/web")
    mended = run(cluster, plugin, "audit", "--fix", "--yes")
    assert mended.returncode == 0, mended.stderr
    wait_until(cluster.entries, 20, "the entry to be there again")
    (after,) = cluster.entries()
    wait_until(lambda: cluster.wait_ready("web")["status"]["entries"][0]["forwardEntryId"] == after.id, 20, "its id")
