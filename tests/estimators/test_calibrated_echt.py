"""c-echt: what it answers to cosines, and that no other constant would answer better."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, signal

from closedloop.config.estimators import CalibratedEcht
from closedloop.errors import CalibrationError
from closedloop.estimators.calibrated_echt import design_calibrated_echt, endpoint_gains
from closedloop.estimators.interface import LEADS_S, Rest, predict

SFREQ = 250.0


def cosine_rest(*, peak_hz=10.0, sfreq=SFREQ, seconds=10.0, noise_uv=1.0, frequency_hz=None):
    """Return a rest of a cosine of 10 µV, at the peak's frequency unless another is named, in white noise."""
    times_s = np.arange(round(seconds * sfreq)) / sfreq
    target = 10.0 * np.exp(2j * np.pi * (frequency_hz or peak_hz) * times_s)
    x = target.real + np.random.default_rng(2).normal(0.0, noise_uv, times_s.size)
    return Rest(x[:, None], target, sfreq, (0.75 * peak_hz, 1.25 * peak_hz), peak_hz)


def design(rest, cycles=2, order=1):
    return design_calibrated_echt(rest, CalibratedEcht(type="c-echt", cycles=cycles, order=order))


def published_endpoint(x, sfreq, band_hz, order):
    """Return the last value of the endpoint-corrected Hilbert transform of a window, by the published recipe."""
    n = len(x)
    f = np.ceil(np.arange(-n / 2, n / 2)) / (n / sfreq)
    one_sided = np.where(f > 0, 2.0, np.where(f < 0, 0.0, 1.0))
    if n % 2 == 0:
        one_sided[f == f.min()] = 1.0  # Nyquist
    b, a = signal.butter(order, np.array(band_hz) / (sfreq / 2), "bandpass")
    z = np.exp(2j * np.pi * f / sfreq)
    response = np.polyval(b, z) / np.polyval(a, z)
    return np.fft.ifft(np.fft.ifftshift(np.fft.fftshift(np.fft.fft(x)) * one_sided * response))[-1]


def answers(rest, n_taps, order, n_phases=720):
    """Return what the published transform says of unit cosines at the peak, and their true phases at the end."""
    theta = 2 * np.pi * np.arange(n_phases) / n_phases
    age = np.arange(n_taps - 1, -1, -1) / rest.sfreq
    cosines = np.cos(theta[:, None] - 2 * np.pi * rest.peak_hz * age)
    return np.array([published_endpoint(x, rest.sfreq, rest.band_hz, order) for x in cosines]), theta


@given(
    n_samples=st.integers(1, 60), turn=st.floats(0.01, 3.0), theta=st.floats(-4.0, 4.0), seed=st.integers(0, 2**32 - 1)
)
def test_the_gains_are_those_of_a_cosine_and_its_image(n_samples, turn, theta, seed):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=n_samples) + 1j * rng.normal(size=n_samples)
    plus, minus = endpoint_gains(weights, turn)
    answer = weights @ np.cos(theta - turn * np.arange(n_samples - 1, -1, -1))
    assert abs(answer - (plus * np.exp(1j * theta) + minus * np.exp(-1j * theta))) < 1e-11 * n_samples


@pytest.mark.parametrize(("peak_hz", "cycles", "order"), [(10.0, 2, 1), (9.3, 3, 1), (10.75, 1, 2)])
def test_its_predictions_are_the_published_transform_times_the_constant_that_least_squares_finds(
    peak_hz, cycles, order
):
    """The constant of the paper is here not computed from the weights, but fitted to many cosines."""
    rest = cosine_rest(peak_hz=peak_hz)
    n_taps = round(cycles * SFREQ / peak_hz)
    said, theta = answers(rest, n_taps, order)
    wanted = np.exp(1j * theta)
    (constant,), (missed,), *_ = np.linalg.lstsq(said[:, None], wanted, rcond=None)
    z, _ = predict(design(rest, cycles, order), rest.inputs[:200])
    expected = [
        constant * published_endpoint(rest.inputs[i + 1 - n_taps : i + 1, 0], SFREQ, rest.band_hz, order)
        for i in range(n_taps - 1, 200)
    ]
    np.testing.assert_allclose(z[n_taps - 1 :, 0], expected, rtol=0, atol=1e-9)
    residual = design(rest, cycles, order).facts["residual"]
    assert residual == pytest.approx(missed / len(theta), abs=1e-12)


def test_no_other_constant_comes_closer_to_a_cosine():
    said, theta = answers(cosine_rest(), 50, 1)
    wanted = np.exp(1j * theta)

    def missed(c):
        return np.mean(np.abs(complex(*c) * said - wanted) ** 2)

    best = optimize.minimize(missed, [1.0, 0.0], method="BFGS").fun
    assert design(cosine_rest()).facts["residual"] == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("sfreq", [125.0, 250.0, 500.0, 5000.0])
@pytest.mark.parametrize("peak_hz", [8.3, 10.0, 11.7])
def test_of_a_cosine_at_the_peak_the_mean_error_is_zero_at_every_lead(sfreq, peak_hz):
    rest = cosine_rest(peak_hz=peak_hz, sfreq=sfreq)
    designed = design(rest)
    times_s = np.arange(round(3 * sfreq)) / sfreq
    z, _ = predict(designed, np.cos(2 * np.pi * peak_hz * times_s)[:, None])
    ahead = np.exp(2j * np.pi * peak_hz * (times_s[:, None] + LEADS_S))
    # Two seconds hold whole half-turns of a peak given in tenths of a Hz, or nearly: the image averages out.
    relative = (z / ahead)[-round(sfreq * 2) :]
    assert np.degrees(np.abs(np.angle(relative.mean(axis=0)))).max() < 0.3
    assert np.abs(np.angle(relative)).max() < 1.1 * math.asin(math.sqrt(designed.facts["residual"])) + 1e-3


def test_without_calibration_it_would_be_late():
    """The bias that calibration takes away is several degrees, and is told."""
    said, theta = answers(cosine_rest(), 50, 1)
    bias = np.degrees(np.angle(np.mean(said * np.exp(-1j * theta))))
    assert design(cosine_rest()).facts["uncalibrated_deg"] == pytest.approx(bias, abs=1e-6)
    assert abs(bias) > 2.0


def test_the_constant_takes_nothing_off_the_error_of_another_frequency():
    """The paper's caution: calibration is for the peak; beside it the phase is off, on either side the other way."""
    designed = design(cosine_rest())
    errors = []
    for frequency_hz in (9.0, 11.0):
        times_s = np.arange(1000) / SFREQ
        z, _ = predict(designed, np.cos(2 * np.pi * frequency_hz * times_s)[:, None])
        turned = z[250:, 0] * np.exp(-2j * np.pi * frequency_hz * times_s[250:])
        errors.append(np.degrees(np.angle(turned.mean())))
    assert errors[0] > 5.0
    assert errors[1] < -5.0


@pytest.mark.parametrize("scale", [1e-4, 0.37, 1e4])
def test_only_the_amplitude_scales(scale):
    rest = cosine_rest()
    z, _ = predict(design(rest), rest.inputs[:80])
    scaled, _ = predict(design(rest), scale * rest.inputs[:80])
    np.testing.assert_allclose(scaled[60:], scale * z[60:], rtol=1e-9)


def test_its_window_is_the_number_of_samples_nearest_to_the_cycles():
    assert design(cosine_rest(peak_hz=10.3)).facts["taps"] == 49  # 48.54
    assert design(cosine_rest(peak_hz=10.3)).window_s == pytest.approx(49 / SFREQ)
    fast = design(cosine_rest(sfreq=5000.0))
    assert (fast.facts["taps"], fast.facts["stride"]) == (200, 5)
    assert fast.window_s == pytest.approx(0.2)


def test_a_calibration_that_is_too_short_is_one_clear_line(one_line_error):
    line = one_line_error(CalibrationError, design, cosine_rest(seconds=0.7))
    assert line == "calibration of 0.7 s is too short for a window of 2 cycles at 10 Hz: at least 0.8 s are needed"


def test_a_band_past_half_the_sampling_rate_is_one_clear_line(one_line_error):
    line = one_line_error(CalibrationError, design, cosine_rest(sfreq=100.0, peak_hz=45.0))
    assert "56.25 Hz" in line
    assert "50 Hz" in line


@pytest.mark.uncompiled
def test_the_compiled_estimator_equals_the_plain_python(same_as_compiled):
    rest = cosine_rest(seconds=2.0)
    z, sd = predict(design(rest), rest.inputs[:100])
    same_as_compiled(re=z.real, im=z.imag, sd=sd)
