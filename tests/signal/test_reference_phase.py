"""The frozen family: what counts as the real phase."""

import math

import numpy as np
import pytest

from closedloop.signal.circular import wrap
from closedloop.signal.reference_phase import EDGE_S, ORDER, family_bands, reference_phase

SFREQ = 250.0
HZ = 10.0


def cosine(seconds=20.0, hz=HZ, sfreq=SFREQ):
    return 10.0 * np.cos(2 * np.pi * hz * np.arange(round(seconds * sfreq)) / sfreq)


def test_the_family_is_frozen():
    """It is changed by a decision record only: docs/decisions/0001-one-frozen-evaluation-family.md."""
    assert dict(family_bands(10.25)) == {
        "peak±2 Hz": (8.25, 12.25),
        "peak±1 Hz": (9.25, 11.25),
        "8-13 Hz": (8.0, 13.0),
        "5-18 Hz": (5.0, 18.0),
    }
    assert (ORDER, EDGE_S) == (2, 1.0)


@pytest.mark.parametrize("hz", [9.5, 10.0, 11.0])
def test_a_pure_rhythm_has_its_own_phase_under_every_member(hz):
    reference = reference_phase(cosine(hz=hz), SFREQ, HZ)
    times_s = np.arange(2.0, 18.0, 0.0137)
    truth = 2 * np.pi * hz * times_s
    for found in (reference.at(times_s), *(reference.member_at(name, times_s) for name in reference.members)):
        assert np.abs(wrap(found - truth)).max() < math.radians(0.5)
    assert reference.agreement_at(times_s).min() > 0.999


def test_its_members_are_butterworth_filters_of_order_2_run_both_ways():
    """Two rhythms add up by the filter's gain: |H|² = 1 / (1 + W^4), W the prewarped distance in half widths."""
    low, high, first, second = np.tan(np.pi * np.array([8.0, 12.0, 10.0, 13.0]) / SFREQ)
    gains = [1.0 / (1.0 + ((w * w - low * high) / ((high - low) * w)) ** 4) for w in (first, second)]
    times_s = np.arange(500, 4500) / SFREQ
    turns = [np.exp(2j * np.pi * hz * times_s) for hz in (10.0, 13.0)]
    found = reference_phase(cosine() + cosine(hz=13.0), SFREQ, HZ).member_at("peak±2 Hz", times_s)
    truth = np.angle(gains[0] * turns[0] + gains[1] * turns[1])
    assert np.abs(wrap(found - truth)).max() < math.radians(0.5)


def test_between_samples_the_phase_follows_the_arc():
    # At 100 Hz a rhythm of 10 Hz turns by 36 degrees from one sample to the next.
    reference = reference_phase(cosine(sfreq=100.0), 100.0, HZ)
    times_s = np.array([5.0025, 5.005, 5.0075])
    np.testing.assert_allclose(np.degrees(reference.at(times_s)), [9.0, 18.0, 27.0], atol=0.5)


@pytest.mark.parametrize("time_s", [-0.1, 0.5, 19.5, 21.0, math.nan])
def test_at_the_ends_nothing_is_known(time_s):
    reference = reference_phase(cosine(), SFREQ, HZ)
    assert np.isnan(reference.at(np.array([time_s]))).all()
    assert np.isnan(reference.agreement_at(np.array([time_s]))).all()


def test_around_missing_samples_nothing_is_known():
    x = cosine()
    x[2500:2510] = np.nan  # 10.00 to 10.04 s
    known = np.isfinite(reference_phase(x, SFREQ, HZ).at(np.array([8.9, 9.1, 10.0, 10.9, 11.1])))
    assert known.tolist() == [True, False, False, False, True]


def test_missing_samples_at_the_beginning_reach_as_far():
    x = cosine()
    x[225:228] = np.nan  # 0.9 s, where the end itself is unknown
    known = np.isfinite(reference_phase(x, SFREQ, HZ).at(np.array([1.5, 1.8, 2.0])))
    assert known.tolist() == [False, False, True]


def test_the_phase_of_the_family_is_the_circular_mean_of_its_members():
    x = np.random.default_rng(2).normal(size=5000)
    times_s = np.arange(2.0, 18.0, 0.0137)
    reference = reference_phase(x, SFREQ, HZ)
    phasors = np.mean([np.exp(1j * reference.member_at(name, times_s)) for name in family_bands(HZ)], axis=0)
    np.testing.assert_allclose(wrap(reference.at(times_s) - np.angle(phasors)), 0.0, atol=1e-9)
    np.testing.assert_allclose(reference.agreement_at(times_s), np.abs(phasors), atol=1e-9)


def test_where_every_sample_is_missing_nothing_is_known():
    assert np.isnan(reference_phase(np.full(5000, np.nan), SFREQ, HZ).at(np.array([10.0]))).all()


def test_on_noise_the_members_disagree():
    x = np.random.default_rng(1).normal(size=15000)
    agreement = reference_phase(x, SFREQ, HZ).agreement_at(np.arange(2.0, 58.0, 0.1))
    assert agreement.mean() < 0.95
