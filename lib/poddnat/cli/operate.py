"""The commands for a running installation: ports, audit, adopt, check-config."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from poddnat.cli import views
from poddnat.cli.intervals import AUDIT_PAUSE, DRAIN_TIMEOUT
from poddnat.cli.progress import failures_told, quieten, with_progress
from poddnat.cli.terminal import (
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
    Output,
    OutputOption,
    ValuesOption,
    console,
    failure,
    progress_console,
    read_values,
    show,
    write,
)

if TYPE_CHECKING:
    from poddnat.cli.adoption import Move
    from poddnat.cli.audit import Finding, Step
    from poddnat.cli.site import ShowProgress, Site


def ports(
    values: ValuesOption,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
    *,
    all_mappings: Annotated[bool, typer.Option("--mappings", help="List every port in use, too.")] = False,
) -> None:
    """Show which public ports are free and used, for each gateway and EIP.

    Reads the cloud and the PodDNATs; changes nothing. Ends with 0, or 2 when something can't be read.
    """
    from poddnat.cli.ports_report import ports_report

    site = _connect(values, kubeconfig, context)
    report = ports_report(with_progress(site.snapshot), site.values)
    if output is Output.TABLE:
        for table in views.ports_report(report, mappings=all_mappings):
            show(table)
    else:
        write(report.as_dict(), output)


def audit(
    values: ValuesOption,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Mend it, after showing what would be done and asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --fix: don't ask.")] = False,
) -> None:
    """Hold the cluster against the cloud: entries missing, leftover, drifted, foreign.

    What is found is looked at twice, so that work in progress is not taken for a fault. Ends with 0 when all is well
    (foreign entries are shown, but are no fault), 1 when something was found, 2 when something can't be read. With
    --fix: 0 when everything was mended.
    """
    from poddnat.cli.audit import Kind, counts

    site = _connect(values, kubeconfig, context)
    findings = with_progress(lambda show_progress: _audit(site, show_progress))
    faults = [finding for finding in findings if finding.kind is not Kind.FOREIGN]
    if output is Output.TABLE:
        show(views.findings(findings))
        show(views.counts(counts(findings)))
    mended = fix and _fix(site, faults, quiet=output is not Output.TABLE, yes=yes)
    if output is not Output.TABLE:
        write({"counts": counts(findings), "findings": [f.as_dict() for f in findings], "mended": mended}, output)
    if faults and not mended:
        raise typer.Exit(code=1)


def adopt(
    values: ValuesOption,
    only: Annotated[
        list[str] | None, typer.Argument(metavar="NAMESPACE/NAME", help="These PodDNATs alone, not all.")
    ] = None,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
    *,
    release: Annotated[bool, typer.Option("--release", help="Adopt none: delete them, with their entries.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this, it is only shown.")] = False,
) -> None:
    """Take over the PodDNATs of ACK's natgw controller, which must not run any more; shows first what it would do.

    Pods keep their public ports without a break. PodDNATs that nobody needs are released, as all are with --release:
    their entries are deleted, and pods that still ask for ports get others. Ends with 0 when nothing is left to do, 1
    when something is (so also when it was only shown), 2 when something can't be read.
    """
    from poddnat.cli.adoption import Action, Adoption, moves

    site = _connect(values, kubeconfig, context)
    snapshot = with_progress(site.snapshot)
    with failures_told():
        found = moves(snapshot, site.values, site.kube.pod, release=release)
    if only:
        found = _only([f"{namespace}/{name}" if namespace and "/" not in name else name for name in only], found)
    todo = [move for move in found if move.action is not Action.LEAVE]
    if output is Output.TABLE:
        show(views.moves(found))
    results: list[bool] = []
    if yes:
        with failures_told(), progress_console().status("Moving …"):
            Adoption(site).run(todo, lambda _move, succeeded: results.append(succeeded))
    if output is not Output.TABLE:
        write({"moves": [move.as_dict() for move in found], "done": sum(results)}, output)
    elif yes:
        console().print(f"{sum(results)} of {len(found)} done.")
    elif todo:
        console().print("Nothing was changed. To do this, run it again with --yes.")
    if sum(results) < len(found):
        raise typer.Exit(code=1)


def _only(names: list[str], found: "list[Move]") -> "list[Move]":
    from poddnat.api import key_of

    by_name = {key_of(move.poddnat): move for move in found}
    if unknown := [name for name in names if name not in by_name]:
        there = ", ".join(by_name) or "none"
        raise failure(f"{', '.join(unknown)}: no PodDNAT of ACK's controller is called so; there are {there}")
    return [by_name[name] for name in dict.fromkeys(names)]


def drain(
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
    *,
    installation: Annotated[
        str, typer.Option(help="The installation's name, where it has one.", show_default=False)
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Give up after so many seconds.")] = DRAIN_TIMEOUT,
) -> None:
    """Take all public ports away, before poddnat is uninstalled: says when that is safe.

    Deletes the DecoratorController pod-dnat, so that no pod is given ports any more, and all PodDNATs but those of
    ACK's own controller; waits until the running server has removed their entries; then takes our annotations off pods.
    Where several installations serve the cluster, all that of one alone: the one without a name, or with --installation
    the one of that name. May be interrupted and run again. Ends with 0 when it is safe to uninstall, 1 when something
    is left, 2 when the API server doesn't answer or refuses.
    """
    from poddnat.api import Installation, key_of
    from poddnat.cli.draining import Drain, why_left
    from poddnat.kube import KubeError, Uninstaller, connect_as_user

    quieten()
    with _connecting():
        draining = Drain(Uninstaller(connect_as_user(kubeconfig, context)), Installation(installation))
    try:
        left, cleared, why = draining.found(), 0, "nothing was changed"
        found = len(left)
        whose = f" of {Installation(installation)}" if installation else ""
        typer.echo(f"All {found} PodDNATs{whose} go, and the pods' public ports with them.", err=True)
        agreed = yes or _agreed("Do it?")
        if agreed:
            with progress_console().status("Draining …") as status:
                left = draining.run(timeout, lambda left: status.update(f"{len(left)} of {found} PodDNATs are left …"))
            why = why_left(left) if left else ""
            cleared = 0 if left else draining.clear_pods()
    except KubeError as error:
        raise failure(f"the API server did not do it: {error}") from error
    if output is not Output.TABLE:
        write({"safe": not why, "why": why, "left": [key_of(one) for one in left], "podsCleared": cleared}, output)
    elif not why:
        console().print(
            f"No PodDNAT{whose} is left, and {cleared} pods no longer show an address: it is safe to uninstall."
        )
    elif agreed:
        typer.echo(f"It is not safe to uninstall: {why}.", err=True)
    if why:
        raise typer.Exit(code=1)


def check_config(
    values: ValuesOption,
    output: OutputOption = Output.TABLE,
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Check the file only; ask the cloud nothing.")] = False,
) -> None:
    """Check the values file; then, with its credentials, permissions, gateways, EIPs and routes.

    Changes nothing in the cloud. Ends with 0 when nothing is wrong (warnings are no fault), 1 when something is, 2 when
    the file itself can't be used.
    """
    from poddnat.cli.config_check import Check, ConfigCheck, Result
    from poddnat.cloud import CloudClient

    read = read_values(values)
    quieten()
    if output is Output.TABLE:
        show(views.pool(read))
    checks = [Check("file", str(values), Result.WARNING, text) for text in read.warnings]
    checks = checks or [Check("file", str(values), Result.OK, "every key is as it should be")]
    if not offline:
        with progress_console().status("Asking the cloud …"):
            checks += ConfigCheck(read, CloudClient(read)).run()
    if output is Output.TABLE:
        show(views.checks(checks))
    else:
        write([check.as_dict() for check in checks], output)
    if any(check.result is Result.WRONG for check in checks):
        raise typer.Exit(code=1)


def _connect(path: Path, kubeconfig: Path | None, context: str | None) -> "Site":
    read = read_values(path)
    quieten()
    from poddnat.cli.site import Site
    from poddnat.cloud import CloudClient
    from poddnat.kube import KubeClient, connect_as_user

    with _connecting():
        return Site(read, CloudClient(read), KubeClient(connect_as_user(kubeconfig, context)))


@contextmanager
def _connecting() -> Iterator[None]:
    from poddnat.kube import KubeError

    try:
        yield
    except KubeError as error:
        raise failure(str(error)) from error


def _audit(site: "Site", show_progress: "ShowProgress") -> "list[Finding]":
    from poddnat.cli.audit import Kind, compare, lasting

    findings = compare(site.snapshot(show_progress), site.values)
    if all(finding.kind is Kind.FOREIGN for finding in findings):
        return findings
    show_progress("waiting for work in progress")
    time.sleep(AUDIT_PAUSE)
    return lasting(findings, compare(site.snapshot(show_progress), site.values))


def _fix(site: "Site", faults: "list[Finding]", *, quiet: bool, yes: bool) -> bool:
    from poddnat.cli.audit import steps_for

    steps = steps_for(faults)
    by_hand = [finding for finding in faults if finding.by_hand]
    if not steps:
        return not by_hand
    if not quiet or not yes:
        for step in steps:
            progress_console().print(f"would {step.text}" if not yes else step.text, soft_wrap=True)
    if not yes and not _agreed(f"Do these {len(steps)}?"):
        return False
    results = _repair(site, steps)
    if not quiet:
        console().print(f"{sum(results)} of {len(steps)} done.")
    return all(results) and not by_hand


def _repair(site: "Site", steps: "list[Step]") -> list[bool]:
    """Do the steps of a repair, show on a terminal how far that is, and tell of each whether it succeeded."""
    from poddnat.cli.audit import repair

    results: list[bool] = []
    columns, err = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()), progress_console()
    with failures_told(), Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        task = progress.add_task("Mending", total=len(steps))

        def on_done(step: "Step", succeeded: bool) -> None:  # noqa: FBT001
            results.append(succeeded)
            progress.advance(task)
            if not succeeded:
                err.print(f"failed: {step.text}", soft_wrap=True)

        repair(site, steps, on_done)
    return results


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        typer.echo("nothing was changed: there is no terminal to ask at; use --yes", err=True)
        return False
    return typer.confirm(question, err=True)
