"""What a pipeline and a device allow, as the gate's limits: the stricter of the two, and nothing infinite."""

import numpy as np
import pytest

from closedloop.calibration.dose_limits import conditions, dose, leased
from closedloop.config.device import Stimulator
from closedloop.config.pipeline import Pipeline
from closedloop.core.command import MAX_LEASED
from closedloop.core.state import OPEN_LIMITS
from closedloop.errors import ConfigError

THRESHOLD = {"percent_of_maximum": 42.0, "method": "emg", "measured_on": "2026-02-03"}
TRAIN = {"type": "train", "trains": 10, "pulses_per_train": 40, "frequency_hz": 10.0, "min_interval_s": 26.0}
TEN_HZ = {"envelope": "left_10_hz_oreardon_2007", "max_pulses": 5000}
SAINT = {"envelope": "left_itbs_saint_cole_2022", "max_pulses": 5000}


def pipeline(*, live=False, limits=None, stimulator=None, protocol=None):
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
            "protocol": protocol or {"type": "single_pulse", "pulses": 10, "min_interval_s": 2.0},
            "stimulator": {
                "device": "rig",
                "intensity": {"percent_of_motor_threshold": 120.0},
                "motor_threshold": THRESHOLD,
                **(stimulator or {}),
            },
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
            "max_pulses_per_session": 10_000,
            "max_percent_of_maximum": 80.0,
            **(limits or {}),
        },
    }
    return Stimulator.model_validate({**content, **changes})


def dose_limits(pipeline, device, train_hz=0.0):
    return dose(pipeline, device, train_hz)[0]


def exposure(pipeline, device, train_hz=0.0):
    return dose(pipeline, device, train_hz)[1]


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


def test_the_spread_of_the_devices_own_command_widens_every_interval():
    own = {"min_interval_s": 1.0, "min_train_gap_s": 8.0}
    theirs = {"min_interval_s": 0.5, "recharge_s": 0.7}
    exact = dose_limits(pipeline(limits=own), device(limits=theirs))
    command = {"kind": "command", "spread_s": 0.01}
    spread = dose_limits(pipeline(limits=own), device(limits=theirs, line=command))
    wider = {name for name in exact if spread[name] != exact[name]}
    assert wider == {"min_interval_s", "min_train_gap_s", "recharge_s"}
    assert all(spread[name] == pytest.approx(exact[name] + 0.01) for name in wider)


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
        ("rossi", "limits.train_table = rossi: there is no such file (there: inter_train_interval_chen_1997, "),
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


UNKNOWN = {"motor_threshold": None}


def test_without_a_threshold_an_intensity_is_not_known_but_for_the_simulated_head():
    asked = pipeline(stimulator=UNKNOWN)
    assert conditions(asked, device(threshold_percent=50.0))["percent"].tolist() == [60.0, 60.0]
    with pytest.raises(ConfigError, match=r"the subject's threshold is not known: give stimulator\.motor_threshold"):
        conditions(asked, device())


def test_an_intensity_of_the_device_alone_allows_no_trains():
    found = conditions(pipeline(stimulator={"intensity": {"percent_of_maximum": 55.0}, **UNKNOWN}), device())
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


def test_a_table_that_counts_pulses_has_them_counted():
    found = exposure(pipeline(limits={"train_table": "train_duration_chen_1997"}), device())
    assert found.most_pulses[2].tolist() == [50, 50, 32, 22]
    assert exposure(pipeline(), device()).most_pulses.min() > 10**9  # Rossi 2009 counts none
    assert found.run["pause_s"][0] == 1.0


@pytest.mark.parametrize("table", ["train_duration_rossi_2009", "train_duration_chen_1997"])
def test_trains_that_follow_each_other_wait_as_long_as_a_table_says(table):
    asked = {
        "limits": {"train_table": table, "max_pulses": 5000},
        "stimulator": {"intensity": {"percent_of_maximum": 42.0}},
    }
    assert dose_limits(pipeline(protocol=TRAIN, **asked), device(), 10.0)["min_train_gap_s"] == 5.0
    assert dose_limits(pipeline(protocol={**TRAIN, "trains": 1}, **asked), device(), 10.0)["min_train_gap_s"] == 0.0
    assert dose_limits(pipeline(**asked), device())["min_train_gap_s"] == 0.0


def test_where_no_table_says_how_soon_a_train_may_follow_none_does():
    with pytest.raises(ConfigError, match="no wait between trains is called safe in the column 120 %"):
        dose(pipeline(protocol=TRAIN, limits={"max_pulses": 5000}), device(), 10.0)
    unknown = {"intensity": {"percent_of_maximum": 42.0}, **UNKNOWN}
    with pytest.raises(ConfigError, match="without the subject's motor threshold no train is allowed"):
        dose(pipeline(protocol=TRAIN, limits={"max_pulses": 5000}, stimulator=unknown), device(), 10.0)


def test_an_envelope_takes_the_place_of_the_table_and_limits_all_else_as_well():
    limits, held = dose(pipeline(limits=TEN_HZ), device(), 0.0)
    assert (limits["max_pulses"], limits["max_train_pulses"], limits["max_pulses_day"]) == (3000, 40, 3000)
    assert limits["min_train_gap_s"] == 26.0
    assert limits["max_percent"] == 50.4  # 120 % of 42 %
    assert limits["min_session_gap_s"] == 0.0
    # Slower than 10 Hz by more than a late pulse makes it: another protocol, of which no train is allowed.
    np.testing.assert_allclose(held.frequencies_hz, [1.0 / 0.101, 10.0])
    np.testing.assert_allclose(held.longest_s[:, 0], [-1.0, 40 * 0.101])
    assert held.most_pulses[:, 0].tolist() == [0, 40]
    assert held.percents.tolist() == [120.0]
    assert 25.99 < held.run["pause_s"][0] < 26.0


def test_of_device_pipeline_and_envelope_the_strictest_holds():
    stricter = {"max_pulses": 2000, "max_pulses_per_day": 2500, "max_pulses_per_train": 20, "min_train_gap_s": 30.0}
    weaker = {"intensity": {"percent_of_maximum": 40.0}}
    limits = dose_limits(
        pipeline(limits={**TEN_HZ, **stricter, "max_percent_of_maximum": 45.0}, stimulator=weaker), device()
    )
    assert (limits["max_pulses"], limits["max_train_pulses"], limits["max_pulses_day"]) == (2000, 20, 2500)
    assert (limits["min_train_gap_s"], limits["max_percent"]) == (30.0, 45.0)
    limits = dose_limits(pipeline(limits=TEN_HZ), device(limits={"max_pulses_per_day": 900, "min_train_gap_s": 27.0}))
    assert (limits["max_pulses_day"], limits["min_train_gap_s"]) == (900, 27.0)


def test_a_threshold_that_was_seen_lowers_the_envelopes_ceiling():
    seen = {"motor_threshold": {**THRESHOLD, "method": "visual"}, "intensity": {"percent_of_maximum": 40.0}}
    limits = dose_limits(pipeline(limits=TEN_HZ, stimulator=seen), device())
    assert limits["max_percent"] == pytest.approx(0.42 * 120.0 / 1.113)


def test_an_envelope_needs_a_threshold():
    with pytest.raises(ConfigError, match="the subject's motor threshold is not known"):
        dose(pipeline(limits=TEN_HZ, stimulator={"intensity": {"percent_of_maximum": 40.0}, **UNKNOWN}), device(), 0.0)


def test_sessions_of_an_accelerated_course_keep_their_distance():
    weaker = {"intensity": {"percent_of_motor_threshold": 90.0}}
    assert dose_limits(pipeline(limits=SAINT, stimulator=weaker), device())["min_session_gap_s"] == 3000.0


def test_where_a_session_is_one_train_none_follows():
    limits, held = dose(pipeline(limits={"envelope": "right_1_hz", "max_pulses": 2000}), device(), 0.0)
    assert limits["min_train_gap_s"] == 1e9
    assert held.run["pause_s"][0] > 9e8
    assert held.longest_s[1, 0] == pytest.approx(1800 * 1.001)


def test_only_where_somebody_may_be_stimulated_an_envelope_has_to_be_signed():
    for asked, rig in (
        (pipeline(limits=TEN_HZ), device(driver="magpro")),
        (pipeline(live=True, limits=TEN_HZ), device()),
    ):
        assert dose_limits(asked, rig)["max_train_pulses"] == 40
    with pytest.raises(ConfigError, match="signed_by is null: nobody is stimulated by it"):
        dose(pipeline(live=True, limits=TEN_HZ), device(driver="magpro"), 0.0)


@pytest.mark.parametrize("name", ["left_10_hz", "train_duration_rossi_2009"])
def test_an_envelope_that_is_none_is_refused(name):
    with pytest.raises(
        ConfigError, match=rf"limits.envelope = {name}: there is no such file \(there: left_10_hz_dash, "
    ):
        dose(pipeline(limits={"envelope": name}), device(), 0.0)
