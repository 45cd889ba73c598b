"""Expectation-maximisation for noisy oscillators.

Shumway & Stoffer 1982, doi 10.1111/j.1467-9892.1982.tb00349.x, for the model of `oscillators`. Departures: their
smoother inverts a covariance at every sample; here the backward recursion is that of de Jong 1989, doi
10.1080/01621459.1989.10478894 (recalled, not read), which gives the same moments without an inverse, in
less than 1 µs per sample and iteration. A missing sample is predicted over. The state before the first sample is not
fitted. Limits of the parameters are constraints of the maximisation, so that no iteration lowers the likelihood.

Arrays that the compiled functions share, with S = 2 n_oscillators values in a state::

    means (n_samples, S), covariances (n_samples, S, S)     of the state given the samples up to its own
    gains (n_samples, S)        Kalman gains
    told (n_samples, 2)         innovation over its variance, one over its variance; zeros where missing
    matrices (3, S, S)          work: filter: the covariance; smoother: curvature, two products
    lines (5, S)                work: filter: mean, covariance with the observation; smoother: _SLOPE and following
    sums (n_oscillators + 1, 4) see `_smooth`
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closedloop.estimators.oscillators import Oscillators
from closedloop.jit import compiled, inner

PRIOR_POWER = 1.0
"""Variance of the state before the first sample, relative to the data's mean power."""
VARIANCE_FLOOR = 1e-9
"""No variance falls below this share of the data's mean power, about the rounding of a 16-bit converter: without it
EM on a noiseless sine runs into a filter that divides by zero."""
LONGEST_S = 100.0
"""No oscillator's time constant exceeds this: an undamped one has no steady power."""

_SLOPE, _LATER_SLOPE, _MEAN, _VARIANCE, _ALONG = range(5)


@dataclass(frozen=True)
class Fit:
    """What EM found.

    Attributes
    ----------
    oscillators
        The parameters after the last iteration.
    log_likelihoods
        Array of shape (n_iterations,): of the parameters before each iteration.
    converged
        Whether the frequencies came to rest.
    """

    oscillators: Oscillators
    log_likelihoods: NDArray[np.float64]
    converged: bool


def fit_oscillators(y: NDArray[np.float64], start: Oscillators, *, max_iterations: int, stop_hz: float) -> Fit:
    """Fit the parameters to data.

    Parameters
    ----------
    y
        Array of shape (n_samples,) in µV at the model's rate, NaN where missing, not all zero.
    start
        The parameters to start from.
    max_iterations
        Most iterations, at least 1.
    stop_hz
        The fit has converged when an iteration changes the frequencies by less than this, summed, in Hz.

    Notes
    -----
    A likelihood that is not finite ends the fit; it is for the caller to look at the parameters.
    """
    y = np.ascontiguousarray(y, dtype=float)
    n_pairs = start.drive.size
    size = 2 * n_pairs
    power = float(np.nanmean(y**2))
    states = (np.empty((y.size, size)), np.empty((y.size, size, size)), np.empty((y.size, size)), np.empty((y.size, 2)))
    work = (np.empty((3, size, size)), np.empty((5, size)))
    sums = np.empty((n_pairs + 1, 4))
    likelihoods: list[float] = []
    now, converged = start, False
    while len(likelihoods) < max_iterations and not converged:
        turn = np.column_stack([now.turn.real, now.turn.imag])
        likelihoods.append(_filter(y, turn, now.drive, now.noise, PRIOR_POWER * power, *states, *work))
        if not np.isfinite(likelihoods[-1]):
            break
        _smooth(y, turn, *states, *work, sums)
        before, now = now, _maximise(now, sums, y.size, power)
        converged = bool(np.sum(np.abs(now.frequency_hz - before.frequency_hz)) < stop_hz)
    return Fit(now, np.array(likelihoods), converged)


def _maximise(now: Oscillators, sums: NDArray[np.float64], n_samples: int, power: float) -> Oscillators:
    """Return the parameters of the highest expected likelihood."""
    earlier, later = sums[:-1, 0], sums[:-1, 1]
    crossed = now.turn * earlier + now.drive * (sums[:-1, 2] + 1j * sums[:-1, 3])
    damping = np.minimum(np.abs(crossed) / earlier, np.exp(-1.0 / (LONGEST_S * now.rate_hz)))
    drive = (later - 2.0 * damping * np.abs(crossed) + damping**2 * earlier) / (2.0 * (n_samples - 1))
    return Oscillators(
        rate_hz=now.rate_hz,
        # One that turns backwards is the mirror image of one that turns forwards: data cannot tell them apart.
        frequency_hz=np.abs(np.angle(crossed)) * now.rate_hz / (2.0 * np.pi),
        damping=damping,
        drive=np.maximum(drive, VARIANCE_FLOOR * power),
        noise=float(np.maximum(sums[-1, 0] / sums[-1, 1], VARIANCE_FLOOR * power)),
    )


@inner
def _turn_line(turn: NDArray[np.float64], way: float, line: NDArray[np.float64]) -> None:
    """Multiply a vector by the transition in place; ``way`` = -1: by its transpose."""
    for j in range(turn.shape[0]):
        c, s = turn[j, 0], way * turn[j, 1]
        re, im = line[2 * j], line[2 * j + 1]
        line[2 * j] = c * re - s * im
        line[2 * j + 1] = s * re + c * im


@inner
def _turn_columns(turn: NDArray[np.float64], way: float, matrix: NDArray[np.float64]) -> None:
    """Multiply each column of a matrix by the transition in place; ``way`` = -1: by its transpose."""
    for j in range(turn.shape[0]):
        c, s = turn[j, 0], way * turn[j, 1]
        for k in range(matrix.shape[1]):
            re, im = matrix[2 * j, k], matrix[2 * j + 1, k]
            matrix[2 * j, k] = c * re - s * im
            matrix[2 * j + 1, k] = s * re + c * im


@inner
def _turn_both(turn: NDArray[np.float64], way: float, matrix: NDArray[np.float64]) -> None:
    """Multiply a symmetric matrix by the transition from both sides in place; ``way`` = -1: by its transpose."""
    _turn_columns(turn, way, matrix)
    for k in range(matrix.shape[0]):
        _turn_line(turn, way, matrix[k])


@compiled()
def _filter(
    y: NDArray[np.float64],
    turn: NDArray[np.float64],
    drive: NDArray[np.float64],
    noise: float,
    prior: float,
    means: NDArray[np.float64],
    covariances: NDArray[np.float64],
    gains: NDArray[np.float64],
    told: NDArray[np.float64],
    matrices: NDArray[np.float64],
    lines: NDArray[np.float64],
) -> float:
    """Run the Kalman filter; return the log-likelihood."""
    size = means.shape[1]
    covariance, mean, along = matrices[0], lines[0], lines[1]
    for k in range(size):
        mean[k] = 0.0
        for i in range(size):
            covariance[k, i] = prior if k == i else 0.0
    likelihood = 0.0
    for t in range(y.size):
        innovation, variance = y[t], noise
        for k in range(size):
            along[k] = 0.0
            for j in range(0, size, 2):
                along[k] += covariance[k, j]
        for j in range(0, size, 2):
            innovation -= mean[j]
            variance += along[j]
        told[t, 0] = told[t, 1] = 0.0
        if np.isfinite(innovation):
            told[t, 0], told[t, 1] = innovation / variance, 1.0 / variance
            likelihood -= 0.5 * (np.log(2.0 * np.pi * variance) + innovation * innovation / variance)
        for k in range(size):
            gains[t, k] = along[k] * told[t, 1]
            mean[k] += along[k] * told[t, 0]
            means[t, k] = mean[k]
            for i in range(size):
                covariance[k, i] -= gains[t, k] * along[i]
                covariances[t, k, i] = covariance[k, i]
        _turn_line(turn, 1.0, mean)
        _turn_both(turn, 1.0, covariance)
        for k in range(size):
            covariance[k, k] += drive[k // 2]
    return likelihood


@compiled()
def _smooth(
    y: NDArray[np.float64],
    turn: NDArray[np.float64],
    means: NDArray[np.float64],
    covariances: NDArray[np.float64],
    gains: NDArray[np.float64],
    told: NDArray[np.float64],
    matrices: NDArray[np.float64],
    lines: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Run backwards and sum the moments that the maximisation needs.

    For each oscillator: the expected squares of all samples but the last, those of all but the first, and
    real and imaginary part of c in ``sum E[x[t+1] conj x[t]] = turn * first sum + q * c``, x being complex.
    In the last row: the expected squares of the observation's noise, the number of observations.
    """
    n_pairs, size = turn.shape[0], means.shape[1]
    # Slope and curvature, in the state, of the log-likelihood of all later samples.
    curvature, product = matrices[0], matrices[1]
    for k in range(size):
        lines[_SLOPE, k] = 0.0
        for i in range(size):
            curvature[k, i] = 0.0
    for j in range(n_pairs + 1):
        for k in range(4):
            sums[j, k] = 0.0
    for t in range(y.size - 1, -1, -1):
        for k in range(size):
            lines[_LATER_SLOPE, k] = lines[_SLOPE, k]
            for i in range(size):
                product[k, i] = covariances[t, k, i]
        _turn_columns(turn, 1.0, product)
        for j in range(n_pairs):
            for k in range(size):
                re, im = curvature[2 * j, k], curvature[2 * j + 1, k]
                sums[j, 2] -= re * product[k, 2 * j] + im * product[k, 2 * j + 1]
                sums[j, 3] -= im * product[k, 2 * j] - re * product[k, 2 * j + 1]
        _turn_line(turn, -1.0, lines[_SLOPE])
        _turn_both(turn, -1.0, curvature)
        spread = _smoothed(means[t], covariances[t], matrices, lines)
        residual = y[t]
        for j in range(n_pairs):
            re, im = lines[_MEAN, 2 * j], lines[_MEAN, 2 * j + 1]
            residual -= re
            square = re * re + im * im + lines[_VARIANCE, 2 * j] + lines[_VARIANCE, 2 * j + 1]
            sums[j, 0] += square if t < y.size - 1 else 0.0
            sums[j, 1] += square if t > 0 else 0.0
            later_re, later_im = lines[_LATER_SLOPE, 2 * j], lines[_LATER_SLOPE, 2 * j + 1]
            sums[j, 2] += later_re * re + later_im * im
            sums[j, 3] += later_im * re - later_re * im
        if told[t, 1] > 0.0:
            sums[n_pairs, 0] += residual * residual + spread
            sums[n_pairs, 1] += 1.0
        _before(gains[t], told[t], curvature, lines)


@inner
def _smoothed(
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    matrices: NDArray[np.float64],
    lines: NDArray[np.float64],
) -> float:
    """Write mean and variances of the state given all samples; return the variance of the oscillators' sum."""
    size = mean.size
    curvature, product = matrices[0], matrices[2]
    for k in range(size):
        lines[_MEAN, k] = mean[k]
        for i in range(size):
            lines[_MEAN, k] += covariance[k, i] * lines[_SLOPE, i]
            product[k, i] = 0.0
            for m in range(size):
                product[k, i] += curvature[k, m] * covariance[m, i]
    spread = 0.0
    for k in range(size):
        lines[_VARIANCE, k] = covariance[k, k]
        for m in range(size):
            lines[_VARIANCE, k] -= covariance[k, m] * product[m, k]
    for k in range(0, size, 2):
        for i in range(0, size, 2):
            spread += covariance[k, i]
            for m in range(size):
                spread -= covariance[k, m] * product[m, i]
    return spread


@inner
def _before(
    gain: NDArray[np.float64], told: NDArray[np.float64], curvature: NDArray[np.float64], lines: NDArray[np.float64]
) -> None:
    """Take slope and curvature from after a sample was seen to before it, in place."""
    size = gain.size
    slope, along = lines[_SLOPE], lines[_ALONG]
    first, second = -told[0], told[1]
    for k in range(size):
        first += gain[k] * slope[k]
        along[k] = 0.0
        for i in range(size):
            along[k] += curvature[k, i] * gain[i]
    for k in range(size):
        second += gain[k] * along[k]
    for k in range(size):
        for i in range(size):
            if k % 2 == 0:
                curvature[k, i] -= along[i]
            if i % 2 == 0:
                curvature[k, i] -= along[k]
            if k % 2 == 0 and i % 2 == 0:
                curvature[k, i] += second
    for k in range(0, size, 2):
        slope[k] -= first
