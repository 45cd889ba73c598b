"""A recording in memory: channels by name, stretches of time."""

import numpy as np
import pytest

from closedloop.errors import RecordingError
from closedloop.sources.recording import Recording


def draw(names=("Fp1", "F3", "O1"), n=1000, sfreq=250.0, **fields):
    samples = np.arange(n)[:, None] + 10_000.0 * np.arange(len(names))
    content = {"roles": ("eeg",) * len(names), "times_s": np.arange(n) / sfreq, "name": "a.edf", **fields}
    return Recording(names=tuple(names), sfreq=sfreq, samples=samples, **content)


def test_its_duration_counts_the_last_sample():
    assert draw().duration_s == pytest.approx(4.0)


def test_of_no_samples_the_duration_is_zero():
    assert draw(n=0).duration_s == 0.0


def test_channels_come_in_the_order_that_is_asked_for():
    picked = draw(roles=("eeg", "emg", "misc")).pick(["O1", "Fp1"])
    assert picked.names == ("O1", "Fp1")
    assert picked.roles == ("misc", "eeg")
    np.testing.assert_array_equal(picked.samples[0], [20_000.0, 0.0])


def test_a_channel_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(
        RecordingError, match=r"^a\.edf: there is no channel FP1 \(did you mean Fp1\? there: Fp1, F3, O1\)"
    ):
        draw().pick(["FP1"])


def test_a_channel_is_not_given_twice():
    with pytest.raises(RecordingError, match="2 channels are named O1"):
        draw().pick(["O1", "O1"])


def test_two_channels_of_one_name_are_refused():
    with pytest.raises(RecordingError, match=r"^a\.edf: 2 channels are named F3 \(limit: 1\)$"):
        draw(names=("F3", "F3"))


def test_a_stretch_ends_before_its_end_and_keeps_its_times():
    part = draw().between(1.0, 2.0)
    assert part.times_s[[0, -1]].tolist() == [1.0, 1.996]
    assert part.samples[0, 0] == 250.0
    assert part.duration_s == pytest.approx(1.0)


def test_rounding_of_a_time_loses_no_sample():
    # 0.1 + 0.2 is a little more than 0.3, the time of sample 75.
    assert draw().between(0.1 + 0.2, 1.0).samples[0, 0] == 75.0


def test_two_stretches_share_no_sample_and_lose_none():
    whole = draw()
    parts = [whole.between(0.0, 1.3333), whole.between(1.3333, 4.0)]
    np.testing.assert_array_equal(np.concatenate([part.samples for part in parts]), whole.samples)


@pytest.mark.parametrize(("start_s", "stop_s"), [(-0.1, 1.0), (2.0, 2.0), (3.0, 2.0), (0.0, 4.1), (np.nan, 1.0)])
def test_a_range_that_is_not_within_it_is_refused(start_s, stop_s):
    with pytest.raises(RecordingError, match=r"^a\.edf: the range from .* does not lie within its 4 s$"):
        draw().between(start_s, stop_s)


def test_a_range_follows_the_clock_not_the_count_of_samples():
    times_s = np.arange(1000) / 250.0
    times_s[500:] += 10.0
    assert draw(times_s=times_s).between(1.0, 12.5).samples[[0, -1], 0].tolist() == [250.0, 624.0]
