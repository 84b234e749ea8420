"""The chart that brings Metacontroller: the other chart's twin, with a stand-in for the one that ghcr.io has."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from metacontroller_standin.waiting import wait_until
from tests.chart.clone import ACK
from tests.chart.helm import Helm, Objects, comparable, objects
from tests.chart.sources import ACK_VALUES, BASE, CHART, FOR, WITH_METACONTROLLER
from tests.chart.test_cluster import CONTROLLERS, INSTALLING, names, shell
from tests.e2e.runners import CRDS
from tests.e2e.world import SYSTEM
from tests.unit.docs.pages import section

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.controlplane import ControlPlane

Json = dict[str, Any]

real = pytest.mark.controlplane

CHART_YAML: Json = yaml.safe_load((WITH_METACONTROLLER / "Chart.yaml").read_text(encoding="utf-8"))
DEPENDENCY: Json = CHART_YAML["dependencies"][0]
BROUGHT = ("StatefulSet", SYSTEM, "metacontroller")

STAND_IN = """\
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: metacontroller
  namespace: {{ .Release.Namespace }}
spec:
  selector:
    matchLabels: &labels
      app: metacontroller
  template:
    metadata:
      labels: *labels
    spec:
      securityContext: {{ toJson .Values.podSecurityContext }}
      containers:
        - name: metacontroller
          image: example
          args: {{ toJson .Values.commandArgs }}
          securityContext: {{ toJson .Values.securityContext }}
"""


@pytest.fixture
def charts(tmp_path: Path) -> Path:
    """What a clone has of charts, with Metacontroller's at hand."""
    folder = tmp_path / "clone" / "metacontroller"
    for chart in (CHART, WITH_METACONTROLLER):
        ignored = shutil.ignore_patterns("charts", "Chart.lock")
        shutil.copytree(chart, folder / chart.name, symlinks=True, ignore=ignored)
    stand_in = tmp_path / "stand-in"
    for part in ("crds", "templates"):
        (stand_in / part).mkdir(parents=True)
    named = {"apiVersion": "v2", "name": DEPENDENCY["name"], "version": DEPENDENCY["version"]}
    (stand_in / "Chart.yaml").write_text(yaml.safe_dump(named))
    shutil.copy(CRDS, stand_in / "crds")
    (stand_in / "templates" / "statefulset.yaml").write_text(STAND_IN)
    at_hand = {**CHART_YAML, "dependencies": [{**DEPENDENCY, "repository": f"file://{stand_in}"}]}
    (folder / WITH_METACONTROLLER.name / "Chart.yaml").write_text(yaml.safe_dump(at_hand))
    return folder


def render(helm: Helm, charts: Path, *arguments: str, chart: Path = WITH_METACONTROLLER) -> Objects:
    command = ["template", "poddnat", str(charts / chart.name), f"--namespace={SYSTEM}", "--values=-", FOR]
    printed = helm(*command, *arguments, stdin=yaml.safe_dump(ACK))
    return objects(printed[printed.index("---\n") :])


def test_chart_differs_by_name_description_and_dependency_alone() -> None:
    plain = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    own = {"name": "poddnat-with-metacontroller", "description": CHART_YAML["description"]}
    assert {**plain, **own, "dependencies": [DEPENDENCY]} == CHART_YAML
    for name in (".helmignore", "files", "templates", "values.schema.json", "values.yaml"):
        assert (WITH_METACONTROLLER / name).resolve() == CHART / name


def test_metacontroller_is_the_version_that_the_page_installs() -> None:
    command = f"{DEPENDENCY['repository']}/{DEPENDENCY['name']} --version {DEPENDENCY['version']} "
    assert command in INSTALLING


@real
def test_only_metacontroller_and_where_it_runs_differ(helm: Helm, charts: Path) -> None:
    plain = render(helm, charts, "--set", f"metacontroller.namespace={SYSTEM}", chart=CHART)
    brought = render(helm, charts, "--dependency-update")
    statefulset = brought.pop(BROUGHT)
    assert comparable(brought) == comparable(plain)
    (container,) = statefulset["spec"]["template"]["spec"]["containers"]
    flags = yaml.safe_load((BASE / "examples" / "metacontroller" / "helm.yaml").read_text(encoding="utf-8"))
    assert container["args"] == flags["commandArgs"]


@real
def test_metacontroller_is_left_out_where_that_is_asked_for(helm: Helm, charts: Path) -> None:
    left_out = render(helm, charts, "--dependency-update", "--set", f"{DEPENDENCY['condition']}=false")
    assert comparable(left_out) == comparable(render(helm, charts, chart=CHART))


@real
def test_metacontroller_may_be_put_into_a_namespace_of_its_own(helm: Helm, charts: Path) -> None:
    chosen = f"{DEPENDENCY['name']}.namespaceOverride=control"
    rendered = render(helm, charts, "--dependency-update", "--set", chosen)
    (rule,) = rendered["NetworkPolicy", SYSTEM, "poddnat"]["spec"]["ingress"]
    assert rule["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "control"}


@real
def test_chart_that_does_not_bring_metacontroller_says_so(helm: Helm, charts: Path) -> None:
    command = ["template", "poddnat", str(charts / CHART.name), "--values=-", f"--set={DEPENDENCY['condition']}=true"]
    said = helm.refusal(*command, FOR, stdin=yaml.safe_dump(ACK))
    assert "metacontroller/chart-with-metacontroller does" in said


@real
@pytest.mark.timeout(300)
def test_one_command_installs_both_into_an_empty_cluster(
    plane: ControlPlane, helm: Helm, tmp_path: Path, charts: Path
) -> None:
    (charts.parent / ACK_VALUES.name).symlink_to(ACK_VALUES)
    told = shell(plane, replace(helm, kubeconfig=plane.kubeconfig), tmp_path, section(INSTALLING, "Both at once"))
    assert "It is part of\n   this release" in told
    assert len(names(plane, CONTROLLERS)) == 3
    # Both are admitted where the namespace asks for the level "restricted".
    plane.kubectl("label", "namespace", SYSTEM, "pod-security.kubernetes.io/enforce=restricted")
    plane.kubectl("delete", "pods", "--all", f"--namespace={SYSTEM}", "--force", "--grace-period=0")
    wait_until(lambda: len(names(plane, "pods", f"--namespace={SYSTEM}")) == 3, 30, "the pods of both")
