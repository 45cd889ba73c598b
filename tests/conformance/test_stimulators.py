"""What every stimulator's driver must do, whoever wrote it: one suite over the table of drivers."""

import math
import time
from contextlib import contextmanager
from importlib.metadata import entry_points

import numpy as np
import pytest

from closedloop.config.device import SIMULATED, Stimulator
from closedloop.config.load import load_device
from closedloop.errors import StimulatorError
from closedloop.standins.table import SETTINGS, STANDINS
from closedloop.standins.terminal import Terminal
from closedloop.stimulators.interface import find_driver, open_stimulator

DRIVERS = sorted(point.name for point in entry_points(group="closedloop.stimulators"))
STOOD_IN_FOR = {
    "duomag": "duomag",
    "magpro": "magventure-x100",
    "magstim-200-squared": "magstim-200-squared",
    "magstim-bistim-squared": "magstim-bistim-squared",
    "magstim-rapid-squared": "magstim-rapid-squared",
}
"""Which device stands in for a driver's."""
ALONE = {SIMULATED: {}, "trigger-only": {"model": "A box with a trigger input"}}
"""Drivers that speak to nothing, and the settings that they need."""
HEARS_NOTHING = {"trigger-only"}
"""No command and no answer passes: such a device cannot tell its intensity, and fires at its trigger input only."""
ARTIFACT = {
    "saturation_uv": 5000.0,
    "saturation_s": 0.005,
    "decay_uv": 800.0,
    "decay_s": 0.03,
    "muscle_uv": 300.0,
    "muscle_s": 0.015,
    "recharge_after_s": 0.25,
    "recharge_uv": 400.0,
    "recharge_s": 0.01,
}


def profile(driver, **changes):
    content = {
        "kind": "stimulator",
        "name": "Under test",
        "driver": driver,
        "latency": {"latency_s": 0.01, "origin": "set by a test"},
        "limits": {"min_interval_s": 0.1, "max_pulses_per_session": 100, "max_percent_of_maximum": 60.0},
        "artifact": ARTIFACT,
    }
    return Stimulator.model_validate({**content, **changes})


class Clock:
    """Real time, in which a driver's sleep passes at once."""

    def __init__(self):
        self.slept_s = 0.0

    def __call__(self):
        return time.monotonic() + self.slept_s

    def sleep(self, duration_s):
        self.slept_s += duration_s
        time.sleep(0.003)  # the stand-in's own turn


@contextmanager
def opened(name):
    """Open a driver, on a stand-in for its device where it speaks to one."""
    if name in ALONE:
        with open_stimulator(profile(name, settings=ALONE[name])) as stimulator:
            yield stimulator
        return
    device, clock = STOOD_IN_FOR[name], Clock()
    shipped = load_device(device)
    with Terminal(STANDINS[device](), clock=clock) as terminal:
        driver = find_driver(name)
        given = {**shipped.settings, **SETTINGS.get(device, {}), "port": terminal.path}
        made = driver(profile(name), driver.settings_model.model_validate(given), clock=clock, sleep=clock.sleep)
        with made as stimulator:
            stimulator.configure()
            stimulator.set_intensity(30.0)
            yield stimulator


@pytest.fixture(params=DRIVERS)
def name(request):
    return request.param


@pytest.fixture
def stimulator(name):
    with opened(name) as stimulator:
        yield stimulator


def test_there_are_drivers():
    assert set(DRIVERS) >= {*ALONE, *STOOD_IN_FOR}


def test_every_driver_of_this_package_that_speaks_to_a_device_has_a_stand_in():
    assert set(STOOD_IN_FOR.values()) <= set(STANDINS)


def test_before_it_is_opened_it_says_how_fast_triggers_may_come_and_stronger_ones_no_faster(name):
    driver, device = find_driver(name), STOOD_IN_FOR.get(name)
    given = ALONE[name] if device is None else {**load_device(device).settings, **SETTINGS.get(device, {})}
    settings = driver.settings_model.model_validate(given)
    rates = [driver.fastest_hz(settings, percent) for percent in (1.0, 30.0, 50.5, 80.0, 100.0)]
    assert rates == sorted(rates, reverse=True)
    assert min(rates[-1], driver.fastest_by_command_hz) > 0.0


def test_it_says_what_it_is(stimulator):
    assert stimulator.identity.model


def test_it_has_to_be_asked_now_and_then(stimulator):
    assert 0.0 < stimulator.status_every_s <= 5.0
    with stimulator.armed():
        assert 0.0 < stimulator.status_every_s <= 1.0


def test_it_tells_what_was_set_and_no_fault(name, stimulator):
    stimulator.set_intensity(45.0)
    stimulator.set_train(1, 1.0)
    with stimulator.armed():
        status = stimulator.status()
    assert (status.armed, status.ready, status.fault) == (True, True, "")
    assert status.percent_of_maximum == (None if name in HEARS_NOTHING else 45.0)


def test_it_fires_by_command_while_it_is_armed_and_only_then(name, stimulator):
    stimulator.set_intensity(45.0)
    with stimulator.armed():
        if name in HEARS_NOTHING:
            with pytest.raises(StimulatorError):
                stimulator.fire()
        else:
            assert stimulator.fire() in ("yes", "unknown")
    with pytest.raises(StimulatorError):
        stimulator.fire()


def test_while_it_is_armed_the_train_stays(stimulator):
    with stimulator.armed(), pytest.raises(StimulatorError, match="disarm before"):
        stimulator.set_train(1, 1.0)


def test_it_starts_disarmed(stimulator):
    assert not stimulator.status().ready


def test_it_is_ready_while_it_is_armed_and_only_then(stimulator):
    with stimulator.armed():
        assert stimulator.status().ready
    assert not stimulator.status().ready


def test_whatever_happens_it_ends_disarmed(stimulator):
    with pytest.raises(RuntimeError), stimulator.armed():
        raise RuntimeError
    assert not stimulator.status().ready


def test_an_interruption_disarms_it_too(stimulator):
    with pytest.raises(KeyboardInterrupt), stimulator.armed():
        raise KeyboardInterrupt
    assert not stimulator.status().ready


def test_it_can_be_armed_again(stimulator):
    for _ in range(2):
        with stimulator.armed():
            assert stimulator.status().ready


@pytest.mark.parametrize("percent", [1.0, 45.0, 60.0])
def test_an_intensity_within_its_limit_is_set(stimulator, percent):
    stimulator.set_intensity(percent)


@pytest.mark.parametrize("percent", [-0.1, 60.1, 1e9, math.nan, math.inf, -math.inf])
def test_any_other_intensity_is_refused_in_one_line_with_the_limit(stimulator, percent):
    with pytest.raises(StimulatorError, match=r"^Under test: intensity = \S+ % .*60$") as caught:
        stimulator.set_intensity(percent)
    assert "\n" not in str(caught.value)


def test_after_a_refused_intensity_it_can_be_armed_and_set(stimulator):
    with pytest.raises(StimulatorError):
        stimulator.set_intensity(60.1)
    assert not stimulator.status().ready
    with stimulator.armed():
        assert stimulator.status().ready
    stimulator.set_intensity(60.0)


def test_while_it_is_armed_the_intensity_stays(stimulator):
    with stimulator.armed(), pytest.raises(StimulatorError, match="disarm before"):
        stimulator.set_intensity(10.0)


@pytest.mark.parametrize("sfreq", [250.0, 5000.0])
def test_its_artifact_has_a_column_for_each_channel_and_shows_on_the_head_only(stimulator, sfreq):
    artifact = stimulator.artifact(sfreq, np.array([True, False, True]))
    assert artifact.ndim == 2
    assert artifact.shape[1] == 3
    assert np.isfinite(artifact).all()
    assert not artifact[:, 1].any()


def test_a_driver_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(StimulatorError, match=r"^driver = telepathy: there is no such driver \(installed: .*simulated"):
        open_stimulator(profile("telepathy"))
