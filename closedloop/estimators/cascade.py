"""A causal band-pass in front of a method: second-order sections, one after the other, on the stream.

The first sample sets the filter to the state that a constant input of that level leads to, so that an offset
does not ring. Where a sample is missing or not finite, the last one that was is held at the input, so that the
filter rings down, and NaN is given, so that the window behind it knows of the gap. Should the recursion
overflow, it starts anew with the next sample: nothing can get stuck in it.

Slots of a cascade::

    0 sections N   1 whether it has started   2 the input that is held
    then for each section b0 b1 b2 a1 a2 and its two memories (transposed direct form II).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from closedloop.errors import CalibrationError
from closedloop.jit import inner

_SECTIONS, _STARTED, _HELD = range(3)
_HEADER = 3
_PER_SECTION = 7


def band_pass(order: int, band_hz: tuple[float, float], sfreq: float) -> NDArray[np.float64]:
    """Return the sections, of shape (order, 6), of a Butterworth band-pass.

    Parameters
    ----------
    order
        As ``scipy.signal.butter`` counts: slopes of 6 dB per octave and order on either side.
    band_hz
        Lower and upper edge in Hz.
    sfreq
        Sampling rate in Hz.

    Raises
    ------
    CalibrationError
        Where the band does not lie between 0 Hz and half the sampling rate.
    """
    low, high = band_hz
    if not 0.0 < low < high < sfreq / 2:
        raise CalibrationError(
            f"band = {low:g} to {high:g} Hz does not lie between 0 and {sfreq / 2:g} Hz, half the sampling rate"
        )
    sections: NDArray[np.float64] = signal.butter(order, band_hz, "bandpass", fs=sfreq, output="sos")
    return sections


def cascade_slots(sections: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lay out sections of shape (n_sections, 6), as SciPy gives them, before its first sample."""
    memories = np.zeros((len(sections), 2))
    return np.concatenate([[len(sections), 0.0, 0.0], np.hstack([sections[:, [0, 1, 2, 4, 5]], memories]).ravel()])


@inner
def _settle(slots: NDArray[np.float64], value: float) -> None:
    """Set the memories to what a constant input leads to."""
    level = value
    for k in range(int(slots[_SECTIONS])):
        s = slots[_HEADER + _PER_SECTION * k : _HEADER + _PER_SECTION * (k + 1)]
        out = level * (s[0] + s[1] + s[2]) / (1.0 + s[3] + s[4])
        s[5] = out - s[0] * level
        s[6] = s[2] * level - s[4] * out
        level = out


@inner
def pass_on(slots: NDArray[np.float64], value: float) -> float:
    """Take a sample in and return the filtered one; NaN for a sample that is not finite."""
    clean = np.isfinite(value)
    if clean:
        if slots[_STARTED] == 0.0:
            _settle(slots, value)
            slots[_STARTED] = 1.0
        slots[_HELD] = value
    elif slots[_STARTED] == 0.0:
        return np.nan
    y = slots[_HELD]
    for k in range(int(slots[_SECTIONS])):
        s = slots[_HEADER + _PER_SECTION * k : _HEADER + _PER_SECTION * (k + 1)]
        x = y
        y = s[0] * x + s[5]
        s[5] = s[1] * x - s[3] * y + s[6]
        s[6] = s[2] * x - s[4] * y
    if not np.isfinite(y):
        slots[_STARTED] = 0.0
        return np.nan
    return y if clean else np.nan
