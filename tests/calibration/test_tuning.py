"""What tuning chooses for a method on a stretch of rest, and what it takes out."""

import math
from dataclasses import replace

import numpy as np
import pytest

from closedloop.calibration import tuning
from closedloop.calibration.rest import measure_rest
from closedloop.calibration.tuning import BAND_FREE, LEAD, SPACES, tune
from closedloop.config.estimators import CalibratedEcht, Echt
from closedloop.errors import CalibrationError, ConfigError
from closedloop.estimators.complex_fir import OUTPUT, complex_fir, fir_state
from closedloop.estimators.echt import echt_weights
from closedloop.estimators.interface import LEADS_S, N_LEADS, Designed, Rest, find_estimator, predict
from closedloop.estimators.output import learn_output
from closedloop.signal.circular import circular_sd
from closedloop.sources.synthetic import simulate

SFREQ = 125.0
FITTED_EVERY = 5
"""Samples between the predictions that a gain is fitted to: 25 a second."""
N_WINDOW = 62


def draw(seconds, *, sfreq=SFREQ, **simulated):
    """Return one channel of simulated EEG with a clear rhythm."""
    given = {"alpha_uv": 15.0, **simulated}
    made = simulate(duration_s=seconds, sfreq=sfreq, seed=3, channels=["O1"], **given)
    return np.ascontiguousarray(made.recording.samples[:, 0])


def rest_of(x, *, sfreq=SFREQ):
    return measure_rest(x, x[:, None], sfreq, "auto")[1]


@pytest.fixture(scope="module")
def rest():
    """Return twenty seconds of rest; nobody may change it."""
    return rest_of(draw(20.0))


@pytest.fixture
def few(monkeypatch):
    """Let two bands be tried, and few settings."""
    monkeypatch.setattr(tuning, "HALF_WIDTHS_HZ", (1.0, 2.0))
    monkeypatch.setattr(tuning, "FIXED_BANDS_HZ", ())
    spaces = {"c-echt": {"cycles": (2, 3), "order": (1,)}, "naive": {"window_s": (0.5,)}, "echt": {"window_s": (0.5,)}}
    monkeypatch.setattr(tuning, "SPACES", spaces)


def late(lead):
    """Return an offset in rad that no lead has in common with another."""
    return 0.8 - 0.15 * lead


def design_late(rest, options):
    """Design an endpoint-corrected Hilbert transform that is off by another phase at every lead."""
    offsets = [late(lead) for lead in range(N_LEADS)]
    turns = np.exp(1j * (2 * np.pi * rest.peak_hz * LEADS_S + offsets))
    weights = turns[:, None] * echt_weights(N_WINDOW, rest.sfreq, rest.band_hz, order=1)
    state = fir_state([weights], strides=[1])
    return Designed(complex_fir, state, N_WINDOW / rest.sfreq, {}, output_at=options.get("output_at", OUTPUT))


def spread(designed, rest):
    """Return the circular SD of a method's phase error at the lead that is judged, in rad, on a stretch."""
    z, _ = predict(designed, rest.inputs, every=FITTED_EVERY)
    both = rest.targets()[:, LEAD] * z[:, LEAD].conj()
    return float(circular_sd(abs(np.mean(np.exp(1j * np.angle(both[np.isfinite(both)]))))))


def moments(designed, rest):
    """Return, for each lead, the mean product with the target and the mean power, over the fitted samples."""
    z, _ = predict(designed, rest.inputs, every=FITTED_EVERY)
    truth = rest.targets()
    known = np.isfinite(z).all(axis=1) & np.isfinite(truth).all(axis=1)
    return np.mean(z[known].conj() * truth[known], axis=0), np.mean(np.abs(z[known]) ** 2, axis=0)


@pytest.mark.usefixtures("few")
def test_the_same_rest_gives_the_same_bit_for_bit(rest):
    first, again = tune("c-echt", rest), tune("c-echt", rest)
    assert (first.settings, first.band_hz, first.circular_sd) == (again.settings, again.band_hz, again.circular_sd)
    np.testing.assert_array_equal(first.designed.state, again.designed.state)


@pytest.mark.usefixtures("few")
def test_what_comes_after_the_stretch_has_no_say():
    x = draw(30.0)
    before = x.copy()
    stretch = rest_of(x)
    stretch = replace(stretch, inputs=stretch.inputs[:2500], target=stretch.target[:2500], rhythm=stretch.rhythm[:2500])
    first = tune("c-echt", stretch)
    np.testing.assert_array_equal(x, before)
    x[2500:] = 1e6
    again = tune("c-echt", stretch)
    assert (first.settings, first.band_hz, first.circular_sd) == (again.settings, again.band_hz, again.circular_sd)
    np.testing.assert_array_equal(first.designed.state, again.designed.state)


@pytest.mark.usefixtures("few")
def test_the_rest_is_left_as_it_was():
    rest = rest_of(draw(20.0))
    inputs, target = rest.inputs.copy(), rest.target.copy()
    tune("c-echt", rest)
    np.testing.assert_array_equal(rest.inputs, inputs)
    np.testing.assert_array_equal(rest.target, target)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("method", ["late", "echt", "naive"])
def test_the_gain_takes_out_what_a_method_is_off_in_the_mean_at_every_lead(rest, announce, method):
    """Least squares leave an error that has nothing in common with the prediction: neither phase nor size."""
    announce("late", design_late)
    together, power = moments(tune(method, rest).designed, rest)
    np.testing.assert_allclose(together / power, np.ones(N_LEADS), atol=1e-9)


@pytest.mark.usefixtures("few")
def test_untuned_that_method_would_be_off_by_its_own_offset(rest):
    designed = design_late(replace(rest, band_hz=(rest.peak_hz - 1.0, rest.peak_hz + 1.0)), {})
    learn_output(designed.step, designed.state, OUTPUT, rest)
    together, _ = moments(designed, rest)
    # The band-pass's own phase at the peak is none, whatever the lead; that of its window's ends is a few degrees.
    expected = [-late(lead) for lead in range(N_LEADS)]
    assert np.abs(np.angle(together * np.exp(-1j * np.array(expected)))).max() < math.radians(20.0)


PUBLISHED = {"c-echt": CalibratedEcht(type="c-echt"), "echt": Echt(type="echt")}


@pytest.mark.parametrize("method", PUBLISHED)
@pytest.mark.parametrize("half_hz", [1.0, 2.0, 3.0])
def test_tuned_it_is_never_worse_than_published_on_the_stretch_itself(rest, method, half_hz):
    band_hz = (rest.peak_hz - half_hz, rest.peak_hz + half_hz)
    published = find_estimator(method)(replace(rest, band_hz=band_hz), PUBLISHED[method])
    assert tune(method, rest).circular_sd <= spread(published, rest) + 1e-12


@pytest.mark.usefixtures("few")
def test_what_it_says_of_the_choice_is_what_the_choice_does(rest):
    tuned = tune("c-echt", rest)
    assert tuned.circular_sd == pytest.approx(spread(tuned.designed, rest), abs=1e-12)
    again = find_estimator("c-echt")(replace(rest, band_hz=tuned.band_hz), tuned.settings)
    learn_output(again.step, again.state, OUTPUT, replace(rest, band_hz=tuned.band_hz), tuned=True)
    np.testing.assert_array_equal(again.state, tuned.designed.state)


@pytest.mark.usefixtures("few")
def test_it_is_the_best_of_all_candidates(rest):
    spreads = {}
    for half_hz in tuning.HALF_WIDTHS_HZ:
        for cycles in tuning.SPACES["c-echt"]["cycles"]:
            band_hz = (rest.peak_hz - half_hz, rest.peak_hz + half_hz)
            settings = CalibratedEcht(type="c-echt", cycles=cycles, order=1)
            designed = find_estimator("c-echt")(replace(rest, band_hz=band_hz), settings)
            spreads[band_hz, cycles] = spread(designed, rest)
    tuned = tune("c-echt", rest)
    assert (tuned.band_hz, tuned.settings.cycles) == min(spreads, key=spreads.get)


@pytest.mark.usefixtures("few")
def test_the_band_that_most_were_published_with_is_tried_too(rest, monkeypatch):
    monkeypatch.setattr(tuning, "HALF_WIDTHS_HZ", ())
    monkeypatch.setattr(tuning, "FIXED_BANDS_HZ", ((8.0, 13.0),))
    assert tune("c-echt", rest).band_hz == (8.0, 13.0)


def test_settings_that_cannot_be_are_left_out(rest, monkeypatch):
    """Edges of 0.35 s on either side leave nothing of a window of 0.719 s."""
    monkeypatch.setattr(tuning, "HALF_WIDTHS_HZ", (2.0,))
    monkeypatch.setattr(tuning, "FIXED_BANDS_HZ", ())
    monkeypatch.setitem(tuning.SPACES, "phastimate", {"preset": ("optimized",), "edge_s": (0.35, 0.064)})
    assert tune("phastimate", rest).settings.edge_s == 0.064


def test_settings_that_rest_is_too_short_for_are_left_out(rest, monkeypatch):
    """Into 5 s of rest four windows of 6 cycles fit, four of 20 cycles do not."""
    monkeypatch.setattr(tuning, "HALF_WIDTHS_HZ", (2.0,))
    monkeypatch.setattr(tuning, "FIXED_BANDS_HZ", ())
    monkeypatch.setitem(tuning.SPACES, "c-echt", {"cycles": (20, 6)})
    short = replace(rest, inputs=rest.inputs[:625], target=rest.target[:625], rhythm=rest.rhythm[:625])
    assert tune("c-echt", short).settings.cycles == 6


@pytest.mark.usefixtures("few")
def test_options_are_the_same_for_all_candidates(rest):
    settings = tune("c-echt", rest, options={"order": 3}).settings
    assert settings.order == 3
    assert settings.cycles in tuning.SPACES["c-echt"]["cycles"]


def test_an_unknown_method_is_one_clear_line(rest, one_line_error):
    line = one_line_error(ConfigError, tune, "kalman", rest)
    assert line.startswith("estimator = kalman: there is no such method (installed: ")


@pytest.mark.parametrize("method", SPACES)
def test_every_candidate_of_ours_is_a_setting_that_its_method_has(method):
    space = SPACES[method]
    tried = list(tuning._settings(method, {}))
    assert tried
    for name, values in space.items():
        assert {getattr(settings, name) for settings in tried} == set(values)


@pytest.mark.parametrize("method", BAND_FREE)
def test_a_method_that_a_band_says_nothing_to_keeps_the_rest_s(method):
    rest = Rest(np.ones((10, 1)), np.ones(10, complex), SFREQ, (8.5, 12.5), 10.0)
    assert tuning._bands(method, rest) == [(8.5, 12.5)]


@pytest.mark.usefixtures("few")
def test_another_package_s_method_is_tuned_over_the_bands_with_its_own_options(rest, announce):
    seen = []

    def design(rest, options):
        seen.append((rest.band_hz, options))
        return design_late(rest, options)

    tuned = tune(announce("late", design), rest, options={"output_at": OUTPUT})
    bands = [(rest.peak_hz - half_hz, rest.peak_hz + half_hz) for half_hz in (1.0, 2.0)]
    assert seen == [(band_hz, {"output_at": OUTPUT}) for band_hz in bands]
    assert tuned.settings == {"output_at": OUTPUT}
    spreads = {band_hz: spread(design_late(replace(rest, band_hz=band_hz), {}), rest) for band_hz in bands}
    assert tuned.band_hz == min(spreads, key=spreads.get)


@pytest.mark.usefixtures("few")
def test_a_method_without_an_output_keeps_its_own_gain(rest, announce):
    tuned = tune(announce("late", design_late), rest, options={"output_at": None})
    untuned = design_late(replace(rest, band_hz=tuned.band_hz), {})
    np.testing.assert_array_equal(tuned.designed.state, untuned.state)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("gain", [np.nan, 0.0])
def test_a_method_that_predicts_nothing_or_nothing_but_zeros_is_refused(rest, announce, one_line_error, gain):
    def design_silent(rest, options):
        silent = design_late(rest, options)
        silent.state[OUTPUT : OUTPUT + 2 * N_LEADS] = gain
        return replace(silent, output_at=None)

    line = one_line_error(CalibrationError, tune, announce("silent", design_silent), rest)
    assert line == "silent cannot be tuned on this stretch: silent predicts nothing on this stretch"


@pytest.mark.usefixtures("few")
def test_a_prediction_of_nothing_but_zeros_is_never_the_best(rest, announce):
    """A zero has no phase: a band in which a method gives nothing else is no candidate."""

    def design_half_dead(rest, options):
        designed = design_late(rest, options)
        if rest.band_hz[1] - rest.peak_hz < 1.5:
            designed.state[OUTPUT : OUTPUT + 2 * N_LEADS] = 0.0
        return replace(designed, output_at=None)

    tuned = tune(announce("half-dead", design_half_dead), rest)
    assert tuned.band_hz == (rest.peak_hz - 2.0, rest.peak_hz + 2.0)
    assert math.isfinite(tuned.circular_sd)


def test_a_band_that_does_not_fit_below_half_the_sampling_rate_is_left_out(rest, monkeypatch):
    """At 22 Hz half the sampling rate is 11 Hz: a rhythm of 10 Hz has room for 0.5 Hz to either side, not for 1."""
    monkeypatch.setattr(tuning, "HALF_WIDTHS_HZ", (0.5, 1.0, 12.0))
    slow = replace(rest, sfreq=22.0, peak_hz=10.0)
    assert tuning._bands("echt", slow) == [(9.5, 10.5)]


def test_a_band_that_would_begin_below_zero_is_left_out(rest, monkeypatch):
    monkeypatch.setattr(tuning, "HALF_WIDTHS_HZ", (2.0, 10.0, 11.0))
    monkeypatch.setattr(tuning, "FIXED_BANDS_HZ", ())
    assert tuning._bands("echt", replace(rest, peak_hz=10.0)) == [(8.0, 12.0)]


@pytest.mark.usefixtures("few")
def test_where_no_band_fits_that_is_said_in_one_line(rest, one_line_error):
    line = one_line_error(CalibrationError, tune, "c-echt", replace(rest, sfreq=20.0, peak_hz=9.5))
    assert line == "c-echt cannot be tuned on this stretch: no band fits below half the sampling rate"


@pytest.mark.usefixtures("few")
def test_where_no_candidate_can_be_designed_the_reason_is_said_in_one_line(rest, one_line_error):
    short = replace(rest, inputs=rest.inputs[:100], target=rest.target[:100], rhythm=rest.rhythm[:100])
    line = one_line_error(CalibrationError, tune, "c-echt", short)
    assert line.startswith("c-echt cannot be tuned on this stretch: calibration of 0.8 s is too short for a window")
