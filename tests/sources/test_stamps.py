"""What the time stamps of a stretch say: rate, jitter, and when each sample was taken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.sources.stamps import JITTER_FACTOR, LARGEST_JITTER_S, fit_stamps

SFREQ = 250.0
N = 5000
INDEX = np.arange(N)
BEGIN_S = 81_234.5
"""A monotone clock has run for a while."""


def steady(rate_hz=SFREQ):
    return BEGIN_S + INDEX / rate_hz


def test_clean_stamps_have_the_nominal_rate_half_a_period_of_jitter_and_their_own_times():
    clock = fit_stamps(steady(), SFREQ)
    assert clock.rate_hz == pytest.approx(SFREQ, rel=1e-9)
    assert clock.jitter_s == 0.5 / SFREQ
    np.testing.assert_allclose(clock.times_s, steady(), rtol=0.0, atol=1e-8)


@pytest.mark.parametrize("rate_hz", [SFREQ * 1.0001, SFREQ * 0.999, SFREQ * 0.98, 500.0, 125.0, 1000.0, 1.0])
def test_any_rate_is_measured_and_is_no_jitter(rate_hz):
    clock = fit_stamps(steady(rate_hz), SFREQ)
    assert clock.rate_hz == pytest.approx(rate_hz, rel=1e-6)
    assert clock.jitter_s == 0.5 / SFREQ
    np.testing.assert_allclose(clock.times_s, steady(rate_hz), rtol=0.0, atol=1e-6)


def test_white_jitter_is_measured_and_smoothed_out():
    jitter_s = np.random.default_rng(1).normal(0.0, 0.002, N)
    clock = fit_stamps(steady() + jitter_s, SFREQ)
    assert clock.jitter_s == pytest.approx(JITTER_FACTOR * np.abs(jitter_s).max(), rel=0.15)
    assert clock.rate_hz == pytest.approx(SFREQ, rel=1e-4)
    assert np.abs(clock.times_s - steady()).max() < 0.002 / 3


def test_stamps_that_scatter_by_whole_chunks_have_the_chunks_jitter():
    late_s = np.random.default_rng(2).uniform(0.0, 0.010, N // 10).repeat(10)
    clock = fit_stamps(steady() + late_s, SFREQ)
    # Half of the range to either side of its middle.
    assert clock.jitter_s == pytest.approx(JITTER_FACTOR * 0.005, rel=0.5)
    assert clock.rate_hz == pytest.approx(SFREQ, rel=1e-4)
    assert np.abs(clock.times_s - steady() - 0.005).max() < 0.002


def test_no_jitter_is_taken_for_more_than_the_largest():
    late_s = np.random.default_rng(3).uniform(-0.2, 0.2, N)
    assert fit_stamps(steady() + late_s, SFREQ).jitter_s == LARGEST_JITTER_S


@pytest.mark.parametrize("missing", [5, 25, 250])
def test_a_gap_stays_in_the_times_and_is_neither_rate_nor_jitter(missing):
    stamps = np.delete(steady(), np.arange(2000, 2000 + missing))
    clock = fit_stamps(stamps, SFREQ)
    assert clock.rate_hz == pytest.approx(SFREQ, rel=1e-6)
    assert clock.jitter_s == 0.5 / SFREQ
    np.testing.assert_allclose(clock.times_s, stamps, rtol=0.0, atol=1e-6)


def test_samples_that_came_twice_stay_in_the_times():
    stamps = np.sort(np.concatenate([steady(), steady()[2000:2005]]))
    clock = fit_stamps(stamps, SFREQ)
    repeated = np.abs(np.diff(clock.times_s) * SFREQ - 1.0) > 0.5
    assert np.flatnonzero(repeated).tolist() == [2000, 2002, 2004, 2006, 2008]  # what calibration refuses, and where
    assert clock.rate_hz == pytest.approx(SFREQ, rel=1e-6)


def test_one_sample_has_its_own_time():
    clock = fit_stamps(np.array([BEGIN_S]), SFREQ)
    assert (clock.rate_hz, clock.jitter_s, clock.times_s.tolist()) == (SFREQ, 0.5 / SFREQ, [BEGIN_S])


def test_no_samples_have_no_times():
    clock = fit_stamps(np.zeros(0), SFREQ)
    assert (clock.rate_hz, clock.jitter_s, clock.times_s.size) == (SFREQ, 0.5 / SFREQ, 0)


@given(n=st.integers(2, 200), off=st.floats(-0.01, 0.01), begin_s=st.floats(-1e6, 1e6))
def test_any_regular_stretch_keeps_its_order_and_its_length(n, off, begin_s):
    stamps = begin_s + np.arange(n) / (SFREQ * (1.0 + off))
    clock = fit_stamps(stamps, SFREQ)
    assert clock.times_s.shape == (n,)
    assert np.all(np.diff(clock.times_s) > 0.0)
    assert clock.times_s == pytest.approx(stamps, abs=0.3 * abs(off) + 1e-8)
