"""A stimulator that only its trigger input connects to this computer: what it says, and what it cannot."""

import pytest
from pydantic import ValidationError

from closedloop.config.device import SIMULATED, Stimulator
from closedloop.config.line import CommandLine
from closedloop.config.load import load_device
from closedloop.errors import StimulatorError
from closedloop.stimulators.interface import open_stimulator
from closedloop.stimulators.status import Identity, Status
from closedloop.stimulators.trigger_only import TriggerOnly, TriggerOnlySettings

PROFILE = Stimulator.model_validate(
    {
        "kind": "stimulator",
        "name": "Box",
        "driver": "trigger-only",
        "latency": {"latency_s": 0.002, "origin": "a test"},
        "limits": {"min_interval_s": 4.0, "max_pulses_per_session": 100, "max_percent_of_maximum": 60.0},
    }
)


def box(**stated):
    return TriggerOnly(PROFILE, TriggerOnlySettings.model_validate({"model": "Maker M1"} | stated))


def test_it_is_what_the_operator_states():
    assert box(firmware="2.1", serial_number="77").identity == Identity("Maker M1 (as stated)", "2.1", "77")


def test_what_it_is_has_to_be_stated():
    for stated in ({"model": ""}, {"port": "/dev/ttyUSB0"}):
        with pytest.raises(ValidationError):
            box(**stated)


def test_while_the_session_is_armed_it_is_taken_as_ready_and_nothing_else_is_known():
    with box() as stimulator:
        assert stimulator.status() == Status(False, False, "", None, None)
        stimulator.configure()
        stimulator.set_intensity(55.5)
        stimulator.set_train(1, 1.0)
        with stimulator.armed():
            assert stimulator.status() == Status(True, True, "", None, None)
        assert not stimulator.status().ready


@pytest.mark.parametrize("armed", [False, True])
def test_no_command_fires_it(armed):
    said = r"^Box: it fires at its trigger input only: no command reaches it$"
    with box() as stimulator:
        if armed:
            with stimulator.armed(), pytest.raises(StimulatorError, match=said):
                stimulator.fire()
        else:
            with pytest.raises(StimulatorError, match=said):
                stimulator.fire()


def test_while_it_is_armed_nothing_is_changed():
    with box() as stimulator, stimulator.armed():
        for change in (
            stimulator.configure,
            lambda: stimulator.set_intensity(10.0),
            lambda: stimulator.set_train(1, 1.0),
        ):
            with pytest.raises(StimulatorError, match=r"^Box: disarm before "):
                change()
        with pytest.raises(StimulatorError, match=r"^Box: disarm before it is armed again$"), stimulator.armed():
            pass
        assert stimulator.status().ready


def test_one_trigger_gives_one_pulse():
    with box() as stimulator, pytest.raises(StimulatorError, match="one trigger starts 1 pulse here"):
        stimulator.set_train(2, 10.0)


def test_the_shipped_profile_opens_and_stimulates_somebody():
    profile = load_device("trigger-only")
    assert profile.driver != SIMULATED
    assert profile.line is not None
    with open_stimulator(profile) as stimulator:
        assert stimulator.identity.model.startswith("not stated")


def test_it_cannot_be_fired_by_command(one_line_error):
    line = CommandLine(kind="command", spread_s=0.01)
    said = one_line_error(
        StimulatorError, TriggerOnly, PROFILE.model_copy(update={"line": line}), TriggerOnlySettings(model="Maker M1")
    )
    assert said == "Box: line.kind = command: it fires at its trigger input only, no command reaches it"
