"""What triggers leave in the samples that follow them: a pulse's artifact, a step at an electrode, a channel."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEP_S = 0.005
"""How long a step lasts, and how long a trigger channel is 1, in s."""
TOLERANCE_S = 1e-9
"""A sample exactly at an edge does not lose it to rounding."""


@dataclass(frozen=True)
class TriggerEffects:
    """What each trigger adds.

    Attributes
    ----------
    rate_hz
        The stream's announced rate.
    artifact
        Array of shape (n_samples, n_channels) in µV at that rate: what is added from a pulse on; no samples: none.
    latency_s
        From a trigger to its pulse, in s.
    delay_s
        From electrode to stamp, in s.
    divider
        Column of the electrode at which each trigger is a step, or None.
    divider_uv
        Height of that step, in µV.
    trigger_column
        Column of the trigger channel, or None.
    """

    rate_hz: float
    artifact: NDArray[np.float64]
    latency_s: float = 0.0
    delay_s: float = 0.0
    divider: int | None = None
    divider_uv: float = 0.0
    trigger_column: int | None = None

    @property
    def length_s(self) -> float:
        """How long after a trigger the last of what it leaves is stamped, at most, in s."""
        whole_sample_s = 1.0 / self.rate_hz
        return self.delay_s + max(STEP_S, self.latency_s + len(self.artifact) / self.rate_hz) + whole_sample_s

    @property
    def largest_uv(self) -> float:
        """The most that one trigger adds to a potential, in µV."""
        return float(np.abs(self.artifact).max(initial=0.0)) + abs(self.divider_uv)

    def add(self, values: NDArray[np.float64], times_s: NDArray[np.float64], edges_s: Sequence[float]) -> None:
        """Add to samples what triggers leave in them, in place.

        Parameters
        ----------
        values
            Array of shape (n_samples, n_columns): potentials in µV.
        times_s
            Array of shape (n_samples,): when each sample is.
        edges_s
            When the triggers were, by the same clock.
        """
        age_s = times_s - np.array(edges_s)[:, None] + TOLERANCE_S
        at_electrode_s = age_s - self.delay_s
        high = ((age_s >= 0.0) & (age_s < STEP_S)).any(axis=0)
        stepped = ((at_electrode_s >= 0.0) & (at_electrode_s < STEP_S)).any(axis=0)
        ages = np.floor((at_electrode_s - self.latency_s) * self.rate_hz).astype(np.int64)
        edge, struck = np.nonzero((ages >= 0) & (ages < len(self.artifact)))
        np.add.at(values[:, : self.artifact.shape[1]], struck, self.artifact[ages[edge, struck]])
        if self.divider is not None:
            values[stepped, self.divider] += self.divider_uv
        if self.trigger_column is not None:
            values[high, self.trigger_column] = 1.0
