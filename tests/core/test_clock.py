"""Where samples belong in time."""

import numpy as np
import pytest

from closedloop.core.records import EventKind, InputKind


def test_jitter_of_the_stamps_is_smoothed_by_an_order_of_magnitude(make_core, run, sine):
    rng = np.random.default_rng(2)
    jitter_s = rng.normal(0.0, 0.001, 3000)
    samples = sine(30.0)
    stamps = np.arange(3000) / 100.0 + jitter_s
    core = make_core(gate={"armed": 0})
    errors = []
    for i in range(0, 3000, 10):
        run(core, samples[i : i + 10], timestamps=stamps[i : i + 10])
        errors.append(float(core.timing["time_s"][0]) - (i + 9) / 100.0)
    assert np.std(errors[100:]) < 0.001 / 10


def test_a_steady_error_of_the_sampling_rate_is_followed(make_core, run, sine):
    core = make_core(gate={"armed": 0})
    stamps = np.arange(3000) / 100.0 * (1 + 1e-4)
    run(core, sine(30.0), timestamps=stamps)
    # The fitted period follows as well, so nothing is left of it: without, it lagged by 1e-4 * 0.01 s / 0.01.
    assert float(core.timing["time_s"][0]) == pytest.approx(stamps[-1], abs=1e-8)
    assert float(core.timing["drift"][0]) == pytest.approx(1e-4, rel=1e-3)


def test_missing_samples_are_counted_and_keep_their_place(armed_script):
    armed_script.samples(10)
    armed_script.n_samples += 4
    armed_script.sample()
    timing = armed_script.core.timing[0]
    assert (timing["index"], timing["missing"], timing["unordered"]) == (14, 4, 0)


@pytest.mark.parametrize("stamp", [0.09, 0.05, np.nan, np.inf])
def test_duplicates_and_stamps_that_are_no_time_are_dropped(armed_script, stamp):
    armed_script.samples(10)
    armed_script.sample(timestamp=stamp, now=0.1)
    timing = armed_script.core.timing[0]
    assert (timing["index"], timing["missing"], timing["unordered"]) == (9, 0, 1)


def test_one_stamp_from_the_far_future_does_not_silence_the_session(armed_script):
    """Taken for a sample it would make every later one too old."""
    armed_script.sample()
    armed_script.sample(timestamp=1e6, now=0.01)
    assert armed_script.core.timing["unordered"][0] == 1
    armed_script.deadline(armed_script.now)
    assert armed_script.fire()["kind"].tolist() == [EventKind.DELIVERED]


def test_a_stream_whose_clock_was_set_back_is_refused_with_records(armed_script):
    armed_script.samples(500)
    armed_script.tell(InputKind.CLOCK, value=-4.0)
    assert len(armed_script.samples(200)) >= 7


def test_the_sample_index_survives_a_correction_of_the_clock(armed_script):
    armed_script.samples(10)
    armed_script.tell(InputKind.CLOCK, value=0.001)
    armed_script.samples(10)
    timing = armed_script.core.timing[0]
    assert (timing["index"], timing["missing"]) == (19, 0)
