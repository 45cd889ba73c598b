"""``closedloop latency``: how late a rig is."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from closedloop.cli.terminal import ERROR_STATUS, INTERRUPTED_STATUS, fail, out, show_progress
from closedloop.errors import ConfigError
from closedloop.files import COMPLETE, DISCLAIMER, INTERRUPTED

if TYPE_CHECKING:
    from closedloop.config.load import Loaded
    from closedloop.config.pipeline import Pipeline
    from closedloop.session.onsets import Sight
    from closedloop.session.rig import RigLatency

BARS = 40


def latency(
    pipeline: Annotated[str, typer.Argument(help="A live pipeline's YAML file, or the name of one that is shipped.")],
    channel: Annotated[
        str | None, typer.Option(help="Look for triggers in this trigger channel of the stream.")
    ] = None,
    electrode: Annotated[
        str | None,
        typer.Option(help="Look at this electrode input, fed the trigger through a divider: it shows it all."),
    ] = None,
    markers: Annotated[str | None, typer.Option(help="Look in this marker stream, by its name.")] = None,
    threshold: Annotated[float, typer.Option(help="A trigger channel is high above this.")] = 0.5,
    pulses: Annotated[int, typer.Option(min=2, max=10000, help="Test triggers.")] = 100,
    interval_s: Annotated[float, typer.Option("--interval", min=0.05, max=10.0, help="Between them, in s.")] = 0.25,
    trigger: Annotated[
        str | None, typer.Option(help="Write triggers here instead of to the device's own line.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the result into the amplifier's file in devices/.")
    ] = False,
    disarmed: Annotated[
        bool, typer.Option("--disarmed", help="A real stimulator is disarmed and its coil on nobody's head.")
    ] = False,
    out_folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write; it must not exist.", show_default="sessions/latency-NAME-TIME"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json instead of tables.")] = False,
) -> None:
    """Measure a rig: test triggers through gate and record, the stimulator disarmed, found again in the stream."""
    from closedloop.session.interruption import Interruption

    interruption = Interruption()
    try:
        with interruption.handled():
            loaded, found, folder = _measure(
                pipeline,
                (channel, electrode, markers),
                threshold,
                trigger,
                write,
                disarmed,
                pulses,
                interval_s,
                out_folder,
                interruption,
            )
    except KeyboardInterrupt:
        fail("interrupted before a trigger was fired", INTERRUPTED_STATUS)
    if as_json:
        sys.stdout.write(json.dumps(found.as_json(), indent=2, ensure_ascii=False) + "\n")
    else:
        _show(found, folder)
    if interruption.requested:
        fail(
            f"interrupted after {found.lag_s.size} of {pulses} triggers; nothing was written into devices/",
            INTERRUPTED_STATUS,
        )
    if found.lag_s.size != pulses:
        refused = ", ".join(f"{count} times {reason.label}" for reason, count in found.refused.items())
        fail(
            f"{found.lag_s.size} of {pulses} triggers were fired (refused: {refused or 'none'}); nothing was written "
            "into devices/",
            ERROR_STATUS,
        )
    if found.seen.size < found.lag_s.size:
        fail(
            f"{found.seen.size} of {found.lag_s.size} triggers were seen in {found.sight.name} (limit: all); "
            "nothing was written into devices/",
            ERROR_STATUS,
        )
    if write:
        _write(loaded, found)


def _measure(
    pipeline: str,
    names: tuple[str | None, str | None, str | None],
    threshold: float,
    trigger: str | None,
    write: bool,
    disarmed: bool,
    pulses: int,
    interval_s: float,
    out_folder: Path | None,
    interruption: Any,
) -> "tuple[Loaded[Pipeline], RigLatency, Path]":
    from closedloop.config.load import load_device_of, load_pipeline, with_trigger

    loaded = load_pipeline(pipeline)
    device = load_device_of(loaded).value
    if trigger is not None:
        device = with_trigger(device, trigger)
    sight = _sight(loaded, names, threshold)
    if write:
        _check_writable(loaded, sight)
    if device.is_real and not disarmed:
        raise ConfigError(
            f"{device.name} is a real stimulator, and triggers will reach it: disarm it, take the coil off, and say so "
            "with --disarmed"
        )
    with show_progress("loading the core (the first time it is compiled: up to a minute)") as progress:
        from closedloop.session.folder import SessionFolder, default_path
        from closedloop.session.rig import measure_rig

        folder = SessionFolder(default_path(f"latency-{Path(pipeline).stem}") if out_folder is None else out_folder)
        try:
            found = measure_rig(
                loaded.value,
                device,
                folder,
                sight,
                n_pulses=pulses,
                interval_s=interval_s,
                interruption=interruption,
                progress=progress,
            )
        except KeyboardInterrupt:
            if not folder.remove_if_unused():
                folder.note(status=INTERRUPTED)
            raise
        except Exception as error:
            if not folder.remove_if_unused():
                folder.fail(error)
            raise
        with interruption.deferred():
            folder.write_json("summary.json", found.as_json())
            folder.close(INTERRUPTED if interruption.requested else COMPLETE)
    return loaded, found, folder.path


def _sight(loaded: "Loaded[Pipeline]", names: tuple[str | None, str | None, str | None], threshold: float) -> "Sight":
    from closedloop.config.source import Lsl
    from closedloop.session.onsets import Sight, Where

    chosen = [
        Sight(where, name, threshold)
        for where, name in zip((Where.CHANNEL, Where.ELECTRODE, Where.MARKERS), names, strict=True)
        if name is not None
    ]
    if len(chosen) > 1:
        raise ConfigError("give one of --channel, --electrode and --markers")
    if chosen:
        return chosen[0]
    source = loaded.value.source
    if isinstance(source, Lsl) and source.trigger_channel is not None:
        return Sight(Where.CHANNEL, source.trigger_channel.name, source.trigger_channel.threshold)
    raise ConfigError("say where triggers are seen: --electrode NAME, --channel NAME or --markers NAME")


def _show(found: "RigLatency", folder: Path) -> None:
    table = Table(title=f"Triggers seen in {found.sight.name} ({found.sight.where})", title_justify="left")
    for column in ("", "n", "p50 ms", "p99 ms", "p99.9 ms", "max ms"):
        table.add_column(column, justify="left" if not column else "right")
    content = found.as_json()
    for key, label in (
        ("lag_ms", "trigger written to stamp that shows it"),
        ("write_late_ms", "trigger written after it was due"),
        ("write_took_ms", "the write itself"),
        ("sample_age_ms", "sample's stamp to its arrival"),
        ("decision_ms", "arrival to decision"),
    ):
        row = content[key]
        if row is not None:
            values = [f"{row[name]:.3f}" for name in ("p50", "p99", "p99_9", "max")]
            table.add_row(label, str(row["n"]), *values)
    out.print(table)
    if found.seen.size:
        _show_distribution(found)
        less = f" (less half a period of {found.period_s * 1e3:g} ms)" if found.period_s else ""
        out.print(
            f"mean {content['lag_mean_ms']:.3f} ms, SD {content['lag_sd_ms']:.3f} ms; "
            f"delay {content['delay_ms']:.3f} ms{less}"
        )
    out.print(found.granted, soft_wrap=True)
    out.print(f"Every trigger: {folder / 'summary.json'}", soft_wrap=True)
    out.print(DISCLAIMER, style="italic")


def _show_distribution(found: "RigLatency") -> None:
    import numpy as np

    counts, edges = np.histogram(found.seen * 1e3, bins=min(12, max(3, found.seen.size // 5)))
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        out.print(f"{low:8.3f} to {high:8.3f} ms  {'█' * round(BARS * count / counts.max())} {count}", highlight=False)


def _write(loaded: "Loaded[Pipeline]", found: "RigLatency") -> None:
    from datetime import UTC, datetime

    from closedloop.config.load import amplifier_path
    from closedloop.session.onsets import Where
    from closedloop.session.rewrite import rewrite

    path = amplifier_path(loaded)
    seen = f"{found.seen.size} test triggers in the {found.sight.where} {found.sight.name}"
    origin = f"measured {datetime.now(UTC):%Y-%m-%d}, {seen}"
    if found.sight.where == Where.ELECTRODE:
        delay_s = round(found.delay_s, 5)
        rewrite(path, {"delay": {"delay_s": delay_s, "origin": f"{origin}, the trigger line's own latency included"}})
        out.print(f"{path}: delay.delay_s = {delay_s:g}", soft_wrap=True)
    else:
        latency_s = round(float(found.seen.mean()), 5)
        trigger = {
            "channel": found.sight.name,
            "latency_s": latency_s,
            "threshold": found.sight.threshold,
            "origin": origin,
        }
        rewrite(path, {"trigger": trigger})
        out.print(f"{path}: trigger.latency_s = {latency_s:g}", soft_wrap=True)


def _check_writable(loaded: "Loaded[Pipeline]", sight: "Sight") -> None:
    """Refuse before anything is fired what could not be written afterwards."""
    from closedloop.config.load import amplifier_path
    from closedloop.session.onsets import Where

    amplifier_path(loaded)
    if sight.where == Where.MARKERS:
        raise ConfigError(
            "--write: a marker stream says nothing of the amplifier; look at an electrode or a trigger channel"
        )
