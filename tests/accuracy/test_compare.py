"""The table of a comparison: its rows, and who could not take part."""

import numpy as np
import pytest

from closedloop.accuracy.case import SYNTHETIC, TRUTHS
from closedloop.accuracy.compare import HEADLINE_LEAD_S, compare
from closedloop.accuracy.contenders import Contender
from closedloop.errors import CalibrationError
from closedloop.estimators.interface import N_LEADS

LABELS = {"recording": "rest.edf", "montage": "O1-Fz", "eyes": "closed"}
COLUMNS = {
    *("recording", "truth", "montage", "eyes", "estimator", "tuning", "lead_s", "yield"),
    *("n", "circular_sd_deg", "ci95_deg", "bias_deg", "plv", "surrogate_sd_deg", "us_per_sample", "coverage_95"),
}
LEADS_S = (0.0, HEADLINE_LEAD_S)
YIELDS = (1.0, 0.5)
ALL_TRUTHS = [*TRUTHS.values(), SYNTHETIC]


@pytest.fixture(scope="module")
def known(cases, oracle):
    """Return a contender that knows, of each case, one truth, and is off by 0.2 rad."""
    truths = {
        id(case.rest): (case, next(iter(case.reference.members)))
        for case in (cases.real, cases.real_surrogate, cases.synthetic, cases.synthetic_surrogate)
    }
    return Contender("oracle", "ours", lambda rest: oracle(*truths[id(rest)], error=0.2))


@pytest.fixture(scope="module")
def constant(cases, reciting):
    """Return a contender that says the same of every sample."""
    n = max(len(case.inputs) for case in (cases.real, cases.synthetic))
    return Contender("constant", "published", lambda _: reciting(np.ones((n, N_LEADS), complex), np.nan))


def refuse(rest):
    raise CalibrationError("rest is too loud")


@pytest.fixture(scope="module")
def compared(cases, known, constant):
    return compare(cases, [known, constant], labels=LABELS, leads_s=LEADS_S, yields=YIELDS)


def test_every_row_has_exactly_the_columns_that_are_promised(compared):
    assert all(set(row) == COLUMNS for row in compared.rows)


def test_there_is_one_row_for_each_contender_truth_lead_and_yield(compared):
    found = [(row["estimator"], row["truth"], row["lead_s"], row["yield"]) for row in compared.rows]
    expected = {
        (name, truth, lead_s, share)
        for name in ("oracle", "constant")
        for truth in ALL_TRUTHS
        for lead_s in LEADS_S
        for share in YIELDS
    }
    assert len(found) == len(expected)
    assert set(found) == expected


def test_rows_say_whose_they_are(compared):
    for row in compared.rows:
        assert {key: row[key] for key in LABELS} == LABELS
        assert row["tuning"] == {"oracle": "ours", "constant": "published"}[row["estimator"]]


def row_of(compared, **given):
    (row,) = [row for row in compared.rows if all(row[key] == value for key, value in given.items())]
    return row


@pytest.mark.parametrize("truth", [ALL_TRUTHS[0], SYNTHETIC])
def test_figures_are_those_of_the_errors(compared, truth):
    row = row_of(compared, estimator="oracle", truth=truth, lead_s=0.0, **{"yield": 1.0})
    assert row["bias_deg"] == pytest.approx(np.degrees(0.2))
    assert row["circular_sd_deg"] == pytest.approx(0.0, abs=1e-4)
    assert row["plv"] == pytest.approx(1.0)
    assert row["coverage_95"] == 0.0  # it says that its SD is 0.1 rad, and is off by twice that
    assert row["us_per_sample"] > 0.0


def test_a_method_that_says_nothing_scatters_over_the_whole_circle_and_has_no_coverage(compared):
    row = row_of(compared, estimator="constant", truth=SYNTHETIC, lead_s=0.0, **{"yield": 1.0})
    assert row["plv"] < 0.1
    assert row["circular_sd_deg"] > 120.0
    assert row["coverage_95"] is None


def test_a_lower_yield_keeps_fewer(compared):
    for name in ("oracle", "constant"):
        whole, half = (
            row_of(compared, estimator=name, truth=SYNTHETIC, lead_s=0.0, **{"yield": share})["n"] for share in YIELDS
        )
        assert half == round(whole / 2)


def test_each_figure_stands_beside_the_surrogate_s(compared):
    """Of its own surrogate the oracle knows the truth as well."""
    for truth in (ALL_TRUTHS[0], SYNTHETIC):
        row = row_of(compared, estimator="oracle", truth=truth, lead_s=0.0, **{"yield": 1.0})
        assert row["surrogate_sd_deg"] == pytest.approx(0.0, abs=1e-4)
    silent = row_of(compared, estimator="constant", truth=SYNTHETIC, lead_s=0.0, **{"yield": 1.0})
    assert silent["surrogate_sd_deg"] > 120.0


def test_errors_at_the_headline_s_lead_are_kept_for_figures(compared):
    expected = {(t, *who) for t in ALL_TRUTHS for who in (("oracle", "ours"), ("constant", "published"))}
    assert set(compared.errors) == expected
    found = compared.errors[SYNTHETIC, "oracle", "ours"]
    row = row_of(compared, estimator="oracle", truth=SYNTHETIC, lead_s=HEADLINE_LEAD_S, **{"yield": 1.0})
    assert found.error.size == row["n"]
    assert found.statistics().bias_deg == row["bias_deg"]


def test_one_that_cannot_be_designed_is_listed_and_the_others_go_on(cases, known):
    choosy = Contender("choosy", "tuned", refuse)
    compared = compare(cases, [choosy, known], labels=LABELS, leads_s=[0.0], yields=[1.0])
    line = {**LABELS, "estimator": "choosy", "tuning": "tuned", "rhythm": "yes", "why": "rest is too loud"}
    assert compared.refused == [line, line]  # of the recording itself, and of the synthetic EEG
    assert {row["estimator"] for row in compared.rows} == {"oracle"}


def test_one_that_cannot_be_designed_without_a_rhythm_has_rows_without_the_surrogate_s_figure(cases, known):
    flat = {id(case.rest) for case in (cases.real_surrogate, cases.synthetic_surrogate)}

    def make(rest):
        if id(rest) in flat:
            raise CalibrationError("no rhythm")
        return known.make(rest)

    compared = compare(cases, [Contender("choosy", "tuned", make)], labels=LABELS, leads_s=[0.0], yields=[1.0])
    assert [line["rhythm"] for line in compared.refused] == ["no", "no"]
    assert len(compared.rows) == len(ALL_TRUTHS)
    assert {row["surrogate_sd_deg"] for row in compared.rows} == {None}


def test_a_defect_of_a_method_is_not_taken_for_a_refusal(cases):
    def make(rest):
        raise IndexError("a defect")

    with pytest.raises(IndexError, match="a defect"):
        compare(cases, [Contender("broken", "ours", make)], labels=LABELS)


def test_the_same_comparison_gives_the_same_rows_but_for_the_time_taken(cases, known, compared):
    again = compare(cases, [known], labels=LABELS, leads_s=LEADS_S, yields=YIELDS)

    def figures(rows):
        return [{key: value for key, value in row.items() if key != "us_per_sample"} for row in rows]

    assert figures(again.rows) == figures(row for row in compared.rows if row["estimator"] == "oracle")
