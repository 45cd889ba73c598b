"""The SD of the phase error: its law, its table, its fit, and what a method learns on rest."""

import itertools
import math

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from closedloop.estimators.complex_fir import OUTPUT, complex_fir, fir_state
from closedloop.estimators.interface import N_LEADS, Designed, Rest, predict
from closedloop.estimators.output import (
    N_GROUPS,
    N_SLOTS,
    ErrorModel,
    error_model,
    half_width,
    learn_output,
    output_slots,
    phase_sd,
    rician_phase_sd,
)


@numba.njit
def phase_sds(slots, lead, powers, sds):
    for i in range(powers.size):
        sds[i] = phase_sd(slots, lead, powers[i])


def model_of(noise, growth=0.0, largest=math.inf):
    return ErrorModel(*(np.broadcast_to(np.asarray(value, float), N_LEADS) for value in (noise, growth, largest)))


def sd_at(power, *, noise=1.0, growth=0.0, largest=math.inf):
    """Return the modelled SD at one squared amplitude, of a model that is the same for every lead."""
    slots = output_slots(model_of(noise, growth, largest))
    sds = np.empty(1)
    phase_sds(slots, 2, np.array([power]), sds)
    return sds[0]


def integrated_phase_sd(u):
    """Return the circular SD of the phase of u plus a complex Gaussian of variance 1, from its density."""
    phase = np.linspace(-np.pi, np.pi, 4096, endpoint=False)
    along = u * np.cos(phase)
    density = np.exp(-(u**2)) / (2 * np.pi) + along / (2 * math.sqrt(np.pi)) * np.exp(-((u * np.sin(phase)) ** 2)) * (
        1 + special.erf(along)
    )
    resultant = np.mean(density * np.cos(phase)) * 2 * np.pi
    return math.sqrt(-2 * math.log(resultant))


def test_the_sd_is_that_of_the_rician_phase():
    u = np.concatenate([np.geomspace(0.02, 5.9, 60), [6.0]])
    expected = [integrated_phase_sd(value) for value in u]
    np.testing.assert_allclose(rician_phase_sd(u), expected, rtol=1e-8)


@pytest.mark.parametrize("u", [0.1, 0.3, 0.53, 1.0, 2.22, 4.0, 7.9, 8.1, 15.0])
def test_the_table_is_read_to_a_hundredth(u):
    exact = integrated_phase_sd(u) if u < 8 else 1 / (math.sqrt(2) * u)
    assert sd_at((2.0 * u) ** 2, noise=4.0) == pytest.approx(exact, rel=0.01)


@given(st.lists(st.floats(1e-3, 1e4), min_size=2, max_size=20))
def test_the_sd_falls_as_the_rhythm_grows(powers):
    sds = [sd_at(power) for power in sorted(powers)]
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in itertools.pairwise(sds))


def test_errors_that_grow_with_the_amplitude_end_in_a_constant_sd():
    assert sd_at(1e12, noise=1.0, growth=0.25) == pytest.approx(integrated_phase_sd(2.0), rel=0.01)


@pytest.mark.parametrize(("noise", "growth"), [(1.0, 0.0), (4.0, 0.2)])
def test_the_further_beyond_what_the_model_knows_the_less_sure(noise, growth):
    of = {"noise": noise, "growth": growth, "largest": 100.0}
    assert sd_at(99.0, **of) == sd_at(99.0, noise=noise, growth=growth) > sd_at(100.0, **of)
    sds = [sd_at(power, **of) for power in (100.0, 101.0, 150.0, 1e3, 1e6)]
    assert all(earlier < later for earlier, later in itertools.pairwise(sds))
    # Ten times the amplitude: nothing is known.
    assert sd_at(1e4, **of) > math.radians(100.0)


def test_a_model_is_believed_up_to_twice_the_usual_amplitudes_that_it_was_fitted_to():
    rng = np.random.default_rng(7)
    predicted = rng.rayleigh(10.0, (5_000, 2)) + 0j
    predicted[:20] = 1e4  # a short artifact
    largest = error_model(predicted, predicted + rng.normal(size=predicted.shape)).largest
    np.testing.assert_allclose(np.sqrt(largest), 2.0 * 10.0 * math.sqrt(-2.0 * math.log(0.01)), rtol=0.1)


def test_an_error_that_is_a_share_of_the_amplitude_grows_with_it():
    rng = np.random.default_rng(9)
    shape = (1_500, 20)
    predicted = rng.rayleigh(10.0, shape) + 0j
    missed = predicted * 0.5 * (rng.normal(size=shape) + 1j * rng.normal(size=shape))
    noise, growth, _ = error_model(predicted, predicted + missed)
    assert (noise >= 0.0).all()
    np.testing.assert_allclose(growth, 0.5, rtol=0.25)


@pytest.mark.parametrize(("noise", "growth"), [(0.0, 0.0), (-1.0, 0.0), (math.nan, 0.0)])
def test_an_error_model_that_is_none_gives_no_sd(noise, growth):
    assert math.isnan(sd_at(4.0, noise=noise, growth=growth))


def test_an_endless_error_gives_no_small_sd():
    assert not sd_at(4.0, noise=math.inf) < 1.0


@pytest.mark.parametrize("power", [0.0, math.nan])
def test_without_amplitude_there_is_no_sd(power):
    assert math.isnan(sd_at(power))


def test_each_lead_has_its_own_error():
    slots = output_slots(model_of(1.0 + np.arange(N_LEADS), 0.01 * np.arange(N_LEADS)))
    for lead in range(N_LEADS):
        sds = np.empty(1)
        phase_sds(slots, lead, np.array([25.0]), sds)
        u = 5.0 / math.sqrt(1.0 + lead + 0.01 * lead * 25.0)
        assert sds[0] == pytest.approx(integrated_phase_sd(u), rel=0.01)


def test_the_error_model_finds_how_errors_grow():
    rng = np.random.default_rng(6)
    predicted = rng.rayleigh(10.0, (40_000, 1)) * np.exp(2j * np.pi * rng.random((40_000, 1)))
    scale = np.sqrt((9.0 + 0.04 * np.abs(predicted) ** 2) / 2)
    missed = scale * (rng.normal(size=predicted.shape) + 1j * rng.normal(size=predicted.shape))
    noise, growth, _ = error_model(predicted, predicted + missed)
    assert noise[0] == pytest.approx(9.0, rel=0.05)
    assert growth[0] == pytest.approx(0.04, rel=0.05)


def test_errors_that_shrink_as_the_rhythm_grows_are_modelled_as_constant():
    rng = np.random.default_rng(8)
    predicted = rng.rayleigh(10.0, (20_000, 1)) + 0j
    missed = 10.0 / (1.0 + predicted.real) * np.exp(2j * np.pi * rng.random(predicted.shape))
    noise, growth, _ = error_model(predicted, predicted + missed)
    assert growth[0] == 0.0
    assert noise[0] == pytest.approx(np.mean(np.abs(missed) ** 2), rel=1e-12)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("u", [0.02, 0.3, 1.0, 2.0, 5.0, 30.0])
def test_the_half_width_holds_its_share_of_random_phases(u, share):
    rng = np.random.default_rng(10)
    n = 200_000
    drawn = np.angle(u + rng.normal(0.0, math.sqrt(0.5), (n, 2)) @ [1.0, 1j])
    held = np.mean(np.abs(drawn) <= half_width(rician_phase_sd(np.array([u])), share)[0])
    # Four standard errors of a share, and what the grid of phases and SDs is coarse.
    assert held == pytest.approx(share, abs=4.0 * math.sqrt(share * (1 - share) / n) + 0.001)


@given(st.lists(st.floats(0.0, 6.0), min_size=2, max_size=20), st.sampled_from([0.5, 0.95]))
def test_the_less_sure_the_wider_and_never_more_than_half_a_circle(sds, share):
    widths = half_width(np.sort(sds), share)
    assert (np.diff(widths) >= 0.0).all()
    assert widths[-1] <= np.pi


@pytest.mark.parametrize(("share", "quantile"), [(0.95, 1.959964), (0.5, 0.674490)])
def test_a_very_small_error_is_normal(share, quantile):
    sd = np.radians([0.001, 0.1, 0.9])
    np.testing.assert_allclose(half_width(sd, share), quantile * sd, rtol=1e-6)


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_where_the_normal_ends_and_the_table_begins_the_width_does_not_jump(share):
    sd = np.radians(np.linspace(0.8, 1.4, 601))
    np.testing.assert_allclose(half_width(sd, share), special.ndtri(0.5 + share / 2) * sd, rtol=2e-3)


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_without_any_knowledge_the_share_is_that_of_the_circle(share):
    assert half_width(np.array([50.0]), share)[0] == pytest.approx(share * np.pi, rel=1e-3)


def test_an_unknown_sd_has_an_unknown_width_and_spoils_no_other():
    widths = half_width(np.array([np.nan, 0.5, np.nan, 0.005]), 0.95)
    assert np.isnan(widths).tolist() == [True, False, True, False]
    assert widths[1] == half_width(np.array([0.5]), 0.95)[0]


def last_value_filter(*, factor=1.0):
    """Return the state of a method that takes the newest value for the analytic signal, at every lead."""
    weights = np.full((N_LEADS, 1), factor, complex)
    return fir_state([weights], strides=[1])


def rest_with_error(error, *, seconds=240.0, sfreq=200.0, seed=9):
    """Return a rest whose target is the input plus a known complex error, the target's edges unknown."""
    n_samples = round(seconds * sfreq)
    rng = np.random.default_rng(seed)
    x = rng.normal(0.0, 10.0, n_samples)
    target = x + error(rng, n_samples)
    target[:10] = np.nan
    return Rest(x[:, None], target, sfreq, (8.0, 12.0), 10.0)


def gaussian(rng, n_samples):
    return (rng.normal(size=n_samples) + 1j * rng.normal(size=n_samples)) * math.sqrt(8.0)


def test_a_method_learns_its_own_error_on_rest():
    """The newest value misses its own target by the error alone; of a later one, in white noise, it says nothing."""
    state = last_value_filter()
    learn_output(complex_fir, state, OUTPUT, rest_with_error(gaussian))
    noise, growth = state[OUTPUT + 2 * N_LEADS : OUTPUT + 4 * N_LEADS].reshape(2, N_LEADS)
    assert noise[0] == pytest.approx(16.0, rel=0.1)
    assert growth[0] == pytest.approx(0.0, abs=0.01)
    sd = predict(Designed(complex_fir, state, 0.0, {}), np.full((1, 1), 10.0))[1][0]
    assert sd[0] < math.radians(20.0)
    assert (sd[1:] > math.radians(120.0)).all()


def test_what_a_method_shrinks_is_no_error_of_its_phase_and_only_tuning_makes_it_larger():
    rest = rest_with_error(gaussian)
    large, small, tuned = last_value_filter(), last_value_filter(factor=0.5), last_value_filter(factor=0.5)
    learn_output(complex_fir, large, OUTPUT, rest)
    learn_output(complex_fir, small, OUTPUT, rest)
    learn_output(complex_fir, tuned, OUTPUT, rest, tuned=True)
    of = [predict(Designed(complex_fir, state, 0.0, {}), rest.inputs[:200], stop=1) for state in (large, small, tuned)]
    np.testing.assert_allclose(of[1][1][:, 0], of[0][1][:, 0], rtol=1e-9)
    np.testing.assert_allclose(of[1][0][:, 0], 0.5 * of[0][0][:, 0])
    np.testing.assert_allclose(of[2][0][:, 0], of[0][0][:, 0], rtol=0.02)


def test_tuning_turns_a_method_that_is_off_by_a_constant():
    rest = rest_with_error(gaussian)
    state = last_value_filter(factor=np.exp(0.7j))
    learn_output(complex_fir, state, OUTPUT, rest, tuned=True)
    z, _ = predict(Designed(complex_fir, state, 0.0, {}), rest.inputs[:200], stop=1)
    turned = np.angle(np.mean(z[:, 0] * rest.inputs[:200, 0]))
    assert turned == pytest.approx(0.0, abs=math.radians(2.0))


def test_to_learn_the_error_changes_no_other_slot():
    before, state = last_value_filter(), last_value_filter()
    learn_output(complex_fir, state, OUTPUT, rest_with_error(gaussian))
    changed = np.flatnonzero(state != before)
    assert changed.size > 0
    assert ((changed >= OUTPUT) & (changed < OUTPUT + N_SLOTS)).all()


def test_a_rest_with_too_few_known_targets_leaves_the_sd_unknown_and_the_prediction_as_it_was():
    rest = rest_with_error(gaussian)
    rest.target[: -2 * N_GROUPS] = np.nan
    state = last_value_filter()
    learn_output(complex_fir, state, OUTPUT, rest)
    z, sd = predict(Designed(complex_fir, state, 0.0, {}), rest.inputs[:50])
    assert np.isnan(sd).all()
    np.testing.assert_array_equal(z, np.broadcast_to(rest.inputs[:50], z.shape))


@pytest.mark.uncompiled
def test_the_compiled_sd_equals_the_plain_python(same_as_compiled):
    slots = output_slots(model_of(4.0, 0.1, 1e6))
    sds = np.empty(50)
    phase_sds(slots, 3, np.concatenate([[0.0], np.geomspace(1e-6, 1e9, 49)]), sds)
    same_as_compiled(sds=sds)
