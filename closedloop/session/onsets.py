"""Where test triggers are found again: in a trigger channel, in a marker stream, at an electrode input."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

EARLIEST_S = -0.005
LATEST_S = 0.2
"""A trigger is looked for so long from its writing on; a little before, for clocks that are not quite one."""
BASELINE_S = 0.02
STEP_FACTOR = 5.0
"""A step at an electrode is so many times what the channel does by itself: nine tenths of what it did before."""


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
    parts = [_around(trigger_s, times_s, values) for trigger_s in written_s]
    known = [(after, quiet_uv) for _, after, quiet_uv in parts if after.size]
    if not known:
        return onsets
    height = float(np.median([after[np.argmax(np.abs(after))] for after, _ in known]))
    if not abs(height) > STEP_FACTOR * float(np.median([quiet_uv for _, quiet_uv in known])):
        return onsets
    for place, (begin, after, _) in enumerate(parts):
        beyond = np.flatnonzero(after * np.sign(height) >= 0.5 * abs(height))
        if beyond.size:
            onsets[place] = times_s[begin + beyond[0]]
    return onsets


def _around(
    trigger_s: float, times_s: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[int, NDArray[np.float64], float]:
    """Return where a trigger's window begins, the channel in it, and how far the channel goes without a trigger.

    Both are from where the channel was just before; the window is empty where the samples do not reach.
    """
    before, first, begin, end = np.searchsorted(
        times_s, trigger_s + np.array([EARLIEST_S - LATEST_S, -BASELINE_S, EARLIEST_S, LATEST_S])
    )
    if begin - first < 2 or end <= begin:
        return int(begin), np.zeros(0), 0.0
    level = np.median(values[first:begin])
    quiet_uv = float(np.percentile(np.abs(values[before:begin] - level), 90.0))
    return int(begin), values[begin:end] - level, quiet_uv


def next_after(written_s: NDArray[np.float64], seen_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each trigger the first sight of it, NaN where there is none in time."""
    if not seen_s.size:
        return np.full(written_s.size, np.nan)
    place = np.searchsorted(seen_s, written_s + EARLIEST_S)
    found = seen_s[np.minimum(place, seen_s.size - 1)]
    lag_s = found - written_s
    return np.where((place < seen_s.size) & (EARLIEST_S <= lag_s) & (lag_s <= LATEST_S), found, np.nan)
