"""Spatial filters by channel name, whatever the recording's order."""

import numpy as np
import pytest

from closedloop.calibration.montage import find_montage
from closedloop.errors import ConfigError

# The recording's order is not the one in which the filters name their channels.
NAMES = ("Fz", "EMG", "C3", "F3", "F7")
ROLES = ("eeg", "emg", "eeg", "eeg", "eeg")

FILTERS = {
    "hjorth": (
        {"type": "hjorth", "center": "F3", "neighbours": ["F7", "C3", "Fz"]},
        {"F3": 1.0, "F7": -1 / 3, "C3": -1 / 3, "Fz": -1 / 3},
    ),
    "the average of all EEG": (
        {"type": "average", "channel": "F3"},
        {"F3": 3 / 4, "F7": -1 / 4, "C3": -1 / 4, "Fz": -1 / 4},
    ),
    "the average of some": (
        {"type": "average", "channel": "F3", "over": ["F7", "Fz"]},
        {"F3": 1.0, "F7": -1 / 2, "Fz": -1 / 2},
    ),
    "the average of some, itself among them": (
        {"type": "average", "channel": "F3", "over": ["F3", "Fz"]},
        {"F3": 1 / 2, "Fz": -1 / 2},
    ),
    "bipolar": ({"type": "bipolar", "plus": "F3", "minus": "C3"}, {"F3": 1.0, "C3": -1.0}),
    "single": ({"type": "single", "channel": "EMG"}, {"EMG": 1.0}),
    "weights": (
        {"type": "weights", "weights": {"F7": 0.25, "Fz": -2.0, "C3": 0.0}},
        {"F7": 0.25, "Fz": -2.0, "C3": 0.0},
    ),
}


@pytest.fixture
def recording(make_recording):
    samples = np.random.default_rng(1).normal(size=(20, len(NAMES)))
    return make_recording(samples, NAMES, roles=ROLES)


def filtered(make_pipeline, spatial, changes=()):
    return make_pipeline({"signals.alpha.spatial": spatial, **dict(changes)})


@pytest.mark.parametrize(("spatial", "expected"), FILTERS.values(), ids=FILTERS.keys())
def test_a_filter_weighs_channels_by_name(make_pipeline, recording, spatial, expected):
    montage = find_montage(filtered(make_pipeline, spatial), recording)
    assert dict(zip(montage.names, montage.weights[0], strict=True)) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(("spatial", "expected"), FILTERS.values(), ids=FILTERS.keys())
def test_a_filters_places_lead_to_its_channels(make_pipeline, recording, spatial, expected):
    montage = find_montage(filtered(make_pipeline, spatial), recording)
    by_name = sum(weight * recording.samples[:, NAMES.index(name)] for name, weight in expected.items())
    np.testing.assert_allclose(recording.samples[:, montage.places] @ montage.weights[0], by_name, atol=1e-12)


def test_only_channels_that_a_signal_reads_are_in_it_in_the_recordings_order(make_pipeline, recording):
    montage = find_montage(filtered(make_pipeline, {"type": "bipolar", "plus": "F3", "minus": "Fz"}), recording)
    assert montage.names == ("Fz", "F3")
    assert montage.roles == ("eeg", "eeg")
    assert montage.places.tolist() == [0, 3]


def test_each_signal_has_a_row_in_the_pipelines_order(make_pipeline, recording):
    pipeline = filtered(
        make_pipeline,
        {"type": "single", "channel": "F7"},
        {"signals.hand": {"spatial": {"type": "single", "channel": "EMG"}}},
    )
    montage = find_montage(pipeline, recording)
    assert montage.names == ("EMG", "F7")
    assert montage.roles == ("emg", "eeg")
    assert montage.weights.tolist() == [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ({"EMG": "eeg"}, {"F3", "F7", "C3", "Fz", "EMG"}),
        ({"F7": "misc", "Fz": "emg"}, {"F3", "C3"}),
    ],
)
def test_a_role_that_the_pipeline_gives_takes_the_recordings_place(make_pipeline, recording, roles, expected):
    pipeline = filtered(make_pipeline, {"type": "average", "channel": "F3"}, {"channels": roles})
    montage = find_montage(pipeline, recording)
    assert set(montage.names) == expected
    assert montage.weights[0][montage.names.index("C3")] == pytest.approx(-1 / len(expected))
    assert [montage.roles[montage.names.index(name)] for name in roles if name in montage.names] == [
        roles[name] for name in roles if name in montage.names
    ]


MISSING = {
    "hjorth's center": {"type": "hjorth", "center": "Cz", "neighbours": ["F7"]},
    "hjorth's neighbour": {"type": "hjorth", "center": "F7", "neighbours": ["C3", "Cz"]},
    "average": {"type": "average", "channel": "Cz"},
    "average's over": {"type": "average", "channel": "F3", "over": ["Cz"]},
    "bipolar": {"type": "bipolar", "plus": "F3", "minus": "Cz"},
    "single": {"type": "single", "channel": "Cz"},
    "weights": {"type": "weights", "weights": {"F3": 1.0, "Cz": 0.0}},
}


@pytest.mark.parametrize("spatial", MISSING.values(), ids=MISSING.keys())
def test_a_missing_channel_is_named_with_those_that_are_there(make_pipeline, recording, spatial):
    with pytest.raises(ConfigError) as caught:
        find_montage(filtered(make_pipeline, spatial), recording)
    assert str(caught.value) == ("signals.alpha.spatial: channel Cz is not in rest.edf, which has Fz, EMG, C3, F3, F7")


def test_a_channels_case_matters(make_pipeline, recording):
    with pytest.raises(ConfigError, match=r"channel f3 is not in rest\.edf"):
        find_montage(filtered(make_pipeline, {"type": "single", "channel": "f3"}), recording)


def test_a_role_of_a_channel_that_is_not_there_is_refused(make_pipeline, recording):
    with pytest.raises(ConfigError) as caught:
        find_montage(make_pipeline({"channels": {"Cz": "eeg"}}), recording)
    assert str(caught.value) == "channels: channel Cz is not in rest.edf, which has Fz, EMG, C3, F3, F7"


def test_an_average_of_no_eeg_channel_at_all_is_refused(make_pipeline, make_recording):
    recording = make_recording(np.ones((5, 2)), ("A", "B"), roles=("misc", "emg"))
    with pytest.raises(ConfigError) as caught:
        find_montage(filtered(make_pipeline, {"type": "average", "channel": "A"}), recording)
    assert str(caught.value) == (
        "signals.alpha.spatial: rest.edf has no EEG channel to average (at least 1), but A (misc), B (emg); "
        "name it under channels"
    )


HJORTH = {"type": "hjorth", "center": "F3", "neighbours": ["F7", "C3"]}


def helped(make_pipeline, helpers, spatial=HJORTH, changes=()):
    estimator = {"type": "wiener"} if helpers is None else {"type": "wiener", "helpers": helpers}
    return filtered(make_pipeline, spatial, {"signals.alpha.estimator": estimator, **dict(changes)})


def helpers_of(montage, signal=0):
    return [montage.names[place] for place in montage.helpers[signal]]


@pytest.mark.parametrize("helpers", [None, "none"])
def test_no_channel_helps_unless_asked_for(make_pipeline, recording, helpers):
    montage = find_montage(helped(make_pipeline, helpers), recording)
    assert helpers_of(montage) == []
    assert montage.names == ("C3", "F3", "F7")
    assert montage.inputs(0).tolist() == montage.weights.tolist()


def test_all_eeg_channels_may_help_also_those_of_the_filter_and_no_other_role(make_pipeline, recording):
    montage = find_montage(helped(make_pipeline, "all"), recording)
    assert helpers_of(montage) == ["Fz", "C3", "F3", "F7"]
    assert "EMG" not in montage.names


def test_named_channels_help_in_the_order_in_which_they_are_named_whatever_their_role(make_pipeline, recording):
    montage = find_montage(helped(make_pipeline, ["F7", "EMG", "Fz"]), recording)
    assert helpers_of(montage) == ["F7", "EMG", "Fz"]
    assert montage.names == NAMES
    assert montage.roles == ROLES


@pytest.mark.parametrize(
    "spatial",
    [{"type": "single", "channel": "F3"}, {"type": "weights", "weights": {"F3": -2.0}}],
    ids=["single", "weights"],
)
@pytest.mark.parametrize(("helpers", "left"), [("all", ["Fz", "C3", "F7"]), (["F3", "Fz"], ["Fz"]), (["F3"], [])])
def test_a_channel_that_is_the_signal_does_not_help_it(make_pipeline, recording, spatial, helpers, left):
    assert helpers_of(find_montage(helped(make_pipeline, helpers, spatial), recording)) == left


@pytest.mark.parametrize(
    ("roles", "left"),
    [({"EMG": "eeg"}, ["Fz", "EMG", "C3", "F3", "F7"]), ({"F7": "misc", "Fz": "emg"}, ["C3", "F3"])],
)
def test_who_helps_follows_the_roles_that_the_pipeline_gives(make_pipeline, recording, roles, left):
    assert helpers_of(find_montage(helped(make_pipeline, "all", changes={"channels": roles}), recording)) == left


def test_an_unknown_helper_is_named_with_the_channels_that_are_there(make_pipeline, recording, one_line_error):
    line = one_line_error(ConfigError, find_montage, helped(make_pipeline, ["F7", "Cz"]), recording)
    assert line == "signals.alpha.estimator.helpers: channel Cz is not in rest.edf, which has Fz, EMG, C3, F3, F7"


def test_the_inputs_are_the_signal_and_then_each_helper_as_it_was_recorded(make_pipeline, recording):
    montage = find_montage(helped(make_pipeline, ["F7", "EMG"]), recording)
    x = recording.samples
    _, emg, c3, f3, f7 = x.T
    np.testing.assert_allclose(
        x[:, montage.places] @ montage.inputs(0).T, np.column_stack([f3 - (f7 + c3) / 2, f7, emg]), atol=1e-12
    )


def test_each_signal_has_its_own_helpers(make_pipeline, recording):
    other = {"spatial": {"type": "single", "channel": "C3"}, "estimator": {"type": "wiener", "helpers": "all"}}
    without = {"spatial": {"type": "single", "channel": "F7"}, "estimator": {"type": "echt"}}
    pipeline = helped(make_pipeline, ["Fz"], changes={"signals.other": other, "signals.without": without})
    montage = find_montage(pipeline, recording)
    assert [helpers_of(montage, signal) for signal in range(3)] == [["Fz"], ["Fz", "F3", "F7"], []]
    assert [len(montage.inputs(signal)) for signal in range(3)] == [2, 4, 1]


def live(make_pipeline, **trigger):
    source = {"type": "lsl", "stream": {"type": "EEG"}, "trigger_channel": {"latency_s": 0.002, **trigger}}
    return make_pipeline({"source": source, "signals.alpha.spatial": {"type": "single", "channel": "F3"}})


def test_the_trigger_channel_is_found_among_all_channels_and_read_by_no_signal(make_pipeline, recording):
    montage = find_montage(live(make_pipeline, name="EMG"), recording)
    assert montage.trigger == NAMES.index("EMG")
    assert montage.names == ("F3",)


def test_without_a_trigger_channel_there_is_none(make_pipeline, recording):
    assert find_montage(make_pipeline({"source": {"type": "lsl", "stream": {"type": "EEG"}}}), recording).trigger == -1
    assert find_montage(make_pipeline(), recording).trigger == -1


def test_a_trigger_channel_that_is_not_there_is_named_with_those_that_are(make_pipeline, recording, one_line_error):
    line = one_line_error(ConfigError, find_montage, live(make_pipeline, name="TRIG"), recording)
    assert line == "source.trigger_channel: channel TRIG is not in rest.edf, which has Fz, EMG, C3, F3, F7"
