"""What limits how much is given: intensity, trains, windows of time, counts, and what the stimulator says of itself."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedloop.core.exposure import CAP, make_exposure
from closedloop.core.reasons import Reason
from closedloop.core.records import Command, EventKind, InputKind

TABLE = {"frequencies_hz": [1.0, 5.0, 10.0, 20.0], "percents": [90.0, 120.0], "longest_s": np.full((4, 2), 1e6)}


def exposure(caps=(), *, most_pulses=None, pause_s=None, **table):
    listed = np.array([tuple(cap) for cap in caps], CAP)
    parts = {**TABLE, **table}
    return make_exposure(
        listed,
        *(np.array(parts[name], float) for name in ("frequencies_hz", "percents", "longest_s")),
        most_pulses=None if most_pulses is None else np.array(most_pulses),
        pause_s=pause_s,
    )


def table(row, column, longest_s):
    """Return a table that is wide but for one cell."""
    values = np.full((4, 2), 1e6)
    values[row, column] = longest_s
    return exposure(longest_s=values)


def causes(core, run, sine, seconds=2.0):
    return [Reason(reason) for reason in run(core, sine(seconds)).events["reason"]]


# the rhythm is at 10 Hz, so that every crossing is a chance 0.1 s after the one before


@pytest.mark.parametrize(("percent", "reason"), [(0.0, 0), (60.0, 0), (60.1, 45), (-0.1, 45), (math.nan, 45)])
def test_intensity(make_core, run, sine, percent, reason):
    core = make_core(limits={"max_percent": 60.0}, percent=percent)
    assert set(causes(core, run, sine)) == {Reason(reason)}


def test_train_pulses(make_core, run, sine):
    policy = {"pulses": 4, "pulse_interval_s": 0.06}
    assert set(causes(make_core(limits={"max_train_pulses": 3}, policy=policy), run, sine)) == {Reason.TRAIN_PULSES}
    assert Reason.NONE in causes(make_core(limits={"max_train_pulses": 4}, policy=policy), run, sine)


def test_recharging(make_core, run, sine):
    found = causes(make_core(limits={"recharge_s": 0.25}), run, sine)
    assert found[:6] == [Reason.NONE, Reason.RECHARGING, Reason.RECHARGING] * 2


def test_a_train_is_no_faster_than_the_stimulator_recharges(make_core, run, sine):
    policy = {"pulses": 3, "pulse_interval_s": 0.06}
    assert set(causes(make_core(limits={"recharge_s": 0.07}, policy=policy), run, sine)) == {Reason.RECHARGING}


def test_a_train_begins_long_enough_after_the_last(make_core, run, sine):
    core = make_core(
        limits={"min_train_gap_s": 0.5, "max_data_age_s": 0.1}, policy={"pulses": 2, "pulse_interval_s": 0.06}
    )
    events = run(core, sine(3.0)).events
    pulses = events[events["kind"] == EventKind.DELIVERED]
    first_s, last_s = pulses["due_s"][pulses["pulse"] == 0], pulses["due_s"][pulses["pulse"] == 1]
    assert len(first_s) >= 4
    assert np.all(first_s[1:] - last_s[:-1] >= 0.5 - 1e-9)
    assert Reason.TRAIN_INTERVAL in events["reason"]


def test_single_pulses_need_no_train_interval(make_core, run, sine):
    assert set(causes(make_core(limits={"min_train_gap_s": 0.5}), run, sine)) == {Reason.NONE}


@pytest.mark.parametrize(
    ("interval_s", "row"), [(0.2, 1), (0.19, 2), (0.11, 2), (0.1, 2), (0.099, 3), (0.06, 3), (0.05, 3)]
)
def test_a_trains_frequency_is_rounded_up_to_a_row_of_the_table(make_core, run, sine, interval_s, row):
    policy = {"pulses": 3, "pulse_interval_s": interval_s}
    short = make_core(
        policy=policy, exposure=table(row, 1, 3 * interval_s - 1e-6), n_trials=1, limits={"max_data_age_s": 1.0}
    )
    assert set(causes(short, run, sine)) == {Reason.TRAIN_DURATION}
    enough = make_core(
        policy=policy, exposure=table(row, 1, 3 * interval_s), n_trials=1, limits={"max_data_age_s": 1.0}
    )
    assert causes(enough, run, sine)[:3] == [Reason.NONE] * 3


@pytest.mark.parametrize(("percent", "column"), [(0.0, 0), (90.0, 0), (90.1, 1), (120.0, 1)])
def test_intensity_is_rounded_up_to_a_column_of_the_table(make_core, run, sine, percent, column):
    policy = {"pulses": 3, "pulse_interval_s": 0.06}
    core = make_core(policy=policy, exposure=table(3, column, 0.1), percent_of_threshold=percent)
    assert set(causes(core, run, sine)) == {Reason.TRAIN_DURATION}
    core = make_core(policy=policy, exposure=table(3, 1 - column, 0.1), percent_of_threshold=percent)
    assert Reason.NONE in causes(core, run, sine)


@pytest.mark.parametrize("percent", [120.1, math.nan, math.inf, -1.0])
def test_a_train_outside_the_tables_intensities_is_refused_and_a_pulse_on_its_own_is_not(make_core, run, sine, percent):
    train = make_core(policy={"pulses": 3, "pulse_interval_s": 0.06}, exposure=exposure(), percent_of_threshold=percent)
    assert set(causes(train, run, sine)) == {Reason.TRAIN_DURATION}
    alone = make_core(wait_s=1.2, exposure=exposure(), percent_of_threshold=percent)
    assert set(causes(alone, run, sine, 3.0)) == {Reason.NONE, Reason.INTERVAL}


def test_a_train_that_is_faster_than_the_table_is_refused(make_core, run, sine):
    core = make_core(
        policy={"pulses": 2, "pulse_interval_s": 0.0499}, exposure=exposure(), limits={"min_interval_s": 0.01}
    )
    assert set(causes(core, run, sine)) == {Reason.TRAIN_DURATION}


@pytest.mark.parametrize("longest_s", [math.nan, math.inf, -1.0])
def test_a_cell_that_is_no_duration_refuses(make_core, run, sine, longest_s):
    core = make_core(policy={"pulses": 2, "pulse_interval_s": 0.06}, exposure=table(3, 1, longest_s))
    assert set(causes(core, run, sine)) == {Reason.TRAIN_DURATION}


def test_single_pulses_that_follow_each_other_make_a_train(make_core, run, sine):
    """At 10 Hz for 0.55 s: five pulses last 0.5 s, a sixth would make it 0.6 s; then a pause ends the train."""
    events = run(make_core(exposure=table(2, 1, 0.55)), sine(4.0)).events
    pulses_s = events["due_s"][events["kind"] == EventKind.DELIVERED]
    gaps_s = np.diff(pulses_s)
    np.testing.assert_allclose(gaps_s[:4], 0.1, atol=1e-9)
    assert gaps_s[4] > 1.0
    assert Reason.TRAIN_DURATION in events["reason"]


def test_without_a_table_no_train_is_allowed(make_core, run, sine):
    none = exposure(frequencies_hz=[], percents=[], longest_s=np.zeros((0, 0)))
    found = causes(make_core(exposure=none), run, sine)
    assert found[0] == Reason.NONE
    assert set(found[1:]) == {Reason.TRAIN_DURATION}


def counting(row, column, pulses):
    """Return a table that counts the pulses of trains in one cell."""
    most = np.full((4, 2), 1000)
    most[row, column] = pulses
    return exposure(most_pulses=most)


def test_a_train_of_more_pulses_than_its_cell_allows_is_refused_whole(make_core, run, sine):
    policy = {"pulses": 4, "pulse_interval_s": 0.06}
    assert set(causes(make_core(policy=policy, exposure=counting(3, 1, 3), n_trials=1), run, sine)) == {
        Reason.TRAIN_DURATION
    }
    core = make_core(policy=policy, exposure=counting(3, 1, 4), n_trials=1, limits={"max_data_age_s": 1.0})
    assert causes(core, run, sine)[:4] == [Reason.NONE] * 4


def test_single_pulses_that_follow_each_other_are_counted_as_a_train(make_core, run, sine):
    """At 10 Hz at most three, and then a pause of more than a second."""
    events = run(make_core(exposure=counting(2, 1, 3)), sine(6.0)).events
    pulses_s = events["due_s"][events["kind"] == EventKind.DELIVERED]
    np.testing.assert_allclose(np.diff(pulses_s)[:8], [0.1, 0.1, 1.1, 0.1, 0.1, 1.1, 0.1, 0.1], atol=1e-9)
    assert set(events["reason"]) == {Reason.NONE, Reason.TRAIN_DURATION}


@pytest.mark.parametrize(("pause_s", "gap_s"), [(0.35, 0.4), (0.4, 0.5), (2.05, 2.1)])
def test_a_train_ends_with_the_pause_that_its_limits_name(make_core, run, sine, pause_s, gap_s):
    core = make_core(exposure=exposure(most_pulses=np.full((4, 2), 2), pause_s=pause_s))
    events = run(core, sine(8.0)).events
    pulses_s = events["due_s"][events["kind"] == EventKind.DELIVERED]
    np.testing.assert_allclose(np.diff(pulses_s)[:4], [0.1, gap_s, 0.1, gap_s], atol=1e-9)


def test_where_no_pause_is_known_every_pulse_belongs_to_the_train(make_core, run, sine):
    core = make_core(exposure=exposure(most_pulses=np.full((4, 2), 2), pause_s=math.nan))
    assert sum(cause == Reason.NONE for cause in causes(core, run, sine, 5.0)) == 2


def test_a_session_begins_long_enough_after_the_last(make_core, run, sine):
    core = make_core(limits={"min_session_gap_s": 3.0}, gate={"before_last_s": -2.0})
    events = run(core, sine(2.0)).events
    assert set(events["reason"][events["due_s"] < 1.0 - 1e-6]) == {Reason.SESSION_INTERVAL}
    assert set(events["reason"][events["due_s"] >= 1.0]) == {Reason.NONE}


@pytest.mark.parametrize("before_s", [math.nan, math.inf])
def test_a_last_session_at_no_time_refuses(make_core, run, sine, before_s):
    core = make_core(limits={"min_session_gap_s": 3.0}, gate={"before_last_s": before_s})
    assert set(causes(core, run, sine)) == {Reason.SESSION_INTERVAL}


def test_rate_cap(make_core, run, sine):
    found = causes(make_core(exposure=exposure([(0.55, 3)])), run, sine, 3.0)
    assert found[:12] == ([Reason.NONE] * 3 + [Reason.RATE_CAP] * 3) * 2


def test_a_train_that_would_overfill_a_window_is_refused_whole(make_core, run, sine):
    core = make_core(exposure=exposure([(1.0, 3)]), policy={"pulses": 4, "pulse_interval_s": 0.06})
    assert set(causes(core, run, sine)) == {Reason.RATE_CAP}


@pytest.mark.parametrize("cap", [(math.nan, 3), (math.inf, 3), (0.0, 3), (-1.0, 3), (1.0, 0), (1.0, -1)])
def test_a_window_that_is_none_refuses(make_core, run, sine, cap):
    assert set(causes(make_core(exposure=exposure([(0.1, 5), cap])), run, sine)) == {Reason.RATE_CAP}


@settings(max_examples=40)
@given(
    caps=st.lists(st.tuples(st.sampled_from([0.05, 0.3, 0.55, 1.0, 2.5]), st.integers(1, 6)), min_size=1, max_size=3),
    pulses=st.integers(1, 4),
    trials=st.integers(0, 2**32 - 1),
)
def test_no_window_ever_holds_more_than_its_cap(make_core, run, sine, caps, pulses, trials):
    waits = np.random.default_rng(trials).choice([0.0, 0.13, 0.7], 1000)
    core = make_core(
        exposure=exposure(caps), policy={"pulses": pulses, "pulse_interval_s": 0.07}, trials={"wait_s": waits}
    )
    events = run(core, sine(6.0)).events
    pulses_s = events["due_s"][events["kind"] == EventKind.DELIVERED]
    for window_s, most in caps:
        for pulse_s in pulses_s:
            assert np.count_nonzero((pulses_s > pulse_s - window_s + 1e-9) & (pulses_s <= pulse_s)) <= most
    smallest = min(most for _, most in caps)
    assert len(pulses_s) > 0 or pulses > smallest


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("max_pulses", Reason.MAX_PULSES),
        ("max_pulses_day", Reason.MAX_PULSES_DAY),
        ("max_pulses_course", Reason.MAX_PULSES_COURSE),
    ],
)
def test_counts(make_core, run, sine, limit, reason):
    found = causes(make_core(limits={limit: 4}), run, sine)
    assert found == [Reason.NONE] * 4 + [reason] * (len(found) - 4)


LATE_S = 0.0005


def late_train(make_core, script, listed):
    """Deliver a train of three at 16.7 Hz, each trigger written a little late; return the script and its pulses."""
    told = script(
        make_core(policy={"pulses": 3, "pulse_interval_s": 0.06}, exposure=listed, limits={"max_data_age_s": 1.0})
    )
    first_s = told.until_due()
    for pulse in range(3):
        told.deadline(first_s + pulse * (0.06 + LATE_S))
        told.tell(InputKind.WRITTEN, now=told.now + LATE_S)
    return told, first_s + 0.02 + LATE_S + (0.06 + LATE_S) * np.arange(3)


def test_single_pulses_that_are_late_make_no_train_shorter(make_core, script):
    told = script(make_core(exposure=exposure(), limits={"min_interval_s": 0.01}))
    written_s = []
    for _ in range(5):
        told.fire()
        written_s.append(told.now + LATE_S)
        told.tell(InputKind.WRITTEN, now=written_s[-1])
        told.n_samples += 1
    run = told.core.exposure.run[0]
    assert run["in_train"] == 5
    assert run["last_s"] - run["from_s"] == pytest.approx(written_s[-1] - written_s[0], abs=1e-9)


def test_late_triggers_make_a_train_no_longer(make_core, script):
    told, _ = late_train(make_core, script, table(3, 1, 0.18))
    assert told.events["kind"].tolist() == [EventKind.DELIVERED] * 3


def test_windows_hold_pulses_from_when_their_triggers_were_written(make_core, script):
    told, pulses_s = late_train(make_core, script, exposure([(0.3, 3)]))
    np.testing.assert_allclose(np.sort(told.core.exposure.recent_s)[1:], pulses_s, rtol=0.0, atol=1e-9)
    assert told.core.exposure.run["last_s"][0] == pytest.approx(pulses_s[-1], abs=1e-9)


def test_a_train_is_not_judged_by_the_intervals_of_the_one_before(make_core, script):
    """Two pulses at 16.7 Hz, which may last 0.15 s, and after a pause two at 10 Hz, which may last longer."""
    table = exposure(longest_s=np.array([[1e6] * 2, [1e6] * 2, [1e6] * 2, [0.15] * 2]), pause_s=0.3)
    told = script(
        make_core(policy={"pulses": 2, "pulse_interval_s": 0.06}, exposure=table, limits={"max_data_age_s": 1.0})
    )
    trigger_s = told.until_due()
    for pulse in range(2):
        assert told.deadline(trigger_s + pulse * 0.06)["kind"].tolist() == [EventKind.DELIVERED]
    told.core.policy["pulses"] = 1
    told.n_samples += 8  # samples come later than the second pulse
    told.command(Command.PAUSE)
    told.samples(100)
    told.command(Command.RESUME)
    fired = np.concatenate([told.fire(), told.fire()])
    assert fired["kind"].tolist() == [EventKind.DELIVERED] * 2
    assert np.diff(fired["due_s"])[0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("before", "limit"), [("before_day", "max_pulses_day"), ("before_course", "max_pulses_course")]
)
def test_what_was_given_before_the_session_counts(make_core, run, sine, before, limit):
    core = make_core(limits={limit: 10}, gate={before: 7})
    assert sum(cause == Reason.NONE for cause in causes(core, run, sine)) == 3


def test_not_leased_until_more_is_on_disk(make_core, script, refused):
    told = script(make_core(gate={"leased": 1}))
    assert told.fire()["kind"].tolist() == [EventKind.DELIVERED]
    assert set(refused(told.samples(30))) == {Reason.NOT_LEASED}
    told.command(Command.LEASE, 2.0)
    assert told.fire()["kind"].tolist() == [EventKind.DELIVERED]
    assert set(refused(told.samples(30))) == {Reason.NOT_LEASED}


def test_a_lease_is_never_taken_back(make_core, script):
    told = script(make_core(gate={"leased": 5}))
    told.command(Command.LEASE, 3.0, now=0.0)
    assert told.core.gate["leased"][0] == 5
    assert told.core.gate["armed"][0] == 1


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, 2.0**54])
def test_a_lease_that_is_no_count_disarms(make_core, script, value):
    told = script(make_core())
    told.command(Command.LEASE, value, now=0.0)
    assert told.core.gate["armed"][0] == 0


def test_device_stale(make_core, script):
    told = script(make_core(limits={"max_status_age_s": 1.0}))
    told.tell(InputKind.DEVICE, code=1, value=25.0, now=0.0)
    for _ in range(200):
        told.sample()
        trigger_s = float(told.core.plan["due_s"][0] - told.core.timing["latency_s"][0])
        if told.core.plan["status"][0] == 2 and trigger_s <= told.n_samples * 0.01:
            told.deadline(max(trigger_s, told.now))
    in_time = told.events["now_s"] <= 1.0
    assert {Reason(reason) for reason in told.events["reason"][in_time]} == {Reason.NONE}
    assert {Reason(reason) for reason in told.events["reason"][~in_time]} == {Reason.DEVICE_STALE}
    assert in_time.sum() >= 8
    assert (~in_time).sum() >= 8


def test_what_a_stimulator_says_from_the_future_is_not_believed(make_core, run, sine):
    assert set(causes(make_core(gate={"status_s": 99.0}), run, sine)) == {Reason.DEVICE_STALE}


@pytest.mark.parametrize(("coil_c", "reason"), [(39.9, 0), (40.0, 0), (40.1, 17), (math.nan, 17), (math.inf, 17)])
def test_coil_hot(make_core, run, sine, coil_c, reason):
    core = make_core(limits={"max_coil_c": 40.0}, gate={"coil_c": coil_c})
    assert set(causes(core, run, sine)) == {Reason(reason)}


def test_the_coils_temperature_is_what_the_stimulator_said_last(make_core, script, refused):
    told = script(make_core(limits={"max_coil_c": 40.0}))
    told.tell(InputKind.DEVICE, code=1, value=41.0, now=0.0)
    assert set(refused(told.samples(30))) == {Reason.COIL_HOT}


LIMITS = ["max_percent", "recharge_s", "max_status_age_s", "max_coil_c", "min_train_gap_s", "min_session_gap_s"]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_limit_that_is_no_number_or_infinite_refuses(make_core, run, sine, limit, value):
    core = make_core(limits={limit: value}, policy={"pulses": 2, "pulse_interval_s": 0.06})
    assert Reason.NONE not in causes(core, run, sine)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda core: core.limits.__setitem__("max_pulses", 0), Reason.MAX_PULSES),
        (lambda core: core.limits.__setitem__("max_percent", 1.0), Reason.INTENSITY),
        (lambda core: core.gate.__setitem__("last_pulse_s", core.plan["due_s"][0] - 0.01), Reason.MIN_INTERVAL),
        (lambda core: core.gate.__setitem__("leased", 0), Reason.NOT_LEASED),
        (lambda core: core.gate.__setitem__("device_ready", 0), Reason.DEVICE_NOT_READY),
        (lambda core: core.plan.__setitem__("snr_db", math.inf), Reason.NO_RHYTHM),
    ],
)
def test_what_has_changed_since_a_plan_was_approved_stops_its_pulse(make_core, script, change, reason):
    told = script(make_core())
    trigger_s = told.until_due()
    change(told.core)
    assert [Reason(cause) for cause in told.deadline(trigger_s)["reason"]] == [reason]


def test_a_gate_that_remembers_fewer_pulses_than_a_window_may_hold_refuses(make_core, run, sine):
    few = exposure([(1.0, 3)])._replace(recent_s=np.full(2, -np.inf))
    assert set(causes(make_core(exposure=few), run, sine)) == {Reason.RATE_CAP}
