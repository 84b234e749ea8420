from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from metacontroller_standin import workloads
from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.standin import StandIn
from tests.unit.standin.scenario import Hook, Setting, live_and_die, recording
from tests.unit.standin.shapes import shape

if TYPE_CHECKING:
    from metacontroller_standin.api import Api

Json = dict[str, Any]


def test_a_pods_life_brings_the_requests_that_metacontroller_sends(api: Api) -> None:
    with ExitStack() as stack:
        hook = stack.enter_context(Hook())

        def apply(manifests: list[Json]) -> None:
            stack.enter_context(StandIn(api, manifests))

        setting = Setting(
            api=api,
            namespace="default",
            apply=apply,
            create=lambda manifest: workloads.create(api, manifest),
            kubelet=lambda: Kubelet(api, iter(["172.16.1.1"])),
        )
        requests = live_and_die(setting, hook)
    for name, request in requests.items():
        assert shape(request) == shape(recording(name)), name
