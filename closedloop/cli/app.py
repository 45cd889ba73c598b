"""The commands, each with an example, and the program's entry point."""

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from closedloop.cli.check import check, schema
from closedloop.cli.devices import devices
from closedloop.cli.dose import dose
from closedloop.cli.evaluate import evaluate
from closedloop.cli.latency import latency
from closedloop.cli.play import play
from closedloop.cli.recordings import recordings
from closedloop.cli.replay import replay
from closedloop.cli.run import run
from closedloop.cli.terminal import ERROR_STATUS, out, report
from closedloop.errors import ClosedloopError
from closedloop.files import DISCLAIMER

COMMANDS: tuple[tuple[Callable[..., Any], str], ...] = (
    (run, "run pipelines/alpha_trough_dlpfc.yaml --recording Subject25_1.edf --out trough"),
    (replay, "replay sessions/demo-20260102T030405Z"),
    (evaluate, "evaluate mine.edf Subject25_1.edf --montage F3=Fp1,F7,C3,Fz --estimators wiener,c-echt"),
    (play, "play synthetic-alpha --chunk 8 --loop --trigger /tmp/trigger --artifacts"),
    (latency, "latency mine.yaml --electrode Fp1 --write"),
    (dose, "dose S01 --json"),
    (check, "check pipelines/*.yaml devices/*.yaml"),
    (schema, "schema pipeline > schema/pipeline.json"),
)
"""In the order of ``--help``, with the example that ends each command's own."""

app = typer.Typer(
    help=f"Real-time, EEG-guided, closed-loop brain stimulation. {DISCLAIMER}",
    epilog="Examples: closedloop run demo — closedloop replay sessions/demo-20260102T030405Z — closedloop devices list",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for command, example in COMMANDS:
    app.command(epilog=f"Example: closedloop {example}")(command)
app.add_typer(recordings, name="recordings")
app.add_typer(devices, name="devices")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        out.print(f"closedloop {version('closedloop')} — {DISCLAIMER}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line; a user's mistake is one line and status 2, never a traceback."""
    try:
        app()
    except ClosedloopError as error:
        report(str(error))
        sys.exit(ERROR_STATUS)
