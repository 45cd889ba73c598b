"""The step that all linear estimators share: a complex FIR filter with a modelled error.

A window of past values, each the mean of ``stride`` samples, is multiplied with one complex weight
per value and lead. The mean keeps frequencies above the band from folding into it at next to no
cost; the weights are learnt on the same means, so what the mean does to the phase is learnt too.

The phase error of a prediction z of a signal that it misses by a complex Gaussian error of
variance s2 has the resultant length ``R(u) = sqrt(pi)/2 u exp(-u2/2) (I0(u2/2) + I1(u2/2))`` with
``u = |z| / s`` (Rician phase). Errors of real EEG grow with its amplitude, so ``s2 = a + b |z|2``.

Slots of the state array::

    0 taps K   1 stride S   2 leads G   3 position   4 lane   5 clean samples so far   6 samples for
    a full window   7 values of a raw history (S)
    then a (G), b (G), the table of SDs (N_TABLE), weights (G lanes of K real, then K imaginary,
    oldest first), raw history (S), rings (S lanes of 2 K: every value twice, so that a window is
    always in one piece).
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from closedloop.estimators.interface import N_LEADS, STEP
from closedloop.jit import compiled, inner

_TAPS, _STRIDE, _LEADS, _POSITION, _LANE, _CLEAN, _FULL = range(7)
_HEADER = 8
N_TABLE = 129
TABLE_STEP = 1.0 / 16.0
"""Spacing of ``u`` in the table of SDs, which ends at u = 8 (5 degrees); beyond, SD = 1 / (sqrt(2) u)."""


def rician_phase_sd(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the circular SD, in radians, of the phase of ``u`` plus a complex Gaussian of variance 1."""
    half = np.asarray(u, dtype=float) ** 2 / 2
    resultant = math.sqrt(math.pi) / 2 * u * (special.ive(0, half) + special.ive(1, half))
    with np.errstate(divide="ignore"):
        return np.sqrt(-2.0 * np.log(resultant))


def fir_state(
    weights: NDArray[np.complex128],
    *,
    stride: int,
    noise: NDArray[np.float64],
    growth: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Lay a filter out as the state array of ``complex_fir``.

    Parameters
    ----------
    weights
        Complex array of shape (N_LEADS, n_taps), oldest value first.
    stride
        Samples per value and between values.
    noise, growth
        Arrays of shape (N_LEADS,): a in µV² and b of the error's variance a + b |z|².
    """
    n_taps = weights.shape[1]
    u = np.maximum(TABLE_STEP * np.arange(N_TABLE), TABLE_STEP / 2)
    header = np.zeros(_HEADER)
    header[[_TAPS, _STRIDE, _LEADS, _FULL]] = n_taps, stride, N_LEADS, n_taps * stride
    lanes = np.concatenate([weights.real, weights.imag], axis=1)
    memory = np.zeros(stride + 2 * n_taps * stride)
    return np.concatenate([header, noise, growth, rician_phase_sd(u), lanes.ravel(), memory])


@inner
def phase_sd(state: NDArray[np.float64], lead: int, power: float) -> float:
    """Return the modelled SD of the phase error, in radians, at a squared amplitude in µV²."""
    n_leads = int(state[_LEADS])
    variance = state[_HEADER + lead] + state[_HEADER + n_leads + lead] * power
    if not (variance > 0.0 and power > 0.0):
        return np.nan
    u = math.sqrt(power / variance)
    place = u / TABLE_STEP
    k = int(min(place, 1e6))
    if k >= N_TABLE - 1:
        return 1.0 / (math.sqrt(2.0) * u)
    table = _HEADER + 2 * n_leads
    return state[table + k] + (place - k) * (state[table + k + 1] - state[table + k])


@inner
def _remember(state: NDArray[np.float64], value: float) -> int:
    """Put a sample into the rings and return where its window begins, or -1 before it is full of clean ones."""
    n_taps = int(state[_TAPS])
    stride = int(state[_STRIDE])
    lane = int(state[_LANE])
    position = int(state[_POSITION])
    memory = state.size - stride - 2 * n_taps * stride
    clean = np.isfinite(value)
    state[memory + lane] = value if clean else 0.0
    state[_CLEAN] = min(state[_CLEAN] + 1.0, state[_FULL]) if clean else 0.0
    mean = 0.0
    for k in range(stride):
        mean += state[memory + k]
    mean /= stride
    ring = memory + stride + lane * 2 * n_taps
    state[ring + position] = mean
    state[ring + position + n_taps] = mean
    state[_LANE] = (lane + 1) % stride
    if lane + 1 == stride:
        state[_POSITION] = (position + 1) % n_taps
    return ring + position + 1 if state[_CLEAN] >= state[_FULL] else -1


@inner
def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the sum of products in four interleaved sums: one alone waits for itself at every step."""
    first = second = third = fourth = 0.0
    whole = a.size - a.size % 4
    for k in range(0, whole, 4):
        first += a[k] * b[k]
        second += a[k + 1] * b[k + 1]
        third += a[k + 2] * b[k + 2]
        fourth += a[k + 3] * b[k + 3]
    for k in range(whole, a.size):
        first += a[k] * b[k]
    return (first + second) + (third + fourth)


@compiled(STEP)
def complex_fir(
    state: NDArray[np.float64],
    x: NDArray[np.float64],
    first: int,
    stop: int,
    z: NDArray[np.complex128],
    sd: NDArray[np.float64],
) -> None:
    """Take one sample in µV; write prediction and SD for the leads ``first`` to ``stop - 1``."""
    begin = _remember(state, x[0])
    n_taps = int(state[_TAPS])
    n_leads = int(state[_LEADS])
    for lead in range(first, stop):
        if begin < 0:
            z[lead] = complex(np.nan, np.nan)
            sd[lead] = np.nan
            continue
        weights = _HEADER + 2 * n_leads + N_TABLE + lead * 2 * n_taps
        window = state[begin : begin + n_taps]
        real = state[weights : weights + n_taps]
        imaginary = state[weights + n_taps : weights + 2 * n_taps]
        re = _dot(real, window)
        im = _dot(imaginary, window)
        z[lead] = complex(re, im)
        sd[lead] = phase_sd(state, lead, re * re + im * im)


def windows(x: NDArray[np.float64], n_taps: int, stride: int) -> tuple[NDArray[np.float64], int]:
    """Return the windows that the step would see, for designs.

    Parameters
    ----------
    x
        Array of shape (n_samples,) in µV, without gaps.

    Returns
    -------
        Array of shape (n_samples - first, n_taps), oldest value first, and ``first``: the index of
        the first sample with a full window.
    """
    sums = np.cumsum(np.concatenate([[0.0], x]))
    means = (sums[stride:] - sums[:-stride]) / stride
    span = (n_taps - 1) * stride + 1
    view = np.lib.stride_tricks.sliding_window_view(means, span)[:, ::stride]
    return view, span + stride - 2


def error_model(
    predicted: NDArray[np.complex128], truth: NDArray[np.complex128]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit the error's variance a + b |z|² for each lead.

    Parameters
    ----------
    predicted, truth
        Complex arrays of shape (n_samples, n_leads); the predictions should come from folds that
        the weights were not learnt on.

    Returns
    -------
        a in µV² and b, each of shape (n_leads,), never negative: b is dropped where it would be.

    Notes
    -----
    Means over 20 equal groups of rising amplitude are fitted, weighted by the inverse square of
    their value, so that small and large amplitudes are matched to the same relative accuracy.
    """
    n_leads = predicted.shape[1]
    noise, growth = np.zeros(n_leads), np.zeros(n_leads)
    for lead in range(n_leads):
        power = np.abs(predicted[:, lead]) ** 2
        missed = np.abs(truth[:, lead] - predicted[:, lead]) ** 2
        groups = np.array_split(np.argsort(power), 20)
        mean_power = np.array([power[g].mean() for g in groups])
        mean_missed = np.array([missed[g].mean() for g in groups])
        design = np.column_stack([1.0 / mean_missed, mean_power / mean_missed])
        a, b = np.linalg.lstsq(design, np.ones(20), rcond=None)[0]
        if b < 0.0 or a <= 0.0:
            a, b = float(missed.mean()), 0.0
        noise[lead], growth[lead] = a, b
    return noise, growth
