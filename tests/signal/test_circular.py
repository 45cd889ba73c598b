"""Bias and spread of phase errors, around the whole circle."""

import math

import numpy as np
import pytest

from closedloop.signal.circular import circular_sd, phase_statistics, wrap


def test_the_spread_of_equal_phases_is_zero():
    assert circular_sd(1.0) == 0.0


def test_a_resultant_that_rounding_made_too_long_has_no_spread():
    assert circular_sd(np.nextafter(1.0, 2.0)) == 0.0


@pytest.mark.parametrize("n", [3, 7, 100])
def test_the_plv_of_equal_errors_is_never_above_one(n):
    for error in np.linspace(-3.0, 3.0, 200):
        assert phase_statistics(np.full(n, error)).plv <= 1.0


def test_the_spread_of_a_known_resultant():
    # sqrt(-2 ln R) is 1 rad where R = exp(-1/2).
    assert circular_sd(math.exp(-0.5)) == pytest.approx(1.0)


def test_without_a_mean_direction_the_spread_is_infinite():
    assert circular_sd(0.0) == math.inf


@pytest.mark.parametrize(
    ("phase", "wrapped"),
    [(0.0, 0.0), (math.pi, math.pi), (-math.pi, math.pi), (1.5 * math.pi, -0.5 * math.pi), (-7 * math.pi, math.pi)],
)
def test_phases_are_turned_to_above_minus_pi_and_up_to_pi(phase, wrapped):
    assert wrap(np.array([phase]))[0] == pytest.approx(wrapped)


def test_two_errors_to_either_side_have_no_bias_and_a_known_spread():
    found = phase_statistics(np.radians([-60.0, 60.0]))
    assert found.n == 2
    assert found.plv == pytest.approx(0.5)  # cos 60 degrees
    assert found.bias_deg == pytest.approx(0.0, abs=1e-9)
    assert found.circular_sd_deg == pytest.approx(math.degrees(math.sqrt(2.0 * math.log(2.0))))


def test_gaussian_errors_have_their_own_mean_and_spread_within_the_intervals():
    errors = np.random.default_rng(1).normal(math.radians(8.0), math.radians(20.0), 4000)
    found = phase_statistics(errors)
    assert found.bias_ci95_deg[0] < 8.0 < found.bias_ci95_deg[1]
    assert found.ci95_deg[0] < 20.0 < found.ci95_deg[1]
    # The standard error of a mean of n is SD / sqrt(n): 0.32 degrees; the interval is about four of them.
    assert found.bias_ci95_deg[1] - found.bias_ci95_deg[0] == pytest.approx(4 * 20.0 / math.sqrt(4000), rel=0.3)


def test_errors_that_are_no_numbers_are_left_out():
    found = phase_statistics(np.array([0.1, math.nan, 0.1, math.inf]))
    assert found.n == 2
    assert found.bias_deg == pytest.approx(math.degrees(0.1))


def test_of_no_errors_nothing_is_said():
    found = phase_statistics(np.array([math.nan]))
    assert (found.n, found.bias_deg, found.circular_sd_deg, found.ci95_deg, found.plv) == (0, None, None, None, None)


def test_errors_that_cancel_have_no_bias_and_no_interval():
    # exp(i pi) and exp(-i pi) are conjugates to the last bit, so the resultant is exactly zero.
    found = phase_statistics(np.tile([0.0, 0.0, math.pi, -math.pi], 10), np.arange(40) // 4)
    assert (found.n, found.plv, found.circular_sd_deg) == (40, 0.0, math.inf)
    assert (found.bias_deg, found.bias_ci95_deg, found.ci95_deg) == (None, None, None)


def test_one_block_has_no_interval():
    found = phase_statistics(np.array([0.1, 0.2, 0.3]), np.zeros(3, np.int64))
    assert found.bias_ci95_deg is None
    assert found.ci95_deg is None


@pytest.mark.parametrize(("n_blocks", "has_one"), [(4, False), (5, True)])
def test_fewer_than_five_blocks_have_no_interval(n_blocks, has_one):
    errors = np.random.default_rng(8).normal(0.0, 0.4, 6 * n_blocks)
    found = phase_statistics(errors, np.arange(errors.size) // 6)
    assert (found.bias_ci95_deg is not None) == has_one
    assert (found.ci95_deg is not None) == has_one
    assert found.bias_deg is not None


def test_an_error_left_out_does_not_shift_the_blocks_of_the_others():
    errors = np.random.default_rng(5).normal(0.0, 0.4, 40)
    blocks = np.arange(40) // 8
    broken = errors.copy()
    broken[3] = math.nan
    kept = np.arange(40) != 3
    assert phase_statistics(broken, blocks) == phase_statistics(errors[kept], blocks[kept])


def test_without_labels_runs_of_the_root_of_n_are_blocks():
    errors = np.random.default_rng(6).normal(0.0, 0.4, 100)
    assert phase_statistics(errors) == phase_statistics(errors, np.arange(100) // 10)


def test_an_interval_holds_95_percent():
    errors = np.random.default_rng(7).normal(0.0, math.radians(20.0), 4000)
    low, high = phase_statistics(errors, np.arange(4000)).bias_ci95_deg
    # Twice 1.96 standard errors of SD / sqrt(n).
    assert high - low == pytest.approx(2 * 1.96 * 20.0 / math.sqrt(4000), rel=0.08)


def test_repeating_every_error_within_its_block_narrows_nothing():
    errors = np.random.default_rng(2).normal(0.0, 0.4, 60)
    blocks = np.arange(60) // 4
    once = phase_statistics(errors, blocks)
    eightfold = phase_statistics(np.tile(errors, 8), np.tile(blocks, 8))
    assert eightfold.ci95_deg == pytest.approx(once.ci95_deg)


def test_an_interval_across_180_degrees_stays_in_one_piece():
    errors = wrap(np.random.default_rng(3).normal(math.pi, 0.2, 500))
    low, high = phase_statistics(errors).bias_ci95_deg
    assert high - low < 10.0


def test_the_same_seed_draws_the_same_interval():
    errors = np.random.default_rng(4).normal(0.0, 0.5, 50)
    assert phase_statistics(errors) == phase_statistics(errors)
    assert phase_statistics(errors, seed=1).ci95_deg != phase_statistics(errors).ci95_deg
