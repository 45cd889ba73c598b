"""What a pulse does to the EEG that is played back after it."""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from closedloop.core.state import Core
from closedloop.jit import inner

N_RUNNING = 64
"""Pulses whose artifacts may overlap; of more, the oldest has faded."""


class PulseArtifact(NamedTuple):
    """An artifact's course, and the pulses that it still follows.

    Attributes
    ----------
    waveform
        Array of shape (n_samples, n_channels) in µV: what is added to the samples from a pulse on;
        no samples: no artifact.
    pulses_s
        Array of shape (N_RUNNING,): when the last pulses reached the tissue.
    started
        Array of shape (1,): pulses so far.
    """

    waveform: NDArray[np.float64]
    pulses_s: NDArray[np.float64]
    started: NDArray[np.int64]


def make_artifact(waveform: NDArray[np.float64]) -> PulseArtifact:
    """Return an artifact with a waveform of shape (n_samples, n_channels) that no pulse has started yet."""
    return PulseArtifact(np.ascontiguousarray(waveform), np.full(N_RUNNING, -np.inf), np.zeros(1, np.int64))


ARTIFACT = numba.typeof(make_artifact(np.zeros((0, 1))))


@inner
def start_artifact(artifact: PulseArtifact, pulse_s: float) -> None:
    """Let a pulse that reaches the tissue at ``pulse_s`` show in the samples from there on."""
    artifact.pulses_s[artifact.started[0] % artifact.pulses_s.size] = pulse_s
    artifact.started[0] += 1


@inner
def add_artifact(artifact: PulseArtifact, core: Core, timestamp: float, values: NDArray[np.float64]) -> None:
    """Add what the last pulses left to one sample, in place."""
    if artifact.waveform.shape[0] == 0:
        return
    at_electrode = timestamp - core.timing[0]["delay_s"]
    for pulse in range(artifact.pulses_s.size):
        # A millionth of a sample, so that a pulse exactly at a sample does not lose it to rounding.
        age = (at_electrode - artifact.pulses_s[pulse]) / core.timing[0]["period_s"] + 1e-6
        if 0.0 <= age and age < artifact.waveform.shape[0]:
            for channel in range(values.size):
                values[channel] += artifact.waveform[int(age), channel]
