"""Why pods can, or can't, be reached, on a real API server: with an administrator's rights, and with an operator's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from metacontroller_standin.api import name_of
from metacontroller_standin.manifests import is_controller
from metacontroller_standin.waiting import wait_until
from poddnat.cli.commands import app
from poddnat.cli.explain import cluster_links
from tests.e2e import world
from tests.hushed import leaks
from tests.unit.hooks import world as small
from tests.unit.hooks.world import EXPOSE_80, GATEWAY, POD_DNAT, PORTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.runners import Runner
    from tests.e2e.world import Cluster

pytestmark = pytest.mark.controlplane

Json = dict[str, Any]


@dataclass
class Explainer:
    """Runs the command with somebody's kubeconfig."""

    cluster: Cluster
    values: Path
    kubeconfig: Path

    def links(self, pod: str) -> dict[str, tuple[str, str]]:
        """Explain a pod; return state and text of each link."""
        where = ["--values", str(self.values), "--kubeconfig", str(self.kubeconfig)]
        result = CliRunner().invoke(app, ["explain", pod, "-n", self.cluster.namespace, "-o", "json", *where])
        assert leaks(result.output) == []
        content = json.loads(result.stdout)
        assert result.exit_code == (0 if content["reachable"] else 1), result.output
        return {link["link"]: (link["state"], link["text"]) for link in content["links"]}

    def broken(self, pod: str) -> str:
        """Explain a pod; return the link that is wrong."""
        (name,) = [name for name, (state, _) in self.links(pod).items() if state == "wrong"]
        return name


@pytest.fixture
def explainer(cluster: Cluster, tmp_path: Path) -> Iterator[Explainer]:
    """Explain as administrator; the controllers are there, also where the stand-in calls the hooks."""
    url = yaml.safe_load((tmp_path / "values.yaml").read_text(encoding="utf-8"))["endpoints"]["vpc"]
    values = tmp_path / "explain-values.yaml"
    values.write_text(yaml.safe_dump(small.values(url)))
    wanted = [one for one in world.controllers(cluster.controlplane, cluster.server.url) if is_controller(one)]
    made = [one for one in wanted if not cluster.api.exists(cluster.api.resource_of(one), name_of(one))]
    for one in made:
        cluster.controlplane.put(one)
    yield Explainer(cluster, values, cluster.controlplane.kubeconfig)
    for one in made:
        cluster.api.delete(cluster.api.resource_of(one), name_of(one))


@pytest.mark.timeout(180)
def test_good_pod_and_broken_ones_are_told_apart(
    explainer: Explainer, metacontroller: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = explainer.cluster
    for name in ("good", "robbed"):
        cluster.create_pod(name, EXPOSE_80)
    cluster.create_pod("typo", {POD_DNAT: "true", PORTS: "http"})
    cluster.create_pod("elsewhere", EXPOSE_80)
    for name in ("good", "robbed", "elsewhere"):
        cluster.wait_ready(name)
    links = explainer.links("good")
    assert {name for name, (state, _) in links.items() if state != "ok"} == {"security group"}
    (entry,) = (cluster.poddnat("robbed") or {})["status"]["entries"]
    cluster.emulator.delete_entry(GATEWAY, entry["forwardEntryId"])
    assert explainer.broken("robbed") == "forward entry"
    assert explainer.broken("typo") == "annotations"
    assert explainer.broken("nobody") == "pod"
    metacontroller.stop()
    monkeypatch.setattr(cluster_links, "HOOKS_HEARD_WITHIN", 0.0)
    cluster.create_pod("unheard", EXPOSE_80)
    wait_until(lambda: (cluster.pod("unheard").get("status") or {}).get("podIP"), 20, "the pod to run")
    assert explainer.broken("unheard") in {"hooks", "controllers"}
    assert explainer.links("good")["status"][0] == "ok"
    cluster.emulator.set_default_route("vtb-1", "NatGateway", "ngw-other")
    assert explainer.broken("elsewhere") == "route"


VIEWER = "explain-viewer"


@pytest.fixture
def viewer(explainer: Explainer, tmp_path: Path) -> Iterator[Explainer]:
    """Explain as somebody who has Kubernetes' own role `view`, and no more."""
    controlplane, namespace = explainer.cluster.controlplane, explainer.cluster.namespace
    metadata = {"name": VIEWER, "namespace": namespace}
    controlplane.put({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    binding: Json = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"{VIEWER}-{namespace}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": VIEWER, "namespace": namespace}],
    }
    controlplane.put(binding)
    token = controlplane.service_account_token(namespace, VIEWER)
    controlplane.wait_allowed(token, "list", controlplane.api.resource("alibabacloud.com/v1", "poddnats"))
    yield Explainer(explainer.cluster, explainer.values, controlplane.kubeconfig_for(token, tmp_path / "viewer"))
    controlplane.api.delete(controlplane.api.resource_of(binding), name_of(binding))


@pytest.mark.timeout(120)
def test_who_may_only_view_is_told_what_could_not_be_read(viewer: Explainer) -> None:
    viewer.cluster.create_pod("good", EXPOSE_80)
    viewer.cluster.wait_ready("good")
    links = viewer.links("good")
    state, text = links["controllers"]
    assert state == "unknown"
    assert "decoratorcontrollers" in text
    assert "an operator has to grant that right" in text
    assert {name for name, (state, _) in links.items() if state != "ok"} == {"controllers", "security group"}
