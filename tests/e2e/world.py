"""Everything that exposes a pod, on a real API server: the program as it is shipped, and a cloud on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from metacontroller_standin.api import Api, ApiError, name_of
from metacontroller_standin.manifests import is_controller, point_at
from metacontroller_standin.waiting import wait_until
from tests.e2e.controlplane import Program
from tests.e2e.runners import CRDS
from tests.hushed import TOKEN, leaks
from tests.unit.hooks import world as small
from vpc_emulator import Emulator, EmulatorServer, ForwardEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.e2e.controlplane import ControlPlane
    from tests.e2e.runners import Runner
    from tests.unit.hooks.certificates import Files as Certificate

Json = dict[str, Any]

MANIFESTS = Path(__file__).parents[2] / "metacontroller"
EXAMPLES = MANIFESTS / "examples"
SYSTEM = "poddnat-system"


def read(path: Path) -> list[Json]:
    """Read the documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


CONTROLLERS = read(MANIFESTS / "controllers.yaml")


def install(controlplane: ControlPlane) -> str:
    """Install the project as its users do, on a cluster that has Metacontroller; return what kubectl prints."""
    controlplane.install_crds(*read(CRDS), *read(MANIFESTS / "crd.yaml"))
    printed = controlplane.kubectl("apply", "-k", str(MANIFESTS))
    values = f"--from-file=values.yaml={EXAMPLES / 'values.yaml'}"
    printed += controlplane.kubectl("create", "secret", "generic", "poddnat-values", values, f"--namespace={SYSTEM}")
    pods = controlplane.api.resource("v1", "pods")
    # Pod Security judges pods, not what makes them.
    wait_until(lambda: controlplane.api.list(pods, SYSTEM)["items"], 20, "the server's pod to be admitted")
    # From here on tests play the server, and each has controllers that call its own.
    controlplane.kubectl("scale", "deployment/poddnat", f"--namespace={SYSTEM}", "--replicas=0")
    wait_until(lambda: not controlplane.api.list(pods, SYSTEM)["items"], 20, "the server's pod to go")
    for controller in filter(is_controller, CONTROLLERS):
        controlplane.api.delete(controlplane.api.resource_of(controller), name_of(controller))
    return printed


def controllers(
    controlplane: ControlPlane,
    url: str,
    *,
    token: str = TOKEN,
    ca: Path | None = None,
    shipped: Sequence[Json] = CONTROLLERS,
) -> list[Json]:
    """Give the shipped controllers, for a server at this address, with a token and an authority to show and check.

    They are as `metacontroller/token` and `metacontroller/tls` make them.
    """
    kept = {"token": token, **({"ca.crt": ca.read_text(encoding="utf-8")} if ca else {})}
    name = f"hooks-{hashlib.sha256(repr(kept).encode()).hexdigest()[:8]}"
    metadata = {"name": name, "namespace": SYSTEM}
    controlplane.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": kept})
    manifests = point_at(shipped, url)
    for webhook in (hook["webhook"] for item in manifests for hook in item["spec"]["hooks"].values()):
        webhook["authorization"] = {"type": "Bearer", "secretRef": {**metadata, "key": "token"}}
        if ca:
            webhook["caBundle"] = {"secretRef": {**metadata, "key": "ca.crt"}}
    return manifests


READ_ONLY = """
import errno, os, sys

def refuse(event, arguments):
    changes = event in {"os.mkdir", "os.remove", "os.rename", "os.symlink"}
    if event == "open" and arguments[0] != os.devnull and not isinstance(arguments[0], int):
        changes = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if changes:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), arguments[0])

sys.addaudithook(refuse)
from poddnat.cli import main
sys.exit(main())
"""
"""The program, as in a container whose file system can't be written to."""


class Server:
    """The hook server as a program of its own, with the rights of its service account."""

    def __init__(
        self,
        controlplane: ControlPlane,
        values: Json,
        folder: Path,
        *,
        certificate: Certificate | None = None,
        lease: str = "",
        program: Sequence[str] = (sys.executable, "-c", READ_ONLY),
        namespace: str = SYSTEM,
    ) -> None:
        """Write its files; `start` starts it. With a lease (NAMESPACE/NAME) it is one of several replicas."""
        self._name = "poddnat" if namespace == SYSTEM else namespace
        token = controlplane.service_account_token(namespace, "poddnat")
        controlplane.wait_allowed(token, "list", controlplane.api.resource("alibabacloud.com/v1", "poddnats"))
        kubeconfig = controlplane.kubeconfig_for(token, folder / "kubeconfig")
        file = folder / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"{'https' if certificate else 'http'}://{address}"
        self._context = certificate.trusting() if certificate else None
        token_file = folder / "token"
        token_file.write_text(f"{TOKEN}\n")
        options = ["--values", str(file), "--listen", address, "--kubeconfig", str(kubeconfig)]
        options += ["--token-file", str(token_file)]
        if certificate:
            options += ["--tls-cert", str(certificate.cert), "--tls-key", str(certificate.key)]
        if lease:
            options += ["--lease", lease]
        self._command = [*program, "serve", *options]
        self._controlplane = controlplane
        self._log = folder / "poddnat.log"
        self._program: Program | None = None

    def start(self, **environment: str) -> None:
        """Start it; `wait_ready` waits until it answers."""
        self._program = Program.start(self._name, self._command, self._log, env={**os.environ, **environment})
        self._controlplane.programs[self._name] = self._program

    def wait_ready(self) -> None:
        """Wait until it answers hooks."""
        wait_until(self._is_ready, 60, "the hook server to be ready")

    def kill(self) -> None:
        """End it without warning."""
        assert self._program is not None
        self._program.process.kill()
        self._program.process.wait()

    def terminate(self) -> int:
        """End it as a kubelet does; return its exit code."""
        assert self._program is not None
        self._program.stop()
        return self._program.process.wait()

    def stop(self) -> None:
        """See that it has ended, and has told no secret."""
        if self._controlplane.programs.pop(self._name, None) is not None:
            self.kill()
        assert leaks(self.log()) == []

    def pod_syncs(self) -> float:
        """Tell how many pods' syncs it has answered since its start."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5, context=self._context) as response:
            families = list(text_string_to_metric_families(response.read().decode()))
        counted = {"hook": "pod-sync", "code": "200"}
        return sum(sample.value for family in families for sample in family.samples if sample.labels == counted)

    def log(self) -> str:
        """Return all that it wrote."""
        return self._log.read_text(encoding="utf-8")

    def _is_ready(self) -> bool:
        assert self._program is not None
        self._program.check()
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5, context=self._context):
                return True
        except (urllib.error.URLError, OSError):
            return False


@dataclass
class Cluster:
    """A namespace in which pods are exposed."""

    controlplane: ControlPlane
    namespace: str
    emulator: Emulator
    server: Server

    @property
    def api(self) -> Api:
        """The administrator's client."""
        return self.controlplane.api

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return self.controlplane.kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin)

    def entries(self) -> list[ForwardEntry]:
        """Return the gateway's forward table."""
        return self.emulator.forward_entries(small.GATEWAY)

    def create_pod(self, name: str, annotations: dict[str, str]) -> None:
        """Create a pod."""
        spec = {"containers": [{"name": "web", "image": "nginx"}]}
        metadata = {"name": name, "annotations": annotations}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        self.kubectl("create", "-f", "-", stdin=json.dumps(pod))

    def create_stateful_set(self, annotations: dict[str, str], replicas: int = 1) -> None:
        """Create a StatefulSet, named arena."""
        labels = {"app": "arena"}
        pod = {"containers": [{"name": "web", "image": "nginx"}]}
        template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod}
        selected = {"selector": {"matchLabels": labels}, "template": template}
        spec = {"serviceName": "arena", "replicas": replicas, **selected}
        made = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "arena"}, "spec": spec}
        self.kubectl("create", "-f", "-", stdin=json.dumps(made))

    def pod(self, name: str) -> Json:
        """Read a pod."""
        return self.api.get(self.api.resource("v1", "pods"), name, self.namespace)

    def annotations(self, name: str) -> dict[str, str]:
        """Read a pod's annotations."""
        found: dict[str, str] = self.pod(name)["metadata"].get("annotations") or {}
        return found

    def poddnats(self) -> list[Json]:
        """List the PodDNATs."""
        items: list[Json] = self.api.list(self.api.resource("alibabacloud.com/v1", "poddnats"), self.namespace)["items"]
        return items

    def poddnat(self, name: str) -> Json | None:
        """Read a PodDNAT."""
        try:
            return self.api.get(self.api.resource("alibabacloud.com/v1", "poddnats"), name, self.namespace)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    def wait_ready(self, name: str) -> Json:
        """Wait until a pod is told that it is exposed; return its PodDNAT."""
        wait_until(lambda: self.annotations(name).get(small.STATUS) == "Ready", 15, f"pod {name} to be Ready")
        poddnat = self.poddnat(name)
        assert poddnat is not None
        return poddnat

    def wait_all_ready(self, count: int) -> list[Json]:
        """Wait until so many pods are exposed; return their PodDNATs."""
        pods = self.api.resource("v1", "pods")

        def are_ready() -> bool:
            found = self.api.list(pods, self.namespace)["items"]
            told = [(pod["metadata"].get("annotations") or {}).get(small.STATUS) for pod in found]
            return told == ["Ready"] * count

        wait_until(are_ready, 30, f"{count} pods to be Ready", interval=0.1)
        return self.poddnats()

    def wait_clear(self) -> None:
        """Wait until nothing is left, in the cluster or the cloud."""
        wait_until(lambda: not self.poddnats() and not self.entries(), 30, "PodDNATs and forward entries to go")


@contextmanager
def running(
    controlplane: ControlPlane,
    runner: Runner,
    namespace: str,
    folder: Path,
    *,
    token: str = TOKEN,
    certificate: Certificate | None = None,
    program: Sequence[str] = (sys.executable, "-c", READ_ONLY),
    way: Callable[[str], AbstractContextManager[str]] = nullcontext,
) -> Iterator[Cluster]:
    """Run the cloud, the hook server, and the shipped controllers that call it, showing this token.

    ``way`` gets the server's address, and gives the one that is called.
    """
    with EmulatorServer(small.cloud(settle_seconds=0.2)) as cloud:
        server = Server(controlplane, small.values(cloud.url), folder, certificate=certificate, program=program)
        with way(server.url) as url:
            server.start()
            try:
                server.wait_ready()
                ca = certificate.cert if certificate else None
                runner.apply(controllers(controlplane, url, token=token, ca=ca))
                cluster = Cluster(controlplane, namespace, cloud.emulator, server)
                yield cluster
                assert leaks(cluster.kubectl("get", "events,pods,poddnats", "--output=yaml")) == []
            finally:
                runner.stop()
                server.stop()
        assert cloud.emulator.bugs == []
