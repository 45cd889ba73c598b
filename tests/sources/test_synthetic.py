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
from closedloop.sources.synthetic import matched, simulate

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


def test_one_seed_gives_one_signal():
    settings = {"alpha_uv": 10.0, "background_uv": 10.0, "blinks_per_min": 5.0}
    np.testing.assert_array_equal(draw(**settings).recording.samples, draw(**settings).recording.samples)


def test_what_is_matched_has_the_fits_background_and_rhythm():
    fit = fit_spectrum(draw(120.0, alpha_uv=10.0, background_uv=10.0).recording.samples[:, 1], SFREQ)
    made = matched(fit, duration_s=600.0, sfreq=SFREQ, seed=2)
    again = fit_spectrum(made.recording.samples[:, 0], SFREQ)
    assert again.peak_hz == pytest.approx(fit.peak_hz, abs=0.5)
    assert again.snr_db == pytest.approx(fit.snr_db, abs=1.5)
    assert again.exponent == pytest.approx(fit.exponent, abs=0.1)
    assert np.sqrt(np.mean(made.alpha.real**2)) == pytest.approx(fit.component_uv, rel=0.1)


def test_the_embedded_recording_is_made_again_byte_for_byte(tmp_path, monkeypatch):
    path = tmp_path / "again.edf"
    script = shipped_folder("recordings") / "make_synthetic_alpha.py"
    monkeypatch.setattr(sys, "argv", [str(script), str(path)])
    runpy.run_path(str(script), run_name="__main__")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entries()[0].sha256
