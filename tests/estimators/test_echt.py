"""echt against the published transform in the paper's own order of steps, and against meegkit where that is exact."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from closedloop.config.estimators import Echt
from closedloop.errors import CalibrationError
from closedloop.estimators.echt import design_echt, echt_weights
from closedloop.estimators.interface import LEADS_S, predict

BAND_HZ = (8.0, 12.0)
ECHT = Echt(type="echt", window_s=0.5, order=2)


def published_endpoint(x, sfreq, band_hz, order):
    """Return the last value of the published transform: FFT, one-sided, centred, filtered, back.

    The bins are those of the authors' code, ``ceil`` taken of the bin's number and not of its frequency.
    The response is that of the filter's poles and zeros, which high orders do not round away.
    """
    n = len(x)
    frequencies = np.ceil(np.arange(-n / 2, n / 2)) / (n / sfreq)
    one_sided = np.zeros(n)
    one_sided[0] = 1.0
    one_sided[1 : (n + 1) // 2] = 2.0
    if n % 2 == 0:
        one_sided[n // 2] = 1.0
    zeros, poles, gain = signal.butter(order, np.array(band_hz) / (sfreq / 2), "bandpass", output="zpk")
    z = np.exp(2j * np.pi * frequencies / sfreq)[:, None]
    response = gain * np.prod(z - zeros, axis=1) / np.prod(z - poles, axis=1)
    centred = np.fft.fftshift(np.fft.fft(x) * one_sided) * response
    return np.fft.ifft(np.fft.ifftshift(centred))[-1]


@pytest.mark.parametrize("n_taps", [50, 125, 250, 251, 503, 700])
@pytest.mark.parametrize("sfreq", [125.0, 250.0, 512.0, 1000.0])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_its_weights_give_the_published_transform_s_last_value(n_taps, sfreq, order):
    x = np.random.default_rng(n_taps).normal(0.0, 1.0, n_taps)
    expected = published_endpoint(x, sfreq, (8.0, 12.0), order)
    assert abs(echt_weights(n_taps, sfreq, (8.0, 12.0), order=order) @ x - expected) < 1e-9


@pytest.mark.parametrize("sfreq", [100, 125, 250, 256, 500, 1000])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("band_hz", [(8.0, 12.0), (6.0, 14.0), (7.5, 12.5)])
def test_over_a_second_it_agrees_with_meegkit(sfreq, order, band_hz):
    """Only then are meegkit's bins, rounded up to whole Hz, those of the transform.

    From order 4 on its filter, kept as two polynomials, is itself off: by 6e-4 at 1000 Hz.
    """
    phase = pytest.importorskip("meegkit.phase", reason="needs meegkit 0.2.0", exc_type=ImportError)
    x = np.random.default_rng(0).normal(0.0, 1.0, sfreq)
    theirs = phase.ECHT(*band_hz, sfreq, n_fft=sfreq, filt_order=order).fit_transform(x[:, None])[-1, 0]
    ours = echt_weights(sfreq, float(sfreq), band_hz, order=order) @ x
    assert abs(ours - theirs) < 1e-9


@given(
    n_taps=st.integers(20, 400),
    sfreq=st.sampled_from([125.0, 250.0, 500.0]),
    order=st.sampled_from([1, 2]),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_equals_the_published_recipe(n_taps, sfreq, order, seed):
    """Spectrum, its negative half dropped, times the causal Butterworth, back, last value."""
    x = np.random.default_rng(seed).normal(0.0, 1.0, n_taps)
    spectrum = np.fft.fft(x)
    multiple = np.zeros(n_taps)
    multiple[0] = 1.0
    multiple[1 : (n_taps + 1) // 2] = 2.0
    if n_taps % 2 == 0:
        multiple[n_taps // 2] = 1.0
    sections = signal.butter(order, np.array(BAND_HZ) / (sfreq / 2), "bandpass", output="sos")
    _, response = signal.sosfreqz(sections, worN=np.arange(n_taps) * 2 * np.pi / n_taps)
    expected = np.fft.ifft(spectrum * multiple * response)[-1]
    assert abs(echt_weights(n_taps, sfreq, BAND_HZ, order=order) @ x - expected) < 1e-10


def test_it_turns_its_phase_on_at_the_peak(make_sine_rest):
    rest = make_sine_rest(noise_uv=1.0)
    z, _ = predict(design_echt(rest, ECHT), rest.inputs)
    turned = z[200:] / z[200:, :1]
    np.testing.assert_allclose(turned, np.broadcast_to(np.exp(2j * np.pi * 10.0 * LEADS_S), turned.shape), atol=1e-9)


def test_it_is_right_in_the_middle_of_its_band():
    """With whole periods in the window nothing leaks; at the band's centre the Butterworth turns nothing."""
    centre_hz = 10.0
    band = (centre_hz / 1.2, centre_hz * 1.2)
    weights = echt_weights(250, 250.0, band, order=2)
    phase = np.arange(-249, 1) / 250.0 * 2 * np.pi * centre_hz
    assert abs(np.degrees(np.angle(weights @ np.cos(phase)))) < 1.0
    assert abs(weights @ np.cos(phase)) == pytest.approx(1.0, abs=0.01)


def test_a_calibration_that_is_too_short_is_one_clear_line(make_sine_rest, one_line_error):
    line = one_line_error(CalibrationError, design_echt, make_sine_rest(seconds=1.5), ECHT)
    assert re.match(r"calibration of 1\.5 s is too short for a window of 0\.\d+ s: at least \d\.?\d* s", line)
