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


def tree(folder: Path) -> Path:
    """Copy what a clone has."""
    shutil.copytree(BASE, folder / "metacontroller", ignore=shutil.ignore_patterns("chart*"))
    return folder


def overlay(folder: Path, namespace: str, components: list[str]) -> Path:
    """Write an overlay with a values file beside a clone's manifests."""
    own = folder / "sites" / "a" / "own"
    own.mkdir(parents=True)
    (own / "ack-values.yaml").write_text(yaml.safe_dump(ACK))
    secret = {"name": "poddnat-values", "files": ["values.yaml=ack-values.yaml"]}
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "namespace": namespace,
        "secretGenerator": [{**secret, "options": {"disableNameSuffixHash": True}}],
    }
    (own / "kustomization.yaml").write_text(yaml.safe_dump(content))
    listed = ["own", *(f"../../metacontroller/{name}" for name in ["namespace", *components])]
    (folder / "sites" / "a" / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": ["../../metacontroller"], "components": listed})
    )
    return folder / "sites" / "a"


def named(folder: Path, site: Path, name: str) -> Path:
    """Give the installation of an overlay a name, as examples/installation does."""
    content = yaml.safe_load((site / "kustomization.yaml").read_text(encoding="utf-8"))
    content["components"].append("../../metacontroller/installation")
    (site / "kustomization.yaml").write_text(yaml.safe_dump(content))
    shown = folder / "metacontroller" / "examples" / "installation" / "own" / "kustomization.yaml"
    own = yaml.safe_load((site / "own" / "kustomization.yaml").read_text(encoding="utf-8"))
    own["patches"] = yaml.safe_load(shown.read_text(encoding="utf-8").replace("value: eu", f"value: {name}"))["patches"]
    (site / "own" / "kustomization.yaml").write_text(yaml.safe_dump(own))
    return site


def example(folder: Path) -> Path:
    """Do what the example says."""
    tree(folder)
    shutil.copytree(BASE / "examples" / "overlay", folder / "sites" / "a")
    return folder / "sites" / "a"
