"""What a session has come to so far."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedloop.calibration.calibrate import Calibration
from closedloop.config.device import Stimulator
from closedloop.config.pipeline import Pipeline
from closedloop.core.records import EventKind
from closedloop.files import INTERRUPTED
from closedloop.session.evaluation import Phases, phases_at, target_reference
from closedloop.session.source import OpenedSource
from closedloop.signal.reference_phase import ReferencePhase


@dataclass
class Outcome:
    """What a session has come to; an interrupted one lacks its later parts.

    Attributes
    ----------
    pipeline, device
        What was done, and with what.
    status
        ``complete``, ``stopped`` or ``interrupted``, which it is until all of it is done.
    stopped
        Whether somebody has ended a live session by hand, after it could be armed.
    source, calibration
        What was played, and what its beginning gave.
    events
        The loop's decisions, records of type ``EVENT``; None where it never began.
    played_s, elapsed_s
        Length of what the loop was given, and how long it took, in s.
    surrogates
        The same run without a rhythm, several times.
    disturbed
        Pulses that show in a live session's EEG, whose own phase therefore nobody knows.
    confirmed
        How many of a live session's pulses were really given: yes, no, and unknown.
    latency
        Distributions of a live session's latencies, in ms.
    messages
        What a live session's operator was told, and how long after the rest's end, in s.
    trouble
        What ended the loop before its time, in one line.
    """

    pipeline: Pipeline
    device: Stimulator
    status: str = INTERRUPTED
    stopped: bool = False
    source: OpenedSource | None = None
    calibration: Calibration | None = None
    events: NDArray[np.void] | None = None
    played_s: float = 0.0
    elapsed_s: float = 0.0
    surrogates: list[Phases] = field(default_factory=list)
    disturbed: int = 0
    confirmed: dict[str, int] | None = None
    latency: dict[str, Any] | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)
    trouble: str | None = None

    def phases(self, kind: EventKind) -> Phases:
        """Return reference phases and targets of the chances of one kind; the loop must have run."""
        assert self.source is not None
        assert self.events is not None
        start_s = float(self.source.recording.times_s[0])
        return phases_at(self.events, self._reference, kind=kind, start_s=start_s)

    @cached_property
    def _reference(self) -> ReferencePhase:
        """Return the reference of what was played, which takes seconds; all of it must have been played."""
        assert self.source is not None
        assert self.calibration is not None
        return target_reference(self.calibration, self.source.recording)
