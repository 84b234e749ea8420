"""README.md and docs/en say what there is: nothing left out, nothing made up."""

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
from tests.unit.docs.pages import (
    BLOCK,
    CHINESE,
    ROOT,
    blocks,
    commands,
    everything,
    first_cells,
    headings,
    page,
    section,
    tables,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL = everything()
ANNOTATIONS, VALUES = page("users/annotations"), page("operators/values")
REASONS = page("operators/troubleshooting").split("\n## ")[0]
"""The table of reasons stands before the first heading."""


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


def in_code(text: str) -> str:
    """Return what stands in blocks of code and between backticks."""
    return "\n".join([*(block[0] for block in BLOCK.finditer(text)), *re.findall(r"`[^`\n]+`", BLOCK.sub("", text))])


def test_annotations_are_those_of_the_code() -> None:
    known = {POD_DNAT, EXPOSE_PORT, EXPOSE_PROTOCOL, FIXED, RELEASE_STRATEGY, STATUS, RESULT}
    assert first_cells(ANNOTATIONS) >= known | {PREFER_OWN_PORTS}
    assert {name for name in first_cells(ALL) if name.startswith("k8s.aliyun.com/")} == known


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
    (row,) = (line for line in ANNOTATIONS.splitlines() if line.startswith(f"| `{name}` |"))
    assert [text.strip('"') for text in re.findall(r"`([^`]+)`", row)[1:]] == texts
    for text in texts:
        exposure = parse({POD_DNAT: "true", EXPOSE_PORT: "80", name: text})
        assert (exposure is None) == (name == POD_DNAT and text == "false")


def test_result_that_is_shown_has_the_form_of_the_annotation() -> None:
    (shown,) = (json.loads(block) for block in blocks(page("users/look"), "json"))
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
        block
        for text in (VALUES, page("operators/try"), section(page("operators/installations"), "Add one"))
        for block in map(yaml.safe_load, blocks(text, "yaml"))
        if {"networkController", "endpoints", "installation"} & set(block)
    ]
    for example in examples:
        parse_values({**acks, **example})
    schema = json.loads((ROOT / "schemas" / "values.json").read_text(encoding="utf-8"))
    assert set(keys(schema)) <= set(used([acks, *examples]))


def test_values_keys_are_all_told() -> None:
    schema = json.loads((ROOT / "schemas" / "values.json").read_text(encoding="utf-8"))
    assert set(keys(schema)) <= first_cells(VALUES)


def test_reasons_are_those_of_the_code() -> None:
    found = set(reasons())
    assert {"Ready", "InvalidAnnotation", "QuotaExceeded", "NoGateway", "Updating"} <= found
    assert first_cells(REASONS) == found


def test_make_targets_are_those_of_the_makefile() -> None:
    assert set(re.findall(r"`?\bmake (?:PYTHON=\S+ )?([a-z-]+)", in_code(ALL))) == targets()


def test_commands_are_those_of_the_command_line() -> None:
    named = set(re.findall(r"\.venv/bin/poddnat ([a-z-]+)", ALL))
    assert named == set(get_command(app).commands)  # type: ignore[attr-defined]


def test_example_asks_for_what_the_text_says() -> None:
    (deployment,) = (
        block for block in map(yaml.safe_load, blocks(ANNOTATIONS, "yaml")) if block.get("kind") == "Deployment"
    )
    exposure = parse(deployment["spec"]["template"]["metadata"]["annotations"])
    assert exposure is not None
    assert [(str(item.ports), item.transport) for item in exposure.items] == [("7777", "udp"), ("7778", "udp")]


def test_lists_of_ports_take_as_many_entries_as_the_table_says() -> None:
    table = tables(section(ANNOTATIONS, "Ports"))[0]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table[2:]]
    assert len(rows) >= 6
    for text, _, count in rows:
        exposure = parse({POD_DNAT: "true", EXPOSE_PORT: text})
        assert exposure is not None
        assert sum(len(item.transport.protocols) for item in exposure.items) == int(count)


def test_example_of_values_uses_every_key_of_ours() -> None:
    (example,) = (block for block in map(yaml.safe_load, blocks(VALUES, "yaml")) if "networkController" in block)
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
    assert f"`InvalidAnnotation: {raised.value}.`" in ANNOTATIONS


def test_policy_has_the_calls_that_are_made() -> None:
    (policy,) = map(json.loads, blocks(page("operators/install"), "json"))
    (statement,) = policy["Statement"]
    made = re.findall(
        r'_call\(\s*"(\w+)"', (ROOT / "lib" / "poddnat" / "cloud" / "client.py").read_text(encoding="utf-8")
    )
    assert sorted(action.split(":")[1] for action in statement["Action"]) == sorted(made)
    assert (policy["Version"], statement["Effect"]) == ("1", "Allow")


def test_example_of_a_fixed_pod_is_one() -> None:
    (stateful,) = map(yaml.safe_load, blocks(page("users/fixed-pods"), "yaml"))
    exposure = parse(stateful["spec"]["template"]["metadata"]["annotations"])
    assert exposure is not None
    assert (exposure.fixed, exposure.release) == (True, "Follow")


def test_example_of_the_readiness_gate_asks_for_it() -> None:
    (pod,) = map(yaml.safe_load, blocks(section(ANNOTATIONS, "Readiness"), "yaml"))
    assert has_gate(pod)


def test_loggers_that_lines_show_are_modules_of_ours() -> None:
    shown = set(re.findall(r'"logger": "([\w.]+)"', ALL))
    assert shown
    for logger in shown:
        assert (ROOT / "lib" / Path(*logger.split("."))).with_suffix(".py").exists(), logger


def programs(text: str) -> Iterator[list[str]]:
    """List the commands of `poddnat` in code, as arguments, those of the server included."""
    for line in in_code(text).replace("\\\n", " ").splitlines():
        found = re.match(
            r"^`?(?:\$ )?(?:kubectl |\.venv/bin/)?poddnat ([a-z-]+.*?)`?$", line.partition("  #")[0].strip()
        )
        if found:
            yield found[1].split()


def test_commands_have_the_options_that_pages_give_them() -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    given = [arguments for arguments in programs(ALL) if arguments[0] in known]
    assert len(given) > 20
    for name, *arguments in given:
        options = {
            option for parameter in known[name].params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        assert {word.partition("=")[0] for word in arguments if re.match(r"--?[a-z]", word)} <= options, (
            name,
            arguments,
        )


RUN = {
    "README.md": {
        "See it": "tests/unit/docs/test_pictures.py",
        "Install": "tests/chart/test_cluster.py",
        "Tests": "It runs this.",
    },
    "docs/en/maintainers/tests.md": {"Tests": "It runs this."},
    "docs/en/operators/availability.md": {"Availability": "tests/e2e/test_replicas.py"},
    "docs/en/operators/install.md": {
        "Both at once": "tests/chart/test_with_metacontroller.py",
        "Image": "No builder and no registry of images is here.",
        "Metacontroller": "No registry of charts is here.",
        "Values file": "tests/unit/docs/test_facts.py",
        "Without Helm": "tests/chart/test_render.py",
        "poddnat": "tests/chart/test_cluster.py",
    },
    "docs/en/operators/installations.md": {
        "Add one": "tests/chart/test_cluster.py",
        "By namespace": "tests/e2e/test_installations.py",
    },
    "docs/en/operators/migrate.md": {"Move from ACK's controller": "tests/e2e/test_adoption.py"},
    "docs/en/operators/security.md": {
        "Credentials of the cloud": "tests/chart/test_cluster.py",
        "TLS": "tests/chart/test_cluster.py",
        "Token": "tests/chart/test_cluster.py",
    },
    "docs/en/operators/size.md": {"Memory": "tests/chart/test_cluster.py"},
    "docs/en/operators/try.md": {
        "A cluster to try things in": "tests/e2e/test_try.py",
        "Your own manifests": "tests/unit/cli/test_simulate.py",
        "With your own server": "tests/e2e/test_try.py",
        "The emulator alone": "tests/e2e/test_try.py",
    },
    "docs/en/operators/uninstall.md": {
        "First, in any case": "tests/e2e/test_uninstall.py",
        "One of several": "tests/chart/test_cluster.py",
        "Without the program": "tests/chart/test_cluster.py",
        "With Helm": "tests/chart/test_cluster.py",
        "Without Helm": "tests/e2e/test_uninstall.py",
    },
    "docs/en/operators/upgrade.md": {"Upgrade": "tests/chart/test_cluster.py"},
    "docs/en/users/recipes.md": {"Agones": "tests/e2e/test_recipes.py", "external-dns": "tests/e2e/test_recipes.py"},
}
"""Where the commands of each section are run, or why they are not."""


def test_commands_of_each_section_are_run_somewhere() -> None:
    found = {
        path: {title for _, title in headings(page(path)) if blocks(own_text(page(path), title), "sh")}
        for path in CHINESE
    }
    assert {path: set(where) for path, where in RUN.items()} == {
        path: titles for path, titles in found.items() if titles
    }
    for where in RUN.values():
        for place in where.values():
            assert place.endswith(".") or (ROOT / place).exists(), place


def own_text(text: str, title: str) -> str:
    """Return what stands under a heading, up to the next one of any level."""
    return re.split(
        r"^#+ ", BLOCK.sub(lambda block: block[0].replace("\n#", "\n #"), section(text, title)), flags=re.MULTILINE
    )[0]


def test_values_file_that_the_page_has_copied_is_there() -> None:
    copied = commands(section(page("operators/install"), "Values file"))[0]
    assert copied == ["cp", "metacontroller/examples/ack-values.yaml", "ack-values.yaml"]
    assert (ROOT / copied[1]).exists()
