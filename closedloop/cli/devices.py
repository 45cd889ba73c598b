"""``closedloop devices``: what is in ``devices/``, what one says of itself, and a stand-in to try it with."""

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from closedloop.cli.terminal import err, out, warn
from closedloop.errors import ConfigError
from closedloop.files import DISCLAIMER

if TYPE_CHECKING:
    from closedloop.config.device import Stimulator, TriggerBox
    from closedloop.session.single_pulse import SinglePulse

devices = typer.Typer(
    help="Stimulators, trigger boxes and amplifiers: their profiles in devices/, and stand-ins that behave as they do.",
    epilog="Examples: closedloop devices list — closedloop devices test magventure-r30 --port /dev/ttyUSB0",
    no_args_is_help=True,
)
LEAST_PERCENT = 1.0
"""Intensity at which a device is armed to see that it can be."""
Name = Annotated[str, typer.Argument(help="A name of `devices list`, or the path of a profile.")]


@devices.command("list", epilog="Example: closedloop devices list --json")
def list_devices(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the devices that have a profile.

    Latency is from trigger to pulse; an amplifier's, from electrode to time stamp.
    """
    from closedloop.config.device import Amplifier
    from closedloop.config.load import load_device
    from closedloop.config.shipped import shipped_folder
    from closedloop.standins.table import BOXES, STANDINS

    found = [(path.stem, load_device(str(path))) for path in sorted(shipped_folder("devices").glob("*.yaml"))]
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "kind": device.kind,
            "called": device.name,
            "driver": getattr(device, "driver", None),
            "line": line.kind if (line := getattr(device, "line", None)) else None,
            "stand_in": name in STANDINS or name in BOXES,
            "latency_s": device.delay.delay_s if isinstance(device, Amplifier) else device.latency.latency_s,
        }
        for name, device in found
    ]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        return
    for kind, title in (("stimulator", "stimulators"), ("trigger_box", "trigger boxes"), ("amplifier", "amplifiers")):
        _show_kind(title, [row for row in rows if row["kind"] == kind], stands_in=kind != "amplifier")
    out.print("A latency of – is not measured: no live session arms a real stimulator with it.")
    out.print("`closedloop devices show NAME` prints a profile whole; copy its file to say what your own rig measures.")


def _show_kind(title: str, rows: list[dict[str, Any]], *, stands_in: bool) -> None:
    """Print what there is of one kind of device, with whether something may stand in for it."""
    more = ["stand-in"] if stands_in else []
    table = Table(
        Column("name", no_wrap=True), "called", *more, "latency", title=title, title_justify="left", box=SIMPLE
    )
    for row in rows:
        late = "–" if row["latency_s"] is None else f"{1e3 * row['latency_s']:g} ms"
        more = ["yes" if row["stand_in"] else "–"] if stands_in else []
        table.add_row(row["name"], row["called"], *more, late)
    out.print(table)


@devices.command("show", epilog="Example: closedloop devices show magstim-rapid-squared")
def show_device(name: Name) -> None:
    """Print a profile with every default written out: wiring, hard limits, latency and where that comes from."""
    from closedloop.config.load import load_device, resolved_yaml

    sys.stdout.write(resolved_yaml(load_device(name)))


@devices.command("simulate", epilog="Example: closedloop devices simulate magstim-rapid-squared")
def simulate_device(
    name: Annotated[str, typer.Argument(help="The device that is stood in for.")],
    faults: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="NAME[=NUMBER]",
            help="What is wrong from the start, such as garbage, deaf=0.01, vanishes-after=64 or remove-coil; repeat "
            "it for more. A name that is none lists all.",
        ),
    ] = None,
    trigger: Annotated[
        Path | None,
        typer.Option(help="Make a named pipe there as its trigger input; a session's `run --trigger` writes to it."),
    ] = None,
) -> None:
    """Stand in for a stimulator or a trigger box on a serial port of its own, until standard input ends or Ctrl-C.

    A line on standard input is what a hand does at the device: `trigger`, `pull-plug`, or one of those that are listed
    at the start, with a number where one is needed, such as `turn-knob 40`.
    """
    from closedloop.standins.faults import parse_faults
    from closedloop.standins.table import BOXES, STANDINS
    from closedloop.standins.terminal import Terminal
    from closedloop.standins.trigger_input import TriggerInput

    known = {**STANDINS, **BOXES}
    if name not in known:
        raise ConfigError(f"{name}: there is no such stand-in (there: {', '.join(known)})")
    standin = known[name]()
    wrong = parse_faults(faults or [], standin.actions)
    with Terminal(standin, faults=wrong.wire) as terminal, ExitStack() as stack:
        if trigger is not None:
            stack.enter_context(TriggerInput(trigger, terminal))
        for action, values in wrong.actions:
            try:
                terminal.act(action, *values)
            except TypeError:
                need = "no number" if values else "a number"
                raise ConfigError(f"--fault = {action}: it needs {need}") from None
        out.print(f"{name} on {terminal.path} ({_opened_by(name, terminal.path)}) — {DISCLAIMER}", soft_wrap=True)
        out.print(f"hands: trigger, pull-plug, {', '.join(standin.actions)}", soft_wrap=True)
        try:
            for line in sys.stdin:
                _act(terminal, line.split())
        except KeyboardInterrupt:
            pass
        out.print(f"pulses: {len(standin.pulses_s)}")


def _opened_by(name: str, path: str) -> str:
    """Return what a profile has to say to find a stand-in."""
    from closedloop.standins.table import BOXES, SETTINGS

    if name in BOXES:
        return f"line: {{box: {name}, path: {path}}}"
    needed = "".join(f", {key}: {value}" for key, value in SETTINGS.get(name, {}).items())
    return f"settings: {{port: {path}{needed}}}"


def _act(terminal: Any, words: list[str]) -> None:
    """Do what a line says; one that says nothing known is answered and does nothing."""
    if not words:
        return
    if words == ["trigger"]:
        out.print("fired" if terminal.trigger() else "did not fire")
        return
    if words == ["pull-plug"]:
        terminal.vanish()
        return
    try:
        terminal.act(words[0], *(float(word) for word in words[1:]))
    except (KeyError, TypeError, ValueError):
        out.print(f"{' '.join(words)}: no such hand, or not this number of numbers")


@devices.command(
    "test",
    epilog="Examples: closedloop devices test magstim-200-squared --port /dev/ttyUSB0 — "
    "closedloop devices test magventure-r30 --fire --subject phantom --percent 20",
)
def check_device(
    name: Name,
    port: Annotated[str | None, typer.Option(help="Its serial port, where the profile's is another.")] = None,
    fire: Annotated[bool, typer.Option("--fire", help="Fire one pulse, after you have confirmed it.")] = False,
    subject: Annotated[
        str | None, typer.Option(help="Whose dose record the pulse counts in, or what stands in for a head.")
    ] = None,
    trigger: Annotated[
        str | None, typer.Option(help="Fire by this line instead of the profile's: a serial port, a pipe.")
    ] = None,
    percent: Annotated[
        float, typer.Option(min=LEAST_PERCENT, max=100.0, help="Intensity, in percent of the maximum output.")
    ] = LEAST_PERCENT,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Identify a stimulator, read its status, arm and disarm it; open a trigger box and hear whether it answers.

    Without --fire no pulse is fired. Keep the coil off heads all the same, and disarm what listens to a trigger box:
    the control lines of a serial port go up whenever it is opened.
    """
    from closedloop.config.device import Stimulator, TriggerBox
    from closedloop.config.load import load_device, with_trigger

    profile = load_device(name)
    if isinstance(profile, TriggerBox):
        _check_box(profile, port, as_json=as_json)
        return
    if not isinstance(profile, Stimulator):
        raise ConfigError(f"{name}: kind = {profile.kind}: only a stimulator or a trigger box can be tested")
    if trigger is not None:
        profile = with_trigger(profile, trigger)
    if port is not None:
        profile = profile.model_copy(update={"settings": {**profile.settings, "port": port}})
    if fire:
        _confirm(profile.name, subject, percent)
    steps = _try(profile, percent, subject if fire else None)
    if as_json:
        sys.stdout.write(json.dumps(steps, indent=2, ensure_ascii=False) + "\n")
        return
    table = Table("step", "what the device says")
    for step, said in steps.items():
        told = (f"{key.replace('_', ' ')}: {value}" for key, value in said.items() if value not in ("", None))
        table.add_row(step, ", ".join(told))
    out.print(table)
    fired = "one pulse was fired" if fire else "no pulse was fired"
    out.print(f"{profile.name} can be armed and disarmed; {fired}. {DISCLAIMER}")


def _confirm(name: str, subject: str | None, percent: float) -> None:
    """Ask whether a pulse shall be fired.

    Raises
    ------
    ConfigError
        Where nobody says whose dose it is, or the answer is not yes.
    """
    if subject is None:
        raise ConfigError("--subject is missing: a pulse counts in somebody's dose record (a phantom has a code, too)")
    err.print(f"{name} is about to fire one pulse at {percent:g} % of its maximum. Is the coil where it may? [yes/no]")
    if sys.stdin.readline().strip() != "yes":
        raise ConfigError("not confirmed: no pulse was fired, and the device was not opened")


def _try(profile: "Stimulator", percent: float, subject: str | None) -> dict[str, Any]:
    """Do what the test does, and return what the device said at each step."""
    from closedloop.stimulators.interface import open_stimulator

    # Before the device is opened: it waits for nobody, and loading the core takes seconds.
    pulse = None if subject is None else _prepare(profile, percent)
    steps: dict[str, Any] = {}
    with open_stimulator(profile) as stimulator, ExitStack() as stack:
        steps["identity"] = vars(stimulator.identity)
        steps["disarmed"] = vars(stimulator.status())
        stimulator.configure()
        stimulator.set_intensity(percent)
        if pulse is not None and subject is not None:  # control lines go up when they are opened: it is disarmed still
            dose = stack.enter_context(pulse.loaded(subject))
            if dose.warning:
                warn(dose.warning)
        with stimulator.armed():
            steps["armed"] = vars(stimulator.status())
            if pulse is not None:
                confirmed = pulse.fire(stimulator)
                steps["fired"] = {"confirmed": confirmed, "pulses_in_24_h": dose.in_day + dose.pulses}
        steps["disarmed again"] = vars(stimulator.status())
    return steps


def _prepare(profile: "Stimulator", percent: float) -> "SinglePulse":
    from closedloop.session.single_pulse import SinglePulse

    return SinglePulse(profile, percent)


def _check_box(box: "TriggerBox", port: str | None, *, as_json: bool) -> None:
    """Open a trigger box, which asks those that answer, and leave it as it was."""
    from closedloop.stimulators.line import open_line

    line = box.line
    if port is not None:
        if "path" not in type(line).model_fields:
            raise ConfigError(f"--port {port}: {box.name} is not opened by a path (line.kind = {line.kind})")
        line = line.model_copy(update={"path": port})
    with open_line(line) as opened:
        said = {"opened": opened.path, "kind": line.kind}
    if as_json:
        sys.stdout.write(json.dumps(said, indent=2, ensure_ascii=False) + "\n")
        return
    out.print(f"{box.name} can be opened at {said['opened']}; nothing was fired. {DISCLAIMER}", soft_wrap=True)
