"""Noise with a given spectrum and no memory of any phase."""

import numpy as np
import pytest
from scipy import signal

from closedloop.signal.surrogates import background_noise, spectral_noise

SFREQ = 250.0
GRID_HZ = np.linspace(0.0, 125.0, 501)
PSD = 50.0 / np.maximum(GRID_HZ, 1.0)


def draw(seconds=300.0, seed=1, psd=PSD):
    rng = np.random.default_rng(seed)
    return spectral_noise(GRID_HZ, psd, n_samples=round(seconds * SFREQ), sfreq=SFREQ, rng=rng)


def test_its_spectrum_is_the_one_that_was_asked_for():
    frequencies, psd = signal.welch(draw(1200.0).real, SFREQ, nperseg=1000)
    inside = (frequencies > 2.0) & (frequencies < 100.0)
    np.testing.assert_allclose(psd[inside], 50.0 / frequencies[inside], rtol=0.25)


def test_its_power_is_the_integral_of_the_density():
    white = np.full(GRID_HZ.size, 0.2)
    assert np.var(draw(600.0, psd=white).real) == pytest.approx(0.2 * 125.0, rel=0.02)


def test_beyond_the_density_on_either_side_there_is_nothing():
    rng = np.random.default_rng(1)
    given_hz = np.linspace(8.0, 12.0, 17)
    noise = spectral_noise(given_hz, np.full(17, 0.2), n_samples=150_000, sfreq=SFREQ, rng=rng)
    assert np.var(noise.real) == pytest.approx(0.2 * 4.0, rel=0.1)


def test_its_imaginary_part_is_its_hilbert_transform():
    narrow = np.where(np.abs(GRID_HZ - 10.0) <= 1.0, 1.0, 0.0)
    noise = draw(60.0, psd=narrow)
    inner = slice(2500, -2500)
    np.testing.assert_allclose(signal.hilbert(noise.real)[inner].imag, noise.imag[inner], atol=0.15 * noise.real.std())


def test_it_has_no_offset():
    assert abs(draw(1200.0).real.mean()) < 0.1 * draw(1200.0).real.std()


def test_its_end_does_not_meet_its_beginning():
    """A record of its harmonics alone would go on smoothly from its last sample to its first."""
    slow = np.where(GRID_HZ <= 1.0, 1.0, 0.0)
    steps, jumps = [], []
    for seed in range(20):
        x = draw(20.0, seed, slow).real
        steps.append(np.abs(np.diff(x)).mean())
        jumps.append(abs(x[0] - x[-1]))
    assert np.median(jumps) > 20.0 * np.median(steps)


def test_a_density_at_0_hz_adds_no_offset():
    rng = np.random.default_rng(1)
    noise = spectral_noise(np.array([0.0, 1e-6]), np.array([1e9, 0.0]), n_samples=1000, sfreq=SFREQ, rng=rng)
    assert not noise.any()


def test_its_power_varies_from_draw_to_draw_as_gaussian_noise_does():
    """Fixed amplitudes would leave 0.71 of the spread: var(P) / P² = ∫S² / (T (∫S)²) for Gaussian noise."""
    seconds = 20.0
    narrow = np.where(np.abs(GRID_HZ - 10.0) <= 1.0, 1.0, 0.0)
    fine = np.interp(np.linspace(0.0, 125.0, 100_001), GRID_HZ, narrow)
    expected = np.sqrt(np.sum(fine**2) / np.sum(fine) ** 2 / 0.00125 / seconds)
    power = np.array([np.mean(draw(seconds, seed, narrow).real ** 2) for seed in range(500)])
    assert power.std() / power.mean() == pytest.approx(expected, rel=0.12)


def test_it_has_no_memory_of_any_phase():
    """Where a rhythm of 1 Hz width was says nothing of where it is 5 s later: chance gives a PLV of 1 / sqrt(n)."""
    narrow = np.where(np.abs(GRID_HZ - 10.0) <= 0.5, 1.0, 0.0)
    phase = np.angle(draw(1200.0, psd=narrow))[::250]  # one a second
    advance = phase[5:] - phase[:-5]
    assert np.abs(np.exp(1j * advance).mean()) < 3.0 / np.sqrt(advance.size)
    assert np.abs(np.exp(1j * phase).mean()) < 3.0 / np.sqrt(phase.size)


def test_one_source_of_randomness_gives_one_noise():
    np.testing.assert_array_equal(draw(10.0, 3), draw(10.0, 3))
    assert np.abs(np.corrcoef(draw(60.0, 3).real, draw(60.0, 4).real)[0, 1]) < 0.1


def test_the_background_is_the_real_part():
    rng = np.random.default_rng(1)
    found = background_noise(GRID_HZ, PSD, n_samples=2500, sfreq=SFREQ, rng=rng)
    np.testing.assert_array_equal(found, draw(10.0).real)
