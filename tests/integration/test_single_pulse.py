"""`closedloop devices test --fire` on stand-ins that disarm themselves, as devices do, where nobody speaks to them."""

import json
import time
from contextlib import ExitStack, contextmanager

import pytest
from typer.testing import CliRunner

import closedloop.dose.record
import closedloop.session.single_pulse
from closedloop.cli.app import app
from closedloop.config.line import CommandLine
from closedloop.config.load import load_device, resolved_yaml
from closedloop.errors import StimulatorError
from closedloop.session.single_pulse import READY_WITHIN_S, SinglePulse
from closedloop.standins.table import SETTINGS, STANDINS
from closedloop.standins.terminal import Terminal
from closedloop.standins.trigger_input import TriggerInput
from closedloop.stimulators.interface import open_stimulator

MAGSTIMS = ["magstim-200-squared", "magstim-bistim-squared", "magstim-rapid-squared"]
PERCENT = 30
"""At which these stand-ins begin, so that nothing has to slew."""


class Clock:
    """The stand-in's, which can be moved on."""

    def __init__(self):
        self.ahead_s = 0.0

    def __call__(self):
        return time.monotonic() + self.ahead_s


@pytest.fixture
def clock(tmp_path, monkeypatch):
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(closedloop.dose.record, "TMPFS", tmp_path / "memory")
    monkeypatch.setenv("CLOSEDLOOP_DOSE", str(tmp_path / "dose"))
    return Clock()


@pytest.fixture
def profile(tmp_path):
    """Write a shipped device's profile with what its stand-in needs; return it and its path."""

    def write(name, *, port="/dev/none", line=None):
        shipped = load_device(name)
        settings = shipped.settings | SETTINGS.get(name, {}) | {"port": port}
        changed = shipped.model_copy(update={"settings": settings, "line": line})
        (tmp_path / "device.yaml").write_text(resolved_yaml(changed))
        return changed, tmp_path / "device.yaml"

    return write


@contextmanager
def taking(clock, monkeypatch, duration_s, owner, name):
    """Let something take its time, for the stand-in."""
    was = getattr(owner, name)

    def slow(*arguments, **options):
        clock.ahead_s += duration_s
        return was(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, slow)
        yield


@pytest.mark.parametrize("fired_by", ["nothing", "a trigger line", "a command"])
@pytest.mark.parametrize("name", MAGSTIMS)
def test_a_magstim_fires_though_what_is_prepared_takes_seconds(clock, profile, tmp_path, monkeypatch, name, fired_by):
    line = CommandLine(kind="command", spread_s=0.01) if fired_by == "a command" else None
    _, path = profile(name, line=line)
    standin = STANDINS[name]()
    with ExitStack() as stack:
        terminal = stack.enter_context(Terminal(standin, clock=clock))
        arguments = [
            "devices",
            "test",
            path,
            "--port",
            terminal.path,
            "--subject",
            "ph",
            "--percent",
            PERCENT,
            "--fire",
        ]
        if fired_by == "a trigger line":
            stack.enter_context(TriggerInput(tmp_path / "edge", terminal))
            arguments += ["--trigger", tmp_path / "edge"]
        # Longer than an armed Magstim waits to be spoken to (1 s), and the first also than one that is disarmed (10 s).
        stack.enter_context(taking(clock, monkeypatch, 12.0, closedloop.session.single_pulse, "metronome"))
        stack.enter_context(taking(clock, monkeypatch, 3.0, closedloop.dose.record, "Ledger"))
        result = CliRunner().invoke(app, [*map(str, arguments), "--json"], input="yes\n", catch_exceptions=False)
        until_s = time.monotonic() + 2.0
        while not standin.pulses_s and time.monotonic() < until_s:
            time.sleep(0.005)  # a pipe's reader is a thread
    told = json.loads(result.stdout)
    assert told["fired"] == {
        "confirmed": "unknown" if fired_by == "a trigger line" else "yes",
        "pulses_in_24_h": 1,
    }
    assert len(standin.pulses_s) == 1
    assert not told["disarmed again"]["armed"]


@pytest.fixture
def loaded(clock, profile):
    """Open a Magstim and load one pulse; give both, the stand-in and its terminal, with the device armed."""

    @contextmanager
    def load(**options):
        standin = STANDINS["magstim-200-squared"]()
        with Terminal(standin, clock=clock) as terminal:
            device, _ = profile("magstim-200-squared", port=terminal.path)
            pulse = SinglePulse(device, PERCENT, **options)
            with open_stimulator(device) as stimulator, pulse.loaded("ph"):
                stimulator.configure()
                stimulator.set_intensity(PERCENT)
                with stimulator.armed():
                    yield stimulator, pulse, standin, terminal

    return load


def test_a_pulse_waits_until_the_device_has_recharged(loaded, clock):
    waits = []

    def sleep(duration_s):
        waits.append(duration_s)
        clock.ahead_s += 0.4  # it is spoken to after each

    with loaded(sleep=sleep) as (stimulator, pulse, standin, _):
        stimulator.fire()
        assert not stimulator.status().ready
        assert pulse.fire(stimulator) == "yes"
    assert len(standin.pulses_s) == 2
    assert standin.pulses_s[1] - standin.pulses_s[0] >= 2.0  # its own time to recharge
    assert len(waits) >= 3


def test_a_device_that_does_not_get_ready_is_one_clear_line(loaded):
    passed = [0.0]

    def sleep(_duration_s):
        passed[0] += 1.0

    with loaded(clock=lambda: passed[0], sleep=sleep) as (stimulator, pulse, standin, _):
        stimulator.fire()
        with pytest.raises(StimulatorError) as caught:
            pulse.fire(stimulator)
    assert str(caught.value) == (
        f"Magstim 200²: no pulse was fired: it is not ready: it is armed, for {READY_WITHIN_S:g} s"
    )
    assert len(standin.pulses_s) == 1


def test_a_device_with_a_fault_is_not_waited_for(loaded):
    waits = []
    with loaded(sleep=waits.append) as (stimulator, pulse, standin, terminal):
        terminal.act("remove-coil")
        with pytest.raises(StimulatorError, match=r"no pulse was fired: it is not ready: .*coil"):
            pulse.fire(stimulator)
    assert waits == []
    assert standin.pulses_s == []


def test_a_magpros_own_count_confirms_a_pulse_of_the_trigger_line(clock, profile, tmp_path):
    _, path = profile("magventure-x100")
    standin = STANDINS["magventure-x100"]()
    with Terminal(standin, clock=clock) as terminal, TriggerInput(tmp_path / "edge", terminal):
        arguments = ["devices", "test", path, "--port", terminal.path, "--trigger", tmp_path / "edge", "--fire"]
        arguments += ["--subject", "ph", "--json"]
        result = CliRunner().invoke(app, list(map(str, arguments)), input="yes\n", catch_exceptions=False)
    assert json.loads(result.stdout)["fired"] == {"confirmed": "yes", "pulses_in_24_h": 1}
    assert len(standin.pulses_s) == 1
