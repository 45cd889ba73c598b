"""The command line.

Heavy packages are imported by the command that needs them, so that ``--help`` and ``check`` answer at
once, and an interruption is heard as soon as a command begins.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from closedloop.errors import ClosedloopError
from closedloop.files import DISCLAIMER

if TYPE_CHECKING:
    from closedloop.accuracy.evaluation import Plan
    from closedloop.config.device import Stimulator
    from closedloop.config.pipeline import Pipeline
    from closedloop.session.folder import SessionFolder
    from closedloop.session.interruption import Interruption
    from closedloop.session.outcome import Outcome

INTERRUPTED_STATUS = 130
DIFFERS_STATUS = 1
ERROR_STATUS = 2

app = typer.Typer(
    help=f"Real-time, EEG-guided, closed-loop brain stimulation. {DISCLAIMER}",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
recordings = typer.Typer(
    help="Recordings that are known by name: where they come from, and where they are on this machine.",
    no_args_is_help=True,
)
app.add_typer(recordings, name="recordings")
# Names come from files: a bracket or a colon in one is no markup.
out = Console(markup=False, emoji=False)
err = Console(stderr=True, markup=False, emoji=False)


class Kind(StrEnum):
    """Kinds of YAML files."""

    PIPELINE = "pipeline"
    DEVICE = "device"


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


@app.command(
    epilog="Example: closedloop run pipelines/alpha_trough_dlpfc.yaml --recording Subject25_1.edf --out trough"
)
def run(
    pipeline: Annotated[str, typer.Argument(help="A pipeline's YAML file, or the name of one that is shipped: demo.")],
    recording: Annotated[
        str | None,
        typer.Option(help="Play this one, all of it: a file that MNE or pyxdf reads, or a name of `recordings list`."),
    ] = None,
    out_folder: Annotated[
        Path | None,
        typer.Option("--out", help="Session folder to write; it must not exist.", show_default="sessions/NAME-TIME"),
    ] = None,
    surrogates: Annotated[
        int, typer.Option(min=0, max=1000, help="Runs without a rhythm that stand beside the result.")
    ] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json instead of tables.")] = False,
) -> None:
    """Run a pipeline on a recording: calibrate on its beginning, run the loop over the rest, report."""
    from closedloop.session.interruption import Interruption

    interruption = Interruption()
    folder = None
    try:
        with interruption.handled():
            settings, device = _load(pipeline, recording)
            folder = _make_folder(pipeline, out_folder)
            outcome, summary = _run(settings, device, folder, surrogates, interruption)
    except KeyboardInterrupt:
        if folder is None:
            _fail("interrupted before a session began; nothing was written", INTERRUPTED_STATUS)
        _fail(f"interrupted before the loop began; {folder.path} says so", INTERRUPTED_STATUS)
    if as_json:
        sys.stdout.write(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    else:
        _show(outcome, summary, folder.path)
    if summary["status"] != "complete":
        _fail(f"interrupted: the gate was disarmed; {folder.path} is marked as interrupted", INTERRUPTED_STATUS)


def _load(pipeline: str, recording: str | None) -> "tuple[Pipeline, Stimulator]":
    from closedloop.config.load import load_device_of, load_pipeline, with_recording

    loaded = load_pipeline(pipeline)
    if recording is not None:
        loaded = with_recording(loaded, recording)
    return loaded.value, load_device_of(loaded).value


def _make_folder(pipeline: str, path: Path | None) -> "SessionFolder":
    from closedloop.session.folder import SessionFolder, default_path

    return SessionFolder(default_path(Path(pipeline).stem) if path is None else path)


def _run(
    pipeline: "Pipeline", device: "Stimulator", folder: "SessionFolder", n_surrogates: int, interruption: "Interruption"
) -> "tuple[Outcome, dict[str, Any]]":
    try:
        with _progress("loading the core (the first time it is compiled: up to a minute)") as progress:
            from closedloop.session.run import close_session, run_session

            outcome = run_session(
                pipeline, device, folder, n_surrogates=n_surrogates, interruption=interruption, progress=progress
            )
            with interruption.deferred():
                progress("writing summary and report", 1.0)
                return outcome, close_session(outcome, folder)
    except KeyboardInterrupt:
        folder.close("interrupted")
        raise


@contextmanager
def _progress(first: str) -> Iterator[Callable[[str, float], None]]:
    """Show a bar; what is given out is told what is going on, and which share of that is done."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # Where nobody watches, a bar would leave an empty line in front of an error's one line.
    with Progress(*columns, console=err, transient=True, disable=not err.is_interactive) as bar:
        task = bar.add_task(first, total=None)
        yield lambda doing, share: bar.update(task, description=doing, total=1.0, completed=share)


def _show(outcome: "Outcome", summary: dict[str, Any], folder: Path) -> None:
    """Print what a session came to."""
    from closedloop.session.summary import degrees_text

    rate, speed = summary["pulses_per_minute"], summary["replay_speed_x"]
    table = Table(title=f"{summary['name']} — {summary['recording']}", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    if summary["calibration"] is not None:
        table.add_row("rest", summary["calibration"]["verdict"])
    table.add_row("delivered", f"{summary['delivered']}" + (f" ({rate:.1f} a minute)" if rate is not None else ""))
    table.add_row("withheld", f"{summary['withheld']}")
    for place, (reason, count) in enumerate(summary["refused"].items()):
        table.add_row("" if place else "refused", f"{count:5d}  {reason}: {summary['refused_because'][reason]}")
    for name, statistics in summary["per_condition"].items():
        table.add_row(f"phase, {name}", degrees_text(statistics))
    if summary["phase_error"] is not None:
        table.add_row("phase, all", degrees_text(summary["phase_error"]))
    if summary["surrogates"] is not None and summary["surrogates"]["runs"]:
        table.add_row(
            "without a rhythm", f"{degrees_text(summary['surrogates'])} in {summary['surrogates']['runs']} runs"
        )
    if summary["true_phase_error"] is not None:
        table.add_row("true phase", degrees_text(summary["true_phase_error"]))
    if speed is not None:
        table.add_row("speed", f"{speed:.0f} times real time")
    table.add_row("session", str(folder))
    out.print(table)
    if outcome.events is not None:
        out.print(f"Look at {folder / 'report.png'}; run it again with: closedloop replay {folder}", soft_wrap=True)
    out.print(DISCLAIMER, style="italic")


@app.command(epilog="Example: closedloop replay sessions/demo-20260102T030405Z")
def replay(
    session: Annotated[Path, typer.Argument(help="A session folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a session's recorded inputs again; exit 0 only where every decision is the same, bit for bit."""
    from closedloop.session.replay import replay_session

    replayed = replay_session(session)
    if as_json:
        content = {**vars(replayed), "same": replayed.same}
        sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    elif replayed.same:
        out.print(f"same: {replayed.n_events} decisions, fingerprint {replayed.again}", soft_wrap=True)
    if not replayed.same:
        _fail(f"different: {replayed.difference}", DIFFERS_STATUS)


@app.command(
    epilog="Example: closedloop evaluate mine.edf Subject25_1.edf --montage F3=Fp1,F7,C3,Fz --estimators wiener,c-echt"
)
def evaluate(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RECORDING...", help="Files that MNE or pyxdf reads, or names of `recordings list`."),
    ],
    montages: Annotated[
        list[str] | None,
        typer.Option("--montage", help="A channel, O1, or a Laplacian, F3=Fp1,F7,C3,Fz; give it again for another."),
    ] = None,
    estimators: Annotated[
        str | None,
        typer.Option(
            help="Methods, also of other packages, with commas between.",
            show_default="all; sspe and phastimate take most of the time",
        ),
    ] = None,
    rest_s: Annotated[float, typer.Option(min=10.0, help="How much of the beginning methods learn from, in s.")] = 60.0,
    notch_hz: Annotated[
        float, typer.Option(min=0.0, help="The mains' frequency, which is filtered out; 0: none.")
    ] = 50.0,
    lead_ms: Annotated[float, typer.Option(help="How far ahead the table predicts, in ms.")] = 25.0,
    leads: Annotated[str, typer.Option(help="All leads that are judged, in ms.")] = "0,10,25,50,80",
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder to write; it must not exist.", show_default="evaluation-TIME")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print evaluation.json instead of tables.")] = False,
) -> None:
    """Compare methods on your recordings: published, tuned and ours, on real and matched EEG, beside no rhythm."""
    from closedloop.session.interruption import Interruption

    folder, new = None, False
    try:
        with Interruption().handled():
            from closedloop.accuracy.output import default_path

            plan = _plan(names, montages or [], estimators, rest_s, notch_hz, lead_ms, leads)
            folder = default_path() if out_folder is None else out_folder
            new = not folder.exists()
            content = _evaluate(plan, folder)
    except KeyboardInterrupt:
        if folder is None or not (new and folder.exists()):
            _fail("interrupted before anything was measured; nothing was written", INTERRUPTED_STATUS)
        _fail(f"interrupted: {folder} is marked as interrupted and holds what was measured", INTERRUPTED_STATUS)
    if as_json:
        sys.stdout.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    else:
        from closedloop.accuracy.table import show_evaluation

        show_evaluation(content, folder / "evaluation.png", out)
        out.print(DISCLAIMER, style="italic")


def _plan(
    names: list[str],
    montages: list[str],
    estimators: str | None,
    rest_s: float,
    notch_hz: float,
    lead_ms: float,
    leads: str,
) -> "Plan":
    from closedloop.accuracy.evaluation import Plan, montage
    from closedloop.errors import ConfigError

    try:
        leads_ms = {float(lead) for lead in leads.split(",")}
    except ValueError:
        raise ConfigError(f"--leads {leads}: not numbers with commas between, such as 0,10,25,50,80") from None
    return Plan(
        recordings=names,
        montages={text: montage(text) for text in montages},
        estimators=None if estimators is None else tuple(name.strip() for name in estimators.split(",")),
        rest_s=rest_s,
        lead_s=lead_ms / 1000.0,
        leads_s=[lead / 1000.0 for lead in sorted(leads_ms | {lead_ms})],
        notches_hz=(notch_hz,) if notch_hz > 0.0 else (),
    )


def _evaluate(plan: "Plan", folder: Path) -> dict[str, Any]:
    with _progress("loading (the first time it is compiled: up to a minute)") as progress:
        from closedloop.accuracy.output import run_evaluation
        from closedloop.session.facts import machine, now_utc, software

        facts = {"created": now_utc(), "software": software(), "machine": machine()}
        return run_evaluation(plan, folder, facts=facts, progress=progress)


@app.command(epilog="Example: closedloop check pipelines/*.yaml devices/*.yaml")
def check(
    files: Annotated[list[Path], typer.Argument(help="Pipelines and devices, in YAML.")],
) -> None:
    """Check pipelines and devices; every mistake is named with its file, line, column, value and limit."""
    from closedloop.config.load import check_file

    failed = False
    for file in files:
        try:
            what = check_file(file)
        except ClosedloopError as error:
            failed = True
            _report(str(error))
        else:
            out.print(f"{file}: {what}", soft_wrap=True, highlight=False)
    if failed:
        raise typer.Exit(ERROR_STATUS)


@app.command(epilog="Example: closedloop schema pipeline > schema/pipeline.json")
def schema(kind: Annotated[Kind, typer.Argument(help="What to describe.")]) -> None:
    """Print the JSON Schema of a pipeline or a device, for editors."""
    from closedloop.config.schema import schema_text

    sys.stdout.write(schema_text(kind.value))


@recordings.command("list", epilog="Example: closedloop recordings list --json")
def list_recordings(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the recordings that are known by name, with their origin and licence."""
    from closedloop.sources.library import entries, find

    found = [(entry, find(entry)) for entry in entries()]
    if as_json:
        content = [{**vars(entry), "path": None if path is None else str(path)} for entry, path in found]
        sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        return
    table = Table(Column("name", no_wrap=True), "here", "eyes", "origin", "licence", "SHA-256")
    for entry, path in found:
        here, eyes = "no" if path is None else "yes", entry.eyes or "–"
        table.add_row(entry.name, here, eyes, entry.origin, entry.licence, entry.sha256[:12] + "…")
    out.print(table)
    out.print("`closedloop recordings path NAME` fetches what is not here or says how to make it.")


@recordings.command("path", epilog="Example: closedloop recordings path Subject25_1.edf")
def recording_path(name: Annotated[str, typer.Argument(help="A name of `recordings list`.")]) -> None:
    """Print where a recording is on this machine; one that is not here is fetched from its origin."""
    from closedloop.sources.library import locate

    sys.stdout.write(f"{locate(name)}\n")


def _report(message: str) -> None:
    err.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True, highlight=False)


def _fail(message: str, status: int) -> NoReturn:
    _report(message)
    raise typer.Exit(status)


def main() -> None:
    """Run the command line; a user's mistake is one line and status 2, never a traceback."""
    try:
        app()
    except ClosedloopError as error:
        _report(str(error))
        sys.exit(ERROR_STATUS)
