"""How late samples, decisions and triggers were."""

import numpy as np
import pytest

from closedloop.core.records import EVENT, INPUT, Command, EventKind, InputKind
from closedloop.session.latency import latency_facts, percentiles
from closedloop.session.status import Watch

AGE_S, CORRECTION_S = 0.004, -7.25


def taken(n=400, *, age_s=AGE_S, armed_at=0, corrected_at=None, moved_s=0.0):
    """Return the inputs of samples of another machine, whose clock moves once, and of an arming."""
    inputs = []
    for row in range(n):
        if row == armed_at:
            inputs.append((0, InputKind.COMMAND, Command.ARM, 0.0, np.nan, 0.0))
        later = corrected_at is not None and row >= corrected_at
        if row == corrected_at:
            inputs.append((0, InputKind.CLOCK, 0, CORRECTION_S + moved_s, np.nan, 0.0))
        at = 50.0 + row / 100.0
        age = age_s[row] if np.ndim(age_s) else age_s
        inputs.append((0, InputKind.SAMPLE, row, 0.0, at - CORRECTION_S - (moved_s if later else 0.0), at + age))
    return np.array(inputs, INPUT)


def fired(*late_s, took_s=2e-5, kinds=None):
    """Return deliveries, and the writes of their triggers."""
    events, writes = np.zeros(len(late_s), EVENT), np.zeros(len(late_s), INPUT)
    events["kind"] = EventKind.DELIVERED
    events["trigger_s"] = np.arange(len(late_s))
    events["age_s"] = 0.01
    writes["kind"] = InputKind.WRITTEN
    writes["now"] = events["trigger_s"] + late_s
    writes["timestamp"] = writes["now"] + took_s
    return events, writes


def facts(inputs, events=None):
    return latency_facts(inputs, np.zeros(0, EVENT) if events is None else events, Watch(0, CORRECTION_S))


def test_a_samples_age_is_from_its_stamp_on_this_machines_clock():
    age = facts(taken())["sample_age_ms"]
    assert age == {"n": 400, **dict.fromkeys(("p50", "p99", "p99_9", "max"), pytest.approx(4.0, abs=1e-6))}


def test_a_correction_of_the_clock_counts_for_the_samples_after_it():
    age = facts(taken(corrected_at=200, moved_s=0.5))["sample_age_ms"]
    assert (age["p50"], age["max"]) == (pytest.approx(4.0, abs=1e-6), pytest.approx(4.0, abs=1e-6))


def test_what_came_during_calibration_is_no_age_of_the_stream():
    ages = np.where(np.arange(400) < 100, 3.0, AGE_S)
    age = facts(taken(age_s=ages, armed_at=100))["sample_age_ms"]
    assert (age["n"], age["max"]) == (300, pytest.approx(4.0, abs=1e-6))


def test_triggers_are_late_by_the_time_from_when_they_had_to_leave():
    events, writes = fired(1e-5, 2e-5, 3e-5)
    found = facts(writes, events)
    assert (found["write_late_ms"]["n"], found["write_late_ms"]["p50"]) == (3, pytest.approx(0.02))
    assert found["write_late_ms"]["max"] == pytest.approx(0.03)
    assert found["write_took_ms"]["p50"] == pytest.approx(0.02)


def test_refusals_between_deliveries_do_not_move_their_writes():
    events, writes = fired(1e-5, 2e-5)
    refusal = np.zeros(1, EVENT)
    refusal["kind"] = EventKind.REFUSED
    found = facts(writes, np.concatenate([refusal, events[:1], refusal, events[1:]]))
    assert found["write_late_ms"]["max"] == pytest.approx(0.02)


@pytest.mark.parametrize(("n_events", "n_writes"), [(3, 2), (2, 3)])
def test_a_delivery_without_a_write_or_the_reverse_is_left_out(n_events, n_writes):
    events, writes = fired(1e-5, 1e-5, 1e-5)
    assert facts(writes[:n_writes], events[:n_events])["write_late_ms"]["n"] == 2


def test_only_a_trains_first_pulse_was_decided_by_a_sample():
    events, writes = fired(0.0, 0.0, 0.0)
    events["pulse"] = [0, 1, 2]
    events["age_s"] = [0.01, np.nan, np.nan]
    age = facts(writes, events)["deciding_sample_age_ms"]
    assert (age["n"], age["max"]) == (1, pytest.approx(10.0))


def test_where_nothing_happened_there_is_nothing_to_say():
    assert set(facts(np.zeros(0, INPUT)).values()) == {None}


def test_durations_that_are_unknown_are_left_out():
    assert percentiles(np.array([np.nan, 0.001, np.inf]))["n"] == 1
    assert percentiles(np.array([np.nan])) is None
