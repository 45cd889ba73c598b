"""``naive``: what a first script does, listed in tables as a warning.

A causal Butterworth band-pass runs over the stream, the newest ``window_s`` of its output go through the
Hilbert transform (``scipy.signal.hilbert``), and the last value is taken for the present phase. There is no
paper. Two things are wrong with it, and both are kept: the band-pass delays what it passes, by a phase that
depends on the rhythm's frequency, and the discrete Hilbert transform takes the window's beginning for what
follows its end, so that its last value is its worst.

The last value is a fixed complex linear functional of the window, so it is computed as one complex FIR filter
over the band-pass's output (see `complex_fir`). For a lead the phase is turned on at the peak's frequency.
The error's model is fitted to its own predictions on rest. Above 1000 Hz the window holds means of several
samples of the band-pass's output, and the age of a mean is made up for like a lead.

Over a missing sample the band-pass's input is held (see `cascade`); nothing is predicted until ``window_s`` of
clean samples has passed.

Slots of the state array::

    0 where the FIR filter's state begins   1 the band-pass's newest output
    then the cascade, then the state of the FIR filter.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from closedloop.config.estimators import Naive
from closedloop.errors import CalibrationError
from closedloop.estimators.cascade import band_pass, cascade_slots, pass_on
from closedloop.estimators.complex_fir import OUTPUT, complex_fir, fir_state
from closedloop.estimators.interface import LEADS_S, STEP, Designed, Rest
from closedloop.estimators.output import learn_output
from closedloop.estimators.window import stride_to
from closedloop.jit import compiled

INNER_RATE_HZ = 1000.0
_FIR, _FILTERED = range(2)
_CASCADE = 2


@compiled(STEP)
def naive(
    state: NDArray[np.float64],
    x: NDArray[np.float64],
    first: int,
    stop: int,
    z: NDArray[np.complex128],
    sd: NDArray[np.float64],
) -> None:
    """Take one sample in µV; write prediction and SD for the leads ``first`` to ``stop - 1``."""
    state[_FILTERED] = pass_on(state[_CASCADE:], x[0])
    complex_fir(state[int(state[_FIR]) :], state[_FILTERED : _FILTERED + 1], first, stop, z, sd)


def last_hilbert_weights(n_values: int) -> NDArray[np.complex128]:
    """Return the weights, oldest value first, that give the last value of ``scipy.signal.hilbert``."""
    impulse = np.zeros(n_values)
    impulse[0] = 1.0
    weights: NDArray[np.complex128] = signal.hilbert(impulse)[::-1]
    return weights


def design_naive(rest: Rest, settings: Naive) -> Designed:
    """Compute the filters from band, window and order; rest serves the error's model alone.

    Raises
    ------
    CalibrationError
        Where the rest is shorter than a few windows, or the band reaches half the sampling rate.
    """
    stride = stride_to(INNER_RATE_HZ, rest.sfreq)
    n_values = round(settings.window_s * rest.sfreq / stride)
    if len(rest.inputs) < 4 * n_values * stride:
        raise CalibrationError(
            f"calibration of {len(rest.inputs) / rest.sfreq:.1f} s is too short for a window of "
            f"{settings.window_s:g} s: at least {4 * settings.window_s:g} s are needed"
        )
    cascade = cascade_slots(band_pass(settings.order, rest.band_hz, rest.sfreq))
    age_s = (stride - 1) / 2 / rest.sfreq
    turns = np.exp(2j * np.pi * rest.peak_hz * (LEADS_S + age_s))
    fir = fir_state([turns[:, None] * last_hilbert_weights(n_values)], strides=[stride])
    begin = _CASCADE + cascade.size
    state = np.concatenate([[begin, 0.0], cascade, fir])
    learn_output(naive, state, begin + OUTPUT, rest)
    return Designed(
        step=naive,
        state=state,
        window_s=n_values * stride / rest.sfreq,
        facts={"values": n_values, "stride": stride, "order": settings.order},
        output_at=begin + OUTPUT,
    )
