"""A source is opened and cut in two: calibration, and the run."""

import numpy as np
import pytest

from closedloop.config.shipped import shipped_folder
from closedloop.errors import CalibrationError, RecordingError
from closedloop.session.source import open_source

DEMO = str(shipped_folder("recordings") / "synthetic-alpha.edf")


def refusal(pipeline):
    with pytest.raises((CalibrationError, RecordingError)) as caught:
        open_source(pipeline)
    message = str(caught.value)
    assert "\n" not in message
    return message


def playing(make_pipeline, recording=DEMO, **source):
    return make_pipeline({"source": {"type": "playback", "recording": recording, **source}})


def test_the_beginning_is_rest_and_what_follows_is_run(make_pipeline):
    opened = open_source(make_pipeline())
    assert (opened.rest.duration_s, opened.run.duration_s) == (pytest.approx(30.0), pytest.approx(50.0))
    joined = np.concatenate([opened.rest.samples, opened.run.samples])
    np.testing.assert_array_equal(joined, opened.recording.samples)
    assert opened.run.times_s[0] == pytest.approx(30.0)


def test_a_recording_has_no_true_phase_and_a_simulation_has(make_pipeline):
    weights = np.zeros(6)
    weights[2] = 1.0  # F3 carries the rhythm in full
    assert open_source(playing(make_pipeline)).true_component(weights) is None
    opened = open_source(make_pipeline())
    assert opened.simulated is not None
    np.testing.assert_array_equal(opened.true_component(weights), opened.simulated.alpha)


def test_start_and_stop_cut_the_recording_before_anything_else(make_pipeline):
    whole = open_source(playing(make_pipeline)).recording
    opened = open_source(playing(make_pipeline, start_s=10.0, stop_s=70.0))
    assert opened.recording.duration_s == pytest.approx(60.0)
    np.testing.assert_array_equal(opened.rest.samples[0], whole.samples[round(10.0 * whole.sfreq)])


@pytest.mark.parametrize(("duration_s", "fits"), [(34.9, False), (35.0, True)])
def test_after_calibration_something_must_be_left_to_run(make_pipeline, duration_s, fits):
    pipeline = make_pipeline({"source.duration_s": duration_s})
    if fits:
        assert open_source(pipeline).run.duration_s == pytest.approx(5.0)
    else:
        assert refusal(pipeline) == (
            "synthetic, seed 3: 34.9 s are too short: calibration takes 30 s (calibration.duration_s) "
            "and the run at least 5 s"
        )


def test_a_gap_at_the_end_of_calibration_is_not_taken_for_a_shorter_one(make_pipeline):
    pipeline = make_pipeline({"source.gaps": [{"start_s": 20.0, "duration_s": 15.0}]})
    assert refusal(pipeline) == (
        "synthetic, seed 3: calibration, first 30 s: samples are missing from 20.000 s on (limit: none); "
        "choose source.start_s after it"
    )


def test_a_range_beyond_the_recording_is_refused(make_pipeline):
    said = refusal(playing(make_pipeline, start_s=10.0, stop_s=170.0))
    assert said == "synthetic-alpha.edf: the range from 10 to 170 s does not lie within its 150 s"


def test_an_unknown_recording_is_refused_with_those_that_are_known(make_pipeline):
    said = refusal(playing(make_pipeline, "nothing.edf"))
    assert said.startswith(
        "nothing.edf: there is no such file, and no recording of that name (known: synthetic-alpha, "
    )
