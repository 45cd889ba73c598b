"""The limit that belongs to the wanted rate, found on rest."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from closedloop.calibration.calibrate import calibrate
from closedloop.core.playback import dry_run
from closedloop.core.reasons import Reason
from closedloop.core.records import EventKind
from closedloop.errors import CalibrationError


def wanting(make_pipeline, per_minute, **more):
    return make_pipeline({"gates.wanted_rate": {"per_minute": per_minute}, **more})


def chances_per_minute(found, pipeline, device, rest, *, sd_limit):
    """Run a core with one limit over the rest and count the chances that passed every gate."""
    core, steps = found.core(pipeline, device, n_channels=len(rest.names))
    core.policy["sd_limit"] = sd_limit
    events = dry_run(core, steps, rest, delay_s=pipeline.source.delay_s)
    return 60.0 * np.count_nonzero(events["kind"] != EventKind.REFUSED) / rest.duration_s


@pytest.mark.parametrize("per_minute", [6.0, 10.0, 20.0])
def test_the_limit_gives_the_wanted_rate_on_rest(make_pipeline, make_device, rest, per_minute):
    pipeline, device = wanting(make_pipeline, per_minute), make_device()
    found = calibrate(pipeline, device, rest)
    # One minute: the rate is a whole number, never below what is wanted, and not far above it.
    assert per_minute <= found.rest_per_minute <= per_minute + 2.0
    assert chances_per_minute(found, pipeline, device, rest, sd_limit=found.sd_limit) == found.rest_per_minute


def test_a_limit_a_little_lower_would_not_reach_the_wanted_rate(make_pipeline, make_device, rest):
    pipeline, device = wanting(make_pipeline, 10.0), make_device()
    found = calibrate(pipeline, device, rest)
    # 8 bisections of the range from 1 degree to the gate's limit, in equal ratios.
    step = pipeline.gates.max_phase_sd_deg ** (1 / 2**8)
    assert chances_per_minute(found, pipeline, device, rest, sd_limit=found.sd_limit / step) < 10.0


@pytest.mark.parametrize("stretch", [-1e-9, 1e-9])
def test_the_last_bits_of_time_stamps_decide_nothing(make_pipeline, make_device, rest, stretch):
    exactly = calibrate(wanting(make_pipeline, 10.0), make_device(), rest)
    pipeline = wanting(make_pipeline, exactly.rest_per_minute)
    longer = dataclasses.replace(rest, times_s=rest.times_s * (1.0 + stretch))
    found, expected = (calibrate(pipeline, make_device(), r) for r in (longer, rest))
    assert (found.sd_limit, found.rest_per_minute) == (expected.sd_limit, expected.rest_per_minute)


def test_how_many_threads_there_are_changes_no_bit(make_pipeline, make_device, rest):
    states = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads, user_api="blas"):
            found = calibrate(make_pipeline(), make_device(), rest)
        states.append(found.design.signals["alpha"].designed.state.tobytes())
    assert states[0] == states[1]


def test_without_a_wanted_rate_there_is_no_limit(make_pipeline, make_device, rest):
    found = calibrate(make_pipeline(), make_device(), rest)
    assert math.isinf(found.sd_limit)
    assert found.rest_per_minute > calibrate(wanting(make_pipeline, 10.0), make_device(), rest).rest_per_minute


def test_a_rate_that_no_limit_reaches_leaves_none(make_pipeline, make_device, make_rest):
    found = calibrate(wanting(make_pipeline, 59.0), make_device(), make_rest(alpha_uv=8.0))
    assert math.isinf(found.sd_limit)
    assert found.rest_per_minute < 59.0


def test_fewer_and_better_chances_have_a_smaller_error(make_pipeline, make_device, rest):
    few, many = (calibrate(wanting(make_pipeline, rate), make_device(), rest) for rate in (5.0, 20.0))
    assert few.predicted_sd < many.predicted_sd <= many.sd_limit


def test_a_short_protocol_does_not_end_the_search(make_pipeline, make_device, rest):
    long = calibrate(wanting(make_pipeline, 10.0), make_device(), rest)
    short = calibrate(wanting(make_pipeline, 10.0, **{"protocol.pulses": 1}), make_device(), rest)
    assert short.sd_limit == long.sd_limit


@pytest.mark.parametrize("whose", ["pipeline", "device"])
def test_no_limit_of_pulses_ends_the_search(make_pipeline, make_device, rest, whose):
    pipeline, device = wanting(make_pipeline, 10.0), make_device()
    if whose == "pipeline":
        pipeline = wanting(make_pipeline, 10.0, **{"protocol.pulses": 5, "limits.max_pulses": 5})
    else:
        device = make_device({"limits.max_pulses_per_session": 500})
    assert calibrate(pipeline, device, rest).rest_per_minute >= 10.0


def test_a_train_counts_as_one_trial(make_pipeline, make_device, rest):
    protocol = {"type": "train", "trains": 5, "pulses_per_train": 4, "frequency_hz": 5.0, "min_interval_s": 2.0}
    found = calibrate(wanting(make_pipeline, 6.0, protocol=protocol), make_device(), rest)
    assert 6.0 <= found.rest_per_minute <= 8.0


def test_the_devices_interval_counts_while_searching(make_pipeline, make_device, rest):
    found = calibrate(make_pipeline(), make_device({"limits.min_interval_s": 10.0}), rest)
    assert 3.0 <= found.rest_per_minute <= 6.0


def test_the_same_rest_gives_the_same(make_pipeline, make_device, rest):
    first, again = (calibrate(wanting(make_pipeline, 10.0), make_device(), rest) for _ in range(2))
    assert (again.sd_limit, again.predicted_sd) == (first.sd_limit, first.predicted_sd)


@pytest.mark.parametrize("driver", ["simulated", "magpro"])
def test_live_or_played_back_real_or_not_rest_is_judged_alike(make_pipeline, make_device, rest, driver):
    """Live, the clock has run for hours, a status gets old, and a real device asks for a dose record: not at rest."""
    source = {"type": "lsl", "stream": {"type": "EEG"}}
    live = wanting(make_pipeline, 10.0, source=source)
    device = make_device({"driver": driver, "limits.max_status_age_s": 2.0, "limits.max_coil_c": 40.0})
    later = dataclasses.replace(rest, times_s=rest.times_s + 2.0**15)
    found, expected = calibrate(live, device, later), calibrate(wanting(make_pipeline, 10.0), make_device(), rest)
    assert expected.rest_per_minute >= 10.0
    assert found.rest_per_minute == pytest.approx(expected.rest_per_minute)
    assert found.sd_limit == pytest.approx(expected.sd_limit)
    assert found.predicted_sd == pytest.approx(expected.predicted_sd)


def test_the_promise_tells_what_rest_allows(make_pipeline, make_device, rest):
    pipeline = wanting(make_pipeline, 10.0)
    enough = calibrate(pipeline, make_device(), rest)
    assert re.fullmatch(
        r"1[0-2]\.0 chances a minute pass every gate at rest, their phase predicted to ±\d+°", enough.promise(pipeline)
    )
    pipeline = wanting(make_pipeline, 59.0)
    few = calibrate(pipeline, make_device(), rest).promise(pipeline)
    assert "fewer than wanted (gates.wanted_rate: 59)" in few
    assert few.endswith("the hold after a pulse, and one estimator window after it")
    pipeline = make_pipeline({"gates.artifact_uv": 0.5})
    assert calibrate(pipeline, make_device(), rest).promise(pipeline) == (
        "0.0 chances a minute pass every gate at rest; most often a channel's peak-to-peak value was above the "
        "artifact limit"
    )


def test_the_rest_is_not_changed(make_pipeline, make_device, make_rest):
    rest = make_rest(30.0)
    before = rest.samples.copy()
    calibrate(make_pipeline(), make_device(), rest)
    np.testing.assert_array_equal(rest.samples, before)


def test_each_core_is_fresh(make_pipeline, make_device, rest):
    pipeline, device = make_pipeline(), make_device()
    found = calibrate(pipeline, device, rest)
    first, again = (chances_per_minute(found, pipeline, device, rest, sd_limit=np.inf) for _ in range(2))
    assert first == again == found.rest_per_minute


def test_the_facts_are_in_degrees_and_null_where_there_is_none(make_pipeline, make_device, rest):
    limited = calibrate(wanting(make_pipeline, 10.0), make_device(), rest)
    facts = json.loads(json.dumps(limited.facts(), allow_nan=False))
    assert facts["sd_limit_deg"] == math.degrees(limited.sd_limit)
    assert facts["predicted_sd_deg"] == math.degrees(limited.predicted_sd)
    free = calibrate(make_pipeline({"gates.artifact_uv": 0.5}), make_device(), rest)
    facts = json.loads(json.dumps(free.facts(), allow_nan=False))
    assert facts["sd_limit_deg"] is None
    assert facts["predicted_sd_deg"] is None  # every chance was an artifact
    assert facts["rest_per_minute"] == 0.0


def test_a_rest_that_cannot_be_used_says_why(make_pipeline, make_device, make_rest):
    with pytest.raises(CalibrationError, match="too short for a spectrum"):
        calibrate(make_pipeline(), make_device(), make_rest(7.0))


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_a_rest_without_a_rhythm_is_told_and_the_rhythm_gate_stays_closed(make_pipeline, make_device, make_rest, seed):
    """The SD's gate stays closed too; with both open there would be chances, so that nothing else refuses them all."""
    rest = make_rest(alpha_uv=0.0, seed=seed)
    pipeline, device = make_pipeline({"gates.rhythm_snr_db": "auto"}), make_device()
    found = calibrate(pipeline, device, rest)
    assert found.design.verdict.startswith("no usable rhythm (")
    assert found.rest_per_minute == 0.0

    def decided(**limits):
        core, steps = found.core(pipeline, device, n_channels=len(rest.names))
        for name, value in limits.items():
            core.limits[name] = value
        return dry_run(core, steps, rest, delay_s=pipeline.source.delay_s)

    closed, sd_alone, opened = decided(), decided(rhythm_snr_db=-100.0), decided(rhythm_snr_db=-100.0, max_phase_sd=9.0)
    assert np.count_nonzero(closed["reason"] == Reason.NO_RHYTHM) > 20
    assert np.count_nonzero(sd_alone["reason"] == Reason.PHASE_SD) > 20
    assert {*closed["kind"], *sd_alone["kind"]} == {EventKind.REFUSED}
    assert np.count_nonzero(opened["kind"] != EventKind.REFUSED) > 10


def test_helpers_open_no_rhythm_gate_where_there_is_no_rhythm(make_pipeline, make_device, make_rest):
    rest = make_rest(alpha_uv=0.0)
    helped = {"gates.rhythm_snr_db": "auto", "signals.alpha.estimator": {"type": "wiener", "helpers": "all"}}
    assert calibrate(make_pipeline(helped), make_device(), rest).rest_per_minute == 0.0
