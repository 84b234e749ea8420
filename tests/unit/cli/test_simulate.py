"""Simulations that have nothing to show, or too much."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from poddnat.cli.commands import app
from poddnat.cli.manifests import read_manifests
from poddnat.cli.simulate import Simulation
from poddnat.config import load
from poddnat.files import MANIFESTS

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = MANIFESTS / "examples"


def simulate(folder: Path, **spec: Any) -> Result:
    """Simulate the example Deployment with some of its spec changed."""
    deployment = yaml.safe_load((EXAMPLES / "deployment.yaml").read_text(encoding="utf-8"))
    deployment["spec"].update(spec)
    path = folder / "deployment.yaml"
    path.write_text(yaml.safe_dump(deployment))
    return CliRunner().invoke(app, ["simulate", "-f", str(path), "--values", str(EXAMPLES / "values.yaml")])


def test_pods_that_ask_for_nothing_are_told_where_the_annotation_belongs(tmp_path: Path) -> None:
    pod = {"metadata": {"labels": {"app": "lobby"}}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}}
    result = simulate(tmp_path, template=pod)
    assert result.exit_code == 1
    assert "No pod asks for a public port" in result.output
    assert "spec.template.metadata" in result.output


def test_template_that_is_a_list_is_refused_in_a_sentence(tmp_path: Path) -> None:
    result = simulate(tmp_path, template=["metadata", "spec"])
    assert result.exit_code == 2
    assert "Deployment lobby whose spec.template is not a mapping of keys to values" in result.output


def test_more_pods_than_the_simulated_network_has_room_for_are_refused(tmp_path: Path) -> None:
    result = simulate(tmp_path, replicas=2001)
    assert result.exit_code == 2
    assert result.output.count("2001 pods") == 1
    assert "2000" in result.output


@pytest.mark.parametrize("replicas", ["3", -1, 1.5, True], ids=repr)
def test_replicas_that_are_no_number_are_refused_in_a_sentence(tmp_path: Path, replicas: object) -> None:
    result = simulate(tmp_path, replicas=replicas)
    assert result.exit_code == 2
    assert f"spec.replicas is {replicas!r}" in result.output


def test_fixed_pod_that_is_replaced_keeps_its_public_side() -> None:
    with Simulation(load(EXAMPLES / "values.yaml")) as simulation:
        simulation.run(read_manifests([EXAMPLES / "fixed.yaml"]))
        replaced = simulation.replace_one()
        assert replaced is not None
        before, after = (pod.poddnat or {} for pod in replaced)
        assert before["spec"]["internalIP"] != after["spec"]["internalIP"]
        for field in ("externalIP", "portMapping"):
            assert before["spec"][field] == after["spec"][field]
        assert simulation.clear()


KRUISE = """
apiVersion: apps.kruise.io/v1beta1
kind: StatefulSet
metadata: {name: room}
spec:
  ordinals: {start: 5}
  reserveOrdinals: [6]
  replicas: 2
  selector: {matchLabels: {app: room}}
  template:
    metadata:
      labels: {app: room}
      annotations:
        k8s.aliyun.com/pod-dnat: "true"
        k8s.aliyun.com/pod-dnat-expose-port: "80"
        k8s.aliyun.com/pod-dnat-fixed: "true"
        k8s.aliyun.com/pod-dnat-expose-protocal: udp
    spec: {containers: [{name: room, image: room}]}
"""


def test_pods_of_other_kinds_their_events_and_what_is_kept_are_written_for_programs(tmp_path: Path) -> None:
    path = tmp_path / "room.yaml"
    path.write_text(KRUISE)
    result = CliRunner().invoke(
        app, ["simulate", "-f", str(path), "--values", str(EXAMPLES / "values.yaml"), "-o", "json"]
    )
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert [pod["name"] for pod in told["pods"]] == ["room-5", "room-7"]
    assert {event["reason"] for event in told["events"]} == {"AnnotationIgnored"}
    assert told["replaced"]["before"]["addresses"] == told["replaced"]["after"]["addresses"]
    assert told["clean"]


def test_two_workloads_with_a_pod_of_the_same_name_are_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "same.yaml"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "room-5"}, "spec": {"containers": [{"name": "a"}]}}
    path.write_text(f"{KRUISE}---\n{yaml.safe_dump(pod)}")
    result = CliRunner().invoke(app, ["simulate", "-f", str(path), "--values", str(EXAMPLES / "values.yaml")])
    assert result.exit_code == 2
    assert "Pod room-5 can't be created" in result.output


def test_kind_that_is_passed_over_is_named_and_the_exit_status_is_1(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    odd = {"apiVersion": "x.io/v1", "kind": "Fleet", "metadata": {"name": "f"}, "spec": {"t": {"containers": []}}}
    path.write_text(yaml.safe_dump(odd))
    result = CliRunner().invoke(app, ["simulate", "-f", str(path), "--values", str(EXAMPLES / "values.yaml")])
    assert result.exit_code == 1
    assert "Fleet f is passed over" in result.output
