"""Decisions as lines of JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.core.reasons import EXPLANATIONS, Reason
from closedloop.core.records import EVENT, EventKind
from closedloop.session.event_lines import event_line

NAMES = ("trough", "random")
# Where each number of a line comes from; angles are in radians there.
NUMBERS = {
    "amplitude_uv": "amplitude",
    "snr_db": "snr_db",
    "lead_s": "lead_s",
    "due_s": "due_s",
    "trigger_s": "trigger_s",
    "decided_s": "now_s",
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
