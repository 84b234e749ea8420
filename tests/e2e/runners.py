"""Metacontroller and its stand-in behind one interface, so that the same tests run over both."""

from __future__ import annotations

import os
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import yaml
from prometheus_client.parser import text_string_to_metric_families

from metacontroller_standin.api import name_of
from metacontroller_standin.manifests import is_controller
from metacontroller_standin.standin import StandIn
from tests.e2e.controlplane import Program, free_ports

if TYPE_CHECKING:
    from tests.e2e.controlplane import ControlPlane

Json = dict[str, Any]

CRDS = Path(__file__).with_name("metacontroller_crds.yaml")


class Runner(Protocol):
    """Runs DecoratorControllers and CompositeControllers."""

    def apply(self, manifests: list[Json]) -> None:
        """Run the controllers among these manifests; `manifests.point_at` makes them call a test's hooks."""

    def hook_answers(self) -> Counter[tuple[str, int]]:
        """Count the calls of hooks so far, by the path and the status answered."""

    def stop(self) -> None:
        """Stop all of them; a test does so before its hooks go away. Once more does no harm."""


class StandInRunner:
    """The stand-in, in this process."""

    def __init__(self, controlplane: ControlPlane) -> None:
        self._api = controlplane.client_of("metacontroller")
        self.running: list[StandIn] = []

    def apply(self, manifests: list[Json]) -> None:
        standin = StandIn(self._api, manifests)
        self.running.append(standin)
        standin.start()

    def hook_answers(self) -> Counter[tuple[str, int]]:
        counted: Counter[tuple[str, int]] = Counter()
        for standin in self.running:
            for (url, status), calls in standin.counts().hook_answers.items():
                counted[urlsplit(url).path, status] += calls
        return counted

    def stop(self) -> None:
        while self.running:
            self.running.pop().stop()
        self._api.close()


@dataclass(frozen=True)
class Flags:
    """Those of Metacontroller that decide how fast it is."""

    qps: int = 100
    workers: int = 5

    @property
    def arguments(self) -> list[str]:
        return [
            f"--client-go-qps={self.qps}",
            f"--client-go-burst={2 * self.qps}",
            f"--workers={self.workers}",
        ]


FLAGS = Flags()
"""The rate limits that this project tells its users to set."""


class MetacontrollerRunner:
    """Metacontroller's own program."""

    def __init__(self, controlplane: ControlPlane, program: str, flags: Flags = FLAGS) -> None:
        self._controlplane = controlplane
        self._applied: list[Json] = []
        controlplane.install_crds(*yaml.safe_load_all(CRDS.read_text(encoding="utf-8")))
        self._metrics = f"127.0.0.1:{free_ports(1)[0]}"
        self._program = Program.start(
            "metacontroller",
            [
                program,
                *flags.arguments,
                f"--metrics-address={self._metrics}",
                "--health-probe-bind-address=0",
                "--discovery-interval=1s",
            ],
            controlplane.folder / "metacontroller.log",
            env={**os.environ, "KUBECONFIG": str(controlplane.kubeconfig_of("metacontroller"))},
        )
        controlplane.programs["metacontroller"] = self._program

    def apply(self, manifests: list[Json]) -> None:
        for manifest in filter(is_controller, manifests):
            self._applied.append(manifest)
            self._controlplane.put(manifest)

    def hook_answers(self) -> Counter[tuple[str, int]]:
        with urllib.request.urlopen(f"http://{self._metrics}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        counted: Counter[tuple[str, int]] = Counter()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.startswith("metacontroller_") and sample.name.endswith("_requests_total"):
                    path = urlsplit(sample.labels["url"]).path
                    counted[path, int(sample.labels["code"])] += int(sample.value)
        return counted

    def stop(self) -> None:
        if self._controlplane.programs.pop("metacontroller", None) is None:
            return  # stopped before
        api = self._controlplane.api
        for manifest in self._applied:
            api.delete(api.resource_of(manifest), name_of(manifest))
        self._program.check()
        self._program.stop()
