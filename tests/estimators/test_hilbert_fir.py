"""hilbert_fir: a slow reference that does each published step by itself, in NumPy and SciPy."""

import math
import re

import numpy as np
import pytest
from scipy import signal

from closedloop.config.estimators import HilbertFir
from closedloop.errors import CalibrationError
from closedloop.estimators.hilbert_fir import design_hilbert_fir, transformer_taps
from closedloop.estimators.interface import LEADS_S, N_LEADS, Rest, predict

BAND_HZ = (8.0, 12.0)
PUBLISHED_TAPS = (
    0.28757250783614413,
    -0.000027647225074994485,
    0.094611325643268351,
    0.00025887439499763831,
    0.129436276914844,
    0.0001608427426424053,
    0.21315096860055227,
    0.00055322197399797961,
    0.63685698210351149,
)
"""One half of ``firpm(18, [4 246]/250, [1 1], 'hilbert')`` as other software prints it, up to the sign."""


def settings(**changes):
    return HilbertFir(type="hilbert_fir", **changes)


def draw_rest(*, sfreq=500.0, seconds=12.0, frequency_hz=10.0, noise_uv=3.0, seed=0, band_hz=BAND_HZ):
    times_s = np.arange(round(seconds * sfreq)) / sfreq
    target = 10.0 * np.exp(2j * np.pi * frequency_hz * times_s)
    noise = np.random.default_rng(seed).normal(0.0, noise_uv, times_s.size)
    return Rest((target.real + noise)[:, None], target, sfreq, band_hz, frequency_hz)


def slow_filter(x, sections):
    """Return the band-pass's output by SciPy: settled to the first sample, the last one held over gaps."""
    clean = np.isfinite(x)
    held = x[np.maximum.accumulate(np.where(clean, np.arange(x.size), 0))]
    y, _ = signal.sosfilt(sections, held, zi=signal.sosfilt_zi(sections) * held[0])
    return np.where(clean, y, np.nan)


def burg(x, order):
    """Return the error filter 1, a1 .. ap of least forward and backward error, stage by stage."""
    a = np.ones(1)
    forward, backward = x[1:], x[:-1]
    for _ in range(order):
        reflection = -2.0 * (forward @ backward) / (forward @ forward + backward @ backward)
        padded = np.append(a, 0.0)
        a = padded + reflection * padded[::-1]
        forward, backward = (forward + reflection * backward)[1:], (backward + reflection * forward)[:-1]
    return a


def slow_predictions(x, *, sfreq, band_hz, order, ar_order, delay, stride, n_values, between, peak_hz):
    """Fit at every ``between``-th sample of a full window, predict, convolve with the transformer, interpolate."""
    rate = sfreq / stride
    y = slow_filter(x, signal.butter(order, band_hz, "bandpass", fs=sfreq, output="sos"))
    taps = signal.remez(2 * delay + 1, [4.0, rate / 2 - 4.0], [1.0], type="hilbert", fs=rate)
    gain = np.abs(signal.freqz(taps, worN=np.linspace(*band_hz, 101), fs=rate)[1])
    transformer = -taps / math.sqrt(gain.min() * gain.max())
    reach = (n_values - 1) * stride + 1
    turn = np.exp(2j * np.pi * peak_hz / rate)
    z = np.full((x.size, N_LEADS), np.nan + 0j)
    since = 0
    for i in range(reach - 1, x.size):
        values = y[i + 1 - reach : i + 1 : stride]
        if not np.isfinite(y[i + 1 - reach : i + 1]).all():
            since = 0
            continue
        if since % between == 0:
            a = burg(values, ar_order)
        since += 1
        series = list(values)
        for _ in range(math.ceil(LEADS_S[-1] * rate) + delay + 1):
            series.append(-(a[1:] @ np.array(series[-1 : -ar_order - 1 : -1])))
        analytic = np.array(series) + 1j * np.convolve(series, transformer, mode="same")
        for lead in range(N_LEADS):
            place = n_values - 1 + LEADS_S[lead] * rate
            whole = math.floor(place + 1e-9)
            part = place - whole
            z[i, lead] = ((1 - part) * analytic[whole] + part * analytic[whole + 1] / turn) * turn**part
    return z


@pytest.mark.parametrize(
    ("sfreq", "stride", "ar_order", "delay"),
    [(500.0, 1, 20, 9), (1000.0, 2, 20, 9), (250.0, 1, 10, 5), (128.0, 1, 5, 3), (2048.0, 4, 20, 9)],
)
def test_it_equals_the_published_steps_done_one_after_the_other(sfreq, stride, ar_order, delay):
    design = design_hilbert_fir(draw_rest(sfreq=sfreq, seconds=3.0), settings(window_s=0.5))
    assert design.facts["taps"] == 2 * delay + 1
    x = np.random.default_rng(4).normal(5.0, 20.0, round(1.4 * sfreq))
    x[round(0.7 * sfreq)] = np.nan
    z, _ = predict(design, x[:, None])
    expected = slow_predictions(
        x,
        sfreq=sfreq,
        band_hz=BAND_HZ,
        order=2,
        ar_order=ar_order,
        delay=delay,
        stride=stride,
        n_values=round(0.5 * sfreq / stride),
        between=round(0.05 * sfreq),
        peak_hz=10.0,
    )
    np.testing.assert_array_equal(np.isnan(z), np.isnan(expected))
    known = np.isfinite(expected)
    assert known.any()
    np.testing.assert_allclose(z[known], expected[known], rtol=0, atol=1e-8)


def test_the_transformer_is_the_published_one_evened_out_over_the_band():
    taps = transformer_taps(500.0, BAND_HZ)
    scale = PUBLISHED_TAPS[-1] / taps[0]
    np.testing.assert_allclose(taps * scale, PUBLISHED_TAPS[::-1], atol=1e-9)
    frequencies = np.linspace(*BAND_HZ, 9)
    gain = 2 * np.sin(2 * np.pi * np.outer(frequencies, np.arange(1, 10)) / 500.0) @ taps
    assert gain[0] * gain[-1] == pytest.approx(1.0, abs=1e-6)


def test_the_reference_s_burg_finds_the_model_that_made_the_signal():
    model = np.poly([0.95 * np.exp(0.3j), 0.95 * np.exp(-0.3j), 0.5])
    x = signal.lfilter([1.0], model, np.random.default_rng(8).normal(size=20_000))
    np.testing.assert_allclose(burg(x, 3), model, atol=0.03)


@pytest.mark.parametrize("sfreq", [250.0, 500.0, 1000.0])
@pytest.mark.parametrize("frequency_hz", [9.0, 10.7])
def test_a_sine_is_off_by_the_band_pass_s_phase_which_compensation_takes_away(sfreq, frequency_hz):
    rest = draw_rest(sfreq=sfreq, frequency_hz=frequency_hz, noise_uv=0.01)
    sections = signal.butter(2, BAND_HZ, "bandpass", fs=sfreq, output="sos")
    response = signal.sosfreqz(sections, worN=[2 * np.pi * frequency_hz / sfreq])[1][0]
    rows = np.arange(round(3 * sfreq), round(10 * sfreq), 7)
    for compensate, expected in ((False, np.angle(response)), (True, 0.0)):
        design = design_hilbert_fir(rest, settings(compensate=compensate))
        z, _ = predict(design, rest.inputs)
        error = np.angle(z[rows] / rest.targets()[rows] * np.exp(-1j * expected))
        assert abs(np.degrees(error.mean())) < 1.0
        assert np.degrees(np.abs(error)).max() < 8.0  # the transformer's gain is not one everywhere
    assert np.degrees(np.angle(response)) == pytest.approx(design.facts["filter_phase_deg"], abs=0.06)


def test_a_question_does_not_change_the_answers_that_follow():
    """Models belong to fixed samples, whenever they are asked for and so fitted."""
    rest = draw_rest()
    design = design_hilbert_fir(rest, settings())
    z, sd = predict(design, rest.inputs)
    for every in (7, 60, 333):
        thin_z, thin_sd = predict(design, rest.inputs, every=every)
        np.testing.assert_array_equal(thin_z[every - 1 :: every], z[every - 1 :: every])
        np.testing.assert_array_equal(thin_sd[every - 1 :: every], sd[every - 1 :: every])


def test_its_phase_does_not_depend_on_the_unit_nor_on_an_offset_that_was_there_from_the_start():
    rest = draw_rest(noise_uv=10.0)
    design = design_hilbert_fir(rest, settings())
    z, _ = predict(design, rest.inputs)
    for factor in (1e-4, 1e4):
        scaled, _ = predict(design, factor * rest.inputs)
        np.testing.assert_allclose(scaled[600:] / z[600:] / factor, 1.0, atol=1e-8)
    lifted, _ = predict(design, rest.inputs + 1e4)
    np.testing.assert_allclose(lifted[600:], z[600:], atol=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_after_a_bad_sample_it_waits_for_a_window_and_comes_back(bad):
    rest = draw_rest()
    design = design_hilbert_fir(rest, settings(window_s=0.5))
    x = rest.inputs[:4000].copy()
    calm, _ = predict(design, x)
    x[1000] = bad
    z, _ = predict(design, x)
    assert np.isfinite(z[999]).all()
    assert np.isnan(z[1000:1250]).all()
    assert np.isfinite(z[1250:]).all()
    np.testing.assert_allclose(np.angle(z[3000:, 0] / calm[3000:, 0]), 0.0, atol=0.05)


def test_zeros_and_steps_do_no_harm():
    design = design_hilbert_fir(draw_rest(), settings())
    x = np.zeros((3000, 1))
    x[1000:] = 1000.0
    z, sd = predict(design, x)
    assert not z[600:1000].any()
    assert np.isnan(sd[:1000]).all()
    assert np.isfinite(z[1000:]).all()
    assert np.abs(z).max(initial=0.0, where=np.isfinite(z)) < 2000.0


@pytest.mark.parametrize(
    ("rest", "changes", "message"),
    [
        (draw_rest(seconds=3.0), {}, r"^calibration of 3\.0 s is too short for a window of 1 s: at least 4 s are"),
        (draw_rest(), {"window_s": 0.1, "ar_order": 30}, r"^window_s = 0\.1 holds 50 values .* order 30 .* least 60"),
        (draw_rest(band_hz=(2.0, 4.0)), {}, r"^band = 2 to 4 Hz exceeds the Hilbert transformer's 4 to 246 Hz"),
        (draw_rest(sfreq=30.0), {}, r"^band = 8 to 12 Hz exceeds the Hilbert transformer's 4 to 11 Hz"),
    ],
)
def test_what_cannot_be_designed_is_one_clear_line(rest, changes, message, one_line_error):
    assert re.match(message, one_line_error(CalibrationError, design_hilbert_fir, rest, settings(**changes)))


@pytest.mark.uncompiled
def test_the_compiled_step_equals_the_plain_python(same_as_compiled):
    rest = draw_rest(seconds=2.0, sfreq=128.0)
    x = draw_rest(seconds=1.5, sfreq=128.0, seed=1).inputs
    x[80] = np.nan
    z, sd = predict(design_hilbert_fir(rest, settings(window_s=0.4)), x)
    same_as_compiled(re=z.real, im=z.imag, sd=sd)
