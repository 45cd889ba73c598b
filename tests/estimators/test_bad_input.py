"""Rests that cannot be used: each method refuses them in one clear line, or what it designs is sound all the same."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import TypeAdapter

from closedloop.config.estimators import Estimator, Sspe, Wiener
from closedloop.errors import CalibrationError
from closedloop.estimators import sspe as sspe_module
from closedloop.estimators.interface import LEADS_S, Rest, find_estimator, predict
from closedloop.estimators.oscillator_fit import fit_oscillators
from closedloop.estimators.sspe import design_sspe
from closedloop.estimators.wiener import design_wiener

SFREQ = 250.0
HZ = 10.0
METHODS = ("wiener", "echt", "c-echt", "phastimate", "etp", "sspe", "hilbert_fir", "resonator", "naive")
BAND_FREE = ("wiener", "resonator")
"""What they design does not depend on the band."""
HELPED = Wiener(type="wiener", helpers="all")


def sine_rest(seconds=30.0, *, noise_uv=1.0, band_hz=(8.0, 12.0)):
    times_s = np.arange(round(seconds * SFREQ)) / SFREQ
    target = 10.0 * np.exp(2j * np.pi * HZ * times_s)
    x = target.real + np.random.default_rng(0).normal(0.0, noise_uv, target.size)
    return Rest(x[:, None], target, SFREQ, band_hz, HZ)


def design(method, rest):
    settings = TypeAdapter(Estimator).validate_python({"type": method})
    return find_estimator(method)(rest, settings)


def off_deg(designed, inputs):
    """Return how far predictions of the sine are off, in degrees, at all leads, from the second second on."""
    z, _ = predict(designed, inputs)
    times_s = np.arange(len(inputs))[:, None] / SFREQ + LEADS_S
    late = slice(round(2 * SFREQ), None)
    assert np.isfinite(z[late]).all()
    return np.degrees(np.abs(np.angle(z[late] * np.exp(-2j * np.pi * HZ * times_s[late]))))


BANDS = [(120.0, 130.0), (8.0, 130.0), (0.0, 4.0), (-1.0, 3.0), (12.0, 8.0)]


@pytest.mark.parametrize("band_hz", BANDS)
@pytest.mark.parametrize("method", [name for name in METHODS if name not in (*BAND_FREE, "sspe")])
def test_a_band_outside_half_the_sampling_rate_is_one_clear_line(method, band_hz, one_line_error):
    line = one_line_error(CalibrationError, design, method, sine_rest(band_hz=band_hz))
    assert "band" in line
    assert "Hz" in line


@pytest.mark.parametrize("band_hz", BANDS[:1] + BANDS[2:])
def test_a_band_without_a_rhythm_in_it_leaves_sspe_none_to_follow(band_hz, one_line_error):
    assert "EM finds no rhythm" in one_line_error(CalibrationError, design, "sspe", sine_rest(band_hz=band_hz))


@pytest.mark.parametrize("method", BAND_FREE)
def test_a_method_that_a_band_says_nothing_to_is_the_same_with_any(method):
    whole, odd = (design(method, sine_rest(band_hz=band_hz)) for band_hz in ((8.0, 12.0), (120.0, 130.0)))
    np.testing.assert_array_equal(odd.state, whole.state)


@pytest.mark.parametrize("seconds", [0.004, 0.1, 0.3])
@pytest.mark.parametrize("method", METHODS)
def test_more_taps_than_samples_to_learn_from_are_one_clear_line(method, seconds, one_line_error):
    line = one_line_error(CalibrationError, design, method, sine_rest(seconds))
    assert line.startswith(f"calibration of {seconds:.1f} s is too short for ")


LEARNS = ("wiener", "etp")
"""What is learnt from the target; sspe has a model of its own."""


def without_target(value):
    rest = sine_rest()
    return replace(rest, target=np.full_like(rest.target, value))


@pytest.mark.parametrize("value", [np.nan, 0.0])
@pytest.mark.parametrize("method", LEARNS)
def test_what_learns_from_the_target_refuses_a_rest_without_one_in_one_line(method, value, one_line_error):
    assert one_line_error(CalibrationError, design, method, without_target(value)).startswith("calibration ")


@pytest.mark.parametrize("value", [np.nan, 0.0])
@pytest.mark.parametrize("method", [name for name in METHODS if name not in (*LEARNS, "sspe")])
def test_without_a_target_no_sd_is_made_up(method, value):
    rest = without_target(value)
    z, sd = predict(design(method, rest), rest.inputs)
    assert np.isfinite(z[-1]).all()
    assert np.isnan(sd).all()


def test_sspe_s_sd_is_its_own_model_s_with_a_target_or_without_one():
    np.testing.assert_array_equal(design("sspe", without_target(np.nan)).state, design("sspe", sine_rest()).state)


def test_a_rest_with_next_to_no_known_target_is_told_with_how_many_windows_it_holds(one_line_error):
    rest = sine_rest()
    known = np.zeros(rest.target.size, bool)
    # The farthest lead is 25 samples ahead, and every fourth sample is learnt from.
    known[1000:1060] = True
    line = one_line_error(
        CalibrationError, design, "wiener", replace(rest, target=np.where(known, rest.target, np.nan))
    )
    assert line.startswith("calibration of 30.0 s holds ")
    assert line.endswith(" windows beside a known target; at least 20 are needed")
    assert int(line.split()[5]) == pytest.approx((60 - 26) / 4, abs=1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("column", [0, 1])
def test_wiener_learns_from_no_sample_that_is_no_number_whichever_input_has_it(value, column, one_line_error):
    rest = sine_rest()
    inputs = np.column_stack([rest.inputs, rest.inputs])
    inputs[500, column] = value
    line = one_line_error(CalibrationError, design_wiener, replace(rest, inputs=inputs), HELPED)
    assert line == "calibration holds 1 values that are no numbers (limit: none)"


SINGULAR = {
    "two equal channels": lambda x: np.column_stack([x, x]),
    "six equal channels": lambda x: np.column_stack([x] * 6),
    "a dead helper": lambda x: np.column_stack([x, np.zeros_like(x)]),
    "nothing but dead helpers": lambda x: np.column_stack([x, np.zeros_like(x), np.zeros_like(x)]),
    "a helper at a constant": lambda x: np.column_stack([x, np.full_like(x, -250.0)]),
    "an equal, a turned and a dead helper": lambda x: np.column_stack([x, x, -x, 0.0 * x]),
}


@pytest.mark.parametrize("noise_uv", [0.0, 1.0])
@pytest.mark.parametrize("inputs", SINGULAR.values(), ids=SINGULAR.keys())
def test_a_singular_covariance_gives_a_filter_as_good_as_the_signal_s_own(inputs, noise_uv):
    """A pure sine's own covariance is of rank two, so that without noise every one of them is singular."""
    rest = sine_rest(noise_uv=noise_uv)
    alone = design_wiener(rest, Wiener(type="wiener"))
    helped = design_wiener(replace(rest, inputs=inputs(rest.inputs[:, 0])), HELPED)
    assert np.isfinite(helped.state).all()
    assert off_deg(helped, inputs(rest.inputs[:, 0])).max() < 0.1 + 1.1 * off_deg(alone, rest.inputs).max()


def test_a_dead_signal_is_refused_though_its_helpers_live(one_line_error):
    rest = sine_rest()
    dead = np.column_stack([np.zeros(len(rest.inputs)), rest.inputs[:, 0]])
    line = one_line_error(CalibrationError, lambda: design_wiener(replace(rest, inputs=dead), HELPED))
    assert line == "the calibration holds no signal: every sample is zero after conditioning"


def eeg_like(seconds=12.0):
    rng = np.random.default_rng(1)
    times_s = np.arange(round(seconds * SFREQ)) / SFREQ
    return 10.0 * np.cos(2 * np.pi * HZ * times_s) + rng.normal(0.0, 3.0, times_s.size)


def test_em_that_diverges_is_one_clear_line(one_line_error):
    """Squares of such numbers are zero: the model's variances are none from the first iteration on."""
    x = 1e-200 * eeg_like()
    rest = Rest(x[:, None], np.ones(x.size, complex), SFREQ, (8.0, 12.0), HZ)
    line = one_line_error(CalibrationError, design_sspe, rest, Sspe(type="sspe"))
    assert line == "sspe: EM diverged from each of its 4 starts on rest"


def rest_of_eeg():
    x = eeg_like()
    return Rest(x[:, None], np.ones(x.size, complex), SFREQ, (8.0, 12.0), HZ)


def test_one_start_that_diverges_leaves_the_others(monkeypatch):
    expected = design_sspe(rest_of_eeg(), Sspe(type="sspe"))
    starts = []

    def fit(y, start, **options):
        starts.append(start)
        found = fit_oscillators(y, start, **options)
        return replace(found, log_likelihoods=np.array([np.nan])) if len(starts) == 1 else found

    monkeypatch.setattr(sspe_module, "fit_oscillators", fit)
    found = design_sspe(rest_of_eeg(), Sspe(type="sspe"))
    assert found.facts["starts_with_rhythm"] >= expected.facts["starts_with_rhythm"] - 1
    assert found.facts["frequencies_hz"][found.facts["rhythm"]] == pytest.approx(HZ, abs=0.3)


def test_a_model_without_a_steady_filter_is_one_clear_line(monkeypatch, one_line_error):
    def no_filter(*_, **__):
        raise np.linalg.LinAlgError("no solution")

    monkeypatch.setattr(sspe_module, "filter_state", no_filter)
    line = one_line_error(CalibrationError, design_sspe, rest_of_eeg(), Sspe(type="sspe"))
    assert line == "sspe: the fitted model has no steady Kalman filter: no solution"


def test_em_that_was_ended_before_it_came_to_rest_says_so(monkeypatch):
    monkeypatch.setattr(sspe_module, "MAX_ITERATIONS", 3)
    facts = design_sspe(rest_of_eeg(), Sspe(type="sspe")).facts
    assert facts["converged"] is False
    assert facts["iterations"] == 3
