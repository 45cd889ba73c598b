"""Simulated EEG that is matched to a recording: its background, its rhythm, and the rhythm's true phase.

Both are Gaussian noise with fitted spectra. The rhythm's analytic signal is kept, so that no filter has
to define what its phase is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closedloop.signal.cross_spectrum import CrossSpectrum
from closedloop.signal.spectrum import SpectrumFit
from closedloop.signal.surrogates import background_noise, cross_spectral_noise, spectral_noise
from closedloop.sources.recording import Recording


@dataclass(frozen=True)
class Matched:
    """Matched EEG and the rhythm in it.

    Attributes
    ----------
    recording
        The EEG.
    rhythm
        Complex array of shape (n_samples, n_channels) in µV: the analytic signal of the rhythm in each
        channel. What a spatial filter makes of it has the true phase of the filtered signal.
    """

    recording: Recording
    rhythm: NDArray[np.complex128]


def matched(fit: SpectrumFit, *, duration_s: float, sfreq: float, seed: int) -> Matched:
    """Simulate one channel, named ``matched``, with the background and the rhythm of a fitted spectrum.

    Parameters
    ----------
    fit
        The recording's spectrum.
    duration_s, sfreq, seed
        Length in s, sampling rate in Hz, and seed of all randomness.
    """
    rng = np.random.default_rng([seed, round(duration_s * sfreq)])
    n_samples = round(duration_s * sfreq)
    background = background_noise(fit.frequencies_hz, fit.background_psd, n_samples=n_samples, sfreq=sfreq, rng=rng)
    rhythm = spectral_noise(fit.frequencies_hz, fit.component_psd, n_samples=n_samples, sfreq=sfreq, rng=rng)
    return _put_together(background[:, None], rhythm[:, None], ("matched",), sfreq, seed)


def matched_channels(
    fit: CrossSpectrum,
    names: Sequence[str],
    *,
    duration_s: float,
    sfreq: float,
    seed: int,
    with_rhythm: bool = True,
) -> Matched:
    """Simulate many channels with the background and the rhythm of fitted cross-spectra.

    Parameters
    ----------
    fit
        The recording's cross-spectra.
    names
        Of their channels.
    duration_s, sfreq, seed
        Length in s, sampling rate in Hz, and seed of all randomness.
    with_rhythm
        Whether the rhythm is in the EEG; without it the same rhythm is returned, but only the background
        of the same EEG is recorded: what no rhythm at all gives.
    """
    rng = np.random.default_rng([seed, round(duration_s * sfreq)])
    n_samples = round(duration_s * sfreq)
    background, rhythm = (
        cross_spectral_noise(fit.frequencies_hz, density, n_samples=n_samples, sfreq=sfreq, rng=rng)
        for density in (fit.background, fit.component)
    )
    shown = rhythm if with_rhythm else np.zeros_like(rhythm)
    made = _put_together(background.real, shown, tuple(names), sfreq, seed)
    return Matched(made.recording, rhythm)


def _put_together(
    background: NDArray[np.float64],
    rhythm: NDArray[np.complex128],
    names: tuple[str, ...],
    sfreq: float,
    seed: int,
) -> Matched:
    recording = Recording(
        names=names,
        roles=tuple("eeg" for _ in names),
        sfreq=sfreq,
        samples=background + rhythm.real,
        times_s=np.arange(len(background)) / sfreq,
        name=f"matched synthetic EEG, seed {seed}",
    )
    return Matched(recording, rhythm)
