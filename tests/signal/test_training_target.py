"""What an estimator learns to predict."""

import numpy as np
import pytest

from closedloop.signal.spectrum import SpectrumFit, fit_spectrum
from closedloop.signal.training_target import rhythm_error_uv2, rhythm_estimate, target_gain, training_target
from closedloop.sources.matched import matched
from closedloop.sources.synthetic import simulate

SFREQ = 250.0
TIMES_S = np.arange(5000) / SFREQ


def test_a_rhythm_in_the_band_comes_back_analytic():
    target = training_target(10.0 * np.cos(2 * np.pi * 10.0 * TIMES_S + 0.7), SFREQ, (8.0, 12.0))
    inner = slice(500, -500)
    truth = 10.0 * np.exp(1j * (2 * np.pi * 10.0 * TIMES_S + 0.7))
    np.testing.assert_allclose(target[inner], truth[inner], atol=0.1)


@pytest.mark.parametrize(("hz", "gain"), [(8.0, 0.0), (8.35, 0.5), (8.7, 1.0), (11.3, 1.0), (11.65, 0.5), (12.0, 0.0)])
def test_the_gain_falls_to_nothing_at_the_edges(hz, gain):
    target = training_target(np.cos(2 * np.pi * hz * TIMES_S), SFREQ, (8.0, 12.0))
    assert np.abs(target[1000:-1000]).mean() == pytest.approx(gain, abs=0.02)


def test_offset_and_drift_are_left_out():
    x = np.cos(2 * np.pi * 10.0 * TIMES_S)
    clean = training_target(x, SFREQ, (8.0, 12.0))
    moved = training_target(x + 50_000.0 + 20.0 * TIMES_S, SFREQ, (8.0, 12.0))
    np.testing.assert_allclose(moved[300:-300], clean[300:-300], atol=1e-6)


def test_its_ends_are_unknown():
    known = np.isfinite(training_target(np.cos(2 * np.pi * 10.0 * TIMES_S), SFREQ, (8.0, 12.0)))
    assert not known[:250].any()
    assert known[250:-250].all()
    assert not known[-250:].any()


def fit_of(peak_uv2, background_uv2=1.0):
    """Return a fit of a rhythm with a triangular spectrum, 2 Hz to either side of 10 Hz, on a flat background."""
    frequencies = np.arange(0.0, 125.1, 0.25)
    component = peak_uv2 * np.maximum(0.0, 1.0 - np.abs(frequencies - 10.0) / 2.0)
    background = np.full_like(frequencies, background_uv2)
    return SpectrumFit(frequencies, background + component, background, component, 10.0, 10.0, 0.0)


def blend(hz, band_hz, fit):
    """Return the target's gain by its definition: a third the band's, two thirds the component's at equal power.

    The band's flanks are squares of sines over 0.7 Hz within its edges; inside them it is one.
    """

    def band(f):
        inner = ((np.abs(f - np.mean(band_hz)) - (band_hz[1] - band_hz[0]) / 2) / 0.7 + 1.0).clip(0.0, 1.0)
        return np.cos(np.pi / 2 * inner) ** 2

    def component(f):
        rhythm = fit.component_psd.max() * np.maximum(0.0, 1.0 - np.abs(f - 10.0) / 2.0)
        return rhythm / (rhythm + fit.background_psd[0])

    power = [np.sum(fit.psd * of(fit.frequencies_hz) ** 2) for of in (band, component)]
    return (band(hz) + 2.0 * np.sqrt(power[0] / power[1]) * component(hz)) / 3.0


@pytest.mark.parametrize("peak_uv2", [0.3, 3.0, 100.0])
def test_with_a_fit_the_gain_is_the_band_s_and_the_component_s_at_equal_power(peak_uv2):
    fit = fit_of(peak_uv2)
    hz = np.linspace(5.0, 15.0, 201)
    np.testing.assert_allclose(target_gain(hz, (7.0, 12.0), fit), blend(hz, (7.0, 12.0), fit), atol=1e-12)


@pytest.mark.parametrize("hz", [8.0, 8.7, 10.0, 11.25, 12.3])
def test_with_a_fit_a_sine_comes_back_with_the_stated_gain_and_no_phase_shift(hz):
    fit = fit_of(3.0)
    target = training_target(np.cos(2 * np.pi * hz * TIMES_S + 0.4), SFREQ, (8.0, 12.0), fit)
    found = np.mean(target[1000:-1000] * np.exp(-1j * (2 * np.pi * hz * TIMES_S[1000:-1000] + 0.4)))
    assert found == pytest.approx(blend(hz, (8.0, 12.0), fit), abs=0.02)


def test_both_views_of_the_rhythm_come_with_equal_power():
    fit = fit_of(3.0)
    gain, band = (target_gain(fit.frequencies_hz, (7.0, 12.0), given) for given in (fit, None))
    of_component = (3.0 * gain - band) / 2.0
    assert np.sum(fit.psd * of_component**2) == pytest.approx(np.sum(fit.psd * band**2))


@pytest.mark.parametrize("band_hz", [(8.0, 12.0), (20.0, 24.0)])
def test_where_no_rhythm_stands_out_the_target_is_the_band_alone(band_hz):
    x = np.random.default_rng(0).normal(size=5000)
    alone, with_fit = (training_target(x, SFREQ, band_hz, fit) for fit in (None, fit_of(0.0)))
    np.testing.assert_array_equal(with_fit, alone)


def test_a_gain_does_not_depend_on_the_unit():
    hz = np.linspace(5.0, 15.0, 201)
    np.testing.assert_allclose(
        target_gain(hz, (8.0, 12.0), fit_of(3e6, 1e6)), target_gain(hz, (8.0, 12.0), fit_of(3.0))
    )


def matched_eeg(alpha_uv):
    """Return a fit, and 2000 s of EEG with its spectra and known rhythm: its power is known to 1 or 2 %."""
    rest = simulate(duration_s=120.0, sfreq=125.0, seed=3, channels=["O1"], alpha_uv=alpha_uv).recording.samples[:, 0]
    fit = fit_spectrum(rest, 125.0)
    made = matched(fit, duration_s=2000.0, sfreq=125.0, seed=5)
    return fit, made.recording.samples[:, 0], made.rhythm[:, 0]


@pytest.mark.parametrize("alpha_uv", [4.0, 8.0, 20.0])
def test_the_estimate_s_error_is_what_it_misses_of_matched_eeg_s_own_rhythm(alpha_uv):
    fit, x, rhythm = matched_eeg(alpha_uv)
    missed = np.nanmean(np.abs(rhythm_estimate(x, 125.0, fit) - rhythm) ** 2)
    assert rhythm_error_uv2(fit) == pytest.approx(missed, rel=0.04)


@pytest.mark.parametrize("alpha_uv", [4.0, 20.0])
def test_what_the_estimate_misses_has_nothing_in_common_with_what_is_predicted_from_the_signal(alpha_uv):
    fit, x, rhythm = matched_eeg(alpha_uv)
    missed = rhythm - rhythm_estimate(x, 125.0, fit)
    for half_hz in (1.0, 3.0):
        other = training_target(x, 125.0, (fit.peak_hz - half_hz, fit.peak_hz + half_hz))
        known = np.isfinite(missed) & np.isfinite(other)
        together = np.mean(missed[known] * other[known].conj())
        assert abs(together) < 0.05 * np.sqrt(np.mean(np.abs(missed[known]) ** 2) * np.mean(np.abs(other[known]) ** 2))


def test_where_no_rhythm_stands_out_the_estimate_is_none_and_misses_nothing():
    x = np.random.default_rng(0).normal(size=5000)
    estimate = rhythm_estimate(x, SFREQ, fit_of(0.0))
    np.testing.assert_allclose(estimate[np.isfinite(estimate)], 0.0, atol=1e-12)
    assert rhythm_error_uv2(fit_of(0.0)) == 0.0


def test_a_rhythm_without_a_background_is_not_missed():
    fit = fit_of(3.0, 1e-12)
    assert rhythm_error_uv2(fit) == pytest.approx(0.0, abs=1e-9 * fit.component_uv**2)
