"""What a session plays: a recording from the library, or synthetic EEG whose true phase is known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closedloop.config.pipeline import Pipeline
from closedloop.config.source import Playback, Synthetic
from closedloop.errors import CalibrationError, ConfigError
from closedloop.sources.library import open_recording
from closedloop.sources.recording import Recording
from closedloop.sources.synthetic import Simulated, simulate

SHORTEST_RUN_S = 5.0
"""What must remain after calibration: estimator and rhythm gate warm up within this."""


@dataclass(frozen=True)
class OpenedSource:
    """A recording, cut in two: calibration, and what the loop runs over.

    Attributes
    ----------
    recording
        All of it; times count from its first sample.
    rest, run
        The calibration's stretch, and the rest of it.
    simulated
        The simulation that it comes from, with the true phase; None for a real recording.
    """

    recording: Recording
    rest: Recording
    run: Recording
    simulated: Simulated | None = None

    def true_component(self, weights: NDArray[np.float64]) -> NDArray[np.complex128] | None:
        """Return the simulated rhythm, analytic, as a spatial filter over all channels shows it."""
        if self.simulated is None:
            return None
        return self.simulated.alpha * float(weights @ self.simulated.weights)


def open_source(pipeline: Pipeline, *, duration_s: float | None = None) -> OpenedSource:
    """Open a pipeline's source and cut it at the end of calibration.

    Parameters
    ----------
    pipeline
        Of a recording or a simulation.
    duration_s
        Length of the run in s; None, or more than there is: all that follows calibration.

    Raises
    ------
    RecordingError
        Where the recording cannot be read.
    CalibrationError
        Where it is too short.
    """
    source = pipeline.source
    simulated = None
    match source:
        case Playback():
            recording = open_recording(source.recording)
            if source.start_s is not None or source.stop_s is not None:
                start_s = 0.0 if source.start_s is None else source.start_s
                stop_s = recording.duration_s if source.stop_s is None else source.stop_s
                recording = recording.between(start_s, stop_s)
        case Synthetic():
            simulated = simulate(**source.model_dump(exclude={"type", "delay_s", "artifacts"}))
            recording = simulated.recording
        case other:
            raise ConfigError(f"source.type = {other.type}: only a recording or a simulation can be run here")
    rest_s = pipeline.calibration.duration_s
    if not recording.duration_s >= rest_s + SHORTEST_RUN_S:
        raise CalibrationError(
            f"{recording.name}: {recording.duration_s:.1f} s are too short: calibration takes "
            f"{rest_s:g} s (calibration.duration_s) and the run at least {SHORTEST_RUN_S:g} s"
        )
    if duration_s is not None and rest_s + duration_s < recording.duration_s:
        recording = recording.between(0.0, rest_s + duration_s)
    rest = recording.between(0.0, rest_s)
    if rest_s - rest.duration_s > 1.0 / recording.sfreq:
        raise CalibrationError(
            f"{recording.name}: calibration, first {rest_s:g} s: samples are missing from {rest.duration_s:.3f} s on "
            "(limit: none); choose source.start_s after it"
        )
    return OpenedSource(
        recording=recording,
        rest=rest,
        run=recording.between(rest_s, recording.duration_s),
        simulated=simulated,
    )
