"""What every stimulator's driver must do, whoever wrote it: one suite over the table of drivers."""

import math
from importlib.metadata import entry_points

import numpy as np
import pytest

from closedloop.config.device import Stimulator
from closedloop.errors import StimulatorError
from closedloop.stimulators.interface import open_stimulator

DRIVERS = sorted(point.name for point in entry_points(group="closedloop.stimulators"))
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


@pytest.fixture(params=DRIVERS)
def stimulator(request):
    return open_stimulator(profile(request.param))


def test_there_are_drivers():
    assert "simulated" in DRIVERS


def test_it_starts_disarmed(stimulator):
    assert not stimulator.ready


def test_it_is_ready_while_it_is_armed_and_only_then(stimulator):
    with stimulator.armed():
        assert stimulator.ready
    assert not stimulator.ready


def test_whatever_happens_it_ends_disarmed(stimulator):
    with pytest.raises(RuntimeError), stimulator.armed():
        raise RuntimeError
    assert not stimulator.ready


def test_an_interruption_disarms_it_too(stimulator):
    with pytest.raises(KeyboardInterrupt), stimulator.armed():
        raise KeyboardInterrupt
    assert not stimulator.ready


def test_it_can_be_armed_again(stimulator):
    for _ in range(2):
        with stimulator.armed():
            assert stimulator.ready


@pytest.mark.parametrize("percent", [0.0, 45.0, 60.0])
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
    assert not stimulator.ready
    with stimulator.armed():
        assert stimulator.ready
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
