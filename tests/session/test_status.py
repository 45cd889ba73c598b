"""What an operator sees of a running loop."""

import math

import numpy as np
import pytest

from closedloop.core.live import SIGHT
from closedloop.core.reasons import Reason
from closedloop.core.records import EVENT, EventKind
from closedloop.session.status import WINDOW_S, Watch, percentile_name


def sights(start_s, seconds, *, sfreq=250.0, age_s=0.004, took_s=1e-4, **fields):
    """Return what the loop leaves behind after each sample of a stretch."""
    found = np.zeros(round(seconds * sfreq), SIGHT)
    found["time_s"] = start_s + np.arange(found.size) / sfreq
    found["told_s"] = found["time_s"] + age_s
    found["done_s"] = found["told_s"] + took_s
    found["armed"] = 1
    for name, value in fields.items():
        found[name] = value
    return found


def events(*kinds_and_reasons):
    found = np.zeros(len(kinds_and_reasons), EVENT)
    for event, (kind, reason) in zip(found, kinds_and_reasons, strict=True):
        event["kind"], event["reason"] = kind, reason
    return found


NO_EVENTS = events()


def watching(*stretches, target=0):
    watch = Watch(target)
    for stretch in stretches:
        watch.follow(stretch, NO_EVENTS)
    return watch


def status(watch, now_s, need=""):
    return watch.status(now_s, began_s=100.0, need=need)


def test_before_the_first_sample_nothing_is_known():
    seen = status(Watch(0), 101.0)
    assert (seen.state, seen.elapsed_s) == ("starting", 1.0)
    unknown = (seen.rate_hz, seen.age_s, seen.snr_db, seen.sd, seen.next_s, seen.age_p50_s, seen.loop_p99_s)
    assert all(math.isnan(value) for value in unknown)
    assert (seen.delivered, seen.withheld, seen.refused, seen.reasons) == (0, 0, 0, {})


@pytest.mark.parametrize(
    ("fields", "paused", "state"),
    [
        ({}, False, "armed"),
        ({}, True, "paused"),
        ({"armed": 0}, False, "disarmed"),
        ({"armed": 0}, True, "disarmed"),
        ({"armed": 0, "disarmed_by": Reason.STREAM_BROKEN}, False, "disarmed: stream_broken"),
        ({"disarmed_by": Reason.STREAM_BROKEN}, False, "armed"),
    ],
)
def test_the_state_says_whether_it_may_fire_and_if_not_why(fields, paused, state):
    watch = watching(sights(100.0, 1.0, paused=int(paused), **fields))
    assert status(watch, 101.0).state == state


def test_what_was_disarmed_since_the_newest_sample_is_not_called_armed():
    assert watching(sights(100.0, 1.0)).status(101.0, began_s=100.0, need="", gone=True).state == "disarmed"


def test_what_is_armed_is_never_called_disarmed():
    assert status(watching(sights(100.0, 1.0)), 101.0, need="look at the amplifier").state == "armed"


def test_rate_and_age_are_those_of_the_samples():
    seen = status(watching(sights(100.0, 1.0), sights(101.0, 1.0)), 103.0)
    assert seen.rate_hz == pytest.approx(250.0)
    assert seen.age_s == pytest.approx(103.0 - 101.996)
    assert (seen.age_p50_s, seen.age_p99_s) == (pytest.approx(0.004), pytest.approx(0.004))
    assert (seen.loop_p50_s, seen.loop_p99_s) == (pytest.approx(1e-4, rel=1e-6), pytest.approx(1e-4, rel=1e-6))


def test_what_waited_during_calibration_is_not_taken_for_the_streams_delay():
    watch = watching(sights(100.0, 1.0, age_s=7.0))
    watch.has_caught_up()
    watch.follow(sights(108.0, 1.0, age_s=0.004), NO_EVENTS)
    assert status(watch, 109.0).age_p99_s == pytest.approx(0.004)


def test_rates_are_those_of_the_last_seconds_only():
    watch = Watch(0)
    for second in range(30):
        rate = 500.0 if second < 15 else 250.0
        watch.follow(sights(100.0 + second, 1.0, sfreq=rate, age_s=0.5 if second < 15 else 0.004), NO_EVENTS)
    seen = status(watch, 130.0)
    assert seen.rate_hz == pytest.approx(250.0)
    assert seen.age_p99_s == pytest.approx(0.004)
    assert sum(stretch.size for stretch in watch._recent) <= (WINDOW_S + 1.0) * 250.0


def test_rhythm_phase_and_next_pulse_are_the_newest_ones_of_the_target():
    stretch = sights(100.0, 1.0, snr_db=12.5, next_s=103.0)
    stretch["sd"][:, 2] = 0.3
    stretch["snr_db"][:-1] = -7.0
    seen = status(watching(stretch, target=2), 101.0)
    assert (seen.snr_db, seen.sd, seen.next_s) == (12.5, 0.3, 2.0)


def test_a_pulse_that_is_allowed_already_is_not_waited_for():
    assert status(watching(sights(100.0, 1.0, next_s=-np.inf)), 101.0).next_s == 0.0


def test_chances_are_counted_and_refusals_by_their_reason_the_most_frequent_first():
    watch = Watch(0)
    refused = EventKind.REFUSED
    watch.follow(sights(100.0, 0.1), events((EventKind.DELIVERED, 0), (refused, Reason.GAP), (EventKind.WITHHELD, 0)))
    watch.follow(sights(100.1, 0.1), events((refused, Reason.HELD), (refused, Reason.HELD)))
    watch.follow(sights(0.0, 0.0), events((EventKind.DELIVERED, 0)))
    seen = status(watch, 101.0)
    assert (seen.delivered, seen.withheld, seen.refused) == (2, 1, 3)
    assert list(seen.reasons.items()) == [(Reason.HELD, 2), (Reason.GAP, 1)]


def test_percentiles_of_decisions_are_known_to_2_percent_however_long_it_ran():
    took_s = np.random.default_rng(1).lognormal(math.log(5e-5), 0.7, 20_000)
    watch = Watch(0)
    for part in np.split(took_s, 20):
        watch.follow(sights(100.0, 4.0, took_s=part), NO_EVENTS)
    found = watch.decision_percentiles([50.0, 99.0, 99.9, 100.0])
    assert found["n"] == 20_000
    for rank, name in ((10_000, "p50"), (19_800, "p99"), (19_980, "p99_9"), (20_000, "max")):
        expected_ms = 1e3 * np.sort(took_s)[rank - 1]
        assert expected_ms * (1.0 - 1e-9) <= found[name] <= 1.021 * expected_ms, name


@pytest.mark.parametrize("took_s", [0.0, 1e-9, 100.0])
def test_a_decision_of_any_length_is_counted(took_s):
    assert watching(sights(100.0, 1.0, took_s=took_s)).decision_percentiles([50.0])["n"] == 250


def test_without_a_sample_there_are_no_percentiles():
    assert Watch(0).decision_percentiles([50.0]) is None


@pytest.mark.parametrize(("percent", "name"), [(50.0, "p50"), (99.9, "p99_9"), (100.0, "max")])
def test_a_percentiles_name(percent, name):
    assert percentile_name(percent) == name


def test_a_stream_that_has_fallen_silent_shows_no_rate_of_before():
    watch = watching(sights(100.0, 1.0))
    assert status(watch, 102.0).rate_hz == pytest.approx(250.0)
    assert np.isnan(status(watch, 104.0).rate_hz)
