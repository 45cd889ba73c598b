"""Figures of one method on one case: spread and bias of its phase error, by truth, lead and yield."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closedloop.accuracy.case import Case
from closedloop.estimators.interface import Designed, at_lead, predict, run
from closedloop.estimators.output import half_width
from closedloop.estimators.window import stride_to
from closedloop.signal.circular import PhaseStatistics, phase_statistics, wrap

LEADS_S = (0.0, 0.01, 0.025, 0.05, 0.08)
YIELDS = (1.0, 0.5, 0.25, 0.1)
"""Shares of all samples that are kept: those that the method itself is surest of."""
COVERED = 0.95
JUDGED_RATE_HZ = 100.0
BLOCK_S = 10.0
"""Errors within so many seconds are drawn together by the bootstrap: attention waxes and wanes."""
TIMED_S = 5.0
Prediction = tuple[NDArray[np.complex128], NDArray[np.float64]]


@dataclass(frozen=True)
class Errors:
    """Phase errors of one method at one lead, by one truth; arrays of shape (n,), in the order of time.

    Attributes
    ----------
    error
        True phase minus predicted, in rad.
    confidence
        What the method ranks its predictions by: larger is surer.
    sd
        Its SD of the error in rad; NaN where it has none.
    times_s
        When, in s.
    """

    error: NDArray[np.float64]
    confidence: NDArray[np.float64]
    sd: NDArray[np.float64]
    times_s: NDArray[np.float64]

    def surest(self, share: float) -> "Errors":
        """Return the share of predictions that the method is surest of."""
        count = max(1, round(share * self.error.size))
        kept = np.sort(np.argsort(-self.confidence, kind="stable")[:count])
        return Errors(self.error[kept], self.confidence[kept], self.sd[kept], self.times_s[kept])

    def statistics(self) -> PhaseStatistics:
        """Describe the errors, with intervals by block bootstrap."""
        return phase_statistics(self.error, (self.times_s // BLOCK_S).astype(np.int64))

    def covered(self) -> NDArray[np.bool_]:
        """Say of each error whether it lies within the interval that the method itself expects to hold 95 %."""
        covered: NDArray[np.bool_] = np.abs(self.error) <= half_width(self.sd, COVERED)
        return covered

    def coverage(self) -> float | None:
        """Return the share of errors within that interval; None for a method that has no SD."""
        known = np.isfinite(self.sd)
        return float(np.mean(self.covered()[known])) if known.any() else None


def judged_rows(case: Case) -> NDArray[np.intp]:
    """Return the samples after which predictions are judged."""
    every = stride_to(JUDGED_RATE_HZ, case.sfreq)
    asked = np.arange(1, len(case.inputs) + 1) % every == 0
    return np.flatnonzero(asked & case.judged)


def errors_of(designed: Designed, case: Case, leads_s: Sequence[float] = LEADS_S) -> dict[tuple[str, float], Errors]:
    """Run a method over a case and return its errors by truth and lead.

    Parameters
    ----------
    designed
        The method, designed on the case's rest.
    case
        The case; only predictions after its judged samples count.
    leads_s
        How far ahead, in s.
    """
    z, sd = predict(designed, case.inputs, every=stride_to(JUDGED_RATE_HZ, case.sfreq))
    rows = judged_rows(case)
    return errors_at(case, rows, {lead_s: at_lead(z[rows], sd[rows], lead_s) for lead_s in leads_s})


def errors_at(
    case: Case, rows: NDArray[np.intp], predictions: Mapping[float, Prediction]
) -> dict[tuple[str, float], Errors]:
    """Return the errors, by truth and lead, of predictions made after some samples.

    Parameters
    ----------
    case
        The case.
    rows
        The samples, of shape (n,).
    predictions
        For each lead in s the analytic signal and the SD of its phase in rad, NaN where it has none, of shape (n,).
    """
    found = {}
    for lead_s, (value, sd) in predictions.items():
        times_s = rows / case.sfreq + lead_s
        confidence = -sd if np.isfinite(sd).any() else np.abs(value)
        for truth in case.reference.members:
            error = wrap(case.reference.member_at(truth, times_s) - np.angle(value))
            known = np.isfinite(error) & np.isfinite(confidence)
            found[truth, lead_s] = Errors(error[known], confidence[known], sd[known], times_s[known])
    return found


def us_per_sample(designed: Designed, case: Case) -> float:
    """Return how long a step takes for one lead, in µs: the shortest of three runs over some seconds."""
    inputs = np.ascontiguousarray(case.inputs[: round(TIMED_S * case.sfreq)])
    taken = []
    for _ in range(3):
        state = designed.state.copy()
        begin = time.perf_counter()
        run(designed.step, state, inputs, first=2, stop=3)
        taken.append(time.perf_counter() - begin)
    return 1e6 * min(taken) / len(inputs)
