"""The shared step against a slow reference that looks at every window anew."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from closedloop.estimators.complex_fir import complex_fir, fir_state
from closedloop.estimators.interface import N_LEADS, Designed, predict
from closedloop.estimators.uncertainty import error_model, rician_phase_sd
from closedloop.estimators.window import windows


def integrated_phase_sd(u):
    """Return the circular SD of the phase of u plus a complex Gaussian of variance 1, from its density."""
    phase = np.linspace(-np.pi, np.pi, 4096, endpoint=False)
    along = u * np.cos(phase)
    density = np.exp(-(u**2)) / (2 * np.pi) + along / (2 * math.sqrt(np.pi)) * np.exp(-((u * np.sin(phase)) ** 2)) * (
        1 + special.erf(along)
    )
    resultant = np.mean(density * np.cos(phase)) * 2 * np.pi
    return math.sqrt(-2 * math.log(resultant))


def slow_predictions(x, weights, stride):
    """Return each sample's prediction by the definition: means, newest window, sum of products."""
    n_taps = weights.shape[1]
    reach = n_taps * stride
    z = np.full((len(x), N_LEADS), np.nan + 0j)
    for i in range(reach - 1, len(x)):
        past = x[i + 1 - reach : i + 1]
        if np.isfinite(past).all():
            z[i] = weights @ past.reshape(n_taps, stride).mean(axis=1)
    return z


def designed(weights, stride, noise=1.0, growth=0.0):
    state = fir_state([weights], strides=[stride], noise=np.full(N_LEADS, noise), growth=np.full(N_LEADS, growth))
    return Designed(complex_fir, state, weights.shape[1] * stride / 100.0, {})


def draw_weights(rng, n_taps):
    return rng.normal(size=(N_LEADS, n_taps)) + 1j * rng.normal(size=(N_LEADS, n_taps))


@given(
    n_taps=st.integers(1, 9),
    stride=st.integers(1, 4),
    n_samples=st.integers(0, 120),
    bad=st.lists(st.tuples(st.integers(0, 119), st.sampled_from([math.nan, math.inf, -math.inf])), max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_predictions_equal_the_slow_reference_for_any_gaps(n_taps, stride, n_samples, bad, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(0.0, 20.0, n_samples)
    for place, value in bad:
        if place < n_samples:
            x[place] = value
    weights = draw_weights(rng, n_taps)
    z, sd = predict(designed(weights, stride), x[:, None])
    expected = slow_predictions(x, weights, stride)
    np.testing.assert_array_equal(np.isnan(z), np.isnan(expected))
    np.testing.assert_array_equal(np.isnan(sd), np.isnan(expected))
    known = np.isfinite(expected)
    np.testing.assert_allclose(z[known], expected[known], rtol=0, atol=1e-10 * 20 * n_taps)


def test_the_sd_is_that_of_the_rician_phase():
    u = np.concatenate([np.geomspace(0.02, 5.9, 60), [6.0]])
    expected = [integrated_phase_sd(value) for value in u]
    np.testing.assert_allclose(rician_phase_sd(u), expected, rtol=1e-8)


@pytest.mark.parametrize("u", [0.1, 0.3, 0.53, 1.0, 2.22, 4.0, 7.9, 8.1, 15.0])
def test_the_step_reads_the_sd_off_its_table(u):
    weights = np.full((N_LEADS, 1), 1.0 + 0j)
    _, sd = predict(designed(weights, 1, noise=4.0), np.full((1, 1), 2.0 * u))
    exact = integrated_phase_sd(u) if u < 8 else 1 / (math.sqrt(2) * u)
    np.testing.assert_allclose(sd, exact, rtol=0.01)


def test_errors_that_grow_with_the_amplitude_end_in_a_constant_sd():
    weights = np.full((N_LEADS, 1), 1.0 + 0j)
    _, sd = predict(designed(weights, 1, noise=1.0, growth=0.25), np.full((1, 1), 1e6))
    np.testing.assert_allclose(sd, integrated_phase_sd(2.0), rtol=0.01)


@pytest.mark.parametrize(("noise", "growth"), [(0.0, 0.0), (-1.0, 0.0), (math.nan, 0.0), (math.inf, 0.0)])
def test_an_error_model_that_is_none_gives_no_small_sd(noise, growth):
    weights = np.full((N_LEADS, 1), 1.0 + 0j)
    _, sd = predict(designed(weights, 1, noise=noise, growth=growth), np.full((1, 1), 2.0))
    assert not np.any(sd < 1.0)


def test_a_dead_signal_has_no_sd():
    weights = np.full((N_LEADS, 3), 1.0 + 0j)
    _, sd = predict(designed(weights, 1), np.zeros((10, 1)))
    assert np.isnan(sd).all()


@given(first=st.integers(0, N_LEADS), stop=st.integers(0, N_LEADS))
def test_only_the_wanted_leads_are_written(first, stop):
    weights = draw_weights(np.random.default_rng(0), 2)
    x = np.random.default_rng(1).normal(size=(5, 1))
    z, sd = predict(designed(weights, 1), x, first=first, stop=stop)
    whole_z, whole_sd = predict(designed(weights, 1), x)
    wanted = slice(first, max(first, stop))
    np.testing.assert_array_equal(z[:, wanted], whole_z[:, wanted])
    np.testing.assert_array_equal(sd[:, wanted], whole_sd[:, wanted])
    others = np.setdiff1d(np.arange(N_LEADS), np.arange(first, stop))
    assert np.isnan(z[:, others]).all()
    assert np.isnan(sd[:, others]).all()


def test_predicting_leaves_the_design_as_it_was():
    design = designed(draw_weights(np.random.default_rng(0), 3), 2)
    before = design.state.copy()
    predict(design, np.ones((20, 1)))
    np.testing.assert_array_equal(design.state, before)


@given(n_taps=st.integers(1, 9), stride=st.integers(1, 4), n_more=st.integers(0, 30))
def test_a_design_sees_the_windows_that_the_step_sees(n_taps, stride, n_more):
    x = np.random.default_rng(3).normal(size=n_taps * stride + n_more)
    view, first = windows(x, n_taps, stride)
    weights = draw_weights(np.random.default_rng(4), n_taps)
    z, _ = predict(designed(weights, stride), x[:, None])
    assert first == n_taps * stride - 1
    np.testing.assert_allclose(view @ weights.T, z[first:], rtol=1e-9, atol=1e-9)


def test_the_error_model_finds_how_errors_grow():
    rng = np.random.default_rng(6)
    predicted = rng.rayleigh(10.0, (40_000, 1)) * np.exp(2j * np.pi * rng.random((40_000, 1)))
    scale = np.sqrt((9.0 + 0.04 * np.abs(predicted) ** 2) / 2)
    missed = scale * (rng.normal(size=predicted.shape) + 1j * rng.normal(size=predicted.shape))
    noise, growth = error_model(predicted, predicted + missed)
    assert noise[0] == pytest.approx(9.0, rel=0.05)
    assert growth[0] == pytest.approx(0.04, rel=0.05)


@pytest.mark.uncompiled
def test_the_compiled_step_equals_the_plain_python(same_as_compiled):
    rng = np.random.default_rng(7)
    x = rng.normal(0.0, 20.0, (200, 1))
    x[60] = np.nan
    z, sd = predict(designed(draw_weights(rng, 10), 3, growth=0.1), x)
    same_as_compiled(re=z.real, im=z.imag, sd=sd)
