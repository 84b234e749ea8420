from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.api import ApiError
from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.waiting import wait_until
from tests.unit.standin.behaviours import BEHAVIOURS, Play
from tests.unit.standin.scenario import CRD, DEPLOYMENT, Hook, Setting, live_and_die, recording
from tests.unit.standin.shapes import shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.controlplane import ControlPlane
    from tests.e2e.runners import Runner

Json = dict[str, Any]

pytestmark = pytest.mark.controlplane


def test_a_pods_life_brings_the_requests_that_metacontroller_sends(
    controlplane: ControlPlane, metacontroller: Runner, namespace: str, pod_addresses: Iterator[str]
) -> None:
    controlplane.install_crds(CRD)
    api = controlplane.api
    setting = Setting(
        api=api,
        namespace=namespace,
        apply=metacontroller.apply,
        create=lambda manifest: api.create(api.resource_of(manifest), manifest),
        kubelet=lambda: Kubelet(api, pod_addresses, node="node-1"),
    )
    with Hook() as hook:
        requests = live_and_die(setting, hook)
        metacontroller.stop()
    for name, request in requests.items():
        assert shape(request) == shape(recording(name)), name


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.__name__)
def test_over_the_api_server(
    behaviour: Callable[[Play], None], controlplane: ControlPlane, metacontroller: Runner, namespace: str
) -> None:
    controlplane.install_crds(CRD)
    Play(controlplane.api, namespace, metacontroller.apply, metacontroller.stop).run(behaviour)


def test_a_service_account_may_do_what_its_roles_allow(controlplane: ControlPlane, namespace: str) -> None:
    accounts = controlplane.api.resource("v1", "serviceaccounts")
    wait_until(lambda: controlplane.api.exists(accounts, "default", namespace), 15, "the service account")
    token = controlplane.service_account_token(namespace, "default")
    with controlplane.client(token) as client, pytest.raises(ApiError) as caught:
        client.list(client.resource("v1", "pods"), namespace)
    assert caught.value.reason == "Forbidden"
    role = ["create", "rolebinding", "viewer", "--clusterrole=view", f"--serviceaccount={namespace}:default"]
    controlplane.kubectl(*role, f"--namespace={namespace}")
    controlplane.wait_allowed(token, "list", controlplane.api.resource("v1", "pods"), namespace)
    with controlplane.client(token) as client:
        assert client.list(client.resource("v1", "pods"), namespace)["items"] == []


def test_kubectl_shows_what_runs(controlplane: ControlPlane, kubelet: Kubelet, namespace: str) -> None:
    assert kubelet
    manifest = json.dumps({**DEPLOYMENT, "metadata": {"name": "example", "namespace": namespace}})
    controlplane.kubectl("apply", "-f", "-", stdin=manifest)
    controlplane.kubectl("rollout", "status", "deployment/example", f"--namespace={namespace}", "--timeout=20s")
    address = controlplane.kubectl(
        "get", "pods", f"--namespace={namespace}", "--output=jsonpath={.items[*].status.podIP}"
    )
    assert address == "172.16.1.1"
    with pytest.raises(RuntimeError, match="NotFound"):
        controlplane.kubectl("get", "pod", "none", f"--namespace={namespace}")
