"""etp: a slow reference that filters every window by its Fourier transform, and what training must find."""

import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from closedloop.config.estimators import Etp
from closedloop.errors import CalibrationError
from closedloop.estimators.etp import band_bins, design_etp, typical_period_s
from closedloop.estimators.interface import LEADS_S, N_LEADS, Rest, predict
from closedloop.signal.training_target import training_target

BAND_HZ = (8.0, 13.0)
SETTINGS = Etp(type="etp")


def sine_rest(*, sfreq=250.0, seconds=30.0, frequency_hz=10.0, noise_uv=0.0, seed=0, band_hz=BAND_HZ):
    times_s = np.arange(round(seconds * sfreq)) / sfreq
    target = 10.0 * np.exp(2j * np.pi * frequency_hz * times_s)
    noise = np.random.default_rng(seed).normal(0.0, noise_uv, times_s.size)
    return Rest((target.real + noise)[:, None], target, sfreq, band_hz, frequency_hz)


def waxing_rest(*, sfreq=250.0, seconds=120.0, seed=1, noise_uv=5.0):
    """Return a rhythm that waxes and wanes, with the target that calibration would give."""
    rng = np.random.default_rng(seed)
    sections = signal.butter(1, (9.5, 10.7), "bandpass", fs=sfreq, output="sos")
    rhythm = signal.sosfilt(sections, rng.normal(size=round(seconds * sfreq)))
    x = 10.0 * rhythm / rhythm.std() + rng.normal(0.0, noise_uv, rhythm.size)
    return Rest(x[:, None], training_target(x, sfreq, BAND_HZ), sfreq, BAND_HZ, 10.1)


def brick_wall(window, sfreq, band_hz):
    spectrum = np.fft.rfft(window)
    kept = np.zeros_like(spectrum)
    bins = np.arange(spectrum.size)
    low, high = (int(np.argmin(np.abs(bins * sfreq / window.size - edge))) for edge in band_hz)
    kept[low : high + 1] = spectrum[low : high + 1]
    return np.fft.irfft(kept, window.size)


def maxima(y):
    return [k for k in range(1, y.size - 1) if y[k] >= y[k - 1] and y[k] >= y[k + 1]]


def last_peak(y, distance):
    """Return the last maximum, or the higher one within the distance before it, as long as there is one."""
    found = maxima(y)
    peak = found[-1]
    for k in reversed(found[:-1]):
        if peak - k < distance and y[k] > y[peak]:
            peak = k
    return peak


def last_peak_as_published(y, distance):
    """Return the last of the maxima that are left when all lower neighbours are dropped at once, repeatedly."""
    found = np.array(maxima(y))
    while (close := np.diff(found) < distance).any():
        lower_first = y[found[:-1]] <= y[found[1:]]
        dropped = np.zeros(found.size, bool)
        dropped[:-1] |= close & lower_first
        dropped[1:] |= close & ~lower_first
        found = found[~dropped]
    return int(found[-1])


def slow_predictions(x, *, sfreq, window_s, stride, period_s, band_hz=BAND_HZ):
    rate = sfreq / stride
    n = round(window_s * rate)
    edge = round(rate / (3 * np.mean(band_hz)))
    z = np.full((x.size, N_LEADS), np.nan + 0j)
    for i in range(n * stride - 1, x.size):
        window = x[i + 1 - n * stride : i + 1].reshape(n, stride).mean(axis=1)
        if not np.isfinite(window).all():
            continue
        y = brick_wall(window, rate, band_hz)
        k = last_peak(y[: n - edge], rate / (band_hz[1] + 1.0))
        vertex = np.polynomial.Polynomial.fit([-1, 0, 1], y[k - 1 : k + 2], 2).deriv().roots()[0]
        age_s = (n - 1 - k - vertex) / rate + (stride - 1) / 2 / sfreq
        z[i] = abs(y[k]) * np.exp(2j * np.pi * (age_s + LEADS_S) / period_s)
    return z


@pytest.mark.parametrize(
    ("sfreq", "window_s", "stride"), [(250.0, 0.5, 1), (512.0, 0.4, 1), (2000.0, 0.3, 2), (300.0, 0.303, 1)]
)
def test_it_equals_a_brick_wall_and_a_search_for_the_last_peak(sfreq, window_s, stride):
    rest = waxing_rest(sfreq=sfreq, seconds=10.0)
    design = design_etp(rest, SimpleNamespace(window_s=window_s))
    x = np.random.default_rng(3).normal(0.0, 20.0, round(1.5 * sfreq))
    x[round(0.7 * sfreq)] = np.nan
    z, _ = predict(design, x[:, None])
    expected = slow_predictions(
        x, sfreq=sfreq, window_s=window_s, stride=stride, period_s=design.facts["period_ms"] / 1000.0
    )
    np.testing.assert_array_equal(np.isnan(z), np.isnan(expected))
    known = np.isfinite(expected)
    np.testing.assert_allclose(z[known], expected[known], rtol=0, atol=1e-8)


def test_the_last_peak_is_that_of_the_published_search_in_all_but_a_few_windows():
    rng = np.random.default_rng(5)
    same = []
    for _ in range(2000):
        y = brick_wall(rng.normal(size=250), 500.0, BAND_HZ)[:234]
        same.append(last_peak(y, 500.0 / 14.0) == last_peak_as_published(y, 500.0 / 14.0))
    assert np.mean(same) > 0.999


@given(st.integers(20, 1000), st.floats(100.0, 1000.0), st.floats(3.0, 12.0), st.floats(0.5, 15.0))
def test_the_bins_reach_from_the_nearest_to_one_edge_to_the_nearest_to_the_other(n_values, rate_hz, low, width):
    spacing = rate_hz / n_values
    bins = band_bins(n_values, rate_hz, (low, low + width)) * spacing
    assert abs(bins[0] - low) <= spacing / 2 + 1e-9
    assert abs(bins[-1] - low - width) <= spacing / 2 + 1e-9
    np.testing.assert_allclose(np.diff(bins), spacing)


@pytest.mark.parametrize("sfreq", [128.0, 250.0, 500.0, 1000.0, 2048.0])
@pytest.mark.parametrize("frequency_hz", [8.5, 10.3, 12.5])
def test_the_typical_period_is_that_of_a_sine(sfreq, frequency_hz):
    assert typical_period_s(sine_rest(sfreq=sfreq, frequency_hz=frequency_hz)) == pytest.approx(
        1 / frequency_hz, abs=6e-4
    )


def test_training_takes_out_most_of_what_its_predictions_are_late_or_early():
    """Against the same targets one ms of correction is 3.6 degrees: about that is left, at the predicted peak."""
    rest = waxing_rest()
    design = design_etp(rest, SETTINGS)
    z, _ = predict(design, rest.inputs, stop=1, every=12)
    rows = np.flatnonzero(np.isfinite(z[:, 0]))
    period_s = design.facts["period_ms"] / 1000.0
    # Between the predicted peak and now the target turns by itself, so look at the target at the peak.
    age_s = np.mod(np.angle(z[rows, 0]), 2 * np.pi) / (2 * np.pi) * period_s
    ahead = np.round((rows / 250.0 + period_s - age_s) * 250.0).astype(int)
    late = np.angle(np.nanmean(np.exp(1j * np.angle(rest.target[ahead[ahead < rest.target.size]]))))
    assert abs(np.degrees(late)) < 12.0
    assert design.facts["period_ms"] - design.facts["correction_ms"] == pytest.approx(1000.0 * typical_period_s(rest))


@pytest.mark.parametrize("shift_s", [-0.006, 0.006])
def test_the_correction_follows_peaks_that_come_later_than_the_rhythm_says(shift_s):
    """A target that runs some ms behind or ahead of the signal is what the correction has to find."""
    rest = sine_rest(sfreq=1000.0)
    shifted = Rest(
        rest.inputs, rest.target * np.exp(-2j * np.pi * 10.0 * shift_s), rest.sfreq, rest.band_hz, rest.peak_hz
    )
    assert design_etp(shifted, SETTINGS).facts["correction_ms"] == pytest.approx(1000.0 * shift_s, abs=1.1)


@pytest.mark.parametrize("sfreq", [250.0, 500.0, 1000.0, 2000.0])
def test_a_sine_of_the_trained_period_is_predicted(sfreq):
    rest = sine_rest(sfreq=sfreq, frequency_hz=10.0)
    z, sd = predict(design_etp(rest, SETTINGS), rest.inputs)
    rows = np.arange(round(sfreq), round(20 * sfreq))
    error = np.angle(z[rows] / rest.targets()[rows])
    assert np.degrees(np.abs(error)).max() < 2.0
    assert np.abs(np.abs(z[rows]) / 10.0 - 1.0).max() < 0.05
    assert np.isfinite(sd[rows]).all()


def test_phase_runs_on_with_the_period_over_the_leads():
    rest = waxing_rest(seconds=20.0)
    design = design_etp(rest, SETTINGS)
    z, _ = predict(design, rest.inputs)
    turned = z[200:] / z[200:, :1]
    expected = np.exp(2j * np.pi * LEADS_S * 1000.0 / design.facts["period_ms"])
    np.testing.assert_allclose(turned, np.broadcast_to(expected, turned.shape), atol=1e-9)


def test_its_phase_does_not_depend_on_the_unit_nor_on_an_offset():
    rest = waxing_rest(seconds=20.0)
    design = design_etp(rest, SETTINGS)
    z, _ = predict(design, rest.inputs)
    for factor in (1e-4, 1e4):
        scaled, _ = predict(design, factor * rest.inputs)
        np.testing.assert_allclose(scaled[200:] / z[200:] / factor, 1.0, atol=1e-9)
    lifted, _ = predict(design, rest.inputs + 1000.0)
    np.testing.assert_allclose(lifted[200:], z[200:], atol=1e-6)


def test_zeros_and_steps_do_no_harm():
    design = design_etp(sine_rest(), SETTINGS)
    x = np.zeros((500, 1))
    x[300:] = 1000.0
    z, sd = predict(design, x)
    assert not np.abs(z[200:300]).any()
    assert np.isnan(sd[:300]).all()
    assert np.isfinite(z[300:]).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_after_a_bad_sample_it_waits_for_a_window(bad):
    rest = waxing_rest(seconds=20.0)
    design = design_etp(rest, SETTINGS)
    x = rest.inputs[:1000].copy()
    calm, _ = predict(design, x)
    x[400] = bad
    z, _ = predict(design, x)
    assert np.isnan(z[400:525]).all()
    np.testing.assert_array_equal(z[525:], calm[525:])


@pytest.mark.parametrize(
    ("rest", "window_s", "message"),
    [
        (sine_rest(seconds=1.5), 0.5, r"^calibration of 1\.5 s is too short for a window of 0\.5 s: .* 2 s are needed"),
        (waxing_rest(seconds=2.5), 0.5, r"^calibration of 2\.5 s holds \d+ windows .* at least 20 are needed"),
        (sine_rest(), 0.2, r"^window_s = 0\.2 is below 0\.25, two periods of 8 Hz"),
        (sine_rest(sfreq=27.0), 0.5, r"^band up to 13 Hz is too near to 13\.5 Hz, half the sampling rate"),
        (sine_rest(frequency_hz=1.0), 0.5, r"^calibration holds no two peaks in a row .* 8 to 13 Hz"),
    ],
)
def test_what_cannot_be_learnt_from_is_one_clear_line(rest, window_s, message, one_line_error):
    assert re.match(message, one_line_error(CalibrationError, design_etp, rest, SimpleNamespace(window_s=window_s)))


@pytest.mark.uncompiled
def test_the_compiled_step_equals_the_plain_python(same_as_compiled):
    rest = waxing_rest(seconds=6.0, sfreq=128.0)
    x = waxing_rest(seconds=1.5, sfreq=128.0, seed=2).inputs
    x[100] = np.nan
    z, sd = predict(design_etp(rest, SETTINGS), x)
    same_as_compiled(re=z.real, im=z.imag, sd=sd)
