"""How commands read and write what may take a while: progress on a terminal, and a sentence where it fails."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from rich.progress import BarColumn, Progress, TextColumn

from poddnat.cli.terminal import failure, progress_console

if TYPE_CHECKING:
    from poddnat.cli.site import ShowProgress

_Answer = TypeVar("_Answer")


def with_progress(read: "Callable[[ShowProgress], _Answer]") -> _Answer:
    """Read something, show on a terminal how far that is, and end with a sentence when it fails."""
    columns, err = (TextColumn("{task.description}"), BarColumn()), progress_console()
    with failures_told(), Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:

        def show_progress(what: str, done: int = 0, of: int | None = None, /) -> None:
            for task in progress.task_ids:
                progress.remove_task(task)
            progress.add_task(f"{what[0].upper()}{what[1:]}", completed=done, total=of)

        return read(show_progress)


@contextmanager
def failures_told() -> Iterator[None]:
    """End with a sentence when the cloud or the API server does not answer, or refuses."""
    from poddnat.cloud import CloudError
    from poddnat.kube import KubeError

    try:
        yield
    except CloudError as error:
        raise failure(f"the cloud did not tell: {error}") from error
    except KubeError as error:
        raise failure(f"the API server did not tell: {error}") from error


def quieten() -> None:
    """Keep logs away: what goes wrong is told in a sentence, which they would bury."""
    logging.basicConfig(level=logging.CRITICAL)
    logging.captureWarnings(capture=True)
