"""The command ``simulate``: what would come of manifests, for people or for programs."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poddnat.cli import views
from poddnat.cli.terminal import (
    Output,
    OutputOption,
    ValuesOption,
    failure,
    progress_console,
    read_values,
    show,
    write,
)
from poddnat.config import ValuesError

if TYPE_CHECKING:
    from poddnat.cli.manifests import Manifests
    from poddnat.cli.simulate import Exposed, Simulation


def simulate(
    manifests: Annotated[
        list[Path], typer.Option("-f", "--filename", help="Manifests: a file, a folder, or - for the standard input.")
    ],
    values: ValuesOption,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what would come of manifests, without a cluster or a cloud.

    Ends with 0 when every pod that asks gets its ports, 1 when one is refused, something is passed over or left behind,
    2 when the manifests or the values file can't be used.
    """
    from poddnat.cli.manifests import ManifestsError, read_manifests, unserved
    from poddnat.cli.simulate import Simulation

    read = read_values(values)
    try:
        found, simulation = read_manifests(manifests), Simulation(read)
    except (ManifestsError, ValuesError) as error:
        raise failure(str(error)) from error
    if not found.workloads and output is Output.TABLE:
        for text in found.passed_over:
            show(views.note(text))
        raise typer.Exit(code=1)
    found.passed_over += unserved(found, read.installation)
    notes = [*(f"{values}: {text}." for text in read.warnings), *found.notes]
    logging.basicConfig(level=logging.CRITICAL)
    with simulation:
        try:
            with progress_console().status("Running the hooks …"):
                pods = simulation.run(found)
        except ManifestsError as error:
            raise failure(str(error)) from error
        if output is Output.TABLE:
            clean = _show(simulation, found, notes, pods)
        else:
            clean = _write(simulation, found, notes, pods, output)
    if found.passed_over or not (clean and pods and all(pod.ready for pod in pods)):
        raise typer.Exit(code=1)


def _show(simulation: "Simulation", found: "Manifests", notes: list[str], pods: "list[Exposed]") -> bool:
    for text in (*found.passed_over, *notes):
        show(views.note(text))
    if pods or not found.notes:
        show(views.pods(pods))
    events = simulation.events()
    if events:
        show(views.events(events))
    show(views.forward_table(simulation.entries()))
    with progress_console().status("Replacing a pod …"):
        replaced = simulation.replace_one()
    if replaced is not None:
        show(views.replaced(*replaced))
    with progress_console().status("Deleting the workloads …"):
        clean = simulation.clear()
    show(views.what_is_left(len(simulation.entries()), clean=clean))
    return clean


def _write(
    simulation: "Simulation", found: "Manifests", notes: list[str], pods: "list[Exposed]", output: Output
) -> bool:
    result: dict[str, Any] = {
        "pods": [pod.as_dict() for pod in pods],
        "events": [event._asdict() for event in simulation.events()],
        "passedOver": found.passed_over,
        "notes": notes,
        "entries": [views.entry_as_dict(entry) for entry in simulation.entries()],
    }
    replaced = simulation.replace_one()
    result["replaced"] = {"before": replaced[0].as_dict(), "after": replaced[1].as_dict()} if replaced else None
    result["clean"] = clean = simulation.clear()
    write(result, output)
    return clean
