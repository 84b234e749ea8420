"""The page of recipes on a real API server: its commands find what they read, and its examples are taken."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from metacontroller_standin.waiting import wait_until
from tests.e2e.world import EXAMPLES, MANIFESTS
from tests.unit.docs.pages import blocks, page, section
from tests.unit.hooks.world import EIP, EXPOSE_80

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.controlplane import ControlPlane
    from tests.e2e.world import Cluster

pytestmark = pytest.mark.controlplane

RECIPES = page("users/recipes")
DNS_ENDPOINT = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "dnsendpoints.externaldns.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/external-dns/pull/2007"},
    },
    "spec": {
        "group": "externaldns.k8s.io",
        "scope": "Namespaced",
        "names": {"kind": "DNSEndpoint", "plural": "dnsendpoints", "singular": "dnsendpoint"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "endpoints": {
                                        "type": "array",
                                        "items": {
                                            "type": "object",
                                            "properties": {
                                                "dnsName": {"type": "string"},
                                                "recordType": {"type": "string"},
                                                "recordTTL": {"type": "integer", "format": "int64"},
                                                "targets": {"type": "array", "items": {"type": "string"}},
                                            },
                                        },
                                    }
                                },
                            }
                        },
                    }
                },
            }
        ],
    },
}
"""external-dns' kind, with those of its fields that the recipe writes."""


def run(cluster: Cluster, script: str, folder: Path, **variables: str) -> str:
    """Run a script of the page's as a user of the namespace, in a clone."""
    plane = cluster.controlplane
    programs = folder / "programs"
    programs.mkdir()
    kubectl = f'exec "{plane.kubectl_program}" --kubeconfig="{plane.kubeconfig}" --namespace={cluster.namespace} "$@"\n'
    (programs / "kubectl").write_text(f"#!/bin/sh\n{kubectl}")
    (programs / "kubectl").chmod(0o755)
    env = {**os.environ, **variables, "PATH": f"{programs}:{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(
        command, cwd=MANIFESTS.parent, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_agones_finds_the_address_by_the_name(cluster: Cluster, tmp_path: Path) -> None:
    cluster.create_pod("arena-1", EXPOSE_80)
    cluster.wait_ready("arena-1")
    (script,) = blocks(section(RECIPES, "Agones"), "sh")
    assert run(cluster, script, tmp_path, GAMESERVER="arena-1") == f"{EIP}:512"


def test_external_dns_gets_target_and_records(cluster: Cluster, tmp_path: Path) -> None:
    plane = cluster.controlplane
    plane.install_crds(DNS_ENDPOINT)
    cluster.create_pod("room-1", EXPOSE_80)
    cluster.create_pod("typo", {**EXPOSE_80, "k8s.aliyun.com/pod-dnat-expose-port": "http"})
    cluster.wait_ready("room-1")
    script = "\n".join(blocks(section(RECIPES, "external-dns"), "sh"))
    assert "room-1" in run(cluster, script, tmp_path, POD="room-1")
    assert cluster.annotations("room-1")["external-dns.alpha.kubernetes.io/target"] == EIP
    (endpoint,) = json.loads(cluster.kubectl("get", "dnsendpoints", "--output=json"))["items"]
    targets = {one["recordType"]: one["targets"] for one in endpoint["spec"]["endpoints"]}
    assert targets == {"A": [EIP], "SRV": ["0 50 512 room-1.example.com"]}
    cluster.kubectl("delete", "pod", "room-1", "--force", "--grace-period=0")
    wait_until(lambda: cluster.poddnat("room-1") is None, 20, "the PodDNAT to go")


@pytest.mark.parametrize(
    "name", ["readiness-gate", "downward-api", "deployment", "statefulset", "game-servers", "fixed"]
)
def test_examples_are_taken_by_the_api_server(installed: ControlPlane, namespace: str, name: str) -> None:
    command = ("create", f"--namespace={namespace}", "--dry-run=server", "--validate=strict", "-f")
    assert installed.kubectl(*command, str(EXAMPLES / f"{name}.yaml"))
