"""A Kubernetes control plane for tests: etcd, kube-apiserver, kube-controller-manager on loopback.

There are no nodes; `metacontroller_standin.kubelet` plays them. The programs come from the folder that
`tests/controlplane/build` prints.
"""

from __future__ import annotations

import contextlib
import gc
import json
import shutil
import signal
import socket
import subprocess
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from metacontroller_standin.api import Api, ApiError, name_of, namespace_of
from metacontroller_standin.waiting import wait_until
from tests.e2e.audit_log import POLICY as AUDIT_POLICY
from tests.e2e.audit_log import AuditLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from metacontroller_standin.api import Resource

Json = dict[str, Any]

ACTORS = ("admin", "controller-manager", "kubelet", "metacontroller")
"""Who has a token of its own, so that the audit log tells them apart. All of them may do everything."""
CONTROLLERS = (
    "garbage-collector-controller,deployment-controller,replicaset-controller,statefulset-controller,"
    "namespace-controller,serviceaccount-controller,clusterrole-aggregation-controller,disruption-controller"
)


@dataclass
class Program:
    """One running program and its log."""

    name: str
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    @staticmethod
    def start(name: str, command: list[str], log: Path, **options: Any) -> Program:
        with log.open("ab") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, **options)
        return Program(name, log, process)

    def check(self) -> None:
        """Raise with the end of the log if the program has ended by itself."""
        if self.process.poll() is not None:
            message = f"{self.name} ended with {self.process.returncode}; {self.log} ends with\n{self.tail(20)}"
            raise RuntimeError(message)

    def tail(self, lines: int) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class ControlPlane:
    """The three programs, and what tests need to talk to them as administrator."""

    def __init__(self, assets: Path, folder: Path) -> None:
        """Take the programs from `assets`; keep data, logs and keys in `folder`."""
        self.folder = folder
        self._assets = assets
        self.programs: dict[str, Program] = {}
        self._etcd_port, self._peer_port, port = free_ports(3)
        self.url = f"https://127.0.0.1:{port}"
        self.port = port
        self.token = token_of("admin")
        self.kubeconfig = folder / "kubeconfig"
        self.ca_file = folder / "certs" / "apiserver.crt"
        self.audit_log = AuditLog(folder / "audit.log")
        self.api: Api

    def start(self) -> None:
        """Start everything and wait until it is ready; on failure, stop what was started."""
        try:
            self._start_etcd()
            self._start_api_server()
            self.kubeconfig.write_text(json.dumps(self._kubeconfig(self.token, self.port, self.ca_file)))
            wait_until(self._is_ready, 60, "the API server to be ready", interval=0.1)
            self._start_controller_manager()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if hasattr(self, "api"):
            self.api.close()
        for name in reversed(list(self.programs)):
            self.programs.pop(name).stop()

    def _start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{port}" for port in (self._etcd_port, self._peer_port))
        self._start(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )

    def _start_api_server(self) -> None:
        key = self.folder / "service-accounts.key"
        if not key.exists():
            self._make_key(key)
        tokens = self.folder / "tokens.csv"
        tokens.write_text("".join(f"{token_of(name)},{name},{name},system:masters\n" for name in ACTORS))
        policy = self.folder / "audit-policy.yaml"
        policy.write_text(json.dumps(AUDIT_POLICY))
        self._start(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            f"--cert-dir={self.folder / 'certs'}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            f"--token-auth-file={tokens}",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit_log.path}",
            # Pods would wait for the token of a service account that no kubelet mounts.
            "--disable-admission-plugins=ServiceAccount",
        )

    def freeze_api_server(self) -> None:
        """Let the API server answer nobody any more; `restart_api_server` ends that."""
        self.programs["kube-apiserver"].process.send_signal(signal.SIGSTOP)

    def restart_api_server(self) -> None:
        """Kill the API server and start it again, on the same data; wait until it is ready."""
        # Python 3.11 leaves a TLS socket open whose peer resets it before the handshake; newer ones close it.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "unclosed <ssl.SSLSocket", ResourceWarning)
            process = self.programs["kube-apiserver"].process
            process.kill()
            process.wait()
            self._start_api_server()
            wait_until(self._is_ready, 60, "the API server to be ready again", interval=0.1)
            gc.collect()

    def _start_controller_manager(self) -> None:
        self._start(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig_of('controller-manager')}",
            f"--controllers={CONTROLLERS}",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            "--min-resync-period=12h",
        )

    def _start(self, name: str, *flags: str) -> None:
        command = [str(self._assets / name), *flags]
        self.programs[name] = Program.start(name, command, self.folder / f"{name}.log")

    def _make_key(self, path: Path) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )

    def _is_ready(self) -> bool:
        for program in self.programs.values():
            program.check()
        if not self.ca_file.exists():
            return False
        if not hasattr(self, "api"):
            self.api = self.client(self.token)
        # The default namespace is made a moment after the server calls itself ready.
        return self.api.ready() and self.api.exists(self.api.resource("v1", "namespaces"), "default")

    # What tests use

    def client_of(self, actor: str) -> Api:
        """Make a client for one of the `ACTORS`; the caller closes it."""
        return self.client(token_of(actor))

    def kubeconfig_of(self, actor: str) -> Path:
        """Write a kubeconfig for one of the `ACTORS`."""
        return self.kubeconfig_for(token_of(actor), self.folder / f"{actor}.kubeconfig")

    def client(self, token: str) -> Api:
        """Make a client for another token; the caller closes it."""
        return Api(self.url, token=token, ca_file=str(self.ca_file))

    @property
    def kubectl_program(self) -> str:
        """Where kubectl is: beside the other programs, or on PATH."""
        own = self._assets / "kubectl"
        program = str(own) if own.exists() else shutil.which("kubectl")
        if program is None:
            raise FileNotFoundError("there is no kubectl beside the other programs, nor on PATH")
        return program

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as administrator; return what it prints, raise with what it complains about."""
        command = [self.kubectl_program, f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=100)
        if done.returncode:
            message = f"kubectl {' '.join(arguments)}: {done.stderr.strip()}"
            raise RuntimeError(message)
        return done.stdout

    def service_account_token(self, namespace: str, name: str) -> str:
        """Get a token for a service account, as its pods would have it."""
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600},
        }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        token: str = self.api.call("POST", path, request)["status"]["token"]
        return token

    def wait_allowed(self, token: str, verb: str, resource: Resource, namespace: str = "") -> None:
        """Wait until a token may do something: a role just bound takes a moment to count."""
        wanted = {"verb": verb, "group": resource.group, "resource": resource.plural, "namespace": namespace}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": wanted},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        with self.client(token) as client:
            wait_until(
                lambda: client.call("POST", path, review)["status"]["allowed"], 15, f"leave to {verb} {resource.plural}"
            )

    def kubeconfig_for(self, token: str, path: Path, *, port: int | None = None) -> Path:
        """Write a kubeconfig for another token, and perhaps another port that leads to the API server."""
        # The authority lies beside it: a container sees no other folder.
        authority = path.with_name("api-server.crt")
        shutil.copyfile(self.ca_file, authority)
        path.write_text(json.dumps(self._kubeconfig(token, port or self.port, authority)))
        return path

    def _kubeconfig(self, token: str, port: int, authority: Path) -> Json:
        name = "test"
        cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(authority)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }

    def put(self, obj: Json) -> Json:
        """Create an object, or replace the one that is there."""
        resource = self.api.resource_of(obj)
        try:
            return self.api.create(resource, obj)
        except ApiError as error:
            if not error.already_exists:
                raise
        there = self.api.get(resource, name_of(obj), namespace_of(obj))
        metadata = {**obj["metadata"], "resourceVersion": there["metadata"]["resourceVersion"]}
        return self.api.update(resource, {**obj, "metadata": metadata})

    def install_crds(self, *crds: Json) -> None:
        """Install CRDs and wait until they are served."""
        before = self._known_crds()
        for crd in crds:
            self.put(crd)
        wait_until(lambda: all(map(self._is_established, crds)), 15, "CRDs to be served")
        if {name_of(crd) for crd in crds} - before and "kube-controller-manager" in self.programs:
            # The garbage collector looks for new kinds every 30 seconds only, but at its start.
            self.programs.pop("kube-controller-manager").stop()
            self._start_controller_manager()

    def _known_crds(self) -> set[str]:
        crds = self.api.resource("apiextensions.k8s.io/v1", "customresourcedefinitions")
        return {name_of(crd) for crd in self.api.list(crds)["items"]}

    def _is_established(self, crd: Json) -> bool:
        there = self.api.get(self.api.resource_of(crd), name_of(crd))
        conditions = there.get("status", {}).get("conditions") or []
        if not any(item["type"] == "Established" and item["status"] == "True" for item in conditions):
            return False
        spec = there["spec"]
        try:
            for version in spec["versions"]:
                resource = self.api.resource(f"{spec['group']}/{version['name']}", spec["names"]["plural"])
                self.api.list(resource)
        except ApiError as error:
            if error.code in (404, 429, 503):  # not there, or there and still opening its storage
                return False
            raise
        return True

    def clear_namespace(self, namespace: str) -> None:
        """Delete a namespace with all that is in it, whoever's finalizers hold it back.

        Its own end is not waited for: Kubernetes takes five seconds for that.
        """
        resources = list(self._kinds_to_clear())

        def is_empty() -> bool:
            left = [obj for resource in resources for obj in self._objects(resource, namespace)]
            for obj in left:
                with contextlib.suppress(ApiError):
                    self._let_go(obj)
            return not left

        wait_until(is_empty, 30, f"namespace {namespace} to be empty", interval=0.1)
        self.api.delete(self.api.resource("v1", "namespaces"), namespace)

    def _kinds_to_clear(self) -> Iterator[Resource]:
        """Owners come before what they own, lest they make new ones."""
        for plural in ("deployments", "statefulsets", "replicasets"):
            yield self.api.resource("apps/v1", plural)
        yield self.api.resource("v1", "pods")
        crds = self.api.resource("apiextensions.k8s.io/v1", "customresourcedefinitions")
        for crd in self.api.list(crds)["items"]:
            spec = crd["spec"]
            if spec["scope"] == "Namespaced":
                version = f"{spec['group']}/{spec['versions'][0]['name']}"
                yield self.api.resource(version, spec["names"]["plural"])

    def _objects(self, resource: Resource, namespace: str) -> list[Json]:
        items = self.api.list(resource, namespace)["items"]
        return [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in items]

    def _let_go(self, obj: Json) -> None:
        resource, name, namespace = self.api.resource_of(obj), name_of(obj), namespace_of(obj)
        if obj["metadata"].get("finalizers"):
            self.api.patch(resource, name, {"metadata": {"finalizers": None}}, namespace)
        self.api.delete(resource, name, namespace, grace_period=0)

    def logs(self, lines: int = 8) -> str:
        """Return the end of every log."""
        return "\n".join(f"--- {one.log}\n{one.tail(lines)}" for one in self.programs.values())


def token_of(actor: str) -> str:
    """Tell the token of one of the `ACTORS`."""
    return f"the-{actor}-of-this-test-run"


def free_ports(count: int) -> list[int]:
    """Find ports on loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
