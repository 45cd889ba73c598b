"""Phase from arrays and from MNE's recordings, by design and transform alone."""

import subprocess
import sys

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import closedloop
from closedloop.calibration.predictor import PhasePredictor, design
from closedloop.config.estimators import CalibratedEcht, Echt, Etp, Plugin, Wiener
from closedloop.errors import CalibrationError, ConfigError
from closedloop.estimators.interface import LEAD_STEP_S
from closedloop.estimators.wiener import design_wiener
from closedloop.signal.circular import circular_sd, wrap
from closedloop.signal.spatial import bipolar
from closedloop.sources.synthetic import simulate

SFREQ = 125.0
NAMES = ("F3", "O1", "Fz", "EMG")
KINDS = ("eeg", "eeg", "eeg", "emg")
REST = slice(0, 60 * 125)
HELPED = Wiener(type="wiener", helpers="all")


def draw(seconds=90.0, **simulated):
    """Return samples of shape (n_samples, 4) in µV and the rhythm's analytic signal."""
    made = simulate(duration_s=seconds, sfreq=SFREQ, seed=3, channels=NAMES, alpha_uv=15.0, **simulated)
    return made.recording.samples, made.alpha


def to_raw(samples, *, kinds=KINDS, sfreq=SFREQ, bads=(), bad_s=()):
    """Return an MNE recording of samples in µV, with BAD annotations of (onset, duration) in s."""
    info = mne.create_info(list(NAMES), sfreq, list(kinds))
    info["bads"] = list(bads)
    raw = mne.io.RawArray(1e-6 * samples.T, info, verbose="error")
    return raw.set_annotations(
        mne.Annotations([a for a, _ in bad_s], [b for _, b in bad_s], ["BAD_blink"] * len(bad_s))
    )


@pytest.fixture(scope="module")
def samples():
    return draw()[0]


@pytest.fixture(scope="module")
def raw(samples):
    return to_raw(samples)


@pytest.fixture(scope="module")
def rest(samples):
    return to_raw(samples[REST])


@pytest.fixture(scope="module")
def named(rest):
    """Return a predictor of a named channel with the other EEG channels' help."""
    return design(rest, "O1", estimator=HELPED)


@pytest.fixture(scope="module")
def many(samples):
    """Return a predictor of the first of four inputs."""
    return design(samples[REST], sfreq=SFREQ)


def sine(hz, seconds):
    return 20.0 * np.cos(2 * np.pi * hz * np.arange(round(seconds * SFREQ)) / SFREQ)


@pytest.mark.parametrize("lead_s", [0.0, 0.013, 0.05, 0.1])
def test_the_phase_of_a_pure_sine_is_right_at_any_lead_through_the_filters_in_front(lead_s):
    hz = 10.0
    noise = np.random.default_rng(1).normal(0.0, 1.0, 60 * 125)
    predictor = design(sine(hz, 60.0) + noise, sfreq=SFREQ, band_hz=(8.0, 12.0))
    phase, amplitude, _ = predictor.transform(sine(hz, 20.0), lead_s=lead_s)
    truth = 2 * np.pi * hz * (np.arange(phase.size) / SFREQ + lead_s)
    # The first-order high-pass at 0.5 Hz and the notch ring for seconds.
    assert np.degrees(np.abs(wrap(phase - truth)))[5 * 125 :].max() < 1.0
    np.testing.assert_allclose(amplitude[5 * 125 :], 20.0, rtol=0.02)


def test_the_phase_of_simulated_eeg_is_that_of_its_rhythm_as_well_as_the_sd_says():
    samples, alpha = draw(120.0)
    predictor = design(samples[REST, 1], sfreq=SFREQ)
    phase, _, sd = predictor.transform(samples[60 * 125 :, 1])
    error = wrap(phase - np.angle(alpha[60 * 125 :]))[np.isfinite(phase)]
    observed = circular_sd(np.abs(np.mean(np.exp(1j * error))))
    promised = circular_sd(np.nanmean(np.exp(-(sd**2) / 2)))
    assert observed < np.radians(45.0)
    assert promised == pytest.approx(observed, rel=0.3)
    assert abs(np.angle(np.mean(np.exp(1j * error)))) < np.radians(5.0)


def test_a_recording_and_its_array_in_microvolts_give_the_same(samples, raw, rest):
    of_raw = design(rest, "O1").transform(raw, lead_s=0.02)
    of_array = design(samples[REST, 1], sfreq=SFREQ).transform(samples[:, 1], lead_s=0.02)
    np.testing.assert_allclose(of_raw.amplitude, of_array.amplitude, rtol=1e-6)
    np.testing.assert_allclose(of_raw.sd, of_array.sd, rtol=1e-6)
    assert np.nanmax(np.abs(wrap(of_raw.phase - of_array.phase))) < 1e-6


def test_a_spatial_filter_is_the_weighted_sum_of_its_channels(samples, raw, rest):
    of_raw = design(rest, bipolar("O1", "Fz")).transform(raw)
    difference = samples[:, 1] - samples[:, 2]
    of_array = design(difference[REST], sfreq=SFREQ).transform(difference)
    np.testing.assert_allclose(of_raw.amplitude, of_array.amplitude, rtol=1e-6)
    assert np.nanmax(np.abs(wrap(of_raw.phase - of_array.phase))) < 1e-6


def test_between_two_leads_of_the_grid_it_predicts_the_phase_between(many, samples):
    def phase_at(steps):
        many.reset()
        return many.transform(samples, lead_s=steps * LEAD_STEP_S).phase

    before, between, after = phase_at(2), phase_at(2.5), phase_at(3)
    np.testing.assert_allclose(wrap(between - before), wrap(after - before) / 2, atol=1e-9)


def test_what_rest_says_is_told(many):
    assert many.fit.peak_hz == pytest.approx(10.0, abs=0.5)
    assert many.band_hz == (many.fit.peak_hz - 2.0, many.fit.peak_hz + 2.0)
    assert "rhythm" in many.verdict
    assert many.facts["taps"] == round(many.window_s * SFREQ)


def test_another_method_is_chosen_by_its_settings(samples):
    predictor = design(samples[REST, 1], sfreq=SFREQ, estimator=CalibratedEcht(type="c-echt"), band_hz=(9.0, 11.0))
    assert predictor.band_hz == (9.0, 11.0)
    assert predictor.facts["order"] == 1


def test_a_band_that_is_given_is_kept_by_tuning(samples):
    assert design(samples[REST, 0], sfreq=SFREQ, tuned="c-echt", band_hz=(8.0, 11.0)).band_hz == (8.0, 11.0)


def test_a_method_can_be_tuned_to_the_rest():
    """The end-point filter is off by its own phase, until the gain that tuning sets takes it out."""
    samples, alpha = draw(background_uv=4.0)
    published = design(samples[REST, 1], sfreq=SFREQ, estimator=Echt(type="echt"), band_hz=(9.0, 13.0))
    tuned = design(samples[REST, 1], sfreq=SFREQ, tuned="echt")

    def bias(predictor):
        phase = predictor.transform(samples[:, 1]).phase[REST.stop :]
        return abs(np.degrees(np.angle(np.nanmean(np.exp(1j * (np.angle(alpha[REST.stop :]) - phase))))))

    assert bias(tuned) < 4.0 < bias(published)


def test_the_interval_holds_as_many_errors_as_it_says():
    samples, alpha = draw(seconds=300.0)
    found = design(samples[REST, 1], sfreq=SFREQ).transform(samples[:, 1])
    error = np.abs(wrap(np.angle(alpha) - found.phase))[REST.stop :]
    for share in (0.5, 0.95):
        assert np.mean(error <= found.half_width(share)[REST.stop :]) == pytest.approx(share, abs=0.05)


def test_a_plugin_is_designed_with_its_own_options(samples, monkeypatch):
    given = []

    def find(name):
        def build(rest, options):
            given.append((name, options))
            return design_wiener(rest, Wiener(type="wiener"))

        return build

    monkeypatch.setattr("closedloop.calibration.predictor.find_estimator", find)
    design(samples[REST, 1], sfreq=SFREQ, estimator=Plugin(type="plugin", name="mine", options={"hz": 3.0}))
    assert given == [("mine", {"hz": 3.0})]


def assert_same(one, other):
    for part, expected in zip(one, other, strict=True):
        np.testing.assert_array_equal(part, expected)


def at_once(predictor, samples):
    predictor.reset()
    return predictor.transform(samples)


def in_chunks(predictor, samples, lengths):
    """Return the phases of a stream, cut after so many samples each, empty chunks included."""
    predictor.reset()
    parts = [predictor.transform(c) for c in np.split(samples, np.minimum(np.cumsum(lengths, dtype=int), len(samples)))]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


@given(lengths=st.lists(st.integers(0, 300), max_size=8))
def test_chunks_of_any_length_give_the_same_bit_for_bit(many, samples, lengths):
    stream = samples[:1000].copy()
    stream[400, 2] = np.nan
    assert_same(in_chunks(many, stream, lengths), at_once(many, stream))


def test_a_recording_may_come_in_pieces_too(named, raw):
    whole = at_once(named, raw)
    named.reset()
    # crop's end belongs to the piece.
    parts = [named.transform(raw.copy().crop(a, b)) for a, b in [(0.0, 19.992), (20.0, 20.0), (20.008, None)]]
    assert_same([np.concatenate(part) for part in zip(*parts, strict=True)], whole)


def test_an_empty_chunk_gives_nothing_and_changes_nothing(many, samples):
    many.reset()
    many.transform(samples[:500])
    empty = many.transform(samples[:0])
    assert [part.shape for part in empty] == [(0,)] * 3
    rest_of_it = many.transform(samples[500:])
    assert_same(rest_of_it, [part[500:] for part in at_once(many, samples)])


def test_reset_forgets_the_stream(many, samples):
    expected = at_once(many, samples)
    many.transform(1e6 * samples[::-1])
    many.transform(np.full((50, 4), np.nan))
    many.reset()
    assert_same(many.transform(samples), expected)


def test_a_design_starts_without_the_past_of_its_rest(samples):
    predictor = design(samples[REST], sfreq=SFREQ)
    first = predictor.transform(samples)
    assert_same(first, at_once(predictor, samples))
    assert np.isnan(first.phase[: round(predictor.window_s * SFREQ) - 1]).all()


def test_two_predictors_of_one_rest_do_not_hear_of_each_other(samples):
    one, other = (design(samples[REST], sfreq=SFREQ) for _ in range(2))
    expected = at_once(one, samples)
    one.reset()
    parts = []
    for chunk in np.split(samples, 3):
        parts.append(one.transform(chunk))
        other.transform(50.0 * chunk)
    assert_same([np.concatenate(part) for part in zip(*parts, strict=True)], expected)


def test_what_it_is_given_is_left_as_it_was(many, samples):
    before = samples.copy()
    many.transform(samples)
    np.testing.assert_array_equal(samples, before)


def blind_s(phases):
    """Return from when to when, in s, nothing is predicted after the first window."""
    silent = np.flatnonzero(np.isnan(phases.phase))
    later = silent[silent > SFREQ]
    assert np.array_equal(later, np.arange(later[0], later[-1] + 1))
    return later[0] / SFREQ, (later[-1] + 1) / SFREQ


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channel", [0, 3])
def test_a_sample_that_is_no_number_silences_one_window_whichever_input_lacks_it(many, samples, missing, channel):
    assert many.facts["helpers"] == 3
    stream = samples.copy()
    stream[1250, channel] = missing
    window_s = HELPED.window_s if channel == 0 else HELPED.helper_window_s
    assert blind_s(at_once(many, stream)) == pytest.approx((10.0, 10.0 + window_s))


def test_a_bad_annotation_is_a_gap(samples, rest):
    predictor = design(rest, "O1")
    phases = predictor.transform(to_raw(samples, bad_s=[(10.0, 1.0)]))
    assert blind_s(phases) == pytest.approx((10.0, 11.0 + predictor.window_s), abs=1.5 / SFREQ)


def test_another_annotation_is_none(samples, rest, raw):
    predictor = design(rest, "O1")
    remarked = to_raw(samples).set_annotations(mne.Annotations([10.0], [1.0], ["stimulus"]))
    assert_same(at_once(predictor, remarked), at_once(predictor, raw))


def test_none_help_unless_asked_for(rest):
    assert design(rest, "O1").facts["helpers"] == 0


def test_all_are_the_other_eeg_channels(named, samples, raw):
    inputs = samples[:, [1, 0, 2]]
    of_array = design(inputs[REST], sfreq=SFREQ).transform(inputs)
    assert named.facts["helpers"] == 2
    np.testing.assert_allclose(at_once(named, raw).sd, of_array.sd, rtol=1e-6)


def test_helpers_may_be_named_of_any_kind_of_voltage(samples, rest, raw):
    predictor = design(rest, "O1", estimator=Wiener(type="wiener", helpers=("EMG", "F3")))
    inputs = samples[:, [1, 3, 0]]
    of_array = design(inputs[REST], sfreq=SFREQ).transform(inputs)
    np.testing.assert_allclose(predictor.transform(raw).sd, of_array.sd, rtol=1e-6)


def test_a_helper_that_is_the_signal_is_left_out(rest, raw):
    alone = design(rest, "O1").transform(raw)
    assert_same(design(rest, "O1", estimator=Wiener(type="wiener", helpers=("O1",))).transform(raw), alone)


def test_a_channel_in_a_spatial_filter_may_help_it(rest):
    predictor = design(rest, bipolar("O1", "Fz"), estimator=HELPED)
    assert predictor.facts["helpers"] == 3


@pytest.mark.parametrize("helpers", ["all", ("F3", "Fz")])
def test_channels_that_are_marked_bad_do_not_help(samples, raw, helpers):
    marked = to_raw(samples[REST], bads=["F3"])
    with_bad = design(marked, "O1", estimator=Wiener(type="wiener", helpers=helpers))
    without = design(to_raw(samples[REST]), "O1", estimator=Wiener(type="wiener", helpers=("Fz",)))
    assert_same(with_bad.transform(raw), without.transform(raw))


def changed(samples, at, value):
    samples = samples[REST].copy()
    samples[at] = value
    return samples


REFUSED = {
    "no channel": (ConfigError, "channel is missing: the data have F3, O1, Fz, EMG", lambda s: (to_raw(s),), {}),
    "no weights": (ConfigError, "channel is missing: the data have F3, O1, Fz, EMG", lambda s: (to_raw(s), {}), {}),
    "an unknown channel": (
        ConfigError,
        "channel Cz is not in the data, which have F3, O1, Fz, EMG",
        lambda s: (to_raw(s), "Cz"),
        {},
    ),
    "an unknown helper": (
        ConfigError,
        "channel Cz is not in the data, which have F3, O1, Fz, EMG",
        lambda s: (to_raw(s), "O1"),
        {"estimator": Wiener(type="wiener", helpers=("Cz",))},
    ),
    "no voltage": (
        ConfigError,
        "channel O1 is of type misc and not a voltage, as EEG is",
        lambda s: (to_raw(s, kinds=("eeg", "misc", "eeg", "emg")), "O1"),
        {},
    ),
    "triggers": (
        ConfigError,
        "channel O1 is of type stim and not a voltage, as EEG is",
        lambda s: (to_raw(s, kinds=("eeg", "stim", "eeg", "emg")), "O1"),
        {},
    ),
    "an array without its rate": (
        ConfigError,
        "an array needs its sampling rate, sfreq, and has no named channels",
        lambda s: (s,),
        {},
    ),
    "an array with a channel": (
        ConfigError,
        "an array needs its sampling rate, sfreq, and has no named channels",
        lambda s: (s, "O1"),
        {"sfreq": SFREQ},
    ),
    "a rate below zero": (
        ConfigError,
        "sfreq = -250 Hz is no sampling rate (limit: above 0)",
        lambda s: (s,),
        {"sfreq": -250.0},
    ),
    "a rate that is no number": (
        ConfigError,
        "sfreq = nan Hz is no sampling rate (limit: above 0)",
        lambda s: (s,),
        {"sfreq": np.nan},
    ),
    "a list": (
        ConfigError,
        "data of type list: an array in µV or an mne.io.Raw is needed",
        lambda s: (s.tolist(),),
        {"sfreq": SFREQ},
    ),
    "two methods": (
        ConfigError,
        "estimator and tuned = echt name two methods (limit: 1)",
        lambda s: (s,),
        {"sfreq": SFREQ, "estimator": Etp(type="etp"), "tuned": "echt"},
    ),
    "a band with one edge": (
        ConfigError,
        "band_hz = (8.0,): lower and upper edge in Hz are needed, or auto",
        lambda s: (s,),
        {"sfreq": SFREQ, "band_hz": (8.0,)},
    ),
    "three dimensions": (
        ConfigError,
        "array of shape (7500, 4, 1): (n_samples,) or (n_samples, n_inputs) is needed",
        lambda s: (s[REST, :, None],),
        {"sfreq": SFREQ},
    ),
    "no dimension": (
        ConfigError,
        "array of shape (): (n_samples,) or (n_samples, n_inputs) is needed",
        lambda s: (np.array(s[0, 0]),),
        {"sfreq": SFREQ},
    ),
    "no input": (
        ConfigError,
        "array of shape (7500, 0): (n_samples,) or (n_samples, n_inputs) is needed",
        lambda s: (s[REST, :0],),
        {"sfreq": SFREQ},
    ),
    "an unknown method": (
        ConfigError,
        "estimator = nope: there is no such method (installed: ",
        lambda s: (s[REST, 0],),
        {"sfreq": SFREQ, "estimator": Plugin(type="plugin", name="nope")},
    ),
    "NaN": (
        CalibrationError,
        "rest holds samples that are missing, bad or no numbers (limit: none)",
        lambda s: (changed(s, (5, 1), np.nan),),
        {"sfreq": SFREQ},
    ),
    "a bad stretch": (
        CalibrationError,
        "rest holds samples that are missing, bad or no numbers (limit: none)",
        lambda s: (to_raw(s, bad_s=[(10.0, 1.0)]), "O1"),
        {},
    ),
    "a dead channel": (
        CalibrationError,
        "the signal is dead: its spectrum is zero; is the electrode connected?",
        lambda s: (0.0 * s[REST, 0] + 3.0,),
        {"sfreq": SFREQ},
    ),
    "too short": (
        CalibrationError,
        "recording of 4.0 s is too short for a spectrum: at least 8 s are needed",
        lambda s: (s[:500],),
        {"sfreq": SFREQ},
    ),
    "too short for the method": (
        CalibrationError,
        "calibration of 10.0 s is too short for a window of 2 s: at least ",
        lambda s: (s[:1250],),
        {"sfreq": SFREQ, "estimator": Wiener(type="wiener", window_s=2.0)},
    ),
    "a band beyond the rate": (
        CalibrationError,
        "band_hz = [8, 80] does not lie between 0 and half the sampling rate (62.5 Hz)",
        lambda s: (s[REST],),
        {"sfreq": SFREQ, "band_hz": (8.0, 80.0)},
    ),
    "a notch beyond the rate": (
        CalibrationError,
        "notch_hz = 70 does not lie below half the recording's sampling rate (62.5 Hz)",
        lambda s: (s[REST],),
        {"sfreq": SFREQ, "notch_hz": (70.0,)},
    ),
    "a method that the band does not suit": (
        CalibrationError,
        "window_s = 0.5 is below 1, two periods of 2 Hz",
        lambda s: (s[REST],),
        {"sfreq": SFREQ, "estimator": Etp(type="etp"), "band_hz": (2.0, 6.0)},
    ),
}


@pytest.mark.parametrize(("kind", "line", "data", "options"), REFUSED.values(), ids=REFUSED.keys())
def test_a_design_that_cannot_be_is_one_clear_line(samples, one_line_error, kind, line, data, options):
    assert line in one_line_error(kind, lambda: design(*data(samples), **options))


MISFITS = {
    "an array for named channels": (
        "the design was made on named channels, O1, F3, Fz, so it takes a Raw",
        "named",
        lambda s: s,
    ),
    "a recording for an array": ("the design was made on an array, so it takes arrays", "many", to_raw),
    "a list": ("data of type list: an array in µV or an mne.io.Raw is needed", "named", lambda s: s.tolist()),
    "other channels": (
        "channel O1 is not in the data, which have F3, Fz, EMG",
        "named",
        lambda s: to_raw(s).drop_channels(["O1"]),
    ),
    "another rate": (
        "sampling rate = 100 Hz is not the design's 125 Hz",
        "named",
        lambda s: to_raw(s, sfreq=100.0),
    ),
    "fewer inputs": (
        "array of shape (11250, 3): the design's samples are of 4 channels",
        "many",
        lambda s: s[:, :3],
    ),
    "one input": ("array of shape (11250,): the design's samples are of 4 channels", "many", lambda s: s[:, 0]),
}


@pytest.mark.parametrize(("line", "predictor", "data"), MISFITS.values(), ids=MISFITS.keys())
def test_data_that_do_not_fit_the_design_are_one_clear_line(samples, one_line_error, request, line, predictor, data):
    assert one_line_error(ConfigError, request.getfixturevalue(predictor).transform, data(samples)) == line


@pytest.mark.parametrize("lead_s", [-0.001, 0.101, np.nan])
def test_a_lead_outside_the_grid_is_one_clear_line_and_takes_nothing_from_the_stream(many, samples, lead_s):
    many.reset()
    with pytest.raises(ConfigError, match=rf"^lead_s = {lead_s:g} does not lie between 0 and 0\.1$"):
        many.transform(samples[:100], lead_s=lead_s)
    after = many.transform(samples).phase
    many.reset()
    np.testing.assert_array_equal(after, many.transform(samples).phase)


def test_the_package_gives_the_interface_by_name():
    assert closedloop.design is design
    assert closedloop.PhasePredictor is PhasePredictor
    assert set(closedloop.__all__) == {"design", "PhasePredictor", "Phases"}


def test_a_name_that_the_package_has_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'closedloop' has no attribute 'desing'"):
        _ = closedloop.desing


def test_importing_the_package_imports_nothing_heavy():
    program = "import sys, closedloop; print(sorted({'numpy', 'scipy', 'numba', 'mne'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
