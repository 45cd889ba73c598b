"""`closedloop devices test` on what cannot be used: one clear line, status 2, and a device that is left disarmed."""

import os
import sys
from contextlib import contextmanager

import pytest
import serial

from closedloop.cli import main
from closedloop.config.load import load_device, resolved_yaml
from closedloop.standins.magstim import Magstim200StandIn
from closedloop.standins.magstim_rapid2 import UNLOCK_CODE, Rapid2StandIn
from closedloop.standins.table import STANDINS
from closedloop.standins.terminal import Terminal, WireFaults
from closedloop.stimulators.port import Port

NOBODY = 65534


@pytest.fixture
def refused(monkeypatch, capsys):
    """Try a device by the command; return its one line of an error."""

    def run(name, port):
        monkeypatch.setattr(sys, "argv", ["closedloop", "devices", "test", str(name), "--port", port])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert ended.value.code == 2
        assert said.out == ""
        assert said.err.startswith("error: ")
        assert said.err.count("\n") == 1
        return said.err.removeprefix("error: ").rstrip("\n")

    return run


@pytest.fixture
def profile(tmp_path):
    """Write a shipped device's profile with changes; return its path."""

    def write(name, *, settings=None, limits=None):
        shipped = load_device(name)
        changed = shipped.model_copy(
            update={
                "settings": shipped.settings | (settings or {}),
                "limits": shipped.limits.model_copy(update=limits or {}),
            }
        )
        path = tmp_path / f"{name}.yaml"
        path.write_text(resolved_yaml(changed), encoding="utf-8")
        return path

    return write


@contextmanager
def plugged_in(standin):
    """Run a stand-in; see that it is left disarmed and has not fired."""
    with Terminal(standin) as terminal:
        yield terminal
    assert standin.pulses_s == []
    assert not standin.trigger(terminal._clock())


def test_a_port_that_is_not_there(refused, tmp_path):
    port = tmp_path / "none"
    assert refused("magstim-200-squared", str(port)) == (
        f"Magstim 200²: the port {port} cannot be opened: there is no such port"
    )


@pytest.mark.parametrize("name", STANDINS)
def test_a_port_that_is_in_use(refused, name):
    with plugged_in(STANDINS[name]()) as terminal, Port(terminal.path, baud=9600, name="Other"):
        said = refused(name, terminal.path)
        assert said.endswith(f"the port {terminal.path} cannot be opened: another program uses it")


@contextmanager
def without_permission(path):
    """Become nobody, where this is root, to whom everything is permitted."""
    os.chmod(path, 0o600)  # noqa: PTH101
    if os.geteuid() != 0:
        os.chmod(path, 0)  # noqa: PTH101
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_port_that_is_not_permitted(refused, monkeypatch):
    opening = serial.Serial.open

    def opened_by_nobody(port):
        # For this moment only: what else the command reads may lie where nobody else can.
        with without_permission(port.port):
            opening(port)

    monkeypatch.setattr(serial.Serial, "open", opened_by_nobody)
    with plugged_in(STANDINS["duomag"]()) as terminal:
        said = refused("duomag", terminal.path)
        assert said == (
            f"Deymed DuoMAG: the port {terminal.path} cannot be opened: not permitted; add yourself to the group that "
            "owns it (dialout on Debian)"
        )


OTHERS = {
    ("magstim-200-squared", "magstim-bistim-squared"): "(firmware V5.0) is no Magstim 200²",
    ("magstim-bistim-squared", "magstim-200-squared"): "(firmware V5.0) is no BiStim²",
    ("magstim-200-squared", "magstim-rapid-squared"): "(firmware V9.0) is no Magstim 200²",
    ("magventure-r30", "magventure-x100"): "leads to a MagPro X100, not to the R30 that is set",
    ("magventure-r30", "magstim-200-squared"): "is it on, and the cable in its COM2?",
    ("magstim-200-squared", "magventure-r30"): "the device at {port} does not answer",
    ("duomag", "magstim-200-squared"): "is the device on, is it a DuoMAG, and does its stream tell the coil's type?",
}


@pytest.mark.parametrize(("wanted", "answers"), OTHERS)
def test_a_device_that_is_another(refused, wanted, answers):
    with plugged_in(STANDINS[answers]()) as terminal:
        said = refused(wanted, terminal.path)
        assert OTHERS[wanted, answers].format(port=terminal.path) in said


@pytest.mark.parametrize("version", ["V4.0", "V11.0"])
def test_a_firmware_that_is_not_known(refused, version):
    standin = Rapid2StandIn()
    standin.version = version
    with plugged_in(standin) as terminal:
        assert refused("magstim-rapid-squared", terminal.path) == (
            f"Magstim Rapid²: firmware {version} is not known: from 5 to 10 are"
        )


@pytest.mark.parametrize("name", ["magstim-200-squared", "magventure-x100", "duomag"])
def test_an_intensity_above_the_ceiling(refused, profile, name):
    """The command arms at 1 %."""
    path = profile(name, limits={"max_percent_of_maximum": 0.5})
    with plugged_in(STANDINS[name]()) as terminal:
        assert refused(path, terminal.path).endswith(": intensity = 1 % of the maximum is not within 0 to 0.5")


COILS = {
    ("magstim-200-squared", "remove-coil"): "it cannot be armed: coil missing",
    ("magstim-200-squared", "replace-coil"): "it cannot be armed: replace the coil",
    ("magstim-200-squared", "set-coil-temperature=41"): "it cannot be armed: coil hot: 41 °C is above 40",
    ("magstim-200-squared", "fatal-error=12"): "it cannot be armed: fatal error E12",
    ("magventure-x100", "remove-coil"): "it cannot be armed: no coil",
    ("magventure-x100", "set-coil-temperature=41"): "it cannot be armed: the coil is hot: 41 °C (at most 40)",
    ("duomag", "remove-coil"): "it cannot be armed: no coil",
    ("duomag", "set-coil-temperature=201"): "it cannot be armed: the coil is hot",
}


@pytest.mark.parametrize(("name", "fault"), COILS)
def test_a_coil_that_is_missing_hot_or_worn(refused, name, fault):
    standin = STANDINS[name]()
    action, _, number = fault.partition("=")
    if name.startswith("magstim"):
        standin.actions["turn-knob"](0.0, 1.0)  # long ago: its output takes its time to come down
    with plugged_in(standin) as terminal:
        terminal.act(action, *([float(number)] if number else []))
        assert refused(name, terminal.path).endswith(f": {COILS[name, fault]}")


UNLOCK = {
    "missing": (None, "settings.unlock_code = null: firmware 9 asks for its unit's"),
    "wrong": ("1111-00000000-00", "unlock_code is not this unit's: it does not take this value"),
}


@pytest.mark.parametrize(("code", "said"), UNLOCK.values(), ids=UNLOCK.keys())
def test_an_unlock_code_that_is_missing_or_wrong(refused, profile, code, said):
    path = profile("magstim-rapid-squared", settings={"unlock_code": code})
    standin = Rapid2StandIn()
    with plugged_in(standin) as terminal:
        assert refused(path, terminal.path).endswith(said)
    assert not standin.remote


def test_an_unlock_code_is_never_told(refused, profile):
    path = profile("magstim-rapid-squared", settings={"unlock_code": "0000-00000000-01"})
    with plugged_in(Rapid2StandIn()) as terminal:
        assert "0000" not in refused(path, terminal.path)
    assert UNLOCK_CODE.startswith("0000")


def test_a_plug_that_is_pulled(refused):
    standin = Magstim200StandIn()
    with Terminal(standin, faults=WireFaults(vanishes_after=60)) as terminal:
        assert f"the port {terminal.path} cannot be " in refused("magstim-200-squared", terminal.path)
        assert not standin.trigger(terminal._clock() + 1.0)  # it disarms by itself
