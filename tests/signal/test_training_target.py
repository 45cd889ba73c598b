"""What an estimator learns to predict."""

import numpy as np
import pytest

from closedloop.signal.training_target import training_target

SFREQ = 250.0
TIMES_S = np.arange(5000) / SFREQ


def test_a_rhythm_in_the_band_comes_back_analytic():
    target = training_target(10.0 * np.cos(2 * np.pi * 10.0 * TIMES_S + 0.7), SFREQ, (8.0, 12.0))
    inner = slice(500, -500)
    truth = 10.0 * np.exp(1j * (2 * np.pi * 10.0 * TIMES_S + 0.7))
    np.testing.assert_allclose(target[inner], truth[inner], atol=0.1)


@pytest.mark.parametrize(("hz", "gain"), [(7.4, 0.0), (8.0, 0.5), (8.6, 1.0), (11.4, 1.0), (12.0, 0.5), (12.6, 0.0)])
def test_the_gain_is_one_half_at_the_edges_and_nothing_beyond(hz, gain):
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
