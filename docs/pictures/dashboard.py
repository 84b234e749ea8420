"""Draws panels of the dashboard: `PYTHONPATH=lib:. .venv/bin/python docs/pictures/dashboard.py`, in four minutes.

The server is the real one, over an emulated cloud and an in-memory API server. A real `prometheus`, from PATH, scrapes
it each second while pods come and go, and answers the panels' own expressions.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import urlopen

import matplotlib as mpl
import yaml

from docs.pictures.dark import follow_dark_mode
from hooks.app import create_app
from hooks.server import HookServer
from metacontroller_standin.api import Api
from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.manifests import point_at
from metacontroller_standin.memory_api import MemoryApi
from metacontroller_standin.standin import StandIn
from poddnat.cli.simulate import world_of
from poddnat.cloud import CloudClient
from poddnat.config import AccessKey, Endpoints, load
from poddnat.kube import KubeClient, connect_to
from poddnat.service import Service
from vpc_emulator import Emulator, EmulatorServer, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

HERE = Path(__file__).parent
MANIFESTS = HERE.parents[1] / "metacontroller"
DASHBOARD = json.loads((MANIFESTS / "monitoring" / "dashboard.json").read_text(encoding="utf-8"))
SHOWN = (
    *("Until exposed", "Waiting for a write", "Longest wait", "Writes at once"),
    *("Forward table", "Free share of the pool", "Calls of the cloud", "Calls that did not succeed"),
)
SECONDS = 180
PORT = 19090
ANNOTATIONS = {"k8s.aliyun.com/pod-dnat": "true", "k8s.aliyun.com/pod-dnat-expose-port": "7777/udp"}


@contextmanager
def server() -> Iterator[tuple[str, Api, Emulator]]:
    """Run the server and all around it; tell where it is."""
    read = load(MANIFESTS / "examples" / "values.yaml")
    world = world_of(read)
    gateways = {name: dataclasses.replace(one, settle_seconds=2.0) for name, one in world.nat_gateways.items()}
    world = dataclasses.replace(world, nat_gateways=gateways)
    with ExitStack() as stack:
        enter = stack.enter_context
        emulator = Emulator(world)
        cloud, memory = enter(EmulatorServer(emulator)), enter(MemoryApi())
        memory.register_crd(yaml.safe_load((MANIFESTS / "crd.yaml").read_text(encoding="utf-8")))
        key = AccessKey("simulated-key", "simulated-secret")
        values = dataclasses.replace(read, credential=key, endpoints=Endpoints(vpc=cloud.url, ecs=cloud.url))
        service = Service(values, KubeClient(connect_to(memory.url)), CloudClient(values))
        hooks = enter(HookServer(create_app(service)))
        service.start()
        stack.callback(service.stop)
        api = enter(Api(memory.url))
        controllers = list(yaml.safe_load_all((MANIFESTS / "controllers.yaml").read_text(encoding="utf-8")))
        enter(StandIn(api, point_at(controllers, hooks.url)))
        enter(Kubelet(api, (f"172.16.{8 + number // 250}.{number % 250 + 2}" for number in range(1500))))
        yield hooks.url, api, emulator


@contextmanager
def prometheus(url: str) -> Iterator[None]:
    """Have a Prometheus scrape the server."""
    program = shutil.which("prometheus")
    if program is None:
        message = "prometheus is not on PATH: go install github.com/prometheus/prometheus/cmd/prometheus@latest"
        raise SystemExit(message)
    with tempfile.TemporaryDirectory() as folder:
        target = {"targets": [url.removeprefix("http://")]}
        job = {"job_name": "poddnat", "scrape_interval": "1s", "scrape_timeout": "1s", "static_configs": [target]}
        config = Path(folder, "prometheus.yaml")
        config.write_text(yaml.safe_dump({"scrape_configs": [job]}))
        listen = f"--web.listen-address=127.0.0.1:{PORT}"
        command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder}/data", listen, "--log.level=warn"]
        running = subprocess.Popen(command)
        try:
            yield
        finally:
            running.terminate()
            running.wait()


def live(api: Api, emulator: Emulator) -> None:
    """Let pods come and go: always some, forty more for a while, and a minute in which the cloud throttles."""
    pods, there, number = api.resource("v1", "pods"), list[str](), 0
    began = time.monotonic()
    events = [(50.0, 40), (95.0, 0), (125.0, -40)]
    while (now := time.monotonic() - began) < SECONDS:
        more = 1
        while events and now >= events[0][0]:
            change = events.pop(0)[1]
            if change == 0:
                emulator.add_fault(Fault("throttle", action="CreateForwardEntry", seconds=8.0, times=6))
            elif change > 0:
                more += change
            else:
                for name in there[:-change]:
                    api.delete(pods, name, "default", grace_period=0)
                del there[:-change]
        for _ in range(more):
            number += 1
            metadata = {"name": f"game-{number}", "namespace": "default", "annotations": ANNOTATIONS}
            spec = {"containers": [{"name": "game", "image": "game"}]}
            api.create(pods, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
            there.append(f"game-{number}")
        if len(there) > 20 and more == 1:
            api.delete(pods, there.pop(0), "default", grace_period=0)
        time.sleep(2.0)


def ask(expression: str, start: float, end: float) -> list[dict[str, Any]]:
    """Have Prometheus answer one of the dashboard's expressions over a time."""
    query = expression.replace("$__rate_interval", "15s").replace("$gateway", ".*")
    parameters = urlencode({"query": query, "start": start, "end": end, "step": 1})
    with urlopen(f"http://127.0.0.1:{PORT}/api/v1/query_range?{parameters}") as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def panel(axes: Axes, title: str, start: float, end: float) -> None:
    """Draw one panel as the dashboard has it."""
    (shown,) = (one for one in DASHBOARD["panels"] if one["title"] == title)
    for target in shown["targets"]:
        for series in ask(target["expr"], start, end):
            label = target["legendFormat"]
            for key, value in series["metric"].items():
                label = label.replace("{{" + key + "}}", value.replace("ngw-bp1uewa15k4iy5e8dn3jr", "ngw-bp1u…"))
            points = [(at - start, float(value)) for at, value in series["values"]]
            axes.plot([at for at, _ in points], [value for _, value in points], label=label)
    unit = {"s": " (s)", "reqps": " (per s)"}.get(shown["fieldConfig"]["defaults"].get("unit"), "")
    axes.set_title(title + unit)
    axes.set_xlim(0, end - start)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize=9, loc="upper left")


def main() -> None:
    mpl.use("Agg")
    mpl.rcParams.update({"font.size": 11, "axes.titlesize": 13, "svg.fonttype": "none", "svg.hashsalt": "poddnat"})
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the choice of a backend that needs no screen

    with server() as (url, api, emulator), prometheus(url):
        began = time.time()
        live(api, emulator)
        figure, grid = plt.subplots(len(SHOWN) // 2, 2, figsize=(10, 11))
        for axes, title in zip(grid.flat, SHOWN, strict=True):
            panel(axes, title, began, time.time())
        for axes in grid[-1]:
            axes.set_xlabel("seconds")
        figure.tight_layout()
        figure.savefig(HERE / "dashboard.svg", metadata={"Date": None})
    follow_dark_mode(HERE / "dashboard.svg")


if __name__ == "__main__":
    main()
