"""``closedloop play``: a recording as a stand-in amplifier."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from closedloop.cli.terminal import INTERRUPTED_STATUS, err, fail, out
from closedloop.files import DISCLAIMER
from closedloop.sources.units import Format, Unit

if TYPE_CHECKING:
    from closedloop.cli.performance import Options
    from closedloop.session.interruption import Interruption
    from closedloop.sources.player import Performance, Tally

TIMING, FAULTS, TRIGGERS, STREAM = "Timing", "Faults", "Triggers", "Stream"


def play(
    recording: Annotated[str, typer.Argument(help="A file that MNE or pyxdf reads, or a name of `recordings list`.")],
    start: Annotated[float, typer.Option(help="Where in the recording to begin, in s.")] = 0.0,
    stop: Annotated[float | None, typer.Option(help="Where in it to end, in s.", show_default="its end")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin anew at the end; time stamps go on.")] = False,
    duration: Annotated[float | None, typer.Option(help="End so many s after the first sample.")] = None,
    at_once: Annotated[bool, typer.Option("--at-once", help="Begin although nobody listens yet.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print at the end what was sent, as JSON.")] = False,
    name: Annotated[str, typer.Option(rich_help_panel=STREAM, help="The stream's name.")] = "closedloop-play",
    stream_type: Annotated[str, typer.Option("--type", rich_help_panel=STREAM, help="The stream's type.")] = "EEG",
    source_id: Annotated[
        str | None,
        typer.Option(rich_help_panel=STREAM, help="Its source id.", show_default="closedloop-play-RECORDING"),
    ] = None,
    number_format: Annotated[
        Format, typer.Option("--format", rich_help_panel=STREAM, help="Number format of the values.")
    ] = Format.FLOAT32,
    unit: Annotated[Unit, typer.Option(rich_help_panel=STREAM, help="Unit of the potentials.")] = Unit.UV,
    speed: Annotated[
        float, typer.Option(rich_help_panel=TIMING, help="Times real time; the announced rate is so much higher.")
    ] = 1.0,
    realtime: Annotated[
        bool,
        typer.Option("--realtime", rich_help_panel=TIMING, help="Be punctual beside other work: real-time scheduling."),
    ] = False,
    chunk: Annotated[
        int, typer.Option(rich_help_panel=TIMING, help="Samples a push, sent when the last of them is due.")
    ] = 1,
    rate_error: Annotated[
        float, typer.Option(rich_help_panel=TIMING, help="How much the true rate is above the announced one, in ppm.")
    ] = 0.0,
    jitter: Annotated[
        float,
        typer.Option(
            rich_help_panel=TIMING, help="Each push and its time stamps come at random up to so many ms later."
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option(rich_help_panel=TIMING, help="Of the jitter.")] = 0,
    drops: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="START:N", rich_help_panel=FAULTS, help="N samples from START s on never come."),
    ] = None,
    faults: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="KIND@START[:AMOUNT]",
            rich_help_panel=FAULTS,
            help="From START s of the stream on: duplicate (AMOUNT samples come twice), backdate (a stamp is AMOUNT s "
            "early), swap (two samples change places), jump (all stamps shift by AMOUNT s), stall (AMOUNT s come late, "
            "at once), silence (AMOUNT s never come), nan (AMOUNT samples), end (the outlet closes), die (SIGKILL).",
        ),
    ] = None,
    trigger: Annotated[
        Path | None,
        typer.Option(rich_help_panel=TRIGGERS, help="Make a named pipe there: each byte but 0 is a trigger's edge."),
    ] = None,
    artifacts: Annotated[
        bool, typer.Option("--artifacts", rich_help_panel=TRIGGERS, help="Each pulse leaves the device's artifact.")
    ] = False,
    device: Annotated[
        str, typer.Option(rich_help_panel=TRIGGERS, help="The stimulator: a YAML file, or the name of a shipped one.")
    ] = "simulated",
    delay: Annotated[float, typer.Option(rich_help_panel=TRIGGERS, help="From electrode to time stamp, in s.")] = 0.01,
    trigger_channel: Annotated[
        str | None,
        typer.Option(metavar="NAME", rich_help_panel=TRIGGERS, help="Add a channel: 1 for 5 ms from each trigger."),
    ] = None,
    divider: Annotated[
        str | None,
        typer.Option(metavar="CHANNEL=UV", rich_help_panel=TRIGGERS, help="Each trigger is a 5 ms step there."),
    ] = None,
    markers: Annotated[
        bool, typer.Option("--markers", rich_help_panel=TRIGGERS, help="Also send triggers as markers, NAME-markers.")
    ] = False,
) -> None:
    """Stream a recording over LSL in real time, as an amplifier would; with faults and triggers where wanted."""
    from closedloop.session.interruption import Interruption

    interruption = Interruption()
    performance = tally = None
    interrupted = False
    try:
        with interruption.handled():
            from closedloop.cli.performance import Options, make_performance
            from closedloop.sources.player import Tally

            options = Options(
                recording=recording,
                start_s=start,
                stop_s=stop,
                loop=loop,
                duration_s=duration,
                at_once=at_once,
                name=name,
                stream_type=stream_type,
                source_id=source_id,
                number_format=number_format,
                unit=unit,
                speed=speed,
                chunk=chunk,
                rate_error_ppm=rate_error,
                jitter_ms=jitter,
                realtime=realtime,
                seed=seed,
                drops=tuple(drops or ()),
                faults=tuple(faults or ()),
                trigger=trigger,
                artifacts=artifacts,
                device=device,
                delay_s=delay,
                trigger_channel=trigger_channel,
                divider=divider,
                markers=markers,
            )
            performance, tally = make_performance(options), Tally()
            _play(options, performance, tally, interruption)
    except KeyboardInterrupt:
        interrupted = True
    if performance is None or tally is None:
        fail("interrupted before the stream began", INTERRUPTED_STATUS)
    if as_json:
        content = _content(performance, tally, interrupted=interrupted)
        sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    elif not interrupted:
        _show(tally)
    if interrupted:
        fail(f"interrupted: {_sent(tally)}; the stream is closed", INTERRUPTED_STATUS)


def _play(options: "Options", performance: "Performance", tally: "Tally", interruption: "Interruption") -> None:
    import pylsl

    from closedloop.sources import player
    from closedloop.sources.trigger_input import Triggers, trigger_pipe

    def waiting() -> None:
        stream = performance.stream
        err.print(
            f"waiting until somebody listens to {stream.name} (source id {stream.source_id}); --at-once does not",
            soft_wrap=True,
            highlight=False,
        )

    clock = pylsl.local_clock
    pipe = nullcontext(Triggers(None, clock)) if options.trigger is None else trigger_pipe(options.trigger, clock)
    timetable = performance.timetable
    total_s = None if timetable.n_places is None else timetable.n_places / timetable.faults.rate_hz
    if options.realtime:
        player.require_realtime()  # before there is a thread that sends
    with ExitStack() as stack:
        with interruption.deferred():  # what is begun here is also taken away again
            triggers = stack.enter_context(pipe)
            outlets = player.open_outlets(performance)
        progress = stack.enter_context(_progress(performance.stream.name, total_s))
        if interruption.requested:
            raise KeyboardInterrupt
        player.play(performance, outlets, triggers, tally, waiting=waiting, progress=progress)


@contextmanager
def _progress(name: str, total_s: float | None) -> Iterator[Callable[[float], None] | None]:
    """Show how far it is, drawn between two pushes: a thread that draws would hold up the pushes."""
    if not err.is_interactive:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, auto_refresh=False) as bar:
        task = bar.add_task(name, total=total_s)
        yield lambda played_s: bar.update(task, completed=played_s, refresh=True)


def _content(performance: "Performance", tally: "Tally", *, interrupted: bool) -> dict[str, Any]:
    stream = performance.stream
    return {
        "status": "interrupted" if interrupted else "complete",
        "name": stream.name,
        "source_id": stream.source_id,
        "rate_hz": stream.rate_hz,
        **vars(tally),
    }


def _sent(tally: "Tally") -> str:
    return f"{tally.samples} samples were sent in {tally.pushes} pushes, {tally.triggers} triggers seen"


def _show(tally: "Tally") -> None:
    """Print what was sent, and how well on time."""
    out.print(
        f"{_sent(tally)}; behind the timetable by {tally.largest_deviation_ms:.2f} ms at most, "
        f"{tally.last_deviation_ms:.2f} ms at the end",
        soft_wrap=True,
        highlight=False,
    )
    out.print(DISCLAIMER, style="italic")
