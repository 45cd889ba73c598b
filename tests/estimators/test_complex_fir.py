"""The shared step against a slow reference that looks at every window anew."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.estimators.complex_fir import complex_fir, fir_state
from closedloop.estimators.interface import N_LEADS, Designed, predict
from closedloop.estimators.output import ErrorModel, rician_phase_sd


def slow_predictions(x, weights, strides):
    """Return each sample's prediction by the definition: means, newest window, sum of products over all inputs."""
    z = np.full((len(x), N_LEADS), np.nan + 0j)
    for i in range(len(x)):
        parts = []
        for column, w, stride in zip(x.T, weights, strides, strict=True):
            reach = w.shape[1] * stride
            past = column[i + 1 - reach : i + 1] if i + 1 >= reach else np.array([math.nan])
            parts.append(w @ past.reshape(-1, stride).mean(axis=1) if np.isfinite(past).all() else None)
        if not any(part is None for part in parts):
            z[i] = np.sum(parts, axis=0)
    return z


def designed(weights, strides, noise=1.0, growth=0.0):
    state = fir_state(
        weights, strides=strides, error=ErrorModel(*(np.full(N_LEADS, v) for v in (noise, growth, np.inf)))
    )
    window_s = max(w.shape[1] * stride for w, stride in zip(weights, strides, strict=True)) / 100.0
    return Designed(complex_fir, state, window_s, {})


def draw_weights(rng, n_taps):
    return rng.normal(size=(N_LEADS, n_taps)) + 1j * rng.normal(size=(N_LEADS, n_taps))


@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), min_size=1, max_size=4),
    n_samples=st.integers(0, 120),
    bad=st.lists(
        st.tuples(st.integers(0, 119), st.integers(0, 3), st.sampled_from([math.nan, math.inf, -math.inf])), max_size=4
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_predictions_equal_the_slow_reference_for_any_inputs_and_gaps(shapes, n_samples, bad, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(0.0, 20.0, (n_samples, len(shapes)))
    for place, column, value in bad:
        if place < n_samples and column < len(shapes):
            x[place, column] = value
    weights = [draw_weights(rng, n_taps) for n_taps, _ in shapes]
    strides = [stride for _, stride in shapes]
    z, sd = predict(designed(weights, strides), x)
    expected = slow_predictions(x, weights, strides)
    np.testing.assert_array_equal(np.isnan(z), np.isnan(expected))
    np.testing.assert_array_equal(np.isnan(sd), np.isnan(expected))
    known = np.isfinite(expected)
    np.testing.assert_allclose(z[known], expected[known], rtol=0, atol=1e-10 * 20 * sum(n for n, _ in shapes))


SHAPES = [(8, 1), (3, 2), (2, 5)]
"""Values and stride of three inputs: windows of 8, 6 and 10 samples."""


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_missing_sample_of_any_input_silences_every_lead_until_that_input_s_window_is_clean(column):
    rng = np.random.default_rng(11)
    weights = [draw_weights(rng, n_taps) for n_taps, _ in SHAPES]
    x = rng.normal(0.0, 20.0, (60, 3))
    x[30, column] = math.nan
    z, sd = predict(designed(weights, [stride for _, stride in SHAPES]), x)
    n_taps, stride = SHAPES[column]
    blind = [*range(10 - 1), *range(30, 30 + n_taps * stride)]
    for result in (z, sd):
        known = np.isfinite(result)
        assert np.flatnonzero(~known.all(axis=1)).tolist() == blind
        assert not known[blind].any()


def test_gaps_of_several_inputs_add_up():
    """The second gap begins while the first still silences: all waits for the last window to be clean."""
    rng = np.random.default_rng(12)
    weights = [draw_weights(rng, n_taps) for n_taps, _ in SHAPES]
    x = rng.normal(0.0, 20.0, (80, 3))
    x[30, 1] = x[34, 2] = x[40, 0] = math.nan
    _, sd = predict(designed(weights, [stride for _, stride in SHAPES]), x)
    assert np.flatnonzero(np.isnan(sd).any(axis=1)).tolist() == [*range(9), *range(30, 48)]


def test_several_inputs_predict_the_sum_of_what_each_alone_predicts():
    rng = np.random.default_rng(13)
    weights = [draw_weights(rng, n_taps) for n_taps, _ in SHAPES]
    strides = [stride for _, stride in SHAPES]
    x = rng.normal(0.0, 20.0, (60, 3))
    whole, _ = predict(designed(weights, strides), x)
    alone = [
        predict(designed([w], [stride]), x[:, k : k + 1])[0]
        for k, (w, stride) in enumerate(zip(weights, strides, strict=True))
    ]
    np.testing.assert_allclose(whole[9:], np.sum(alone, axis=0)[9:], rtol=1e-12, atol=1e-12)


def test_samples_that_are_only_taken_in_count_for_later_predictions():
    rng = np.random.default_rng(14)
    weights = [draw_weights(rng, n_taps) for n_taps, _ in SHAPES]
    design = designed(weights, [stride for _, stride in SHAPES])
    x = rng.normal(0.0, 20.0, (60, 3))
    x[25, 1] = math.nan
    thinned, _ = predict(design, x, every=4)
    whole, _ = predict(design, x)
    np.testing.assert_array_equal(thinned[3::4], whole[3::4])


def test_the_sd_is_the_model_s_at_the_predicted_amplitude():
    weights = draw_weights(np.random.default_rng(5), 3)
    x = np.random.default_rng(6).normal(0.0, 20.0, (50, 1))
    z, sd = predict(designed([weights], [1], noise=9.0, growth=0.2), x)
    power = np.abs(z[2:]) ** 2
    expected = rician_phase_sd(np.sqrt(power / (9.0 + 0.2 * power)))
    np.testing.assert_allclose(sd[2:], expected, rtol=0.01)


def test_a_dead_signal_has_no_sd():
    weights = np.full((N_LEADS, 3), 1.0 + 0j)
    _, sd = predict(designed([weights], [1]), np.zeros((10, 1)))
    assert np.isnan(sd).all()


@given(first=st.integers(0, N_LEADS), stop=st.integers(0, N_LEADS))
def test_only_the_wanted_leads_are_written(first, stop):
    weights = draw_weights(np.random.default_rng(0), 2)
    x = np.random.default_rng(1).normal(size=(5, 1))
    z, sd = predict(designed([weights], [1]), x, first=first, stop=stop)
    whole_z, whole_sd = predict(designed([weights], [1]), x)
    wanted = slice(first, max(first, stop))
    np.testing.assert_array_equal(z[:, wanted], whole_z[:, wanted])
    np.testing.assert_array_equal(sd[:, wanted], whole_sd[:, wanted])
    others = np.setdiff1d(np.arange(N_LEADS), np.arange(first, stop))
    assert np.isnan(z[:, others]).all()
    assert np.isnan(sd[:, others]).all()


def test_predicting_leaves_the_design_as_it_was():
    design = designed([draw_weights(np.random.default_rng(0), 3)], [2])
    before = design.state.copy()
    predict(design, np.ones((20, 1)))
    np.testing.assert_array_equal(design.state, before)


@pytest.mark.uncompiled
def test_the_compiled_step_equals_the_plain_python(same_as_compiled):
    rng = np.random.default_rng(7)
    x = rng.normal(0.0, 20.0, (200, 2))
    x[60, 1] = np.nan
    z, sd = predict(designed([draw_weights(rng, 10), draw_weights(rng, 5)], [3, 2], growth=0.1), x)
    same_as_compiled(re=z.real, im=z.imag, sd=sd)
