"""What arms, what disarms, and what is left of a plan then."""

import math

import numpy as np
import pytest

from closedloop.core.reasons import Reason
from closedloop.core.records import Command, EventKind, InputKind
from closedloop.core.state import NO_PLAN

BROKEN = -2


def disarmed_by(core):
    """Return what disarmed a core; it must be disarmed."""
    assert core.gate["armed"][0] == 0
    return Reason(core.gate["disarmed_by"][0])


def running_train(make_core, script):
    """Deliver the first two pulses of a train of five; return the script and when the third is due."""
    told = script(make_core(policy={"pulses": 5, "pulse_interval_s": 0.06}, limits={"max_data_age_s": 1.0}))
    trigger_s = told.until_due()
    told.deadline(trigger_s)
    told.deadline(trigger_s + 0.06)
    return told, trigger_s + 0.12


def test_a_core_that_is_armed_from_a_time_on_fires_no_sooner(make_core, script, refused):
    told = script(make_core(gate={"armed": 0}))
    told.command(Command.ARM, 0.5)
    while told.n_samples < 100:
        told.fire()
    fired = told.events[told.events["kind"] == EventKind.DELIVERED]
    early = told.events[told.events["due_s"] < 0.5]
    assert early.size == 5  # troughs at 0.05 s and every 0.1 s from there on
    assert set(refused(early)) == {Reason.NOT_ARMED}
    assert fired["due_s"][0] == pytest.approx(0.55, abs=1e-9)


def test_a_pulse_that_is_due_at_the_very_time_is_fired(make_core, script):
    told = script(make_core())
    trigger_s = told.until_due()
    due_s = float(told.core.plan["due_s"][0])
    told.command(Command.ARM, due_s)
    assert told.deadline(trigger_s)["kind"].tolist() == [EventKind.DELIVERED]


@pytest.mark.parametrize("from_s", [math.nan, math.inf])
def test_a_core_that_is_armed_from_no_time_on_never_fires(make_core, script, refused, from_s):
    told = script(make_core(gate={"armed": 0}))
    told.command(Command.ARM, from_s)
    assert set(refused(told.samples(100))) == {Reason.NOT_ARMED}


def test_a_time_before_which_nothing_fires_moves_with_the_next_arming(make_core, script):
    told = script(make_core(gate={"armed": 0}))
    told.command(Command.ARM, 1e6)
    told.command(Command.ARM)
    assert told.fire()["kind"].tolist() == [EventKind.DELIVERED]


def test_a_stream_that_breaks_off_disarms(armed_script):
    armed_script.samples(10)
    armed_script.tell(InputKind.STREAM, code=BROKEN, now=armed_script.now)
    assert disarmed_by(armed_script.core) == Reason.STREAM_BROKEN


def test_a_stream_that_is_another_one_disarms(armed_script):
    armed_script.until_due()
    (event,) = armed_script.tell(InputKind.STREAM, code=0, now=armed_script.now)
    assert event["reason"] == Reason.STREAM_BROKEN
    assert disarmed_by(armed_script.core) == Reason.STREAM_BROKEN


def test_a_stream_that_breaks_off_ends_a_committed_plan(armed_script, refused):
    trigger_s = armed_script.until_due()
    ended = armed_script.tell(InputKind.STREAM, code=BROKEN, now=armed_script.now)
    assert refused(ended) == [Reason.STREAM_BROKEN]
    armed_script.command(Command.ARM)
    assert armed_script.deadline(trigger_s).size == 0
    assert armed_script.core.policy["trial"][0] == 0  # it was refused whole: its trial is still to come


def test_a_stream_that_breaks_off_ends_a_running_train(make_core, script, refused):
    told, next_s = running_train(make_core, script)
    ended = told.tell(InputKind.STREAM, code=BROKEN, now=told.now)
    assert refused(ended) == [Reason.STREAM_BROKEN]
    assert ended["pulse"].tolist() == [2]
    told.command(Command.ARM)
    assert told.deadline(next_s).size == 0
    assert told.core.policy["trial"][0] == 1


def test_after_a_broken_stream_the_refusals_say_so_until_it_is_armed_again(armed_script, refused):
    armed_script.tell(InputKind.STREAM, code=BROKEN, now=0.0)
    assert set(refused(armed_script.samples(50))) == {Reason.STREAM_BROKEN}
    armed_script.tell(InputKind.STREAM, code=0, now=armed_script.now)
    assert set(refused(armed_script.samples(50))) == {Reason.STREAM_BROKEN}
    armed_script.command(Command.ARM)
    assert armed_script.fire()["kind"].tolist() == [EventKind.DELIVERED]


def test_nothing_arms_while_there_is_no_stream(armed_script, refused):
    armed_script.tell(InputKind.STREAM, code=BROKEN, now=0.0)
    armed_script.command(Command.ARM)
    assert armed_script.core.gate["armed"][0] == 0
    assert set(refused(armed_script.samples(50))) == {Reason.STREAM_BROKEN}


def test_who_arms_while_there_is_no_stream_hears_that_whatever_else_has_disarmed(armed_script):
    armed_script.samples(10)
    armed_script.tell(InputKind.STREAM, code=BROKEN, now=armed_script.now)
    armed_script.tell(InputKind.CLOCK, value=math.nan, now=armed_script.now)
    assert disarmed_by(armed_script.core) == Reason.CLOCK
    armed_script.command(Command.ARM)
    assert disarmed_by(armed_script.core) == Reason.STREAM_BROKEN


def test_what_does_not_arm_is_obeyed_while_there_is_no_stream(armed_script):
    armed_script.tell(InputKind.STREAM, code=BROKEN, now=0.0)
    armed_script.command(Command.PAUSE)
    assert armed_script.core.policy["paused"][0] == 1
    armed_script.command(Command.RESUME)
    assert armed_script.core.policy["paused"][0] == 0


def test_what_disarmed_once_is_forgotten_when_it_is_armed_again(armed_script, refused):
    armed_script.tell(InputKind.WRITTEN, code=5, now=armed_script.now)
    assert disarmed_by(armed_script.core) == Reason.WRITE_FAILED
    armed_script.command(Command.ARM)
    armed_script.command(Command.DISARM)
    assert set(refused(armed_script.samples(50))) == {Reason.NOT_ARMED}


def test_a_loop_that_nobody_watches_disarms_and_ends_what_is_planned(armed_script, refused):
    trigger_s = armed_script.until_due()
    assert refused(armed_script.command(Command.UNWATCHED)) == [Reason.UNWATCHED]
    assert not armed_script.deadline(trigger_s).size
    assert disarmed_by(armed_script.core) == Reason.UNWATCHED


def test_an_input_that_was_lost_disarms(armed_script, refused):
    armed_script.command(Command.LOST)
    assert disarmed_by(armed_script.core) == Reason.INPUT_LOST
    assert set(refused(armed_script.samples(50))) == {Reason.INPUT_LOST}


def test_an_input_that_was_lost_stops_a_committed_pulse(armed_script, refused):
    trigger_s = armed_script.until_due()
    assert refused(armed_script.command(Command.LOST)) == [Reason.INPUT_LOST]
    assert not armed_script.deadline(trigger_s).size


def test_an_input_that_was_lost_ends_a_running_train(make_core, script, refused):
    told, next_s = running_train(make_core, script)
    assert refused(told.command(Command.LOST)) == [Reason.INPUT_LOST]
    assert not told.deadline(next_s).size
    assert told.core.plan["status"][0] == NO_PLAN


@pytest.mark.parametrize("correction_s", [math.nan, math.inf, -math.inf])
def test_a_correction_that_is_no_number_is_not_taken(armed_script, refused, correction_s):
    armed_script.tell(InputKind.CLOCK, value=-0.001)
    armed_script.tell(InputKind.CLOCK, value=correction_s)
    assert armed_script.core.timing["correction_s"][0] == -0.001
    assert disarmed_by(armed_script.core) == Reason.CLOCK
    assert set(refused(armed_script.samples(50))) == {Reason.CLOCK}


@pytest.mark.parametrize("correction_s", [0.0, -0.003, 0.003])
def test_a_correction_moves_the_time_of_samples(armed_script, correction_s):
    armed_script.tell(InputKind.CLOCK, value=correction_s)
    armed_script.sample(timestamp=1.0, now=1.0)
    assert armed_script.core.timing["time_s"][0] == 1.0 + correction_s


ERRNO_EAGAIN, IN_PART = 11, -1


@pytest.mark.parametrize("code", [ERRNO_EAGAIN, IN_PART])
def test_after_a_write_that_failed_the_rest_of_a_train_stays_unfired(make_core, script, refused, code):
    told, next_s = running_train(make_core, script)
    told.tell(InputKind.WRITTEN, code=code, now=told.now)
    assert disarmed_by(told.core) == Reason.WRITE_FAILED
    assert refused(told.deadline(next_s)) == [Reason.WRITE_FAILED]
    told.samples(100)
    assert told.core.gate["pulses"][0] == 2


def test_a_trains_next_pulse_follows_when_the_trigger_was_written(make_core, script):
    told, next_s = running_train(make_core, script)
    told.tell(InputKind.WRITTEN, now=told.now + 0.0005)
    assert not told.deadline(next_s).size
    assert told.deadline(next_s + 0.0005)["kind"].tolist() == [EventKind.DELIVERED]


def test_a_late_write_moves_no_plan_that_has_ended(armed_script):
    armed_script.fire()
    due_s = armed_script.core.plan["due_s"][0]
    armed_script.tell(InputKind.WRITTEN, now=armed_script.now + 0.0005)
    assert armed_script.core.plan["due_s"][0] == due_s


def test_a_late_write_moves_no_plan_but_that_of_its_train(armed_script):
    armed_script.fire()
    armed_script.n_samples += 1
    armed_script.until_committed()
    due_s = armed_script.core.plan["due_s"][0]
    armed_script.tell(InputKind.WRITTEN, now=armed_script.now)
    assert armed_script.core.plan["due_s"][0] == due_s


def test_a_write_that_went_well_changes_nothing(armed_script):
    armed_script.fire()
    armed_script.tell(InputKind.WRITTEN, code=0, now=armed_script.now)
    assert armed_script.core.gate["armed"][0] == 1
    armed_script.n_samples += 1
    assert armed_script.fire()["kind"].tolist() == [EventKind.DELIVERED]


def fire_and(told, kind, **what):
    """Deliver a pulse, tell the core something, and arm it again after a few more chances."""
    told.fire()
    told.tell(kind, now=told.now, **what)
    told.n_samples += 1
    for n in range(25):
        told.sample(more=float(n % 3 == 0))
    told.command(Command.ARM, told.now + 0.05)
    told.samples(30)
    told.deadline(told.now)


@pytest.mark.uncompiled
def test_the_compiled_core_takes_a_live_loops_inputs_as_the_plain_python_does(make_core, script, same_as_compiled):
    told = script(make_core())
    fire_and(told, InputKind.STREAM, code=BROKEN)
    told.tell(InputKind.STREAM, code=0, now=told.now)
    told.command(Command.ARM)
    fire_and(told, InputKind.WRITTEN, code=ERRNO_EAGAIN)
    fire_and(told, InputKind.COMMAND, code=Command.LOST)
    fire_and(told, InputKind.CLOCK, value=math.inf)
    fire_and(told, InputKind.DEVICE, code=0)
    expected = {Reason.STREAM_BROKEN, Reason.WRITE_FAILED, Reason.INPUT_LOST, Reason.CLOCK, Reason.DEVICE_NOT_READY}
    assert expected <= set(told.events["reason"])
    assert EventKind.DELIVERED in told.events["kind"]
    events = told.events
    same_as_compiled(events=np.array([events[name].astype(float) for name in events.dtype.names]))
