"""The server as the shipped Deployment runs it: a node on which its pods are programs, and the Service before them."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import urllib3
import yaml

from metacontroller_standin.api import ApiError, name_of
from metacontroller_standin.memory_store import timestamp
from metacontroller_standin.running import Running
from tests.e2e.controlplane import Program, free_ports
from tests.e2e.wire import Wire
from tests.e2e.world import READ_ONLY, SYSTEM
from tests.hushed import leaks

if TYPE_CHECKING:
    from pathlib import Path

    from metacontroller_standin.api import Api
    from tests.e2e.controlplane import ControlPlane

Json = dict[str, Any]

LEASE_SECONDS = 6
"""Shorter than as shipped, so that tests don't take as long."""
_PERIOD = 0.1


@dataclass
class Container:
    """One pod's program."""

    program: Program
    url: str
    ip: str
    to_api_server: Wire
    ready: bool = False
    told_to_end: bool = False

    def is_ready(self, probe: str) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}{probe}", timeout=2):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False


class Node(Running):
    """Runs the pods of `poddnat-system` as programs, as a kubelet would: probes, restarts, SIGTERM."""

    def __init__(self, controlplane: ControlPlane, values: Json, folder: Path) -> None:
        self._api = controlplane.client_of("kubelet")
        self._folder = folder
        token = controlplane.service_account_token(SYSTEM, "poddnat")
        controlplane.wait_allowed(token, "list", self._api.resource("alibabacloud.com/v1", "poddnats"))
        controlplane.wait_allowed(token, "create", self._api.resource("coordination.k8s.io/v1", "leases"), SYSTEM)
        self._controlplane, self._token = controlplane, token
        self._values = folder / "values.yaml"
        self._values.write_text(yaml.safe_dump(values))
        (self.port,) = free_ports(1)
        self._pods = self._api.resource("v1", "pods")
        self.containers: dict[str, Container] = {}
        """By the pod's name."""
        self.addresses: dict[str, str] = {}
        """Where a pod's IP really is."""
        self._lost: set[str] = set()
        self.exit_codes: dict[str, int] = {}
        """Of the programs that were told to end."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="node")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        for container in self.containers.values():
            container.program.process.kill()
            container.program.process.wait()
            container.to_api_server.stop()
        self._api.close()
        assert leaks(self.logs()) == []

    def lose(self, name: str) -> None:
        """Kill a pod's program, and let nobody notice: as if its node were lost."""
        self._lost.add(name)
        process = self.containers[name].program.process
        process.kill()
        process.wait()

    def forget(self, name: str) -> None:
        """Let a lost pod be deleted by force, as when its node is given up."""
        self._lost.discard(name)
        self.containers.pop(name).to_api_server.stop()
        self._api.delete(self._pods, name, SYSTEM, grace_period=0)

    def told(self, name: str, text: str) -> list[str]:
        """Return when a pod's program said something, in order, as RFC 3339."""
        lines = (self._folder / f"{name}.log").read_text(encoding="utf-8").splitlines()
        found = (json.loads(line) for line in lines if text in line)
        return [line["time"] for line in found]

    def logs(self) -> str:
        """Return all that the programs wrote."""
        return "".join(path.read_text(encoding="utf-8") for path in sorted(self._folder.glob("poddnat-*.log")))

    def _run(self) -> None:
        while not self._stopping.wait(_PERIOD):
            # Somebody else wrote to the pod, or the API server is away: looked at again in a moment.
            with contextlib.suppress(ApiError, urllib3.exceptions.HTTPError):
                for pod in self._api.list(self._pods, SYSTEM)["items"]:
                    self._care_for(pod)

    def _care_for(self, pod: Json) -> None:
        name = name_of(pod)
        container = self.containers.get(name)
        if "deletionTimestamp" in pod["metadata"]:
            self._end(name, container)
            return
        if container is None:
            self._api.bind(pod, "node-1")
            container = self._begin(pod)
        elif name in self._lost:
            return
        elif container.program.process.poll() is not None:
            container = self._begin(pod)
        ready = container.is_ready(pod["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"])
        if ready != container.ready or "podIP" not in pod["status"]:
            container.ready = ready
            self._api.patch(self._pods, name, {"status": _status(container)}, SYSTEM, "status")

    def _begin(self, pod: Json) -> Container:
        name = name_of(pod)
        before = self.containers.get(name)
        number = len(self.addresses) + 1
        ip = before.ip if before else f"172.16.9.{number}"
        host = self.addresses.setdefault(ip, f"127.0.9.{number}")
        arguments = list(pod["spec"]["containers"][0]["args"])
        arguments[arguments.index("--values") + 1] = str(self._values)
        arguments += ["--listen", f"{host}:{self.port}", "--lease-seconds", str(LEASE_SECONDS)]
        command = [sys.executable, "-c", READ_ONLY, *arguments]
        env = {**os.environ, "POD_NAME": name, "POD_IP": ip}
        wire = before.to_api_server if before else self._wire()
        kubeconfig = self._controlplane.kubeconfig_for(self._token, self._folder / f"{name}.kubeconfig", port=wire.port)
        command += ["--kubeconfig", str(kubeconfig)]
        program = Program.start(name, command, self._folder / f"{name}.log", env=env)
        self.containers[name] = Container(program, f"http://{host}:{self.port}", ip, wire)
        return self.containers[name]

    def _wire(self) -> Wire:
        wire = Wire(lambda: ("127.0.0.1", self._controlplane.port))
        wire.start()
        return wire

    def _end(self, name: str, container: Container | None) -> None:
        if container is not None:
            if not container.told_to_end:
                container.told_to_end = True
                container.program.process.terminate()
            if container.program.process.poll() is None:
                return
            self.exit_codes[name] = container.program.process.returncode
            self.containers.pop(name).to_api_server.stop()
        self._api.delete(self._pods, name, SYSTEM, grace_period=0)


def _status(container: Container) -> Json:
    value, now = str(container.ready), timestamp()
    kinds = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    return {
        "phase": "Running",
        "podIP": container.ip,
        "podIPs": [{"ip": container.ip}],
        "startTime": now,
        "conditions": [
            {"type": kind, "status": value if "Ready" in kind else "True", "lastTransitionTime": now} for kind in kinds
        ],
    }


class Door(Wire):
    """Plays the Service: each new connection goes to where the EndpointSlice leads at that moment."""

    def __init__(self, api: Api, node: Node) -> None:
        self._api = api
        self._slices = api.resource("discovery.k8s.io/v1", "endpointslices")
        super().__init__(lambda: (node.addresses[self.leads_to()], node.port))
        self.url = f"http://127.0.0.1:{self.port}"

    def leads_to(self) -> str:
        """Return the IP of the replica to which hooks are led; empty: to none."""
        try:
            there = self._api.get(self._slices, "poddnat-active", SYSTEM)
        except ApiError:
            return ""
        return str(there["endpoints"][0]["addresses"][0])
