"""What methods learn from, see and are judged by: the four cases of a recording."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from closedloop.accuracy.case import HIGH_PASS_HZ, NOTCHES_HZ, SYNTHETIC, TRUTHS, make_cases
from closedloop.calibration.rest import measure_rest
from closedloop.errors import CalibrationError, RecordingError
from closedloop.signal.circular import circular_sd, wrap
from closedloop.signal.cross_spectrum import fit_cross_spectrum
from closedloop.signal.reference_phase import reference_phase
from closedloop.signal.spatial import bipolar, single
from closedloop.sources.matched import matched_channels

REST_S, SYNTHETIC_S, SEED = 20.0, 50.0, 7
WEIGHTS = bipolar("O1", "Fz")
ALL = ("real", "real_surrogate", "synthetic", "synthetic_surrogate")


def lay_out(recording, weights=WEIGHTS, **changes):
    given = {"rest_s": REST_S, "synthetic_s": SYNTHETIC_S, "seed": SEED, **changes}
    return make_cases(recording, weights, **given)


def difference(recording):
    return recording.samples[:, recording.names.index("O1")] - recording.samples[:, recording.names.index("Fz")]


@pytest.mark.parametrize("kind", ALL)
def test_nothing_is_judged_that_is_learnt_from_and_all_that_follows_is(cases, kind):
    case = getattr(cases, kind)
    n_rest = round(REST_S * case.sfreq)
    assert len(case.rest.inputs) == len(case.rest.target) == n_rest
    assert not case.judged[:n_rest].any()
    assert case.judged[n_rest:].all()


@pytest.mark.parametrize("kind", ALL)
def test_what_is_learnt_from_is_the_beginning_of_what_is_seen(cases, kind):
    case = getattr(cases, kind)
    np.testing.assert_array_equal(case.rest.inputs, case.inputs[: len(case.rest.inputs)])


def test_the_signal_comes_first_then_every_channel_as_a_helper(cases, recording):
    assert cases.real.inputs.shape == (len(recording.samples), 1 + 4)
    np.testing.assert_allclose(cases.real.inputs[:, 0], cases.real.inputs[:, 1] - cases.real.inputs[:, 2], atol=1e-9)


def test_a_channel_that_is_the_signal_does_not_help_it(recording):
    inputs = lay_out(recording, single("O1")).real.inputs
    assert inputs.shape[1] == 1 + 3
    correlations = np.corrcoef(inputs.T)[0, 1:]
    assert (correlations < 0.999).all()


def test_what_is_no_eeg_does_not_help(recording):
    pick = replace(recording, roles=("eeg", "eeg", "eeg", "misc"))
    assert lay_out(pick).real.inputs.shape[1] == 1 + 3


def test_inputs_are_conditioned_causally(recording, cases):
    """The high-pass is of first order or higher, the notch takes 50 Hz out: neither knows the future."""
    n = 3000
    cut = lay_out(recording.between(0.0, n / recording.sfreq), rest_s=10.0).real.inputs
    np.testing.assert_array_equal(cut, cases.real.inputs[:n])
    assert HIGH_PASS_HZ == 0.5
    assert NOTCHES_HZ == (50.0,)


def test_other_mains_are_filtered_out_where_they_are_named(recording, cases):
    other = lay_out(recording, notches_hz=(60.0,))
    assert not np.allclose(other.real.inputs, cases.real.inputs)
    np.testing.assert_array_equal(lay_out(recording).real.inputs, cases.real.inputs)
    for case in (other.real, other.synthetic, other.real_surrogate, other.synthetic_surrogate):
        spectrum = np.abs(np.fft.rfft(case.inputs[:, 0] * np.hanning(len(case.inputs)))) ** 2
        hz = np.fft.rfftfreq(len(case.inputs), 1.0 / case.sfreq)
        assert spectrum[np.abs(hz - 60.0) < 0.2].mean() < 0.1 * spectrum[np.abs(hz - 55.0) < 2.0].mean()


def test_rest_is_measured_on_the_signal_before_conditioning(cases, recording):
    n_rest = round(REST_S * recording.sfreq)
    raw = difference(recording)[:n_rest]
    fit, rest = measure_rest(raw, cases.real.rest.inputs, recording.sfreq, "auto")
    assert cases.real.fit.peak_hz == fit.peak_hz
    np.testing.assert_allclose(cases.real.rest.target, rest.target, atol=1e-9)


def test_a_band_that_is_given_is_every_case_s(recording):
    cases = lay_out(recording, band_hz=(8.0, 13.0))
    assert {getattr(cases, kind).rest.band_hz for kind in ALL} == {(8.0, 13.0)}


@pytest.mark.parametrize("kind", ["real", "real_surrogate"])
def test_truth_is_the_family_s_under_the_tables_names(cases, kind):
    assert list(getattr(cases, kind).reference.members) == list(TRUTHS.values())


def test_the_family_sees_the_whole_signal_and_the_peak_of_rest_alone(cases, recording):
    expected = reference_phase(difference(recording), recording.sfreq, cases.real.fit.peak_hz)
    for name, called in TRUTHS.items():
        np.testing.assert_allclose(cases.real.reference.members[called], expected.members[name], atol=1e-9)


def rhythm_of(cases, recording, peak_hz):
    """Return what the rhythm of the synthetic EEG is in the signal, drawn anew from the same seed."""
    ordered = recording.pick(["O1", "Fz", "F3", "Pz"])
    spectra = fit_cross_spectrum(ordered.samples, recording.sfreq, peak_hz)
    given = {"duration_s": SYNTHETIC_S, "sfreq": recording.sfreq, "seed": SEED}
    made = matched_channels(spectra, ordered.names, **given)
    return made.rhythm[:, 0] - made.rhythm[:, 1]


def test_the_synthetic_truth_is_the_phase_of_the_rhythm_that_was_put_in(cases, recording):
    rhythm = rhythm_of(cases, recording, cases.real.fit.peak_hz)
    truth = cases.synthetic.reference.members
    assert list(truth) == [SYNTHETIC]
    assert np.abs(np.angle(truth[SYNTHETIC] * rhythm.conj())).max() < 1e-6


def test_the_synthetic_inputs_hold_that_rhythm_on_the_surrogate_s_background(cases):
    """Filters are linear: what both inputs differ by is the conditioned rhythm, turned by no more than a high-pass."""
    shown = cases.synthetic.inputs[:, 0] - cases.synthetic_surrogate.inputs[:, 0]
    inner = slice(500, -500)
    late = np.angle(signal.hilbert(shown)[inner] * cases.synthetic.reference.members[SYNTHETIC][inner].conj())
    assert circular_sd(abs(np.exp(1j * late).mean())) < np.radians(10.0)
    assert abs(np.angle(np.exp(1j * late).mean())) < np.radians(15.0)


@pytest.mark.parametrize("kind", ["real", "synthetic"])
def test_a_surrogate_has_no_rhythm(cases, kind):
    case, flat = getattr(cases, kind), getattr(cases, f"{kind}_surrogate")
    assert case.fit.snr_db > 10.0
    # In 20 s the highest of some twenty spectral lines stands out by as much.
    assert flat.fit.snr_db < 7.0


def test_a_surrogate_s_truth_has_nothing_to_do_with_what_is_seen(cases):
    flat = cases.synthetic_surrogate
    seen = np.angle(signal.hilbert(flat.inputs[:, 0]))[500:-500]
    error = wrap(seen - np.angle(flat.reference.members[SYNTHETIC][500:-500]))
    assert abs(np.exp(1j * error).mean()) < 0.3


def test_the_same_seed_gives_the_same_cases_another_does_not(recording, cases):
    again, other = lay_out(recording), lay_out(recording, seed=SEED + 1)
    for kind in ALL:
        np.testing.assert_array_equal(getattr(again, kind).inputs, getattr(cases, kind).inputs)
    np.testing.assert_array_equal(other.real.inputs, cases.real.inputs)
    assert np.abs(other.synthetic.inputs - cases.synthetic.inputs).max() > 1.0


SPANS = [(20.0, 30.0), (41.0, 50.0)]


def test_only_the_stretches_that_are_named_are_judged_in_the_recording_itself(recording):
    cases = lay_out(recording, judged_s=SPANS)
    elapsed_s = np.arange(len(recording.samples)) / recording.sfreq
    expected = ((elapsed_s >= 20.0) & (elapsed_s < 30.0)) | ((elapsed_s >= 41.0) & (elapsed_s < 50.0))
    np.testing.assert_array_equal(cases.real.judged, expected)
    assert cases.synthetic.judged.sum() == round((SYNTHETIC_S - REST_S) * recording.sfreq)


def test_with_stretches_the_synthetic_eeg_is_matched_to_rest_alone(recording):
    changed = replace(recording, samples=recording.samples.copy())
    changed.samples[round(REST_S * recording.sfreq) :] *= 10.0
    expected, found = (lay_out(given, judged_s=SPANS) for given in (recording, changed))
    np.testing.assert_array_equal(found.synthetic.inputs, expected.synthetic.inputs)


def test_the_recording_is_left_as_it_was(make_recording):
    recording = make_recording(30.0)
    before = recording.samples.copy()
    lay_out(recording)
    np.testing.assert_array_equal(recording.samples, before)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_of_the_signal_that_is_no_number_is_one_clear_line(recording, value, one_line_error):
    spoilt = replace(recording, samples=recording.samples.copy())
    spoilt.samples[4000, recording.names.index("O1")] = value
    line = one_line_error(CalibrationError, lay_out, spoilt)
    assert line == f"{recording.name}: channel O1 is constant or holds what is no number"


@pytest.mark.parametrize("spoil", [lambda x: np.where(np.arange(x.size) == 4000, np.nan, x), np.zeros_like])
def test_another_channel_that_is_bad_does_not_help_and_spoils_nothing(recording, spoil):
    spoilt = replace(recording, samples=recording.samples.copy())
    place = recording.names.index("Pz")
    spoilt.samples[:, place] = spoil(spoilt.samples[:, place])
    without = lay_out(recording.pick([name for name in recording.names if name != "Pz"]))
    np.testing.assert_array_equal(lay_out(spoilt).real.inputs, without.real.inputs)


def test_a_gap_is_one_clear_line(recording, one_line_error):
    kept = np.delete(np.arange(len(recording.samples)), [4000])
    gapped = replace(recording, samples=recording.samples[kept], times_s=recording.times_s[kept])
    assert "samples are missing" in one_line_error(CalibrationError, lay_out, gapped)


def test_a_recording_no_longer_than_rest_is_one_clear_line(recording, one_line_error):
    line = one_line_error(CalibrationError, lay_out, recording.between(0.0, 20.0))
    assert line == f"{recording.name}: 20.0 s leave nothing to judge after 20 s of rest"


def test_a_channel_that_is_not_there_is_one_clear_line(recording, one_line_error):
    line = one_line_error(RecordingError, lay_out, recording, single("O2"))
    assert "there is no channel O2" in line


def test_a_dead_channel_is_one_clear_line(recording, one_line_error):
    spoilt = replace(recording, samples=recording.samples.copy())
    spoilt.samples[:, recording.names.index("O1")] = 0.0
    line = one_line_error(CalibrationError, lay_out, spoilt)
    assert line == f"{recording.name}: channel O1 is constant or holds what is no number"


def judge(recording, judged_s):
    return lay_out(recording, judged_s=judged_s)


def test_to_judge_on_what_is_learnt_from_is_refused(recording, one_line_error):
    line = one_line_error(CalibrationError, judge, recording, [(30.0, 40.0), (19.0, 25.0)])
    assert line == "judged from 19 s on, but rest lasts 20 s"


def test_stretches_past_the_end_leave_nothing_to_judge(recording, one_line_error):
    line = one_line_error(CalibrationError, judge, recording, [(70.0, 80.0)])
    assert line == "nothing is left to judge after 20 s of rest"


def test_synthetic_eeg_no_longer_than_rest_leaves_nothing_to_judge(recording, one_line_error):
    def short(recording):
        return lay_out(recording, synthetic_s=20.0)

    assert one_line_error(CalibrationError, short, recording) == "nothing is left to judge after 20 s of rest"
