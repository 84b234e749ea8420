"""How long hook calls take, at rest and while the cloud is slow, with thousands of PodDNATs; memory and start-up."""

import copy
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from metacontroller_standin.kubeconfig import kubeconfig
from metacontroller_standin.memory_api import MemoryApi
from poddnat.api import ATTACHED_BY, POD_DNAT, Condition, PodDNAT, manifest, status
from poddnat.api.annotations import EXPOSE_PORT, READY, RESULT, STATUS, format_result
from poddnat.files import MANIFESTS, ROOT
from poddnat.gateway import Ownership
from poddnat.model import PortMapping, Transport, WorkingPort
from tests.bench.emulated import CLUSTER, EmulatedCloud, emulated_cloud, free_port

RECORDINGS = ROOT / "tests" / "recordings"
_CONNECTIONS = 5
_LAST_APPLIED = "metacontroller.k8s.io/last-applied-configuration"
Json = dict[str, Any]


@dataclass(frozen=True)
class HookFigures:
    """Milliseconds for each hook at rest and under a slow cloud; seconds to readiness; MiB resident."""

    pod_ms: list[float]
    poddnat_ms: list[float]
    slow_cloud_ms: list[float]
    start_seconds: float
    rss_mb: float
    writes_at_rest: int


def measure(poddnats: int) -> HookFigures:
    """Run ``poddnat serve`` with so many PodDNATs, all settled, and call its hooks as Metacontroller would."""
    rules = []
    with MemoryApi() as memory:
        memory.register_crd(yaml.safe_load((MANIFESTS / "crd.yaml").read_text(encoding="utf-8")))
        stub = EmulatedCloud("", ("ngw-bench0",))
        objects = [create(memory, stub, number) for number in range(poddnats)]
        rules = [stub.rule(0, number) for number in range(poddnats)]
        names = [Ownership(CLUSTER).name_of(poddnat["metadata"]["uid"]) for _, poddnat in objects]
        with emulated_cloud(settle=0.1, entries=rules, names=names) as emulated:
            started_at = time.monotonic()
            with server(memory.url, emulated) as (url, pid):
                settle(url, objects[-1][1])
                start_seconds = time.monotonic() - started_at
                pods = [_pod_request(pod, poddnat) for pod, poddnat in objects]
                parents = [_poddnat_request(poddnat) for _, poddnat in objects]
                emulated.reset_calls()
                pod_ms = _times(url, "/pod/sync", pods)
                poddnat_ms = _times(url, "/poddnat/sync", parents)
                counts = emulated.calls()
                emulated.lay_fault({"kind": "delay", "action": "*", "seconds": 30, "times": None})
                new = [_pod_request(_new_pod(pod, number), None) for number, (pod, _) in enumerate(objects[:1000])]
                slow_ms = _times(url, "/pod/sync", new) + _times(url, "/poddnat/sync", parents[:1000])
                rss = resident_mb(Path(f"/proc/{pid}/statm"))
    writes = sum(n for (action, _), n in counts.items() if not action.startswith("Describe"))
    return HookFigures(pod_ms, poddnat_ms, slow_ms, start_seconds, rss, writes)


def percentile(times: list[float], share: int) -> float:
    return statistics.quantiles(times, n=100)[share - 1]


def create(memory: MemoryApi, stub: EmulatedCloud, number: int) -> tuple[Json, Json]:
    """Put a pod and its settled PodDNAT in place."""
    rule = stub.rule(0, number)
    mapping = PortMapping(rule.external_ports, rule.internal_ports, Transport.TCP)
    working = [WorkingPort(rule.external_ip, rule.internal_ip, mapping, (f"fwd-{number}",))]
    name = f"pod-{number}"
    pod = recorded_pod()
    pod["metadata"] |= {
        "name": name,
        "uid": str(uuid.uuid4()),
        "annotations": {POD_DNAT: "", EXPOSE_PORT: "80", STATUS: READY, RESULT: format_result(working)},
    }
    pod["status"] = {"phase": "Running", "podIP": rule.internal_ip}
    memory.add("v1", "pods", pod)
    asked = PodDNAT("ngw-bench0", rule.external_ip, rule.internal_ip, (mapping,), "eni-0", "vsw-0", "cn-hangzhou-j")
    poddnat = manifest("default", name, asked)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod["metadata"]["uid"]}
    poddnat["metadata"] |= {
        "annotations": dict([ATTACHED_BY]) | {_LAST_APPLIED: json.dumps(poddnat)},
        "creationTimestamp": pod["metadata"]["creationTimestamp"],
        "finalizers": ["metacontroller.io/compositecontroller-poddnat"],
        "generation": 1,
        "managedFields": pod["metadata"]["managedFields"],
        "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
    }
    ready = Condition(ready=True, reason="Ready", message=f"1 forward entry works on {rule.external_ip}.")
    poddnat["status"] = status({}, working, ready, "2026-01-01T00:00:00Z") | {"observedGeneration": 1}
    return pod, memory.add("alibabacloud.com/v1", "poddnats", poddnat)


def recorded_pod() -> Json:
    recorded: Json = json.loads((RECORDINGS / "pod-sync-with-poddnat.json").read_text(encoding="utf-8"))["object"]
    return recorded


@contextmanager
def server(api_url: str, emulated: EmulatedCloud, *arguments: str) -> Iterator[tuple[str, int]]:
    listen = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        path, values = Path(folder, "kubeconfig"), Path(folder, "values.yaml")
        path.write_text(yaml.safe_dump(kubeconfig(api_url)), encoding="utf-8")
        values.write_text(yaml.safe_dump(emulated.values_file), encoding="utf-8")
        command = ["serve", "--values", str(values), "--listen", listen, "--kubeconfig", str(path)]
        command += arguments
        program = subprocess.Popen([sys.executable, "-m", "poddnat", *command], stderr=subprocess.DEVNULL)
        try:
            yield f"http://{listen}", program.pid
        finally:
            program.kill()
            program.wait()


def settle(url: str, poddnat: Json) -> None:
    """Wait until the server has read the cluster and the cloud: until it finds a PodDNAT's entry working."""
    request = _poddnat_request(poddnat)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
            connection.request("POST", "/poddnat/sync", request)
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    raise TimeoutError("the hook server did not become ready")


def _times(url: str, path: str, bodies: Iterable[bytes]) -> list[float]:
    """Send requests over a few lasting connections, as Metacontroller's workers do; milliseconds each."""
    lanes = [list(bodies)] if _CONNECTIONS == 1 else _deal(list(bodies))

    def lane(mine: list[bytes]) -> list[float]:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        times = []
        for body in mine:
            started_at = time.perf_counter()
            connection.request("POST", path, body)
            connection.getresponse().read()
            times.append((time.perf_counter() - started_at) * 1000)
        connection.close()
        return times

    with ThreadPoolExecutor(len(lanes)) as workers:
        return [ms for times in workers.map(lane, lanes) for ms in times]


def _deal(bodies: list[bytes]) -> list[list[bytes]]:
    return [bodies[start::_CONNECTIONS] for start in range(_CONNECTIONS)]


def _pod_request(pod: Json, poddnat: Json | None) -> bytes:
    recorded = json.loads((RECORDINGS / "pod-sync-with-poddnat.json").read_text(encoding="utf-8"))
    attached = {} if poddnat is None else {poddnat["metadata"]["name"]: poddnat}
    recorded |= {"object": pod, "attachments": {"PodDNAT.alibabacloud.com/v1": attached}}
    return json.dumps(recorded).encode()


def _poddnat_request(poddnat: Json) -> bytes:
    recorded = json.loads((RECORDINGS / "poddnat-sync.json").read_text(encoding="utf-8"))
    return json.dumps(recorded | {"parent": poddnat}).encode()


def _new_pod(pod: Json, number: int) -> Json:
    new = copy.deepcopy(pod)
    new["metadata"] |= {
        "name": f"new-{number}",
        "uid": f"new-{number}",
        "annotations": {POD_DNAT: "", EXPOSE_PORT: "80"},
    }
    new["status"]["podIP"] = f"172.16.100.{number % 250 + 1}"
    return new


def resident_mb(statm: Path) -> float:
    """Read how much memory a process has, from its file ``/proc/…/statm``."""
    pages = int(statm.read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
