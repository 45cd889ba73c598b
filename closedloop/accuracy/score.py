"""Figures of one method on one case: spread and bias of its phase error, by truth, lead and yield."""

import math
import time
from collections.abc import Sequence
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

    def coverage(self) -> float | None:
        """Return the share of errors within the interval that the method itself expects to hold 95 %."""
        known = np.isfinite(self.sd)
        if not known.any():
            return None
        return float(np.mean(np.abs(self.error[known]) <= half_width(self.sd[known], COVERED)))


def errors_of(
    designed: Designed, case: Case, leads_s: Sequence[float] = LEADS_S, *, after_s: float | None = None
) -> dict[tuple[str, float], Errors]:
    """Run a method over a case and return its errors by truth and lead.

    Parameters
    ----------
    designed
        The method, designed on the case's rest.
    case
        The case; only predictions made after its rest count.
    leads_s
        How far ahead, in s.
    after_s
        Where to begin instead, in s.
    """
    every = stride_to(JUDGED_RATE_HZ, case.sfreq)
    z, sd = predict(designed, case.inputs, every=every)
    first = case.first if after_s is None else round(after_s * case.sfreq)
    rows = np.flatnonzero((np.arange(1, len(z) + 1) % every == 0) & (np.arange(len(z)) >= first))
    found = {}
    for lead_s in leads_s:
        value, spread = at_lead(z[rows], sd[rows], lead_s)
        times_s = rows / case.sfreq + lead_s
        amplitude = np.abs(value)
        confidence = -spread if np.isfinite(spread).any() else amplitude
        for truth in case.reference.members:
            error = wrap(case.reference.member_at(truth, times_s) - np.angle(value))
            known = np.isfinite(error) & np.isfinite(confidence)
            found[truth, lead_s] = Errors(error[known], confidence[known], spread[known], times_s[known])
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


def degrees(radians: float | None) -> float | None:
    """Return an angle in degrees; None and NaN as None."""
    return None if radians is None or math.isnan(radians) else math.degrees(radians)
