"""sspe: EM and the Kalman filter against plain NumPy, and the phase of oscillators that are simulated."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from closedloop.config.estimators import Sspe
from closedloop.errors import CalibrationError
from closedloop.estimators import sspe as module
from closedloop.estimators.interface import LEADS_S, N_LEADS, Rest, predict
from closedloop.estimators.oscillator_fit import PRIOR_POWER, Fit, fit_oscillators
from closedloop.estimators.oscillators import Oscillators
from closedloop.estimators.output import half_width, rician_phase_sd
from closedloop.estimators.sspe import design_sspe, filter_state, sspe

BAND_HZ = (8.0, 12.0)
SETTINGS = Sspe(type="sspe")
EEG_LIKE = Oscillators.of_width(
    125.0, np.array([10.0, 2.0, 22.0]), np.array([1.0, 3.0, 6.0]), np.array([40.0, 60.0, 10.0]), 3.0
)
"""A rhythm of 9 µV, slow and fast activity, white noise."""


def simulate(model, seconds, *, seed=0):
    """Return each oscillator's analytic signal, of shape (n_oscillators, n_samples), and what is observed."""
    rng = np.random.default_rng(seed)
    n_samples = round(seconds * model.rate_hz)
    driven = rng.normal(size=(model.drive.size, n_samples, 2)) @ [1.0, 1j] * np.sqrt(model.drive)[:, None]
    driven[:, 0] *= np.sqrt(model.power / model.drive)
    states = np.array([signal.lfilter([1.0], [1.0, -turn], w) for turn, w in zip(model.turn, driven, strict=True)])
    return states, states.real.sum(axis=0) + rng.normal(0.0, np.sqrt(model.noise), n_samples)


def rest_of(x, sfreq, *, peak_hz=10.0):
    return Rest(np.ascontiguousarray(x[:, None]), np.full(x.size, np.nan + 0j), sfreq, BAND_HZ, peak_hz)


def circular_sd_deg(error):
    return np.degrees(np.sqrt(-2 * np.log(np.abs(np.mean(np.exp(1j * error))))))


def dense_em_step(y, model):
    """Return log-likelihood and next parameters by the joint Gaussian of all states: no recursion at all."""
    n, size = y.size, 2 * model.drive.size
    transition, drive = model.transition(), np.diag(np.repeat(model.drive, 2))
    covariance = np.zeros((n, size, n, size))
    covariance[0, :, 0] = np.eye(size) * PRIOR_POWER * np.nanmean(y**2)
    for t in range(1, n):
        for s in range(t):
            covariance[t, :, s] = transition @ covariance[t - 1, :, s]
            covariance[s, :, t] = covariance[t, :, s].T
        covariance[t, :, t] = transition @ covariance[t - 1, :, t - 1] @ transition.T + drive
    joint = covariance.reshape(n * size, n * size)
    seen = np.flatnonzero(np.isfinite(y))
    observe = np.kron(np.eye(n), np.tile([1.0, 0.0], size // 2))[seen]
    variance = observe @ joint @ observe.T + model.noise * np.eye(seen.size)
    gain = np.linalg.solve(variance, observe @ joint).T
    mean = gain @ y[seen]
    moments = joint - gain @ observe @ joint + np.outer(mean, mean)
    _, log_determinant = np.linalg.slogdet(2 * np.pi * variance)
    likelihood = -0.5 * (log_determinant + y[seen] @ np.linalg.solve(variance, y[seen]))
    blocks = moments.reshape(n, size, n, size)
    frequency, damping, driven = [], [], []
    for j in range(0, size, 2):
        pair = slice(j, j + 2)
        earlier = sum(np.trace(blocks[t, pair, t, pair]) for t in range(n - 1))
        later = sum(np.trace(blocks[t, pair, t, pair]) for t in range(1, n))
        crossed = sum(blocks[t + 1, pair, t, pair] for t in range(n - 1))
        turn = complex(crossed[0, 0] + crossed[1, 1], crossed[1, 0] - crossed[0, 1]) / earlier
        frequency.append(abs(np.angle(turn)) * model.rate_hz / (2 * np.pi))
        damping.append(abs(turn))
        driven.append((later - abs(turn) ** 2 * earlier) / (2 * (n - 1)))
    residual = y[seen] ** 2 - 2 * y[seen] * (observe @ mean) + np.einsum("ij,jk,ik->i", observe, moments, observe)
    return likelihood, frequency, damping, driven, residual.mean()


def test_an_iteration_of_em_equals_that_by_the_joint_distribution_of_all_states():
    _, y = simulate(EEG_LIKE, 0.4)
    y[20:23] = np.nan
    start = dataclasses.replace(EEG_LIKE, frequency_hz=np.array([9.0, 3.0, 20.0]), noise=5.0)
    fit = fit_oscillators(y, start, max_iterations=1, stop_hz=0.0)
    likelihood, frequency, damping, drive, noise = dense_em_step(y, start)
    assert fit.log_likelihoods[0] == pytest.approx(likelihood, rel=1e-10)
    np.testing.assert_allclose(fit.oscillators.frequency_hz, frequency, rtol=1e-8)
    np.testing.assert_allclose(fit.oscillators.damping, damping, rtol=1e-8)
    np.testing.assert_allclose(fit.oscillators.drive, drive, rtol=1e-7)
    assert fit.oscillators.noise == pytest.approx(noise, rel=1e-8)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32 - 1),
    start_hz=st.tuples(st.floats(6.0, 14.0), st.floats(0.0, 5.0), st.floats(15.0, 40.0)),
    width_hz=st.floats(0.3, 10.0),
)
def test_no_iteration_lowers_the_likelihood(seed, start_hz, width_hz):
    _, y = simulate(EEG_LIKE, 4.0, seed=seed)
    y[50:60] = np.nan
    start = Oscillators.of_width(125.0, np.array(start_hz), np.full(3, width_hz), np.full(3, 30.0), 10.0)
    likelihoods = fit_oscillators(y, start, max_iterations=40, stop_hz=0.0).log_likelihoods
    assert np.diff(likelihoods).min() > -1e-7 * np.abs(likelihoods).max()


def test_em_finds_the_parameters_of_simulated_oscillators():
    _, y = simulate(EEG_LIKE, 120.0, seed=1)
    start = Oscillators.of_width(125.0, np.array([11.0, 3.0, 20.0]), np.full(3, 4.0), np.full(3, 30.0), 10.0)
    fit = fit_oscillators(y, start, max_iterations=400, stop_hz=1e-3)
    assert fit.converged
    found = fit.oscillators
    # 120 s hold some 100 independent stretches of a rhythm of 1 Hz: power is known to 10 %, frequency to 0.1 Hz.
    np.testing.assert_allclose(found.frequency_hz, EEG_LIKE.frequency_hz, atol=0.4)
    np.testing.assert_allclose(found.frequency_hz[0], 10.0, atol=0.15)
    np.testing.assert_allclose(found.width_hz, EEG_LIKE.width_hz, rtol=0.4)
    np.testing.assert_allclose(found.power, EEG_LIKE.power, rtol=0.25)
    assert found.noise == pytest.approx(EEG_LIKE.noise, rel=0.1)


def test_width_power_and_density_are_those_of_the_simulated_process():
    states, _ = simulate(EEG_LIKE, 2000.0, seed=2)
    frequencies, density = signal.welch(states.real, 125.0, nperseg=2500, return_onesided=False)
    for at_hz in (2.0, 9.5, 10.0, 22.0):
        near = np.abs(np.abs(frequencies) - at_hz) < 0.11
        np.testing.assert_allclose(density[:, near].mean(axis=1), EEG_LIKE.density(at_hz), rtol=0.12)
    np.testing.assert_allclose(states.real.var(axis=1), EEG_LIKE.power, rtol=0.1)
    half = EEG_LIKE.density(10.5)[0] / EEG_LIKE.density(10.0)[0]
    assert half == pytest.approx(0.5, abs=0.01)


def test_at_another_rate_the_processes_are_the_same():
    faster = EEG_LIKE.at_rate(1000.0)
    for at_hz in (2.0, 9.5, 10.0):
        np.testing.assert_allclose(faster.density(at_hz)[:2], EEG_LIKE.density(at_hz)[:2], rtol=0.03)
    np.testing.assert_allclose(faster.power, EEG_LIKE.power)
    assert faster.noise / 1000.0 == pytest.approx(EEG_LIKE.noise / 125.0)


def test_the_steady_filter_is_where_the_first_filters_end():
    gains, covariances = EEG_LIKE.first_filters(1000)
    gain, covariance = EEG_LIKE.steady_filter()
    np.testing.assert_allclose(gains[-1], gain, rtol=1e-8)
    np.testing.assert_allclose(covariances[-1], covariance, rtol=1e-6, atol=1e-8)


def kalman(model, y, stride, n_values):
    """Return each sample's states, by a Kalman filter with covariances, steady after n_values, for each lane."""
    transition, drive = model.transition(), np.diag(np.repeat(model.drive, 2))
    seen = np.tile([1.0, 0.0], model.drive.size)
    steady = model.steady_filter()[0]
    states = np.full((y.size, seen.size), np.nan)
    for lane in range(stride):
        rows = np.arange(stride - 1 + lane, y.size, stride)
        mean, covariance = np.zeros(seen.size), np.diag(np.repeat(model.power, 2))
        for count, row in enumerate(rows, start=1):
            gain = covariance @ seen / (seen @ covariance @ seen + model.noise) if count < n_values else steady
            mean = mean + gain * (y[row - stride + 1 : row + 1].mean() - seen @ mean)
            states[row] = mean
            covariance = transition @ (covariance - np.outer(gain, seen @ covariance)) @ transition.T + drive
            mean = transition @ mean
    return states[:, ::2] + 1j * states[:, 1::2]


@pytest.mark.parametrize(("sfreq", "stride"), [(250.0, 1), (3000.0, 3)])
def test_the_step_equals_a_plain_kalman_filter(sfreq, stride):
    model = EEG_LIKE.at_rate(sfreq / stride)
    state, variance = filter_state(model, 0, stride=stride)
    n_values = int(state[4])
    _, x = simulate(EEG_LIKE.at_rate(sfreq), 2.0, seed=3)
    z, sd = predict(module.Designed(sspe, state, 0.5, {}), x[:, None])
    late_s = (stride - 1) / 2 / sfreq
    expected = kalman(model, x, stride, n_values)[:, :1] * np.exp(
        (LEADS_S + late_s) * (-np.pi * model.width_hz[0] + 2j * np.pi * model.frequency_hz[0])
    )
    full = n_values * stride - 1
    assert np.isnan(z[:full]).all()
    np.testing.assert_allclose(z[full:], expected[full:], rtol=1e-9, atol=1e-9)
    promised = rician_phase_sd(np.abs(expected[full:]) / np.sqrt(variance))
    tabulated = promised < 2.0  # beyond, at next to no amplitude, the table of SDs is coarse
    np.testing.assert_allclose(sd[full:][tabulated], promised[tabulated], rtol=0.01)


def test_the_error_has_the_variance_that_the_model_says_at_every_lead():
    states, x = simulate(EEG_LIKE, 400.0, seed=4)
    state, variance = filter_state(EEG_LIKE, 0, stride=1)
    z, _ = predict(module.Designed(sspe, state, 0.5, {}), x[:, None])
    truth = Rest(x[:, None], states[0], 125.0, BAND_HZ, 10.0).targets()
    missed = np.abs(z[100:-20] - truth[100:-20]) ** 2
    # Between samples the targets are interpolated, at a loss: only leads of whole samples (8 ms) are compared.
    np.testing.assert_allclose(missed.mean(axis=0)[[0, 4, 8]], variance[[0, 4, 8]], rtol=0.07)


@pytest.mark.parametrize("sfreq", [250.0, 1000.0])
def test_the_fitted_filter_tracks_phase_as_well_as_the_one_that_knows_the_parameters(sfreq):
    model = EEG_LIKE.at_rate(sfreq)
    states, x = simulate(model, 150.0, seed=5)
    known = module.Designed(sspe, filter_state(model, 0, stride=1)[0], 0.5, {})
    fitted = design_sspe(rest_of(x[: round(30 * sfreq)], sfreq, peak_hz=10.4), SETTINGS)
    best, reached = (
        circular_sd_deg(
            np.angle(predict(d, x[:, None], stop=1)[0][round(30 * sfreq) :, 0] / states[0, round(30 * sfreq) :])
        )
        for d in (known, fitted)
    )
    assert reached < best + 1.0


def pink_noise(n_samples, sfreq, rng):
    frequencies = np.fft.rfftfreq(n_samples, 1.0 / sfreq)
    spectrum = rng.normal(size=(frequencies.size, 2)) @ [1.0, 1j] / np.sqrt(np.maximum(frequencies, 0.5))
    spectrum[0] = 0.0
    return np.fft.irfft(spectrum, n_samples)


def band_power(x, sfreq):
    frequencies, density = signal.welch(x, sfreq, nperseg=round(2 * sfreq))
    return density[(frequencies >= 8.0) & (frequencies <= 13.0)].sum()


@pytest.mark.parametrize(("snr_db", "limit_deg"), [(10.0, 47.0), (5.0, 58.0)])
def test_a_rhythm_in_pink_noise_keeps_its_phase_and_its_promised_sd(snr_db, limit_deg):
    """Linear filters that were taught the true phase reach some 45 and 57 degrees."""
    rng = np.random.default_rng(6)
    rhythm = Oscillators.of_width(250.0, np.array([10.0]), np.array([1.0]), np.array([100.0]), 1e-9)
    (truth,), x = simulate(rhythm, 150.0, seed=6)
    noise = pink_noise(x.size, 250.0, rng)
    noise *= np.sqrt(band_power(x, 250.0) / band_power(noise, 250.0) / 10 ** (snr_db / 10))
    designed = design_sspe(rest_of(x[:5000] + noise[:5000], 250.0), SETTINGS)
    z, sd = predict(designed, (x + noise)[:, None], stop=1)
    error, sd = np.angle(z[5000:, 0] / truth[5000:]), sd[5000:, 0]
    assert circular_sd_deg(error) < limit_deg
    for part in np.array_split(np.argsort(sd), 3):
        promised = np.degrees(np.sqrt(-2 * np.log(np.mean(np.exp(-(sd[part] ** 2) / 2)))))
        assert promised == pytest.approx(circular_sd_deg(error[part]), rel=0.2)


def credible_half_width(amplitude_uv, variance_uv2):
    """Return what the posterior's SD says of the interval that holds 95 % of all phases."""
    return half_width(rician_phase_sd(np.array([amplitude_uv / np.sqrt(variance_uv2)])), 0.95)[0]


@pytest.mark.parametrize("amplitude_uv", [0.5, 2.0, 8.0, 30.0])
def test_the_credible_interval_is_that_of_ten_thousand_draws(amplitude_uv):
    _, covariance = EEG_LIKE.steady_filter()
    pair = covariance[:2, :2]
    rng = np.random.default_rng(7)
    for phase in (0.0, 1.0, 2.0):
        centre = amplitude_uv * np.array([np.cos(phase), np.sin(phase)])
        drawn = rng.multivariate_normal(centre, pair, 10_000) @ [1.0, 1j] * np.exp(-1j * phase)
        sampled = np.quantile(np.abs(np.angle(drawn)), 0.95)
        assert credible_half_width(amplitude_uv, np.trace(pair)) == pytest.approx(sampled, rel=0.06)


def test_without_amplitude_every_phase_is_credible():
    assert credible_half_width(0.0, 1.0) == pytest.approx(0.95 * np.pi)
    assert credible_half_width(1e4, 1.0) == pytest.approx(1.96e-4 / np.sqrt(2), rel=1e-3)


@pytest.mark.parametrize("factor", [1e-4, 1e-1, 1e4])
def test_the_unit_of_the_signal_changes_no_phase(factor):
    _, x = simulate(EEG_LIKE.at_rate(250.0), 20.0, seed=8)
    plain, scaled = (design_sspe(rest_of(f * x, 250.0), SETTINGS) for f in (1.0, factor))
    z, sd = predict(plain, x[:1000, None])
    other, other_sd = predict(scaled, factor * x[:1000, None])
    np.testing.assert_allclose(other / factor, z, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(other_sd, sd, rtol=1e-6)


def test_a_start_that_is_off_the_peak_finds_the_rhythm_all_the_same():
    _, x = simulate(EEG_LIKE.at_rate(250.0), 20.0, seed=9)
    for peak_hz in (8.0, 12.0):
        designed = design_sspe(rest_of(x, 250.0, peak_hz=peak_hz), SETTINGS)
        assert designed.facts["frequencies_hz"][designed.facts["rhythm"]] == pytest.approx(10.0, abs=0.4)


def test_the_rhythm_is_the_oscillator_in_the_band_whichever_was_started_there(monkeypatch):
    swapped = Oscillators(
        125.0, EEG_LIKE.frequency_hz[::-1], EEG_LIKE.damping[::-1], EEG_LIKE.drive[::-1], EEG_LIKE.noise
    )
    monkeypatch.setattr(module, "fit_oscillators", lambda *_, **__: Fit(swapped, np.zeros(1), True))
    _, x = simulate(EEG_LIKE, 12.0)
    assert design_sspe(rest_of(x, 125.0), SETTINGS).facts["rhythm"] == 2


def test_what_lies_before_a_gap_has_no_influence_after_it():
    _, x = simulate(EEG_LIKE, 6.0, seed=10)
    state, _ = filter_state(EEG_LIKE, 0, stride=1)
    designed = module.Designed(sspe, state, 0.5, {})
    x[300] = np.nan
    z, sd = predict(designed, x[:, None])
    fresh, fresh_sd = predict(designed, x[301:, None])
    np.testing.assert_array_equal(z[301:], fresh)
    np.testing.assert_array_equal(sd[301:], fresh_sd)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_counts_as_missing(bad):
    _, x = simulate(EEG_LIKE, 8.0, seed=11)
    state, _ = filter_state(EEG_LIKE, 0, stride=1)
    x[300:303] = bad
    z, _ = predict(module.Designed(sspe, state, 0.5, {}), x[:, None])
    blind = np.flatnonzero(np.isnan(z).any(axis=1))
    n_window = int(state[4])
    assert blind.tolist() == [*range(n_window - 1), *range(300, 302 + n_window)]


@pytest.mark.parametrize("stride", [1, 2])
def test_numbers_too_large_to_follow_restart_the_filter(stride):
    _, x = simulate(EEG_LIKE, 8.0, seed=11)
    state, _ = filter_state(EEG_LIKE, 0, stride=stride)
    x[300:310] = 1.7e308 * (-1.0) ** (np.arange(10) // stride)
    z, _ = predict(module.Designed(sspe, state, 0.5, {}), x[:, None])
    assert np.isnan(z[310]).all()
    assert np.isfinite(z[311 + int(state[4]) * stride :]).all()


def test_a_noiseless_sine_can_be_fitted():
    sine = 10.0 * np.cos(2 * np.pi * 10.0 * np.arange(5000) / 250.0)
    z, sd = predict(design_sspe(rest_of(sine, 250.0), SETTINGS), sine[:, None])
    error = np.degrees(
        np.angle(z[1000:] * np.exp(-2j * np.pi * 10.0 * (np.arange(1000, 5000)[:, None] / 250.0 + LEADS_S)))
    )
    assert np.abs(error).max() < 2.0
    assert np.isfinite(sd[1000:]).all()


def test_zeros_and_steps_give_numbers():
    _, x = simulate(EEG_LIKE.at_rate(250.0), 12.0, seed=12)
    designed = design_sspe(rest_of(x, 250.0), SETTINGS)
    for odd in (np.zeros(1000), np.repeat([0.0, 1e6], 500)):
        z, sd = predict(designed, odd[:, None])
        assert np.isfinite(z[500:]).all()
        assert not np.any(sd[500:] < 0.0)
        assert z.shape == (1000, N_LEADS)


def test_what_cannot_be_designed_is_one_clear_line(one_line_error):
    _, x = simulate(EEG_LIKE.at_rate(250.0), 12.0, seed=13)

    def line(x, **more):
        return one_line_error(CalibrationError, design_sspe, rest_of(x, 250.0), Sspe(type="sspe", **more))

    assert line(x, fit_s=20.0) == "calibration of 12.0 s is too short for sspe: fit_s = 20 s"
    assert "of the first 5 s of rest most is missing" in line(np.where(np.arange(x.size) < 2000, np.nan, x))
    assert "of the first 5 s of rest most is missing, or all is zero" in line(np.where(np.arange(x.size) < 2600, 0, x))
    assert "an oscillator at 70 Hz does not lie below 62.5 Hz" in line(x, background_hz=(2.0, 70.0))


def test_rest_without_a_rhythm_in_the_band_is_refused(one_line_error):
    elsewhere = dataclasses.replace(EEG_LIKE, frequency_hz=np.array([17.0, 2.0, 30.0])).at_rate(250.0)
    _, x = simulate(elsewhere, 20.0, seed=14)
    line = one_line_error(CalibrationError, design_sspe, rest_of(x, 250.0), SETTINGS)
    assert line.startswith("sspe: EM finds no rhythm of 7.5 to 12.5 Hz that is at most 4 Hz wide: its likeliest fit")


@pytest.mark.parametrize("broken", [{"noise": float("nan")}, {"drive": np.array([1.0, -1.0, 1.0])}])
def test_a_fit_that_diverges_is_refused(monkeypatch, one_line_error, broken):
    spoilt = dataclasses.replace(EEG_LIKE, **broken)
    monkeypatch.setattr(module, "fit_oscillators", lambda *_, **__: Fit(spoilt, np.zeros(1), False))
    _, x = simulate(EEG_LIKE, 12.0)
    assert "EM diverged" in one_line_error(CalibrationError, design_sspe, rest_of(x, 125.0), SETTINGS)


@pytest.mark.uncompiled
def test_the_compiled_step_and_fit_equal_the_plain_python(same_as_compiled):
    _, x = simulate(EEG_LIKE, 1.2, seed=15)
    x[100] = np.nan
    fit = fit_oscillators(x, EEG_LIKE, max_iterations=3, stop_hz=0.0)
    state, _ = filter_state(EEG_LIKE, 0, stride=2)
    z, sd = predict(module.Designed(sspe, state, 0.5, {}), np.repeat(x, 2)[:, None])
    same_as_compiled(re=z.real, im=z.imag, sd=sd, likelihoods=fit.log_likelihoods, drive=fit.oscillators.drive)
