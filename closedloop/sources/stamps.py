"""How a live stream's time stamps lie: its rate, the jitter of single stamps, and each sample's time.

Stamps that a driver makes when data arrive scatter by milliseconds around regular samples. What the
jitter is has to be known before a gap can be told from it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

WINDOW_S = 0.5
"""The median of so many stamps follows a gap at once, and the jitter of single ones or of whole chunks hardly."""
JITTER_FACTOR = 2.0
"""A stamp counts as a gap's from so many times the largest jitter that rest has shown."""
LARGEST_JITTER_S = 0.05


@dataclass(frozen=True)
class Clock:
    """What the stamps of a stretch say.

    Attributes
    ----------
    rate_hz
        Samples a second.
    jitter_s
        How far a stamp may lie from its sample's time before it means a gap, in s; at least half a period.
    times_s
        Array of shape (n_samples,): the samples' times in s, on the stamps' clock, jitter smoothed out.
    """

    rate_hz: float
    jitter_s: float
    times_s: NDArray[np.float64]


def fit_stamps(stamps: NDArray[np.float64], sfreq: float) -> Clock:
    """Fit a clock to the time stamps of samples in their order.

    Parameters
    ----------
    stamps
        Array of shape (n_samples,) in s; of fewer than two the rate is taken as the nominal one.
    sfreq
        Nominal sampling rate in Hz.
    """
    if stamps.size < 2:
        return Clock(rate_hz=sfreq, jitter_s=0.5 / sfreq, times_s=stamps.copy())
    index = np.arange(stamps.size)
    # Lateness counts from the rate at which they came: at quite another one every single step would look like a gap.
    lag = min(stamps.size - 1, max(1, round(WINDOW_S * sfreq)))
    period_s = float(np.median(stamps[lag:] - stamps[:-lag])) / lag
    late_s = stamps - stamps[0] - index * period_s
    middle = median_filter(late_s, size=2 * round(0.5 * WINDOW_S * sfreq) + 1, mode="nearest")
    jitter_s = JITTER_FACTOR * float(np.abs(late_s - middle).max())
    jitter_s = min(LARGEST_JITTER_S, max(0.5 / sfreq, jitter_s))
    steps = np.abs(np.diff(middle)) > jitter_s
    parts = np.split(index, np.flatnonzero(steps) + 1)
    longest = max(parts, key=len)
    drift = _line(longest, middle)[0]
    smooth = np.concatenate([np.polyval(_line(part, middle), part) for part in parts])
    return Clock(
        rate_hz=1.0 / (period_s + drift),
        jitter_s=jitter_s,
        times_s=stamps[0] + index * period_s + smooth,
    )


def _line(part: NDArray[np.int64], late_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return slope and height of the line through one stretch."""
    if part.size < 2:
        return np.array([0.0, float(late_s[part].mean())])
    line: NDArray[np.float64] = np.polyfit(part, late_s[part], 1)
    return line
