"""Simulated EEG whose true phase is known: the phase of the rhythm that was put in.

The background is Gaussian noise with a power-law spectrum, partly common to all channels. The rhythm
is one oscillation of drifting frequency and waxing amplitude; its analytic signal is kept, so that no
filter has to define what its phase is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closedloop.signal.surrogates import background_noise
from closedloop.sources.recording import Recording

ALPHA_WEIGHTS: Mapping[str, float] = {"F3": 1.0, "O1": 1.0, "O2": 1.0, "Pz": 0.6, "C3": 0.35, "Fz": 0.35}
"""How strongly a channel shows the rhythm; others OTHER_WEIGHT. F3 stands out among its neighbours."""
OTHER_WEIGHT = 0.25
COMMON_SHARE = 0.3
"""Of the background's power, what all channels share: a Laplacian takes it out."""
BLINK_UV = 200.0
BLINK_S = 0.3
BLINK_WEIGHTS: Mapping[str, float] = {"Fp1": 1.0, "Fp2": 1.0, "F7": 0.6, "F8": 0.6, "F3": 0.35, "Fz": 0.35, "F4": 0.35}
RATED_HZ = (1.0, 45.0)
"""The background's root mean square counts this range; below its lower end the spectrum is flat."""
DRIFT_WIDTH_HZ = 0.05
"""How fast the rhythm's frequency drifts: half a minute from one side to the other."""
WAXING_WIDTH_HZ = 0.3
"""How fast its amplitude waxes and wanes: some seconds."""


@dataclass(frozen=True)
class Simulated:
    """Simulated EEG and what it was made of.

    Attributes
    ----------
    recording
        The EEG.
    alpha
        Complex array of shape (n_samples,) in µV: the rhythm at weight 1; its angle is the true phase,
        its real part is what adds to a channel. Samples that gaps took out are gone here too.
    weights
        Array of shape (n_channels,): how strongly each channel shows the rhythm.
    """

    recording: Recording
    alpha: NDArray[np.complex128]
    weights: NDArray[np.float64]


def simulate(
    *,
    duration_s: float,
    sfreq: float,
    seed: int,
    channels: Sequence[str],
    alpha_hz: float = 10.0,
    alpha_bandwidth_hz: float = 1.0,
    alpha_uv: float = 10.0,
    alpha_drift_hz: float = 0.2,
    alpha_waxing: float = 0.5,
    background_uv: float = 10.0,
    background_exponent: float = 1.0,
    blinks_per_min: float = 0.0,
    mains_hz: float = 50.0,
    mains_uv: float = 0.0,
    offset_mv: float = 0.0,
    drift_uv_per_s: float = 0.0,
    gaps: Sequence[Mapping[str, float]] = (),
) -> Simulated:
    """Simulate EEG; the same arguments give the same samples.

    Parameters
    ----------
    duration_s, sfreq, seed
        Length in s, sampling rate in Hz, and seed of all randomness.
    channels
        Names of the channels.
    alpha_hz, alpha_bandwidth_hz, alpha_uv
        The rhythm's centre and width in Hz, its root mean square in µV.
    alpha_drift_hz, alpha_waxing
        SD of the slow drift of its centre in Hz; how deep its amplitude waxes, from 0 to 1.
    background_uv, background_exponent
        Root mean square of each channel's background from 1 to 45 Hz in µV; its power law.
    blinks_per_min, mains_hz, mains_uv
        Blinks a minute; frequency in Hz and amplitude in µV of the mains.
    offset_mv, drift_uv_per_s
        Electrode offsets, spread evenly over plus and minus this, in mV; drift in µV/s.
    gaps
        Mappings with ``start_s`` and ``duration_s``: samples that are missing.
    """
    rng = np.random.default_rng(seed)
    n_samples = round(duration_s * sfreq)
    times_s = np.arange(n_samples) / sfreq
    alpha = _rhythm(rng, n_samples, sfreq, alpha_hz, alpha_bandwidth_hz, alpha_uv, alpha_drift_hz, alpha_waxing)
    weights = np.array([ALPHA_WEIGHTS.get(name, OTHER_WEIGHT) for name in channels])
    samples = np.empty((n_samples, len(channels)))
    common = _background(rng, n_samples, sfreq, background_exponent)
    for place in range(len(channels)):
        own = _background(rng, n_samples, sfreq, background_exponent)
        mixed = np.sqrt(COMMON_SHARE) * common + np.sqrt(1.0 - COMMON_SHARE) * own
        samples[:, place] = background_uv * mixed + weights[place] * alpha.real
    blinks = _blinks(rng, times_s, blinks_per_min)
    samples += blinks[:, None] * np.array([BLINK_WEIGHTS.get(name, 0.0) for name in channels])
    samples += (mains_uv * np.sin(2 * np.pi * mains_hz * times_s))[:, None]
    samples += 1e3 * offset_mv * np.linspace(-1.0, 1.0, len(channels)) if len(channels) > 1 else 1e3 * offset_mv
    samples += drift_uv_per_s * times_s[:, None]
    kept = np.ones(n_samples, bool)
    for gap in gaps:
        start_s, length_s = gap["start_s"], gap["duration_s"]
        kept &= ~((times_s >= start_s) & (times_s < start_s + length_s))
    recording = Recording(
        names=tuple(channels),
        roles=tuple("eeg" for _ in channels),
        sfreq=sfreq,
        samples=samples[kept],
        times_s=times_s[kept],
        name=f"synthetic, seed {seed}",
    )
    return Simulated(recording, alpha[kept], weights)


def _rhythm(
    rng: np.random.Generator,
    n_samples: int,
    sfreq: float,
    alpha_hz: float,
    bandwidth_hz: float,
    alpha_uv: float,
    drift_hz: float,
    waxing: float,
) -> NDArray[np.complex128]:
    """Return the analytic signal of one oscillation."""
    slow = _slow_noise(rng, n_samples, sfreq, DRIFT_WIDTH_HZ).real
    envelope = _slow_noise(rng, n_samples, sfreq, bandwidth_hz / 2)
    turning = np.exp(2j * np.pi * np.cumsum(alpha_hz + drift_hz * slow) / sfreq)
    waves = 1.0 - waxing * (0.5 + 0.5 * np.tanh(_slow_noise(rng, n_samples, sfreq, WAXING_WIDTH_HZ).real))
    rhythm = turning * envelope * waves
    rms = np.sqrt(np.mean(rhythm.real**2))
    scaled: NDArray[np.complex128] = rhythm * (alpha_uv / rms)
    return scaled


def _slow_noise(rng: np.random.Generator, n_samples: int, sfreq: float, width_hz: float) -> NDArray[np.complex128]:
    """Return complex noise around 0 Hz of a Gaussian spectrum, real and imaginary part of variance 1."""
    frequencies = np.fft.fftfreq(n_samples, 1.0 / sfreq)
    shape = np.exp(-0.25 * (frequencies / width_hz) ** 2)
    noise = np.fft.ifft(shape * (rng.standard_normal(n_samples) + 1j * rng.standard_normal(n_samples)))
    scaled: NDArray[np.complex128] = noise / np.sqrt(np.mean(np.abs(noise) ** 2) / 2.0)
    return scaled


def _background(rng: np.random.Generator, n_samples: int, sfreq: float, exponent: float) -> NDArray[np.float64]:
    """Return power-law noise whose root mean square within RATED_HZ is 1."""
    grid = np.linspace(0.0, sfreq / 2, max(2, n_samples // 2))
    low, high = RATED_HZ
    psd = np.maximum(grid, low) ** -exponent
    rated = (grid >= low) & (grid <= high)
    psd /= psd[rated].sum() * grid[1]
    return background_noise(grid, psd, n_samples=n_samples, sfreq=sfreq, rng=rng)


def _blinks(rng: np.random.Generator, times_s: NDArray[np.float64], per_min: float) -> NDArray[np.float64]:
    """Return blinks at random times, in µV at the front of the head."""
    blinks = np.zeros(times_s.size)
    duration_s = times_s[-1]
    for start_s in rng.uniform(0.0, duration_s, rng.poisson(per_min * duration_s / 60.0)):
        phase = (times_s - start_s) / BLINK_S
        blinks += np.where((phase >= 0.0) & (phase < 1.0), BLINK_UV * np.sin(np.pi * phase) ** 2, 0.0)
    return blinks
