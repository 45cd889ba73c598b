"""The rhythm gate's limit: what noise with the recording's own background can reach."""

import numpy as np

from closedloop.signal.conditioning import condition_all, design_conditioning
from closedloop.signal.rhythm import design_rhythm, snr_track
from closedloop.signal.spectrum import SpectrumFit
from closedloop.signal.surrogates import background_noise

N_MINUTES = 240
"""Minutes of noise that are tried."""
SHARE = 0.97
"""Of the minutes of noise this share never reaches the limit; the figure to hold is 0.95."""
STRETCH_S = 600.0
"""Noise is drawn in stretches of this length, which bounds the memory it takes."""
TRACK_S = 0.1


def rhythm_limit_db(
    fit: SpectrumFit, *, sfreq: float, high_pass_hz: float | None, notch_hz: tuple[float, ...], seed: int
) -> float:
    """Return the sliding SNR, in dB, that the background alone reaches in 3 % of all minutes.

    Parameters
    ----------
    fit
        The spectrum of rest: the background is drawn from it, the peak's frequency is the gate's.
    sfreq
        Sampling rate in Hz.
    high_pass_hz, notch_hz
        The conditioning that the signal passes before the gate sees it.
    seed
        Of the noise.
    """
    rng = np.random.default_rng(seed)
    n_minute = round(60.0 * sfreq)
    n_warm = round(10.0 * sfreq)
    every = max(1, round(TRACK_S * sfreq))
    highest: list[float] = []
    while len(highest) < N_MINUTES:
        n_minutes = min(round(STRETCH_S / 60.0), N_MINUTES - len(highest))
        n_samples = n_warm + n_minutes * n_minute
        noise = background_noise(fit.frequencies_hz, fit.background_psd, n_samples=n_samples, sfreq=sfreq, rng=rng)[
            :, None
        ]
        conditioned = np.empty_like(noise)
        condition_all(design_conditioning(1, sfreq, high_pass_hz=high_pass_hz, notch_hz=notch_hz), noise, conditioned)
        track = np.full(n_samples // every, np.nan)
        snr_track(design_rhythm(sfreq, fit.peak_hz), conditioned[:, 0], every, track)
        minutes = track[n_warm // every :][: n_minutes * (n_minute // every)].reshape(n_minutes, -1)
        highest.extend(minutes.max(axis=1))
    return float(np.quantile(highest, SHARE))
