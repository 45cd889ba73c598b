"""A recording through the core: chunks with time stamps, and the dry run of a whole recording."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from closedloop.core.command import MAX_LEASED
from closedloop.core.pulse_artifact import make_artifact
from closedloop.core.records import Command
from closedloop.core.replay import play, post_command, post_device
from closedloop.core.state import OPEN_LIMITS, Core, Steps
from closedloop.sources.recording import Recording
from closedloop.stimulators.simulated import ROOM_C

CHUNK_S = 10.0
"""To hand a chunk over takes numba some ms to recognise its arguments."""
Chunk = tuple[NDArray[np.float64], NDArray[np.float64]]


def chunks(recording: Recording, *, delay_s: float) -> Iterator[Chunk]:
    """Cut a recording into chunks of samples and time stamps.

    Parameters
    ----------
    recording
        What is played. Its own times are when a sample was at the electrode.
    delay_s
        Electrode to time stamp, in s.
    """
    length = max(1, round(CHUNK_S * recording.sfreq))
    for start in range(0, len(recording.samples), length):
        cut = slice(start, start + length)
        yield recording.samples[cut], recording.times_s[cut] + delay_s


def dry_run(core: Core, steps: Steps, recording: Recording, *, delay_s: float) -> NDArray[np.void]:
    """Run an armed core over a recording with no device and no artifact, and return its decisions.

    Returns
    -------
        Records of type ``EVENT``.
    """
    core.witness["channel"] = -1  # no trigger leaves, so none can be seen
    core.limits["max_status_age_s"] = OPEN_LIMITS["max_status_age_s"]  # no device is asked
    core.gate["leased"] = MAX_LEASED  # and nobody is stimulated
    post_device(core, ready=True, coil_c=ROOM_C)
    post_command(core, Command.ARM)
    none = make_artifact(np.zeros((0, len(recording.names))))
    whole = [(recording.samples, recording.times_s + delay_s)]
    events = [drained.events for drained in play(core, steps, whole, none)]
    return np.concatenate([*events, core.events.records[:0]])
