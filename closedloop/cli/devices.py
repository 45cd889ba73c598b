"""``closedloop devices``: what is in ``devices/``, what one says of itself, and a stand-in to try it with."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from closedloop.cli.terminal import out
from closedloop.errors import ConfigError
from closedloop.files import DISCLAIMER

if TYPE_CHECKING:
    from closedloop.config.device import TriggerBox

devices = typer.Typer(
    help="Stimulators, trigger boxes and amplifiers: their profiles in devices/, and stand-ins that behave as they do.",
    no_args_is_help=True,
)
LEAST_PERCENT = 1.0
"""Intensity at which a device is armed to see that it can be."""
Name = Annotated[str, typer.Argument(help="A name of `devices list`, or the path of a profile.")]


@devices.command("list", epilog="Example: closedloop devices list --json")
def list_devices(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the devices that have a profile."""
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
        }
        for name, device in found
    ]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        return
    table = Table(Column("name", no_wrap=True), "kind", "called", "driver or line", "stand-in")
    for row in rows:
        speaks = row["driver"] or row["line"] or "–"
        table.add_row(
            row["name"], row["kind"].replace("_", " "), row["called"], speaks, "yes" if row["stand_in"] else "–"
        )
    out.print(table)
    out.print("`closedloop devices show NAME` prints a profile whole; copy its file to say what your own rig measures.")


@devices.command("show", epilog="Example: closedloop devices show magstim-rapid-squared")
def show_device(name: Name) -> None:
    """Print a profile with every default written out: wiring, hard limits, latency and where that comes from."""
    from closedloop.config.load import load_device, resolved_yaml

    sys.stdout.write(resolved_yaml(load_device(name)))


@devices.command("simulate", epilog="Example: closedloop devices simulate magstim-rapid-squared")
def simulate_device(
    name: Annotated[str, typer.Argument(help="The device that is stood in for.")],
    split: Annotated[bool, typer.Option(help="Send each byte on its own.")] = False,
    merge: Annotated[bool, typer.Option(help="Hold each answer back until the next.")] = False,
    dropped: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of bytes that never arrive.")] = 0.0,
    corrupted: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of bytes with one bit turned.")] = 0.0,
    deaf: Annotated[
        bool, typer.Option(help="Take nothing off the wire: whoever writes finds no room in the end.")
    ] = False,
) -> None:
    """Stand in for a stimulator or a trigger box on a serial port of its own, until standard input ends or Ctrl-C.

    A line on standard input is what a hand does at the device: `trigger`, or one of the actions that are listed at the
    start, with a number where one is needed, such as `turn-knob 40`.
    """
    from closedloop.standins.table import BOXES, STANDINS
    from closedloop.standins.terminal import Terminal, WireFaults

    known = {**STANDINS, **BOXES}
    if name not in known:
        raise ConfigError(f"{name}: there is no such stand-in (there: {', '.join(known)})")
    standin = known[name]()
    with Terminal(standin, faults=WireFaults(split, merge, dropped, corrupted)) as terminal:
        terminal.deaf = deaf
        out.print(f"{name} on {terminal.path} ({_opened_by(name, terminal.path)}) — {DISCLAIMER}", soft_wrap=True)
        out.print(f"hands: trigger, {', '.join(standin.actions)}", soft_wrap=True)
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
    try:
        terminal.act(words[0], *(float(word) for word in words[1:]))
    except (KeyError, TypeError, ValueError):
        out.print(f"{' '.join(words)}: no such hand, or not this number of numbers")


@devices.command("test", epilog="Example: closedloop devices test magstim-200-squared --port /dev/ttyUSB0")
def check_device(
    name: Name,
    port: Annotated[str | None, typer.Option(help="Its serial port, where the profile's is another.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Identify a stimulator, read its status, arm and disarm it; open a trigger box and hear whether it answers.

    No pulse is fired. Keep the coil off heads all the same, and disarm what listens to a trigger box: the control lines
    of a serial port go up whenever it is opened.
    """
    from closedloop.config.device import Stimulator, TriggerBox
    from closedloop.config.load import load_device
    from closedloop.stimulators.interface import open_stimulator

    profile = load_device(name)
    if isinstance(profile, TriggerBox):
        _check_box(profile, port, as_json=as_json)
        return
    if not isinstance(profile, Stimulator):
        raise ConfigError(f"{name}: kind = {profile.kind}: only a stimulator or a trigger box can be tested")
    if port is not None:
        profile = profile.model_copy(update={"settings": {**profile.settings, "port": port}})
    steps: dict[str, Any] = {}
    with open_stimulator(profile) as stimulator:
        steps["identity"] = vars(stimulator.identity)
        steps["disarmed"] = vars(stimulator.status())
        stimulator.configure()
        stimulator.set_intensity(LEAST_PERCENT)
        with stimulator.armed():
            steps["armed"] = vars(stimulator.status())
        steps["disarmed again"] = vars(stimulator.status())
    if as_json:
        sys.stdout.write(json.dumps(steps, indent=2, ensure_ascii=False) + "\n")
        return
    table = Table("step", "what the device says")
    for step, said in steps.items():
        told = (f"{key.replace('_', ' ')}: {value}" for key, value in said.items() if value not in ("", None))
        table.add_row(step, ", ".join(told))
    out.print(table)
    out.print(f"{profile.name} can be armed and disarmed; no pulse was fired. {DISCLAIMER}")


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
