"""Figures of a method that is known: what is counted, when, against what."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.accuracy.case import SYNTHETIC
from closedloop.accuracy.score import (
    BLOCK_S,
    LEADS_S,
    Errors,
    errors_at,
    errors_of,
    judged_rows,
    us_per_sample,
)
from closedloop.estimators.interface import N_LEADS
from closedloop.estimators.output import half_width, rician_phase_sd
from closedloop.signal.circular import circular_sd, phase_statistics
from closedloop.signal.reference_phase import ReferencePhase

PEAK = "f0+-2"


def errors(n=100, *, seed=0):
    """Return errors with confidences and SDs in no order, at times in order."""
    rng = np.random.default_rng(seed)
    return Errors(rng.normal(0.0, 0.5, n), rng.permutation(n) * 1.0, rng.uniform(0.1, 1.0, n), np.arange(n) / 2.0)


KNOWN = [("real", PEAK), ("synthetic", SYNTHETIC)]


@pytest.mark.parametrize("lead_s", [0.0, 0.01, 0.05, 0.08])
@pytest.mark.parametrize(("kind", "truth"), KNOWN)
def test_who_knows_the_truth_has_no_error_at_any_lead_of_the_grid(cases, oracle, kind, truth, lead_s):
    case = getattr(cases, kind)
    found = errors_of(oracle(case, truth), case, [lead_s])[truth, lead_s]
    assert found.error.size > 3000
    assert np.degrees(np.abs(found.error)).max() < 1e-6


@pytest.mark.parametrize(("kind", "truth"), KNOWN)
def test_nor_between_two_leads_but_where_the_phase_slips(cases, oracle, kind, truth):
    """Between leads predictions turn evenly; a rhythm does so too, but for moments of next to no amplitude."""
    case = getattr(cases, kind)
    found = errors_of(oracle(case, truth), case, [0.025])[truth, 0.025]
    assert np.degrees(np.quantile(np.abs(found.error), 0.99)) < 3.0


@pytest.mark.parametrize("late", [-0.4, 1.0, 3.0])
def test_an_error_is_the_true_phase_minus_the_predicted(cases, oracle, late):
    found = errors_of(oracle(cases.real, PEAK, error=late), cases.real, [0.05])[PEAK, 0.05]
    np.testing.assert_allclose(found.error, late, atol=1e-9)


def test_every_truth_and_lead_is_told(cases, oracle):
    found = errors_of(oracle(cases.real, PEAK), cases.real)
    assert set(found) == {(truth, lead_s) for truth in cases.real.reference.members for lead_s in LEADS_S}


def test_members_of_the_family_disagree_with_one_another(cases, oracle):
    """An oracle of one member is none of the others: each truth is its own."""
    found = errors_of(oracle(cases.real, PEAK), cases.real, [0.0])
    others = [errors.error for (truth, _), errors in found.items() if truth != PEAK]
    assert all(np.abs(error).max() > 0.1 for error in others)


def test_a_lead_is_judged_against_the_truth_at_its_own_time(cases):
    """Predictions that are always 0 meet, 50 ms ahead, the phase that comes 50 ms later."""
    rows = judged_rows(cases.real)
    zero = np.ones(rows.size, complex), np.full(rows.size, 0.1)
    found = errors_at(cases.real, rows, {0.05: zero})[PEAK, 0.05]
    expected = cases.real.reference.member_at(PEAK, rows / cases.real.sfreq + 0.05)
    np.testing.assert_array_equal(found.error, expected[np.isfinite(expected)])
    np.testing.assert_array_equal(found.times_s, (rows / cases.real.sfreq + 0.05)[np.isfinite(expected)])


def test_only_judged_rows_count(cases, oracle):
    judged = np.zeros_like(cases.real.judged)
    judged[3000:3500] = judged[4000:4100] = True
    case = replace(cases.real, judged=judged)
    # 125 Hz is below twice 100 Hz: every sample is asked after.
    assert judged_rows(case).tolist() == [*range(3000, 3500), *range(4000, 4100)]
    found = errors_of(oracle(case, PEAK), case, [0.0])[PEAK, 0.0]
    np.testing.assert_allclose(found.times_s, judged_rows(case) / case.sfreq)


@pytest.mark.parametrize(("sfreq", "every"), [(125.0, 1), (250.0, 2), (500.0, 5), (1000.0, 10)])
def test_at_most_about_a_hundred_samples_a_second_are_judged(cases, sfreq, every):
    case = replace(cases.real, rest=replace(cases.real.rest, sfreq=sfreq))
    rows = judged_rows(case)
    assert (np.diff(rows) == every).all()
    assert ((rows + 1) % every == 0).all()
    assert case.judged[rows].all()
    assert sfreq / every >= 100.0


def test_what_was_said_before_the_judged_part_does_not_count(cases, oracle):
    """The method is wrong by half a turn during rest, and right from then on."""
    n_rest = len(cases.real.rest.inputs)
    wrong = np.where(np.arange(len(cases.real.inputs)) < n_rest, np.pi, 0.0)
    found = errors_of(oracle(cases.real, PEAK, error=wrong), cases.real, [0.0])[PEAK, 0.0]
    assert np.abs(found.error).max() < 1e-9


def test_where_nothing_is_predicted_and_where_the_truth_is_unknown_nothing_is_counted(cases, reciting):
    z = np.ones((len(cases.real.inputs), N_LEADS), complex)
    z[3000:3100] = np.nan
    found = errors_of(reciting(z, 0.1), cases.real, [0.0])[PEAK, 0.0]
    rows = judged_rows(cases.real)
    known = np.isfinite(cases.real.reference.member_at(PEAK, rows / cases.real.sfreq)) & np.isfinite(z[rows, 0])
    assert 0 < found.error.size == known.sum() < rows.size
    assert np.isfinite(found.error).all()


def test_the_case_is_left_as_it_was_and_so_is_the_method(cases, oracle):
    designed, inputs = oracle(cases.real, PEAK), cases.real.inputs.copy()
    state = designed.state.copy()
    errors_of(designed, cases.real, [0.0])
    us_per_sample(designed, cases.real)
    np.testing.assert_array_equal(designed.state, state)
    np.testing.assert_array_equal(cases.real.inputs, inputs)


def test_confidence_is_the_sd_s_where_there_is_one(cases, oracle):
    sds = np.linspace(0.1, 1.0, len(cases.real.inputs))
    found = errors_of(oracle(cases.real, PEAK, sd=sds, amplitude=5.0), cases.real, [0.0])[PEAK, 0.0]
    np.testing.assert_array_equal(found.confidence, -found.sd)


def test_confidence_is_the_amplitude_s_where_no_sd_is_known(cases, oracle):
    amplitude = np.linspace(1.0, 9.0, len(cases.real.inputs))
    designed = oracle(cases.real, PEAK, sd=np.nan, amplitude=amplitude)
    found = errors_of(designed, cases.real, [0.0])[PEAK, 0.0]
    rows = np.round(found.times_s * cases.real.sfreq).astype(int)
    np.testing.assert_allclose(found.confidence, amplitude[rows])
    assert found.coverage() is None


def test_those_are_kept_that_the_method_is_surest_of():
    whole = errors()
    kept = whole.surest(0.25)
    assert sorted(kept.confidence) == [75.0 + k for k in range(25)]


def test_what_is_kept_stays_in_the_order_of_time_with_its_own_values():
    whole = errors()
    kept = whole.surest(0.4)
    assert (np.diff(kept.times_s) > 0.0).all()
    places = np.searchsorted(whole.times_s, kept.times_s)
    for name in ("error", "confidence", "sd"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(whole, name)[places])


@given(n=st.integers(1, 200), share=st.floats(0.01, 1.0))
def test_as_many_are_kept_as_were_asked_for_but_never_none(n, share):
    kept = errors(n).surest(share)
    assert kept.error.size == max(1, round(share * n))


def test_to_keep_all_changes_nothing():
    whole, kept = errors(), errors().surest(1.0)
    np.testing.assert_array_equal(kept.error, whole.error)
    np.testing.assert_array_equal(kept.times_s, whole.times_s)


def test_of_no_errors_none_are_kept_and_no_figure_is_made_up():
    none = Errors(*[np.empty(0)] * 4)
    assert none.surest(0.5).error.size == 0
    assert none.statistics().n == 0
    assert none.statistics().circular_sd_deg is None
    assert none.coverage() is None


def test_errors_within_ten_seconds_are_drawn_together():
    whole = errors()
    expected = phase_statistics(whole.error, (whole.times_s // 10.0).astype(int))
    assert BLOCK_S == 10.0
    assert whole.statistics() == expected


def test_an_error_is_covered_within_the_half_width_of_its_own_sd():
    sd = np.array([0.3, 0.3, 0.8, np.nan])
    width = half_width(sd, 0.95)
    found = Errors(np.array([0.999 * width[0], -1.001 * width[1], -0.999 * width[2], 0.0]), -sd, sd, np.arange(4.0))
    assert found.covered().tolist() == [True, False, True, False]
    # Where there is no SD, nothing is promised: it counts neither way.
    assert found.coverage() == pytest.approx(2 / 3)


def test_a_method_whose_sd_is_right_covers_95_percent(cases, oracle):
    """Errors are drawn as the phase of a prediction that misses by a complex Gaussian, of amplitudes that vary."""
    rng = np.random.default_rng(4)
    n = len(cases.synthetic.inputs)
    u = rng.uniform(0.2, 5.0, n)
    error = np.angle(u + rng.normal(0.0, np.sqrt(0.5), (n, 2)) @ [1.0, 1j])
    honest, proud = (
        errors_of(oracle(cases.synthetic, SYNTHETIC, error=error, sd=factor * rician_phase_sd(u)), cases.synthetic, [0])
        for factor in (1.0, 0.5)
    )
    # 3750 errors: a standard error of 0.4 %.
    assert honest[SYNTHETIC, 0].coverage() == pytest.approx(0.95, abs=0.015)
    assert proud[SYNTHETIC, 0].coverage() < 0.85


def test_the_surest_of_an_honest_method_scatter_less(cases, oracle):
    rng = np.random.default_rng(5)
    sds = rng.uniform(0.1, 1.2, len(cases.synthetic.inputs))
    designed = oracle(cases.synthetic, SYNTHETIC, error=rng.normal(0.0, sds), sd=sds)
    found = errors_of(designed, cases.synthetic, [0.0])[SYNTHETIC, 0.0]
    spreads = [circular_sd(abs(np.exp(1j * found.surest(share).error).mean())) for share in (1.0, 0.5, 0.1)]
    assert spreads[0] > spreads[1] > spreads[2]


def test_a_pure_sine_s_phase_is_a_truth_like_any_other(cases, reciting):
    sfreq = cases.real.sfreq
    turns = np.exp(2j * np.pi * 9.7 * np.arange(len(cases.real.inputs)) / sfreq)
    case = replace(cases.real, reference=ReferencePhase(sfreq, {"sine": turns}))
    ahead = np.exp(2j * np.pi * 9.7 * 0.01 * np.arange(N_LEADS))
    found = errors_of(reciting(20.0 * turns[:, None] * ahead, 0.1), case)
    assert max(np.abs(errors.error).max() for errors in found.values()) < 1e-9


def test_time_per_sample_is_positive_and_that_of_one_lead(cases, oracle):
    """A step that writes one value takes well below a millisecond on any machine."""
    assert 0.0 < us_per_sample(oracle(cases.real, PEAK), cases.real) < 1000.0
