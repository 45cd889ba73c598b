"""The spectrum of rest: the 1/f background, and the rhythm that stands on it.

The background is a straight line in log-log coordinates, fitted to both flanks of the alpha range;
the rhythm's peak is where the spectrum rises highest above that line, its SNR how far, in dB. The
procedure follows Zrenner et al. 2020 (doi 10.1016/j.neuroimage.2020.116761), with two departures:
windows of 4 s that overlap by half, for a resolution of 0.25 Hz, and flanks of 2-6.5 and 14.5-35 Hz.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from closedloop.errors import CalibrationError

WINDOW_S = 4.0
FLANKS_HZ = ((2.0, 6.5), (14.5, 35.0))
SEARCH_HZ = (7.5, 13.5)
FITTED_HZ = (FLANKS_HZ[0][0], FLANKS_HZ[1][1])
"""Inside this range the background is the fitted line, outside it is the spectrum itself."""
COMPONENT_REACH_HZ = 3.0
"""How far from its peak the rhythm's component may extend."""


@dataclass(frozen=True)
class SpectrumFit:
    """A spectrum, its 1/f background and its rhythm.

    Attributes
    ----------
    frequencies_hz
        Array of shape (n_frequencies,).
    psd, background_psd, component_psd
        Arrays of shape (n_frequencies,) in µV²/Hz: the measured spectrum; the background without
        the rhythm; the rhythm above the background, zero away from the peak.
    peak_hz, snr_db
        Where the rhythm is strongest, and how far it stands above the background there.
    exponent
        Of the background's power law: power falls with frequency to this power.
    """

    frequencies_hz: NDArray[np.float64]
    psd: NDArray[np.float64]
    background_psd: NDArray[np.float64]
    component_psd: NDArray[np.float64]
    peak_hz: float
    snr_db: float
    exponent: float

    @property
    def bandwidth_hz(self) -> float:
        """The rhythm's power over its highest density: the width of an equal rectangle, in Hz."""
        highest = float(self.component_psd.max())
        spacing = float(self.frequencies_hz[1])
        return float(self.component_psd.sum()) * spacing / highest if highest > 0.0 else 0.0

    @property
    def component_uv(self) -> float:
        """Root mean square of the rhythm in µV."""
        return float(np.sqrt(self.component_psd.sum() * self.frequencies_hz[1]))


def fit_spectrum(
    x: NDArray[np.float64],
    sfreq: float,
    *,
    peak_hz: float | None = None,
    search_hz: tuple[float, float] = SEARCH_HZ,
) -> SpectrumFit:
    """Fit background and rhythm to a stretch of one signal.

    Parameters
    ----------
    x
        Array of shape (n_samples,) in µV, without missing samples.
    sfreq
        Sampling rate in Hz.
    peak_hz
        Where the rhythm's peak is known to be, in Hz; None: it is searched for.
    search_hz
        Where, in Hz.

    Raises
    ------
    CalibrationError
        Where the stretch is too short, the sampling rate too low, or the signal dead.
    """
    n_window = round(WINDOW_S * sfreq)
    if x.size < 2 * n_window:
        raise CalibrationError(
            f"recording of {x.size / sfreq:.1f} s is too short for a spectrum: at least {2 * WINDOW_S:g} s are needed"
        )
    if not sfreq > 2.0 * FITTED_HZ[1]:
        raise CalibrationError(
            f"sampling rate = {sfreq:g} Hz is too low: the spectrum is fitted up to {FITTED_HZ[1]:g} Hz, "
            f"which takes more than {2 * FITTED_HZ[1]:g} Hz"
        )
    frequencies, psd = signal.welch(x, sfreq, "hann", n_window)
    fitted = np.logical_or.reduce([(low <= frequencies) & (frequencies <= high) for low, high in FLANKS_HZ])
    if not (psd[fitted] > 0.0).all():
        raise CalibrationError("the signal is dead: its spectrum is zero; is the electrode connected?")
    slope, offset = np.polyfit(np.log10(frequencies[fitted]), np.log10(psd[fitted]), 1)
    inside = (FITTED_HZ[0] <= frequencies) & (frequencies <= FITTED_HZ[1])
    background = psd.copy()
    background[inside] = 10.0 ** (offset + slope * np.log10(frequencies[inside]))
    searched = np.flatnonzero((search_hz[0] <= frequencies) & (frequencies <= search_hz[1]))
    above_db = 10.0 * np.log10(psd[searched] / background[searched])
    peak = int(np.argmax(above_db) if peak_hz is None else np.argmin(np.abs(frequencies[searched] - peak_hz)))
    peak_hz = float(frequencies[searched[peak]])
    near = inside & (np.abs(frequencies - peak_hz) <= COMPONENT_REACH_HZ)
    return SpectrumFit(
        frequencies_hz=frequencies,
        psd=psd,
        background_psd=background,
        component_psd=np.where(near, np.maximum(psd - background, 0.0), 0.0),
        peak_hz=peak_hz,
        snr_db=float(above_db[peak]),
        exponent=-float(slope),
    )
