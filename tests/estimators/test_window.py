"""The window of past values against a slow reference that looks at every stretch anew."""

import itertools
import math

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.estimators.window import remember, stride_to, window_slots, windows


@numba.njit
def take(slots, x, seen):
    """Put samples in and note each sample's window, NaN before it is full."""
    n_values = seen.shape[1]
    for i in range(x.size):
        begin = remember(slots, x[i])
        for k in range(n_values):
            seen[i, k] = slots[begin + k] if begin >= 0 else np.nan


def seen_windows(x, n_values, stride, cuts=()):
    """Return what a step would see after every sample, the signal handed over in chunks."""
    slots = window_slots(n_values, stride)
    seen = np.empty((len(x), n_values))
    bounds = [0, *sorted(cuts), len(x)]
    for first, stop in itertools.pairwise(bounds):
        take(slots, x[first:stop], seen[first:stop])
    return seen


def slow_windows(x, n_values, stride):
    """Return each sample's window by the definition: the newest stretch, cut into means of ``stride`` samples."""
    reach = n_values * stride
    seen = np.full((len(x), n_values), np.nan)
    for i in range(reach - 1, len(x)):
        past = x[i + 1 - reach : i + 1]
        if np.isfinite(past).all():
            seen[i] = past.reshape(n_values, stride).mean(axis=1)
    return seen


def draw_signal(n_samples, bad, seed):
    x = np.random.default_rng(seed).normal(0.0, 20.0, n_samples)
    for place, value in bad:
        if place < n_samples:
            x[place] = value
    return x


gaps = st.lists(st.tuples(st.integers(0, 149), st.sampled_from([math.nan, math.inf, -math.inf])), max_size=5)


@given(
    n_values=st.integers(1, 12),
    stride=st.integers(1, 6),
    n_samples=st.integers(0, 150),
    bad=gaps,
    cuts=st.lists(st.integers(0, 150), max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_window_equals_the_slow_reference_for_any_stride_gaps_and_chunks(
    n_values, stride, n_samples, bad, cuts, seed
):
    x = draw_signal(n_samples, bad, seed)
    seen = seen_windows(x, n_values, stride, [min(cut, n_samples) for cut in cuts])
    np.testing.assert_allclose(seen, slow_windows(x, n_values, stride), rtol=1e-12, atol=1e-12)


@given(n_values=st.integers(1, 9), stride=st.integers(1, 5), n_more=st.integers(0, 40), seed=st.integers(0, 999))
def test_designs_see_the_windows_that_the_step_sees(n_values, stride, n_more, seed):
    x = np.random.default_rng(seed).normal(0.0, 20.0, n_values * stride + n_more)
    view, first = windows(x, n_values, stride)
    assert first == n_values * stride - 1
    np.testing.assert_allclose(view, seen_windows(x, n_values, stride)[first:], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("stride", [1, 3])
def test_after_a_missing_sample_the_window_is_whole_again_once_that_sample_has_left_it(stride):
    x = np.arange(60.0)
    x[20] = math.nan
    known = np.isfinite(seen_windows(x, 5, stride)).all(axis=1)
    assert np.flatnonzero(~known).tolist() == [*range(5 * stride - 1), *range(20, 20 + 5 * stride)]


def test_a_mean_is_the_same_however_long_ago_a_large_value_was():
    """Sums that run on would carry what a huge value rounded away for ever."""
    x = np.full(40, 0.1)
    x[3] = 1e17
    assert seen_windows(x, 2, 3)[-1].tolist() == [pytest.approx(0.1, rel=1e-15)] * 2


@pytest.mark.parametrize(
    ("rate_hz", "sfreq", "stride"),
    [(125.0, 125.0, 1), (125.0, 250.0, 2), (125.0, 256.0, 2), (125.0, 100.0, 1), (1000.0, 5000.0, 5)],
)
def test_values_come_at_the_wanted_rate_or_somewhat_faster(rate_hz, sfreq, stride):
    assert stride_to(rate_hz, sfreq) == stride


@pytest.mark.uncompiled
def test_the_compiled_window_equals_the_plain_python(same_as_compiled):
    x = draw_signal(200, [(60, math.nan), (61, math.inf)], 7)
    same_as_compiled(seen=seen_windows(x, 7, 3))
