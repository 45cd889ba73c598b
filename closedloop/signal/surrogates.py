"""Surrogates: signals with a given spectrum and no memory of any phase.

Every figure of accuracy stands beside what no rhythm at all would give: Gaussian noise with the
recording's own background spectrum, the rhythm's peak removed, all phases random, calibrated and
run the same way (the random-phase surrogates of Theiler et al. 1992, doi 10.1016/0167-2789(92)90102-S,
with Gaussian instead of fixed amplitudes, so that power varies between surrogates as it does in EEG).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import fft


def spectral_noise(
    frequencies_hz: NDArray[np.float64],
    psd: NDArray[np.float64],
    *,
    n_samples: int,
    sfreq: float,
    rng: np.random.Generator,
) -> NDArray[np.complex128]:
    """Draw the analytic signal of Gaussian noise with a one-sided power spectral density.

    Parameters
    ----------
    frequencies_hz, psd
        Arrays of shape (n_frequencies,), the density in µV²/Hz; between them it is interpolated
        linearly, beyond them it is zero.
    n_samples, sfreq
        Length and sampling rate in Hz.
    rng
        Source of all randomness.

    Returns
    -------
        Complex array of shape (n_samples,); its real part is the noise in µV.
    """
    # Twice the length, cut: a sum of harmonics of the record's length would meet its own beginning.
    n_long = fft.next_fast_len(2 * n_samples)
    grid = np.fft.rfftfreq(n_long, 1.0 / sfreq)
    density = np.interp(grid, frequencies_hz, psd, left=0.0, right=0.0)
    density[0] = 0.0
    half = np.sqrt(density * sfreq * n_long / 4.0)
    spectrum = np.zeros(n_long, np.complex128)
    spectrum[: grid.size] = 2.0 * half * (rng.standard_normal(grid.size) + 1j * rng.standard_normal(grid.size))
    noise: NDArray[np.complex128] = fft.ifft(spectrum)[:n_samples]
    return noise


def background_noise(
    frequencies_hz: NDArray[np.float64],
    psd: NDArray[np.float64],
    *,
    n_samples: int,
    sfreq: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw Gaussian noise, of shape (n_samples,) in µV, with a one-sided power spectral density.

    The parameters are those of `spectral_noise`.
    """
    return spectral_noise(frequencies_hz, psd, n_samples=n_samples, sfreq=sfreq, rng=rng).real


def cross_spectral_noise(
    frequencies_hz: NDArray[np.float64],
    density: NDArray[np.complex128],
    *,
    n_samples: int,
    sfreq: float,
    rng: np.random.Generator,
) -> NDArray[np.complex128]:
    """Draw the analytic signals of Gaussian noise with given one-sided cross-spectral densities.

    Parameters
    ----------
    frequencies_hz, density
        Array of shape (n_frequencies,), evenly spaced from 0, and complex array of shape (n_frequencies,
        n_channels, n_channels) in µV²/Hz, positive semi-definite; between frequencies it is interpolated
        linearly, beyond them it is zero.
    n_samples, sfreq
        Length and sampling rate in Hz.
    rng
        Source of all randomness.

    Returns
    -------
        Complex array of shape (n_samples, n_channels); its real part is the noise in µV.
    """
    n_long = fft.next_fast_len(2 * n_samples)
    place = np.fft.rfftfreq(n_long, 1.0 / sfreq) / frequencies_hz[1]
    before = place.astype(int)
    spectrum = np.zeros((n_long, density.shape[1]), np.complex128)
    for k in range(1, frequencies_hz.size):
        values, vectors = np.linalg.eigh(density[k])
        root = vectors * np.sqrt(np.maximum(values, 0.0) * sfreq * n_long)
        # A sum of independent noise of each neighbour, weighted by nearness, has the interpolated density.
        near = np.flatnonzero((before == k) | (before == k - 1))
        share = np.sqrt(1.0 - np.abs(place[near] - k))
        white = rng.standard_normal((near.size, values.size)) + 1j * rng.standard_normal((near.size, values.size))
        spectrum[near] += share[:, None] * (white @ root.T)
    noise: NDArray[np.complex128] = fft.ifft(spectrum, axis=0)[:n_samples]
    return noise
