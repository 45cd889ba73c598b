"""The benchmark of accuracy: its gate can close, its tables say what they claim, its jobs are those it names."""

import numpy as np
import pytest

from closedloop.accuracy.score import Errors
from closedloop.sources.library import entries


@pytest.fixture
def accuracy(bench_module):
    return bench_module("accuracy")


def row(**changes):
    """Return a row of the table; keys with spaces and words such as yield are given as they are called."""
    given = {
        "recording": "a.edf",
        "truth": "f0+-2",
        "montage": "O1",
        "eyes": "closed",
        "estimator": "wiener",
        "tuning": "ours",
        "lead_s": 0.025,
        "yield": 1.0,
        "n": 1000,
        "circular_sd_deg": 40.0,
        "bias_deg": 1.0,
        "us_per_sample": 0.4,
    }
    return {**given, **changes}


def test_the_same_figures_pass(accuracy):
    rows = [row(), row(lead_s=0.0), row(**{"yield": 0.5})]
    assert accuracy.worse(rows, rows) == []


def test_better_figures_and_more_rows_pass(accuracy):
    assert accuracy.worse([row(circular_sd_deg=30.0), row(truth="8-13")], [row()]) == []


def test_the_limits_themselves_pass(accuracy):
    now = row(circular_sd_deg=accuracy.MORE_SCATTER * 40.0, bias_deg=1.0 + accuracy.MORE_BIAS_DEG)
    assert accuracy.worse([now], [row()]) == []


def test_more_scatter_is_told(accuracy):
    assert accuracy.worse([row(circular_sd_deg=41.0)], [row()]) == [
        "a.edf, f0+-2, O1, closed, wiener, ours, 0.025, 1.0: circular SD 41.00 deg, was 40.00 "
        "(at most 1.02 times as much)"
    ]


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (1.0, 2.4, False),
        (1.0, 2.6, True),
        (1.0, -0.4, False),
        (1.0, -0.6, True),
        (1.0, -179.0, True),
        (179.5, -179.5, False),
        (-179.5, 179.5, False),
        (179.0, -179.0, True),
        (-179.0, 179.0, True),
        (179.0, -1.0, True),
    ],
)
def test_a_bias_that_moved_is_told_also_across_half_a_turn(accuracy, before, now, told):
    lines = accuracy.worse([row(bias_deg=now)], [row(bias_deg=before)])
    assert len(lines) == int(told)
    assert all("bias" in line for line in lines)


@pytest.mark.parametrize("figure", ["circular_sd_deg", "bias_deg"])
def test_a_figure_that_is_no_number_is_told(accuracy, figure):
    assert len(accuracy.worse([row(**{figure: float("nan")})], [row()])) == 1


def test_a_row_without_figures_is_told_as_one_that_is_gone(accuracy):
    (line,) = accuracy.worse([row(n=0, circular_sd_deg=None, bias_deg=None)], [row()])
    assert line.endswith(": is no longer measured")


KEYS = {"recording": "b.edf", "truth": "8-13", "montage": "C3-Hjorth", "eyes": "open", "lead_s": 0.0, "yield": 0.5}


@pytest.mark.parametrize(("key", "value"), KEYS.items())
def test_a_row_that_is_no_longer_measured_is_told_whatever_makes_it_another(accuracy, key, value):
    (line,) = accuracy.worse([row(**{key: value})], [row()])
    assert line.endswith(": is no longer measured")


def test_rivals_may_become_worse_or_go(accuracy):
    rival = row(estimator="echt", tuning="published")
    assert accuracy.worse([row()], [row(), rival]) == []


def test_every_row_that_is_worse_has_its_line(accuracy):
    now = [row(circular_sd_deg=50.0, bias_deg=9.0), row(lead_s=0.0, circular_sd_deg=50.0)]
    assert len(accuracy.worse(now, [row(), row(lead_s=0.0)])) == 3


MANY = "wiener, many channels"


def table(recording, *, ours, many, tuned, published):
    """Return rows of one recording: ours twice, and rivals' circular SDs."""
    who = [("wiener", "ours", ours), (MANY, "ours", many)]
    who += [(f"rival {k}", "tuned", value) for k, value in enumerate(tuned)]
    who += [(f"rival {k}", "published", value) for k, value in enumerate(published)]
    return [
        row(recording=recording, estimator=name, tuning=tuning, circular_sd_deg=value) for name, tuning, value in who
    ]


def test_ratios_are_medians_over_recordings_of_ours_over_each_one_s_best_rival(accuracy):
    rows = [
        *table("a.edf", ours=30.0, many=24.0, tuned=[40.0, 60.0], published=[50.0]),
        *table("b.edf", ours=45.0, many=45.0, tuned=[90.0, 50.0], published=[60.0, 100.0]),
        *table("c.edf", ours=20.0, many=30.0, tuned=[20.0, 80.0], published=[80.0]),
    ]
    (line,) = accuracy.ratios(rows, 1.0)
    assert line["wiener / best tuned"] == pytest.approx(np.median([30 / 40, 45 / 50, 20 / 20]))
    assert line["wiener / best published"] == pytest.approx(np.median([30 / 50, 45 / 60, 20 / 80]))
    assert line[f"{MANY} / best tuned"] == pytest.approx(np.median([24 / 40, 45 / 50, 30 / 20]))
    assert line["many / one"] == pytest.approx(np.median([24 / 30, 45 / 45, 30 / 20]))
    assert line["many / one, worst"] == pytest.approx(30 / 20)


def test_ratios_are_of_the_headline_s_lead_one_yield_and_closed_eyes_alone(accuracy):
    rows = table("a.edf", ours=30.0, many=24.0, tuned=[40.0], published=[50.0])
    others = [
        {**one, **changes, "circular_sd_deg": 1.0 if one["tuning"] != "ours" else 99.0}
        for one in rows
        for changes in ({"lead_s": 0.0}, {"yield": 0.5}, {"eyes": "open"})
    ]
    assert accuracy.ratios([*rows, *others], 1.0) == accuracy.ratios(rows, 1.0)


def test_montages_and_truths_have_lines_of_their_own(accuracy):
    rows = table("a.edf", ours=30.0, many=24.0, tuned=[40.0], published=[50.0])
    more = [{**one, **changes} for one in rows for changes in ({}, {"montage": "C3-Hjorth"}, {"truth": "8-13"})]
    places = [(line["montage"], line["truth"]) for line in accuracy.ratios(more, 1.0)]
    assert sorted(places) == sorted([("O1", "f0+-2"), ("C3-Hjorth", "f0+-2"), ("O1", "8-13")])


def errors_at_times(*times_s):
    times = np.array(times_s)
    return Errors(0.1 * times, -times, 0.01 * times, times)


def test_pooled_errors_are_all_of_them_in_their_order(accuracy):
    whole, _ = accuracy.pooled([("a.edf", errors_at_times(1.0, 2.0)), ("b.edf", errors_at_times(3.0))])
    for name, values in {"times_s": [1, 2, 3], "error": [0.1, 0.2, 0.3], "confidence": [-1, -2, -3]}.items():
        np.testing.assert_allclose(getattr(whole, name), values)
    np.testing.assert_allclose(whole.sd, [0.01, 0.02, 0.03])


def test_the_same_ten_seconds_of_two_recordings_are_not_one_block(accuracy):
    part = errors_at_times(1.0, 9.0, 11.0, 25.0)
    _, blocks = accuracy.pooled([("a.edf", part), ("b.edf", part)])
    first, second = blocks[:4], blocks[4:]
    assert first[0] == first[1] != first[2] != first[3]
    assert not set(first) & set(second)
    np.testing.assert_array_equal(np.diff(first), np.diff(second))


def test_the_same_ten_seconds_at_two_montages_or_under_two_truths_are_one_block(accuracy):
    part = errors_at_times(1.0, 9.0, 11.0, 25.0)
    _, blocks = accuracy.pooled([("a.edf", part), ("a.edf", part)])
    np.testing.assert_array_equal(blocks[:4], blocks[4:])


def test_a_recording_without_one_of_ours_or_without_rivals_is_left_out_of_the_ratios(accuracy):
    whole = table("a.edf", ours=30.0, many=24.0, tuned=[40.0], published=[50.0])
    without = table("b.edf", ours=30.0, many=24.0, tuned=[], published=[50.0])
    (line,) = accuracy.ratios([*whole, *without], 1.0)
    assert line["recordings"] == 1
    assert line["wiener / best tuned"] == pytest.approx(30 / 40)


def test_the_quick_jobs_are_two_people_at_two_montages(accuracy):
    jobs = accuracy.jobs_of(None, True)
    assert len(jobs) == len(set(jobs)) == 4
    assert {job[2:] for job in jobs} == {("closed", True)}
    assert {job[0] for job in jobs} == set(accuracy.QUICK_RECORDINGS)


def test_all_jobs_are_six_people_at_every_montage_and_the_open_eyes_once(accuracy):
    jobs = accuracy.jobs_of(None, False)
    closed = [job for job in jobs if job[2] == "closed"]
    assert {job[:2] for job in closed} == {(n, m) for n in accuracy.RECORDINGS for m in accuracy.MONTAGES}
    assert len(closed) == 18
    assert [job for job in jobs if job[2] == "open"] == [(accuracy.OPEN_EYES, "O1", "open", False)]


def test_of_a_folder_all_recordings_of_closed_eyes_take_part_whatever_their_format(accuracy, tmp_path):
    index = {entry.file: entry for entry in entries()}
    for name in ("Subject08_1.edf", "own.EDF", "other.vhdr", "notes.txt", "other.eeg"):
        (tmp_path / name).touch()
    names = {job[0] for job in accuracy.jobs_of(tmp_path, False) if job[2] == "closed"}
    assert names == {index["Subject08_1.edf"].name, str(tmp_path / "own.EDF"), str(tmp_path / "other.vhdr")}


def test_of_a_folder_what_is_known_to_be_of_open_eyes_or_of_nobody_is_left_out(accuracy, tmp_path):
    for entry in entries():
        if entry.eyes != "closed":
            (tmp_path / entry.file).touch()
    assert [job[2] for job in accuracy.jobs_of(tmp_path, False)] == ["open"]


def test_no_file_is_left_out_for_want_of_its_montage_before_it_is_opened(accuracy, tmp_path):
    (tmp_path / "own.edf").touch()
    montages = [job[1] for job in accuracy.jobs_of(tmp_path, False) if job[2] == "closed"]
    assert montages == list(accuracy.MONTAGES)
