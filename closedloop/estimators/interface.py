"""What an estimator is: a design in SciPy that fills a state array, and one compiled step over it.

``step(state, x, first, stop, z, sd)`` takes one nominal sample and writes, for the grid leads
``first`` to ``stop - 1``, the predicted analytic signal into ``z`` and the standard deviation of
its phase error, in radians, into ``sd``. It is called once per nominal sample: ``x`` holds one
value per input in µV, NaN where a sample is missing or held; before its window is filled with
clean samples the step writes NaN. Where ``first`` equals ``stop`` no prediction is wanted, and the step
only takes the sample in. It allocates nothing and calls nothing that waits.

The compiled loop takes steps as first-class functions, so that one loop serves every estimator,
also a third party's that is announced by an entry point of the group ``closedloop.estimators``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol

import numpy as np
from numba import types
from numpy.typing import NDArray

from closedloop.errors import CalibrationError, ConfigError
from closedloop.jit import compiled

LEAD_STEP_S = 0.01
"""Spacing of the leads in s. Between two of them phase is linear to well below a degree in these bands."""
N_LEADS = 11
"""The grid ends at 100 ms."""
LEADS_S = LEAD_STEP_S * np.arange(N_LEADS)

STEP = types.void(
    types.float64[::1],
    types.float64[::1],
    types.intp,
    types.intp,
    types.complex128[::1],
    types.float64[::1],
)
"""The signature that every step is compiled to."""

StepFunction = Callable[
    [NDArray[np.float64], NDArray[np.float64], int, int, NDArray[np.complex128], NDArray[np.float64]], None
]


def at_lead(
    z: NDArray[np.complex128], sd: NDArray[np.float64], lead_s: float
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Return what is predicted for one lead, between the grid's leads along the arc.

    Parameters
    ----------
    z, sd
        Arrays of shape (n_samples, N_LEADS), as `predict` returns them.
    lead_s
        How far ahead, in s, within the grid.

    Returns
    -------
        The predicted analytic signal and the SD of its phase, both of shape (n_samples,).

    Raises
    ------
    ValueError
        Where the lead lies outside the grid.
    """
    place = lead_s / LEAD_STEP_S
    if not 0.0 <= place <= N_LEADS - 1:
        raise ValueError(f"lead_s = {lead_s:g} does not lie between 0 and {LEADS_S[-1]:g}")
    before = min(int(place), N_LEADS - 2)
    part = place - before
    here, there = z[:, before], z[:, before + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        turn = np.exp(1j * part * np.angle(there * here.conj()))
        between = here * (np.abs(there) / np.abs(here)) ** part * turn
    return between, (1.0 - part) * sd[:, before] + part * sd[:, before + 1]


@dataclass(frozen=True)
class Rest:
    """A stretch of rest from which an estimator is designed.

    Attributes
    ----------
    inputs
        Array of shape (n_samples, n_inputs): what the step will see, in µV, first the named signal.
    target
        Complex array of shape (n_samples,): the analytic signal to predict, of the spatially
        filtered signal *before* conditioning; NaN where it is not known.
    sfreq
        Sampling rate in Hz.
    band_hz
        Lower and upper edge of the rhythm's band in Hz.
    peak_hz
        The rhythm's frequency in Hz.
    rhythm
        Complex array of shape (n_samples,): the best estimate of the rhythm itself, to tell errors by; NaN where
        it is not known. None: the target.
    rhythm_error_uv2
        By how much that estimate misses the rhythm, as a variance in µV², independent of all that can be
        predicted from the signal alone: what no comparison with it can show.

    Raises
    ------
    CalibrationError
        Where the named signal is nothing but zeros, whatever the channels that help hold.
    """

    inputs: NDArray[np.float64]
    target: NDArray[np.complex128]
    sfreq: float
    band_hz: tuple[float, float]
    peak_hz: float
    rhythm: NDArray[np.complex128] | None = None
    rhythm_error_uv2: float = 0.0

    def __post_init__(self) -> None:
        if not np.any(self.inputs[:, 0]):
            raise CalibrationError("the calibration holds no signal: every sample is zero after conditioning")

    def targets(self) -> NDArray[np.complex128]:
        """Return the target at every lead of the grid, of shape (n_samples, N_LEADS), NaN past the end."""
        return self._ahead(self.target)

    def rhythms(self) -> NDArray[np.complex128]:
        """Return the rhythm's estimate likewise."""
        return self._ahead(self.target if self.rhythm is None else self.rhythm)

    def _ahead(self, signal: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Return a signal at every lead of the grid.

        Leads fall between samples; there the rotation of the peak's frequency is taken out, the
        rest interpolated linearly.
        """
        ahead = LEADS_S * self.sfreq
        whole = np.floor(ahead + 1e-9).astype(int)
        part = ahead - whole
        turn = np.exp(2j * np.pi * self.peak_hz / self.sfreq)
        padded = np.concatenate([signal, np.full(whole[-1] + 2, np.nan + 0j)])
        rows = np.arange(signal.size)[:, None] + whole
        here, following = padded[rows], np.where(part > 1e-9, padded[rows + 1] / turn, 0.0)
        between: NDArray[np.complex128] = ((1.0 - part) * here + part * following) * turn**part
        return between


@dataclass(frozen=True)
class Designed:
    """A designed estimator: its compiled step and the state array that the step will update.

    Attributes
    ----------
    step
        A function compiled to the signature ``STEP``.
    state
        Array of shape (n_slots,); the step's module says what each slot holds.
    window_s
        How much of the past, in s, must be clean for an estimate.
    facts
        What is worth knowing of the design (ridge, orders, expected errors), for people and reports.
    output_at
        Where in the state the slots of `output` begin; None for a method that has none, or has learnt them with
        all else: its gain is not tuned.
    """

    step: StepFunction
    state: NDArray[np.float64]
    window_s: float
    facts: dict[str, Any]
    output_at: int | None = None


class Estimator(Protocol):
    """A method: its settings come from YAML, its design from rest."""

    def __call__(self, rest: Rest, settings: Any) -> Designed:
        """Design the estimator on a stretch of rest."""
        ...


def find_estimator(name: str) -> Estimator:
    """Return a method by name: one of ours, or one that an installed package announces.

    Raises
    ------
    ConfigError
        Where no method has that name.
    """
    found = {point.name: point for point in entry_points(group="closedloop.estimators")}
    if name not in found:
        raise ConfigError(f"estimator = {name}: there is no such method (installed: {', '.join(sorted(found))})")
    estimator: Estimator = found[name].load()
    return estimator


@compiled(
    types.void(
        types.FunctionType(STEP),
        types.float64[::1],
        types.float64[:, ::1],
        types.intp,
        types.intp,
        types.intp,
        types.complex128[:, ::1],
        types.float64[:, ::1],
    )
)
def _run(
    step: StepFunction,
    state: NDArray[np.float64],
    inputs: NDArray[np.float64],
    first: int,
    stop: int,
    every: int,
    z: NDArray[np.complex128],
    sd: NDArray[np.float64],
) -> None:
    for i in range(inputs.shape[0]):
        wanted = (i + 1) % every == 0
        step(state, inputs[i], first, stop if wanted else first, z[i], sd[i])


def run(
    step: StepFunction,
    state: NDArray[np.float64],
    inputs: NDArray[np.float64],
    *,
    first: int = 0,
    stop: int = N_LEADS,
    every: int = 1,
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Run a step over a stretch of signal and leave the state as the next stretch needs it.

    Parameters
    ----------
    step, state
        The step, and the state that it updates.
    inputs
        Array of shape (n_samples, n_inputs) in µV.
    first, stop
        The range of grid leads that is asked for.
    every
        Ask after every so manieth sample; after the others the step only takes the sample in.

    Returns
    -------
        The predicted analytic signal and the SD of its phase error in radians, both of shape
        (n_samples, N_LEADS), NaN where not asked for and before warm-up.
    """
    z = np.full((inputs.shape[0], N_LEADS), np.nan + 0j, np.complex128)
    sd = np.full((inputs.shape[0], N_LEADS), np.nan)
    _run(step, state, np.ascontiguousarray(inputs), first, stop, every, z, sd)
    return z, sd


def predict(
    designed: Designed, inputs: NDArray[np.float64], *, first: int = 0, stop: int = N_LEADS, every: int = 1
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Run an estimator over a whole signal, from a fresh state: the parameters are those of `run`."""
    return run(designed.step, designed.state.copy(), inputs, first=first, stop=stop, every=every)
