"""Where test triggers are found again, and what counts as not seen."""

import numpy as np
import pytest

from closedloop.session.onsets import EARLIEST_S, LATEST_S, channel_onsets, electrode_onsets, next_after

SFREQ = 1000.0
WRITTEN_S = np.array([1.0003, 1.2507, 1.5001])
TIMES_S = np.arange(3000) / SFREQ


def first_sample_from(moment_s):
    """Return the time of the first sample that is not before a moment."""
    return TIMES_S[np.searchsorted(TIMES_S, moment_s - 1e-12)]


def steps(delay_s, height=1.0, width_s=0.005):
    """Return a channel that is high for a while from a delay after each trigger on."""
    values = np.zeros(TIMES_S.size)
    for moment_s in WRITTEN_S + delay_s:
        values[(TIMES_S >= moment_s) & (TIMES_S < moment_s + width_s)] = height
    return values


@pytest.mark.parametrize("delay_s", [0.0, 0.0031, 0.05])
def test_a_trigger_channel_shows_each_trigger_in_the_first_sample_that_is_high(delay_s):
    found = channel_onsets(WRITTEN_S, TIMES_S, steps(delay_s), threshold=0.5)
    np.testing.assert_array_equal(found, first_sample_from(WRITTEN_S + delay_s))


def test_a_channel_that_never_rises_shows_none():
    assert np.isnan(channel_onsets(WRITTEN_S, TIMES_S, np.ones(TIMES_S.size), threshold=0.5)).all()


@pytest.mark.parametrize("height", [300.0, -300.0])
def test_an_electrode_shows_each_trigger_where_half_its_step_is_passed(height):
    rng = np.random.default_rng(3)
    values = 40.0 + rng.normal(0.0, 5.0, TIMES_S.size) + steps(0.0124, height)
    found = electrode_onsets(WRITTEN_S, TIMES_S, values)
    np.testing.assert_array_equal(found, first_sample_from(WRITTEN_S + 0.0124))


def test_a_step_that_does_not_stand_out_from_the_noise_is_not_seen():
    rng = np.random.default_rng(4)
    values = rng.normal(0.0, 20.0, TIMES_S.size) + steps(0.0124, 30.0)
    assert np.isnan(electrode_onsets(WRITTEN_S, TIMES_S, values)).all()


def test_a_trigger_outside_the_samples_is_not_seen():
    assert np.isnan(electrode_onsets(np.array([-1.0, 99.0]), TIMES_S, steps(0.0))).all()


def test_each_trigger_is_the_next_sight_within_its_time():
    seen_s = np.array([0.5, WRITTEN_S[0] + LATEST_S + 0.001, WRITTEN_S[1] + EARLIEST_S, 9.0])
    found = next_after(WRITTEN_S, seen_s)
    assert np.isnan(found[0])
    assert found[1] == seen_s[2]
    assert np.isnan(found[2])


def test_without_any_sight_nothing_was_seen():
    assert np.isnan(next_after(WRITTEN_S, np.zeros(0))).all()
