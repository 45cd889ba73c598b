"""What a stretch of rest says of one signal, and every rest that cannot be used."""

import math
from dataclasses import replace

import numpy as np
import pytest

from closedloop.calibration.rest import CLEAR_SNR_DB, WEAK_SNR_DB, measure_rest, verdict
from closedloop.errors import CalibrationError
from closedloop.signal.spectrum import fit_spectrum
from closedloop.signal.training_target import rhythm_error_uv2, rhythm_estimate, training_target
from closedloop.sources.synthetic import simulate

SFREQ = 125.0


def draw(seconds=30.0, *, sfreq=SFREQ, **simulated):
    given = {"alpha_uv": 15.0, **simulated}
    return simulate(duration_s=seconds, sfreq=sfreq, seed=3, channels=["O1"], **given).recording.samples[:, 0]


@pytest.fixture(scope="module")
def raw():
    """Return half a minute of rest; nobody may change it."""
    return draw()


@pytest.fixture(scope="module")
def measured(raw):
    """Return the fit and the rest of a signal whose inputs are something else: twice it, and a helper."""
    return measure_rest(raw, np.column_stack([2.0 * raw, raw]), SFREQ, "auto")


def test_the_spectrum_is_that_of_the_signal_before_conditioning(measured, raw):
    fit, rest = measured
    expected = fit_spectrum(raw, SFREQ)
    np.testing.assert_array_equal(fit.psd, expected.psd)
    assert rest.peak_hz == fit.peak_hz == expected.peak_hz


def test_the_target_is_that_of_the_signal_before_conditioning_with_the_fit_s_rhythm(measured, raw):
    fit, rest = measured
    np.testing.assert_array_equal(rest.target, training_target(raw, SFREQ, rest.band_hz, fit))


def test_the_inputs_are_what_the_estimator_will_see(measured, raw):
    np.testing.assert_array_equal(measured[1].inputs, np.column_stack([2.0 * raw, raw]))
    assert measured[1].sfreq == SFREQ


def test_the_rhythm_s_estimate_and_what_it_misses_are_filled_in(measured, raw):
    fit, rest = measured
    np.testing.assert_array_equal(rest.rhythm, rhythm_estimate(raw, SFREQ, fit))
    assert rest.rhythm_error_uv2 == rhythm_error_uv2(fit) > 0.0


def test_a_rhythm_beside_the_band_that_is_asked_for_has_no_part_in_it(raw):
    _, rest = measure_rest(raw, raw[:, None], SFREQ, (20.0, 24.0))
    alone = training_target(raw, SFREQ, (20.0, 24.0))
    np.testing.assert_array_equal(rest.target, alone)
    np.testing.assert_array_equal(rest.rhythm, alone)
    assert rest.peak_hz == 22.0
    # Nothing is known to stand out there: all of it counts as background.
    assert rest.rhythm_error_uv2 == pytest.approx(np.nanmean(np.abs(alone) ** 2))


def test_the_peak_is_searched_for_within_the_band_that_is_given(raw):
    fit, rest = measure_rest(raw, raw[:, None], SFREQ, (11.5, 14.0))
    assert 11.5 <= fit.peak_hz == rest.peak_hz <= 13.5


def test_the_automatic_band_is_2_hz_to_either_side_of_the_peak(measured):
    fit, rest = measured
    assert rest.band_hz == (fit.peak_hz - 2.0, fit.peak_hz + 2.0)


def test_a_band_that_is_given_stays_as_it_is_and_makes_the_target(raw):
    fit, rest = measure_rest(raw, raw[:, None], SFREQ, (8.0, 13.0))
    assert rest.band_hz == (8.0, 13.0)
    np.testing.assert_array_equal(rest.target, training_target(raw, SFREQ, (8.0, 13.0), fit))
    np.testing.assert_array_equal(rest.rhythm, rhythm_estimate(raw, SFREQ, fit))


BEFORE = -math.inf
STEPS = [
    (math.inf, "clear rhythm"),
    (CLEAR_SNR_DB, "clear rhythm"),
    (math.nextafter(CLEAR_SNR_DB, BEFORE), "weak rhythm"),
    (WEAK_SNR_DB, "weak rhythm"),
    (math.nextafter(WEAK_SNR_DB, BEFORE), "no usable rhythm"),
    (-3.0, "no usable rhythm"),
    (math.nan, "no usable rhythm"),
]


@pytest.mark.parametrize(("snr_db", "said"), STEPS)
def test_the_verdict_has_three_steps_and_a_limit_belongs_to_the_better(measured, snr_db, said):
    line = verdict(replace(measured[0], snr_db=snr_db, peak_hz=10.25))
    assert line.startswith(f"{said} ({snr_db:.1f} dB at 10.25 Hz)")
    assert "\n" not in line


@pytest.mark.parametrize(("snr_db", "warned"), [(12.0, ""), (7.0, ": phases will scatter"), (1.0, ": phases will be")])
def test_the_verdict_says_what_to_expect_of_phases_unless_the_rhythm_is_clear(measured, snr_db, warned):
    line = verdict(replace(measured[0], snr_db=snr_db))
    assert line.partition("Hz)")[2].startswith(warned)
    assert bool(line.partition("Hz)")[2]) == bool(warned)


BANDS = [(40.0, 62.5), (60.0, 70.0), (0.0, 4.0), (-1.0, 3.0), (12.0, 8.0), (10.0, 10.0), (math.nan, 12.0)]


@pytest.mark.parametrize("band_hz", BANDS)
def test_a_band_that_cannot_be_is_one_clear_line(raw, band_hz, one_line_error):
    line = one_line_error(CalibrationError, measure_rest, raw, raw[:, None], SFREQ, band_hz)
    low, high = band_hz
    assert line == f"band_hz = [{low:g}, {high:g}] does not lie between 0 and half the sampling rate (62.5 Hz)"


def test_a_rest_too_short_for_a_spectrum_is_one_clear_line(raw, one_line_error):
    line = one_line_error(CalibrationError, measure_rest, raw[:900], raw[:900, None], SFREQ, "auto")
    assert line == "recording of 7.2 s is too short for a spectrum: at least 8 s are needed"


@pytest.mark.parametrize("value", [0.0, 12.5])
def test_a_dead_signal_is_one_clear_line(value, one_line_error):
    dead = np.full(2000, value)
    line = one_line_error(CalibrationError, measure_rest, dead, dead[:, None] + 1.0, SFREQ, "auto")
    assert line == "the signal is dead: its spectrum is zero; is the electrode connected?"


def test_a_sampling_rate_too_low_is_one_clear_line(one_line_error):
    x = draw(sfreq=64.0)
    line = one_line_error(CalibrationError, measure_rest, x, x[:, None], 64.0, "auto")
    assert line.startswith("sampling rate = 64 Hz is too low: the spectrum is fitted up to 35 Hz")


def test_inputs_of_nothing_but_zeros_are_one_clear_line(raw, one_line_error):
    line = one_line_error(CalibrationError, measure_rest, raw, np.zeros((raw.size, 1)), SFREQ, "auto")
    assert line == "the calibration holds no signal: every sample is zero after conditioning"


def test_a_missing_sample_ends_in_an_error_and_not_in_a_target(raw, one_line_error):
    x = raw.copy()
    x[1000] = math.nan
    one_line_error(CalibrationError, measure_rest, x, x[:, None], SFREQ, "auto")
