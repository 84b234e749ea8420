"""The examples in metacontroller/examples get what they ask for, and each is told of in the page of recipes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from poddnat.api.annotations import EXPOSE_PORT, EXPOSE_PROTOCOL, RESULT, parse
from poddnat.api.readiness import has_gate
from poddnat.cli.commands import app
from poddnat.files import MANIFESTS
from tests.unit.docs.pages import blocks, page, section
from tests.unit.hooks import openkruisegame as plugin

Json = dict[str, Any]

EXAMPLES = MANIFESTS / "examples"
RECIPES = page("users/recipes")


def example(name: str) -> Json:
    content: Json = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def simulated(name: str) -> list[Json]:
    """Simulate an example, and return the pods that come out."""
    files = ["-f", str(EXAMPLES / f"{name}.yaml"), "--values", str(EXAMPLES / "values.yaml"), "-o", "json"]
    result = CliRunner().invoke(app, ["simulate", *files])
    assert result.exit_code == 0, result.output
    pods: list[Json] = json.loads(result.stdout)["pods"]
    return pods


def test_each_but_those_for_operators_is_in_the_page() -> None:
    for path in EXAMPLES.iterdir():
        if path.name not in {"ack-values.yaml", "emulator.yaml", "installation", "metacontroller", "values.yaml"}:
            assert f"../../../metacontroller/examples/{path.name}" in RECIPES, path.name


@pytest.mark.parametrize(
    ("name", "pods"), [("advanced-statefulset", ["room-0", "room-2"]), ("readiness-gate", None), ("downward-api", None)]
)
def test_pods_get_their_ports(name: str, pods: list[str] | None) -> None:
    got = simulated(name)
    assert len(got) == example(name)["spec"]["replicas"]
    assert {pod["status"] for pod in got} == {"Ready"}
    assert pods is None or [pod["name"] for pod in got] == pods


def test_gate_is_the_one_that_is_opened() -> None:
    assert has_gate(example("readiness-gate")["spec"]["template"])


def test_file_has_the_annotation_with_the_result() -> None:
    spec = example("downward-api")["spec"]["template"]["spec"]
    (volume,) = spec["volumes"]
    (item,) = volume["downwardAPI"]["items"]
    assert item["fieldRef"]["fieldPath"] == f"metadata.annotations['{RESULT}']"
    (mount,) = spec["containers"][0]["volumeMounts"]
    assert f"{mount['mountPath']}/{item['path']}" in spec["containers"][0]["args"][0]


def test_game_servers_ask_for_what_the_page_shows() -> None:
    network = example("openkruisegame")["spec"]["network"]
    (shown,) = map(yaml.safe_load, blocks(section(RECIPES, "OpenKruiseGame"), "yaml"))
    assert shown["network"] == network
    chosen = {one["name"]: one["value"] for one in network["networkConf"]}
    written = plugin.asking(chosen["Ports"], chosen["Protocol"])
    assert (written[EXPOSE_PORT], written[EXPOSE_PROTOCOL]) == ("7777,7778", "UDP")
    exposure = parse({**written, "k8s.aliyun.com/pod-dnat-fixed": chosen["Fixed"]})
    assert exposure is not None
    assert exposure.fixed
    assert [str(item) for item in exposure.items] == ["7777/udp", "7778/udp"]
