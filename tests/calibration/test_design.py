"""What is designed on rest, and every rest on which nothing can be."""

import json

import numpy as np
import pytest

from closedloop.calibration.design import design
from closedloop.errors import CalibrationError
from closedloop.estimators.complex_fir import complex_fir

WHERE = "rest.edf: calibration, first {seconds} s: "


def refusal(pipeline, rest):
    """Return the one line that says why nothing can be designed."""
    with pytest.raises(CalibrationError) as caught:
        design(pipeline, rest)
    message = str(caught.value)
    assert "\n" not in message
    return message


def spoilt(rest, make_recording, spoil):
    samples = rest.samples.copy()
    spoil(samples)
    return make_recording(samples, rest.names)


def test_the_rhythm_that_was_put_in_is_found(make_pipeline, make_rest):
    rest = make_rest(120.0, alpha_hz=11.0, alpha_uv=15.0, alpha_drift_hz=0.0, alpha_bandwidth_hz=0.3)
    designed = design(make_pipeline(), rest)
    # The spectrum's lines are 0.25 Hz apart.
    assert designed.fit.peak_hz == pytest.approx(11.0, abs=0.25)
    assert designed.fit.exponent == pytest.approx(1.0, abs=0.2)


def test_the_automatic_band_is_2_hz_to_either_side_of_the_peak(make_pipeline, rest):
    designed = design(make_pipeline(), rest)
    assert designed.signals["alpha"].band_hz == (designed.fit.peak_hz - 2.0, designed.fit.peak_hz + 2.0)


def test_a_band_that_is_given_stays_as_it_is(make_pipeline, rest):
    assert design(make_pipeline({"signals.alpha.band_hz": [8, 13]}), rest).signals["alpha"].band_hz == (8.0, 13.0)


@pytest.mark.parametrize("estimator", [{"type": "wiener", "window_s": 0.4}, {"type": "echt", "window_s": 0.8}])
def test_the_estimator_has_the_window_that_was_asked_for(make_pipeline, rest, estimator):
    designed = design(make_pipeline({"signals.alpha.estimator": estimator}), rest).signals["alpha"].designed
    assert designed.step is complex_fir
    assert designed.window_s == pytest.approx(estimator["window_s"], abs=0.01)


def test_a_signal_without_an_estimator_has_no_design_but_a_place(make_pipeline, rest):
    pipeline = make_pipeline({"signals.back": {"spatial": {"type": "single", "channel": "C3"}}})
    designed = design(pipeline, rest)
    assert set(designed.signals) == {"alpha"}
    assert designed.signal_names == ("alpha", "back")


def test_a_limit_of_the_rhythm_gate_that_is_given_stays_as_it_is(make_pipeline, rest):
    assert design(make_pipeline({"gates.rhythm_snr_db": 4.5}), rest).rhythm_snr_db == 4.5


def test_the_automatic_limit_lies_between_noise_and_rhythm(make_pipeline, rest):
    designed = design(make_pipeline({"gates.rhythm_snr_db": "auto"}), rest)
    assert 0.0 < designed.rhythm_snr_db < designed.fit.snr_db


@pytest.mark.parametrize(
    ("alpha_uv", "said"), [(30.0, "clear rhythm ("), (5.0, "weak rhythm ("), (0.0, "no usable rhythm (")]
)
def test_the_verdict_says_what_the_snr_promises(make_pipeline, make_rest, alpha_uv, said):
    designed = design(make_pipeline(), make_rest(alpha_uv=alpha_uv))
    assert designed.verdict.startswith(said)
    assert f"({designed.fit.snr_db:.1f} dB at {designed.fit.peak_hz:.2f} Hz)" in designed.verdict


def test_the_facts_can_be_written_as_json(make_pipeline, rest):
    designed = design(make_pipeline(), rest)
    facts = json.loads(json.dumps(designed.facts(), allow_nan=False))
    assert facts["peak_hz"] == designed.fit.peak_hz
    assert facts["signals"]["alpha"]["band_hz"] == list(designed.signals["alpha"].band_hz)


def test_electrode_offsets_and_drift_do_not_move_the_peak(make_pipeline, make_rest):
    clean, raw = (design(make_pipeline(), make_rest(alpha_uv=15.0, **more)).fit.peak_hz for more in ({}, OFFSETS))
    assert raw == clean


OFFSETS = {"offset_mv": 50.0, "drift_uv_per_s": 5.0, "mains_uv": 20.0}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_is_refused_where_it_is(make_pipeline, make_recording, rest, value):
    def spoil(samples):
        samples[250:253, 1] = value

    assert refusal(make_pipeline(), spoilt(rest, make_recording, spoil)) == WHERE.format(seconds=60) + (
        "channel F3 has 3 samples that are no numbers, the first 2.000 s after its start (limit: 0); "
        "choose source.start_s after them"
    )


def test_a_constant_channel_is_refused_by_name_and_value(make_pipeline, make_recording, rest):
    def spoil(samples):
        samples[:, 2] = -12.5

    assert refusal(make_pipeline(), spoilt(rest, make_recording, spoil)) == WHERE.format(seconds=60) + (
        "channel Fz is constant at -12.5 µV (it must change); is the electrode connected?"
    )


@pytest.mark.parametrize("value", [np.nan, 3.0])
def test_a_channel_that_no_signal_reads_may_be_anything(make_pipeline, make_recording, rest, value):
    def spoil(samples):
        samples[:, 0] = value

    pipeline = make_pipeline({"signals.alpha.spatial": {"type": "single", "channel": "F3"}})
    assert design(pipeline, spoilt(rest, make_recording, spoil)).fit.peak_hz > 0.0


def test_a_gap_is_refused_where_it_is(make_pipeline, make_recording, rest):
    kept = np.delete(np.arange(len(rest.samples)), [1000])
    gapped = make_recording(rest.samples[kept], rest.names, times_s=rest.times_s[kept])
    # Sample 999, the last before the gap, was taken at 999 / 125 s.
    assert refusal(make_pipeline(), gapped) == WHERE.format(seconds=60) + (
        "samples are missing or repeated 7.992 s after its start (limit: none); choose a stretch after it"
    )


def test_a_rest_too_short_for_a_spectrum_is_refused(make_pipeline, make_rest):
    assert refusal(make_pipeline(), make_rest(7.0)) == WHERE.format(seconds=7) + (
        "signals.alpha: recording of 7.0 s is too short for a spectrum: at least 8 s are needed"
    )


def test_a_rest_too_short_for_the_estimators_window_is_refused(make_pipeline, make_rest):
    said = refusal(make_pipeline({"signals.alpha.estimator.window_s": 2.0}), make_rest(20.0))
    assert said.startswith(
        WHERE.format(seconds=20) + "calibration of 20.0 s is too short for a window of 2 s: at least "
    )


def test_a_signal_whose_channels_cancel_is_refused_by_name(make_pipeline, make_recording, rest):
    def spoil(samples):
        samples[:, 0] = samples[:, 1]

    pipeline = make_pipeline({"signals.alpha.spatial": {"type": "bipolar", "plus": "F3", "minus": "F7"}})
    assert refusal(pipeline, spoilt(rest, make_recording, spoil)) == WHERE.format(seconds=60) + (
        "signals.alpha: the signal is dead: its spectrum is zero; is the electrode connected?"
    )


RATES = {
    "the notch": (
        90.0,
        {},
        "conditioning.notch_hz = 50 does not lie below half the recording's sampling rate (45 Hz)",
    ),
    "the high-pass": (
        90.0,
        {"conditioning": {"high_pass_hz": 46.0, "notch_hz": None}},
        "conditioning.high_pass_hz = 46 does not lie below half the recording's sampling rate (45 Hz)",
    ),
    "the spectrum": (
        64.0,
        {"conditioning.notch_hz": None},
        "signals.alpha: sampling rate = 64 Hz is too low: the spectrum is fitted up to 35 Hz, "
        "which takes more than 70 Hz",
    ),
    "the rhythm gate": (
        72.0,
        {"conditioning.notch_hz": None},
        "sampling rate = 72 Hz is too low for the rhythm gate (at least 74.8 Hz)",
    ),
    "the band": (
        80.0,
        {"conditioning.notch_hz": None, "signals.alpha.band_hz": [20, 40]},
        "signals.alpha: band_hz = [20, 40] does not lie between 0 and half the sampling rate (40 Hz)",
    ),
}


@pytest.mark.parametrize(("sfreq", "changes", "said"), RATES.values(), ids=RATES.keys())
def test_a_sampling_rate_too_low_is_refused_with_what_needs_more(make_pipeline, make_rest, sfreq, changes, said):
    assert refusal(make_pipeline(changes), make_rest(30.0, sfreq=sfreq)) == WHERE.format(seconds=30) + said
