"""Background and rhythm of rest, recovered from signals whose spectra are known."""

import numpy as np
import pytest

from closedloop.errors import CalibrationError
from closedloop.signal.spectrum import fit_spectrum
from closedloop.signal.surrogates import background_noise

SFREQ = 250.0


def coloured(exponent, seconds=600.0, *, peak_hz=None, ratio=0.0, width_hz=0.5, seed=1):
    """Return power-law noise; at ``peak_hz`` its density is ``1 + ratio`` times the law's."""
    grid = np.linspace(0.0, SFREQ / 2, 2001)
    psd = 100.0 * np.maximum(grid, 0.5) ** -exponent
    if peak_hz is not None:
        psd *= 1.0 + ratio * np.exp(-0.5 * ((grid - peak_hz) / width_hz) ** 2)
    rng = np.random.default_rng(seed)
    return background_noise(grid, psd, n_samples=round(seconds * SFREQ), sfreq=SFREQ, rng=rng)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_law_is_found(exponent):
    assert fit_spectrum(coloured(exponent), SFREQ).exponent == pytest.approx(exponent, abs=0.05)


@pytest.mark.parametrize("peak_hz", [8.25, 10.0, 12.5])
@pytest.mark.parametrize("ratio", [3.0, 30.0])
def test_peak_and_snr_of_a_rhythm_are_found(peak_hz, ratio):
    fit = fit_spectrum(coloured(1.0, peak_hz=peak_hz, ratio=ratio), SFREQ)
    assert fit.peak_hz == pytest.approx(peak_hz, abs=0.5)
    assert fit.snr_db == pytest.approx(10.0 * np.log10(1.0 + ratio), abs=1.0)


def test_the_peak_is_where_the_rhythm_stands_highest_above_the_background():
    # A law of exponent 2 falls to (7.5 / 12.5)² = 0.36 over the range: twice that is not the highest.
    x = coloured(2.0, peak_hz=12.5, ratio=1.0)
    fit = fit_spectrum(x, SFREQ)
    searched = (fit.frequencies_hz >= 7.5) & (fit.frequencies_hz <= 13.5)
    assert fit.frequencies_hz[searched][np.argmax(fit.psd[searched])] < 9.0
    assert fit.peak_hz == pytest.approx(12.5, abs=0.5)


@pytest.mark.parametrize("peak_hz", [6.9, 14.1])
def test_a_rhythm_beside_the_alpha_range_is_not_its_peak(peak_hz):
    fit = fit_spectrum(coloured(1.0, peak_hz=peak_hz, ratio=30.0, width_hz=0.2), SFREQ)
    assert 7.5 <= fit.peak_hz <= 13.5


def test_on_noise_alone_the_snr_is_near_zero():
    assert 0.0 < fit_spectrum(coloured(1.0), SFREQ).snr_db < 1.5


def test_the_component_holds_the_rhythms_power():
    x = 10.0 * np.cos(2 * np.pi * 10.0 * np.arange(60 * 250) / SFREQ) + 0.1 * coloured(1.0, 60.0)
    # A cosine of 10 µV has a root mean square of 7.07 µV; Welch's window spreads it over few bins.
    fit = fit_spectrum(x, SFREQ)
    assert fit.component_uv == pytest.approx(10.0 / np.sqrt(2.0), rel=0.02)
    assert fit.bandwidth_hz < 0.6


def test_the_component_of_a_broad_rhythm_is_whole():
    fit = fit_spectrum(coloured(1.0, 1200.0, peak_hz=10.0, ratio=10.0, width_hz=1.0), SFREQ)
    # A Gaussian of SD 1 Hz and its height at 10 Hz: 100 / 10 times 10; 99.7 % of it lie within 3 Hz.
    assert fit.component_uv == pytest.approx(np.sqrt(100.0 * np.sqrt(2 * np.pi)), rel=0.03)
    assert fit.bandwidth_hz == pytest.approx(np.sqrt(2 * np.pi), rel=0.25)  # Welch's highest bin stands above the law


def test_a_component_is_nowhere_negative():
    assert fit_spectrum(coloured(1.0), SFREQ).component_psd.min() == 0.0


def test_the_background_is_the_spectrum_itself_outside_the_fitted_range():
    fit = fit_spectrum(coloured(1.0, 60.0), SFREQ)
    outside = (fit.frequencies_hz < 2.0) | (fit.frequencies_hz > 35.0)
    np.testing.assert_array_equal(fit.background_psd[outside], fit.psd[outside])
    assert np.all(fit.component_psd[np.abs(fit.frequencies_hz - fit.peak_hz) > 3.0] == 0.0)


def test_too_short_a_stretch_is_refused():
    with pytest.raises(CalibrationError, match=r"^recording of 7\.0 s is too short .* at least 8 s are needed$"):
        fit_spectrum(coloured(1.0, 7.0), SFREQ)


def test_too_low_a_rate_is_refused():
    with pytest.raises(CalibrationError, match=r"sampling rate = 64 Hz is too low: .* more than 70 Hz$"):
        fit_spectrum(np.random.default_rng(1).normal(size=64 * 60), 64.0)


def test_a_dead_signal_is_refused():
    with pytest.raises(CalibrationError, match="the signal is dead"):
        fit_spectrum(np.zeros(250 * 60), SFREQ)
