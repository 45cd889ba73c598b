"""Envelopes: what was signed serves, to the last number, and nothing else does."""

import dataclasses
import datetime
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.errors import ConfigError
from closedloop.protocols.envelope import Asked, check_envelope, check_signed
from closedloop.protocols.envelope_file import load_envelope

FOLDER = Path(__file__).parents[2] / "limits" / "envelopes"
PATHS = sorted(FOLDER.glob("*.yaml"))
NO_NUMBERS = [math.nan, math.inf, -math.inf, 0.0, -1.0]
NO_COUNTS = [0, -1, True, 40.0, math.nan, math.inf]


def shipped(name):
    return load_envelope(FOLDER / f"{name}.yaml")


def signed(envelope):
    signature = {"signed_by": "A. Physician", "signed_on": datetime.date(2026, 2, 3)}
    return envelope.model_copy(update=signature)


def largest(envelope, place=-1):
    """Return the largest session inside an envelope, at one of its frequencies."""
    trains = envelope.trains[place]
    wait = trains.min_inter_train_interval_s
    return Asked(
        percent_of_motor_threshold=envelope.max_percent_of_motor_threshold.value,
        frequency_hz=trains.max_frequency_hz.value,
        pulses_per_train=trains.max_pulses_per_train.value,
        inter_train_interval_s=None if wait is None else wait.value,
        pulses_per_session=envelope.max_pulses_per_session.value,
    )


each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
PLAIN = [path for path in PATHS if "itbs" not in path.stem]
each_plain = pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
TEN_HZ = signed(shipped("left_10_hz_oreardon_2007"))
ASKED = largest(TEN_HZ)


def change(**changed):
    return dataclasses.replace(ASKED, **changed)


def test_the_named_protocols_are_there():
    assert {path.stem for path in PATHS} == {
        "left_10_hz_dash",
        "left_10_hz_oreardon_2007",
        "left_18_hz_deep_levkovitz_2015",
        "left_individual_alpha_george_2023",
        "left_itbs_blumberger_2018",
        "left_itbs_saint_cole_2022",
        "right_1_hz",
    }


@each
def test_no_envelope_comes_signed_and_nobody_is_stimulated_by_an_unsigned_one(path, refusal):
    envelope = load_envelope(path)
    assert envelope.signed_by is None
    assert envelope.signed_on is None
    assert envelope.standing == "unsigned"
    assert refusal(check_signed, envelope) == (
        f"the envelope {envelope.name}: signed_by is null: nobody is stimulated by it until a person has compared "
        "every number with its source and signed a copy of the file"
    )


@each_plain
def test_an_envelope_allows_its_own_protocol_at_each_of_its_frequencies(path):
    envelope = load_envelope(path)
    for place in range(len(envelope.trains)):
        check_envelope(envelope, largest(envelope, place))


@each
def test_a_file_that_a_person_signs_serves(path, tmp_path):
    text = path.read_text(encoding="utf-8")
    text = text.replace("signed_by: null", "signed_by: A. Physician").replace(
        "signed_on: null", "signed_on: 2026-02-03"
    )
    copy = tmp_path / path.name
    copy.write_text(text, encoding="utf-8")
    envelope = load_envelope(copy)
    assert envelope == signed(load_envelope(path))
    assert envelope.standing == "signed by A. Physician on 2026-02-03"
    check_signed(envelope)


@pytest.mark.parametrize(
    ("name", "trains", "pulses"),
    [
        ("left_10_hz_oreardon_2007", 75, 3000),
        ("left_10_hz_dash", 75, 3000),
        ("left_18_hz_deep_levkovitz_2015", 55, 1980),
        ("left_itbs_blumberger_2018", 20, 600),
        ("left_itbs_saint_cole_2022", 60, 1800),
        ("left_individual_alpha_george_2023", 75, 3000),
        ("right_1_hz", 1, 1800),
    ],
)
def test_the_pulses_of_a_session_are_those_of_its_trains(name, trains, pulses):
    envelope = shipped(name)
    assert envelope.max_pulses_per_session.value == pulses == trains * envelope.trains[0].max_pulses_per_train.value


@pytest.mark.parametrize("name", ["left_itbs_blumberger_2018", "left_itbs_saint_cole_2022"])
def test_theta_bursts_never_let_a_plain_train_through(name, refusal):
    envelope = signed(shipped(name))
    message = refusal(check_envelope, envelope, largest(envelope))
    assert message.startswith("burst.pulses = 1: must be 3 (recalled), and trains have no bursts, in the envelope iTBS")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"percent_of_motor_threshold": 120.5}, "percent_of_motor_threshold = 120.5: is above 120 (seen)"),
        ({"frequency_hz": 10.5}, "frequency_hz = 10.5: is above 10 (seen)"),
        ({"frequency_hz": 9.5}, "frequency_hz = 9.5: is below 10 (seen)"),
        ({"pulses_per_train": 41}, "pulses_per_train = 41: is above 40 (seen)"),
        ({"inter_train_interval_s": 25.9}, "inter_train_interval_s = 25.9: is below 26 (seen)"),
        ({"pulses_per_session": 3001}, "pulses_per_session = 3001: is above 3000 (seen)"),
    ],
)
def test_a_value_outside_is_told_with_the_limit_its_origin_the_envelope_and_who_signed(changed, told, refusal):
    message = refusal(check_envelope, TEN_HZ, change(**changed))
    assert message == f"{told}, in the envelope 10 Hz left, O'Reardon 2007 (signed by A. Physician on 2026-02-03)"


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize("what", ["percent_of_motor_threshold", "frequency_hz", "inter_train_interval_s"])
def test_what_is_no_positive_number_is_refused(what, value, refusal):
    message = refusal(check_envelope, TEN_HZ, change(**{what: value}))
    assert message == f"{what} = {value:g}: must be above 0 and finite"


@pytest.mark.parametrize("value", NO_COUNTS)
@pytest.mark.parametrize("what", ["pulses_per_train", "pulses_per_session"])
def test_what_is_no_count_is_refused(what, value, refusal):
    message = refusal(check_envelope, TEN_HZ, change(**{what: value}))
    assert message == f"{what} = {value}: must be a whole number of at least 1"


def test_several_trains_without_a_wait_are_refused(refusal):
    message = refusal(check_envelope, TEN_HZ, change(inter_train_interval_s=None))
    assert message.endswith("inter_train_interval_s is missing")


def test_a_session_holds_its_longest_train(refusal):
    message = refusal(check_envelope, TEN_HZ, change(pulses_per_session=39, inter_train_interval_s=None))
    assert message == "pulses_per_session = 39: is below pulses_per_train = 40"


def test_where_a_session_is_one_train_no_train_follows(refusal):
    envelope = signed(shipped("right_1_hz"))
    asked = dataclasses.replace(largest(envelope), pulses_per_train=900, inter_train_interval_s=3600.0)
    message = refusal(check_envelope, envelope, asked)
    assert message.startswith("inter_train_interval_s = 3600: a session is a single train, none may follow")


def test_a_frequency_between_two_rows_counts_as_the_higher_one(refusal):
    envelope = signed(shipped("left_individual_alpha_george_2023"))
    rows = list(envelope.trains)
    fewer = rows[4].max_pulses_per_train.model_copy(update={"value": 30})
    rows[4:] = [row.model_copy(update={"max_pulses_per_train": fewer}) for row in rows[4:]]
    envelope = envelope.model_copy(update={"trains": tuple(rows)})
    asked = dataclasses.replace(largest(envelope, 3), frequency_hz=9.0)
    check_envelope(envelope, asked)
    message = refusal(check_envelope, envelope, dataclasses.replace(asked, frequency_hz=9.01))
    assert message.startswith("pulses_per_train = 40: is above 30")


@pytest.mark.parametrize("frequency_hz", [5.9, 13.1])
def test_a_rhythm_outside_the_papers_range_is_refused(frequency_hz, refusal):
    envelope = signed(shipped("left_individual_alpha_george_2023"))
    asked = dataclasses.replace(largest(envelope), frequency_hz=frequency_hz)
    assert f"frequency_hz = {frequency_hz}" in refusal(check_envelope, envelope, asked)


def test_numbers_from_memory_are_named():
    assert "trains.0.min_inter_train_interval_s" in shipped("left_18_hz_deep_levkovitz_2015").recalled
    assert "burst.pulses" in shipped("left_itbs_saint_cole_2022").recalled
    assert "max_pulses_per_session" not in shipped("left_itbs_saint_cole_2022").recalled


@given(
    path=st.sampled_from(PLAIN),
    place=st.integers(0, 7),
    percent=st.floats(allow_nan=True),
    frequency_hz=st.floats(allow_nan=True),
    pulses=st.tuples(st.integers(-2, 3000), st.integers(-2, 4000)),
    wait_s=st.none() | st.floats(allow_nan=True),
    wild=st.sets(st.sampled_from(["percent", "frequency", "pulses", "wait"])),
)
def test_whatever_passes_is_inside_every_limit(path, place, percent, frequency_hz, pulses, wait_s, wild):
    envelope = signed(load_envelope(path))
    base = largest(envelope, place % len(envelope.trains))
    asked = dataclasses.replace(
        base,
        percent_of_motor_threshold=percent if "percent" in wild else base.percent_of_motor_threshold,
        frequency_hz=frequency_hz if "frequency" in wild else base.frequency_hz,
        pulses_per_train=pulses[0] if "pulses" in wild else base.pulses_per_train,
        pulses_per_session=pulses[1] if "pulses" in wild else base.pulses_per_session,
        inter_train_interval_s=wait_s if "wait" in wild else base.inter_train_interval_s,
    )
    try:
        check_envelope(envelope, asked)
    except ConfigError:
        return
    assert 0.0 < asked.percent_of_motor_threshold <= envelope.max_percent_of_motor_threshold.value
    assert envelope.min_frequency_hz.value <= asked.frequency_hz <= envelope.trains[-1].max_frequency_hz.value
    assert 1 <= asked.pulses_per_train <= envelope.trains[0].max_pulses_per_train.value
    assert asked.pulses_per_train <= asked.pulses_per_session <= envelope.max_pulses_per_session.value
    shortest = envelope.trains[0].min_inter_train_interval_s
    if asked.pulses_per_session > asked.pulses_per_train:
        assert shortest.value <= asked.inter_train_interval_s < math.inf
    assert envelope.burst is None


SIX_HZ = "  - max_frequency_hz: {value: 6, origin: decided}\n    max_pulses_per_train: {value: 40, origin: seen}"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("signed_by: null", "signed_by: A. Physician", "give both signed_by and signed_on, or neither"),
        ("signed_by: null", 'signed_by: ""', "signed_by"),
        ("signed_on: null\n", "", "signed_on: this key is missing"),
        ("signed_on: null", "signed_on: null\nmax_trains: 80", "max_trains: unknown key"),
        ("min_frequency_hz: {value: 6,", "min_frequency_hz: {value: 6.5,", "is above the lowest max_frequency_hz"),
        ("max_frequency_hz: {value: 7,", "max_frequency_hz: {value: 6,", "must be above the row before"),
        (SIX_HZ, SIX_HZ.replace("40", "39"), "trains.1.max_pulses_per_train.value = 40: must not be above"),
        ("max_pulses_per_session: {value: 3000,", "max_pulses_per_session: {value: 39,", "must lie between"),
        ("max_pulses_per_session: {value: 3000,", "max_pulses_per_session: {value: 3001,", "must lie between"),
        ("max_pulses_per_session: {value: 3000,", "max_pulses_per_session: {value: .inf,", "max_pulses_per_session"),
        ("max_percent_of_motor_threshold: {value: 120,", "max_percent_of_motor_threshold: {value: .nan,", "value"),
        ("min_frequency_hz: {value: 6, origin: seen}", "min_frequency_hz: {value: 6, origin: sure}", "origin"),
    ],
)
def test_an_envelope_that_cannot_be_right_is_refused_at_its_place(old, new, told, tmp_path, refusal):
    text = (FOLDER / "left_individual_alpha_george_2023.yaml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = tmp_path / "envelope.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    message = refusal(load_envelope, path)
    assert message.startswith(f"{path}:")
    assert told in message


def test_a_shorter_wait_at_a_higher_frequency_is_refused(tmp_path, refusal):
    text = (FOLDER / "left_individual_alpha_george_2023.yaml").read_text(encoding="utf-8")
    head, _, tail = text.rpartition("{value: 26,")
    path = tmp_path / "envelope.yaml"
    path.write_text(f"{head}{{value: 25,{tail}", encoding="utf-8")
    assert "trains.7.min_inter_train_interval_s: must not be below the row before" in refusal(load_envelope, path)
