"""Cross-spectra of many channels, their background and the rhythm's component.

What `spectrum` does for one signal, for all channels together, so that EEG can be simulated in which the
rhythm is as much alike between channels, and the background too, as in a recording. Powers of the
background follow each channel's own straight line in log-log coordinates; its coherences near the rhythm
are interpolated between those on either side. The component is what remains, as far as it can be a
spectrum at all: negative eigenvalues are set to zero.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from closedloop.errors import CalibrationError
from closedloop.signal.spectrum import COMPONENT_REACH_HZ, FLANKS_HZ

WINDOW_S = 2.0
"""Shorter than for one signal: a matrix of coherences needs many windows."""
LOW_HZ = (4.5, 6.5)
HIGH_HZ = (14.5, 18.0)
"""Where the coherences of the background are read."""


@dataclass(frozen=True)
class CrossSpectrum:
    """Cross-spectral densities, one-sided.

    Attributes
    ----------
    frequencies_hz
        Array of shape (n_frequencies,).
    background, component
        Complex arrays of shape (n_frequencies, n_channels, n_channels) in µV²/Hz, positive semi-definite;
        element (i, j) is the mean of channel i times the conjugate of channel j. The component is zero
        away from the peak.
    """

    frequencies_hz: NDArray[np.float64]
    background: NDArray[np.complex128]
    component: NDArray[np.complex128]


def fit_cross_spectrum(x: NDArray[np.float64], sfreq: float, peak_hz: float) -> CrossSpectrum:
    """Fit background and component to a stretch of many channels.

    Parameters
    ----------
    x
        Array of shape (n_samples, n_channels) in µV, without missing samples.
    sfreq
        Sampling rate in Hz.
    peak_hz
        The rhythm's frequency in Hz.

    Raises
    ------
    CalibrationError
        Where the stretch has fewer windows than channels, or a channel is dead.
    """
    frequencies, spectrum = _welch(x, sfreq)
    power = np.einsum("fii->fi", spectrum).real
    flanks = np.logical_or.reduce([(low <= frequencies) & (frequencies <= high) for low, high in FLANKS_HZ])
    if not (power[flanks] > 0.0).all():
        raise CalibrationError("a channel is dead: its spectrum is zero; is the electrode connected?")
    line = np.column_stack([np.ones(flanks.sum()), np.log10(frequencies[flanks])])
    offset, slope = np.linalg.lstsq(line, np.log10(power[flanks]), rcond=None)[0]
    low, high = (_coherence(frequencies, spectrum, band_hz) for band_hz in (LOW_HZ, HIGH_HZ))
    background, component = spectrum.copy(), np.zeros_like(spectrum)
    for k in np.flatnonzero(np.abs(frequencies - peak_hz) <= COMPONENT_REACH_HZ):
        part = np.interp(frequencies[k], [np.mean(LOW_HZ), np.mean(HIGH_HZ)], [0.0, 1.0])
        amplitude = 10.0 ** ((offset + slope * np.log10(frequencies[k])) / 2)
        background[k] = ((1.0 - part) * low + part * high) * np.outer(amplitude, amplitude)
        values, vectors = np.linalg.eigh(spectrum[k] - background[k])
        component[k] = (vectors * np.maximum(values, 0.0)) @ vectors.conj().T
    return CrossSpectrum(frequencies, background, component)


def _welch(x: NDArray[np.float64], sfreq: float) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Return frequencies in Hz and cross-spectral densities by Welch's method, windows half over each other."""
    n_window = round(WINDOW_S * sfreq)
    taper = signal.get_window("hann", n_window)
    view = np.lib.stride_tricks.sliding_window_view(x, n_window, axis=0)[:: n_window // 2]
    if len(view) < x.shape[1]:
        raise CalibrationError(
            f"stretch of {len(x) / sfreq:.1f} s is too short for the cross-spectra of {x.shape[1]} channels: "
            f"at least {(x.shape[1] + 1) * WINDOW_S / 2:g} s are needed"
        )
    parts = np.fft.rfft((view - view.mean(axis=-1, keepdims=True)) * taper)
    density = np.einsum("kif,kjf->fij", parts, parts.conj()) * (2.0 / (len(view) * sfreq * np.sum(taper**2)))
    frequencies = np.asarray(np.fft.rfftfreq(n_window, 1.0 / sfreq), np.float64)
    return frequencies, density


def _coherence(
    frequencies: NDArray[np.float64], spectrum: NDArray[np.complex128], band_hz: tuple[float, float]
) -> NDArray[np.complex128]:
    """Return the mean complex coherence of a band, of shape (n_channels, n_channels)."""
    inside = (band_hz[0] <= frequencies) & (frequencies <= band_hz[1])
    power = np.einsum("fii->fi", spectrum[inside]).real
    coherence: NDArray[np.complex128] = np.mean(
        spectrum[inside] / np.sqrt(power[:, :, None] * power[:, None, :]), axis=0
    )
    return coherence
