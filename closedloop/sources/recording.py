"""A recording in memory: named channels of samples, and when each sample was taken."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from closedloop.errors import RecordingError

Role = Literal["eeg", "emg", "trigger", "misc"]


@dataclass(frozen=True)
class Recording:
    """Samples of named channels.

    Attributes
    ----------
    names, roles
        Of the channels; a role is eeg, emg, trigger or misc.
    sfreq
        Nominal sampling rate in Hz.
    samples
        Array of shape (n_samples, n_channels) in µV; what is no potential, such as a trigger, in its own unit.
    times_s
        Array of shape (n_samples,): when each sample was at the electrodes, in s from the first.
    name
        What people call it.
    sha256
        Of the file that it was read from, or None.
    notes
        What is worth knowing about how it was read.
    jitter_s
        How far a live stream's own stamps lay from the times, at most, in s; 0 where the times are a clock's.

    Raises
    ------
    RecordingError
        Where two channels have one name.
    """

    names: tuple[str, ...]
    roles: tuple[Role, ...]
    sfreq: float
    samples: NDArray[np.float64]
    times_s: NDArray[np.float64]
    name: str
    sha256: str | None = None
    notes: tuple[str, ...] = ()
    jitter_s: float = 0.0

    def __post_init__(self) -> None:
        for name in self.names:
            if self.names.count(name) > 1:
                raise RecordingError(f"{self.name}: {self.names.count(name)} channels are named {name} (limit: 1)")

    @property
    def duration_s(self) -> float:
        """Length in s: from the first sample to one period after the last."""
        return float(self.times_s[-1] - self.times_s[0]) + 1.0 / self.sfreq if self.times_s.size else 0.0

    def pick(self, names: Sequence[str]) -> "Recording":
        """Return some of the channels, in the order asked for.

        Raises
        ------
        RecordingError
            Where one does not exist, or is asked for twice.
        """
        for name in names:
            if name not in self.names:
                near = difflib.get_close_matches(name, self.names, 1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise RecordingError(f"{self.name}: there is no channel {name} ({hint}there: {', '.join(self.names)})")
        places = [self.names.index(name) for name in names]
        return replace(
            self,
            names=tuple(names),
            roles=tuple(self.roles[place] for place in places),
            samples=np.ascontiguousarray(self.samples[:, places]),
        )

    def between(self, start_s: float, stop_s: float) -> "Recording":
        """Return a time range, from ``start_s`` up to but not at ``stop_s``, in s from the first sample.

        Its times still count from the first sample of the whole.

        Raises
        ------
        RecordingError
            Where the range does not lie within the recording.
        """
        if not 0.0 <= start_s < stop_s <= self.duration_s + 0.5 / self.sfreq:
            raise RecordingError(
                f"{self.name}: the range from {start_s:g} to {stop_s:g} s does not lie within its {self.duration_s:g} s"
            )
        elapsed = self.times_s - self.times_s[0] + 0.5 / self.sfreq
        first, end = np.searchsorted(elapsed, [start_s, stop_s])
        return replace(self, samples=self.samples[first:end], times_s=self.times_s[first:end])
