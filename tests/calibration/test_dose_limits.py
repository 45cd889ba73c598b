"""What a pipeline and a device allow, as the gate's limits: the stricter of the two, and nothing infinite."""

import numpy as np
import pytest

from closedloop.calibration.dose_limits import conditions, dose_limits, exposure, leased
from closedloop.config.device import Stimulator
from closedloop.config.pipeline import Pipeline
from closedloop.core.command import MAX_LEASED
from closedloop.core.state import OPEN_LIMITS
from closedloop.errors import ConfigError

THRESHOLD = {"percent_of_maximum": 42.0, "method": "emg", "measured_on": "2026-02-03"}


def pipeline(*, live=False, limits=None, stimulator=None):
    source = {"type": "lsl", "stream": {"type": "EEG"}} if live else {"type": "playback", "recording": "a.edf"}
    return Pipeline.model_validate(
        {
            "name": "Test",
            "source": source,
            "signals": {
                "alpha": {"spatial": {"type": "single", "channel": "O1"}, "estimator": {"type": "wiener"}},
            },
            "target": {
                "signal": "alpha",
                "conditions": [{"name": "trough", "phase_deg": 180.0}, {"name": "any", "phase_deg": "random"}],
            },
            "protocol": {"type": "single_pulse", "pulses": 10, "min_interval_s": 2.0},
            "stimulator": {"device": "rig", "intensity": {"percent_of_motor_threshold": 120.0}, **(stimulator or {})},
            "limits": {"max_pulses": 10, **(limits or {})},
        }
    )


def device(*, driver="simulated", limits=None, **changes):
    content = {
        "kind": "stimulator",
        "name": "Rig",
        "driver": driver,
        "latency": {"latency_s": 0.01, "origin": "set by a test"},
        "limits": {
            "min_interval_s": 0.5,
            "max_pulses_per_session": 100,
            "max_percent_of_maximum": 80.0,
            **(limits or {}),
        },
    }
    return Stimulator.model_validate({**content, **changes})


BOTH = [
    ("max_percent_of_maximum", "max_percent_of_maximum", "max_percent", 60.0, 70.0, 60.0),
    ("max_pulses_per_train", "max_pulses_per_train", "max_train_pulses", 30, 40, 30),
    ("min_train_gap_s", "min_train_gap_s", "min_train_gap_s", 8.0, 26.0, 26.0),
    ("max_pulses_per_day", "max_pulses_per_day", "max_pulses_day", 3000, 6000, 3000),
    ("min_interval_s", "min_interval_s", "min_interval_s", 1.0, 1.5, 1.5),
]


@pytest.mark.parametrize(("own", "theirs", "field", "low", "high", "stricter"), BOTH)
def test_of_two_limits_the_stricter_holds(own, theirs, field, low, high, stricter):
    for mine, its in ((low, high), (high, low)):
        found = dose_limits(pipeline(limits={own: mine}), device(limits={theirs: its}))
        assert found[field] == stricter


@pytest.mark.parametrize(("own", "theirs", "field", "low", "high", "_"), BOTH)
def test_where_the_pipeline_says_nothing_the_device_does(own, theirs, field, low, high, _):
    for its in (low, high):
        assert dose_limits(pipeline(), device(limits={theirs: its}))[field] == its


def test_no_limit_is_infinite_or_missing():
    found = dose_limits(pipeline(), device())
    assert set(found) == {"max_pulses", "min_interval_s", *OPEN_LIMITS}
    assert all(np.isfinite(value) for value in found.values())


def test_only_live_the_stimulator_has_to_say_how_it_is():
    limits = {"max_status_age_s": 1.5, "max_coil_c": 40.0}
    assert dose_limits(pipeline(live=True), device(limits=limits))["max_status_age_s"] == 1.5
    assert dose_limits(pipeline(), device(limits=limits))["max_status_age_s"] == OPEN_LIMITS["max_status_age_s"]
    assert dose_limits(pipeline(), device(limits=limits))["max_coil_c"] == 40.0


def test_windows_of_both_hold():
    caps = exposure(
        pipeline(limits={"rate_caps": [{"window_s": 60.0, "max_pulses": 100}]}),
        device(limits={"rate_caps": [{"window_s": 1.0, "max_pulses": 20}]}),
    ).caps
    assert caps.tolist() == [(1.0, 20), (60.0, 100)]


def test_the_table_is_the_published_one():
    found = exposure(pipeline(), device())
    assert found.frequencies_hz.tolist() == [1.0, 5.0, 10.0, 20.0, 25.0]
    assert found.percents.tolist() == [90.0, 100.0, 110.0, 120.0, 130.0]
    assert found.longest_s[2].tolist() == [5.0, 5.0, 5.0, 4.2, 2.9]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rossi", "limits.train_table = rossi: there is no such table (there: train_duration_chen_1997, "),
        ("inter_train_interval_chen_1997", "limits.train_table = inter_train_interval_chen_1997: .* holds no train"),
    ],
)
def test_a_table_that_is_none_is_refused(name, said):
    with pytest.raises(ConfigError) as caught:
        exposure(pipeline(limits={"train_table": name}), device())
    assert said.split(" .* ")[0] in str(caught.value)


def test_an_intensity_is_a_share_of_the_subjects_threshold_and_never_above_what_was_asked():
    found = conditions(pipeline(stimulator={"motor_threshold": THRESHOLD}), device())
    assert found["percent"].tolist() == [50.0, 50.0]  # 50.4 %, of which a device takes 50
    assert found["percent_of_threshold"].tolist() == [120.0, 120.0]
    assert found["target"][0] == pytest.approx(np.pi)
    assert np.isnan(found["target"][1])


def test_a_threshold_that_was_seen_counts_for_less_than_it_says():
    seen = {**THRESHOLD, "method": "visual"}
    found = conditions(pipeline(stimulator={"motor_threshold": seen}), device())
    assert found["percent_of_threshold"][0] == pytest.approx(133.56)


def test_without_a_threshold_an_intensity_is_not_known_but_for_the_simulated_head():
    assert conditions(pipeline(), device(threshold_percent=50.0))["percent"].tolist() == [60.0, 60.0]
    with pytest.raises(ConfigError, match=r"the subject's threshold is not known: give stimulator\.motor_threshold"):
        conditions(pipeline(), device())


def test_an_intensity_of_the_device_alone_allows_no_trains():
    found = conditions(pipeline(stimulator={"intensity": {"percent_of_maximum": 55.0}}), device())
    assert found["percent"].tolist() == [55.0, 55.0]
    assert np.isnan(found["percent_of_threshold"]).all()


@pytest.mark.parametrize(("limits", "whose"), [({"max_percent_of_maximum": 45.0}, "pipeline"), (None, "device")])
def test_above_a_ceiling_it_is_refused_with_whose_it_is(limits, whose):
    threshold = THRESHOLD if limits else {**THRESHOLD, "percent_of_maximum": 90.0}
    with pytest.raises(ConfigError, match=rf"is above the {whose}'s max_percent_of_maximum"):
        conditions(pipeline(limits=limits, stimulator={"motor_threshold": threshold}), device())


def test_pulses_are_given_on_a_dose_record_only_where_somebody_may_be_stimulated():
    assert leased(pipeline(live=True), device()) == int(MAX_LEASED)
    assert leased(pipeline(), device(driver="magpro")) == int(MAX_LEASED)
    assert leased(pipeline(live=True), device(driver="magpro")) == 0
