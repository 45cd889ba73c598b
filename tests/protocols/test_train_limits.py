"""Tables of safe trains: as published, rounded to the safe side, and refusing what they do not show."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.errors import ConfigError
from closedloop.protocols.train_limits import cell_of, check_train, shortest_wait_s
from closedloop.protocols.train_tables import FROM_MEMORY, load_train_table

LIMITS = Path(__file__).parents[2] / "limits"
ROSSI = load_train_table(LIMITS / "train_duration_rossi_2009.yaml")
CHEN = load_train_table(LIMITS / "train_duration_chen_1997.yaml")
WAITS = load_train_table(LIMITS / "inter_train_interval_chen_1997.yaml")
TABLES = [ROSSI, CHEN, WAITS]
DURATIONS = [ROSSI, CHEN]

NO_NUMBERS = [math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0]
by_name = pytest.mark.parametrize("table", DURATIONS, ids=lambda table: table.name)
tables = st.sampled_from(DURATIONS)
frequencies = st.floats(0.01, 25.0)
percents = st.floats(1.0, 130.0)


def longest_train_s(table, **asked):
    return cell_of(table, **asked).longest_s


def train(**changed):
    return {
        "frequency_hz": 10.0,
        "pulses": 40,
        "percent_of_motor_threshold": 110.0,
        "inter_train_interval_s": 26.0,
        **changed,
    }


def grid(table):
    return [
        (row.frequency_hz, percent, entry)
        for row in table.rows
        for percent, entry in zip(table.percent_of_motor_threshold, row.longest_s, strict=True)
    ]


@by_name
def test_every_cell_is_found_at_its_own_frequency_and_intensity(table):
    for frequency_hz, percent, entry in grid(table):
        cell = cell_of(table, frequency_hz=frequency_hz, percent_of_motor_threshold=percent)
        assert cell.longest_s == float(str(entry).removeprefix(">"))
        assert cell.longest_tested == str(entry).startswith(">")


def test_the_pulses_of_chens_table_are_what_fits_into_its_durations():
    for row in CHEN.rows:
        for duration, pulses in zip(row.longest_s, row.most_pulses, strict=True):
            longest_s, most = (float(str(entry).removeprefix(">")) for entry in (duration, pulses))
            assert most == math.floor(longest_s * row.frequency_hz + 1e-9)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_that_nobody_compared_with_its_publication_says_so(table):
    assert table.status == "transcribed from memory of the publication, verify before clinical use"
    assert table.verified_by is None
    assert table.standing == FROM_MEMORY == table.status
    assert table.source.doi is not None


@pytest.mark.parametrize(
    ("frequency_hz", "percent", "longest_s"),
    [
        (10.0, 120.0, 4.2),
        (9.0, 120.0, 4.2),
        (5.0, 120.0, 10.0),
        (math.nextafter(5.0, 6.0), 120.0, 4.2),
        (10.1, 120.0, 1.0),
        (10.0, 111.0, 4.2),
        (10.0, math.nextafter(110.0, 111.0), 4.2),
        (13.0, 120.0, 1.0),
        (0.3, 20.0, 1800.0),
        (25.0, 130.0, 0.24),
    ],
)
def test_frequency_and_intensity_count_as_the_next_higher_entry(frequency_hz, percent, longest_s):
    assert longest_train_s(ROSSI, frequency_hz=frequency_hz, percent_of_motor_threshold=percent) == longest_s


@given(table=tables, frequency_hz=frequencies, percent=percents)
def test_a_duration_is_always_an_entry_of_the_table_and_never_between_two(table, frequency_hz, percent):
    found = longest_train_s(table, frequency_hz=frequency_hz, percent_of_motor_threshold=percent)
    assert found in {float(str(entry).removeprefix(">")) for _, _, entry in grid(table)}


@given(table=tables, frequency_hz=frequencies, percent=percents)
def test_a_duration_is_never_above_that_of_any_cell_that_is_slower_and_weaker(table, frequency_hz, percent):
    found = longest_train_s(table, frequency_hz=frequency_hz, percent_of_motor_threshold=percent)
    lowest_hz, lowest_percent = table.rows[0].frequency_hz, table.percent_of_motor_threshold[0]
    slower = [
        float(str(entry).removeprefix(">"))
        for hz, column, entry in grid(table)
        if hz <= max(frequency_hz, lowest_hz) and column <= max(percent, lowest_percent)
    ]
    assert found <= min(slower)


@given(table=tables, both_hz=st.tuples(frequencies, frequencies), both=st.tuples(percents, percents))
def test_a_higher_frequency_or_intensity_never_lengthens_the_allowed_train(table, both_hz, both):
    (slow_hz, fast_hz), (weak, strong) = sorted(both_hz), sorted(both)
    gentle = longest_train_s(table, frequency_hz=slow_hz, percent_of_motor_threshold=weak)
    assert longest_train_s(table, frequency_hz=fast_hz, percent_of_motor_threshold=strong) <= gentle


@given(both=st.tuples(st.floats(1.0, 110.0), st.floats(1.0, 110.0)))
def test_a_higher_intensity_never_shortens_the_wait_that_is_needed(both):
    weak, strong = sorted(both)
    gentle = shortest_wait_s(WAITS, frequency_hz=10.0, percent_of_motor_threshold=weak)
    assert shortest_wait_s(WAITS, frequency_hz=10.0, percent_of_motor_threshold=strong) >= gentle


@given(
    table=tables,
    frequency_hz=st.floats(25.0, exclude_min=True, allow_nan=False),
    percent=st.floats(130.0, exclude_min=True, allow_nan=False),
    inside=st.tuples(frequencies, percents),
)
def test_nothing_outside_a_table_passes(table, frequency_hz, percent, inside):
    inside_hz, inside_percent = inside
    with pytest.raises(ConfigError):
        longest_train_s(table, frequency_hz=frequency_hz, percent_of_motor_threshold=inside_percent)
    with pytest.raises(ConfigError):
        longest_train_s(table, frequency_hz=inside_hz, percent_of_motor_threshold=percent)


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize("what", ["frequency_hz", "percent_of_motor_threshold"])
@by_name
def test_what_is_no_positive_number_has_no_duration_and_no_wait(table, what, value, refusal):
    asked = {"frequency_hz": 10.0, "percent_of_motor_threshold": 100.0, what: value}
    message = f"{what} = {value:g}: must be above 0 and finite"
    assert refusal(longest_train_s, table, **asked) == message
    assert refusal(shortest_wait_s, WAITS, **asked) == message


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize("what", ["frequency_hz", "percent_of_motor_threshold", "inter_train_interval_s"])
def test_a_train_with_what_is_no_positive_number_is_refused(what, value, refusal):
    assert what in refusal(check_train, TABLES, **train(**{what: value}))


@pytest.mark.parametrize("pulses", [0, -1, True, 2.0, math.nan, math.inf])
def test_a_train_of_what_is_no_count_is_refused(pulses, refusal):
    message = f"pulses = {pulses}: must be a whole number of at least 1"
    assert refusal(check_train, TABLES, **train(pulses=pulses)) == message


def test_an_intensity_outside_the_table_is_told_with_the_highest_inside(refusal):
    message = refusal(longest_train_s, ROSSI, frequency_hz=10.0, percent_of_motor_threshold=133.56)
    assert message == f"percent_of_motor_threshold = 133.56: is above 130, the highest in {ROSSI.name} ({FROM_MEMORY})"


def test_the_duration_of_a_train_is_its_pulses_over_its_frequency():
    durations = {"frequency_hz": 10.0, "percent_of_motor_threshold": 120.0, "inter_train_interval_s": None}
    check_train([ROSSI], pulses=42, **durations)
    with pytest.raises(ConfigError, match=r"^train duration = 4\.3 s "):
        check_train([ROSSI], pulses=43, **durations)


def test_a_duration_has_no_allowance_above_its_limit():
    asked = {"pulses": 42, "percent_of_motor_threshold": 120.0, "inter_train_interval_s": None}
    check_train([ROSSI], frequency_hz=10.0, **asked)
    with pytest.raises(ConfigError, match=r"is above 4\.2 s"):
        check_train([ROSSI], frequency_hz=10.0 - 1e-12, **asked)


def test_a_train_that_is_too_long_is_told_with_value_limit_cell_table_and_how_far_it_is_trusted(refusal):
    asked = train(frequency_hz=9.0, percent_of_motor_threshold=115.0, inter_train_interval_s=None)
    assert refusal(check_train, [ROSSI], **asked) == (
        "train duration = 4.44444 s (40 pulses at 9 Hz, 115 % of motor threshold): is above 4.2 s, the longest at 10 "
        "Hz and 120 % in Rossi 2009, Table 4 (transcribed from memory of the publication, verify before clinical use)"
    )


def test_a_train_beyond_the_longest_tested_is_refused_and_told_as_such(refusal):
    asked = train(frequency_hz=5.0, pulses=51, percent_of_motor_threshold=120.0, inter_train_interval_s=None)
    check_train([ROSSI], **{**asked, "pulses": 50})
    assert "is above 10 s, the longest tested at 5 Hz and 120 %" in refusal(check_train, [ROSSI], **asked)


def test_a_value_just_beyond_a_limit_is_not_shown_as_the_limit(refusal):
    wait_s = math.nextafter(5.0, 0.0)
    assert f"= {wait_s!r} (" in refusal(check_train, TABLES, **train(inter_train_interval_s=wait_s))


def test_a_table_also_holds_its_pulses_of_a_train(refusal):
    row = CHEN.rows[2].model_copy(update={"most_pulses": (50, 39, 32, 22)})
    table = CHEN.model_copy(update={"rows": (*CHEN.rows[:2], row, *CHEN.rows[3:])})
    message = refusal(check_train, [table], **train())
    assert message.startswith(
        "pulses = 40 (40 pulses at 10 Hz, 110 % of motor threshold): is above 39, the most at 10 Hz"
    )


def test_every_table_must_allow_a_train():
    asked = train(percent_of_motor_threshold=120.0, inter_train_interval_s=None)
    check_train([ROSSI], **asked)
    with pytest.raises(ConfigError, match="Chen 1997, Table A"):
        check_train([ROSSI, CHEN], **asked)


def test_without_a_table_of_durations_nothing_is_allowed(refusal):
    assert refusal(check_train, [WAITS], **train()).startswith("no table of train durations was given")
    assert refusal(check_train, [], **train()).startswith("no table of train durations was given")


def test_trains_that_follow_each_other_need_a_table_that_says_how_soon(refusal):
    message = refusal(check_train, [ROSSI], **train())
    assert message == "none of the tables says how soon a train may follow another (Rossi 2009, Table 4)"
    check_train([ROSSI], **train(inter_train_interval_s=None))


@pytest.mark.parametrize("wait_s", [4.999, 1.0, 0.25])
@pytest.mark.parametrize("tables", [[ROSSI, WAITS], [CHEN]], ids=["table of waits", "condition of durations"])
def test_a_wait_below_five_seconds_is_refused(wait_s, tables, refusal):
    check_train(tables, **train(inter_train_interval_s=5.0))
    message = refusal(check_train, tables, **train(inter_train_interval_s=wait_s))
    assert message.startswith(
        f"inter_train_interval_s = {wait_s:g} (110 % of motor threshold): is below 5 s, the shortest in"
    )
    assert message.endswith(f"({FROM_MEMORY})")


def test_doubtful_waits_and_insufficient_data_count_as_unsafe(refusal):
    assert shortest_wait_s(WAITS, frequency_hz=20.0, percent_of_motor_threshold=100.0) == 5.0
    message = refusal(shortest_wait_s, WAITS, frequency_hz=20.0, percent_of_motor_threshold=110.5)
    assert "no wait between trains is called safe in the column 120 % of Chen 1997, Table B" in message
    assert "5 s: insufficient data" in message


def test_waits_are_known_up_to_the_frequency_with_which_they_were_measured(refusal):
    message = refusal(shortest_wait_s, WAITS, frequency_hz=20.5, percent_of_motor_threshold=100.0)
    assert message.startswith("frequency_hz = 20.5: is above 20, the highest in Chen 1997, Table B")


@given(
    frequency_hz=st.floats(allow_nan=True, allow_infinity=True),
    pulses=st.integers(-5, 3000),
    percent=st.floats(allow_nan=True, allow_infinity=True),
    wait_s=st.floats(allow_nan=True, allow_infinity=True),
)
def test_whatever_passes_is_inside_every_table(frequency_hz, pulses, percent, wait_s):
    try:
        check_train(
            TABLES,
            frequency_hz=frequency_hz,
            pulses=pulses,
            percent_of_motor_threshold=percent,
            inter_train_interval_s=wait_s,
        )
    except ConfigError:
        return
    assert 0.0 < frequency_hz <= 20.0
    assert 0.0 < percent <= 110.0
    assert 5.0 <= wait_s < math.inf
    for table in DURATIONS:
        longest_s = longest_train_s(table, frequency_hz=frequency_hz, percent_of_motor_threshold=percent)
        assert 1 <= pulses <= longest_s * frequency_hz * (1 + 1e-12)


# How accepted protocols stand against the tables: (name, Hz, pulses of a train, % of rMT, Rossi allows, Chen allows).
VERDICTS = [
    ("10 Hz, 4 s, 120 %", 10.0, 40, 120.0, True, False),
    ("10 Hz Dash", 10.0, 40, 120.0, True, False),
    ("dTMS 18 Hz, 2 s, 120 %", 18.0, 36, 120.0, False, False),
    *((f"40 pulses at IAF {iaf_hz} Hz", float(iaf_hz), 40, 120.0, iaf_hz == 10, False) for iaf_hz in range(6, 14)),
    ("1 Hz right, 110 %, 30 min", 1.0, 1800, 110.0, True, False),
    ("1 Hz right, 120 %, 3 min", 1.0, 180, 120.0, True, True),
    ("1 Hz right, 120 %, 6 min", 1.0, 360, 120.0, True, False),
    ("1 Hz right, 120 %, 20 min", 1.0, 1200, 120.0, False, False),
    ("1 Hz right, 120 %, 30 min", 1.0, 1800, 120.0, False, False),
    ("triplets at 50 Hz, 120 %", 50.0, 3, 120.0, False, False),
    ("triplets at 50 Hz, 90 %", 50.0, 3, 90.0, False, False),
]


@pytest.mark.parametrize(("table", "column"), [(ROSSI, 4), (CHEN, 5)], ids=["Rossi", "Chen"])
@pytest.mark.parametrize("verdict", VERDICTS, ids=lambda verdict: verdict[0])
def test_accepted_protocols_stand_against_the_tables_as_is_known(verdict, table, column):
    _, frequency_hz, pulses, percent, *_ = verdict
    asked = {
        "frequency_hz": frequency_hz,
        "pulses": pulses,
        "percent_of_motor_threshold": percent,
        "inter_train_interval_s": None,
    }
    if verdict[column]:
        check_train([table], **asked)
    else:
        with pytest.raises(ConfigError, match=FROM_MEMORY):
            check_train([table], **asked)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("4.2, 2.9]", "4.2, 4.3]", "allows more than a lower intensity"),
        ("[2.05, 2.05, 1.6,", "[6.05, 2.05, 1.6,", "allows more than a lower intensity or a lower frequency"),
        ("[2.05, 2.05, 1.6, 1.0, 0.55]", "[2.05, 2.05, 1.6, 1.0]", "must have 5 entries"),
        ("0.24]", ".nan]", "rows.4.longest_s.4"),
        ("0.24]", "-0.24]", "rows.4.longest_s.4"),
        ("0.24]", '">0"]', "must be above 0"),
        ("0.24]", '"> inf"]', "rows.4.longest_s.4"),
        ("frequency_hz: 25", "frequency_hz: 20", "must be in order"),
        ("[90, 100, 110,", "[90, 110, 100,", "must be in order"),
        ("verified_by: null", "verified_by: A. Physicist", "give both verified_by and verified_on"),
        ("verified_by: null\nverified_on: null", "verified_by: A. Physicist\nverified_on: 2026-02-03", "must be"),
        ("verified_by: null", 'verified_by: " "', "verified_by"),
        ("verified_on: null", "verified_on: 2026-02-30", "is no YAML"),
        ("verified_on: null", 'verified_on: "2026-02-30"', "there is no such day"),
        ("status: transcribed from memory of the publication, verify before clinical use",
         "status: verified against the publication", "while verified_by is null"),
        ("status: transcribed", "status: copied", "status"),
        ("min_inter_train_interval_s: null", "min_interval: null", "min_inter_train_interval_s"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_right_is_refused_at_its_place(old, new, told, tmp_path, refusal):
    text = (LIMITS / "train_duration_rossi_2009.yaml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = tmp_path / "table.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    message = refusal(load_train_table, path)
    assert message.startswith(f"{path}:")
    assert told in message


@pytest.mark.parametrize(
    "verdicts", ["[safe, unsafe, unsafe, safe]", "[unsafe, safe, unsafe, unsafe]", "[safe, safe, safe, safe]"]
)
def test_a_wait_that_is_safe_where_a_longer_or_weaker_one_is_not_is_refused(verdicts, tmp_path, refusal):
    text = (LIMITS / "inter_train_interval_chen_1997.yaml").read_text(encoding="utf-8")
    path = tmp_path / "table.yaml"
    path.write_text(text.replace("[doubtful, unsafe, unsafe, unsafe]", verdicts, 1), encoding="utf-8")
    assert "is safe where a longer wait or a lower intensity is not" in refusal(load_train_table, path)


def test_a_table_that_was_verified_says_by_whom_and_when(tmp_path, refusal):
    text = (LIMITS / "train_duration_rossi_2009.yaml").read_text(encoding="utf-8")
    text = text.replace(FROM_MEMORY, "verified against the publication")
    text = text.replace("verified_by: null", "verified_by: A. Physicist").replace("_on: null", "_on: 2026-02-03")
    path = tmp_path / "table.yaml"
    path.write_text(text, encoding="utf-8")
    message = refusal(check_train, [load_train_table(path)], **train(pulses=60, inter_train_interval_s=None))
    assert message.endswith("in Rossi 2009, Table 4 (verified by A. Physicist on 2026-02-03)")
