"""What the chart takes from elsewhere in the repository.

`make chart` brings it up to date: the copies in `metacontroller/chart/files` (Helm reads no file outside a chart), the
part of the chart's schema that is about ACK's keys, and the golden render.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

Json = dict[str, Any]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BASE = ROOT / "metacontroller"
CHART = BASE / "chart"
WITH_METACONTROLLER = BASE / "chart-with-metacontroller"
SCHEMA = CHART / "values.schema.json"
GOLDEN = HERE / "golden.yaml"
ACK_VALUES = HERE / "ack-values.yaml"
"""ACK's document's own file, filled in."""

FOR = "--kube-version=1.36.3"
"""Without a cluster to ask, each helm has its own idea of Kubernetes' version."""

COPIES = {
    CHART / "files" / source.name: source
    for source in (
        BASE / "admissionpolicy.yaml",
        BASE / "controllers.yaml",
        BASE / "crd.yaml",
        BASE / "poddisruptionbudget.yaml",
        BASE / "rbac.yaml",
        BASE / "service.yaml",
        BASE / "view.yaml",
        BASE / "monitoring" / "dashboard.json",
        BASE / "monitoring" / "prometheusrule.yaml",
    )
}


def ack_properties() -> Json:
    """Give the schema of ACK's keys: the program's, but for what the chart leaves to the program."""
    properties: Json = json.loads((ROOT / "schemas" / "values.json").read_text(encoding="utf-8"))["properties"]
    # Keys of ACK's other controllers stand beside natGwPool.
    del properties["networkController"]["additionalProperties"]
    # Helm prints what doesn't fit.
    for key in properties["credential"]["properties"].values():
        key.pop("pattern", None)
        key.pop("not", None)
    return properties


def helm_program() -> str:
    """Tell where helm is; build it first where it isn't there."""
    done = subprocess.run([str(HERE / "build")], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def golden() -> str:
    """Render the chart with ACK's file and nothing else."""
    arguments = ["--namespace=poddnat-system", f"--values={ACK_VALUES}", FOR]
    command = [helm_program(), "template", "poddnat", str(CHART), *arguments]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    # Helm 4 has blank lines where Helm 3 has none.
    return "".join(line for line in printed.splitlines(keepends=True) if line.strip())


def main() -> None:
    for copy, source in COPIES.items():
        copy.write_bytes(source.read_bytes())
    schema: Json = json.loads(SCHEMA.read_text(encoding="utf-8"))
    schema["properties"] = {**ack_properties(), **_own(schema)}
    SCHEMA.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    GOLDEN.write_text(golden(), encoding="utf-8")


def _own(schema: Json) -> Json:
    return {key: value for key, value in schema["properties"].items() if key not in ack_properties()}


if __name__ == "__main__":
    main()
