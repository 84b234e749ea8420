"""The real helm and the real kustomize, and how what they render is compared."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from tests.chart.sources import CHART, FOR, HERE

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]
Objects = dict[tuple[str, str, str], Json]
"""By kind, namespace and name."""

CONTROLPLANE = HERE.parent / "controlplane" / "build"
HELMS_OWN = {
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/name",
    "app.kubernetes.io/version",
    "helm.sh/chart",
    "helm.sh/resource-policy",
}
"""Labels and annotations of objects that a chart has, and that nobody looks for."""


@dataclass(frozen=True)
class Helm:
    """helm, with a home of its own."""

    program: str
    home: Path
    kubeconfig: Path | None = None

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it, however it ends."""
        home = {f"HELM_{kind}_HOME": str(self.home / kind) for kind in ("CACHE", "CONFIG", "DATA")}
        env = {**os.environ, **home, "KUBECONFIG": str(self.kubeconfig or os.devnull)}
        command = [self.program, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, env=env, timeout=150)

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run it; return what it prints, fail with what it complains about."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def refusal(self, *arguments: str, stdin: str | None = None) -> str:
        """Run it; return what it complains about, fail if it doesn't."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode != 0, f"helm {' '.join(arguments)}: done"
        return done.stderr

    def template(self, values: Json, *arguments: str, namespace: str = "poddnat-system") -> Objects:
        """Render the chart."""
        command = ["template", "poddnat", str(CHART), "--namespace", namespace, "--values", "-", FOR, *arguments]
        # JSON is YAML in which nothing is taken for something else.
        return objects(self(*command, stdin=json.dumps(values)))


def kustomize(folder: Path) -> Objects:
    """Build a kustomization."""
    assets = subprocess.run([str(CONTROLPLANE)], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    command = [f"{assets}/kubectl", "kustomize", str(folder)]
    return objects(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def objects(text: str) -> Objects:
    """Read manifests; none is there twice."""
    read = [item for item in yaml.safe_load_all(text) if item]
    found = {(item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]): item for item in read}
    assert len(found) == len(read)
    return found


def values_in(secret: Json) -> Json:
    """Read the values file in a Secret."""
    assert list(secret["data"]) == ["values.yaml"]
    values: Json = yaml.safe_load(base64.b64decode(secret["data"]["values.yaml"]))
    return values


def comparable(rendered: Objects) -> Objects:
    """Leave out what may differ: helm's marks, how a values file is written, and the namespace itself."""
    return {key: _comparable(item) for key, item in rendered.items() if key[0] != "Namespace"}


def _comparable(item: Json) -> Json:
    metadata = dict(item["metadata"])
    for part in ("labels", "annotations"):
        kept = {key: value for key, value in metadata.pop(part, {}).items() if key not in HELMS_OWN}
        if kept:
            metadata[part] = kept
    if item["kind"] == "Secret":
        item = {**item, "data": values_in(item)}
    return {**item, "metadata": metadata}
