"""Who may call the hooks, and what the API server lets the server's own pods do."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from metacontroller_standin.api import ApiError
from metacontroller_standin.waiting import wait_until
from tests.e2e import world
from tests.hushed import OTHER_TOKEN
from tests.unit.hooks import certificates
from tests.unit.hooks.world import EXPOSE_80
from tests.unit.test_manifests import with_components

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from metacontroller_standin.kubelet import Kubelet
    from tests.e2e.controlplane import ControlPlane
    from tests.e2e.runners import Runner

Json = dict[str, Any]

pytestmark = pytest.mark.controlplane

MANIFESTS = world.MANIFESTS


# Callers. That the right token opens the hooks is what all other tests here show.


def test_wrong_token_exposes_nothing_and_is_told_as_an_event(
    installed: ControlPlane, metacontroller: Runner, namespace: str, kubelet: Kubelet, tmp_path: Path
) -> None:
    assert kubelet
    with world.running(installed, metacontroller, namespace, tmp_path, token=OTHER_TOKEN) as cluster:
        cluster.create_pod("web", EXPOSE_80)
        wait_until(lambda: "SyncError" in cluster.kubectl("get", "events"), 15, "the event")
        assert "401" in cluster.kubectl("get", "events")
        assert "no valid bearer token" in cluster.kubectl("get", "events")
        assert cluster.poddnats() == []
        assert cluster.entries() == []


def test_pod_is_exposed_over_tls(
    installed: ControlPlane, metacontroller: Runner, namespace: str, kubelet: Kubelet, tmp_path: Path
) -> None:
    assert kubelet
    files = certificates.make(tmp_path)
    with world.running(installed, metacontroller, namespace, tmp_path, certificate=files) as cluster:
        cluster.create_pod("web", EXPOSE_80)
        assert len(cluster.wait_ready("web")["status"]["entries"]) == 1


# The server's pods. The namespace that is shipped wants the Pod Security level `restricted`.


def admit(controlplane: ControlPlane, template: Json) -> None:
    """Have the API server judge a pod, and make none."""
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": "judged", **template["metadata"]}}
    controlplane.api.call("POST", f"/api/v1/namespaces/{world.SYSTEM}/pods?dryRun=All", pod)


@pytest.fixture(scope="module")
def shipped(controlplane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Json:
    """The server's pod as the Deployment has it, with all components."""
    folder = with_components(tmp_path_factory.mktemp("shipped"))
    manifests = yaml.safe_load_all(controlplane.kubectl("kustomize", str(folder)))
    (template,) = (item["spec"]["template"] for item in manifests if item["kind"] == "Deployment")
    assert isinstance(template, dict)
    return template


def test_pods_of_the_server_pass_the_restricted_level(installed: ControlPlane, shipped: Json) -> None:
    admit(installed, shipped)


def in_pod(**fields: Any) -> Callable[[Json], None]:
    return lambda spec: spec["securityContext"].update(fields)


def in_container(**fields: Any) -> Callable[[Json], None]:
    return lambda spec: spec["containers"][0]["securityContext"].update(fields)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        pytest.param(in_pod(runAsNonRoot=False), "runAsNonRoot", id="may be root"),
        pytest.param(in_pod(runAsUser=0), "runAsUser=0", id="root"),
        pytest.param(in_pod(seccompProfile=None), "seccompProfile", id="no seccomp profile"),
        pytest.param(in_container(capabilities=None), "unrestricted capabilities", id="default capabilities"),
        pytest.param(
            in_container(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]}), "NET_ADMIN", id="one more capability"
        ),
        pytest.param(in_container(allowPrivilegeEscalation=None), "allowPrivilegeEscalation", id="escalation"),
        pytest.param(
            lambda spec: spec["volumes"].append({"name": "node", "hostPath": {"path": "/"}}), "hostPath", id="host path"
        ),
        pytest.param(lambda spec: spec.update(hostNetwork=True), "host namespaces", id="host network"),
    ],
)
def test_each_part_of_the_restricted_level_is_enforced(
    installed: ControlPlane, shipped: Json, spoil: Callable[[Json], None], complaint: str
) -> None:
    template = copy.deepcopy(shipped)
    spoil(template["spec"])
    with pytest.raises(ApiError, match=r'violates PodSecurity "restricted:latest"') as caught:
        admit(installed, template)
    assert complaint in str(caught.value)
