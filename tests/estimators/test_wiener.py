"""wiener: what it predicts of signals whose future is known, alone and with the help of other channels."""

import re

import numpy as np
import pytest
from scipy import linalg, signal

from closedloop.config.estimators import Wiener
from closedloop.errors import CalibrationError
from closedloop.estimators.interface import LEADS_S, Rest, predict
from closedloop.estimators.wiener import RIDGES, SHARES, design_wiener

SFREQ = 125.0
BAND_HZ = (8.0, 12.0)
AMPLITUDE_UV = 10.0
WIENER = Wiener(type="wiener", window_s=0.5)
HELPED = Wiener(type="wiener", helpers="all")
OWN, HELPERS = (round(length_s * SFREQ) for length_s in (HELPED.window_s, HELPED.helper_window_s))
"""Values of HELPED's windows; at 125 Hz every bin is one value."""


def circular_sd(error):
    return np.sqrt(-2 * np.log(np.abs(np.mean(np.exp(1j * error), axis=0))))


@pytest.mark.parametrize("sfreq", [125.0, 250.0, 500.0])
def test_it_predicts_a_pure_sine_within_a_tenth_of_a_degree_at_every_lead(make_sine_rest, sfreq):
    rest = make_sine_rest(sfreq=sfreq, seconds=30.0, frequency_hz=9.7)
    z, sd = predict(design_wiener(rest, WIENER), rest.inputs)
    rows = np.arange(round(sfreq), round(20 * sfreq))
    ahead = 10.0 * np.exp(2j * np.pi * 9.7 * (rows[:, None] / sfreq + LEADS_S))
    assert np.degrees(np.abs(np.angle(z[rows] / ahead))).max() < 0.1
    assert np.nanmax(np.degrees(sd[rows])) < 1.0


def waxing_rest(*, noise_uv, width_hz, seed, seconds=200.0):
    """Return a rhythm of 10 µV that waxes and wanes as a narrow Gaussian process does, in white noise."""
    rng = np.random.default_rng(seed)
    n_samples = round(seconds * 125.0)
    envelope = rng.normal(size=n_samples) + 1j * rng.normal(size=n_samples)
    for _ in range(2):
        envelope = signal.lfilter([1.0], [1.0, -np.exp(-np.pi * width_hz / 125.0)], envelope)
    envelope *= 10.0 / np.sqrt(np.mean(np.abs(envelope) ** 2))
    target = envelope * np.exp(2j * np.pi * 10.0 * np.arange(n_samples) / 125.0)
    inputs = target.real + rng.normal(0.0, noise_uv, n_samples)
    return Rest(inputs[:, None], target, 125.0, BAND_HZ, 10.0)


def promised_and_observed(design, fresh, lead, groups=1):
    """Return the circular SDs that new data's SDs promise and that its errors have, by rising SD."""
    z, sd = predict(design, fresh.inputs)
    truth = fresh.targets()[:, lead]
    known = np.isfinite(truth) & np.isfinite(sd[:, lead])
    error, sd = np.angle(z[known, lead] / truth[known]), sd[known, lead]
    parts = np.array_split(np.argsort(sd), groups)
    promised = [np.sqrt(-2 * np.log(np.mean(np.exp(-(sd[part] ** 2) / 2)))) for part in parts]
    return promised, [circular_sd(error[part]) for part in parts]


@pytest.mark.parametrize(("noise_uv", "width_hz"), [(1.5, 3.0), (3.5, 1.0), (14.0, 1.0)])
def test_it_knows_the_sd_of_its_error_and_when_it_is_small(noise_uv, width_hz):
    design = design_wiener(waxing_rest(noise_uv=noise_uv, width_hz=width_hz, seed=1), WIENER)
    fresh = waxing_rest(noise_uv=noise_uv, width_hz=width_hz, seed=2)
    for lead in (0, 2, 10):
        for groups in (1, 5):
            promised, observed = promised_and_observed(design, fresh, lead, groups)
            np.testing.assert_allclose(promised, observed, rtol=0.15)


@pytest.mark.parametrize("noise_uv", [2.0, 10.0, 20.0])
def test_its_sd_is_never_too_small_for_a_steady_sine(make_sine_rest, noise_uv):
    """A steady amplitude is not Gaussian: the model takes its missing spread for error, and is careful."""
    design = design_wiener(make_sine_rest(noise_uv=noise_uv, seed=1), WIENER)
    (promised,), (observed,) = promised_and_observed(
        design, make_sine_rest(noise_uv=noise_uv, seed=2, seconds=120.0), 2
    )
    assert 0.95 * observed < promised < 1.3 * observed


def test_it_chooses_a_larger_ridge_for_noise_than_for_a_sine(make_sine_rest):
    clean = design_wiener(make_sine_rest(noise_uv=0.01), WIENER).facts["ridge"]
    noisy = design_wiener(make_sine_rest(noise_uv=50.0), WIENER).facts["ridge"]
    assert RIDGES[0] <= clean < noisy <= RIDGES[-1]


def test_its_prediction_does_not_depend_on_an_offset(make_sine_rest):
    design = design_wiener(make_sine_rest(noise_uv=5.0), WIENER)
    fresh = make_sine_rest(noise_uv=5.0, seed=3, seconds=10.0)
    z, _ = predict(design, fresh.inputs)
    lifted, _ = predict(design, fresh.inputs + 100.0)
    np.testing.assert_allclose(lifted[200:], z[200:], atol=1e-6)


def test_its_window_is_as_long_as_asked_and_must_be_clean(make_sine_rest):
    design = design_wiener(make_sine_rest(noise_uv=1.0), WIENER)
    assert design.window_s == pytest.approx(0.5, abs=0.01)
    x = make_sine_rest(seconds=4.0).inputs.copy()
    x[500] = np.nan
    _, sd = predict(design, x)
    n_window = round(design.window_s * 250)
    blind = np.flatnonzero(np.isnan(sd).all(axis=1))
    assert blind.tolist() == [*range(n_window - 1), *range(500, 500 + n_window)]


def test_a_calibration_that_is_too_short_is_one_clear_line(make_sine_rest, one_line_error):
    line = one_line_error(CalibrationError, design_wiener, make_sine_rest(seconds=1.5), WIENER)
    assert re.match(r"calibration of 1\.5 s is too short for a window of 0\.\d+ s: at least \d\.?\d* s", line)


def test_the_length_that_it_asks_for_is_enough(make_sine_rest):
    with pytest.raises(CalibrationError) as caught:
        design_wiener(make_sine_rest(seconds=2.0), WIENER)
    needed_s = float(str(caught.value).split("at least ")[1].split(" s")[0])
    design_wiener(make_sine_rest(seconds=needed_s + 0.1, noise_uv=1.0), WIENER)


def many(*noise_uv, seconds=60.0, seed=1, weights=None):
    """Return a rest of a 10 Hz sine in white noise, on one channel for each SD of the noise, in µV."""
    times_s = np.arange(round(seconds * SFREQ)) / SFREQ
    target = AMPLITUDE_UV * np.exp(2j * np.pi * 10.0 * times_s)
    rng = np.random.default_rng(seed)
    shown = np.ones(len(noise_uv)) if weights is None else np.array(weights)
    inputs = np.column_stack(
        [w * target.real + rng.normal(0.0, s, target.size) for w, s in zip(shown, noise_uv, strict=True)]
    )
    return Rest(inputs, target, SFREQ, BAND_HZ, 10.0)


def of_inputs(rest, inputs):
    return Rest(np.ascontiguousarray(inputs), rest.target, rest.sfreq, rest.band_hz, rest.peak_hz)


def explainable(*noise_uv):
    """Return the share of the target's power that no linear predictor from these windows exceeds.

    Each window comes without its own mean. With covariance R of what is seen and its covariance r with the
    target, of power P, the share is r* R^-1 r / P; how far ahead the target lies does not matter for a sine.
    """
    lengths = [OWN] + [HELPERS] * (len(noise_uv) - 1)
    age = np.concatenate([np.arange(n) for n in lengths])
    turn = 2 * np.pi * 10.0 / SFREQ
    centre = linalg.block_diag(*[np.eye(n) - 1.0 / n for n in lengths])
    covariance = AMPLITUDE_UV**2 / 2 * np.cos(turn * (age[:, None] - age)) + np.diag(
        np.repeat(noise_uv, lengths) ** 2.0
    )
    common = centre @ (AMPLITUDE_UV**2 / 2 * np.exp(1j * turn * age))
    inverse = np.linalg.pinv(centre @ covariance @ centre, rcond=1e-9)
    return float((common.conj() @ inverse @ common).real) / AMPLITUDE_UV**2


def missed(designed, fresh):
    """Return the share of the target's power that predictions of new data miss, over all leads."""
    z, _ = predict(designed, fresh.inputs)
    truth = fresh.targets()
    known = np.isfinite(truth).all(axis=1) & np.isfinite(z).all(axis=1)
    return float(np.sum(np.abs(z[known] - truth[known]) ** 2) / np.sum(np.abs(truth[known]) ** 2))


NOISES = [(20.0,), (5.0,), (20.0, 5.0), (20.0, 20.0), (20.0, 20.0, 20.0, 20.0)]


@pytest.mark.parametrize("noise_uv", NOISES, ids=str)
def test_it_explains_what_theory_says_can_be_explained_alone_and_with_help(noise_uv):
    designed = design_wiener(many(*noise_uv), HELPED)
    assert designed.facts["helpers"] == len(noise_uv) - 1
    # A minute of rest tells the noise's power to some per cent.
    assert designed.facts["explained"] == pytest.approx(explainable(*noise_uv), abs=0.015)
    assert designed.facts["explained_without_helpers"] == pytest.approx(explainable(noise_uv[0]), abs=0.015)


@pytest.mark.parametrize("noise_uv", NOISES, ids=str)
def test_what_it_says_of_held_out_rest_holds_on_new_data(noise_uv):
    designed = design_wiener(many(*noise_uv), HELPED)
    fresh = many(*noise_uv, seconds=120.0, seed=2)
    assert 1.0 - missed(designed, fresh) == pytest.approx(designed.facts["explained"], abs=0.02)


def test_helpers_that_hold_the_rhythm_with_less_noise_lower_the_error_of_new_data():
    alone = design_wiener(many(20.0), WIENER.model_copy(update={"window_s": 0.32}))
    helped = design_wiener(many(20.0, 5.0), HELPED)
    assert missed(helped, many(20.0, 5.0, seed=2)) < missed(alone, many(20.0, seed=2)) / 3


@pytest.mark.parametrize(("width_hz", "groups"), [(1.0, 1), (1.0, 5)])
def test_with_helpers_too_it_knows_the_sd_of_its_error(width_hz, groups):
    def two(seed):
        rest = waxing_rest(noise_uv=14.0, width_hz=width_hz, seed=seed)
        helper = rest.target.real + np.random.default_rng(seed + 10).normal(0.0, 4.0, rest.target.size)
        return of_inputs(rest, np.column_stack([rest.inputs[:, 0], helper]))

    designed = design_wiener(two(1), HELPED)
    assert designed.facts["helpers"] == 1
    for lead in (0, 2, 10):
        promised, observed = promised_and_observed(designed, two(2), lead, groups)
        np.testing.assert_allclose(promised, observed, rtol=0.15)


@pytest.mark.parametrize("n_helpers", [1, 3, 18])
def test_helpers_of_nothing_but_noise_are_left_out_and_change_nothing(n_helpers):
    rest = many(10.0, *[15.0] * n_helpers, weights=[1.0] + [0.0] * n_helpers)
    helped = design_wiener(rest, HELPED)
    alone = design_wiener(of_inputs(rest, rest.inputs[:, :1]), HELPED)
    assert helped.facts["helpers"] == 0
    assert helped.facts["helper_share"] == 0.0
    np.testing.assert_array_equal(helped.state, alone.state)


def test_helpers_that_are_given_are_not_used_unless_asked_for():
    rest = many(20.0, 5.0)
    unasked = design_wiener(rest, Wiener(type="wiener"))
    alone = design_wiener(of_inputs(rest, rest.inputs[:, :1]), Wiener(type="wiener"))
    assert unasked.facts == alone.facts
    np.testing.assert_array_equal(unasked.state, alone.state)


SUPERFLUOUS = {
    "equal to the signal": lambda x: x[:, [0, 0]],
    "the signal turned over": lambda x: np.column_stack([x[:, 0], -x[:, 0]]),
    "zero": lambda x: np.column_stack([x[:, 0], 0.0 * x[:, 0]]),
    "constant": lambda x: np.column_stack([x[:, 0], 0.0 * x[:, 0] + 7.0]),
    "many equal to the signal": lambda x: x[:, [0] * 6],
}


@pytest.mark.parametrize("inputs", SUPERFLUOUS.values(), ids=SUPERFLUOUS.keys())
def test_a_helper_that_says_nothing_new_does_no_harm(inputs):
    rest, fresh = many(20.0), many(20.0, seed=2, seconds=120.0)
    alone = missed(design_wiener(rest, HELPED), fresh)
    helped = missed(design_wiener(of_inputs(rest, inputs(rest.inputs)), HELPED), of_inputs(fresh, inputs(fresh.inputs)))
    assert helped == pytest.approx(alone, rel=0.02)


def test_a_helper_that_is_given_twice_helps_as_much_as_once():
    rest, fresh = many(20.0, 5.0), many(20.0, 5.0, seed=2, seconds=120.0)
    once = missed(design_wiener(rest, HELPED), fresh)
    twice = [of_inputs(r, r.inputs[:, [0, 1, 1]]) for r in (rest, fresh)]
    assert missed(design_wiener(twice[0], HELPED), twice[1]) == pytest.approx(once, rel=0.05)


def test_a_dead_helper_takes_nothing_from_those_that_help():
    rest, fresh = many(20.0, 5.0), many(20.0, 5.0, seed=2, seconds=120.0)
    once = missed(design_wiener(rest, HELPED), fresh)
    dead = [of_inputs(r, np.column_stack([r.inputs, np.zeros(len(r.inputs))])) for r in (rest, fresh)]
    assert missed(design_wiener(dead[0], HELPED), dead[1]) == pytest.approx(once, rel=0.05)


@pytest.mark.parametrize("gain", [1e-3, 1e3])
def test_in_which_unit_a_helper_comes_does_not_matter(gain):
    rest = many(20.0, 5.0)
    scaled = of_inputs(rest, rest.inputs * [1.0, gain])
    z, sd = predict(design_wiener(rest, HELPED), rest.inputs)
    other_z, other_sd = predict(design_wiener(scaled, HELPED), scaled.inputs)
    np.testing.assert_allclose(other_z, z, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(other_sd, sd, rtol=1e-6)


def test_no_offset_of_a_helper_shifts_the_prediction():
    rest = many(20.0, 5.0)
    designed = design_wiener(rest, HELPED)
    np.testing.assert_allclose(
        predict(designed, rest.inputs + np.array([0.0, 1000.0]))[0], predict(designed, rest.inputs)[0], atol=1e-6
    )


@pytest.mark.parametrize(("own_s", "helpers_s"), [(0.32, 0.128), (0.2, 0.4)])
def test_the_longer_of_both_windows_must_be_clean(own_s, helpers_s):
    designed = design_wiener(
        many(20.0, 5.0), HELPED.model_copy(update={"window_s": own_s, "helper_window_s": helpers_s})
    )
    assert designed.window_s == pytest.approx(max(own_s, helpers_s))
    for column, length_s in enumerate((own_s, helpers_s)):
        x = many(20.0, 5.0, seconds=4.0).inputs
        x[200, column] = np.nan
        silent = np.flatnonzero(np.isnan(predict(designed, x)[1]).all(axis=1))
        first = range(round(designed.window_s * SFREQ) - 1)
        assert silent.tolist() == [*first, *range(200, 200 + round(length_s * SFREQ))]


def test_the_facts_say_what_was_chosen():
    facts = design_wiener(many(20.0, 5.0), HELPED).facts
    assert facts["taps"] == OWN
    assert facts["stride"] == 1
    assert facts["ridge"] in RIDGES
    assert facts["helper_share"] in SHARES[1:]
