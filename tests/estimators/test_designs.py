"""wiener and echt: what they predict of signals whose future is known."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from closedloop.config.estimators import Echt, Wiener
from closedloop.errors import CalibrationError, ConfigError
from closedloop.estimators.echt import design_echt, echt_weights
from closedloop.estimators.interface import LEADS_S, N_LEADS, Rest, find_estimator, predict
from closedloop.estimators.wiener import RIDGES, design_wiener

BAND_HZ = (8.0, 12.0)


def sine_rest(*, sfreq=250.0, seconds=30.0, frequency_hz=10.0, amplitude_uv=10.0, noise_uv=0.0, seed=0):
    """Return a rest whose target is the noiseless sine."""
    times_s = np.arange(round(seconds * sfreq)) / sfreq
    target = amplitude_uv * np.exp(2j * np.pi * frequency_hz * times_s)
    noise = np.random.default_rng(seed).normal(0.0, 1.0, times_s.size) * noise_uv
    return Rest(
        inputs=(target.real + noise)[:, None], target=target, sfreq=sfreq, band_hz=BAND_HZ, peak_hz=frequency_hz
    )


WIENER = Wiener(type="wiener", window_s=0.5)
ECHT = Echt(type="echt", window_s=0.5, order=2)


def circular_sd(error):
    return np.sqrt(-2 * np.log(np.abs(np.mean(np.exp(1j * error), axis=0))))


@pytest.mark.parametrize("sfreq", [125.0, 250.0, 500.0])
def test_wiener_predicts_a_pure_sine_within_a_tenth_of_a_degree_at_every_lead(sfreq):
    rest = sine_rest(sfreq=sfreq, seconds=30.0, frequency_hz=9.7)
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
def test_wiener_knows_the_sd_of_its_error_and_when_it_is_small(noise_uv, width_hz):
    design = design_wiener(waxing_rest(noise_uv=noise_uv, width_hz=width_hz, seed=1), WIENER)
    fresh = waxing_rest(noise_uv=noise_uv, width_hz=width_hz, seed=2)
    for lead in (0, 2, 10):
        for groups in (1, 5):
            promised, observed = promised_and_observed(design, fresh, lead, groups)
            np.testing.assert_allclose(promised, observed, rtol=0.15)


@pytest.mark.parametrize("noise_uv", [2.0, 10.0, 20.0])
def test_wiener_s_sd_is_never_too_small_for_a_steady_sine(noise_uv):
    """A steady amplitude is not Gaussian: the model takes its missing spread for error, and is careful."""
    design = design_wiener(sine_rest(noise_uv=noise_uv, seed=1), WIENER)
    (promised,), (observed,) = promised_and_observed(design, sine_rest(noise_uv=noise_uv, seed=2, seconds=120.0), 2)
    assert 0.95 * observed < promised < 1.3 * observed


def test_wiener_chooses_a_larger_ridge_for_noise_than_for_a_sine():
    clean = design_wiener(sine_rest(noise_uv=0.01), WIENER).facts["ridge"]
    noisy = design_wiener(sine_rest(noise_uv=50.0), WIENER).facts["ridge"]
    assert RIDGES[0] <= clean < noisy <= RIDGES[-1]


def test_wiener_s_prediction_does_not_depend_on_an_offset():
    design = design_wiener(sine_rest(noise_uv=5.0), WIENER)
    fresh = sine_rest(noise_uv=5.0, seed=3, seconds=10.0)
    z, _ = predict(design, fresh.inputs)
    lifted, _ = predict(design, fresh.inputs + 100.0)
    np.testing.assert_allclose(lifted[200:], z[200:], atol=1e-6)


def test_wiener_s_window_is_as_long_as_asked_and_must_be_clean():
    design = design_wiener(sine_rest(noise_uv=1.0), WIENER)
    assert design.window_s == pytest.approx(0.5, abs=0.01)
    x = sine_rest(seconds=4.0).inputs.copy()
    x[500] = np.nan
    _, sd = predict(design, x)
    n_window = round(design.window_s * 250)
    blind = np.flatnonzero(np.isnan(sd).all(axis=1))
    assert blind.tolist() == [*range(n_window - 1), *range(500, 500 + n_window)]


@pytest.mark.parametrize("design", [design_wiener, design_echt])
def test_a_calibration_that_is_too_short_is_one_clear_line(design):
    settings = WIENER if design is design_wiener else ECHT
    with pytest.raises(
        CalibrationError, match=r"calibration of 1\.5 s is too short for a window of 0\.\d+ s: at least \d\.?\d* s"
    ) as caught:
        design(sine_rest(seconds=1.5), settings)
    assert "\n" not in str(caught.value)


def test_the_length_that_wiener_asks_for_is_enough():
    with pytest.raises(CalibrationError) as caught:
        design_wiener(sine_rest(seconds=2.0), WIENER)
    needed_s = float(str(caught.value).split("at least ")[1].split(" s")[0])
    design_wiener(sine_rest(seconds=needed_s + 0.1, noise_uv=1.0), WIENER)


def test_a_calibration_of_zeros_is_one_clear_line():
    with pytest.raises(CalibrationError, match="no signal") as caught:
        sine_rest(amplitude_uv=0.0)
    assert "\n" not in str(caught.value)


@given(
    n_taps=st.integers(20, 400),
    sfreq=st.sampled_from([125.0, 250.0, 500.0]),
    order=st.sampled_from([1, 2]),
    seed=st.integers(0, 2**32 - 1),
)
def test_echt_equals_the_published_recipe(n_taps, sfreq, order, seed):
    """Spectrum, its negative half dropped, times the causal Butterworth, back, last value."""
    x = np.random.default_rng(seed).normal(0.0, 1.0, n_taps)
    spectrum = np.fft.fft(x)
    multiple = np.zeros(n_taps)
    multiple[0] = 1.0
    multiple[1 : (n_taps + 1) // 2] = 2.0
    if n_taps % 2 == 0:
        multiple[n_taps // 2] = 1.0
    sections = signal.butter(order, np.array(BAND_HZ) / (sfreq / 2), "bandpass", output="sos")
    _, response = signal.sosfreqz(sections, worN=np.arange(n_taps) * 2 * np.pi / n_taps)
    expected = np.fft.ifft(spectrum * multiple * response)[-1]
    assert abs(echt_weights(n_taps, sfreq, BAND_HZ, order=order) @ x - expected) < 1e-10


def test_echt_turns_its_phase_on_at_the_peak():
    rest = sine_rest(noise_uv=1.0)
    z, _ = predict(design_echt(rest, ECHT), rest.inputs)
    turned = z[200:] / z[200:, :1]
    np.testing.assert_allclose(turned, np.broadcast_to(np.exp(2j * np.pi * 10.0 * LEADS_S), turned.shape), atol=1e-9)


def test_echt_is_right_in_the_middle_of_its_band():
    """With whole periods in the window nothing leaks; at the band's centre the Butterworth turns nothing."""
    centre_hz = 10.0
    band = (centre_hz / 1.2, centre_hz * 1.2)
    weights = echt_weights(250, 250.0, band, order=2)
    phase = np.arange(-249, 1) / 250.0 * 2 * np.pi * centre_hz
    assert abs(np.degrees(np.angle(weights @ np.cos(phase)))) < 1.0
    assert abs(weights @ np.cos(phase)) == pytest.approx(1.0, abs=0.01)


@given(st.floats(80.0, 1000.0), st.floats(7.0, 13.0))
def test_targets_ahead_are_right_between_samples(sfreq, frequency_hz):
    rest = sine_rest(sfreq=sfreq, seconds=2.0, frequency_hz=frequency_hz)
    times_s = np.arange(len(rest.target)) / sfreq
    ahead = 10.0 * np.exp(2j * np.pi * frequency_hz * (times_s[:, None] + LEADS_S))
    targets = rest.targets()
    known = np.isfinite(targets)
    np.testing.assert_allclose(targets[known], ahead[known], atol=1e-8)
    assert known[: -int(0.1 * sfreq) - 2].all()
    assert not known[-1, 1:].any()


def test_our_methods_are_found_by_name():
    assert find_estimator("wiener") is design_wiener
    assert find_estimator("echt") is design_echt


def test_an_unknown_method_is_one_clear_line_that_names_those_there_are():
    with pytest.raises(ConfigError, match=r"estimator = kalman: .*echt.*, wiener") as caught:
        find_estimator("kalman")
    assert "\n" not in str(caught.value)


def test_a_third_party_s_method_is_found_by_its_entry_point(monkeypatch):
    other = SimpleNamespace(name="other", load=lambda: design_echt)
    monkeypatch.setattr(
        "closedloop.estimators.interface.entry_points",
        lambda *, group: [other] if group == "closedloop.estimators" else [],
    )
    assert find_estimator("other") is design_echt


def test_the_grid_of_leads_ends_at_a_tenth_of_a_second():
    assert LEADS_S[0] == 0.0
    assert LEADS_S[-1] == pytest.approx(0.1)
    assert len(LEADS_S) == N_LEADS
