"""The shipped envelopes, as the gate holds them: their own protocol passes to the last pulse, and little else does."""

from pathlib import Path

import numpy as np
import pytest

from closedloop.core.exposure import CAP, make_exposure
from closedloop.core.reasons import Reason
from closedloop.core.records import INPUT, EventKind, InputKind
from closedloop.core.replay import replay
from closedloop.core.state import COMMITTED
from closedloop.protocols.envelope_file import load_envelope
from closedloop.protocols.train_rules import rules_of_envelope

FOLDER = Path(__file__).parents[2] / "limits" / "envelopes"
MAX_LATENESS_S = 0.001
LATENCY_S = 0.02
"""Of the small core."""
DASH = "left_10_hz_dash"


def exposure(name):
    """Return what the gate holds trains against under an envelope, as a session lays it out."""
    rules = rules_of_envelope(load_envelope(FOLDER / f"{name}.yaml"), max_lateness_s=MAX_LATENESS_S)
    return make_exposure(
        np.zeros(0, CAP),
        np.array(rules.frequencies_hz),
        np.array(rules.percents),
        np.array(rules.longest_s),
        most_pulses=np.array(rules.most_pulses),
        pause_s=rules.pause_s,
    )


def fire_train(make_core, script, steps, name, pulses, interval_s, *, late_s=0.0, percent=120.0):
    """Let a train fall due, each of its pulses so late; return its events."""
    told = script(
        make_core(
            policy={"pulses": pulses, "pulse_interval_s": interval_s},
            exposure=exposure(name),
            limits={"max_lateness_s": MAX_LATENESS_S, "max_data_age_s": 1e6, "min_interval_s": 0.01},
            percent_of_threshold=percent,
        )
    )
    for _ in range(40):
        told.sample()
        if told.core.plan["status"][0] == COMMITTED:
            break
    deadlines = np.zeros(pulses, INPUT)
    deadlines["kind"] = InputKind.DEADLINE
    due_s = float(told.core.plan["due_s"][0])
    for deadline in deadlines:
        deadline["now"] = due_s - LATENCY_S + late_s
        due_s = deadline["now"] + LATENCY_S + interval_s
    return np.concatenate([told.events, replay(told.core, steps, deadlines, np.zeros((0, 1)))])


TRAINS = [
    (DASH, 40, 0.1),
    ("left_18_hz_deep_levkovitz_2015", 36, 1.0 / 18.0),
    ("left_individual_alpha_george_2023", 40, 1.0 / 6.0),
    ("left_individual_alpha_george_2023", 40, 1.0 / 9.37),
    ("left_individual_alpha_george_2023", 40, 1.0 / 13.0),
    ("right_1_hz", 1800, 1.0),
]


@pytest.mark.parametrize("late_s", [0.0, 0.00099])
@pytest.mark.parametrize(("name", "pulses", "interval_s"), TRAINS)
def test_the_protocols_own_train_passes_to_its_last_pulse_however_late_each_is(
    make_core, script, steps, name, pulses, interval_s, late_s
):
    events = fire_train(make_core, script, steps, name, pulses, interval_s, late_s=late_s)
    assert np.count_nonzero(events["kind"] == EventKind.DELIVERED) == pulses
    assert set(events["reason"]) <= {Reason.NONE, Reason.NOT_FORESEEN}


OUTSIDE = {
    "one pulse more": (41, 0.1, 120.0),
    "slower": (40, 0.102, 120.0),
    "faster": (40, 0.0999, 120.0),
    "stronger": (40, 0.1, 120.5),
}


@pytest.mark.parametrize(("pulses", "interval_s", "percent"), OUTSIDE.values(), ids=OUTSIDE.keys())
def test_another_train_is_refused_whole(make_core, script, steps, pulses, interval_s, percent):
    events = fire_train(make_core, script, steps, DASH, pulses, interval_s, percent=percent)
    assert EventKind.DELIVERED not in events["kind"]
    assert Reason.TRAIN_DURATION in events["reason"]


def test_single_pulses_on_every_crossing_are_the_train_that_the_protocol_has_and_then_they_wait(make_core, run, sine):
    events = run(make_core(exposure=exposure(DASH), percent_of_threshold=120.0), sine(32.0)).events
    pulses_s = events["due_s"][events["kind"] == EventKind.DELIVERED]
    gaps_s = np.diff(pulses_s)
    np.testing.assert_allclose(gaps_s[:39], 0.1, atol=1e-9)
    np.testing.assert_allclose(gaps_s[39], 11.0, atol=1e-6)
    np.testing.assert_allclose(gaps_s[40:79], 0.1, atol=1e-9)


def test_a_single_pulse_now_and_then_is_another_protocol(make_core, run, sine):
    events = run(make_core(exposure=exposure(DASH), percent_of_threshold=120.0, wait_s=1.95), sine(10.0)).events
    assert np.count_nonzero(events["kind"] == EventKind.DELIVERED) == 1
    assert Reason.TRAIN_DURATION in events["reason"]
