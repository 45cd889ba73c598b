"""Simulated EEG does what it is asked, and its true phase is the one that was put in."""

import hashlib
import runpy
import sys

import numpy as np
import pytest

from closedloop.config.shipped import shipped_folder
from closedloop.signal.circular import wrap
from closedloop.signal.reference_phase import reference_phase
from closedloop.signal.spectrum import fit_spectrum
from closedloop.sources.library import entries
from closedloop.sources.synthetic import BLINK_S, BLINK_UV, COMMON_SHARE, simulate

SFREQ = 250.0
CHANNELS = ("Fp1", "F3", "O1")


def draw(seconds=30.0, **settings):
    quiet = {"alpha_uv": 0.0, "background_uv": 0.0}
    return simulate(duration_s=seconds, sfreq=SFREQ, seed=1, channels=CHANNELS, **{**quiet, **settings})


def test_the_true_phase_is_the_signals_own():
    made = draw(alpha_uv=20.0, alpha_waxing=0.0)
    places = np.arange(750, 6750)
    found = reference_phase(made.recording.samples[:, 1], SFREQ, 10.0).at(places / SFREQ)
    truth = np.angle(made.alpha[places])
    strong = np.abs(made.alpha[places]) > 10.0
    # A filter of 2 Hz to either side sees a little less than the rhythm itself does.
    assert np.degrees(np.abs(wrap(found - truth)[strong])).mean() < 8.0
    assert np.degrees(np.angle(np.exp(1j * (found - truth))[strong].mean())) == pytest.approx(0.0, abs=1.0)


def test_a_channel_shows_the_rhythm_by_its_weight():
    made = draw(alpha_uv=20.0)
    np.testing.assert_allclose(made.recording.samples, made.alpha.real[:, None] * made.weights, atol=1e-9)
    assert made.weights[1] == made.weights[2] == 1.0
    assert made.weights[0] < 1.0


def test_the_rhythm_has_the_height_that_was_asked_for():
    assert np.sqrt(np.mean(draw(120.0, alpha_uv=14.0).alpha.real ** 2)) == pytest.approx(14.0, rel=0.01)


@pytest.mark.parametrize("bandwidth_hz", [1.0, 3.0])
def test_the_rhythm_is_as_wide_as_was_asked_for(bandwidth_hz):
    alpha = draw(1200.0, alpha_uv=10.0, alpha_bandwidth_hz=bandwidth_hz, alpha_drift_hz=0.0, alpha_waxing=0.0).alpha
    power = np.abs(np.fft.fft(alpha)) ** 2
    hz = np.fft.fftfreq(alpha.size, 1.0 / SFREQ)
    # A Gaussian spectrum whose width is one SD to either side of 10 Hz.
    assert np.sum(hz * power) / np.sum(power) == pytest.approx(10.0, abs=0.1)
    assert np.sqrt(np.sum((hz - 10.0) ** 2 * power) / np.sum(power)) == pytest.approx(bandwidth_hz / 2, rel=0.05)


def test_its_frequency_drifts_by_as_much_as_was_asked_for():
    narrow = {"alpha_uv": 10.0, "alpha_bandwidth_hz": 0.001, "alpha_waxing": 0.0}
    alpha = draw(600.0, alpha_drift_hz=0.3, **narrow).alpha
    strong = np.abs(alpha) > 0.1 * np.abs(alpha).max()
    turned = np.angle(alpha[1:] / alpha[:-1])[strong[1:]] * SFREQ / (2 * np.pi)
    assert turned.std() == pytest.approx(0.3, rel=0.15)


@pytest.mark.parametrize("waxing", [0.0, 0.5, 1.0])
def test_it_waxes_and_wanes_as_deep_as_was_asked_for(waxing):
    power = np.abs(draw(2400.0, alpha_uv=10.0, alpha_waxing=waxing).alpha) ** 2
    # E|z|^4 / (E|z|^2)^2 is 2 for Gaussian z, times E w^4 / (E w^2)^2 for its waves w = 1 - waxing (1 + tanh g) / 2.
    g, weight = np.polynomial.hermite_e.hermegauss(80)
    waves, weight = 1.0 - waxing * (0.5 + 0.5 * np.tanh(g)), weight / weight.sum()
    expected = 2.0 * (weight @ waves**4) / (weight @ waves**2) ** 2
    assert np.mean(power**2) / np.mean(power) ** 2 == pytest.approx(expected, rel=0.1)


def test_samples_are_missing_in_a_gap_and_nowhere_else():
    made = draw(alpha_uv=10.0, gaps=[{"start_s": 10.0, "duration_s": 0.5}])
    steps = np.diff(made.recording.times_s)
    assert np.flatnonzero(steps > 1.5 / SFREQ).tolist() == [2499]
    assert steps.max() == pytest.approx(0.5 + 1.0 / SFREQ)
    assert len(made.alpha) == len(made.recording.samples) == round(29.5 * SFREQ)


def test_offsets_are_of_either_sign():
    samples = draw(offset_mv=50.0).recording.samples
    np.testing.assert_allclose(samples.mean(axis=0), [-50_000.0, 0.0, 50_000.0], atol=1e-6)


def test_every_electrode_drifts():
    samples = draw(drift_uv_per_s=20.0).recording.samples
    np.testing.assert_allclose(samples[-1] - samples[0], 20.0 * (30.0 - 1.0 / SFREQ))


def test_mains_are_on_every_channel():
    samples = draw(mains_hz=50.0, mains_uv=30.0).recording.samples
    np.testing.assert_allclose(samples.std(axis=0), 30.0 / np.sqrt(2.0), rtol=0.01)
    strongest = np.abs(np.fft.rfft(samples[:, 0])).argmax()
    assert np.fft.rfftfreq(len(samples), 1.0 / SFREQ)[strongest] == pytest.approx(50.0)


def test_blinks_show_at_the_front():
    samples = draw(120.0, blinks_per_min=20.0).recording.samples
    assert samples[:, 0].max() > samples[:, 1].max() >= 0.0
    assert samples[:, 2].max() == 0.0


@pytest.mark.parametrize("exponent", [0.5, 1.5])
def test_the_background_falls_as_it_should(exponent):
    samples = draw(300.0, background_uv=10.0, background_exponent=exponent).recording.samples
    assert fit_spectrum(samples[:, 1], SFREQ).exponent == pytest.approx(exponent, abs=0.1)


def test_the_background_has_the_height_that_was_asked_for():
    samples = draw(300.0, background_uv=12.0).recording.samples[:, 1]
    power = 2.0 * np.abs(np.fft.rfft(samples) / samples.size) ** 2
    hz = np.fft.rfftfreq(samples.size, 1.0 / SFREQ)
    assert np.sqrt(power[(hz >= 1.0) & (hz <= 45.0)].sum()) == pytest.approx(12.0, rel=0.05)


def test_a_share_of_the_backgrounds_power_is_common_to_all_channels():
    samples = draw(300.0, background_uv=10.0, background_exponent=0.0).recording.samples
    together = np.corrcoef(samples.T)[np.triu_indices(3, 1)]
    np.testing.assert_allclose(together, COMMON_SHARE, atol=0.02)


def test_blinks_come_as_often_as_was_asked_for():
    samples = draw(600.0, blinks_per_min=20.0).recording.samples
    one = 0.5 * BLINK_UV * BLINK_S * SFREQ  # the sum over one blink: half its height for its length
    # A Poisson number of 200, within three of its SDs.
    assert samples[:, 0].sum() / one == pytest.approx(200.0, abs=3.0 * np.sqrt(200.0))


def test_a_single_channel_has_the_offset_that_was_asked_for():
    made = simulate(
        duration_s=2.0, sfreq=SFREQ, seed=1, channels=("O1",), alpha_uv=0.0, background_uv=0.0, offset_mv=50.0
    )
    np.testing.assert_allclose(made.recording.samples, 50_000.0)


def test_a_recording_says_its_seed_and_its_channels():
    recording = draw(alpha_uv=10.0).recording
    assert recording.name == "synthetic, seed 1"
    assert recording.names == CHANNELS
    assert recording.roles == ("eeg",) * 3
    assert recording.sfreq == SFREQ


def test_one_seed_gives_one_signal():
    settings = {"alpha_uv": 10.0, "background_uv": 10.0, "blinks_per_min": 5.0}
    np.testing.assert_array_equal(draw(**settings).recording.samples, draw(**settings).recording.samples)


def test_the_embedded_recording_is_made_again_byte_for_byte(tmp_path, monkeypatch):
    path = tmp_path / "again.edf"
    script = shipped_folder("recordings") / "make_synthetic_alpha.py"
    monkeypatch.setattr(sys, "argv", [str(script), str(path)])
    runpy.run_path(str(script), run_name="__main__")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entries()[0].sha256
