"""EEG that is matched to a recording, for one channel and for many."""

import numpy as np
import pytest
from scipy import signal

from closedloop.errors import CalibrationError
from closedloop.signal.cross_spectrum import fit_cross_spectrum
from closedloop.signal.reference_phase import reference_phase
from closedloop.signal.spectrum import fit_spectrum
from closedloop.sources.matched import matched, matched_channels
from closedloop.sources.synthetic import simulate

SFREQ = 250.0
NAMES = ("F3", "O1", "Fz", "Cz")


def draw(seconds=120.0, **settings):
    return simulate(
        duration_s=seconds, sfreq=SFREQ, seed=4, channels=NAMES, background_uv=10.0, **settings
    ).recording.samples


def test_what_is_matched_has_the_fits_background_and_rhythm():
    fit = fit_spectrum(draw(alpha_uv=10.0)[:, 1], SFREQ)
    made = matched(fit, duration_s=600.0, sfreq=SFREQ, seed=2)
    again = fit_spectrum(made.recording.samples[:, 0], SFREQ)
    assert again.peak_hz == pytest.approx(fit.peak_hz, abs=0.5)
    assert again.snr_db == pytest.approx(fit.snr_db, abs=1.5)
    assert again.exponent == pytest.approx(fit.exponent, abs=0.1)
    assert np.sqrt(np.mean(made.rhythm.real**2)) == pytest.approx(fit.component_uv, rel=0.1)


def test_the_true_phase_of_what_is_matched_is_the_signals_own():
    fit = fit_spectrum(draw(alpha_uv=30.0)[:, 1], SFREQ)
    made = matched(fit, duration_s=60.0, sfreq=SFREQ, seed=3)
    places = np.arange(500, 14_500)
    found = reference_phase(made.recording.samples[:, 0], SFREQ, fit.peak_hz).at(places / SFREQ)
    mean = np.exp(1j * (found - np.angle(made.rhythm[places, 0]))).mean()
    assert abs(mean) > 0.9
    assert np.degrees(np.angle(mean)) == pytest.approx(0.0, abs=2.0)


def test_what_is_matched_is_the_same_for_the_same_seed_only():
    fit = fit_spectrum(draw(60.0, alpha_uv=10.0)[:, 1], SFREQ)
    one, again, other = (matched(fit, duration_s=10.0, sfreq=SFREQ, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.recording.samples, again.recording.samples)
    np.testing.assert_array_equal(one.rhythm, again.rhythm)
    assert abs(np.corrcoef(one.recording.samples[:, 0], other.recording.samples[:, 0])[0, 1]) < 0.3


def coherence_at_peak(x, first, second):
    frequencies, found = signal.coherence(x[:, first], x[:, second], SFREQ, nperseg=500)
    return found[np.abs(frequencies - 10.0) < 0.75].mean()


def test_many_channels_keep_their_powers_and_how_much_they_are_alike():
    x = draw(300.0, alpha_uv=15.0)
    fit = fit_cross_spectrum(x, SFREQ, 10.0)
    made = matched_channels(fit, NAMES, duration_s=600.0, sfreq=SFREQ, seed=1).recording.samples
    for channel in range(len(NAMES)):
        before, after = fit_spectrum(x[:, channel], SFREQ), fit_spectrum(made[:, channel], SFREQ)
        assert after.snr_db == pytest.approx(before.snr_db, abs=1.5)
        assert np.std(made[:, channel]) == pytest.approx(np.std(x[:, channel]), rel=0.15)
    for pair in ((0, 1), (0, 2), (2, 3)):
        assert coherence_at_peak(made, *pair) == pytest.approx(coherence_at_peak(x, *pair), abs=0.12)


def test_the_component_is_the_rhythm_that_was_put_in_as_each_channel_shows_it():
    """The simulation shows the rhythm with weights 1, 1, 0.35, 0.25: a component of rank one."""
    made = simulate(duration_s=600.0, sfreq=SFREQ, seed=4, channels=NAMES, background_uv=10.0, alpha_uv=15.0)
    fit = fit_cross_spectrum(made.recording.samples, SFREQ, 10.0)
    total = fit.component.sum(axis=0).real
    np.testing.assert_allclose(total[1] / total[1, 1], made.weights, atol=0.1)
    power = 15.0**2 * np.outer(made.weights, made.weights)
    np.testing.assert_allclose(total * fit.frequencies_hz[1], power, atol=0.15 * 15.0**2)


def test_densities_are_positive():
    fit = fit_cross_spectrum(draw(alpha_uv=5.0), SFREQ, 10.0)
    for density in (fit.background, fit.component):
        assert np.linalg.eigvalsh(density).min() > -1e-9 * np.abs(density).max()


def test_without_its_rhythm_the_same_background_remains():
    fit = fit_cross_spectrum(draw(alpha_uv=10.0), SFREQ, 10.0)
    given = {"duration_s": 20.0, "sfreq": SFREQ, "seed": 5}
    whole = matched_channels(fit, NAMES, **given)
    flat = matched_channels(fit, NAMES, **given, with_rhythm=False)
    np.testing.assert_array_equal(whole.rhythm, flat.rhythm)
    np.testing.assert_allclose(whole.recording.samples - flat.recording.samples, whole.rhythm.real, atol=1e-9)


def test_too_short_a_stretch_for_so_many_channels_is_one_clear_line(one_line_error):
    said = one_line_error(CalibrationError, fit_cross_spectrum, draw(3.0), SFREQ, 10.0)
    assert said == "stretch of 3.0 s is too short for the cross-spectra of 4 channels: at least 5 s are needed"


def test_a_dead_channel_is_one_clear_line(one_line_error):
    x = draw(30.0)
    x[:, 2] = 0.0
    assert "a channel is dead" in one_line_error(CalibrationError, fit_cross_spectrum, x, SFREQ, 10.0)
