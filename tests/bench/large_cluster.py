"""A server in a cluster of very many pods of which few are ours: the most memory it takes, and how long it takes.

It starts as the standby of another replica, takes over when that one dies, and then lists anew because all connections
broke. Where there is a memory cgroup that may be written, it lives under the limit that is shipped.
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from metacontroller_standin.memory_api import MemoryApi
from metacontroller_standin.waiting import wait_until
from poddnat.api import Fixed, Owner, ReleaseStrategy
from poddnat.files import MANIFESTS
from tests.bench import hook_calls
from tests.bench.emulated import emulated_cloud

PODS, ASKING, FIXED = 100_000, 500, 50
"""With more entries each start takes minutes: a table that nobody waits for is read at the read budget's pace."""
Json = dict[str, Any]

_CGROUPS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)
"""Where a memory cgroup is made, and its file for the limit: in version 1, and in version 2."""


def measure(pods: int = PODS, asking: int = ASKING, fixed: int = FIXED) -> dict[str, float]:
    """Run it with so many pods, of which so many ask for ports, and so many of these are fixed."""
    with MemoryApi() as memory, ExitStack() as stack:
        memory.register_crd(yaml.safe_load((MANIFESTS / "crd.yaml").read_text(encoding="utf-8")))
        objects = [hook_calls.settled(number) for number in range(asking)]
        for pod, poddnat in itertools.islice(objects, fixed):
            _fix(pod, poddnat)
        for number in range(pods - asking):
            memory.add("v1", "pods", _other_pod(number))
        entries = hook_calls.entries_of(objects)
        emulated = stack.enter_context(emulated_cloud(settle=0.1, entries=entries))
        hook_calls.put(memory, objects, emulated)
        lease = ("--lease", "default/poddnat", "--lease-seconds", "15")
        with ExitStack() as life:
            url, _ = life.enter_context(hook_calls.server(memory.url, emulated, *lease))
            hook_calls.settle(url, objects[-1][1])
            limit = stack.enter_context(_cgroup(shipped_limit_mb()))
            url, pid = stack.enter_context(hook_calls.server(memory.url, emulated, *lease))
            limit(pid)
            _wait_at_rest(pid)
            peaks = {"start": hook_calls.peak_mb(pid)}
            killed_at = time.monotonic()
        hook_calls.settle(url, objects[-1][1])
        takeover_seconds = time.monotonic() - killed_at
        _wait_at_rest(pid)
        peaks["takeover"] = hook_calls.peak_mb(pid)
        memory.break_connections()
        time.sleep(1)
        _wait_at_rest(pid)
        peaks["relist"] = hook_calls.peak_mb(pid)
        hook_calls.settle(url, objects[-1][1])
    figures = {f"large_cluster_{when}_peak_mb": peak for when, peak in peaks.items()}
    return figures | {"large_cluster_takeover_seconds": takeover_seconds}


def shipped_limit_mb() -> int:
    """Read the memory limit that the manifests give the server."""
    documents = yaml.safe_load_all((MANIFESTS / "deployment.yaml").read_text(encoding="utf-8"))
    (deployment,) = (document for document in documents if document["kind"] == "Deployment")
    limit: str = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
    return int(limit.removesuffix("Mi"))


@contextmanager
def _cgroup(limit_mb: int) -> Iterator[Any]:
    """Make a cgroup of that size; gives what puts a process in it."""
    for root, limit_file in _CGROUPS:
        folder = root / f"poddnat-bench-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / limit_file).write_text(str(limit_mb * 2**20), encoding="ascii")
        except OSError:
            folder.rmdir()
            continue
        processes = folder / "cgroup.procs"
        try:
            yield partial(_put_into, processes)
        finally:
            wait_until(partial(_is_empty, processes), 10, "the cgroup to be empty")
            folder.rmdir()
        return
    print(f"no memory cgroup can be made here: the limit of {limit_mb} MiB was not in force")  # noqa: T201
    yield lambda _pid: None


def _put_into(processes: Path, pid: int) -> None:
    processes.write_text(str(pid), encoding="ascii")


def _is_empty(processes: Path) -> bool:
    return not processes.read_text(encoding="ascii")


def _fix(pod: Json, poddnat: Json) -> None:
    """Make a PodDNAT that of a fixed pod, which is to keep its ports for ever."""
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    record = Fixed(Owner("apps/v1", "StatefulSet", "db", "uid-db"), ReleaseStrategy("Never"), name, uid)
    recorded = {key: text for key, text in record.annotations.items() if text}
    poddnat["metadata"]["annotations"] = {**(poddnat["metadata"].get("annotations") or {}), **recorded}


def _other_pod(number: int) -> Json:
    """Make a pod that asks for nothing, with the metadata that a Deployment's pods have."""
    name = f"service-{number // 10}-6d4b75cb6d-{number:05}"
    metadata = hook_calls.recorded_pod()["metadata"] | {
        "name": name,
        "namespace": f"team-{number % 50}",
        "uid": f"00000000-{number}",
    }
    metadata["annotations"] = {"prometheus.io/scrape": "true", "checksum/config": f"{number:064x}"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def _wait_at_rest(pid: int) -> None:
    """Wait until a process has used next to no processor time for some seconds."""
    used = [hook_calls.cpu_seconds(pid)]

    def rests() -> bool:
        used.append(hook_calls.cpu_seconds(pid))
        return len(used) > 6 and used[-1] - used[-6] < 0.3

    wait_until(rests, 180, "the server to be at rest", interval=0.5)


if __name__ == "__main__":
    print(json.dumps(measure(*map(int, sys.argv[1:])), indent=2))  # noqa: T201
