"""The summary: every number that users rely on, derived here anew from the decisions."""

import json
import math

import numpy as np
import pytest

from closedloop.core.records import EventKind
from closedloop.core.replay import fingerprint
from closedloop.session.outcome import Outcome
from closedloop.session.summary import degrees_text, summarise


@pytest.fixture(scope="module")
def events(session):
    return session.outcome.events


def count(events, kind):
    return int(np.count_nonzero(events["kind"] == kind))


def test_it_holds_all_that_users_rely_on(session):
    assert {
        "name",
        "status",
        "recording",
        "calibration",
        "delivered",
        "withheld",
        "refused",
        "per_condition",
        "phase_error",
        "surrogates",
        "pulses_per_minute",
        "replay_speed_x",
        "fingerprint",
    } <= set(session.summary)
    for statistics in (session.summary["phase_error"], *session.summary["per_condition"].values()):
        assert {"n", "bias_deg", "circular_sd_deg", "plv", "ci95_deg"} <= set(statistics)


def test_the_file_holds_the_same(session):
    assert json.loads((session.path / "summary.json").read_text(encoding="utf-8")) == session.summary


def test_every_chance_is_counted_once(session, events):
    summary = session.summary
    assert summary["delivered"] == count(events, EventKind.DELIVERED) > 10
    assert summary["withheld"] == count(events, EventKind.WITHHELD) > 0
    assert sum(summary["refused"].values()) == count(events, EventKind.REFUSED) > 0
    lines = (session.path / "events.jsonl").read_text().splitlines()
    assert len(lines) == summary["delivered"] + summary["withheld"] + sum(summary["refused"].values())


def test_reasons_are_counted_as_in_the_lines_and_explained(session):
    lines = [json.loads(line) for line in (session.path / "events.jsonl").read_text().splitlines()]
    reasons = [line["reason"] for line in lines if line["outcome"] == "refused"]
    assert session.summary["refused"] == {reason: reasons.count(reason) for reason in set(reasons)}
    assert set(session.summary["refused_because"]) == set(reasons)


def test_reasons_come_with_the_most_frequent_first(session):
    counts = list(session.summary["refused"].values())
    assert counts == sorted(counts, reverse=True)


def test_the_rate_counts_the_run_without_its_calibration(session):
    # 80 s of recording, 30 s of calibration.
    assert session.summary["played_s"] == pytest.approx(50.0)
    assert session.summary["pulses_per_minute"] == pytest.approx(session.summary["delivered"] * 60.0 / 50.0)


def test_the_speed_is_that_of_the_loop(session):
    outcome = session.outcome
    assert session.summary["replay_speed_x"] == outcome.played_s / outcome.elapsed_s > 1.0


def test_the_fingerprint_is_that_of_the_decisions(session, events):
    assert session.summary["fingerprint"] == fingerprint(events)
    assert len(session.summary["fingerprint"]) == 64


def errors_by_condition(session):
    """Return the errors at the pulses of each condition, in rad, each looked up for itself."""
    phases = session.outcome.phases(EventKind.DELIVERED)
    errors = np.angle(np.exp(1j * (phases.reference - phases.target)))
    return {name: errors[phases.condition == place] for place, name in enumerate(("trough", "random"))}


def test_bias_spread_and_plv_are_those_of_the_errors(session):
    errors = errors_by_condition(session)
    pooled = {"all": np.concatenate(list(errors.values())), **errors}
    for name, found in {"all": session.summary["phase_error"], **session.summary["per_condition"]}.items():
        known = pooled[name][np.isfinite(pooled[name])]
        mean = np.mean(np.exp(1j * known))
        assert found["n"] == known.size > 5
        assert found["plv"] == pytest.approx(abs(mean))
        assert found["bias_deg"] == pytest.approx(np.degrees(np.angle(mean)))
        assert found["circular_sd_deg"] == pytest.approx(np.degrees(math.sqrt(-2 * math.log(abs(mean)))))
        low, high = found["ci95_deg"]
        assert low < found["circular_sd_deg"] < high or name != "all"


def test_every_member_of_the_evaluation_family_is_reported(session):
    members = session.summary["phase_error"]["members"]
    assert set(members) == {"peak±2 Hz", "peak±1 Hz", "8-13 Hz", "5-18 Hz"}
    assert {member["n"] for member in members.values()} == {session.summary["phase_error"]["n"]}


def test_the_amplitude_at_the_pulses_is_reported_by_condition(session, events):
    for place, name in enumerate(("trough", "random")):
        fired = (events["kind"] == EventKind.DELIVERED) & (events["condition"] == place)
        found = session.summary["per_condition"][name]["amplitude_uv"]
        assert found == pytest.approx(np.mean(events["amplitude"][fired]))


def test_withheld_chances_have_a_phase_of_their_own(session):
    assert session.summary["phase_error_withheld"]["n"] == session.summary["withheld"]


def test_each_figure_stands_beside_what_no_rhythm_gives(session):
    surrogates = session.summary["surrogates"]
    assert surrogates["runs"] == 2
    by_condition = [found["surrogate"]["n"] for found in session.summary["per_condition"].values()]
    assert sum(by_condition) == surrogates["n"]


def test_a_simulations_own_phase_is_compared(session):
    true = session.summary["true_phase_error"]
    assert true["n"] == session.summary["delivered"]
    assert abs(true["bias_deg"]) < 20.0
    assert true["circular_sd_deg"] < 40.0


def test_a_gap_does_not_shift_the_true_phase(run):
    """10.04 s are 100.4 periods: were what follows the gap shifted by it, the phases would not be near the targets."""
    gaps = [{"start_s": 32.0, "duration_s": 10.04}]
    summary = run({"source.gaps": gaps}).summary
    assert summary["true_phase_error"]["n"] == summary["delivered"] > 5
    assert abs(summary["true_phase_error"]["bias_deg"] - summary["phase_error"]["bias_deg"]) < 15.0
    assert summary["true_phase_error"]["circular_sd_deg"] < 40.0


def test_a_recording_has_no_true_phase(run):
    recording = {"type": "playback", "recording": "synthetic-alpha", "stop_s": 60.0}
    assert run({"source": recording}).summary["true_phase_error"] is None


def test_of_a_session_that_never_began_everything_is_null_or_empty(session):
    summary = summarise(Outcome(session.pipeline, session.device))
    json.dumps(summary, allow_nan=False)
    assert summary["status"] == "interrupted"
    assert (summary["delivered"], summary["withheld"]) == (0, 0)
    assert summary["refused"] == summary["per_condition"] == {}
    for name in ("recording", "calibration", "phase_error", "surrogates", "pulses_per_minute", "replay_speed_x"):
        assert summary[name] is None


def test_a_session_without_a_pulse_has_a_summary_all_the_same(run):
    summary = run({"gates.artifact_uv": 0.5}, n_surrogates=1).summary
    assert summary["delivered"] == summary["pulses_per_minute"] == 0
    assert set(summary["refused"]) >= {"artifact"}
    assert summary["phase_error"]["n"] == 0
    assert summary["per_condition"]["trough"]["circular_sd_deg"] is None
    assert summary["per_condition"]["trough"]["amplitude_uv"] is None


TEXTS = {
    "nothing": (None, "none"),
    "no errors": ({"circular_sd_deg": None, "n": 0}, "none"),
    "a single pulse": (
        {"n": 1, "bias_deg": -1.26, "circular_sd_deg": 0.0, "ci95_deg": None},
        "bias -1.3°, n = 1 (too few for a scatter)",
    ),
    "without an interval": (
        {"n": 2, "bias_deg": -1.26, "circular_sd_deg": 4.0, "ci95_deg": None},
        "bias -1.3°, circular SD 4.0° (too few for an interval), n = 2",
    ),
    "with an interval": (
        {"n": 30, "bias_deg": 2.0, "circular_sd_deg": 12.34, "ci95_deg": [10.0, 15.06]},
        "bias +2.0°, circular SD 12.3° (10.0 to 15.1), n = 30",
    ),
}


@pytest.mark.parametrize(("statistics", "text"), TEXTS.values(), ids=TEXTS.keys())
def test_degrees_as_people_read_them(statistics, text):
    assert degrees_text(statistics) == text
