"""What a stretch of rest says about one signal, and what an estimator is designed on."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from closedloop.errors import CalibrationError
from closedloop.estimators.interface import Rest
from closedloop.signal.spectrum import SEARCH_HZ, SpectrumFit, fit_spectrum
from closedloop.signal.training_target import rhythm_error_uv2, rhythm_estimate, training_target

BAND_HALF_WIDTH_HZ = 2.0
CLEAR_SNR_DB = 10.0
WEAK_SNR_DB = 5.0
"""Steps of the verdict; below the first, accuracy nears that of no rhythm at all (`bench/at_pulses.py`)."""
NARROWEST_HZ = 0.5
"""Of the alpha range, as much must lie within a band for its rhythm to be looked for there."""
Band = Literal["auto"] | tuple[float, float]


def measure_rest(
    raw: NDArray[np.float64],
    inputs: NDArray[np.float64],
    sfreq: float,
    band_hz: Band,
    *,
    peak_hz: float | None = None,
) -> tuple[SpectrumFit, Rest]:
    """Fit the spectrum of rest and lay out what an estimator is designed on.

    Parameters
    ----------
    raw
        Array of shape (n_samples,) in µV: the spatially filtered signal before conditioning.
    inputs
        Array of shape (n_samples, n_inputs) in µV: what the estimator will see, first the signal conditioned.
    sfreq
        Sampling rate in Hz.
    band_hz
        Edges of the rhythm's band in Hz; auto: the peak of rest, 2 Hz to either side. The peak is searched for within
        it; a band beside the alpha range has its middle for a peak, and all that it holds counts as background.
    peak_hz
        Where the peak is known to be, in Hz; None: it is searched for.

    Raises
    ------
    CalibrationError
        Where rest is too short, the signal dead, or the sampling rate too low for the band.
    """
    search_hz = SEARCH_HZ if band_hz == "auto" else (max(SEARCH_HZ[0], band_hz[0]), min(SEARCH_HZ[1], band_hz[1]))
    beside = not search_hz[1] - search_hz[0] >= NARROWEST_HZ
    fit = fit_spectrum(raw, sfreq, peak_hz=peak_hz, search_hz=SEARCH_HZ if beside else search_hz)
    if band_hz == "auto":
        band_hz = (fit.peak_hz - BAND_HALF_WIDTH_HZ, fit.peak_hz + BAND_HALF_WIDTH_HZ)
    if not 0.0 < band_hz[0] < band_hz[1] < sfreq / 2.0:
        raise CalibrationError(
            f"band_hz = [{band_hz[0]:g}, {band_hz[1]:g}] does not lie between 0 and half the sampling rate "
            f"({sfreq / 2.0:g} Hz)"
        )
    # A rhythm beside the band is not the one that is asked for.
    known = fit.component_uv > 0.0 and not beside
    target = training_target(raw, sfreq, band_hz, fit if known else None)
    rest = Rest(
        inputs=inputs,
        target=target,
        sfreq=sfreq,
        band_hz=band_hz,
        peak_hz=sum(band_hz) / 2.0 if beside else fit.peak_hz,
        rhythm=rhythm_estimate(raw, sfreq, fit) if known else target,
        # Where no rhythm stands out, all that the target holds is background.
        rhythm_error_uv2=rhythm_error_uv2(fit) if known else float(np.nanmean(np.abs(target) ** 2)),
    )
    return fit, rest


def verdict(fit: SpectrumFit) -> str:
    """Return what the SNR at rest promises, in one line."""
    found = f"({fit.snr_db:.1f} dB at {fit.peak_hz:.2f} Hz)"
    if fit.snr_db >= CLEAR_SNR_DB:
        return f"clear rhythm {found}"
    if fit.snr_db >= WEAK_SNR_DB:
        return f"weak rhythm {found}: phases will scatter"
    return f"no usable rhythm {found}: phases will be close to chance"
