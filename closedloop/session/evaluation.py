"""Where the pulses really fell: reference phases at the chances that were used."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from closedloop.calibration.calibrate import Calibration
from closedloop.calibration.design import Design
from closedloop.core.records import EventKind
from closedloop.signal.circular import PhaseStatistics, phase_statistics, wrap
from closedloop.signal.reference_phase import ReferencePhase, reference_phase
from closedloop.sources.recording import Recording

Number = TypeVar("Number", np.float64, np.complex128)
BLOCK_S = 10.0
"""Errors within so many seconds are drawn together by the bootstrap: attention waxes and wanes."""


@dataclass(frozen=True)
class Phases:
    """Reference phases and targets of a list of chances; all arrays are of shape (n,).

    Attributes
    ----------
    condition
        Place of each chance's condition in the pipeline's list.
    target, reference
        Wanted phase, and the phase by the evaluation family, in rad; NaN where it is unknown.
    members
        The phase by each member of the family, in rad.
    block
        Labels of the bootstrap's blocks.
    """

    condition: NDArray[np.int64]
    target: NDArray[np.float64]
    reference: NDArray[np.float64]
    members: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    block: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def error(self) -> NDArray[np.float64]:
        """Reference minus target in rad; positive is late."""
        return wrap(self.reference - self.target)

    def of(self, condition: int) -> "Phases":
        """Return the chances of one condition."""
        return self._kept(self.condition == condition)

    def _kept(self, kept: NDArray[np.bool_]) -> "Phases":
        members = {name: phase[kept] for name, phase in self.members.items()}
        return Phases(self.condition[kept], self.target[kept], self.reference[kept], members, self.block[kept])

    def statistics(self) -> PhaseStatistics:
        """Describe the errors."""
        return phase_statistics(self.error, self.block)


def target_reference(calibration: Calibration, recording: Recording) -> ReferencePhase:
    """Compute the reference of the target signal over a whole recording, before any conditioning."""
    design = calibration.design
    return reference_phase(on_grid(recording, design), recording.sfreq, design.fit.peak_hz)


def on_grid(recording: Recording, design: Design) -> NDArray[np.float64]:
    """Return the target signal, of shape (n_samples,) in µV, evenly sampled: NaN where samples are missing."""
    row = design.montage.weights[design.signal_names.index(design.target)]
    return spread(recording, recording.samples[:, design.montage.places] @ row)


def spread(recording: Recording, values: NDArray[Number]) -> NDArray[Number]:
    """Return one value per sample, of shape (n_samples,), evenly sampled: NaN where samples are missing."""
    place = np.rint((recording.times_s - recording.times_s[0]) * recording.sfreq).astype(int)
    regular = np.full(int(place[-1]) + 1, np.nan, values.dtype)
    regular[place] = values
    return regular


def phases_at(events: NDArray[np.void], reference: ReferencePhase, *, kind: EventKind, start_s: float) -> Phases:
    """Look up the reference phase at each single pulse, or first pulse of a train.

    Parameters
    ----------
    events
        Records of type ``EVENT``.
    reference
        Of the undisturbed recording.
    kind
        Which chances: delivered or withheld.
    start_s
        Time of the recording's first sample on the clock of the events, in s.
    """
    used = events[(events["kind"] == kind) & (events["pulse"] == 0)]
    # Where it was decided to fall: the gate may look a little late.
    times_s = used["due_s"] + (used["now_s"] - used["trigger_s"]) - start_s
    return Phases(
        condition=used["condition"].copy(),
        target=used["target"].copy(),
        reference=reference.at(times_s),
        members={name: reference.member_at(name, times_s) for name in reference.members},
        block=(times_s // BLOCK_S).astype(np.int64),
    )


def joined(parts: Sequence[Phases]) -> Phases:
    """Put the chances of several runs over one recording together: what fell into one block stays there."""
    if not parts:
        empty = np.zeros(0)
        return Phases(np.zeros(0, np.int64), empty, empty)
    return Phases(
        condition=np.concatenate([part.condition for part in parts]),
        target=np.concatenate([part.target for part in parts]),
        reference=np.concatenate([part.reference for part in parts]),
        members={name: np.concatenate([part.members[name] for part in parts]) for name in parts[0].members},
        block=np.concatenate([part.block for part in parts]),
    )


def pooled(parts: Sequence[Phases]) -> Phases:
    """Put the chances of runs over different recordings together; each run is one block of the bootstrap."""
    block = np.repeat(np.arange(len(parts)), [part.target.size for part in parts])
    return replace(joined(parts), block=block)


def as_json(statistics: PhaseStatistics) -> dict[str, Any]:
    """Return statistics for a JSON file, intervals as lists and absent values as null."""

    def plain(value: object) -> object:
        if isinstance(value, tuple):
            return [plain(part) for part in value]
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        return value

    return {name: plain(value) for name, value in vars(statistics).items()}
