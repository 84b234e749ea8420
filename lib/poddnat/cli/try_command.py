"""The command ``try``: a cluster and a cloud on loopback, for kubectl and for all other commands."""

import itertools
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from poddnat.cli.terminal import failure, read_values
from poddnat.files import MANIFESTS
from poddnat.logs import LogFormat, log_to_stderr

if TYPE_CHECKING:
    from poddnat.cli.local_cluster import LocalCluster

_VALUES = MANIFESTS / "examples" / "emulator.yaml"
_EMULATOR = "http://127.0.0.1:9090"
_HOOKS = "http://127.0.0.1:8080"
"""Where `poddnat serve` is expected that is run beside."""
_NETWORKS = ("172.16.17", "172.16.1")
"""Those of the example world that have network interfaces for pods, one in each zone."""


def try_out(
    directory: Annotated[
        Path, typer.Option(help="Where kubeconfig and values.yaml are written, for kubectl and other commands.")
    ] = Path("poddnat-try"),
    *,
    server: Annotated[
        bool,
        typer.Option(
            "--server/--no-server", help=f"Serve the hooks; else you do, at {_HOOKS.removeprefix('http://')}."
        ),
    ] = True,
) -> None:
    """Run a small cluster and a cloud on loopback, to try poddnat with kubectl; Ctrl-C ends both.

    The API server keeps objects in memory, and checks only fields that are read; pods of Deployments, ReplicaSets and
    StatefulSets get addresses, but nothing runs in them. The cloud is the emulator's example. The hooks are the real
    ones, called by a stand-in for Metacontroller.
    """
    from poddnat.cli.local_cluster import LocalCluster
    from vpc_emulator import World

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stopped.set())
    log_to_stderr(LogFormat.TEXT)
    hooks_url = "" if server else _HOOKS
    values = read_values(_VALUES)
    cluster = LocalCluster(
        values, World.example(), _addresses(), workloads=True, hooks_url=hooks_url, on_failure=stopped.set
    )
    with cluster:
        try:
            kubeconfig, written = _write_files(directory, cluster)
        except OSError as error:
            raise failure(f"{directory} can't be written to: {error.strerror}") from error
        typer.echo(_how_to_go_on(cluster, kubeconfig, written, server=server))
        stopped.wait()
        cluster.check()
    typer.echo("Stopped; nothing is kept.")


def _addresses() -> Iterator[str]:
    """Give pods addresses in the zone of the new gateway, then in that of the old one, then again."""
    return itertools.cycle(f"{network}.{host}" for network in _NETWORKS for host in range(10, 250))


def _write_files(directory: Path, cluster: "LocalCluster") -> tuple[Path, Path]:
    from metacontroller_standin.kubeconfig import kubeconfig

    directory.mkdir(parents=True, exist_ok=True)
    path, values = directory / "kubeconfig", directory / "values.yaml"
    path.write_text(yaml.safe_dump(kubeconfig(cluster.api_url), sort_keys=False), encoding="utf-8")
    values.write_text(_VALUES.read_text(encoding="utf-8").replace(_EMULATOR, cluster.cloud_url), encoding="utf-8")
    return path.absolute(), values.absolute()


def _how_to_go_on(cluster: "LocalCluster", kubeconfig: Path, values: Path, *, server: bool) -> str:
    hooks = f"Hooks        {cluster.hooks_url}"
    if not server:
        hooks += ", which you have to serve:\n"
        listen = _HOOKS.removeprefix("http://")
        hooks += f"             poddnat serve --listen {listen} --values {values} --kubeconfig {kubeconfig}"
    return "\n".join(
        [
            f"API server   {cluster.api_url}",
            f"Cloud        {cluster.cloud_url}",
            hooks,
            "",
            "In another terminal:",
            f"  export KUBECONFIG={kubeconfig} PODDNAT_VALUES={values}",
            f"  kubectl apply -f {MANIFESTS / 'examples' / 'game-servers.yaml'}",
            "  kubectl get pdnat",
            "Ctrl-C ends it.",
        ]
    )
