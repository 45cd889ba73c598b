"""Conditioning: mains and offsets go, and nothing rings."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from closedloop.errors import CalibrationError
from closedloop.signal.conditioning import NOTCH_QUALITY, condition_all, design_conditioning


def conditioned(raw, sfreq=500.0, *, high_pass_hz=0.5, notch_hz=(50.0,)):
    raw = np.ascontiguousarray(raw.reshape(len(raw), -1))
    out = np.empty_like(raw)
    condition_all(design_conditioning(raw.shape[1], sfreq, high_pass_hz=high_pass_hz, notch_hz=notch_hz), raw, out)
    return out


def sine(frequency_hz, seconds=10.0, sfreq=500.0):
    return np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * sfreq)) / sfreq)


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
@pytest.mark.parametrize("off_hz", [-0.05, 0.0, 0.05])
def test_mains_is_damped_by_more_than_20_db(mains_hz, off_hz):
    out = conditioned(100.0 * sine(mains_hz + off_hz), notch_hz=(mains_hz,))
    settled = out[1000:, 0]
    assert 20 * math.log10(np.std(settled) / (100.0 / math.sqrt(2))) < -20.0


def test_the_rhythm_passes_unharmed():
    out = conditioned(sine(10.0))
    assert np.std(out[1000:]) == pytest.approx(1 / math.sqrt(2), rel=0.01)


@given(offset_uv=st.floats(-50_000.0, 50_000.0))
def test_an_offset_of_50_millivolts_never_rings(offset_uv):
    assert np.abs(conditioned(np.full(2000, offset_uv))).max() < 1.0


@given(offset_uv=st.floats(-50_000.0, 50_000.0))
def test_an_offset_changes_nothing_about_the_rest(offset_uv):
    x = 20.0 * sine(10.0, 2.0) + 5.0 * sine(50.0, 2.0)
    np.testing.assert_allclose(conditioned(x + offset_uv), conditioned(x), atol=1e-4)


@pytest.mark.parametrize(("high_pass_hz", "notch_hz"), [(0.5, (50.0, 100.0)), (None, (50.0,)), (1.0, ()), (None, ())])
def test_it_equals_scipy_started_at_the_first_sample(high_pass_hz, notch_hz):
    x = np.random.default_rng(0).normal(0.0, 30.0, 3000) + 1000.0
    sections = []
    if high_pass_hz is not None:
        sections.append(signal.butter(1, high_pass_hz, "highpass", fs=500.0, output="sos")[0])
    sections += [np.concatenate(signal.iirnotch(f, NOTCH_QUALITY, fs=500.0)) for f in notch_hz]
    expected = x
    if sections:
        sos = np.array(sections)
        expected, _ = signal.sosfilt(sos, x, zi=signal.sosfilt_zi(sos) * x[0])
    np.testing.assert_allclose(conditioned(x, high_pass_hz=high_pass_hz, notch_hz=notch_hz)[:, 0], expected, atol=1e-9)


def test_channels_do_not_mix():
    x = np.random.default_rng(1).normal(0.0, 30.0, (1000, 3))
    together = conditioned(x)
    for channel in range(3):
        np.testing.assert_array_equal(together[:, channel], conditioned(x[:, channel].copy())[:, 0])


@given(bad=st.sets(st.integers(0, 299), max_size=20), value=st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_sample_that_is_no_number_leaves_the_filters_alone(bad, value):
    x = np.random.default_rng(2).normal(0.0, 30.0, 300)
    good = np.setdiff1d(np.arange(300), list(bad))
    broken = x.copy()
    broken[list(bad)] = value
    out = conditioned(broken)[:, 0]
    assert np.isnan(out[list(bad)]).all()
    np.testing.assert_array_equal(out[good], conditioned(x[good])[:, 0])


def test_it_is_stable_for_an_hour():
    x = np.random.default_rng(3).normal(0.0, 30.0, 3600 * 250)
    out = conditioned(x, 250.0)[:, 0]
    assert np.std(out[-100_000:]) == pytest.approx(np.std(out[10_000:110_000]), rel=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"high_pass_hz": 300.0, "notch_hz": ()}, "high_pass_hz = 300 .*250 Hz"),
        ({"high_pass_hz": 0.0, "notch_hz": ()}, "high_pass_hz = 0 "),
        ({"high_pass_hz": None, "notch_hz": (250.0,)}, "notch_hz = 250 .*250 Hz"),
        ({"high_pass_hz": math.nan, "notch_hz": ()}, "high_pass_hz = nan"),
    ],
)
def test_a_frequency_out_of_range_is_one_clear_line(settings, message):
    with pytest.raises(CalibrationError, match=message) as caught:
        design_conditioning(1, 500.0, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.uncompiled
def test_the_compiled_filters_equal_the_plain_python(same_as_compiled):
    x = np.random.default_rng(4).normal(0.0, 30.0, (500, 2)) + 5000.0
    x[100, 0] = np.nan
    same_as_compiled(out=conditioned(x, notch_hz=(50.0, 100.0)))
