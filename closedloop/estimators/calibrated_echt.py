"""``c-echt``: the endpoint-corrected Hilbert transform, calibrated for a cosine at the rhythm's peak.

Osmers & Kolossa 2026, Optimal Calibration of the Endpoint-corrected Hilbert Transform, arXiv 2601.13962. What
`echt` answers to ``A cos(theta)``, theta the phase at the window's end, is ``A (G+ exp(i theta) + G- exp(-i theta))``:
a constant gain, and an image that turns the other way. Of all constants ``C = conj(G+) / (|G+|² + |G-|²)`` brings the
answer closest to ``A exp(i theta)`` in the mean square over theta; ``J = |G-|² / (|G+|² + |G-|²)`` of the power is
left, and stands in the design's facts as ``residual``. As `echt` it is a complex FIR filter.

Departures from the paper: the window is the whole number of samples nearest to the wanted cycles (its code takes a
multiple of the samples in one cycle, rounded down) and is not padded to a length that suits the FFT; the band is the
one that calibration found, not the peak's frequency and a quarter of it on either side; above 1000 Hz the window
holds means of several samples, and G+ and G- are those of the samples themselves, so that the means' age is made up
for. It predicts no future; for a lead its phase is turned on at the peak's frequency. It states no error; the error's
model is fitted to its own predictions on rest.
"""

import math

import numpy as np
from numpy.typing import NDArray

from closedloop.config.estimators import CalibratedEcht
from closedloop.errors import CalibrationError
from closedloop.estimators.cascade import band_pass
from closedloop.estimators.complex_fir import OUTPUT, complex_fir, fir_state
from closedloop.estimators.echt import echt_weights
from closedloop.estimators.interface import LEADS_S, Designed, Rest
from closedloop.estimators.output import learn_output
from closedloop.estimators.window import stride_to

INNER_RATE_HZ = 1000.0


def endpoint_gains(weights: NDArray[np.complex128], turn: float) -> tuple[complex, complex]:
    """Return G+ and G-: how a filter answers a cosine, and that cosine's image.

    Parameters
    ----------
    weights
        Complex array of shape (n_samples,), oldest sample first.
    turn
        What the cosine's phase advances by in a sample, in radians.
    """
    back = np.exp(-1j * turn * np.arange(len(weights) - 1, -1, -1))
    return complex(np.sum(weights * back) / 2), complex(np.sum(weights * back.conj()) / 2)


def design_calibrated_echt(rest: Rest, settings: CalibratedEcht) -> Designed:
    """Compute the weights from band, peak and number of cycles; rest serves the error's model alone.

    Raises
    ------
    CalibrationError
        Where the rest is shorter than a few windows, or the band reaches half the sampling rate.
    """
    stride = stride_to(INNER_RATE_HZ, rest.sfreq)
    rate = rest.sfreq / stride
    n_taps = round(settings.cycles * rate / rest.peak_hz)
    window_s = n_taps / rate
    if len(rest.inputs) < 4 * n_taps * stride:
        raise CalibrationError(
            f"calibration of {len(rest.inputs) / rest.sfreq:.1f} s is too short for a window of {settings.cycles} "
            f"cycles at {rest.peak_hz:g} Hz: at least {4 * window_s:.1f} s are needed"
        )
    band_pass(settings.order, rest.band_hz, rate)  # refuses what SciPy would, in our words
    base = echt_weights(n_taps, rate, rest.band_hz, order=settings.order)
    plus, minus = endpoint_gains(np.repeat(base / stride, stride), 2 * math.pi * rest.peak_hz / rest.sfreq)
    power = abs(plus) ** 2 + abs(minus) ** 2
    lead = np.exp(2j * np.pi * rest.peak_hz * LEADS_S)
    weights = lead[:, None] * (plus.conjugate() / power * base)
    state = fir_state([weights], strides=[stride])
    learn_output(complex_fir, state, OUTPUT, rest)
    return Designed(
        step=complex_fir,
        state=state,
        window_s=window_s,
        facts={
            "taps": n_taps,
            "stride": stride,
            "order": settings.order,
            "residual": abs(minus) ** 2 / power,
            "uncalibrated_deg": math.degrees(math.atan2(plus.imag, plus.real)),
        },
        output_at=OUTPUT,
    )
