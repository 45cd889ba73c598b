"""What a simulated pulse leaves in the EEG."""

import numpy as np
import pytest

from closedloop.config.device import Artifact, Stimulator
from closedloop.errors import StimulatorError
from closedloop.stimulators.simulated import MUSCLE_DELAY_S, MUSCLE_HZ, NoSettings, SimulatedStimulator, pulse_waveform

SFREQ = 10_000.0
NONE = {
    "saturation_uv": 0.0,
    "saturation_s": 0.0,
    "decay_uv": 0.0,
    "decay_s": 0.03,
    "muscle_uv": 0.0,
    "muscle_s": 0.015,
    "recharge_after_s": 0.0,
    "recharge_uv": 0.0,
    "recharge_s": 0.01,
}
PROFILE = {
    "kind": "stimulator",
    "name": "Simulated",
    "driver": "simulated",
    "latency": {"latency_s": 0.0, "origin": "set"},
    "limits": {"min_interval_s": 0.1, "max_pulses_per_session": 1, "max_percent_of_maximum": 100.0},
}


def course(**parts):
    waveform = pulse_waveform(Artifact.model_validate({**NONE, **parts}), SFREQ)
    return waveform, np.arange(waveform.size) / SFREQ


def test_first_the_amplifier_is_saturated():
    waveform, age_s = course(saturation_uv=5000.0, saturation_s=0.005, decay_uv=800.0)
    assert set(waveform[age_s < 0.005]) == {5000.0}
    assert waveform[age_s >= 0.005].max() == pytest.approx(800.0, rel=0.01)


def test_then_it_decays_with_its_time_constant():
    waveform, age_s = course(decay_uv=800.0)
    assert waveform[np.searchsorted(age_s, 0.03)] == pytest.approx(800.0 / np.e, rel=0.01)


def test_the_muscles_twitch_a_little_later():
    waveform, age_s = course(muscle_uv=300.0)
    assert not waveform[age_s < MUSCLE_DELAY_S].any()
    first = MUSCLE_DELAY_S + 0.25 / MUSCLE_HZ  # the first crest
    expected = 300.0 * np.exp(-0.25 / MUSCLE_HZ / 0.015)
    assert waveform[np.searchsorted(age_s, first)] == pytest.approx(expected, rel=0.02)


def test_recharging_shows_at_its_delay():
    waveform, age_s = course(recharge_uv=400.0, recharge_after_s=0.25)
    assert not waveform[age_s < 0.2499].any()
    assert waveform[np.searchsorted(age_s, 0.25 - 1e-9)] == pytest.approx(400.0, rel=0.02)


def test_it_ends_once_everything_has_faded():
    waveform, _ = course(decay_uv=800.0, muscle_uv=300.0, recharge_uv=400.0, recharge_after_s=0.25)
    assert abs(waveform[-1]) < 1.0


def test_it_lasts_no_longer_than_that():
    waveform, _ = course(decay_uv=800.0)
    assert waveform[-1] == pytest.approx(0.8, rel=0.01)  # a thousandth, where a decay counts as faded


@pytest.mark.parametrize(
    ("part", "length_s"),
    [
        ({"saturation_s": 0.5}, 0.5 + 0.03 * np.log(1000.0)),
        ({"decay_s": 0.1}, 0.1 * np.log(1000.0)),
        ({"muscle_s": 0.1}, MUSCLE_DELAY_S + 0.1 * np.log(1000.0)),
        ({"recharge_after_s": 0.25}, 0.25 + 0.01 * np.log(1000.0)),
    ],
)
def test_the_slowest_part_decides_how_long_it_lasts(part, length_s):
    assert course(**part)[0].size == np.ceil(length_s * SFREQ)


def test_the_parts_add_up():
    parts = [{"decay_uv": 800.0}, {"muscle_uv": 300.0}, {"recharge_uv": 400.0}]
    together = course(recharge_after_s=0.02, **{key: value for part in parts for key, value in part.items()})[0]
    alone = [course(recharge_after_s=0.02, **part)[0] for part in parts]
    np.testing.assert_allclose(together, np.sum(alone, axis=0), atol=1e-9)


def test_recharging_fades_with_its_time_constant():
    waveform, age_s = course(recharge_uv=400.0, recharge_after_s=0.25)
    assert waveform[np.searchsorted(age_s, 0.26 - 1e-9)] == pytest.approx(400.0 / np.e, rel=0.02)


@pytest.fixture
def stimulator():
    return SimulatedStimulator(Stimulator.model_validate(PROFILE), NoSettings())


def test_a_profile_without_an_artifact_leaves_none(stimulator):
    assert stimulator.artifact(500.0, np.array([True, True])).shape == (0, 2)


def test_the_intensity_that_was_set_can_be_read(stimulator):
    assert stimulator.percent_of_maximum == 0.0
    stimulator.set_intensity(55.0)
    assert stimulator.percent_of_maximum == 55.0


@pytest.mark.parametrize("refused", [-0.1, 100.1, np.nan])
def test_a_refused_intensity_leaves_the_one_that_is_set(stimulator, refused):
    stimulator.set_intensity(55.0)
    with pytest.raises(StimulatorError):
        stimulator.set_intensity(refused)
    with stimulator.armed(), pytest.raises(StimulatorError):
        stimulator.set_intensity(10.0)
    assert stimulator.percent_of_maximum == 55.0


def test_an_electrode_gets_the_artifact_as_it_is_described():
    described = Artifact.model_validate({**NONE, "decay_uv": 800.0})
    profile = {**PROFILE, "artifact": described.model_dump()}
    stimulator = SimulatedStimulator(Stimulator.model_validate(profile), NoSettings())
    found = stimulator.artifact(500.0, np.array([False, True]))
    np.testing.assert_array_equal(found[:, 1], pulse_waveform(described, 500.0))
    assert not found[:, 0].any()
