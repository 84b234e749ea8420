"""README.md says what there is: nothing left out, nothing made up."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.main import get_command

from poddnat.api import FIXED, POD_DNAT, AnnotationError
from poddnat.api.annotations import (
    EXPOSE_PORT,
    EXPOSE_PROTOCOL,
    PREFER_OWN_PORTS,
    RELEASE_STRATEGY,
    RESULT,
    STATUS,
    format_result,
    parse,
)
from poddnat.api.readiness import has_gate
from poddnat.cli.commands import app
from poddnat.config import Limits, Policy
from poddnat.config.values import parse as parse_values
from poddnat.model import PortMapping, Ports, Transport, WorkingPort

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIRST_CELLS = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `")]
TOLD = {name for cell in FIRST_CELLS for name in re.findall(r"`([^`]+)`", cell)}
"""What the tables' first columns name."""


def blocks(language: str) -> list[str]:
    """Return the README's code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def keys(schema: dict[str, Any]) -> Iterator[str]:
    """List the keys that a schema knows, at any depth."""
    for key, value in schema.get("properties", {}).items():
        yield key
        yield from keys(value)
    if "items" in schema:
        yield from keys(schema["items"])


def reasons() -> Iterator[str]:
    """Find the reasons that the code gives: constants, and texts given where a reason is wanted."""
    calls = {"Problem", "format_status"}
    for path in sorted((ROOT / "lib" / "poddnat").rglob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(module):
            found: list[ast.expr] = []
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                found += node.args[:1] if name in calls else node.args[1:2] if name == "warn" else []
                found += [word.value for word in node.keywords if word.arg == "reason"]
            elif isinstance(node, ast.Assign) and path.name == "reasons.py" and node in module.body:
                found.append(node.value)
            for value in found:
                if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
                    yield value.value


def targets() -> set[str]:
    """Return the Makefile's targets that have a description."""
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_annotations_are_those_of_the_code() -> None:
    known = {POD_DNAT, EXPOSE_PORT, EXPOSE_PROTOCOL, FIXED, RELEASE_STRATEGY, STATUS, RESULT}
    assert {name for name in TOLD if name.startswith("k8s.aliyun.com/")} == known
    assert PREFER_OWN_PORTS in TOLD


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        (POD_DNAT, ["true", "", "false"]),
        (EXPOSE_PROTOCOL, ["tcp", "udp", "tcpudp"]),
        (FIXED, ["true", "false"]),
        (PREFER_OWN_PORTS, ["true", "false"]),
        (RELEASE_STRATEGY, ["Follow", "Never", "5m30s"]),
    ],
)
def test_values_of_annotations_that_the_table_shows_are_taken(name: str, texts: list[str]) -> None:
    (row,) = (line for line in README.splitlines() if line.startswith(f"| `{name}` |"))
    assert [text.strip('"') for text in re.findall(r"`([^`]+)`", row)[1:]] == texts
    for text in texts:
        exposure = parse({POD_DNAT: "true", EXPOSE_PORT: "80", name: text})
        assert (exposure is None) == (name == POD_DNAT and text == "false")


def test_result_that_is_shown_has_the_form_of_the_annotation() -> None:
    (shown,) = (json.loads(block) for block in blocks("json") if block.startswith("[{"))
    ports = [
        WorkingPort(
            each["externalIP"],
            "172.16.8.12",
            PortMapping(
                Ports.parse(each["externalPort"]), Ports.parse(each["internalPort"]), Transport(each["protocol"])
            ),
            ("fwd-1",),
        )
        for each in shown
    ]
    assert format_result(ports) == json.dumps(shown, separators=(",", ":"))


def used(content: object) -> Iterator[str]:
    """List the keys in a document, at any depth."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield key
            yield from used(value)
    elif isinstance(content, list):
        for item in content:
            yield from used(item)


def test_each_key_of_values_has_an_example_that_is_valid() -> None:
    acks = yaml.safe_load((ROOT / "metacontroller" / "examples" / "values.yaml").read_text(encoding="utf-8"))
    examples = [
        block for block in map(yaml.safe_load, blocks("yaml")) if {"networkController", "endpoints"} & set(block)
    ]
    for example in examples:
        parse_values({**acks, **example})
    schema = json.loads((ROOT / "schemas" / "values.json").read_text(encoding="utf-8"))
    assert set(keys(schema)) <= set(used([acks, *examples]))


def test_values_keys_are_all_told() -> None:
    schema = json.loads((ROOT / "schemas" / "values.json").read_text(encoding="utf-8"))
    assert set(keys(schema)) <= TOLD


def test_reasons_are_those_of_the_code() -> None:
    found = set(reasons())
    assert {"Ready", "InvalidAnnotation", "QuotaExceeded", "NoGateway", "Updating"} <= found
    told = {name for name in TOLD if re.fullmatch(r"(IPv4|[A-Z][a-z]+)+", name)}
    assert {name for name in told if not name.startswith("Poddnat")} == found  # Those are alerts.


def test_make_targets_are_those_of_the_makefile() -> None:
    assert set(re.findall(r"\bmake (?:PYTHON=\S+ )?([a-z-]+)", README)) == targets()


def test_commands_are_those_of_the_command_line() -> None:
    named = set(re.findall(r"\.venv/bin/poddnat ([a-z-]+)", README))
    assert named == set(get_command(app).commands)  # type: ignore[attr-defined]


def test_linked_files_are_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_links_within_lead_somewhere() -> None:
    headings = {re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-") for line in README.splitlines()}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings


def test_example_asks_for_what_the_text_says() -> None:
    (deployment,) = (block for block in map(yaml.safe_load, blocks("yaml")) if block.get("kind") == "Deployment")
    exposure = parse(deployment["spec"]["template"]["metadata"]["annotations"])
    assert exposure is not None
    assert [(str(item.ports), item.transport) for item in exposure.items] == [("7777", "udp"), ("7778", "udp")]


def test_lists_of_ports_take_as_many_entries_as_the_table_says() -> None:
    section = README.split("### Ports\n")[1].strip().split("\n\n")[0]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in section.splitlines()[2:]]
    assert len(rows) >= 6
    for text, _, count in rows:
        exposure = parse({POD_DNAT: "true", EXPOSE_PORT: text})
        assert exposure is not None
        assert sum(len(item.transport.protocols) for item in exposure.items) == int(count)


def test_example_of_values_uses_every_key_of_ours() -> None:
    (example,) = (block for block in map(yaml.safe_load, blocks("yaml")) if "networkController" in block)
    acks = yaml.safe_load((ROOT / "metacontroller" / "examples" / "values.yaml").read_text(encoding="utf-8"))
    values = parse_values({**acks, **example})
    (entry,) = values.pool
    assert (entry.policy, entry.quota) == (Policy.UNIFORM, 500)
    assert values.is_blocked("198.51.100.7")
    assert values.move_from_blocked
    assert values.namespaces is not None
    assert values.namespaces.allows("lobby", {})
    assert values.namespaces.allows("arena", {"team": "games", "stage": "live"})
    assert values.limits == Limits(ports_per_pod=20, ports_per_namespace=400)


@pytest.mark.parametrize(
    "changed",
    [
        {"pod-dnat": "yes"},
        {"pod-dnat-expose-port": ""},
        {"pod-dnat-expose-port": "7777,http"},
        {"pod-dnat-expose-port": "10/20"},
        {"pod-dnat-expose-port": "9000-9010,9005"},
        {"pod-dnat-expose-protocol": "sctp"},
    ],
    ids=str,
)
def test_mistakes_are_answered_as_the_table_says(changed: dict[str, str]) -> None:
    asked = {"pod-dnat": "true", "pod-dnat-expose-port": "80", **changed}
    with pytest.raises(AnnotationError) as raised:
        parse({f"k8s.aliyun.com/{key}": value for key, value in asked.items()})
    assert f"`InvalidAnnotation: {raised.value}.`" in README


def test_policy_has_the_calls_that_are_made() -> None:
    policy = next(json.loads(block) for block in blocks("json") if "Statement" in block)
    (statement,) = policy["Statement"]
    made = re.findall(
        r'_call\(\s*"(\w+)"', (ROOT / "lib" / "poddnat" / "cloud" / "client.py").read_text(encoding="utf-8")
    )
    assert sorted(action.split(":")[1] for action in statement["Action"]) == sorted(made)
    assert (policy["Version"], statement["Effect"]) == ("1", "Allow")


def test_example_of_a_fixed_pod_is_one() -> None:
    (stateful,) = (block for block in map(yaml.safe_load, blocks("yaml")) if block.get("kind") == "StatefulSet")
    exposure = parse(stateful["spec"]["template"]["metadata"]["annotations"])
    assert exposure is not None
    assert (exposure.fixed, exposure.release) == (True, "Follow")


def test_example_of_the_readiness_gate_asks_for_it() -> None:
    (pod,) = (block for block in map(yaml.safe_load, blocks("yaml")) if "readinessGates" in (block.get("spec") or {}))
    assert has_gate(pod)


def test_loggers_that_lines_show_are_modules_of_ours() -> None:
    shown = set(re.findall(r'"logger": "([\w.]+)"', README))
    assert shown
    for logger in shown:
        assert (ROOT / "lib" / Path(*logger.split("."))).with_suffix(".py").exists(), logger
