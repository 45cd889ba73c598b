"""Where samples belong in time."""

import math

import numpy as np
import pytest

from closedloop.core.clock import RATE_WINDOW_S
from closedloop.core.reasons import Reason
from closedloop.core.records import EventKind, InputKind
from closedloop.core.state import COMMITTED


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


def settling(off, sfreq=100.0):
    """Return the stamps of a minute of a stream whose clock runs ``off`` of the nominal rate."""
    return np.arange(round(60 * sfreq)) / sfreq / (1.0 + off)


@pytest.mark.parametrize("sfreq", [100.0, 1000.0])
@pytest.mark.parametrize("off", [0.005, -0.005])
def test_a_rate_that_is_off_by_half_a_percent_is_followed_without_a_gap(make_core, follow, off, sfreq):
    core = make_core(sfreq=sfreq)
    stamps = settling(off, sfreq)
    times_s, _ = follow(core, stamps)
    timing = core.timing[0]
    assert (timing["missing"], timing["unordered"], timing["off_rate"]) == (0, 0, 0)
    assert timing["drift"] == pytest.approx(1.0 / (1.0 + off) - 1.0, rel=1e-6)
    assert times_s[-1] == pytest.approx(stamps[-1], abs=1e-8)


@pytest.mark.parametrize("off", [0.004, -0.004])
def test_the_fitted_clock_settles_from_one_side(make_core, follow, off):
    """A clock that rings would pass the stamps and come back; this one is damped as a critical one at least."""
    stamps = settling(off)
    times_s, _ = follow(make_core(), stamps)
    lag_s = np.sign(-off) * (stamps - times_s)
    # The slower of its two modes shrinks by half its gain, 0.5 %, with each sample: e**-30 after a minute.
    assert lag_s.min() > -1e-9
    peak = lag_s.argmax()
    assert 100 < peak < 300
    assert np.diff(lag_s[peak:]).max() < 1e-9


def test_jitter_leaves_no_ringing_in_the_fitted_clock(make_core, follow):
    """Each stamp moves the clock by a hundredth of its own error; what is left falls as a gain of 1 % promises."""
    rng = np.random.default_rng(3)
    jitter_s = rng.normal(0.0, 0.001, 20_000)
    times_s, _ = follow(make_core(), 1.0 + np.arange(20_000) / 100.0 + jitter_s)
    errors_s = (times_s - 1.0 - np.arange(20_000) / 100.0)[2000:]
    # A first-order follower of gain g lets through g / (2 - g) of the power; the period's gain adds about a quarter.
    assert 0.8 < errors_s.std() / (0.001 * np.sqrt(0.01 / 1.99)) < 1.4


@pytest.mark.parametrize("measured_s", [0.0, 0.008])
def test_only_jitter_that_was_not_measured_means_gaps_and_repetitions(make_core, follow, measured_s):
    rng = np.random.default_rng(4)
    # The clock starts at the first stamp, whose own jitter would come on top; what was measured is doubled for that.
    jitter_s = np.concatenate([[0.0], rng.uniform(-0.007, 0.007, 2999)])
    stamps = 1.0 + np.arange(3000) / 100.0 + jitter_s
    core = make_core(timing={"jitter_s": measured_s})
    times_s, _ = follow(core, stamps, now=1.1 + np.arange(3000) / 100.0)
    timing = core.timing[0]
    seen = bool(timing["missing"]), bool(timing["unordered"]), bool(np.isnan(times_s).any())
    assert seen == ((False,) * 3 if measured_s else (True,) * 3)


@pytest.mark.parametrize("measured_s", [0.0, 0.012])
def test_a_gap_beyond_the_measured_jitter_is_a_gap(make_core, follow, measured_s):
    core = make_core(timing={"jitter_s": measured_s})
    stamps = np.delete(np.arange(200) / 100.0, np.arange(100, 102))
    times_s, _ = follow(core, stamps)
    assert (core.timing["missing"][0], core.timing["index"][0]) == (2, 199)
    np.testing.assert_allclose(times_s, stamps, atol=1e-12)


def test_a_gap_within_the_measured_jitter_is_taken_for_it(make_core, follow):
    core = make_core(timing={"jitter_s": 0.025})
    follow(core, np.delete(np.arange(200) / 100.0, [100]))
    assert (core.timing["missing"][0], core.timing["index"][0]) == (0, 198)


@pytest.mark.parametrize("measured_s", [0.0, 0.05])
def test_a_stamp_that_comes_twice_is_a_sample_that_came_twice(make_core, follow, measured_s):
    core = make_core(timing={"jitter_s": measured_s})
    stamps = np.repeat(np.arange(100) / 100.0, [3 if n % 10 == 0 else 1 for n in range(100)])
    times_s, _ = follow(core, stamps)
    assert (core.timing["index"][0], core.timing["unordered"][0]) == (99, 20)
    assert np.isnan(times_s).tolist() == [False, *(np.diff(stamps) == 0.0)]


@pytest.mark.parametrize("measured_s", [0.0, 0.02])
@pytest.mark.parametrize("off", [0.02, -0.02, 0.1, -0.1, 1.0])
def test_a_stream_at_another_rate_is_refused_within_two_windows(make_core, run, off, measured_s):
    core = make_core(timing={"jitter_s": measured_s})
    stamps = settling(off)[:3000]
    samples = 20.0 * np.cos(2 * np.pi * 10.0 * stamps)[:, None]
    events = run(core, samples, timestamps=stamps).events
    begun = events[events["now_s"] > 2.0 * RATE_WINDOW_S]
    assert begun.size > 30
    assert set(begun["kind"]) == {EventKind.REFUSED}
    # Where samples are missing by then there is no prediction, and that is asked first.
    assert set(begun["reason"]) <= {Reason.SAMPLING_RATE, Reason.GAP}
    assert core.timing["off_rate"][0] == 1


@pytest.mark.parametrize("off", [0.02, -0.02])
def test_a_stream_whose_rate_is_right_again_works_again_within_two_windows(make_core, run, off):
    core = make_core()
    wrong = settling(off)[:2000]
    right = wrong[-1] + np.arange(1, 2001) / 100.0
    stamps = np.concatenate([wrong, right])
    samples = 20.0 * np.cos(2 * np.pi * 10.0 * stamps)[:, None]
    events = run(core, samples, timestamps=stamps).events
    assert core.timing["off_rate"][0] == 0
    after = events[events["now_s"] > wrong[-1] + 2.0 * RATE_WINDOW_S]
    assert np.count_nonzero(after["kind"] == EventKind.DELIVERED) > 80


@pytest.mark.parametrize("place", range(90, 600, 51))
def test_a_single_gap_is_no_wrong_rate(make_core, follow, place):
    core = make_core()
    follow(core, np.delete(np.arange(2000) / 100.0, np.arange(place, place + 5)))
    assert (core.timing["missing"][0], core.timing["off_rate"][0]) == (5, 0)


@pytest.mark.parametrize("sfreq", [100.0, 500.0])
def test_the_jitter_of_single_stamps_is_no_wrong_rate(make_core, follow, sfreq):
    """Stamps as far off as a measured jitter may be are two windows' limits apart, and do not decide."""
    rng = np.random.default_rng(5)
    core = make_core(sfreq=sfreq, timing={"jitter_s": 0.05})
    found = 0
    for n in range(100):
        at = n + np.arange(round(sfreq)) / sfreq
        follow(core, at + rng.uniform(-0.045, 0.045, at.size), now=at + 0.1)
        found += int(core.timing["off_rate"][0])
    assert found == 0


@pytest.mark.uncompiled
def test_the_compiled_clock_is_the_plain_python_clock(make_core, follow, same_as_compiled):
    rng = np.random.default_rng(6)
    stamps = np.concatenate([settling(0.003)[:400], 4.0 + settling(-0.02)[:700], 11.5 + np.arange(200) / 100.0])
    stamps += rng.normal(0.0, 0.0005, stamps.size)
    stamps[500] = stamps[499]
    stamps[[600, 601]] = stamps[[601, 600]]
    core = make_core()
    times_s, _ = follow(core, stamps, now=np.maximum.accumulate(stamps))
    same_as_compiled(times_s=times_s, timing=np.array(core.timing[0].tolist()))


def test_where_no_age_is_too_old_nothing_is_fresh_and_no_plan_is_committed(make_core, script):
    told = script(make_core(limits={"max_data_age_s": math.inf}))
    for _ in range(50):
        told.sample()
        assert told.core.plan["status"][0] != COMMITTED
