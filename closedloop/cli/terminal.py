"""What is said on the terminal: results on standard output, errors and progress on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

INTERRUPTED_STATUS = 130
DIFFERS_STATUS = 1
ERROR_STATUS = 2

# Names come from files: a bracket or a colon in one is no markup.
out = Console(markup=False, emoji=False)
err = Console(stderr=True, markup=False, emoji=False)


def report(message: str) -> None:
    """Print an error's one line."""
    with suppress(OSError):  # a terminal that has gone takes nothing any more; the status still says it
        err.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True, highlight=False)


def warn(message: str) -> None:
    """Print a warning's one line."""
    with suppress(OSError):
        err.print(Text.assemble(("warning: ", "bold yellow"), message), soft_wrap=True, highlight=False)


def fail(message: str, status: int) -> NoReturn:
    """Print an error's one line and exit with a status."""
    report(message)
    raise typer.Exit(status)


@contextmanager
def show_progress(first: str) -> Iterator[Callable[[str, float], None]]:
    """Show a bar; what is given out is told what is going on, and which share of that is done; nothing hides it."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # Where nobody watches, a bar would leave an empty line in front of an error's one line.
    bar = Progress(*columns, console=err, transient=True, disable=not err.is_interactive)
    task = bar.add_task(first, total=None)
    bar.start()
    try:
        yield lambda doing, share: bar.update(task, description=doing, total=1.0, completed=share, visible=bool(doing))
    finally:
        with suppress(OSError):  # of a terminal that has gone
            bar.stop()
