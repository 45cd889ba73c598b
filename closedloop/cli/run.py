"""``closedloop run``: a pipeline on a recording, or live."""

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from closedloop.cli.terminal import ERROR_STATUS, INTERRUPTED_STATUS, err, fail, out, show_progress, warn
from closedloop.files import DISCLAIMER, INTERRUPTED, STOPPED

if TYPE_CHECKING:
    from closedloop.config.device import Stimulator
    from closedloop.config.pipeline import Pipeline
    from closedloop.session.folder import SessionFolder
    from closedloop.session.interruption import Interruption
    from closedloop.session.outcome import Outcome
    from closedloop.session.status import Operator


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
    duration_s: Annotated[
        float | None,
        typer.Option(
            "--duration",
            metavar="SECONDS",
            min=1.0,
            help="How long the loop runs after calibration.",
            show_default="the recording, or until the protocol is complete or s is pressed",
        ),
    ] = None,
    trigger: Annotated[
        str | None,
        typer.Option(help="Write triggers here instead of to the device's own line: a serial port, a pipe of `play`."),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(help="Code of whoever is stimulated, for the dose record; needed where a real device is armed."),
    ] = None,
    surrogates: Annotated[
        int, typer.Option(min=0, max=1000, help="Runs without a rhythm that stand beside the result.")
    ] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json instead of tables.")] = False,
) -> None:
    """Run a pipeline, on a recording or live: calibrate on the beginning, run the loop over the rest, report."""
    from closedloop.session.interruption import Interruption

    interruption = Interruption()
    folder = None
    try:
        with interruption.handled():
            settings, device = _load(pipeline, recording, trigger)
            folder = _make_folder(pipeline, out_folder)
            outcome, summary = _run(settings, device, folder, surrogates, interruption, duration_s, subject)
    except KeyboardInterrupt:
        if folder is None:
            fail("interrupted before a session began; nothing was written", INTERRUPTED_STATUS)
        fail(f"interrupted before the loop began; {folder.path} says so", INTERRUPTED_STATUS)
    if as_json:
        sys.stdout.write(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    else:
        _show(outcome, summary, folder.path)
    if summary["status"] == INTERRUPTED and outcome.events is None and summary["trouble"] is None:
        fail(f"interrupted before the loop began; {folder.path} says so", INTERRUPTED_STATUS)
    if summary["trouble"] is not None:
        fail(f"{summary['trouble']}; {folder.path} is marked as interrupted", ERROR_STATUS)
    if summary["status"] == INTERRUPTED:
        fail(f"interrupted: the gate was disarmed; {folder.path} is marked as interrupted", INTERRUPTED_STATUS)


def _load(pipeline: str, recording: str | None, trigger: str | None) -> "tuple[Pipeline, Stimulator]":
    from closedloop.calibration.whole_plan import check_whole_plan
    from closedloop.config.load import Loaded, load_device_of, load_pipeline, with_recording, with_trigger
    from closedloop.config.readiness import check_readiness

    loaded = load_pipeline(pipeline)
    if recording is not None:
        loaded = with_recording(loaded, recording)
    profile = load_device_of(loaded)
    if trigger is not None:
        profile = Loaded(with_trigger(profile.value, trigger), profile.document)
    for unmeasured in check_readiness(loaded, profile):
        warn(f"{unmeasured}; it counts as 0 here")
    if (said := check_whole_plan(loaded, profile)) is not None:
        err.print(said, soft_wrap=True, highlight=False)
    return loaded.value, profile.value


def _make_folder(pipeline: str, path: Path | None) -> "SessionFolder":
    from closedloop.session.folder import SessionFolder, default_path

    return SessionFolder(default_path(Path(pipeline).stem) if path is None else path)


def _run(
    pipeline: "Pipeline",
    device: "Stimulator",
    folder: "SessionFolder",
    n_surrogates: int,
    interruption: "Interruption",
    duration_s: float | None,
    subject: str | None,
) -> "tuple[Outcome, dict[str, Any]]":
    try:
        with ExitStack() as stack:
            progress = stack.enter_context(
                show_progress("loading the core (the first time it is compiled: up to a minute)")
            )
            from closedloop.session.run import close_session, run_session

            outcome = run_session(
                pipeline,
                device,
                folder,
                n_surrogates=n_surrogates,
                interruption=interruption,
                progress=progress,
                operator=_operator(pipeline, stack),
                duration_s=duration_s,
                subject=subject,
            )
            with interruption.deferred():
                progress("writing summary and report", 1.0)
                return outcome, close_session(outcome, folder)
    except KeyboardInterrupt:
        folder.close(INTERRUPTED)
        raise


def _operator(pipeline: "Pipeline", stack: ExitStack) -> "Operator | None":
    """Return the screen of a live session, which playback does without."""
    if pipeline.source.type != "lsl":
        return None
    from closedloop.cli.screen import Screen

    return stack.enter_context(Screen())


def _latency_rows(latency: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return what a live session's latencies were, as rows of a table."""
    rows = (
        ("samples arrive", "sample_age_ms", "ms after their time", 1.0),
        ("decided within", "decision_ms", "µs", 1e3),
        ("triggers late by", "write_late_ms", "µs", 1e3),
        ("line fired", "fired_after_ms", "ms after the trigger", 1.0),
    )
    found = [(label, (latency or {}).get(key), unit, factor) for label, key, unit, factor in rows]
    return [
        (label, f"{factor * row['p50']:.3g} {unit} (p99 {factor * row['p99']:.3g}, most {factor * row['max']:.3g})")
        for label, row, unit, factor in found
        if row is not None
    ]


def _show(outcome: "Outcome", summary: dict[str, Any], folder: Path) -> None:
    """Print what a session came to."""
    from closedloop.session.summary import degrees_text

    rate, speed = summary["pulses_per_minute"], summary["replay_speed_x"]
    table = Table(title=f"{summary['name']} — {summary['recording']}", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    if summary["calibration"] is not None:
        table.add_row("rest", summary["calibration"]["verdict"])
        table.add_row("", summary["calibration"]["promise"])
    if summary["status"] == STOPPED:
        table.add_row("stopped", f"by hand, after {summary['played_s']:.0f} s")
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
    if summary["disturbed"]:
        table.add_row("", f"{summary['disturbed']} pulses show in the EEG: their own phase is not known")
        table.add_row("phase, withheld", degrees_text(summary["phase_error_withheld"]))
    if summary["confirmed"] is not None:
        table.add_row("confirmed", ", ".join(f"{n} {answer}" for answer, n in summary["confirmed"].items()))
    for label, text in _latency_rows(summary["latency"]):
        table.add_row(label, text)
    if speed is not None:
        table.add_row("speed", f"{speed:.0f} times real time")
    table.add_row("session", str(folder))
    out.print(table)
    if outcome.events is not None:
        out.print(f"Look at {folder / 'report.png'}; run it again with: closedloop replay {folder}", soft_wrap=True)
    out.print(DISCLAIMER, style="italic")
