"""What a clone has, and overlays beside it, in a folder of the test's own."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import yaml

from tests.chart.sources import ACK_VALUES, BASE

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]

ACK: Json = yaml.safe_load(ACK_VALUES.read_text(encoding="utf-8"))


def tree(folder: Path, values: Json = ACK) -> Path:
    """Copy what a clone has, with this values file."""
    shutil.copytree(BASE, folder / "metacontroller", ignore=shutil.ignore_patterns("chart"))
    (folder / "metacontroller" / "values.yaml").write_text(yaml.safe_dump(values))
    return folder


def overlay(folder: Path, namespace: str, components: list[str]) -> Path:
    """Write an overlay beside a clone's manifests."""
    (folder / "sites" / "a" / "own").mkdir(parents=True)
    kind = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
    (folder / "sites" / "a" / "own" / "kustomization.yaml").write_text(yaml.safe_dump({**kind, "namespace": namespace}))
    listed = ["own", *(f"../../metacontroller/{name}" for name in ["namespace", *components])]
    (folder / "sites" / "a" / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": ["../../metacontroller"], "components": listed})
    )
    return folder / "sites" / "a"


def example(folder: Path) -> Path:
    """Do what the example says."""
    tree(folder)
    shutil.copytree(BASE / "examples" / "overlay", folder / "sites" / "a")
    return folder / "sites" / "a"
