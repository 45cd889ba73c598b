"""resonator: its step against a slow reference, its answers against the oscillator's theory."""

import functools
import math

import numpy as np
import pytest
from scipy import linalg, signal
from threadpoolctl import threadpool_limits

from closedloop.config.estimators import Resonator
from closedloop.errors import CalibrationError
from closedloop.estimators.interface import LEADS_S, N_LEADS, Rest, predict
from closedloop.estimators.resonator import design_resonator

SFREQ = 250.0
MU_S = 500.0


def cosine_rest(*, peak_hz=10.0, sfreq=SFREQ, seconds=8.0):
    """Return a rest of a cosine of 10 µV at the peak in white noise of 1 µV."""
    times_s = np.arange(round(seconds * sfreq)) / sfreq
    target = 10.0 * np.exp(2j * np.pi * peak_hz * times_s)
    x = target.real + np.random.default_rng(2).normal(0.0, 1.0, times_s.size)
    return Rest(x[:, None], target, sfreq, (0.75 * peak_hz, 1.25 * peak_hz), peak_hz)


def design(rest=None, **settings):
    return design_resonator(rest or cosine_rest(), Resonator(type="resonator", **settings))


def cosine(hz, seconds, sfreq=SFREQ):
    """Return times in s and a cosine of 1 µV of shape (n_samples, 1)."""
    times_s = np.arange(round(seconds * sfreq)) / sfreq
    return times_s, np.cos(2 * np.pi * hz * times_s)[:, None]


def noisy(n_samples=900, seed=3):
    rng = np.random.default_rng(seed)
    return cosine(10.6, n_samples / SFREQ)[1] * 10.0 + rng.normal(0.0, 3.0, (n_samples, 1))


def filtered(x, order):
    """Return the signal behind the band-pass: settled on the first sample, a missing one held at its input."""
    clean = np.isfinite(x)
    held = x[np.maximum.accumulate(np.where(clean, np.arange(len(x)), 0))]
    if order > 0:
        sections = signal.butter(order, (5.0, 20.0), "bandpass", fs=SFREQ, output="sos")
        held, _ = signal.sosfilt(sections, held, zi=signal.sosfilt_zi(sections) * held[0])
    return np.where(clean, held, np.nan)


@functools.cache
def exponential(omega, alpha):
    """Return the exponential of oscillator, integrator and parabola over one sample."""
    matrix = np.zeros((6, 6))
    matrix[0, 1] = 1.0
    matrix[1, :4] = -(omega**2), -alpha, 0.0, 1.0
    matrix[2, 1], matrix[2, 2] = 1.0 / MU_S, -1.0 / MU_S
    matrix[3, 4] = matrix[4, 5] = 1.0
    return linalg.expm(matrix / SFREQ)


@threadpool_limits.wrap(limits=1, user_api="blas")  # threads take milliseconds over a matrix of 6 by 6
def slow_predictions(x, peak_hz, *, damping, order, adapt):
    """Return what the published method says after every sample, with no regard to warm-up, NaN where x is."""
    start = 2 * np.pi * peak_hz
    alpha = damping * start
    period = round(SFREQ / peak_hz)
    said = np.full((len(x), N_LEADS), np.nan + 0j)
    s = filtered(x, order)
    begin = None
    for i in range(len(x)):
        if not np.isfinite(s[i]):
            begin = None
            continue
        if begin is None:
            begin, omega, offset, update = i, start, 0.0, 3 * period
            past, demeaned, phases = np.zeros(3), [0.0, 0.0], []
        demeaned.append(s[i] - offset)
        a, b, c = demeaned[-3:]
        signal_now = b, (c - a) / 2 * SFREQ, (c - 2 * b + a) * SFREQ**2  # value, slope, curvature
        past = (exponential(omega, alpha) @ np.array([*past, *signal_now]))[:3]
        z = alpha * complex(past[1], MU_S * omega * past[2])
        phases.append(np.angle(z))
        if adapt and i + 1 - begin > update:
            update += max(1, round(period / 20))
            slope = np.polyfit(np.arange(period) / SFREQ, np.unwrap(phases[-period:]), 1)[0]
            omega = slope if slope > 0 else omega
            offset = s[i + 1 - period : i + 1].mean()
        said[i] = z * np.exp(1j * omega * LEADS_S)
    if order > 0:
        sections = signal.butter(order, (5.0, 20.0), "bandpass", fs=SFREQ, output="sos")
        said /= signal.sosfreqz(sections, worN=[peak_hz], fs=SFREQ)[1][0]
    return said


@pytest.mark.parametrize("adapt", [False, True])
@pytest.mark.parametrize(("damping", "order"), [(0.3, 0), (0.3, 2), (1.5, 1)])
def test_predictions_equal_the_slow_reference_over_any_gaps(damping, order, adapt):
    x = noisy(650)
    for place, value in ((0, math.nan), (301, math.inf), (303, math.nan), (304, math.nan), (630, -math.inf)):
        x[place] = value
    designed = design(damping=damping, prefilter_order=order, adapt=adapt)
    z, sd = predict(designed, x)
    full = round(designed.window_s * SFREQ)
    known = np.array([i >= full and np.isfinite(x[i + 1 - full : i + 1]).all() for i in range(len(x))])
    assert known.sum() > 100
    np.testing.assert_array_equal(np.isfinite(z), np.broadcast_to(known[:, None], z.shape))
    np.testing.assert_array_equal(np.isfinite(sd), np.isfinite(z))
    # The reference's filter does not know of a sample before the first clean one.
    expected = slow_predictions(x[1:, 0], 10.0, damping=damping, order=order, adapt=adapt)
    np.testing.assert_allclose(z[known], expected[known[1:]], rtol=0, atol=1e-9 * 10)


@pytest.mark.parametrize("sfreq", [100.0, 250.0, 1000.0, 5000.0])
@pytest.mark.parametrize("order", [0, 2, 4])
@pytest.mark.parametrize("peak_hz", [8.0, 10.75])
def test_a_cosine_at_the_peak_is_said_with_its_phase_and_amplitude_as_soon_as_it_speaks(sfreq, order, peak_hz):
    designed = design(cosine_rest(sfreq=sfreq, peak_hz=peak_hz), prefilter_order=order)
    times_s, x = cosine(peak_hz, 3.0, sfreq)
    relative = predict(designed, x)[0] / np.exp(2j * np.pi * peak_hz * (times_s[:, None] + LEADS_S))
    relative = relative[round(designed.window_s * sfreq) :]
    assert np.degrees(np.abs(np.angle(relative))).max() < (1.0 if sfreq < 250 else 0.2)
    np.testing.assert_allclose(np.abs(relative), 1.0, rtol=0.015)


@pytest.mark.parametrize("hz", [7.0, 9.0, 10.0, 12.0])
@pytest.mark.parametrize("damping", [0.3, 1.0])
def test_beside_its_resonance_it_answers_as_the_theory_of_the_driven_oscillator_says(hz, damping):
    times_s, x = cosine(hz, 3.0, 2000.0)
    z, _ = predict(design(cosine_rest(sfreq=2000.0), damping=damping, prefilter_order=0), x)
    omega, own = 2 * np.pi * hz, 2 * np.pi * 10.0
    position = np.exp(1j * omega * times_s) / (own**2 - omega**2 + 1j * damping * own * omega)
    expected = damping * own * ((1j * omega * position).real + 1j * own * position.real)
    np.testing.assert_allclose(z[-4000:, 0], expected[-4000:], rtol=0, atol=4e-3)


def said_hz(z):
    """Return the frequency that the newest prediction's leads turn with."""
    return np.angle(z[-1, 1] / z[-1, 0]) / (2 * np.pi * LEADS_S[1])


@pytest.mark.parametrize("hz", [9.0, 11.0])
def test_with_adaptation_it_finds_a_clean_frequency_and_loses_its_error(hz):
    times_s, x = cosine(hz, 6.0)
    late = np.exp(-2j * np.pi * hz * (times_s[-250:, None] + LEADS_S))
    fixed = predict(design(prefilter_order=0), x)[0]
    followed = predict(design(prefilter_order=0, adapt=True), x)[0]
    assert said_hz(fixed) == pytest.approx(10.0)
    assert said_hz(followed) == pytest.approx(hz, abs=0.05)
    assert np.abs(np.degrees(np.angle(np.mean(fixed[-250:, 0] * late[:, 0])))) > 20.0
    assert np.degrees(np.abs(np.angle(followed[-250:] * late))).max() < 3.0


def test_adaptation_is_the_same_sample_by_sample():
    """A known implementation compares a count within the call with its next update: streamed, it never adapts."""
    designed = design(adapt=True)
    x = noisy()
    state, z, sd = designed.state.copy(), np.full(N_LEADS, np.nan + 0j), np.full(N_LEADS, np.nan)
    for row in x:
        designed.step(state, row, 0, N_LEADS, z, sd)
    whole = predict(designed, x)[0]
    np.testing.assert_array_equal(z, whole[-1])
    assert abs(said_hz(whole) - 10.0) > 0.05


def test_without_band_pass_a_gap_starts_it_as_if_nothing_had_been():
    x = noisy()
    x[400] = np.nan
    designed = design(prefilter_order=0, adapt=True)
    np.testing.assert_array_equal(predict(designed, x)[0][401:], predict(designed, x[401:])[0])


@pytest.mark.parametrize("adapt", [False, True])
def test_an_overflow_starts_it_anew(adapt):
    x = noisy()
    x[300:310] = 1.7e308 * (-1.0) ** np.arange(10)[:, None]  # every second one overflows the parabola
    designed = design(prefilter_order=0, adapt=adapt)
    np.testing.assert_array_equal(predict(designed, x)[0][310:], predict(designed, x[310:])[0])


@pytest.mark.parametrize("adapt", [False, True])
def test_after_silence_it_hears_the_rhythm_again(adapt):
    times_s, x = cosine(10.0, 8.0)
    x[: 4 * 250] = 0.0
    z, sd = predict(design(adapt=adapt), x)
    assert np.isnan(sd[:1000]).all()
    assert not np.isinf(z).any()
    error = np.angle(z[-250:, 0] * np.exp(-2j * np.pi * 10.0 * times_s[-250:]))
    assert np.degrees(np.abs(error)).max() < 2.0


def test_an_offset_is_not_heard_behind_the_band_pass():
    x = noisy()
    z, _ = predict(design(), x)
    lifted, _ = predict(design(), x + 1e4)
    np.testing.assert_allclose(lifted[300:], z[300:], atol=1e-7)


def test_without_band_pass_an_offset_shows_by_the_damping_and_adaptation_takes_it_off():
    _, x = cosine(10.0, 20.0)
    for adapt, expected in ((False, 0.3), (True, 0.0)):
        z, _ = predict(design(prefilter_order=0, adapt=adapt), x + 1.0)
        assert z[-1000:, 0].mean() == pytest.approx(1j * expected, abs=0.05)


@pytest.mark.parametrize("adapt", [False, True])
@pytest.mark.parametrize("scale", [1e-4, 0.37, 1e4])
def test_only_the_amplitude_scales(scale, adapt):
    z, _ = predict(design(adapt=adapt), noisy())
    scaled, _ = predict(design(adapt=adapt), scale * noisy())
    np.testing.assert_allclose(scaled[300:], scale * z[300:], rtol=1e-8)


def test_samples_that_are_only_taken_in_count_for_later_predictions():
    whole, _ = predict(design(adapt=True), noisy())
    thinned, _ = predict(design(adapt=True), noisy(), every=7)
    np.testing.assert_array_equal(thinned[6::7], whole[6::7])
    assert np.isnan(thinned[:6]).all()


@pytest.mark.parametrize(("damping", "order"), [(0.1, 0), (0.3, 2), (1.9, 4)])
def test_of_a_start_no_more_than_a_hundredth_is_left_when_it_speaks(damping, order):
    """Against the same rhythm heard for long: what differs is what is left of the start."""
    designed = design(cosine_rest(seconds=30.0), damping=damping, prefilter_order=order)
    _, x = cosine(10.0, 20.0)
    full = round(designed.window_s * SFREQ)
    fresh = predict(designed, x[2500:])[0][full - 1 : full + 25]
    assert np.abs(fresh - predict(designed, x)[0][2500 + full - 1 : 2500 + full + 25]).max() < 0.015


@pytest.mark.parametrize(
    ("rest", "settings", "said"),
    [
        ({"seconds": 2.0}, {}, "too short for an oscillator that settles in 0.8 s: at least 3.1 s"),
        ({}, {"damping": 0.01}, "at least 59.8 s"),
        ({"peak_hz": 4.0}, {}, "peak at 4 Hz does not lie in the band-pass before the resonator, 5 to 20 Hz"),
        ({"sfreq": 40.0}, {}, "5 to 20 Hz does not lie between 0 and 20 Hz"),
    ],
)
def test_what_it_cannot_be_designed_on_is_one_clear_line(one_line_error, rest, settings, said):
    assert said in one_line_error(CalibrationError, lambda: design(cosine_rest(**rest), **settings))


def test_a_peak_outside_the_band_pass_is_heard_without_it():
    assert design(cosine_rest(peak_hz=4.0, seconds=30.0), prefilter_order=0).facts["prefilter_deg"] == 0.0


@pytest.mark.uncompiled
def test_the_compiled_step_equals_the_plain_python(same_as_compiled):
    x = noisy(400)
    x[50] = np.nan
    z, sd = predict(design(cosine_rest(seconds=4.0), adapt=True), x)
    same_as_compiled(re=z.real, im=z.imag, sd=sd)
