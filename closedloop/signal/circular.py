"""Statistics of phase errors, with intervals by block bootstrap."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

N_BOOTSTRAP = 2000
MIN_BLOCKS = 5
"""Fewer blocks, drawn again and again, say little of what other data would give: no interval."""


@dataclass(frozen=True)
class PhaseStatistics:
    """Bias and spread of phase errors.

    Attributes
    ----------
    n
        Number of errors.
    bias_deg, bias_ci95_deg
        Circular mean, positive is late, and its 95 % interval; None where the errors cancel exactly.
    circular_sd_deg, ci95_deg
        sqrt(-2 ln PLV) in degrees, and its 95 % interval.
    plv
        Length of the mean phasor.
    """

    n: int
    bias_deg: float | None
    bias_ci95_deg: tuple[float, float] | None
    circular_sd_deg: float | None
    ci95_deg: tuple[float, float] | None
    plv: float | None


def circular_sd(plv: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return the circular SD, in rad, that belongs to a length of the mean phasor (Mardia & Jupp 2000)."""
    length = np.minimum(np.asarray(plv, dtype=float), 1.0)
    with np.errstate(divide="ignore"):
        spread: NDArray[np.float64] = np.sqrt(2.0 * np.abs(np.log(length)))
    return spread


def wrap(phase: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return phases in rad turned into (-pi, pi]."""
    return np.pi - np.mod(np.pi - np.asarray(phase, dtype=float), 2.0 * np.pi)


def phase_statistics(
    errors: NDArray[np.float64], blocks: NDArray[np.int64] | None = None, *, seed: int = 0
) -> PhaseStatistics:
    """Describe phase errors.

    Parameters
    ----------
    errors
        Array of shape (n,) in rad: reference phase minus target; NaN entries are left out.
    blocks
        Array of shape (n,): errors with one label are drawn together, since neighbours in time are
        alike. Without it, runs of about sqrt(n) successive errors are blocks.
    seed
        Of the bootstrap.

    Notes
    -----
    Blocks are drawn with replacement (Künsch 1989, doi 10.1214/aos/1176347265); the intervals are
    the 2.5th and 97.5th percentiles of 2000 draws. With fewer than MIN_BLOCKS blocks, or where the errors
    cancel exactly and so have no mean direction, there is none.
    """
    errors = np.asarray(errors, dtype=float)
    kept = np.isfinite(errors)
    phasors = np.exp(1j * errors[kept])
    n = int(phasors.size)
    if n == 0:
        return PhaseStatistics(0, None, None, None, None, None)
    if blocks is None:
        labels = np.arange(n) // max(1, round(math.sqrt(n)))
    else:
        labels = np.unique(np.asarray(blocks)[kept], return_inverse=True)[1]
    mean = complex(phasors.mean())
    bias = math.degrees(np.angle(mean)) if mean != 0.0 else None
    bias_interval = spread_interval = None
    n_blocks = int(labels.max()) + 1
    if n_blocks >= MIN_BLOCKS and bias is not None:
        sums = np.bincount(labels, phasors.real) + 1j * np.bincount(labels, phasors.imag)
        counts = np.bincount(labels)
        drawn = np.random.default_rng(seed).integers(n_blocks, size=(N_BOOTSTRAP, n_blocks))
        means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
        spread_interval = _percentiles(np.degrees(circular_sd(np.abs(means))))
        # Around the mean itself, so that an interval across 180 degrees stays in one piece.
        low, high = _percentiles(np.degrees(np.angle(means / mean)))
        bias_interval = (bias + low, bias + high)
    return PhaseStatistics(
        n=n,
        bias_deg=bias,
        bias_ci95_deg=bias_interval,
        circular_sd_deg=math.degrees(float(circular_sd(abs(mean)))),
        ci95_deg=spread_interval,
        plv=min(1.0, abs(mean)),
    )


def _percentiles(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
