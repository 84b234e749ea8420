"""A cluster and a cloud on loopback: real hooks, real SDK, real HTTP, everything else played.

The hooks run in their production server; the cloud is the emulator; the cluster is an in-memory API server, with the
stand-in for Metacontroller running the shipped manifests, and a kubelet that gives pods their addresses.
"""

import copy
import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Self

import yaml

from hooks.app import create_app
from hooks.server import HookServer
from metacontroller_standin.api import Api
from metacontroller_standin.kinds import CONTROLLER_KINDS, ServedKind
from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.manifests import is_controller, point_at
from metacontroller_standin.memory_api import MemoryApi
from metacontroller_standin.standin import StandIn
from metacontroller_standin.workload_controller import WorkloadController
from metacontroller_standin.workloads import DEFAULT_NODE
from poddnat.api import Installation, without_nulls
from poddnat.cli.intervals import POD_STOPS
from poddnat.cli.manifest_problems import problems_of
from poddnat.cloud import CloudClient
from poddnat.config import Endpoints, Values
from poddnat.files import MANIFESTS
from poddnat.kube import KubeClient, connect_to
from poddnat.service import Service
from vpc_emulator import Emulator, EmulatorServer, World

Manifest = dict[str, Any]


def controller_of_installation(shipped: Manifest, installation: Installation) -> Manifest:
    """Write a controller's manifest as it is for an installation; as shipped, it is for the one without a name."""
    if not installation.name:
        return shipped
    written = copy.deepcopy(shipped)
    written["metadata"]["name"] = installation.named(shipped["metadata"]["name"])
    spec = written["spec"]
    for rule in [spec["parentResource"]] if "parentResource" in spec else spec["resources"]:
        rule["labelSelector"] = {"matchLabels": installation.labels}
    return written


class LocalCluster:
    """``with LocalCluster(values, world, addresses) as cluster``: everything runs until the end of the block."""

    api: Api
    emulator: Emulator
    api_url: str
    cloud_url: str
    hooks_url: str

    def __init__(
        self,
        values: Values,
        world: World,
        addresses: Iterator[str],
        *,
        kinds: tuple[ServedKind, ...] = (),
        workloads: bool = False,
        hooks_url: str = "",
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        """``values`` go for the cloud of ``world``, whatever endpoints they name; pods get ``addresses``, in order.

        ``kinds``: what the API server serves besides the usual. ``workloads``: whether pods of Deployments and
        StatefulSets are made. ``hooks_url``: where somebody else serves the hooks; empty: they are served here.
        ``on_failure`` is called when one of the cluster's threads has died: without it, nothing may ever happen again.
        """
        self._values = values
        self._world = world
        self._addresses = addresses
        self._kinds = kinds
        self._workloads = workloads
        self.hooks_url = hooks_url
        self._on_failure = on_failure
        self._failures: list[threading.ExceptHookArgs] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        enter = self._stack.enter_context
        self._stack.callback(setattr, threading, "excepthook", threading.excepthook)
        threading.excepthook = self._failed
        try:
            self.emulator = Emulator(self._world)
            self.cloud_url = enter(EmulatorServer(self.emulator)).url
            memory = enter(MemoryApi(problems_of=self._problems_of))
            for kind in (*self._kinds, *CONTROLLER_KINDS):
                memory.register(kind)
            memory.register_crd(yaml.safe_load((MANIFESTS / "crd.yaml").read_text(encoding="utf-8")))
            self.api_url = memory.url
            self.hooks_url = self.hooks_url or self._serve()
            self.api = enter(Api(memory.url))
            self.api.create(self.api.resource("v1", "nodes"), {"metadata": {"name": DEFAULT_NODE}})
            controllers = self._controllers()
            enter(StandIn(self.api, controllers))
            # A pod that is replaced has to be away for a while, or kubectl waits for its end, which it has missed.
            enter(Kubelet(self.api, self._addresses, stop_seconds=POD_STOPS if self._workloads else 0))
            if self._workloads:
                enter(WorkloadController(self.api))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def check(self) -> None:
        """See that all threads are well.

        Raises:
            RuntimeError: one has died of an error, which is the cause of this one.
        """
        for failure in self._failures:
            name = failure.thread.name if failure.thread else "unknown"
            raise RuntimeError(f"the thread {name} of the local cluster has died") from failure.exc_value

    def _problems_of(self, written: Manifest) -> list[str]:
        """List what no cluster would take, and what would bring down the kubelet or the controller of workloads.

        Where that controller doesn't run, one who has checked the manifests makes the pods.
        """
        return problems_of(without_nulls(written)) if self._workloads else []

    def _failed(self, failure: threading.ExceptHookArgs) -> None:
        self._failures.append(failure)
        self._on_failure()

    def _serve(self) -> str:
        endpoints = Endpoints(vpc=self.cloud_url, ecs=self.cloud_url)
        values = dataclasses.replace(self._values, endpoints=endpoints)
        service = Service(values, KubeClient(connect_to(self.api_url)), CloudClient(values))
        hooks = self._stack.enter_context(HookServer(create_app(service)))
        service.start()
        self._stack.callback(service.stop)
        return hooks.url

    def _controllers(self) -> list[Manifest]:
        shipped = yaml.safe_load_all((MANIFESTS / "controllers.yaml").read_text(encoding="utf-8"))
        controllers = [one for one in point_at(list(shipped), self.hooks_url) if is_controller(one)]
        controllers = [controller_of_installation(one, self._values.installation) for one in controllers]
        for controller in controllers:
            self.api.create(self.api.resource_of(controller), controller)
        return controllers
