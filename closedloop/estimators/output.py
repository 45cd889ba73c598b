"""The last step of every method: a gain, and how sure the prediction is.

The gain is one complex number for each lead: one, unless a method is tuned.

The phase error of a prediction z of a signal that it misses by a complex Gaussian error of
variance s2 has the resultant length ``R(u) = sqrt(pi)/2 u exp(-u2/2) (I0(u2/2) + I1(u2/2))`` with
``u = |z| / s`` (Rician phase). Errors of real EEG grow with its amplitude, so ``s2 = a + b |z|2``,
with a and b for each lead, learnt on rest. Of what is larger than anything that rest has shown, an
artifact most likely, the model knows nothing: all that it is larger counts as error, so that the SD rises again.

Slots::

    gain (N_LEADS real, N_LEADS imaginary), a (N_LEADS, µV²), b (N_LEADS), the largest |z|² (N_LEADS, µV²), the
    table of SDs over u (N_TABLE, rad)
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from closedloop.estimators.interface import N_LEADS, Rest, StepFunction, run
from closedloop.jit import inner

N_TABLE = 129
TABLE_STEP = 1.0 / 16.0
"""Spacing of ``u`` in the table of SDs, which ends at u = 8 (5 degrees); beyond, SD = 1 / (sqrt(2) u)."""
N_SLOTS = 5 * N_LEADS + N_TABLE
_NOISE, _GROWTH, _LARGEST, _TABLE = 2 * N_LEADS, 3 * N_LEADS, 4 * N_LEADS, 5 * N_LEADS
N_GROUPS = 20
USUAL_SHARE = 0.99
BEYOND_REST = 4.0
"""The model is believed up to so many times what this share of rest's |z|² does not exceed, twice that amplitude:
rhythms wax and wane, and rest may hold a short artifact of its own."""
FITTED_RATE_HZ = 25.0
"""The model is fitted to so many predictions a second of rest: neighbours tell little that is new."""


def rician_phase_sd(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the circular SD, in radians, of the phase of ``u`` plus a complex Gaussian of variance 1."""
    half = np.asarray(u, dtype=float) ** 2 / 2
    resultant = math.sqrt(math.pi) / 2 * u * (special.ive(0, half) + special.ive(1, half))
    with np.errstate(divide="ignore"):
        return np.sqrt(-2.0 * np.log(resultant))


@cache
def _half_widths(share: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return SDs, rising, and the half widths that belong to them, both in rad, by integrating the phase's density."""
    u = np.concatenate([np.geomspace(40.0, 1e-3, 400), [1e-6]])[:, None]
    phase = np.linspace(0.0, np.pi, 2001)
    along = u * np.cos(phase)
    density = np.exp(-(u**2)) / np.pi + along / math.sqrt(np.pi) * np.exp(-((u * np.sin(phase)) ** 2)) * (
        1.0 + special.erf(along)
    )
    within = np.cumsum(density[:, 1:] + density[:, :-1], axis=1)
    widths = np.array([np.interp(share * row[-1], row, phase[1:]) for row in within])
    return rician_phase_sd(u[:, 0]), widths


def half_width(sd: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Return the half width, in rad, of the interval around a predicted phase that holds a share of all errors.

    Parameters
    ----------
    sd
        Circular SD of the error in rad, as a step gives it; NaN gives NaN.
    share
        Of the errors, between 0 and 1.
    """
    spreads, widths = _half_widths(share)
    normal = np.asarray(sd) * special.ndtri(0.5 + share / 2.0)
    # Below the table's first SD, 1 degree, the error is as good as normal.
    return np.where(sd < spreads[0], normal, np.interp(sd, spreads, widths))


class ErrorModel(NamedTuple):
    """How large a prediction's error is: arrays of shape (n_leads,).

    Attributes
    ----------
    noise, growth
        a in µV² and b of the error's variance a + b |z|².
    largest
        The |z|² in µV² up to which that holds.
    """

    noise: NDArray[np.float64]
    growth: NDArray[np.float64]
    largest: NDArray[np.float64]


def constant_error(variance: NDArray[np.float64]) -> ErrorModel:
    """Return the model of an error that does not depend on the amplitude, from its variance in µV² for each lead."""
    return ErrorModel(variance, np.zeros(variance.size), np.full(variance.size, np.inf))


UNKNOWN = constant_error(np.full(N_LEADS, np.nan))
"""Of a method that has not learnt its error: every SD is NaN."""


def output_slots(model: ErrorModel, gain: NDArray[np.complex128] | None = None) -> NDArray[np.float64]:
    """Lay out gain and model.

    Parameters
    ----------
    model
        Of the error, at every lead of the grid.
    gain
        Complex array of shape (N_LEADS,); None: one.
    """
    turn = np.ones(N_LEADS, np.complex128) if gain is None else gain
    u = np.maximum(TABLE_STEP * np.arange(N_TABLE), TABLE_STEP / 2)
    return np.concatenate([turn.real, turn.imag, *model, rician_phase_sd(u)])


@inner
def phase_sd(slots: NDArray[np.float64], lead: int, power: float) -> float:
    """Return the modelled SD of the phase error, in radians, at a squared amplitude in µV²; NaN without either."""
    believed = min(power, slots[_LARGEST + lead])
    variance = slots[_NOISE + lead] + slots[_GROWTH + lead] * believed + (power - believed)
    if not (variance > 0.0 and 0.0 < power < math.inf):
        return np.nan
    u = math.sqrt(believed / variance)
    place = u / TABLE_STEP
    k = int(min(place, 1e6))
    if k >= N_TABLE - 1:
        return 1.0 / (math.sqrt(2.0) * u)
    table = _TABLE + k
    return slots[table] + (place - k) * (slots[table + 1] - slots[table])


@inner
def give(
    slots: NDArray[np.float64], lead: int, value: complex, z: NDArray[np.complex128], sd: NDArray[np.float64]
) -> None:
    """Write a method's value for a lead, in µV, turned by its gain, and the SD of its phase; NaN stays NaN."""
    turned = complex(slots[lead], slots[N_LEADS + lead]) * value
    z[lead] = turned
    sd[lead] = phase_sd(slots, lead, turned.real * turned.real + turned.imag * turned.imag)


@inner
def give_none(first: int, stop: int, z: NDArray[np.complex128], sd: NDArray[np.float64]) -> None:
    """Write that nothing is predicted."""
    for lead in range(first, stop):
        z[lead] = complex(np.nan, np.nan)
        sd[lead] = np.nan


def error_model(predicted: NDArray[np.complex128], truth: NDArray[np.complex128]) -> ErrorModel:
    """Fit the error's variance a + b |z|² for each lead.

    Parameters
    ----------
    predicted, truth
        Complex arrays of shape (n_samples, n_leads); the predictions should come from folds that
        the method was not fitted to.

    Returns
    -------
        The model; neither a nor b is negative: where one would be, it is dropped, and the other makes up for all.

    Notes
    -----
    Means over N_GROUPS equal groups of rising amplitude are fitted, weighted by the inverse square of
    their value, so that small and large amplitudes are matched to the same relative accuracy.
    """
    n_leads = predicted.shape[1]
    noise, growth = np.zeros(n_leads), np.zeros(n_leads)
    for lead in range(n_leads):
        power = np.abs(predicted[:, lead]) ** 2
        missed = np.abs(truth[:, lead] - predicted[:, lead]) ** 2
        groups = np.array_split(np.argsort(power), N_GROUPS)
        mean_power = np.array([power[g].mean() for g in groups])
        mean_missed = np.array([missed[g].mean() for g in groups])
        a, b = 0.0, 0.0
        if mean_missed.min() > 0.0:
            design = np.column_stack([1.0 / mean_missed, mean_power / mean_missed])
            a, b = optimize.nnls(design, np.ones(N_GROUPS))[0]
        if b == 0.0:
            a = float(missed.mean())
        elif a == 0.0:
            b = float(missed.mean() / power.mean())
        noise[lead], growth[lead] = a, b
    return ErrorModel(noise, growth, _largest(predicted))


def _largest(predicted: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return up to which |z|² in µV², for each lead, a model of these predictions is believed."""
    largest: NDArray[np.float64] = BEYOND_REST * np.quantile(np.abs(predicted) ** 2, USUAL_SHARE, axis=0)
    return largest


def learn_output(step: StepFunction, state: NDArray[np.float64], at: int, rest: Rest, *, tuned: bool = False) -> None:
    """Fit gain and model to a method's own predictions of rest and write them into the state's slots.

    For methods that do not learn from the target: they cannot have learnt it by heart. The gain is the
    target's, the error is told by the rhythm's estimate. Where rest has no N_GROUPS predictions beside both,
    the gain is one and the SD stays unknown: NaN.

    Parameters
    ----------
    step, state
        The method, designed but for these slots; only these change.
    at
        Where in the state its N_SLOTS slots begin.
    rest
        The stretch of rest.
    tuned
        Whether to set the gain to the one of least squared error; otherwise it is one, as published, and what a
        method shrinks is told from what it misses.
    """
    state[at : at + N_SLOTS] = output_slots(UNKNOWN)
    z = _on_rest(step, state, rest)
    targets, rhythms = rest.targets(), rest.rhythms()
    known = np.isfinite(targets).all(axis=1) & np.isfinite(rhythms).all(axis=1) & np.isfinite(z).all(axis=1)
    if known.sum() < N_GROUPS:
        return
    z, targets, rhythms = z[known], targets[known], rhythms[known]
    power, together = np.mean(np.abs(z) ** 2, axis=0), np.mean(z.conj() * targets, axis=0)
    if not ((power > 0.0) & (np.abs(together) > 0.0)).all():
        return
    gain = together / power if tuned else np.ones(N_LEADS, np.complex128)
    state[at : at + N_SLOTS] = output_slots(phase_error_model(gain * z, rhythms, rest.rhythm_error_uv2), gain)


def phase_error_model(
    predicted: NDArray[np.complex128], rhythm: NDArray[np.complex128], rhythm_error_uv2: float
) -> ErrorModel:
    """Fit the error of a prediction's phase, whatever its scale, against the rhythm's estimate.

    Parameters
    ----------
    predicted, rhythm
        As for `error_model`.
    rhythm_error_uv2
        By how much the estimate itself misses the rhythm, as a variance in µV².

    Returns
    -------
        The model for the prediction as it is; where it has nothing in common with the rhythm: `UNKNOWN`.

    Notes
    -----
    The SD depends on ``|z|2 / s2`` alone: what a prediction shrinks is no error of its phase. Scaled by a real
    factor k to the rhythm's size it has the error of k z; so z itself has that variance over k².
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.abs(np.mean(predicted.conj() * rhythm, axis=0)) / np.mean(np.abs(predicted) ** 2, axis=0)
    if not ((scale > 0.0) & np.isfinite(scale)).all():
        return UNKNOWN
    model = error_model(scale * predicted, rhythm)
    return ErrorModel((model.noise + rhythm_error_uv2) / scale**2, model.growth, model.largest / scale**2)


def learn_largest(step: StepFunction, state: NDArray[np.float64], at: int, rest: Rest) -> None:
    """Write into the slots up to which amplitude a model that a method brings with it is believed.

    For methods that state their error without rest; the parameters are those of `learn_output`.
    """
    z = _on_rest(step, state, rest)
    known = np.isfinite(z).all(axis=1)
    if known.any():
        state[at + _LARGEST : at + _LARGEST + N_LEADS] = _largest(z[known])


def _on_rest(step: StepFunction, state: NDArray[np.float64], rest: Rest) -> NDArray[np.complex128]:
    """Return a method's predictions of rest at every lead, NaN where it was not asked."""
    every = max(1, int(rest.sfreq // FITTED_RATE_HZ))
    return run(step, state.copy(), rest.inputs, every=every)[0]
