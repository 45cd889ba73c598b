"""Whole runs: seeded, blind to how samples are handed over, on phase, and stopped when told."""

import json
import math
import os
import signal

import numpy as np
import pytest

import closedloop.session.run
from closedloop.config.device import Stimulator
from closedloop.config.document import read_document
from closedloop.config.load import load_pipeline
from closedloop.config.pipeline import Pipeline
from closedloop.core.pulse_artifact import make_artifact
from closedloop.core.reasons import Reason
from closedloop.core.records import INPUT, Command, EventKind, InputKind
from closedloop.core.replay import fingerprint, play, post_command, post_device
from closedloop.errors import CalibrationError, ConfigError, RecordingError
from closedloop.protocols.trials import draw_trials
from closedloop.session.folder import SessionFolder
from closedloop.session.interruption import Interruption
from closedloop.session.replay import replay_session
from closedloop.session.run import run_session

FINISHED = {
    "session.json",
    "pipeline.yaml",
    "device.yaml",
    "state.npz",
    "inputs.bin",
    "samples.bin",
    "events.jsonl",
    "events.bin",
    "summary.json",
    "report.png",
}


def used(session, kind=EventKind.DELIVERED):
    """Return the chances that ended one way."""
    events = session.outcome.events
    return events[events["kind"] == kind]


def spread_deg(session):
    return session.summary["phase_error"]["circular_sd_deg"]


def facts(path):
    return json.loads((path / "session.json").read_text(encoding="utf-8"))


def test_a_session_folder_is_complete(session):
    assert {path.name for path in session.path.iterdir()} == FINISHED
    assert facts(session.path)["status"] == session.summary["status"] == "complete"


def test_pipeline_and_device_are_kept_with_every_default(session):
    kept = Pipeline.model_validate(read_document(session.path / "pipeline.yaml").plain())
    assert kept == session.pipeline
    device = Stimulator.model_validate(read_document(session.path / "device.yaml").plain())
    assert device == session.device


def test_an_error_that_nobody_expected_marks_the_session_as_failed(
    make_pipeline, make_device, run_at, tmp_path, monkeypatch
):
    def break_down(*_, **__):
        raise MemoryError("no room")

    monkeypatch.setattr(closedloop.session.run, "calibrate", break_down)
    with pytest.raises(MemoryError):
        run_at(make_pipeline(), make_device(), tmp_path / "session")
    assert facts(tmp_path / "session")["status"] == "failed"
    assert facts(tmp_path / "session")["error"] == "MemoryError: no room"


def test_a_session_says_what_it_came_from(session):
    told = facts(session.path)
    assert told["seed"] == session.pipeline.target.order.seed
    assert told["recording"]["name"] == "synthetic, seed 3"
    assert told["recording"]["channels"] == list(session.outcome.source.recording.names)
    assert told["recording"]["sfreq"] == 125.0
    assert told["conditions"] == ["trough", "random"]
    assert {"numpy", "numba", "sources", "python"} <= set(told["software"])
    assert {"cpu", "libc"} <= set(told["machine"])
    assert (told["replayable"], told["lost"]) == (True, 0)


def test_every_sample_of_the_run_is_recorded(session):
    samples = np.fromfile(session.path / "samples.bin").reshape(-1, 6)
    np.testing.assert_array_equal(samples, session.outcome.source.run.samples)


def test_the_same_seed_gives_the_same_decisions(run, session):
    assert run().summary["fingerprint"] == session.summary["fingerprint"]


@pytest.mark.parametrize("change", [{"target.order.seed": 2}, {"source.seed": 4}])
def test_another_seed_gives_others(run, session, change):
    assert run(change).summary["fingerprint"] != session.summary["fingerprint"]


def test_surrogates_do_not_change_the_decisions(run, session):
    assert run(n_surrogates=1).summary["fingerprint"] == session.summary["fingerprint"]


def cut(session, sizes):
    """Play the session's run through its calibrated core in chunks of these sizes, the last one repeated."""
    core, steps = session.outcome.calibration.core(session.pipeline, session.device, n_channels=6)
    post_device(core, ready=True, coil_c=25.0)
    post_command(core, Command.ARM)
    recording = session.outcome.source.run
    n_samples = 2500

    def chunks():
        start, sizes_left = 0, list(sizes)
        while start < n_samples:
            size = sizes_left.pop(0) if len(sizes_left) > 1 else sizes_left[0]
            stop = min(start + size, n_samples)
            yield recording.samples[start:stop], recording.times_s[start:stop] + session.pipeline.source.delay_s
            start = stop

    played = play(core, steps, chunks(), make_artifact(np.zeros((0, 6))))
    return np.concatenate([drained.events for drained in played])


@pytest.mark.parametrize("sizes", [[1], [7], [50], [1000], [0, 100, 0, 0, 33]], ids=str)
def test_chunks_of_any_size_give_the_same_decisions(session, sizes):
    whole = cut(session, [2500])
    assert np.count_nonzero(whole["kind"] == EventKind.DELIVERED) > 5
    assert fingerprint(cut(session, sizes)) == fingerprint(whole)


def test_those_decisions_are_the_sessions_own(session):
    whole = cut(session, [2500])
    own = session.outcome.events
    # A plan that is open at the cut is refused there, and decided in the longer run.
    same = len(whole) - (whole["reason"][-1] == Reason.NOT_ARMED)
    assert same > 20
    assert whole[:same].tobytes() == own[:same].tobytes()


def test_pulses_fall_on_their_targets(session):
    found = session.summary["phase_error"]
    assert found["n"] > 15
    assert abs(found["bias_deg"]) < 20.0
    assert found["circular_sd_deg"] < 35.0
    noise = session.summary["surrogates"]
    assert noise["n"] == 0 or found["circular_sd_deg"] < noise["circular_sd_deg"]


@pytest.mark.parametrize("phase_deg", [0.0, 90.0, 180.0, -90.0])
def test_a_pulse_meets_whatever_phase_is_wanted(run, phase_deg):
    session = run({"target.conditions": [{"name": "wanted", "phase_deg": phase_deg}], "target.withhold": 0.0})
    assert used(session).size > 15
    reference = session.outcome.phases(EventKind.DELIVERED).reference
    mean = np.nanmean(np.exp(1j * (reference - math.radians(phase_deg))))
    assert abs(np.degrees(np.angle(mean))) < 20.0
    assert abs(mean) > 0.8


def test_what_conditioning_does_to_the_phase_is_learnt_with_the_rest(run):
    """At 10 Hz a first-order high-pass of 8 Hz alone turns the phase by atan(8 / 10), 39 degrees."""
    session = run({"conditioning.high_pass_hz": 8.0})
    assert used(session).size > 15
    assert abs(session.summary["phase_error"]["bias_deg"]) < 15.0
    assert abs(session.summary["true_phase_error"]["bias_deg"]) < 20.0


@pytest.mark.parametrize("withhold", [0.0, 0.2, 0.5])
def test_withheld_chances_are_those_that_were_drawn(run, withhold):
    session = run({"target.withhold": withhold})
    events = session.outcome.events
    kinds = events["kind"][events["kind"] != EventKind.REFUSED]
    drawn = draw_trials(
        200, 2, shuffle="balanced", withhold=withhold, min_interval_s=1.0, jitter_s=0.0, seed=1
    ).withheld[: kinds.size]
    np.testing.assert_array_equal(kinds == EventKind.WITHHELD, drawn)
    assert session.summary["withheld"] == np.count_nonzero(drawn)
    assert (session.summary["withheld"] > 0) == (withhold > 0.0)


def test_a_withheld_chance_leaves_no_trigger_in_the_record(session):
    inputs = np.fromfile(session.path / "inputs.bin", INPUT)
    assert np.count_nonzero(inputs["kind"] == InputKind.WRITTEN) == session.summary["delivered"]


def test_intervals_are_kept(session):
    due_s = np.sort(np.concatenate([used(session)["due_s"], used(session, EventKind.WITHHELD)["due_s"]]))
    assert np.diff(due_s).min() >= 1.0 - 1e-9


# The device's artifact is over after 0.005 + 6.9 * 0.02 and after 0.1 + 6.9 * 0.01 s; the hold takes 0.3 s.
def test_an_artifact_that_ends_within_the_hold_changes_no_decision(run, session):
    touched = run({"source.artifacts": True})
    assert touched.summary["fingerprint"] == session.summary["fingerprint"]
    samples = np.fromfile(touched.path / "samples.bin").reshape(-1, 6)
    assert np.abs(samples - session.outcome.source.run.samples).max() > 4000.0


def test_after_an_artifact_and_its_hold_pulses_still_fall_on_phase(run):
    session = run({"source.artifacts": True})
    assert used(session).size > 15
    assert abs(session.summary["phase_error"]["bias_deg"]) < 20.0
    assert spread_deg(session) < 35.0
    assert session.summary["refused"]["held"] > 0


def test_an_artifact_that_outlasts_the_hold_is_refused(run, session):
    touched = run({"source.artifacts": True, "gates.hold_after_pulse_s": 0.01})
    assert touched.summary["refused"]["artifact"] > session.summary["refused"].get("artifact", 0)
    assert replay_session(touched.path).same


def test_artifacts_do_not_reach_the_reference(run, session):
    touched = run({"source.artifacts": True})
    assert touched.summary["phase_error"] == session.summary["phase_error"]


def test_a_train_is_fired_whole_with_its_first_pulse_on_phase(run):
    protocol = {"type": "train", "trains": 50, "pulses_per_train": 4, "frequency_hz": 5.0, "min_interval_s": 5.0}
    # The table of waits lets trains follow each other after 5 s, which the gate holds.
    session = run(
        {"protocol": protocol, "target.withhold": 0.0, "target.conditions": [TROUGH], "source.duration_s": 100.0}
    )
    events = used(session)
    trains = events[: events.size // 4 * 4].reshape(-1, 4)
    assert len(trains) >= 10
    np.testing.assert_array_equal(trains["pulse"], np.tile(np.arange(4), (len(trains), 1)))
    np.testing.assert_allclose(np.diff(trains["due_s"], axis=1), 0.2, atol=1e-9)
    assert session.summary["phase_error"]["n"] == np.count_nonzero(events["pulse"] == 0)
    assert abs(session.summary["phase_error"]["bias_deg"]) < 20.0
    assert replay_session(session.path).same


TROUGH = {"name": "trough", "phase_deg": 180.0}
FOUR = [
    {"name": "peak", "phase_deg": 0.0},
    {"name": "falling", "phase_deg": 90.0},
    {"name": "trough", "phase_deg": 180.0},
    {"name": "rising", "phase_deg": 270.0},
]


def test_several_conditions_are_balanced_and_each_meets_its_own_phase(run):
    session = run({"target.conditions": FOUR, "target.withhold": 0.0, "source.duration_s": 130.0})
    counts = [session.summary["per_condition"][condition["name"]]["n"] for condition in FOUR]
    assert min(counts) > 8
    assert max(counts) - min(counts) <= 1
    phases = session.outcome.phases(EventKind.DELIVERED)
    for place, condition in enumerate(FOUR):
        mean = np.nanmean(np.exp(1j * (phases.of(place).reference - math.radians(condition["phase_deg"]))))
        assert abs(np.degrees(np.angle(mean))) < 30.0


FILTERS = {
    "average": {"type": "average", "channel": "F3"},
    "average of some": {"type": "average", "channel": "F3", "over": ["F7", "C3"]},
    "bipolar": {"type": "bipolar", "plus": "F3", "minus": "F7"},
    "weights": {"type": "weights", "weights": {"F3": 1.0, "F7": -0.5, "C3": -0.5}},
    "single": {"type": "single", "channel": "O1"},
}


@pytest.mark.parametrize("spatial", FILTERS.values(), ids=FILTERS.keys())
def test_every_spatial_filter_finds_the_rhythm(run, spatial):
    session = run({"signals.alpha.spatial": spatial})
    assert used(session).size > 10
    assert abs(session.summary["phase_error"]["bias_deg"]) < 20.0
    assert spread_deg(session) < 35.0
    assert session.summary["true_phase_error"]["circular_sd_deg"] < 45.0


def test_a_filter_of_the_other_sign_finds_the_opposite_phase(run):
    """A trough of F7 minus F3 is a peak of F3 minus F7."""
    one, other = (
        run(
            {"signals.alpha.spatial": {"type": "bipolar", "plus": plus, "minus": minus}, "target.conditions": [FOUR[p]]}
        )
        for plus, minus, p in (("F3", "F7", 0), ("F7", "F3", 2))
    )
    np.testing.assert_allclose(used(one)["due_s"], used(other)["due_s"], atol=1e-6)


HAND = {
    "channels": {"O1": "emg"},
    "signals.hand": {"spatial": {"type": "single", "channel": "O1"}},
}


def test_a_signal_that_must_be_quiet_and_is_does_not_matter(run, session):
    quiet = run({**HAND, "gates.quiet": [{"signal": "hand", "peak_to_peak_uv": 1000.0}]})
    assert "not_quiet" not in quiet.summary["refused"]
    np.testing.assert_array_equal(used(quiet)["due_s"], used(session)["due_s"])


def test_while_a_signal_is_not_quiet_nothing_is_fired(run):
    limit_uv = 60.0
    session = run({**HAND, "gates.quiet": [{"signal": "hand", "peak_to_peak_uv": limit_uv}]})
    assert session.summary["refused"]["not_quiet"] > 0
    assert used(session).size > 0
    # The channel as it was recorded: half a second before each pulse it moved less than the limit,
    # but for what the high-pass takes off.
    run_part = session.outcome.source.run
    o1 = run_part.samples[:, run_part.names.index("O1")]
    for due_s in used(session)["due_s"]:
        stop = np.searchsorted(run_part.times_s, due_s - 0.04)
        assert np.ptp(o1[stop - 55 : stop]) < 1.3 * limit_uv


def test_a_gap_is_refused_and_survived(run):
    session = run({"source.gaps": [{"start_s": 45.0, "duration_s": 1.0}]})
    assert session.summary["refused"]["gap"] > 0
    due_s = used(session)["due_s"]
    assert not ((due_s > 45.1) & (due_s < 46.0)).any()
    assert (due_s > 47.0).any()
    assert replay_session(session.path).same


def test_a_sample_that_is_no_number_after_calibration_is_refused_and_survived(
    make_pipeline, make_device, run_at, tmp_path, monkeypatch, without_picture
):
    opened = closedloop.session.run.open_source(make_pipeline())
    opened.run.samples[1000:1400, 2] = np.nan
    monkeypatch.setattr(closedloop.session.run, "open_source", lambda _, **__: opened)
    session = run_at(make_pipeline(), make_device(), tmp_path / "session")
    assert session.summary["refused"]["non_finite"] > 0
    assert used(session).size > 10
    assert replay_session(session.path).same


@pytest.mark.parametrize("recorded_uv", [50_000.0, -50_000.0])
def test_electrode_offsets_do_not_matter(run, session, recorded_uv):
    offset = run({"source.offset_mv": abs(recorded_uv) / 1e3})
    assert used(offset).size == pytest.approx(used(session).size, abs=3)
    assert spread_deg(offset) < 35.0


def test_the_intensity_is_set_before_the_device_is_armed(run, monkeypatch):
    opened = []
    original = closedloop.session.run.SimulatedStimulator
    monkeypatch.setattr(
        closedloop.session.run,
        "SimulatedStimulator",
        lambda device, settings: opened.append(original(device, settings)) or opened[0],
    )
    run({"stimulator.intensity": {"percent_of_maximum": 42.0}})
    assert opened[0].percent_of_maximum == 42.0


def test_a_recording_is_played_to_nobody_whatever_the_device_is(run):
    """Its driver, of which there is none here, is not even looked for."""
    assert run(device={"driver": "magic"}).summary["delivered"] > 0


def test_the_protocols_end_ends_the_pulses(run):
    session = run({"protocol.pulses": 5})
    assert session.summary["delivered"] == 5
    assert session.summary["refused"]["protocol_complete"] > 0


def test_the_limit_of_pulses_holds(run):
    session = run(device={"limits.max_pulses_per_session": 7})
    assert session.summary["delivered"] == 7
    assert session.summary["refused"]["max_pulses"] > 0


UNUSABLE = {
    "an unknown recording": ({"source": {"type": "playback", "recording": "nothing"}}, {}, RecordingError),
    "a missing channel": ({"signals.alpha.spatial": {"type": "single", "channel": "Pz"}}, {}, ConfigError),
    "too short a recording": ({"source.duration_s": 32.0}, {}, CalibrationError),
    "too slow a recording": ({"source.sfreq": 100.0}, {}, CalibrationError),
}


@pytest.mark.parametrize(("changes", "device", "error"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_cannot_be_run_leaves_no_folder(make_pipeline, make_device, tmp_path, changes, device, error):
    folder = SessionFolder(tmp_path / "sessions" / "new")
    with pytest.raises(error):
        run_session(
            make_pipeline(changes),
            make_device(device),
            folder,
            n_surrogates=0,
            interruption=Interruption(),
            progress=lambda *_: None,
        )
    assert list(tmp_path.iterdir()) == []


def stop_at(stage, number=signal.SIGINT, *, after=0):
    """Return a listener that sends this process a signal at the so-manieth word of a stage."""
    left = [after]

    def progress(doing, share):
        if stage in doing:
            if left[0] == 0:
                os.kill(os.getpid(), number)
            left[0] -= 1

    return progress


@pytest.fixture
def interrupted(make_pipeline, make_device, run_at, tmp_path, without_picture):
    """Return a function that runs a session of 200 s and interrupts it at a stage."""

    def run_interrupted(stage, number=signal.SIGINT, *, after=0):
        interruption = Interruption()
        with interruption.handled():
            return run_at(
                make_pipeline({"source.duration_s": 200.0}),
                make_device(),
                tmp_path / "session",
                n_surrogates=3,
                interruption=interruption,
                progress=stop_at(stage, number, after=after),
            )

    return run_interrupted


@pytest.mark.parametrize("stage", ["reading", "calibrating"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_before_the_loop_leaves_a_folder_that_says_so(interrupted, stage, number):
    session = interrupted(stage, number)
    assert facts(session.path)["status"] == session.summary["status"] == "interrupted"
    assert session.summary["delivered"] == 0
    assert session.outcome.events is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_of_the_loop_stops_it_and_the_record_is_whole(interrupted, number):
    session = interrupted("running the loop", number, after=4)
    assert session.outcome.played_s == pytest.approx(50.0)  # five chunks of 10 s
    inputs = np.fromfile(session.path / "inputs.bin", INPUT)
    commands = inputs["code"][inputs["kind"] == InputKind.COMMAND].tolist()
    assert commands == [Command.ARM, Command.STOP, Command.DISARM]
    assert facts(session.path)["status"] == session.summary["status"] == "interrupted"
    assert session.summary["delivered"] > 0
    assert session.outcome.surrogates == []
    assert replay_session(session.path).same


def test_after_the_stop_nothing_is_fired(interrupted):
    session = interrupted("running the loop", after=4)
    inputs = np.fromfile(session.path / "inputs.bin", INPUT)
    stop = np.flatnonzero((inputs["kind"] == InputKind.COMMAND) & (inputs["code"] == Command.STOP))[0]
    stopped_s = inputs["now"][stop]
    assert used(session)["now_s"].max() < stopped_s
    assert np.count_nonzero(inputs["kind"][stop:] == InputKind.WRITTEN) == 0


def test_an_interruption_of_the_surrogates_keeps_those_that_were_run(interrupted):
    session = interrupted("without a rhythm", after=2)
    assert len(session.outcome.surrogates) == 2
    assert session.summary["surrogates"]["runs"] == 2
    assert session.summary["status"] == "interrupted"
    assert session.outcome.played_s == pytest.approx(170.0)
    assert replay_session(session.path).same


def test_a_session_without_interruption_never_stops(session):
    inputs = np.fromfile(session.path / "inputs.bin", INPUT)
    assert inputs["code"][inputs["kind"] == InputKind.COMMAND].tolist() == [Command.ARM, Command.DISARM]
    assert Reason.STOPPED not in session.outcome.events["reason"]


def test_the_demonstration_loads_as_it_is_run():
    assert load_pipeline("demo").value.source.recording == "synthetic-alpha"


def test_no_pulse_falls_sooner_after_calibration_than_the_pipeline_says(run):
    events = run({"calibration.arm_after_s": 12.0}).outcome.events
    assert Reason.NOT_ARMED in events["reason"][events["due_s"] < 42.0]
    fired = events[events["kind"] == EventKind.DELIVERED]
    assert 42.0 <= fired["due_s"].min() < 46.0
