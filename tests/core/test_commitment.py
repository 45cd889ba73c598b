"""A plan is judged twice: whole when it is committed, and each of its pulses when it is due."""

import math

import numpy as np
import pytest

from closedloop.core.exposure import CAP, make_exposure
from closedloop.core.reasons import Reason
from closedloop.core.records import Command, EventKind, InputKind
from closedloop.core.state import COMMITTED, NO_PLAN, PENDING

NO_TRAINS = make_exposure(np.zeros(0, CAP), np.zeros(0), np.zeros(0), np.zeros((0, 0)))
ONE_A_WINDOW = make_exposure(np.array([(1.0, 1)], CAP), np.array([1e3]), np.array([200.0]), np.array([[1e6]]))
TWO = {"pulses": 2, "pulse_interval_s": 0.06}

FORBIDDEN = {
    Reason.NOT_ARMED: {"gate": {"armed": 0}},
    Reason.DEVICE_NOT_READY: {"gate": {"device_ready": 0}},
    Reason.DEVICE_STALE: {"limits": {"max_status_age_s": 1.0}},
    Reason.COIL_HOT: {"gate": {"coil_c": 2e3}},
    Reason.SAMPLING_RATE: {"timing": {"off_rate": 1}},
    Reason.ARTIFACT: {"ceilings_uv": (1.0, math.inf)},
    Reason.NO_RHYTHM: {"limits": {"rhythm_snr_db": 300.0}},
    Reason.PHASE_SD: {"sd": 0.6},
    Reason.INTENSITY: {"percent": 101.0},
    Reason.TRAIN_PULSES: {"policy": TWO, "limits": {"max_train_pulses": 1}},
    Reason.MIN_INTERVAL: {"gate": {"last_pulse_s": 9.0}},
    Reason.RECHARGING: {"gate": {"last_pulse_s": -1.0}, "limits": {"recharge_s": 5.0}},
    Reason.TRAIN_INTERVAL: {"policy": TWO, "gate": {"last_pulse_s": -1.0}, "limits": {"min_train_gap_s": 5.0}},
    Reason.SESSION_INTERVAL: {"gate": {"before_last_s": -1.0}, "limits": {"min_session_gap_s": 5.0}},
    Reason.TRAIN_DURATION: {"policy": TWO, "exposure": NO_TRAINS},
    Reason.RATE_CAP: {"policy": TWO, "exposure": ONE_A_WINDOW},
    Reason.MAX_PULSES: {"limits": {"max_pulses": 0}},
    Reason.NOT_LEASED: {"gate": {"leased": 0}},
    Reason.RATE: {"policy": {"sd_limit": 0.01}},
}


@pytest.mark.parametrize(("reason", "changes"), FORBIDDEN.items(), ids=[reason.label for reason in FORBIDDEN])
def test_what_may_not_be_fired_is_refused_when_it_would_be_committed(make_core, script, reason, changes):
    told = script(make_core(**changes))
    for _ in range(40):
        told.sample()
        assert told.core.plan["status"][0] != COMMITTED
    assert set(told.events["reason"]) == {reason}
    assert np.all(told.events["now_s"] < told.events["trigger_s"])


def test_a_plan_on_old_data_is_not_committed(make_core, script):
    """60 ms are too old for the gate, but the leads of the prediction reach that far."""
    told = script(make_core(limits={"max_data_age_s": 0.05}, policy={"plan_ahead_s": 0.05, "horizon_s": 0.1}))
    for n in range(40):
        told.sample(now=n * 0.01 + 0.06)
        assert told.core.plan["status"][0] != COMMITTED
    stale = told.events[told.events["reason"] == Reason.STALE]
    assert stale.size >= 2
    assert np.all(stale["now_s"] < stale["trigger_s"])


def test_a_train_that_does_not_fit_into_the_record_is_refused_whole(make_core, script, repeat):
    recorder = script(make_core(policy={"pulses": 3, "pulse_interval_s": 0.06}, limits={"max_data_age_s": 1.0}))
    trigger_s = recorder.until_due()
    for pulse in range(3):
        recorder.deadline(trigger_s + pulse * 0.06)
    for places, delivered in ((4, 3), (3, 0)):
        core = make_core(policy={"pulses": 3, "pulse_interval_s": 0.06}, limits={"max_data_age_s": 1.0}, events=places)
        repeat(core, recorder)
        assert core.gate["pulses"][0] == delivered


def test_a_plan_that_is_still_open_when_it_is_due_is_committed_first(make_core, script):
    told = script(make_core(policy={"horizon_s": 1e-6, "plan_ahead_s": 0.05, "sd_limit": 0.05}))
    while told.core.plan["status"][0] != PENDING:
        told.sample()
    trigger_s = float(told.core.plan["due_s"][0] - 0.02)
    assert [Reason(reason) for reason in told.deadline(trigger_s)["reason"]] == [Reason.RATE]
    assert told.core.gate["pulses"][0] == 0


@pytest.mark.parametrize("now", [math.nan, -1.0, math.inf])
def test_a_deadline_at_no_time_decides_nothing(make_core, script, now):
    told = script(make_core())
    told.until_due()
    assert told.deadline(now).size == 0
    assert told.core.plan["status"][0] == COMMITTED


def test_a_deadline_without_a_plan_fires_nothing(make_core, script):
    told = script(make_core())
    told.fire()
    assert told.core.plan["status"][0] == NO_PLAN
    assert told.deadline(told.now + 0.001).size == 0
    assert told.core.gate["pulses"][0] == 1


def test_a_horizon_without_an_end_makes_no_old_prediction_fire(make_core, run, sine):
    events = run(make_core(policy={"horizon_s": math.inf}), sine(1.0)).events
    assert EventKind.DELIVERED not in events["kind"]
    assert Reason.STALE in events["reason"]


def test_without_a_hold_no_sample_is_held(make_core, run, sine):
    for phase in np.linspace(-3.0, 3.0, 13):
        assert Reason.HELD not in run(make_core(phase=phase), sine(1.0)).events["reason"]


@pytest.mark.parametrize("command", [Command.STOP, Command.DISARM])
def test_what_is_stopped_or_disarmed_is_not_armed(make_core, script, command):
    told = script(make_core())
    told.command(command)
    assert told.core.gate["armed"][0] == 0


def test_the_time_at_which_a_stream_broke_off_has_passed(make_core, script):
    told = script(make_core())
    told.tell(InputKind.STREAM, code=0, now=5.0)
    told.command(Command.ARM, now=4.0)
    assert told.core.gate["armed"][0] == 0
    assert told.core.gate["disarmed_by"][0] == Reason.CLOCK


def test_a_prediction_from_old_data_does_not_fire_however_fresh_the_newest_sample_is(make_core, script):
    told = script(make_core(limits={"max_lateness_s": 10.0}))
    told.until_due()
    told.samples(20)
    assert told.core.plan["status"][0] == COMMITTED
    assert [Reason(reason) for reason in told.deadline(told.now)["reason"]] == [Reason.STALE]
