"""What an estimator learns to predict: the rhythm as seen from both sides of a moment.

Two views of it, made equally strong, are added. One is a band: the stretch of rest is filtered in
the frequency domain, with raised-cosine flanks and no phase shift, so that whatever oscillates there counts.
The other is the rhythm's component: the smoother of least squared error for the fitted spectra of rhythm and
background (N. Wiener 1949), which trusts each frequency by how far the rhythm stands out there. The band alone
learns the background's own waves with the rhythm's; the component alone stands and falls with the fit. Under
every reference the sum lies near the better of the two (docs/decisions/0006).

Neither is a filter of the evaluation family, so that no estimator is judged by what it was taught.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from closedloop.signal.spectrum import SpectrumFit

FLANK_HZ = 0.7
"""Width of each flank of the band, inside its edge."""
COMPONENT_SHARE = 2.0 / 3.0
"""Weight of the component; the band's is the rest."""
EDGE_S = 1.0
"""Ends of the stretch at which the target is unknown."""


def training_target(
    x: NDArray[np.float64], sfreq: float, band_hz: tuple[float, float], fit: SpectrumFit | None = None
) -> NDArray[np.complex128]:
    """Return the analytic signal of the rhythm, of shape (n_samples,) in µV, NaN at the edges.

    Parameters
    ----------
    x
        Array of shape (n_samples,) in µV, without missing samples: a named signal before conditioning.
    sfreq
        Sampling rate in Hz.
    band_hz
        Lower and upper edge, where the gain becomes zero.
    fit
        The stretch's spectrum, for the rhythm's component; without it, or where no rhythm stands out, the
        target is the band alone.
    """
    return _filtered(x, sfreq, lambda frequencies: target_gain(frequencies, band_hz, fit))


def rhythm_estimate(x: NDArray[np.float64], sfreq: float, fit: SpectrumFit) -> NDArray[np.complex128]:
    """Return the best estimate of the rhythm from both sides of a moment: shape (n_samples,), µV, NaN at the edges.

    It is the smoother alone: what it misses of the rhythm has nothing in common with the signal, nor with anything
    that is predicted from that signal, so that both errors simply add. Other channels may see part of what it misses:
    of predictions with their help the sum is an upper bound. The parameters are those of `training_target`.
    """
    return _filtered(x, sfreq, lambda frequencies: _component_gain(frequencies, fit))


def rhythm_error_uv2(fit: SpectrumFit) -> float:
    """Return by how much that estimate misses the rhythm: the variance of analytic signals' difference in µV²."""
    missed = fit.component_psd * (1.0 - _component_gain(fit.frequencies_hz, fit))
    return 2.0 * float(missed.sum()) * float(fit.frequencies_hz[1])


def _filtered(
    x: NDArray[np.float64], sfreq: float, gain_at: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.complex128]:
    """Return the analytic signal of what a gain leaves, without phase shift, NaN at the edges."""
    reach = round(EDGE_S * sfreq)
    slope = np.linspace(x[0], x[-1], x.size)
    padded = np.pad(x - slope, reach, mode="reflect", reflect_type="odd")
    n_fft = fft.next_fast_len(padded.size + reach)
    frequencies = np.asarray(np.fft.fftfreq(n_fft, 1.0 / sfreq), np.float64)
    gain = np.where(frequencies > 0.0, 2.0 * gain_at(frequencies), 0.0)
    filtered: NDArray[np.complex128] = fft.ifft(gain * fft.fft(padded, n_fft))[reach : reach + x.size]
    filtered[:reach] = filtered[-reach:] = np.nan
    return filtered


def target_gain(
    frequencies: NDArray[np.float64], band_hz: tuple[float, float], fit: SpectrumFit | None
) -> NDArray[np.float64]:
    """Return the target's gain at frequencies in Hz; the other parameters are those of `training_target`."""
    band = _band_gain(frequencies, band_hz)
    if fit is None or not fit.component_uv > 0.0:
        return band
    powers = [
        float(np.sum(fit.psd * gain**2))
        for gain in (_band_gain(fit.frequencies_hz, band_hz), _component_gain(fit.frequencies_hz, fit))
    ]
    if not min(powers) > 0.0:
        return band
    component = np.sqrt(powers[0] / powers[1]) * _component_gain(frequencies, fit)
    gain: NDArray[np.float64] = (1.0 - COMPONENT_SHARE) * band + COMPONENT_SHARE * component
    return gain


def _band_gain(frequencies: NDArray[np.float64], band_hz: tuple[float, float]) -> NDArray[np.float64]:
    low, high = band_hz
    rising = np.clip((frequencies - low) / FLANK_HZ, 0.0, 1.0)
    falling = np.clip((high - frequencies) / FLANK_HZ, 0.0, 1.0)
    gain: NDArray[np.float64] = (np.sin(np.pi / 2 * rising) * np.sin(np.pi / 2 * falling)) ** 2
    return gain


def _component_gain(frequencies: NDArray[np.float64], fit: SpectrumFit) -> NDArray[np.float64]:
    rhythm = np.interp(frequencies, fit.frequencies_hz, fit.component_psd, left=0.0, right=0.0)
    background = np.interp(frequencies, fit.frequencies_hz, fit.background_psd, left=1.0, right=1.0)
    # A background of zero comes only with a rhythm of zero.
    return rhythm / np.maximum(rhythm + background, np.finfo(float).tiny)
