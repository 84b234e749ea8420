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
from poddnat.api import POD_DNAT, UNNAMED, Condition, PodDNAT, desired_by, manifest, status
from poddnat.api.annotations import EXPOSE_PORT, READY, RESULT, STATUS, format_result
from poddnat.files import MANIFESTS, ROOT
from poddnat.gateway import Ownership
from poddnat.model import ForwardRule, PortMapping, Transport, WorkingPort
from tests.bench.emulated import CLUSTER, ZONE, EmulatedCloud, emulated_cloud, free_port, gateway_ids

RECORDINGS = ROOT / "tests" / "recordings"
_MOST_CALLED = 5000
"""Of how many PodDNATs the hooks are called."""
_LAST_APPLIED = "metacontroller.k8s.io/last-applied-configuration"
Json = dict[str, Any]


@dataclass(frozen=True)
class HookFigures:
    """Milliseconds for each hook at rest and under a slow cloud; seconds to readiness; MiB."""

    pod_ms: list[float]
    poddnat_first_ms: list[float]
    """The first time since the start: the API server, which the bench plays itself, is asked for the pod."""
    poddnat_ms: list[float]
    slow_cloud_ms: list[float]
    cpu_ms: float
    """Of the server, for each call at rest."""
    start_seconds: float
    rss_mb: float
    peak_mb: float
    writes_at_rest: int


def measure(poddnats: int, *, gateways: int = 1, at_once: int = 5) -> HookFigures:
    """Run ``poddnat serve`` with so many PodDNATs, all settled, and call its hooks as Metacontroller would."""
    with MemoryApi() as memory:
        memory.register_crd(yaml.safe_load((MANIFESTS / "crd.yaml").read_text(encoding="utf-8")))
        objects = [settled(number, gateways) for number in range(poddnats)]
        with emulated_cloud(gateways=gateways, settle=0.1, entries=entries_of(objects)) as emulated:
            put(memory, objects, emulated)
            started_at = time.monotonic()
            with server(memory.url, emulated) as (url, pid):
                settle(url, objects[-1][1])
                start_seconds = time.monotonic() - started_at
                called = objects[:: max(1, poddnats // _MOST_CALLED)]
                for _, poddnat in called[:gateways]:
                    settle(url, poddnat)
                pods = [_pod_request(pod, poddnat) for pod, poddnat in called]
                parents = [_poddnat_request(poddnat) for _, poddnat in called]
                emulated.reset_calls()
                used = cpu_seconds(pid)
                pod_ms = _times(url, "/pod/sync", pods, at_once)
                first_ms = _times(url, "/poddnat/sync", parents, at_once)
                poddnat_ms = _times(url, "/poddnat/sync", parents, at_once)
                used = cpu_seconds(pid) - used
                counts = emulated.calls()
                emulated.lay_fault({"kind": "delay", "action": "*", "seconds": 30, "times": None})
                new = [_pod_request(_new_pod(pod, number), None) for number, (pod, _) in enumerate(called[:1000])]
                slow_ms = _times(url, "/pod/sync", new, at_once)
                slow_ms += _times(url, "/poddnat/sync", parents[:1000], at_once)
                rss, peak = resident_mb(Path(f"/proc/{pid}/statm")), peak_mb(pid)
    writes = sum(n for (action, _), n in counts.items() if not action.startswith("Describe"))
    cpu_ms = used * 1000 / (len(pods) + 2 * len(parents))
    return HookFigures(pod_ms, first_ms, poddnat_ms, slow_ms, cpu_ms, start_seconds, rss, peak, writes)


def percentile(times: list[float], share: int) -> float:
    return statistics.quantiles(times, n=100)[share - 1]


def settled(number: int, gateways: int = 1) -> tuple[Json, Json]:
    """Describe a pod and its PodDNAT, on one gateway after the other; ``put`` fills in the id of its entry."""
    stub = EmulatedCloud("", gateway_ids(gateways))
    gateway = number % gateways
    rule = stub.rule(gateway, number // gateways)
    mapping = PortMapping(rule.external_ports, rule.internal_ports, Transport.TCP)
    working = [WorkingPort(rule.external_ip, rule.internal_ip, mapping, ())]
    name = f"pod-{number}"
    pod = recorded_pod()
    made_at = f"2026-11-23T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    pod["metadata"] |= {
        "name": name,
        "creationTimestamp": made_at,
        "uid": str(uuid.uuid4()),
        "annotations": {POD_DNAT: "", EXPOSE_PORT: "80", STATUS: READY, RESULT: format_result(working)},
    }
    pod["status"] = {"phase": "Running", "podIP": rule.internal_ip}
    where = (f"eni-{gateway}", f"vsw-{gateway}", ZONE)
    asked = PodDNAT(stub.gateway_ids[gateway], rule.external_ip, rule.internal_ip, (mapping,), *where)
    poddnat = manifest("default", name, asked)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod["metadata"]["uid"]}
    poddnat["metadata"] |= {
        "uid": str(uuid.uuid4()),
        "annotations": dict([UNNAMED.attached_by]) | {_LAST_APPLIED: json.dumps(poddnat)},
        "creationTimestamp": pod["metadata"]["creationTimestamp"],
        "finalizers": ["metacontroller.io/compositecontroller-poddnat"],
        "generation": 1,
        "managedFields": pod["metadata"]["managedFields"],
        "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
    }
    return pod, poddnat


def put(memory: MemoryApi, objects: Iterable[tuple[Json, Json]], emulated: EmulatedCloud) -> None:
    """Put pods and PodDNATs in place whose entries are there: their statuses tell the ids that the cloud gave these."""
    ids, ownership = emulated.entry_ids(), Ownership(CLUSTER)
    for pod, poddnat in objects:
        metadata, desired = poddnat["metadata"], desired_by(poddnat)
        assert desired is not None
        (mapping,), entry_id = desired.mappings, ids[ownership.name_of(metadata["uid"])]
        working = [WorkingPort(desired.external_ip, desired.internal_ip, mapping, (entry_id,))]
        ready = Condition(ready=True, reason="Ready", message=f"1 forward entry works on {desired.external_ip}.")
        poddnat["status"] = status({}, working, ready, metadata["creationTimestamp"]) | {"observedGeneration": 1}
        memory.add("v1", "pods", pod)
        memory.add("alibabacloud.com/v1", "poddnats", poddnat)


def entries_of(objects: Iterable[tuple[Json, Json]]) -> list[tuple[ForwardRule, str]]:
    """Give the forward entries of pods and PodDNATs that were put in place, each with its name."""
    ownership = Ownership(CLUSTER)
    asked = [(desired_by(poddnat), ownership.name_of(poddnat["metadata"]["uid"])) for _, poddnat in objects]
    return [(rule, name) for desired, name in asked if desired is not None for rule in desired.rules]


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
        environment = os.environ | {"MALLOC_ARENA_MAX": "2"}  # As in the image.
        program = subprocess.Popen(
            [sys.executable, "-m", "poddnat", *command], stderr=subprocess.DEVNULL, env=environment
        )
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


def _times(url: str, path: str, bodies: list[bytes], at_once: int) -> list[float]:
    """Send requests over a few lasting connections, as Metacontroller's workers do; milliseconds each."""
    lanes = [bodies[start::at_once] for start in range(at_once)]

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


def peak_mb(pid: int) -> float:
    """Read the most memory that a process has held so far."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def cpu_seconds(pid: int) -> float:
    """Read how much processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
