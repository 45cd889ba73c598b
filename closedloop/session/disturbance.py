"""Pulses that show in the EEG that was recorded with them: what follows one says nothing of the brain's rhythm."""

import numpy as np
from numpy.typing import NDArray

from closedloop.core.records import EventKind
from closedloop.sources.recording import Recording

LOOK_S = 0.05
"""A pulse that disturbs shows within so long."""


def blank_disturbed(
    recording: Recording,
    events: NDArray[np.void],
    channels: NDArray[np.int64],
    *,
    hold_s: float,
    limit_uv: float,
    always: bool,
) -> NDArray[np.bool_]:
    """Turn what pulses have disturbed into NaN, in place, so that no reference is computed from it.

    Parameters
    ----------
    recording
        Of the session, with its pulses in it.
    events
        Records of type ``EVENT``.
    channels
        Array of shape (n_used,): the channels that are looked at.
    hold_s
        For how long after a pulse the EEG is not used, in s.
    limit_uv
        A pulse disturbs where a channel's peak-to-peak value right after it is above this, in µV.
    always
        Whether every pulse disturbs: a real stimulator's does, however quiet it looks.

    Returns
    -------
        Array of shape (n_delivered,): whether the EEG shows a pulse's artifact.
    """
    pulses_s = events["due_s"][events["kind"] == EventKind.DELIVERED]
    early_s = 0.5 / recording.sfreq
    begins = np.searchsorted(recording.times_s, pulses_s - early_s)
    looks = np.searchsorted(recording.times_s, pulses_s + LOOK_S)
    ends = np.searchsorted(recording.times_s, pulses_s + hold_s)
    shows = np.zeros(pulses_s.size, bool)
    for place, (begin, look) in enumerate(zip(begins, looks, strict=True)):
        after = recording.samples[begin:look][:, channels]
        shows[place] = after.size > 0 and np.ptp(after, axis=0).max() > limit_uv
    for begin, end, shown in zip(begins, ends, shows, strict=True):
        if always or shown:
            recording.samples[begin:end] = np.nan
    return shows
