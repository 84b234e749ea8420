"""What all commands share: their common options, and how they read the values file, print, and fail."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from poddnat.config import Values, ValuesError, load

_WIDE = 140
_ANY_WIDTH = 10_000

ValuesOption = Annotated[
    Path, typer.Option("--values", help="The values file.", envvar="PODDNAT_VALUES", show_default=False)
]

KubeconfigOption = Annotated[
    Path | None, typer.Option(help="A kubeconfig file; as for kubectl when left out.", show_default=False)
]
ContextOption = Annotated[str | None, typer.Option(help="The kubeconfig's context to use.", show_default=False)]


class Output(StrEnum):
    """How a result is written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[Output, typer.Option("-o", "--output", help="A table for people; json or yaml for programs.")]


def read_values(path: Path) -> Values:
    """Read the values file, or end with all that is wrong with it."""
    try:
        return load(path)
    except ValuesError as error:
        raise failure(str(error)) from error


def console() -> Console:
    """Give where results are printed."""
    # Piped into a file or a pager there is no width to respect, and folded tables are hard to read.
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def show(content: Table | Text) -> None:
    """Print a result for people, whole: where there is less room than ids and addresses take, lines are wrapped."""
    screen = console()
    wide = screen.options.update(max_width=_ANY_WIDTH)
    for column in content.columns if isinstance(content, Table) else ():
        if column.no_wrap:
            cells = (column.header, *column.cells)
            column.min_width = max(Measurement.get(screen, wide, cell).maximum for cell in cells)
    needed = Measurement.get(screen, wide, content).minimum
    if needed > screen.width:
        screen = Console(highlight=False, width=needed)
    screen.print(content)


def progress_console() -> Console:
    """Give where people are told that it takes a while: not in the output, and only on a terminal."""
    return Console(stderr=True, highlight=False)


def failure(text: str) -> typer.Exit:
    """Say why a command can't do what it should; its exit status is 2."""
    typer.echo(text, err=True)
    return typer.Exit(code=2)


def write(content: Any, output: Output) -> None:
    """Print a result for programs."""
    if output is Output.JSON:
        typer.echo(json.dumps(content, indent=2))
    else:
        typer.echo(yaml.safe_dump(content, sort_keys=False), nl=False)
