"""The window of past values that most methods look at, always in one piece.

A value is the mean of ``stride`` samples, and values are ``stride`` samples apart: that keeps frequencies
above the band from folding into it at next to no cost. There is a window after every sample, not only
after every ``stride``-th, since each of ``stride`` interleaved rings holds its own values.

Slots of a window::

    0 values K   1 stride S   2 position   3 lane   4 clean samples so far   5 samples for a full window
    then the raw history (S) and the rings (S lanes of 2 K: every value twice).
"""

import numpy as np
from numpy.typing import NDArray

from closedloop.jit import inner

_VALUES, _STRIDE, _POSITION, _LANE, _CLEAN, _FULL = range(6)
_HEADER = 6


def stride_to(rate_hz: float, sfreq: float) -> int:
    """Return how many samples make one value, so that values come at ``rate_hz`` or somewhat faster."""
    return max(1, int(sfreq // rate_hz))


def window_slots(n_values: int, stride: int = 1) -> NDArray[np.float64]:
    """Lay out an empty window of ``n_values`` means of ``stride`` samples."""
    slots = np.zeros(_HEADER + stride + 2 * n_values * stride)
    slots[[_VALUES, _STRIDE, _FULL]] = n_values, stride, n_values * stride
    return slots


@inner
def remember(slots: NDArray[np.float64], value: float) -> int:
    """Put a sample in and return where in the slots the window begins; -1 before it is full of clean ones."""
    n_values = int(slots[_VALUES])
    stride = int(slots[_STRIDE])
    lane = int(slots[_LANE])
    position = int(slots[_POSITION])
    clean = np.isfinite(value)
    slots[_HEADER + lane] = value if clean else 0.0
    slots[_CLEAN] = min(slots[_CLEAN] + 1.0, slots[_FULL]) if clean else 0.0
    mean = 0.0
    for k in range(stride):
        mean += slots[_HEADER + k]
    mean /= stride
    ring = _HEADER + stride + lane * 2 * n_values
    slots[ring + position] = mean
    slots[ring + position + n_values] = mean
    slots[_LANE] = (lane + 1) % stride
    if lane + 1 == stride:
        slots[_POSITION] = (position + 1) % n_values
    return ring + position + 1 if slots[_CLEAN] >= slots[_FULL] else -1


def windows(x: NDArray[np.float64], n_values: int, stride: int) -> tuple[NDArray[np.float64], int]:
    """Return the windows that a step would see, for designs.

    Parameters
    ----------
    x
        Array of shape (n_samples,) in µV, without gaps.
    n_values, stride
        Values in a window, and samples per value.

    Returns
    -------
        Array of shape (n_samples - first, n_values), oldest value first, and ``first``: the index of
        the first sample with a full window.
    """
    sums = np.cumsum(np.concatenate([[0.0], x]))
    means = (sums[stride:] - sums[:-stride]) / stride
    span = (n_values - 1) * stride + 1
    view = np.lib.stride_tricks.sliding_window_view(means, span)[:, ::stride]
    return view, span + stride - 2
