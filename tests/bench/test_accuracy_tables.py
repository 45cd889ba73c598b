"""The tables of the benchmark of accuracy say what they claim."""

import numpy as np
import pytest

from closedloop.accuracy.case import TRUTHS
from closedloop.accuracy.compare import Compared
from closedloop.accuracy.score import Errors


@pytest.fixture
def tables(bench_module):
    return bench_module("accuracy_tables")


MANY = "wiener, many channels"


@pytest.fixture
def table(row):
    """Return a function: rows of one recording, ours twice, and rivals' circular SDs."""

    def rows(recording, *, ours, many, tuned, published):
        """Return rows of one recording: ours twice, and rivals' circular SDs."""
        who = [("wiener", "ours", ours), (MANY, "ours", many)]
        who += [(f"rival {k}", "tuned", value) for k, value in enumerate(tuned)]
        who += [(f"rival {k}", "published", value) for k, value in enumerate(published)]
        return [
            row(recording=recording, estimator=name, tuning=tuning, circular_sd_deg=value)
            for name, tuning, value in who
        ]

    return rows


def test_ratios_are_medians_over_recordings_of_ours_over_each_one_s_best_rival(tables, table):
    rows = [
        *table("a.edf", ours=30.0, many=24.0, tuned=[40.0, 60.0], published=[50.0]),
        *table("b.edf", ours=45.0, many=45.0, tuned=[90.0, 50.0], published=[60.0, 100.0]),
        *table("c.edf", ours=20.0, many=30.0, tuned=[20.0, 80.0], published=[80.0]),
    ]
    (line,) = tables.ratios(rows, 1.0)
    assert line["wiener / best tuned"] == pytest.approx(np.median([30 / 40, 45 / 50, 20 / 20]))
    assert line["wiener / best published"] == pytest.approx(np.median([30 / 50, 45 / 60, 20 / 80]))
    assert line[f"{MANY} / best tuned"] == pytest.approx(np.median([24 / 40, 45 / 50, 30 / 20]))
    assert line["many / one"] == pytest.approx(np.median([24 / 30, 45 / 45, 30 / 20]))
    assert line["many / one, worst"] == pytest.approx(30 / 20)


def test_ratios_are_of_the_headline_s_lead_one_yield_and_closed_eyes_alone(tables, table):
    rows = table("a.edf", ours=30.0, many=24.0, tuned=[40.0], published=[50.0])
    others = [
        {**one, **changes, "circular_sd_deg": 1.0 if one["tuning"] != "ours" else 99.0}
        for one in rows
        for changes in ({"lead_s": 0.0}, {"yield": 0.5}, {"eyes": "open"})
    ]
    assert tables.ratios([*rows, *others], 1.0) == tables.ratios(rows, 1.0)


def test_montages_and_truths_have_lines_of_their_own(tables, table):
    rows = table("a.edf", ours=30.0, many=24.0, tuned=[40.0], published=[50.0])
    more = [{**one, **changes} for one in rows for changes in ({}, {"montage": "C3-Hjorth"}, {"truth": "8-13"})]
    places = [(line["montage"], line["truth"]) for line in tables.ratios(more, 1.0)]
    assert sorted(places) == sorted([("O1", "f0+-2"), ("C3-Hjorth", "f0+-2"), ("O1", "8-13")])


def errors_at_times(*times_s):
    times = np.array(times_s)
    return Errors(0.1 * times, -times, 0.01 * times, times)


def test_pooled_errors_are_all_of_them_in_their_order(tables):
    whole, _ = tables.pooled([("a.edf", errors_at_times(1.0, 2.0)), ("b.edf", errors_at_times(3.0))])
    for name, values in {"times_s": [1, 2, 3], "error": [0.1, 0.2, 0.3], "confidence": [-1, -2, -3]}.items():
        np.testing.assert_allclose(getattr(whole, name), values)
    np.testing.assert_allclose(whole.sd, [0.01, 0.02, 0.03])


def test_the_same_ten_seconds_of_two_recordings_are_not_one_block(tables):
    part = errors_at_times(1.0, 9.0, 11.0, 25.0)
    _, blocks = tables.pooled([("a.edf", part), ("b.edf", part)])
    first, second = blocks[:4], blocks[4:]
    assert first[0] == first[1] != first[2] != first[3]
    assert not set(first) & set(second)
    np.testing.assert_array_equal(np.diff(first), np.diff(second))


def test_the_same_ten_seconds_at_two_montages_or_under_two_truths_are_one_block(tables):
    part = errors_at_times(1.0, 9.0, 11.0, 25.0)
    _, blocks = tables.pooled([("a.edf", part), ("a.edf", part)])
    np.testing.assert_array_equal(blocks[:4], blocks[4:])


def test_a_recording_without_one_of_ours_or_without_rivals_is_left_out_of_the_ratios(tables, table):
    whole = table("a.edf", ours=30.0, many=24.0, tuned=[40.0], published=[50.0])
    without = table("b.edf", ours=30.0, many=24.0, tuned=[], published=[50.0])
    (line,) = tables.ratios([*whole, *without], 1.0)
    assert line["recordings"] == 1
    assert line["wiener / best tuned"] == pytest.approx(30 / 40)


def compared_with(offsets):
    """Return a comparison in which each reference lies apart from the prediction by an offset in rad."""
    times = np.arange(0.0, 200.0, 0.5)
    noise = 0.3 * np.random.default_rng(1).standard_normal(times.size)
    noise -= noise.mean()
    errors = {
        (truth, "wiener", "ours"): Errors(noise + offset, -times, np.full(times.size, 0.3), times)
        for truth, offset in zip(TRUTHS.values(), offsets, strict=True)
    }
    return Compared(errors=errors)


def test_bias_and_coverage_are_pooled_by_truth_and_over_all_references(tables):
    lines = tables.honesty([("a.edf", "O1", compared_with([0.1, -0.1, 0.3, -0.3]))])
    found = {line["truth"]: line for line in lines if line["montage"] == "O1"}
    for truth, offset in zip(TRUTHS.values(), [0.1, -0.1, 0.3, -0.3], strict=True):
        assert found[truth]["bias_deg"] == pytest.approx(np.degrees(offset), abs=1.0)
    assert found["real"]["bias_deg"] == pytest.approx(0.0, abs=1.0)
    assert found["real"]["n"] == 4 * found["8-13"]["n"]
    assert found["real"]["coverage_95"] == pytest.approx(0.9, abs=0.1)
