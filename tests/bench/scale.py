"""Many pods on a real API server, created and deleted, by the program as it is shipped: ``make bench-scale``.

Each is measured in turn with hooks that answer at once: that is the floor of Metacontroller and the API server, on this
machine at that time. All of it is done three times; the figures are the medians, and the ratios are of medians.

Metacontroller's stand-in calls the hooks; then, where it is on ``PATH``, Metacontroller itself. The cloud is emulated:
four gateways that take 8 writes at a time, with a twentieth of a real gateway's delay (about 5 s), give or take 30 %.

``python -m tests.bench.scale --pods 100 300 1000`` measures several sizes, and draws them.
``python -m tests.bench.scale --pods 300 --flags 100:5 300:20`` measures Metacontroller with other flags instead: so
many requests a second (and twice as many at once), so many workers.
"""

import argparse
import itertools
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from metacontroller_standin.api import name_of
from metacontroller_standin.informer import Informer
from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.waiting import wait_until
from poddnat.api import POD_DNAT
from poddnat.api.annotations import EXPOSE_PORT, READY, STATUS
from tests.bench import plots
from tests.bench.emulated import EmulatedCloud, emulated_cloud, free_port
from tests.bench.gateways import SETTLE
from tests.bench.hook_calls import cpu_seconds, peak_mb
from tests.bench.plots import BUILD
from tests.e2e import world
from tests.e2e.audit_log import SERVER, Request
from tests.e2e.controlplane import ControlPlane
from tests.e2e.runners import FLAGS, Flags, MetacontrollerRunner, Runner, StandInRunner

Json = dict[str, Any]

GATEWAYS, AT_ONCE = 4, 8
_REST_SECONDS = 10.0
LONGEST = 900.0


@dataclass
class Sight:
    """When each pod of a namespace was first seen, and first seen to be Ready."""

    namespace: str
    born: dict[str, float] = field(default_factory=dict)
    ready: dict[str, float] = field(default_factory=dict)

    def note(self, _old: Json | None, new: Json | None) -> None:
        if new is None or new["metadata"]["namespace"] != self.namespace:
            return
        uid, now = new["metadata"]["uid"], time.monotonic()
        self.born.setdefault(uid, now)
        if (new["metadata"].get("annotations") or {}).get(STATUS) == READY:
            self.ready.setdefault(uid, now)

    def seconds(self) -> list[float]:
        return [self.ready[uid] - self.born[uid] for uid in self.ready]


@dataclass(frozen=True)
class Stage:
    """All that takes part in one run."""

    controlplane: ControlPlane
    emulated: EmulatedCloud
    """The cloud; with the floor's hooks nobody calls it."""
    runner: Runner
    hooks_pid: int
    namespace: str
    sight: Sight

    def poddnats(self) -> int:
        api = self.controlplane.api
        return len(api.list(api.resource("alibabacloud.com/v1", "poddnats"), self.namespace)["items"])

    def writes(self, start: int) -> list[Request]:
        return self.controlplane.audit_log.ours(self.namespace, start)

    def cpu_seconds(self) -> dict[str, float]:
        """Tell how much processor time each who takes part has used so far; the bench plays kubelet and stand-in."""
        pids = {"hooks": self.hooks_pid, "cloud": self.emulated.pid, "bench": os.getpid()}
        programs = {name: program.process.pid for name, program in self.controlplane.programs.items()}
        pids |= {name: pid for name, pid in programs.items() if name != "poddnat"}
        return {name.replace("-", "_"): cpu_seconds(pid) for name, pid in pids.items()}

    def memory_mb(self, program: str) -> float:
        """Tell the most memory that a program has held so far."""
        return peak_mb(self.controlplane.programs[program].process.pid)


def measure(stage: Stage, pods: int, rest_seconds: float = _REST_SECONDS) -> dict[str, float]:
    """Create so many pods, leave them alone, delete them."""
    start, started_at, used = stage.controlplane.audit_log.end(), time.monotonic(), stage.cpu_seconds()
    stage.controlplane.kubectl("create", f"--namespace={stage.namespace}", "-f", "-", stdin=deployment(pods))
    wait_until(lambda: len(stage.sight.ready) == pods, LONGEST, f"{pods} pods to be Ready", interval=0.1)
    used = {name: stage.cpu_seconds()[name] - before for name, before in used.items()}
    seconds = sorted(stage.sight.seconds())
    stats: dict[str, float] = {
        "ready_seconds": time.monotonic() - started_at,
        "gateways_own_seconds": pods * SETTLE / GATEWAYS / AT_ONCE,
        "pod_ready_p50_seconds": statistics.median(seconds),
        "pod_ready_p99_seconds": seconds[int(0.99 * (len(seconds) - 1))],
    }
    stats |= {f"cpu_ms_per_pod_{name}": spent * 1000 / pods for name, spent in used.items()}
    threading.Event().wait(1.0)  # the audit log is a moment behind
    stats |= _hooks(stage.runner.hook_answers(), pods) | _writes(stage.writes(start), pods)
    calls = stage.emulated.calls()
    cloud_writes = sum(n for (action, _), n in calls.items() if not action.startswith("Describe"))
    stats["cloud_writes_per_entry"] = cloud_writes / pods
    stats["cloud_reads_per_entry"] = (sum(calls.values()) - cloud_writes) / pods

    start = stage.controlplane.audit_log.end()
    threading.Event().wait(rest_seconds)
    stats["api_writes_at_rest"] = len(stage.writes(start))

    before, start, started_at = stage.runner.hook_answers(), stage.controlplane.audit_log.end(), time.monotonic()
    stage.controlplane.kubectl("delete", f"--namespace={stage.namespace}", "deployment", "web", "--wait=false")
    wait_until(lambda: not stage.poddnats(), LONGEST, "all PodDNATs to go", interval=0.5)
    stats["gone_seconds"] = time.monotonic() - started_at
    stats["entries_left"] = stage.emulated.entries()
    threading.Event().wait(1.0)
    stats["deletion_hook_calls_per_pod"] = (stage.runner.hook_answers() - before).total() / pods
    stats |= {f"deletion_{name}": n for name, n in _writes(stage.writes(start), pods).items()}
    for program in ("poddnat", "metacontroller"):
        if program in stage.controlplane.programs:
            stats[f"{program}_memory_mb"] = stage.memory_mb(program)
    return stats


def _hooks(answers: Counter[tuple[str, int]], pods: int) -> dict[str, float]:
    later = sum(n for (_, status), n in answers.items() if status == 429)
    failed = sum(n for (_, status), n in answers.items() if status not in (200, 429))
    by_hook = {
        f"hook_calls_per_pod{path.replace('/', '_')}": sum(n for (to, _), n in answers.items() if to == path) / pods
        for path in ("/pod/sync", "/poddnat/sync")
    }
    return {
        "hook_calls_per_pod": answers.total() / pods,
        **by_hook,
        "hook_calls_per_pod_told_to_come_later": later / pods,
        "hook_calls_failed": failed,
    }


def _writes(writes: list[Request], pods: int) -> dict[str, float]:
    done = Counter(f"{write.verb}_{write.resource.replace('/', '_')}" for write in writes if write.code < 400)
    return {
        "api_writes_per_pod": len(writes) / pods,
        **{f"api_writes_per_pod_{kind}": n / pods for kind, n in sorted(done.items())},
        "api_writes_per_pod_by_the_server": sum(write.user == SERVER for write in writes) / pods,
        "api_writes_per_pod_refused": (len(writes) - done.total()) / pods,
    }


def deployment(pods: int) -> str:
    labels = {"app": "web"}
    template: Json = {
        "metadata": {"labels": labels, "annotations": {POD_DNAT: "true", EXPOSE_PORT: "80"}},
        "spec": {"containers": [{"name": "web", "image": "nginx"}]},
    }
    spec = {"replicas": pods, "selector": {"matchLabels": labels}, "template": template}
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})


def addresses() -> Iterator[str]:
    """Give pods addresses behind one gateway after the other."""
    return (f"172.{16 + n % GATEWAYS}.{n // GATEWAYS // 250}.{n // GATEWAYS % 250 + 1}" for n in count())


@contextmanager
def _ours(controlplane: ControlPlane, emulated: EmulatedCloud) -> Iterator[tuple[str, int]]:
    """Run our server; gives its URL, and the process' id."""
    with tempfile.TemporaryDirectory() as folder:
        server = world.Server(controlplane, emulated.values_file, Path(folder))
        server.start()
        try:
            server.wait_ready()
            yield server.url, controlplane.programs["poddnat"].process.pid
        finally:
            server.stop()


@contextmanager
def _floor(_controlplane: ControlPlane, _emulated: EmulatedCloud) -> Iterator[tuple[str, int]]:
    """Run hooks that answer at once; gives their URL, and the process' id."""
    port = free_port()
    program = subprocess.Popen([sys.executable, "-m", "tests.bench.floor", str(port)])
    try:
        wait_until(lambda: _listens(port), 30, "the floor's hooks")
        yield f"http://127.0.0.1:{port}", program.pid
    finally:
        program.kill()
        program.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


HOOKS = {"floor": _floor, "ours": _ours}


@contextmanager
def watched_namespace(controlplane: ControlPlane) -> Iterator[Sight]:
    """Make a namespace, and see when its pods become Ready, and go; it is cleared in the end."""
    api = controlplane.api
    named = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "scale-"}}
    sight = Sight(name_of(api.create(api.resource("v1", "namespaces"), named)))
    pods = Informer(api, api.resource("v1", "pods"))
    pods.on_change(sight.note)
    pods.start()
    try:
        yield sight
    finally:
        pods.stop()
    controlplane.clear_namespace(sight.namespace)


@contextmanager
def _stage(controlplane: ControlPlane, program: str | None, hooks: str, flags: Flags = FLAGS) -> Iterator[Stage]:
    with (
        watched_namespace(controlplane) as sight,
        emulated_cloud(gateways=GATEWAYS, at_once=AT_ONCE, settle=SETTLE) as emulated,
        controlplane.client_of("kubelet") as kubelet_api,
        Kubelet(kubelet_api, addresses(), node="node-1"),
        HOOKS[hooks](controlplane, emulated) as (url, pid),
    ):
        runner = MetacontrollerRunner(controlplane, program, flags) if program else StandInRunner(controlplane)
        try:
            runner.apply(world.controllers(controlplane, url))
            emulated.reset_calls()
            yield Stage(controlplane, emulated, runner, pid, sight.namespace, sight)
        finally:
            runner.stop()


def assets() -> Path:
    build = Path(__file__).parents[1] / "controlplane" / "build"
    return Path(subprocess.run([str(build)], stdout=subprocess.PIPE, text=True, check=True).stdout.strip())


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(stats[name] for stats in rounds if name in stats) for name in rounds[0]}


def _compared(floor: dict[str, float], ours: dict[str, float]) -> dict[str, float]:
    """Tell how much longer ours take than the floor."""
    return {f"{what}_ratio": ours[f"{what}_seconds"] / floor[f"{what}_seconds"] for what in ("ready", "gone")}


def _show(console: Console, pods: int, measured: dict[str, dict[str, dict[str, float]]]) -> None:
    for runner, by_hooks in measured.items():
        table = Table(title=f"{pods} pods on a real API server, {runner}", title_justify="left")
        table.add_column("figure", overflow="fold")
        for hooks in by_hooks:
            table.add_column(hooks, justify="right")
        for name in dict.fromkeys(name for stats in by_hooks.values() for name in stats):
            values = [stats.get(name) for stats in by_hooks.values()]
            table.add_row(name, *("" if value is None else f"{value:.2f}" for value in values))
        console.print(table)


def _flags(text: str) -> Flags:
    qps, _, workers = text.partition(":")
    return Flags(int(qps), int(workers))


def _compare_flags(controlplane: ControlPlane, program: str, pods: int, asked: list[Flags], console: Console) -> None:
    """Measure the floor and ours with each of these flags, once."""
    table = Table(
        "requests a second", "workers", *(f"{what}, {hooks}" for what in ("ready", "gone") for hooks in HOOKS)
    )
    written: list[Json] = []
    for flags in asked:
        stats: dict[str, dict[str, float]] = {}
        for hooks in HOOKS:
            title = f"{pods} pods, {flags.qps} requests a second, {flags.workers} workers, {hooks} …"
            with console.status(title), _stage(controlplane, program, hooks, flags) as stage:
                stats[hooks] = measure(stage, pods, rest_seconds=0.0)
        seconds = [f"{stats[hooks][f'{what}_seconds']:.1f} s" for what in ("ready", "gone") for hooks in HOOKS]
        table.add_row(str(flags.qps), str(flags.workers), *seconds)
        written.append({"qps": flags.qps, "workers": flags.workers} | stats)
        write("flags.json", {"pods": pods, "measured": written})
    console.print(table)


def write(name: str, content: Json) -> None:
    BUILD.mkdir(exist_ok=True)
    (BUILD / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _compare_hooks(
    controlplane: ControlPlane, runners: dict[str, str | None], pods: int, rounds: int, console: Console
) -> Json:
    """Measure the floor and ours over each runner, several times, and give the medians."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {name: {hooks: [] for hooks in HOOKS} for name in runners}
    for number, name, hooks in itertools.product(range(rounds), runners, HOOKS):
        title = f"{pods} pods, {name}, {hooks}, {number + 1} of {rounds} …"
        with console.status(title), _stage(controlplane, runners[name], hooks) as stage:
            found[name][hooks].append(measure(stage, pods))
    measured = {name: {hooks: _medians(done) for hooks, done in by_hooks.items()} for name, by_hooks in found.items()}
    for by_hooks in measured.values():
        by_hooks["ours to floor"] = _compared(by_hooks["floor"], by_hooks["ours"])
    _show(console, pods, measured)
    return {"pods": pods, "rounds": rounds} | measured


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description="Measure many pods.")
    parser.add_argument("--pods", type=int, nargs="+", default=[1000])
    parser.add_argument("--rounds", type=int, default=3, help="how often all is measured; medians are told")
    parser.add_argument(
        "--flags",
        type=_flags,
        nargs="+",
        metavar="QPS:WORKERS",
        help="measure Metacontroller with other flags: its requests a second, and its workers",
    )
    asked = parser.parse_args()
    console = Console(highlight=False)
    program = shutil.which("metacontroller")
    if program is None:
        if asked.flags:
            parser.error("metacontroller is not on PATH")
        console.print("metacontroller is not on PATH: only its stand-in is measured")
    with tempfile.TemporaryDirectory(prefix="poddnat-scale-") as folder:
        controlplane = ControlPlane(assets(), Path(folder))
        controlplane.start()
        try:
            world.install(controlplane)
            if program is not None and asked.flags:
                _compare_flags(controlplane, program, asked.pods[0], asked.flags, console)
                return
            runners = {"stand-in": None} | ({"metacontroller": program} if program else {})
            sizes: list[Json] = []
            for pods in asked.pods:
                sizes.append(_compare_hooks(controlplane, runners, pods, asked.rounds, console))
                write("scale.json", {"sizes": sizes})
            plots.times(sizes, list(runners), BUILD / "scale.png")
        finally:
            controlplane.stop()


if __name__ == "__main__":
    main()
