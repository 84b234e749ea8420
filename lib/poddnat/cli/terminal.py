"""What all commands share: their common options, and how they read the values file, print, and fail."""

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from poddnat.config import Values, ValuesError, load, load_text

_WIDE = 140
_ANY_WIDTH = 10_000
_INDENT = "  "

VALUES: dict[str, Any] = {"envvar": "PODDNAT_VALUES", "show_default": False}
ValuesOption = Annotated[Path, typer.Option("--values", help="The values file, or - for the standard input.", **VALUES)]

KubeconfigOption = Annotated[
    Path | None, typer.Option(help="A kubeconfig file; as for kubectl when left out.", show_default=False)
]
ContextOption = Annotated[str | None, typer.Option(help="The kubeconfig's context to use.", show_default=False)]

NamespaceOption = Annotated[
    str | None, typer.Option("-n", "--namespace", help="The namespace, where none is named.", show_default=False)
]


class Output(StrEnum):
    """How a result is written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


_output: ContextVar[Output] = ContextVar("how the command that runs is to write", default=Output.TABLE)


OutputOption = Annotated[Output, typer.Option("-o", "--output", help="A table for people; json or yaml for programs.")]

_ASKED_FOR = re.compile(r"(?m)^(?:-o\n?|--output[\n=])(table|json|yaml)$")


class Commands(TyperGroup):
    """All commands. Who asked for JSON is told in JSON, too, what is wrong with how a command is called."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Find out how to write before anything else: a wrong option would keep the right ones from being read."""
        asked = _ASKED_FOR.findall("\n".join(args))
        _output.set(Output(asked[-1]) if asked else Output.TABLE)
        with _misuse_told():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was called."""
        with _misuse_told():
            return super().invoke(ctx)


@contextmanager
def _misuse_told() -> Iterator[None]:
    try:
        yield
    except typer.TyperException as error:
        if _output.get() is Output.TABLE:
            raise  # Typer shows how the command is used.
        raise failure(error.format_message()) from error


def read_values(path: Path) -> Values:
    """Read the values file, from the standard input where it is called -; or end with all that is wrong with it."""
    try:
        return load_text(read_stdin(), "the standard input") if str(path) == "-" else load(path)
    except ValuesError as error:
        raise failure(str(error)) from error


def read_stdin() -> str:
    """Read the standard input, or end with why that is no text."""
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise failure(f"the standard input is not UTF-8 text: {error.reason} at byte {error.start}") from error


def console(*, at_most: int = _ANY_WIDTH) -> Console:
    """Give where results are printed."""
    # Piped into a file or a pager there is no width to respect, and folded tables are hard to read.
    found = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    return found if found.width <= at_most else Console(highlight=False, width=at_most)


def show(content: Table | Text, *, at_most: int = _ANY_WIDTH) -> None:
    """Print a result for people; a table that is wider than the terminal, or than ``at_most``, row by row."""
    screen = console(at_most=at_most)
    if isinstance(content, Table) and _width_of(content, screen) > screen.width:
        content = _row_by_row(content, screen)
    if screen.is_terminal:
        screen.print(content)
        return
    with screen.capture() as captured:
        screen.print(content)
    # Cells are filled up with blanks, which disturb whoever reads on.
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _width_of(table: Table, screen: Console) -> int:
    """Tell how wide a table has to be, so that no id and no address is broken up."""
    wide = screen.options.update(max_width=_ANY_WIDTH)
    for column in table.columns:
        if column.no_wrap:
            cells = (column.header, *column.cells)
            column.min_width = max(Measurement.get(screen, wide, cell).maximum for cell in cells)
    return Measurement.get(screen, wide, table).minimum


def _row_by_row(table: Table, screen: Console) -> Text:
    """Write a table's rows below each other, each cell with its column's name."""
    title = [Text(str(table.title), "bold")] if table.title else []
    columns = [list(column.cells) for column in table.columns]
    headers = [str(column.header) for column in table.columns]
    rows = (zip(headers, cells, strict=True) for cells in zip(*columns, strict=True))
    blocks = (Text("\n").join(_lines(row, screen.width)) for row in rows)
    return Text("\n\n").join([*title, *blocks])


def _lines(row: Iterable[tuple[str, Any]], width: int) -> Iterator[Text]:
    line = Text()
    for header, cell in row:
        value = cell if isinstance(cell, Text) else Text(str(cell))
        if not value.plain:
            continue
        field = Text.assemble((f"{header} ", "bold"), ", ".join(value.plain.split("\n")))
        field.stylize(value.style, len(header) + 1)
        if line.plain and len(line) + 2 + len(field) <= width:
            line = Text("  ").join([line, field])
            continue
        if line.plain:
            yield line
        line = Text(_INDENT) + field if line.plain else field
        first, *more = textwrap.wrap(line.plain, width, subsequent_indent=2 * _INDENT, break_long_words=False)
        if more:
            yield Text(first)
            yield from map(Text, more[:-1])
            line = Text(more[-1])
    if line.plain:
        yield line


def progress_console() -> Console:
    """Give where people are told that it takes a while: not in the output, and only on a terminal."""
    return Console(stderr=True, highlight=False)


def failure(text: str) -> typer.Exit:
    """Say why a command can't do what it should; its exit status is 2. Who asked for JSON gets JSON."""
    if _output.get() is Output.TABLE:
        typer.echo(text, err=True)
    else:
        write({"error": text}, _output.get())
    return typer.Exit(code=2)


def write(content: Any, output: Output) -> None:
    """Print a result for programs."""
    if output is Output.JSON:
        typer.echo(json.dumps(content, indent=2))
    else:
        typer.echo(yaml.safe_dump(content, sort_keys=False), nl=False)
