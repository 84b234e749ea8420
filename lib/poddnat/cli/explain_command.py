"""The command ``explain``: why a pod can, or can't, be reached at its public ports, for people or for programs."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poddnat.cli import views
from poddnat.cli.progress import quieten, with_progress
from poddnat.cli.terminal import (
    VALUES,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
    Output,
    OutputOption,
    failure,
    read_values,
    show,
    write,
)

if TYPE_CHECKING:
    from poddnat.cli.explain import Facts, Link
    from poddnat.cli.site import ShowProgress

_NARROW = 80


def explain(
    pod: Annotated[str, typer.Argument(metavar="POD", help="Its name, or NAMESPACE/NAME.", show_default=False)],
    namespace: NamespaceOption = None,
    values: Annotated[
        Path | None,
        typer.Option("--values", help="The values file, or -. Without it, the cloud is not looked at.", **VALUES),
    ] = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
    *,
    probe: Annotated[
        bool, typer.Option("--probe", help="Try the public addresses from here, too: a packet or two for each port.")
    ] = False,
) -> None:
    """Show why a pod can, or can't, be reached: each link from its annotations to its public ports.

    Reads the cluster with your rights and the cloud with the values file's; changes nothing, and needs no running
    server. The first link that is wrong says what to do; those that depend on it are not looked at. Ends with 0 when
    the pod can be reached, as far as was seen, 1 when a link is wrong, 2 when the API server can't be asked.
    """
    from poddnat.cli.explain import State, broken_link
    from poddnat.cli.explain import explain as judge
    from poddnat.cli.explain import probe as try_ports

    facts = _read(pod, namespace, values, kubeconfig, context)
    links = judge(facts)
    if probe and broken_link(links) is None:
        ports = facts.working_ports
        facts = replace(facts, probes=with_progress(lambda _show: try_ports(ports)))
        links = judge(facts)
    if output is Output.TABLE:
        seen = [link for link in links if link.state is not State.SKIPPED]
        show(views.links(f"Pod {facts.key}", seen), at_most=_NARROW)
        addresses = [port.public for port in facts.working_ports]
        show(views.reachable(facts.key, addresses, broken_link(links), skipped=len(seen) < len(links)), at_most=_NARROW)
    else:
        write(_as_dict(facts, links), output)
    if broken_link(links) is not None:
        raise typer.Exit(code=1)


def _read(
    pod: str, namespace: str | None, values: Path | None, kubeconfig: Path | None, context: str | None
) -> "Facts":
    from poddnat.cli.explain import read_facts
    from poddnat.cloud import CloudClient
    from poddnat.kube import Inspector, KubeError, connect_as_user, namespace_of_context

    read = read_values(values) if values is not None else None
    quieten()
    first, slash, name = pod.partition("/")
    if slash and (not name or "/" in name or (namespace or first) != first):
        raise failure(f"{pod}: give one pod, as NAMESPACE/POD or as POD with -n NAMESPACE")
    try:
        kube = Inspector(connect_as_user(kubeconfig, context))
        where = first if slash else namespace or namespace_of_context(kubeconfig, context)
    except KubeError as error:
        raise failure(str(error)) from error

    def read_all(show_progress: "ShowProgress") -> "Facts":
        cloud = CloudClient(read) if read is not None else None
        return read_facts(kube, read, cloud, where, name if slash else pod, show_progress)

    return with_progress(read_all)


def _as_dict(facts: "Facts", links: "list[Link]") -> dict[str, Any]:
    from poddnat.cli.explain import broken_link

    broken = broken_link(links)
    return {
        "pod": facts.key,
        "reachable": broken is None,
        "brokenLink": broken.name if broken is not None else None,
        "addresses": [port.public for port in facts.working_ports],
        "links": [link.as_dict() for link in links],
    }
