"""Pulses are scheduled between samples, and each chance keeps its place."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.core.reasons import Reason
from closedloop.core.records import Command, EventKind, InputKind
from closedloop.core.replay import post_command
from closedloop.signal.circular import wrap
from closedloop.signal.conditioning import design_conditioning

PERIOD_S = 0.1
"""Of the perfect estimator's rhythm."""

RHYTHM_HZ = 10.0
PHASES = st.floats(-math.pi, math.pi, exclude_min=True)


def delivered(events):
    return events[events["kind"] == EventKind.DELIVERED]


@given(target=PHASES, start=PHASES, total_s=st.floats(0.001, 0.08), share=st.floats(0.0, 1.0))
def test_a_pulse_meets_its_phase_between_samples_whatever_the_delays(
    make_core, run, sine, target, start, total_s, share
):
    core = make_core(
        targets=(target,), phase=start, timing={"latency_s": share * total_s, "delay_s": total_s - share * total_s}
    )
    events = delivered(run(core, sine(1.0)).events)
    assert len(events) >= 7
    error = wrap(start + 2 * np.pi * RHYTHM_HZ * events["due_s"] - target)
    assert np.degrees(np.abs(error)).max() < 0.1


@given(latency_s=st.floats(0.001, 0.08))
def test_the_trigger_leaves_the_latency_before_the_pulse(make_core, run, sine, latency_s):
    core = make_core(timing={"latency_s": latency_s})
    events = delivered(run(core, sine(1.0)).events)
    np.testing.assert_array_equal(events["trigger_s"], events["due_s"] - latency_s)
    np.testing.assert_array_equal(events["now_s"], events["trigger_s"])


def test_a_rig_without_any_delay_fires(make_core, run, sine):
    core = make_core(timing={"latency_s": 0.0, "delay_s": 0.0}, targets=(2.0,))
    assert len(delivered(run(core, sine(5.0)).events)) >= 45


@pytest.mark.parametrize("jitter_s", [0.0005, 0.004])
def test_a_rig_without_any_delay_fires_in_spite_of_jittered_stamps(make_core, run, sine, jitter_s):
    core = make_core(timing={"latency_s": 0.0, "delay_s": 0.0}, targets=(2.0,))
    samples = sine(5.0)
    stamps = np.arange(500) / 100.0 + np.random.default_rng(1).uniform(-jitter_s, jitter_s, 500)
    assert len(delivered(run(core, samples, timestamps=stamps).events)) >= 40


def test_every_crossing_of_a_steady_rhythm_is_one_chance(make_core, run, sine):
    events = run(make_core(), sine(20.0)).events
    assert len(events) in (199, 200)
    np.testing.assert_allclose(np.diff(events["due_s"]), 0.1, atol=1e-9)


def test_a_train_has_its_pulses_at_exact_intervals(make_core, run, sine):
    core = make_core(policy={"pulses": 5, "pulse_interval_s": 0.07}, wait_s=1.0, limits={"max_data_age_s": 0.1})
    events = delivered(run(core, sine(5.0)).events)
    trains = events[: len(events) // 5 * 5].reshape(-1, 5)
    assert len(trains) >= 3
    np.testing.assert_allclose(np.diff(trains["due_s"], axis=1), 0.07, atol=1e-12)
    np.testing.assert_array_equal(trains["pulse"], np.broadcast_to(np.arange(5), trains.shape))
    error = wrap(2 * np.pi * RHYTHM_HZ * trains["due_s"][:, 0] - np.pi)
    assert np.degrees(np.abs(error)).max() < 0.1


@given(interval_s=st.sampled_from([0.1, 0.05, 0.03, 1 / 3, 0.02]), start=PHASES)
def test_a_train_may_be_as_fast_as_the_limit_allows(make_core, run, sine, interval_s, start):
    core = make_core(
        phase=start,
        policy={"pulses": 10, "pulse_interval_s": interval_s},
        limits={"min_interval_s": interval_s},
        n_trials=1,
    )
    assert len(delivered(run(core, sine(5.0)).events)) == 10


def break_train(make_core, script):
    """Deliver two pulses of a train of four, and let the stimulator fail before the third."""
    told = script(
        make_core(policy={"pulses": 4, "pulse_interval_s": 0.06}, wait_s=100.0, limits={"max_data_age_s": 1.0})
    )
    trigger_s = told.until_due()
    told.deadline(trigger_s)
    told.deadline(trigger_s + 0.06)
    told.tell(InputKind.DEVICE, code=0)
    told.deadline(trigger_s + 0.12)
    told.n_samples = 40
    return told


def test_a_train_whose_first_pulse_left_late_goes_on_from_there(make_core, script):
    told = script(
        make_core(
            policy={"pulses": 3, "pulse_interval_s": 0.06}, limits={"min_interval_s": 0.06, "max_data_age_s": 1.0}
        )
    )
    late_s = told.until_due() + 0.0009
    fired = np.concatenate([told.deadline(late_s + n * 0.06) for n in range(3)])
    assert fired["kind"].tolist() == [EventKind.DELIVERED] * 3
    np.testing.assert_allclose(np.diff(fired["now_s"]), 0.06)


def test_only_a_trains_first_pulse_has_a_prediction(make_core, script):
    told = script(make_core(policy={"pulses": 3, "pulse_interval_s": 0.06}, limits={"max_data_age_s": 1.0}))
    trigger_s = told.until_due()
    fired = np.concatenate([told.deadline(trigger_s + n * 0.06) for n in range(3)])
    for name in ("phase", "sd", "amplitude", "lead_s"):
        assert np.isfinite(fired[name]).tolist() == [True, False, False], name


def test_a_hold_goes_on_while_the_samples_have_not_reached_its_end(make_core, run, sine):
    # 85 ms from electrode to pulse and 50 ms of hold: a pulse is decided before the last one's hold has been seen.
    core = make_core(
        window=1, timing={"delay_s": 0.065}, quality={"hold_s": 0.05}, policy={"horizon_s": 0.02}, targets=(0.0,)
    )
    events = run(core, sine(3.0)).events
    pulses_s = events["due_s"][events["kind"] == EventKind.DELIVERED]
    deciding_s = events["sample"][events["kind"] == EventKind.DELIVERED] / 100.0
    for decided_s in deciding_s:
        assert not np.any((pulses_s <= decided_s) & (decided_s < pulses_s + 0.05))


def test_an_outage_is_recorded_while_it_lasts(make_core, run, sine):
    times_s = np.r_[np.arange(100), np.arange(400, 500)] / 100.0
    events = run(make_core(), sine(5.0)[np.r_[0:100, 400:500]], timestamps=times_s).events
    outage = events[(events["now_s"] > 1.2) & (events["now_s"] < 3.9)]
    assert set(outage["reason"]) == {Reason.STALE}
    assert len(outage) == pytest.approx(2.7 / PERIOD_S, abs=2)


@pytest.mark.parametrize(("gap", "seen"), [(30, False), (5, True)])
def test_after_a_long_gap_the_filters_start_anew(make_core, run, sine, gap, seen):
    core = make_core()._replace(conditioning=design_conditioning(1, 100.0, high_pass_hz=0.5, notch_hz=()))
    samples = sine(3.0)
    samples[100 + gap :] += 1000.0  # the electrode's offset has moved
    there = np.r_[0:100, 100 + gap : 300]
    events = run(core, samples[there], timestamps=there / 100.0).events
    assert (Reason.ARTIFACT in events["reason"]) == seen


def test_samples_that_come_many_at_a_time_leave_no_time_unrecorded(script, make_core):
    told = script(make_core())
    for n in range(0, 300, 20):  # 200 ms at once: two crossings of each three are over before they are seen
        for k in range(20):
            told.sample(timestamp=(n + k) / 100.0, now=(n + 19) / 100.0)
    assert np.diff(told.events["due_s"]).max() < 3.0 * PERIOD_S


def test_a_phase_that_stands_still_is_recorded(make_core, run, sine, refused):
    core = make_core(window=1)
    core.signals.states[0][2] = 0.0
    events = run(core, sine(5.0)).events
    assert set(refused(events)) == {Reason.NOT_FORESEEN}
    assert len(events) == pytest.approx(5.0 / (2.0 * PERIOD_S), abs=2)


def test_a_plan_that_is_open_at_the_end_is_refused(make_core, run, sine):
    for n in range(100, 120):
        core = make_core()
        events = run(core, sine(2.0)[:n]).events
        assert core.plan["status"][0] == 0
        assert core.gate["armed"][0] == 0
        assert np.diff(events["due_s"]).max() < 1.5 * PERIOD_S


def test_a_condition_that_is_set_moves_the_pending_plan(make_core, script):
    told = script(make_core(targets=(0.0, math.pi), policy={"horizon_s": 1e-6, "plan_ahead_s": 0.05}))
    plan = told.core.plan
    for command in (None, Command.CONDITION):
        if command is not None:
            told.command(command, 1.0)
            assert plan["status"][0] == 0
        while plan["status"][0] != 1:
            told.sample()
    assert told.deadline(plan["due_s"][0] - 0.02)["condition"].tolist() == [1]


def test_a_clock_that_steps_back_in_a_recording_disarms_nothing(make_core, run, sine):
    times_s = np.arange(200) / 100.0
    times_s[50] -= 0.015
    core = make_core()
    events = run(core, sine(2.0), timestamps=times_s).events
    assert core.timing["unordered"][0] == 1
    assert events["kind"][events["now_s"] > 1.5].tolist().count(EventKind.DELIVERED) >= 3


def test_a_train_that_is_refused_in_the_middle_is_recorded_under_its_own_trial(make_core, script, refused):
    events = break_train(make_core, script).events
    assert events["pulse"].tolist() == [0, 1, 2]
    assert refused(events) == [Reason.DEVICE_NOT_READY]
    assert events["trial"].tolist() == [0, 0, 0]


def test_the_rest_of_a_refused_train_never_falls_due(make_core, script):
    told = break_train(make_core, script)
    told.tell(InputKind.DEVICE, code=1)
    later = told.samples(200)
    assert set(later["reason"]) <= {Reason.INTERVAL, Reason.NOT_FORESEEN}


def test_a_withheld_chance_has_no_trigger_and_keeps_its_slot(make_core, run, sine):
    withheld = np.zeros(100)
    withheld[1] = 1
    core = make_core(n_trials=100, wait_s=0.45, trials={"withheld": withheld})
    drained = run(core, sine(5.0))
    used = drained.events[drained.events["kind"] != EventKind.REFUSED]
    assert used["kind"].tolist()[:3] == [EventKind.DELIVERED, EventKind.WITHHELD, EventKind.DELIVERED]
    np.testing.assert_allclose(np.diff(used["due_s"]), 0.5, atol=1e-9)
    n_written = np.count_nonzero(drained.inputs["kind"] == InputKind.WRITTEN)
    assert n_written == len(delivered(drained.events)) == core.gate["pulses"][0]


def test_a_withheld_train_keeps_the_slot_of_the_whole_train(make_core, run, sine):
    withheld = np.zeros(10)
    withheld[0] = 1
    core = make_core(
        n_trials=10, wait_s=0.95, trials={"withheld": withheld}, policy={"pulses": 11, "pulse_interval_s": 0.1}
    )
    used = run(core, sine(8.0)).events
    used = used[used["kind"] != EventKind.REFUSED]
    assert used["kind"][0] == EventKind.WITHHELD
    # 10 intervals of the train and the wait; the next crossing after 1.95 s is at 2.0 s.
    assert used["due_s"][1] - used["due_s"][0] == pytest.approx(2.0)


def test_a_withheld_pulse_does_not_start_a_hold_and_a_delivered_one_does(make_core, run, sine):
    for withheld, kinds in ((1, {EventKind.WITHHELD}), (0, {EventKind.DELIVERED, EventKind.REFUSED})):
        core = make_core(trials={"withheld": withheld}, quality={"hold_s": 0.5})
        assert set(run(core, sine(3.0)).events["kind"]) == kinds


def test_conditions_come_in_the_order_of_the_trials(make_core, run, sine):
    targets = (0.0, 1.0, -2.0)
    order = np.random.default_rng(3).integers(3, size=200)
    core = make_core(targets=targets, n_trials=200, trials={"condition": order})
    events = delivered(run(core, sine(10.0)).events)
    assert len(events) > 50
    np.testing.assert_array_equal(events["condition"], order[: len(events)])
    np.testing.assert_array_equal(events["trial"], np.arange(len(events)))
    error = wrap(2 * np.pi * RHYTHM_HZ * events["due_s"] - np.take(targets, events["condition"]))
    assert np.degrees(np.abs(error)).max() < 0.1


def test_a_condition_without_a_phase_uses_the_random_targets(make_core, run, sine):
    drawn = np.random.default_rng(4).uniform(-np.pi, np.pi, 200)
    core = make_core(targets=(np.nan,), n_trials=200, trials={"random_target": drawn})
    events = delivered(run(core, sine(10.0)).events)
    np.testing.assert_array_equal(events["target"], drawn[: len(events)])
    error = wrap(2 * np.pi * RHYTHM_HZ * events["due_s"] - events["target"])
    assert np.degrees(np.abs(error)).max() < 0.1


def test_a_plan_moves_until_the_horizon_and_no_further(script, make_core):
    told = script(make_core(policy={"horizon_s": 0.005, "plan_ahead_s": 0.05}))
    while told.core.plan["status"][0] != 1:
        told.sample()
    before = float(told.core.plan["due_s"][0])
    told.core.signals.states[0][1] -= 0.1
    told.sample()
    moved = float(told.core.plan["due_s"][0])
    assert moved == pytest.approx(before + 0.1 / (2 * math.pi * RHYTHM_HZ), abs=1e-9)


@given(phase=PHASES, late=st.lists(st.floats(0.0, 0.98), min_size=60, max_size=60))
def test_when_a_sample_comes_within_its_period_moves_no_plan(script, make_core, phase, late):
    on_time, later = (
        script(make_core(phase=phase, window=1, policy={"last_chance_s": -0.05})) for _ in range(2)
    )  # no chance goes by without a prediction: such a one counts from when it is told
    for n, part in enumerate(late):
        on_time.sample(now=0.01 * n)
        told_s = 0.01 * (n + part)
        later.sample(now=told_s)
        if on_time.core.plan["status"][0] and on_time.core.plan["due_s"][0] - 0.02 < told_s:
            return  # its trigger would leave late: that is for the gate to judge, by now
        assert later.core.plan.tobytes() == on_time.core.plan.tobytes(), n


def test_a_sample_that_comes_after_its_period_still_plans(script, make_core):
    told = script(make_core(policy={"plan_ahead_s": 0.05}))
    for n in range(30):
        told.sample(now=(n + 2.5) * 0.01)
        if told.core.plan["status"][0] == 1:
            break
    assert told.core.plan["status"][0] == 1
    assert told.core.plan["due_s"][0] - 0.02 >= told.now - 0.01 - 1e-6


def test_a_committed_plan_does_not_move(script, make_core):
    told = script(make_core())
    told.until_committed()
    before = float(told.core.plan["due_s"][0])
    told.core.signals.states[0][1] -= 0.1
    told.sample()
    assert float(told.core.plan["due_s"][0]) == before


def test_amplitude_sd_and_lead_are_those_of_the_prediction(make_core, run, sine):
    events = delivered(run(make_core(timing={"latency_s": 0.03}), sine(3.0)).events)
    np.testing.assert_allclose(events["amplitude"], 20.0, rtol=1e-12)
    np.testing.assert_allclose(events["sd"], 0.1, rtol=1e-12)
    np.testing.assert_allclose(events["lead_s"], events["due_s"] - events["sample"] / 100.0, atol=1e-9)


def test_a_condition_that_was_set_serves_one_trial(make_core, script):
    told = script(make_core(targets=(0.0, math.pi), trials={"condition": 0}))
    told.command(Command.CONDITION, 1.0)
    events = np.concatenate([told.fire(), told.fire(), told.fire()])
    assert set(events["kind"]) == {EventKind.DELIVERED}
    assert events["condition"].tolist() == [1, 0, 0]


def test_a_condition_set_between_commitment_and_pulse_serves_the_next_trial(make_core, script):
    told = script(make_core(targets=(0.0, math.pi), trials={"condition": 0}))
    trigger_s = told.until_due()
    told.command(Command.CONDITION, 1.0)
    told.deadline(trigger_s)
    assert told.fire()["condition"].tolist() == [1]


@pytest.mark.parametrize(("newer", "expected"), [(None, 1), (2.0, 2)], ids=["alone", "a newer one"])
def test_a_condition_that_was_set_outlives_a_trial_that_is_refused_whole(make_core, script, newer, expected):
    told = script(make_core(targets=(0.0, math.pi, 0.5), trials={"condition": 0}))
    told.command(Command.CONDITION, 1.0)
    told.until_due()
    if newer is not None:
        told.command(Command.CONDITION, newer)
    told.command(Command.DISARM)
    told.command(Command.ARM)
    assert told.fire()["condition"].tolist() == [expected]


def test_after_the_last_trial_a_set_random_condition_is_still_recorded(make_core, run, sine):
    core = make_core(targets=(np.nan,), n_trials=1, policy={"trial": 1, "condition": 0})
    assert len(run(core, sine(2.0)).events) >= 15


def test_the_running_limit_settles_at_the_wanted_rate(make_core, run, sine):
    rng = np.random.default_rng(5)
    core = make_core(n_trials=10**5, policy={"sd_limit": 0.3, "rate_gain": 0.05, "wanted_hz": 0.5})
    samples = sine(1.0)
    events = []
    for second in range(600):
        core.signals.states[0][4] = rng.uniform(0.05, 0.45)
        post_command(core, Command.ARM)  # each play ends disarmed
        events.append(run(core, samples, timestamps=second + np.arange(100) / 100.0).events)
    rate_hz = len(delivered(np.concatenate(events[100:]))) / 500
    assert rate_hz == pytest.approx(0.5, rel=0.15)
