"""naive and the cascade in front of it: the textbook steps, one after the other, must come out."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from closedloop.errors import CalibrationError
from closedloop.estimators.cascade import band_pass
from closedloop.estimators.interface import LEADS_S, N_LEADS, Rest, predict
from closedloop.estimators.naive import design_naive, last_hilbert_weights

BAND_HZ = (8.0, 12.0)
SETTINGS = SimpleNamespace(window_s=0.5, order=4)


def draw_rest(*, sfreq=250.0, seconds=12.0, frequency_hz=10.0, noise_uv=3.0, seed=0):
    times_s = np.arange(round(seconds * sfreq)) / sfreq
    target = 10.0 * np.exp(2j * np.pi * frequency_hz * times_s)
    noise = np.random.default_rng(seed).normal(0.0, noise_uv, times_s.size)
    return Rest((target.real + noise)[:, None], target, sfreq, BAND_HZ, frequency_hz)


def slow_filter(x, sections):
    """Return the band-pass's output by SciPy: settled to the first clean sample, the last one held over gaps."""
    held, level = np.zeros(x.size), 0.0
    begin = int(np.flatnonzero(np.isfinite(x))[0])
    for i, value in enumerate(x):
        level = value if np.isfinite(value) else level
        held[i] = level
    y = np.full(x.size, np.nan)
    y[begin:], _ = signal.sosfilt(sections, held[begin:], zi=signal.sosfilt_zi(sections) * held[begin])
    return np.where(np.isfinite(x), y, np.nan)


def slow_predictions(x, *, sfreq, order, window_s, stride, peak_hz):
    y = slow_filter(x, signal.butter(order, BAND_HZ, "bandpass", fs=sfreq, output="sos"))
    n_values = round(window_s * sfreq / stride)
    z = np.full((x.size, N_LEADS), np.nan + 0j)
    turns = np.exp(2j * np.pi * peak_hz * (LEADS_S + (stride - 1) / 2 / sfreq))
    for i in range(n_values * stride - 1, x.size):
        window = y[i + 1 - n_values * stride : i + 1].reshape(n_values, stride).mean(axis=1)
        if np.isfinite(window).all():
            z[i] = signal.hilbert(window)[-1] * turns
    return z


@given(
    sfreq=st.sampled_from([128.0, 250.0, 2000.0]),
    order=st.integers(1, 6),
    gaps=st.lists(st.tuples(st.integers(0, 399), st.sampled_from([math.nan, math.inf, -math.inf])), max_size=3),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_equals_filter_and_hilbert_transform_done_one_after_the_other(sfreq, order, gaps, seed):
    settings = SimpleNamespace(window_s=0.1, order=order)
    design = design_naive(draw_rest(sfreq=sfreq, seconds=1.0), settings)
    x = np.random.default_rng(seed).normal(5.0, 20.0, 400)
    for place, value in gaps:
        x[place] = value
    z, _ = predict(design, x[:, None])
    stride = 2 if sfreq == 2000.0 else 1
    expected = slow_predictions(x, sfreq=sfreq, order=order, window_s=0.1, stride=stride, peak_hz=10.0)
    np.testing.assert_array_equal(np.isnan(z), np.isnan(expected))
    known = np.isfinite(expected)
    np.testing.assert_allclose(z[known], expected[known], rtol=0, atol=1e-9)


@given(n_values=st.integers(2, 300), seed=st.integers(0, 2**32 - 1))
def test_the_last_value_of_the_hilbert_transform_is_one_dot_product(n_values, seed):
    x = np.random.default_rng(seed).normal(size=n_values)
    assert abs(last_hilbert_weights(n_values) @ x - signal.hilbert(x)[-1]) < 1e-11


@pytest.mark.parametrize("frequency_hz", [9.0, 11.0])
def test_it_is_off_by_the_phase_of_its_band_pass(frequency_hz):
    """The warning that it stands for. A window of whole periods adds nothing to it."""
    rest = draw_rest(frequency_hz=frequency_hz, noise_uv=0.0, sfreq=500.0)
    z, _ = predict(design_naive(rest, SimpleNamespace(window_s=2.0, order=4)), rest.inputs)
    sections = signal.butter(4, BAND_HZ, "bandpass", fs=500.0, output="sos")
    response = signal.sosfreqz(sections, worN=[2 * np.pi * frequency_hz / 500.0])[1][0]
    error = z[3000:, 0] / rest.target[3000:]
    assert abs(np.degrees(np.angle(response))) > 40.0
    np.testing.assert_allclose(error, response, atol=0.01)


def test_its_phase_does_not_depend_on_the_unit():
    rest = draw_rest(noise_uv=20.0)
    design = design_naive(rest, SETTINGS)
    z, _ = predict(design, rest.inputs)
    for factor in (1e-4, 1e4):
        scaled, _ = predict(design, factor * rest.inputs)
        np.testing.assert_allclose(scaled[200:] / z[200:] / factor, 1.0, atol=1e-9)


def test_an_offset_that_was_there_from_the_start_does_not_ring():
    rest = draw_rest()
    design = design_naive(rest, SETTINGS)
    z, _ = predict(design, rest.inputs)
    lifted, _ = predict(design, rest.inputs + 1e5)
    np.testing.assert_allclose(lifted[200:], z[200:], atol=1e-3)


def test_it_recovers_from_what_no_filter_can_hold():
    """A square wave as large as numbers get overflows the cascade; what it leaves takes minutes to ring down."""
    rest = draw_rest(seconds=300.0)
    design = design_naive(rest, SETTINGS)
    x = rest.inputs.copy()
    calm, _ = predict(design, x, every=len(x))
    x[500:700, 0] = 1.7e308 * np.sign(np.sin(2 * np.pi * 10.0 * (np.arange(200) + 0.5) / 250.0))
    with np.errstate(over="ignore", invalid="ignore"):
        overflowed = signal.sosfilt(signal.butter(4, BAND_HZ, "bandpass", fs=250.0, output="sos"), x[:, 0])
    assert np.isnan(overflowed[-1])
    z, _ = predict(design, x, every=len(x))
    np.testing.assert_allclose(z[-1], calm[-1], atol=1e-6)


def test_zeros_give_no_phase_but_no_harm():
    rest = draw_rest()
    z, sd = predict(design_naive(rest, SETTINGS), np.zeros((300, 1)))
    assert not z[200:].any()
    assert np.isnan(sd).all()


def test_a_sample_without_a_question_is_taken_in():
    rest = draw_rest()
    design = design_naive(rest, SETTINGS)
    z, sd = predict(design, rest.inputs)
    thin_z, thin_sd = predict(design, rest.inputs, every=7)
    np.testing.assert_array_equal(thin_z[6::7], z[6::7])
    np.testing.assert_array_equal(thin_sd[6::7], sd[6::7])


def test_a_calibration_that_is_too_short_is_one_clear_line():
    with pytest.raises(CalibrationError, match=r"^calibration of 1\.5 s is too short for a window of 0\.5 s: .* 2 s"):
        design_naive(draw_rest(seconds=1.5), SETTINGS)


@pytest.mark.parametrize("band_hz", [(8.0, 12.5), (0.0, 8.0), (9.0, 9.0)])
def test_a_band_that_cannot_be_is_one_clear_line(band_hz):
    with pytest.raises(CalibrationError, match=r"^band = .* Hz does not lie between 0 and 12\.5 Hz"):
        band_pass(2, band_hz, 25.0)


@pytest.mark.uncompiled
def test_the_compiled_step_equals_the_plain_python(same_as_compiled):
    rest = draw_rest(seconds=2.0)
    x = draw_rest(seconds=1.5, seed=1).inputs
    x[150] = np.nan
    z, sd = predict(design_naive(rest, SETTINGS), x)
    same_as_compiled(re=z.real, im=z.imag, sd=sd)
