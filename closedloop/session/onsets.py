"""Where test triggers are found again: in a trigger channel, in a marker stream, at an electrode input."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

EARLIEST_S = -0.005
LATEST_S = 0.2
"""A trigger is looked for so long from its writing on; a little before, for clocks that are not quite one."""
BASELINE_S = 0.02
STEP_FACTOR = 6.0
"""A step at an electrode stands out from so many times the noise before it."""


class Where(StrEnum):
    """Where triggers are looked for."""

    CHANNEL = "trigger channel"
    ELECTRODE = "electrode input"
    MARKERS = "marker stream"


@dataclass(frozen=True)
class Sight:
    """Where triggers are looked for.

    Attributes
    ----------
    where
        In what.
    name
        Of the channel, or of the marker stream.
    threshold
        A trigger channel's value above it is high.
    """

    where: Where
    name: str
    threshold: float = 0.5


def channel_onsets(
    written_s: NDArray[np.float64],
    times_s: NDArray[np.float64],
    values: NDArray[np.float64],
    *,
    threshold: float,
) -> NDArray[np.float64]:
    """Return when a trigger channel first showed each trigger.

    Parameters
    ----------
    written_s
        Array of shape (n_triggers,): when each was written, in s.
    times_s, values
        Arrays of shape (n_samples,): the channel's samples, and their time stamps in s on the same clock.
    threshold
        A value above it is high.

    Returns
    -------
        Array of shape (n_triggers,) in s, NaN where one was not seen.
    """
    high = values > threshold
    rises = times_s[1:][high[1:] & ~high[:-1]]
    return next_after(written_s, rises)


def electrode_onsets(
    written_s: NDArray[np.float64], times_s: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return when an electrode input first showed the step that each trigger makes there.

    The step's height is the median over all triggers of the farthest that the channel went from where it had been
    before the trigger; a trigger has come where half of that is passed.

    Parameters
    ----------
    written_s
        Array of shape (n_triggers,): when each was written, in s.
    times_s, values
        Arrays of shape (n_samples,): the channel's samples in µV, and their time stamps in s on the same clock.

    Returns
    -------
        Array of shape (n_triggers,) in s, NaN where none stands out from the noise.
    """
    onsets = np.full(written_s.size, np.nan)
    parts = []
    for trigger_s in written_s:
        first, begin, end = np.searchsorted(times_s, trigger_s + np.array([-BASELINE_S, EARLIEST_S, LATEST_S]))
        before = values[first:begin]
        if before.size < 2 or end <= begin:
            parts.append((begin, np.zeros(0), 0.0))
            continue
        parts.append((begin, values[begin:end] - np.median(before), float(np.std(before))))
    heights = [part[np.argmax(np.abs(part))] for _, part, _ in parts if part.size]
    if not heights:
        return onsets
    height = float(np.median(heights))
    for place, (begin, part, noise) in enumerate(parts):
        beyond = np.flatnonzero(part * np.sign(height) >= 0.5 * abs(height))
        if beyond.size and abs(height) > STEP_FACTOR * noise:
            onsets[place] = times_s[begin + beyond[0]]
    return onsets


def next_after(written_s: NDArray[np.float64], seen_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each trigger the first sight of it, NaN where there is none in time."""
    if not seen_s.size:
        return np.full(written_s.size, np.nan)
    place = np.searchsorted(seen_s, written_s + EARLIEST_S)
    found = seen_s[np.minimum(place, seen_s.size - 1)]
    lag_s = found - written_s
    return np.where((place < seen_s.size) & (EARLIEST_S <= lag_s) & (lag_s <= LATEST_S), found, np.nan)
