"""A trigger channel bears witness to each trigger that was written."""

import math

import numpy as np
import pytest

from closedloop.core.reasons import Reason
from closedloop.core.records import Command, EventKind, InputKind
from closedloop.core.witness import LONGEST_WAIT_S, MAX_DRIFT_S

PERIOD_S = 0.01
EXPECTED_S = 0.03
TOLERANCE_S = MAX_DRIFT_S + PERIOD_S
LOW, HIGH = 0.0, 5.0


def watched(make_core, script, **witness):
    """Return the script of a core whose second channel shows its triggers, after half a second without any."""
    told = script(
        make_core(
            witness={
                "channel": 1,
                "threshold": 2.5,
                "expected_s": EXPECTED_S,
                "tolerance_s": TOLERANCE_S,
                **witness,
            }
        )
    )
    told.others = (LOW,)
    told.samples(50)
    return told


def show(told, lag_s, *, shown=HIGH):
    """Write a trigger so that the fifth sample from now, which shows it, comes ``lag_s`` later; return the gate."""
    edge_s = (told.n_samples + 4) * PERIOD_S
    told.tell(InputKind.WRITTEN, code=0, now=edge_s - lag_s)
    told.samples(4)
    told.others = (shown,)
    told.sample()
    told.others = (LOW,)
    return told.core.gate[0]


@pytest.mark.parametrize("off_s", [0.0, TOLERANCE_S - 1e-6, 1e-6 - TOLERANCE_S])
def test_a_trigger_that_is_seen_in_time_keeps_the_gate_armed(make_core, script, off_s):
    told = watched(make_core, script)
    gate = show(told, EXPECTED_S + off_s)
    told.samples(50)
    assert (gate["armed"], gate["disarmed_by"]) == (1, Reason.NONE)


@pytest.mark.parametrize("off_s", [TOLERANCE_S + 1e-6, -TOLERANCE_S - 1e-6])
def test_a_trigger_that_is_seen_too_late_or_too_early_disarms(make_core, script, refused, off_s):
    told = watched(make_core, script)
    gate = show(told, EXPECTED_S + off_s)
    assert (gate["armed"], gate["disarmed_by"]) == (0, Reason.TRIGGER_LATE)
    assert refused(told.deadline(told.now)) == [Reason.TRIGGER_LATE]


def test_a_trigger_that_is_never_seen_disarms_and_no_sooner_than_it_must(make_core, script):
    told = watched(make_core, script)
    written_s = told.n_samples * PERIOD_S - PERIOD_S / 2
    told.tell(InputKind.WRITTEN, code=0, now=written_s)
    gate = told.core.gate[0]
    while gate["armed"]:
        told.sample()
    assert gate["disarmed_by"] == Reason.TRIGGER_UNSEEN
    seen_s = (told.n_samples - 1) * PERIOD_S - written_s
    assert EXPECTED_S + LONGEST_WAIT_S < seen_s <= EXPECTED_S + LONGEST_WAIT_S + PERIOD_S


def test_a_channel_that_was_high_before_does_not_show_a_trigger(make_core, script):
    told = watched(make_core, script)
    told.others = (HIGH,)
    told.samples(10)
    told.tell(InputKind.WRITTEN, code=0, now=told.now)
    told.samples(30)
    assert told.core.gate["disarmed_by"][0] == Reason.TRIGGER_UNSEEN


def test_a_trigger_that_nobody_wrote_changes_nothing(make_core, script):
    told = watched(make_core, script)
    told.others = (HIGH,)
    told.samples(5)
    assert told.core.gate["armed"][0] == 1


def test_a_trigger_that_could_not_be_written_is_not_waited_for(make_core, script):
    told = watched(make_core, script)
    told.tell(InputKind.WRITTEN, code=-1, now=told.now)
    told.command(Command.ARM)
    told.samples(50)
    assert told.core.gate["armed"][0] == 1


def test_without_a_trigger_channel_nothing_is_waited_for(make_core, script):
    told = watched(make_core, script, channel=-1)
    told.tell(InputKind.WRITTEN, code=0, now=told.now)
    told.samples(100)
    assert told.core.gate["armed"][0] == 1
    assert math.isnan(told.core.witness["written_s"][0])


def test_a_trigger_channel_that_holds_no_numbers_shows_no_trigger(make_core, script):
    told = watched(make_core, script)
    told.others = (math.nan,)
    told.tell(InputKind.WRITTEN, code=0, now=told.now)
    told.samples(30)
    assert told.core.gate["disarmed_by"][0] == Reason.TRIGGER_UNSEEN


def test_a_missing_number_before_the_trigger_does_not_hide_it(make_core, script):
    told = watched(make_core, script)
    told.others = (math.nan,)
    told.sample()
    told.others = (LOW,)
    assert show(told, EXPECTED_S)["armed"] == 1


def test_each_trigger_of_a_session_is_seen_by_itself(make_core, script):
    told = watched(make_core, script)
    for _ in range(3):
        assert show(told, EXPECTED_S)["armed"] == 1
        told.samples(10)
    assert show(told, EXPECTED_S + TOLERANCE_S + 1e-6)["disarmed_by"] == Reason.TRIGGER_LATE


@pytest.mark.uncompiled
def test_the_compiled_core_watches_triggers_as_the_plain_python_does(make_core, script, same_as_compiled):
    told = watched(make_core, script)
    disarmings = []
    for off_s in (0.0, TOLERANCE_S - 1e-6, TOLERANCE_S + 1e-6, -TOLERANCE_S - 1e-6):
        disarmings.append(int(show(told, EXPECTED_S + off_s)["disarmed_by"]))
        told.command(Command.ARM)
    assert disarmings == [Reason.NONE, Reason.NONE, Reason.TRIGGER_LATE, Reason.TRIGGER_LATE]
    events = told.events
    assert EventKind.REFUSED in events["kind"]
    same_as_compiled(
        disarmings=disarmings, events=np.array([events[name].astype(float) for name in events.dtype.names])
    )
