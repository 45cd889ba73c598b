"""Decisions as lines of JSON."""

import errno
import json
import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.core.reasons import EXPLANATIONS, Reason
from closedloop.core.records import EVENT, HELD_UP, INPUT, PART, EventKind, InputKind
from closedloop.session.event_lines import EventLines, event_line

NAMES = ("trough", "random")
# Where each number of a line comes from; angles are in radians there.
NUMBERS = {
    "amplitude_uv": "amplitude",
    "snr_db": "snr_db",
    "lead_s": "lead_s",
    "due_s": "due_s",
    "trigger_s": "trigger_s",
    "decided_s": "now_s",
    "sample_age_s": "age_s",
}
ANGLES = {"target_deg": "target", "predicted_phase_deg": "phase", "phase_sd_deg": "sd"}


def draw_event(**fields):
    event = np.zeros(1, EVENT)
    event["kind"] = EventKind.DELIVERED
    for name, value in fields.items():
        event[name] = value
    return event[0]


def read(event):
    return json.loads(event_line(event, NAMES))


def test_a_line_is_one_line():
    assert "\n" not in event_line(draw_event(), ["two\nlines", "b"])


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_read_back_bit_for_bit(value):
    line = read(draw_event(**dict.fromkeys(NUMBERS.values(), value)))
    for name in NUMBERS:
        assert line[name] == value
        assert math.copysign(1.0, line[name]) == math.copysign(1.0, value)


@given(phase=st.floats(-math.pi, math.pi))
def test_angles_are_in_degrees(phase):
    line = read(draw_event(**dict.fromkeys(ANGLES.values(), phase)))
    for name in ANGLES:
        assert line[name] == math.degrees(phase)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null(value):
    line = read(draw_event(**dict.fromkeys([*NUMBERS.values(), *ANGLES.values()], value)))
    assert {line[name] for name in (*NUMBERS, *ANGLES)} == {None}


def test_counts_are_whole_numbers():
    line = read(draw_event(number=2**53 + 1, trial=7, pulse=2, pulses=5, sample=123456789))
    assert (line["number"], line["trial"], line["pulse"], line["pulses"], line["sample"]) == (
        2**53 + 1,
        7,
        2,
        5,
        123456789,
    )


@pytest.mark.parametrize(("kind", "said"), [(1, "delivered"), (2, "withheld"), (3, "refused")])
def test_an_outcome_is_a_word(kind, said):
    assert read(draw_event(kind=kind))["outcome"] == said


@pytest.mark.parametrize("reason", EXPLANATIONS)
def test_a_reason_is_a_word(reason):
    assert read(draw_event(reason=reason))["reason"] == reason.name.lower()


def test_what_was_used_has_no_reason():
    assert read(draw_event(reason=Reason.NONE))["reason"] is None


@pytest.mark.parametrize(("condition", "said"), [(0, "trough"), (1, "random"), (-1, None)])
def test_a_condition_is_its_name_and_after_the_protocol_there_is_none(condition, said):
    assert read(draw_event(condition=condition))["condition"] == said


def test_names_stay_readable():
    assert '"condition": "谷底 µ"' in event_line(draw_event(), ["谷底 µ"])


def draw_write(code=0, now=1.5, returned=1.5001):
    write = np.zeros(1, INPUT)
    write["kind"], write["code"], write["now"], write["timestamp"] = InputKind.WRITTEN, code, now, returned
    return write[0]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, None),
        (errno.EAGAIN, os.strerror(errno.EAGAIN)),
        (errno.EPIPE, os.strerror(errno.EPIPE)),
        (PART, "written in part"),
        (HELD_UP, "not written: the loop was held up until the moment had passed"),
    ],
)
def test_a_delivery_says_when_its_trigger_was_written_and_how_that_went(code, said):
    line = json.loads(event_line(draw_event(), NAMES, draw_write(code)))
    assert (line["written_s"], line["write_returned_s"], line["write_error"]) == (1.5, 1.5001, said)


def test_what_was_not_written_has_no_result_of_it():
    line = read(draw_event(kind=EventKind.REFUSED))
    assert (line["written_s"], line["write_returned_s"], line["write_error"]) == (None, None, None)


def events_of(*kinds, first=0):
    events = np.zeros(len(kinds), EVENT)
    events["kind"], events["number"] = kinds, first + np.arange(len(kinds))
    return events


def writes_at(*times_s):
    writes = np.zeros(len(times_s), INPUT)
    writes["kind"], writes["now"] = InputKind.WRITTEN, times_s
    return writes


D, W, R = EventKind.DELIVERED, EventKind.WITHHELD, EventKind.REFUSED


def numbers(lines):
    return [(line["number"], line["written_s"]) for line in map(json.loads, lines)]


def test_each_delivery_has_its_own_write_and_nothing_else_has_one():
    found = EventLines(NAMES).add(events_of(R, D, W, D), writes_at(1.0, 2.0))
    assert numbers(found) == [(0, None), (1, 1.0), (2, None), (3, 2.0)]


def test_inputs_that_are_no_writes_are_none():
    inputs = writes_at(1.0, 2.0, 3.0)
    inputs["kind"][[0, 2]] = InputKind.SAMPLE, InputKind.DEADLINE
    assert numbers(EventLines(NAMES).add(events_of(D), inputs)) == [(0, 2.0)]


def test_a_delivery_waits_for_its_write_and_all_after_it_wait_with_it():
    lines = EventLines(NAMES)
    assert numbers(lines.add(events_of(R, D, R, W), writes_at())) == [(0, None)]
    assert lines.add(events_of(R, first=4), writes_at()) == []
    assert numbers(lines.add(events_of(), writes_at(1.0))) == [(1, 1.0), (2, None), (3, None), (4, None)]


def test_a_write_that_comes_first_waits_for_its_delivery():
    lines = EventLines(NAMES)
    assert lines.add(events_of(), writes_at(1.0)) == []
    assert numbers(lines.add(events_of(D), writes_at())) == [(0, 1.0)]


def test_what_remains_at_the_end_is_told_once_without_the_results_that_never_came():
    lines = EventLines(NAMES)
    lines.add(events_of(D, R), writes_at())
    assert numbers(lines.remaining()) == [(0, None), (1, None)]
    assert lines.remaining() == []


@given(kinds=st.lists(st.sampled_from([D, W, R]), max_size=20), cuts=st.lists(st.integers(0, 20), max_size=6))
def test_lines_do_not_depend_on_when_decisions_and_writes_are_read(kinds, cuts):
    events, writes = events_of(*kinds), writes_at(*np.arange(float(kinds.count(D))))
    whole = EventLines(NAMES).add(events, writes)
    lines, found, seen = EventLines(NAMES), [], (0, 0)
    for cut in [*sorted(cuts), 20]:
        upto = min(cut, len(events)), max(seen[1], min(cut - 3, len(writes)))  # writes are read later than decisions
        found += lines.add(events[seen[0] : upto[0]], writes[seen[1] : upto[1]])
        seen = upto
    found += lines.add(events[seen[0] :], writes[seen[1] :])
    assert found == whole
    assert len(found) == len(kinds)
