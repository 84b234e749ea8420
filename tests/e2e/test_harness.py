from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.kubelet import Kubelet
from tests.unit.standin.behaviours import BEHAVIOURS, Play
from tests.unit.standin.scenario import CRD, Hook, Setting, live_and_die, recording
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
