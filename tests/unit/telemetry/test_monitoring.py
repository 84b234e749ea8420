"""The alerts and the dashboard: every expression can be read and asks for what /metrics tells; alerts fire."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from poddnat.files import MANIFESTS
from tests.unit.docs.pages import page
from tests.unit.hooks.world import EXPOSE_80, PORTS, World, answer, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = MANIFESTS / "monitoring"
RULES_FILE = yaml.safe_load((FOLDER / "prometheusrule.yaml").read_text(encoding="utf-8"))["spec"]
RULES = [rule for group in RULES_FILE["groups"] for rule in group["rules"]]
CASES = yaml.safe_load((Path(__file__).parent / "alerts.yaml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
ADDED_BY_SCRAPE = {"job", "namespace", "pod", "instance"}

TARGETS = {
    f"{panel['title']}-{target['refId']}": target for panel in DASHBOARD["panels"] for target in panel["targets"]
}
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in RULES} | {name: t["expr"] for name, t in TARGETS.items()}


@pytest.fixture(scope="module")
def scraped() -> Iterator[Mapping[str, set[str]]]:
    """What /metrics tells, by name: the labels."""
    with running() as world:
        yield scrape(world)


def scrape(world: World) -> Mapping[str, set[str]]:
    """Have everything happen that is counted, and scrape."""
    world.expose(world.make_pod(EXPOSE_80))
    answer(lambda: world.sync_pod(world.make_pod({**EXPOSE_80, PORTS: "http"}, name="typo")))
    world.service.metrics.garbage_collected("ngw-1")
    world.service.metrics.drifted("ngw-1")
    world.service.fleet.gateways()[0].set_quota(100)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(world.client.get("/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def parse(expression: str) -> Any:
    """Read an expression, with Grafana's own variables filled in."""
    filled = expression.replace("$__rate_interval", "5m").replace("$gateway", ".*")
    return promql_parser.parse(filled)


def selectors(node: Any) -> Iterator[Any]:
    """Find the vector selectors of an expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for field in ("expr", "lhs", "rhs", "vector_selector", "vs"):
        if getattr(node, field, None) is not None:
            yield from selectors(getattr(node, field))
    for argument in getattr(node, "args", None) or []:
        yield from selectors(argument)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expression_asks_for_what_is_reported(scraped: Mapping[str, set[str]], name: str) -> None:
    expression = EXPRESSIONS[name]
    found = list(selectors(parse(expression)))
    assert found
    assert {selector.name for selector in found} <= set(scraped)
    for selector in found:
        assert {matcher.name for matcher in selector.matchers.matchers} <= scraped[selector.name] | ADDED_BY_SCRAPE
    known = set().union(*(scraped[selector.name] for selector in found)) | ADDED_BY_SCRAPE
    grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(",")}
    assert grouped <= known


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_alert_uses_labels_that_its_expression_keeps(rule: dict[str, Any]) -> None:
    used = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
    kept = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", rule["expr"]) for label in group.split(",")}
    assert used <= kept
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert {"summary", "description"} <= set(rule["annotations"])


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_keeps_quiet() -> None:
    checks = [check for case in CASES["tests"] for check in case["alert_rule_test"]]
    for fires in (True, False):
        assert {c["alertname"] for c in checks if bool(c.get("exp_alerts")) is fires} == {r["alert"] for r in RULES}


def test_alerts_fire_when_they_should_and_keep_quiet_else(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool, which comes with Prometheus, is not on PATH")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES_FILE))
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump({**_completed(CASES), "rule_files": ["rules.yaml"]}))
    for arguments in (["check", "rules", "rules.yaml"], ["test", "rules", "cases.yaml"]):
        ran = subprocess.run([promtool, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def _completed(cases: dict[str, Any]) -> dict[str, Any]:
    """Add to the alerts that are expected what their rules say anyway."""
    rules = {rule["alert"]: rule for rule in RULES}
    cases = copy.deepcopy(cases)
    for check in (check for case in cases["tests"] for check in case["alert_rule_test"]):
        rule = rules[check["alertname"]]
        for alert in check.get("exp_alerts", []):
            alert["exp_labels"] = rule["labels"] | alert.get("exp_labels", {})
            alert["exp_annotations"]["description"] = rule["annotations"]["description"]
    return cases


def test_page_says_for_each_alert_what_to_do() -> None:
    named = re.findall(r"^\| `(Poddnat\w+)` \|[^|]{10,}\|[^|]{20,}\|$", page("operators/monitoring"), re.MULTILINE)
    assert named == [rule["alert"] for rule in RULES]


def test_panels_have_places_of_their_own_and_say_what_they_show() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = {(x, y) for x in columns for y in rows}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
        assert panel["description"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize("name", TARGETS)
def test_legend_names_labels_that_its_expression_keeps(name: str) -> None:
    target = TARGETS[name]
    named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
    kept = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", target["expr"]) for label in group.split(",")}
    assert named <= (kept or ADDED_BY_SCRAPE)
    assert target["legendFormat"]


def test_component_lists_every_file() -> None:
    component = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    listed = {*component["resources"], *(f.split("=")[-1] for f in component["configMapGenerator"][0]["files"])}
    assert listed == {path.name for path in FOLDER.iterdir()} - {"kustomization.yaml"}


def test_scraped_port_and_labels_are_those_of_the_deployment() -> None:
    monitor = yaml.safe_load((FOLDER / "podmonitor.yaml").read_text(encoding="utf-8"))["spec"]
    deployment = yaml.safe_load((MANIFESTS / "deployment.yaml").read_text(encoding="utf-8"))["spec"]["template"]
    ports = [port["name"] for port in deployment["spec"]["containers"][0]["ports"]]
    assert monitor["podMetricsEndpoints"][0]["port"] in ports
    assert monitor["selector"]["matchLabels"].items() <= deployment["metadata"]["labels"].items()
