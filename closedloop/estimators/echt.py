"""``echt``: the endpoint-corrected Hilbert transform.

Schreglmann et al. 2021, Nature Communications 12:363, doi 10.1038/s41467-020-20581-7. The analytic
signal of a window is formed in the frequency domain, multiplied there with the response of a
causal Butterworth band-pass, so that the window's end is no longer distorted by its beginning, and
the last value is taken. That value is a fixed complex linear functional of the window, so the
method *is* a complex FIR filter and runs as one.

Departures from the paper: it predicts no future; for a lead its phase is turned on at the peak's
frequency. It states no error; the error's model is fitted to its own predictions on rest. Its
phase is not calibrated (that is c-ecHT, Osmers & Kolossa 2026, arXiv 2601.13962).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from closedloop.config.estimators import Echt
from closedloop.errors import CalibrationError
from closedloop.estimators.cascade import band_pass
from closedloop.estimators.complex_fir import OUTPUT, complex_fir, fir_state
from closedloop.estimators.interface import LEADS_S, Designed, Rest
from closedloop.estimators.output import learn_output


def echt_weights(n_taps: int, sfreq: float, band_hz: tuple[float, float], *, order: int) -> NDArray[np.complex128]:
    """Return the weights, of shape (n_taps,), oldest sample first, that give the window's last value.

    Parameters
    ----------
    n_taps
        Length of the window in samples.
    sfreq
        Sampling rate in Hz.
    band_hz
        Edges of the Butterworth band-pass in Hz.
    order
        Its order, as ``scipy.signal.butter`` counts.
    """
    frequencies = np.fft.fftfreq(n_taps, 1.0 / sfreq)
    sections = signal.butter(order, band_hz, "bandpass", fs=sfreq, output="sos")
    _, response = signal.sosfreqz(sections, worN=2 * np.pi * np.abs(frequencies) / sfreq)
    analytic = np.where(frequencies > 0, 2.0, 0.0)
    analytic[0] = 1.0
    if n_taps % 2 == 0:
        analytic[n_taps // 2] = 1.0
    spectrum = analytic * response
    # The last value is sum_k S_k X_k exp(2 pi i k (n-1) / n) / n; X_k in turn is a sum over samples.
    age = np.arange(n_taps - 1, -1, -1)
    impulse: NDArray[np.complex128] = np.fft.ifft(spectrum)
    return impulse[age]


def design_echt(rest: Rest, settings: Echt) -> Designed:
    """Compute the weights from band, window and order; rest serves the error's model alone.

    Raises
    ------
    CalibrationError
        Where the rest is shorter than a few windows, or the band reaches half the sampling rate.
    """
    n_taps = round(settings.window_s * rest.sfreq)
    if len(rest.inputs) < 4 * n_taps:
        raise CalibrationError(
            f"calibration of {len(rest.inputs) / rest.sfreq:.1f} s is too short for a window of "
            f"{settings.window_s:g} s: at least {4 * settings.window_s:g} s are needed"
        )
    band_pass(settings.order, rest.band_hz, rest.sfreq)  # refuses what SciPy would, in our words
    base = echt_weights(n_taps, rest.sfreq, rest.band_hz, order=settings.order)
    weights = np.exp(2j * np.pi * rest.peak_hz * LEADS_S)[:, None] * base
    state = fir_state([weights], strides=[1])
    learn_output(complex_fir, state, OUTPUT, rest)
    return Designed(
        step=complex_fir,
        state=state,
        window_s=n_taps / rest.sfreq,
        facts={"taps": n_taps, "order": settings.order},
        output_at=OUTPUT,
    )
