"""Trials: balanced, counted, seeded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.protocols.trials import draw_trials

USUAL = {"shuffle": "balanced", "withhold": 0.1, "min_interval_s": 2.0, "jitter_s": 1.0, "seed": 7}
SHUFFLES = st.sampled_from(["balanced", "random", "none"])


@given(
    n_fired=st.integers(1, 300),
    n_conditions=st.integers(1, 5),
    shuffle=SHUFFLES,
    withhold=st.floats(0.0, 0.9),
    seed=st.integers(0, 2**32 - 1),
)
def test_exactly_the_wanted_number_is_fired(n_fired, n_conditions, shuffle, withhold, seed):
    trials = draw_trials(n_fired, n_conditions, **{**USUAL, "shuffle": shuffle, "withhold": withhold, "seed": seed})
    assert np.count_nonzero(~trials.withheld) == n_fired
    assert len(trials.condition) == len(trials.withheld) == len(trials.random_target) == len(trials.wait_s)
    assert not trials.withheld[-1]
    assert np.isin(trials.condition, np.arange(n_conditions)).all()


@given(n_conditions=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_balanced_conditions_never_lead_by_more_than_one(n_conditions, seed):
    condition = draw_trials(50, n_conditions, **{**USUAL, "seed": seed}).condition
    counts = np.cumsum(condition[:, None] == np.arange(n_conditions), axis=0)
    assert np.ptp(counts, axis=1).max() <= 1


def test_without_shuffling_conditions_come_in_turn():
    condition = draw_trials(7, 3, **{**USUAL, "shuffle": "none", "withhold": 0.0}).condition
    assert condition.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_random_conditions_are_drawn_anew():
    condition = draw_trials(3000, 3, **{**USUAL, "shuffle": "random"}).condition
    counts = np.bincount(condition)
    assert abs(counts - counts.mean()).max() < 4 * np.sqrt(counts.mean())
    repeats = np.mean(condition[1:] == condition[:-1])
    assert repeats == pytest.approx(1 / 3, abs=0.04)


@pytest.mark.parametrize("withhold", [0.0, 0.1, 0.5])
def test_the_withheld_share_is_as_asked(withhold):
    share = draw_trials(5000, 2, **{**USUAL, "withhold": withhold}).withheld.mean()
    assert share == pytest.approx(withhold, abs=3.5 * np.sqrt(withhold * (1 - withhold) / 5000))


def test_withheld_trials_fall_on_all_conditions_alike():
    trials = draw_trials(6000, 2, **{**USUAL, "withhold": 0.3})
    first, second = (trials.withheld[trials.condition == c].mean() for c in (0, 1))
    assert first == pytest.approx(second, abs=0.04)


def test_waits_lie_between_the_interval_and_the_jitter_on_top():
    wait_s = draw_trials(2000, 2, **USUAL).wait_s
    assert wait_s.min() >= 2.0
    assert wait_s.max() <= 3.0
    assert wait_s.mean() == pytest.approx(2.5, abs=0.03)


def test_random_targets_cover_the_circle_evenly():
    target = draw_trials(5000, 1, **USUAL).random_target
    assert np.abs(target).max() <= np.pi
    assert abs(np.mean(np.exp(1j * target))) < 0.05


def test_the_same_seed_draws_the_same_and_another_does_not():
    first, again, other = (draw_trials(200, 3, **{**USUAL, "seed": seed}) for seed in (7, 7, 8))
    for name in ("condition", "withheld", "random_target", "wait_s"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.wait_s[:200], other.wait_s[:200])
