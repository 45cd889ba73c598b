"""``etp``: educated temporal prediction, the last peak plus the person's own period.

Shirinpour, Alekseichuk, Mantell & Opitz 2020, Journal of Neural Engineering, doi 10.1088/1741-2552/ab9dba. On
rest the typical length of a cycle is learnt, and corrected in steps of 1 ms until the peaks that it predicts come
neither early nor late. In real time the newest window is band-passed by leaving out all bins of its Fourier
transform but those of the band, an edge at its end is dropped, and the last peak is found; the next follows one
period later.

What is left of the window's spectrum is a few bins, so that the filtered window is never computed as a whole:
the step projects the window on the bins' sines and cosines, and builds filtered values from the newest end
backwards until the last peak is certain.

Departures from the paper and from its published code:

- It predicts phases, not peaks: the phase is 2 pi (t - t_peak) / T with the corrected period T. The amplitude, by
  which a gate may choose, is the filtered value at the last peak.
- Period and correction are learnt on all of rest, not on one half each, with the edge that is used in real time
  (the code trains with a longer one), and by the circular mean of the phase (the code takes the linear one). The
  windows end 50 ms apart instead of 350.
- Training's peaks and phases are those of the rest's target (zero phase, raised-cosine flanks) instead of a
  windowed FIR filter's.
- Of peaks closer than 1 / (upper edge + 1 Hz) the lower is dropped from the newest end backwards: a peak is the
  last where none within that distance before it is higher. The code drops all lower neighbours at once and
  repeats, which can keep another peak only where three lie within twice that distance.
- A parabola through three values places the last peak between values, and T is counted in ms at any rate: the
  paper's samples are 1 ms. Above 1000 Hz a value is the mean of several samples, whose age is made up for.
- Intervals longer than 1.19 periods of the lower edge are left out of the mean: 149 ms at 8 Hz, as published.
- The bins kept are those nearest to the band's edges and all between, which is how the code's filter is recalled.
- The error's model is fitted to its own predictions on rest.

Slots of the state array::

    0 values N   1 bins B   2 index of the newest value outside the edge   3 least distance of peaks
    4 period T   5 values per step of leads   6 age of the newest value   (2 to 6 in values)
    then the output (see `output`), the projections on cosine and sine (B and B), the cosines
    and sines (2 B rows of N), the window.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from closedloop.config.estimators import Etp
from closedloop.errors import CalibrationError
from closedloop.estimators.interface import LEAD_STEP_S, STEP, Designed, Rest, run
from closedloop.estimators.output import N_SLOTS, UNKNOWN, give, learn_output, output_slots
from closedloop.estimators.window import remember, stride_to, window_slots
from closedloop.jit import compiled, inner

INNER_RATE_HZ = 1000.0
TICK_S = 0.001
"""The period is counted in these: a sample of the paper."""
TRAINED_EVERY_S = 0.05
MIN_WINDOWS = 20
"""Fewer predictions on rest do not tell whether they come early or late."""

_VALUES, _BINS, _NEWEST, _DISTANCE, _PERIOD, _LEAD_STEP, _AGE = range(7)
_OUTPUT = 7
_PROJECTIONS = _OUTPUT + N_SLOTS


@inner
def _project(state: NDArray[np.float64], window: NDArray[np.float64]) -> None:
    """Project the window on the cosines and sines of the band."""
    n_rows = 2 * int(state[_BINS])
    row = _PROJECTIONS + n_rows
    for j in range(n_rows):
        even = odd = 0.0
        for k in range(0, window.size - 1, 2):
            even += state[row + k] * window[k]
            odd += state[row + k + 1] * window[k + 1]
        if window.size % 2 == 1:
            even += state[row + window.size - 1] * window[window.size - 1]
        state[_PROJECTIONS + j] = even + odd
        row += window.size


@inner
def _filtered(state: NDArray[np.float64], k: int) -> float:
    """Return value ``k`` of the band-passed window."""
    n_rows = 2 * int(state[_BINS])
    at = _PROJECTIONS + n_rows + k
    value = 0.0
    for j in range(n_rows):
        value += state[_PROJECTIONS + j] * state[at]
        at += int(state[_VALUES])
    return value


@inner
def _last_peak(state: NDArray[np.float64]) -> int:
    """Return the index of the last peak of the band-passed window outside its edge, -1 if there is none."""
    newest = int(state[_NEWEST])
    after, here = _filtered(state, newest), _filtered(state, newest - 1)
    peak, height = -1, 0.0
    for k in range(newest - 1, 0, -1):
        if peak >= 0 and peak - k >= state[_DISTANCE]:
            break
        before = _filtered(state, k - 1)
        if here >= before and here >= after and (peak < 0 or here > height):
            peak, height = k, here
        after, here = here, before
    return peak


@compiled(STEP)
def etp(
    state: NDArray[np.float64],
    x: NDArray[np.float64],
    first: int,
    stop: int,
    z: NDArray[np.complex128],
    sd: NDArray[np.float64],
) -> None:
    """Take one sample in µV; write prediction and SD for the leads ``first`` to ``stop - 1``."""
    n_values = int(state[_VALUES])
    memory = state[_PROJECTIONS + 2 * int(state[_BINS]) * (n_values + 1) :]
    begin = remember(memory, x[0])
    if first >= stop:
        return
    peak = -1
    if begin >= 0:
        _project(state, memory[begin : begin + n_values])
        peak = _last_peak(state)
    age = height = np.nan
    if peak >= 0:
        before, height, after = _filtered(state, peak - 1), _filtered(state, peak), _filtered(state, peak + 1)
        bend = before - 2.0 * height + after
        aside = 0.5 * (before - after) / bend if bend < 0.0 else 0.0
        age = n_values - 1 - peak - aside + state[_AGE]
    for lead in range(first, stop):
        phase = 2.0 * math.pi * (age + lead * state[_LEAD_STEP]) / state[_PERIOD]
        value = complex(abs(height) * math.cos(phase), abs(height) * math.sin(phase))
        give(state[_OUTPUT : _OUTPUT + N_SLOTS], lead, value, z, sd)


def band_bins(n_values: int, rate_hz: float, band_hz: tuple[float, float]) -> NDArray[np.int64]:
    """Return the bins of a transform of ``n_values`` from the nearest to the lower edge to that of the upper."""
    low, high = (math.ceil(edge * n_values / rate_hz - 0.5) for edge in band_hz)
    return np.arange(low, high + 1)


@dataclass(frozen=True)
class _Layout:
    """What the window and band decide, all but the period in values."""

    n_values: int
    stride: int
    rate_hz: float
    bins: NDArray[np.int64]
    edge: int
    distance: float

    def state(self, period: float) -> NDArray[np.float64]:
        """Lay the state out for a period in values, without a model of the error."""
        turns = 2 * np.pi * np.outer(self.bins, np.arange(self.n_values)) / self.n_values
        rows = np.sqrt(2.0 / self.n_values) * np.concatenate([np.cos(turns), np.sin(turns)])
        newest = self.n_values - self.edge - 1
        age = (self.stride - 1) / 2 / self.stride
        header = [self.n_values, self.bins.size, newest, self.distance, period, LEAD_STEP_S * self.rate_hz, age]
        window = window_slots(self.n_values, self.stride)
        return np.concatenate([header, output_slots(UNKNOWN), np.zeros(2 * self.bins.size), rows.ravel(), window])


def _lay_out(rest: Rest, settings: Etp) -> _Layout:
    low, high = rest.band_hz
    if not 0.0 < low < high:
        raise CalibrationError(f"band = {low:g} to {high:g} Hz does not rise from above 0 Hz")
    if settings.window_s * low < 2.0:
        raise CalibrationError(f"window_s = {settings.window_s:g} is below {2.0 / low:.3g}, two periods of {low:g} Hz")
    stride = stride_to(INNER_RATE_HZ, rest.sfreq)
    rate_hz = rest.sfreq / stride
    if high + 1.0 >= rate_hz / 2:
        raise CalibrationError(f"band up to {high:g} Hz is too near to {rate_hz / 2:g} Hz, half the sampling rate")
    n_values = round(settings.window_s * rate_hz)
    if len(rest.inputs) < 4 * n_values * stride:
        raise CalibrationError(
            f"calibration of {len(rest.inputs) / rest.sfreq:.1f} s is too short for a window of "
            f"{settings.window_s:g} s: at least {4 * settings.window_s:g} s are needed"
        )
    return _Layout(
        n_values=n_values,
        stride=stride,
        rate_hz=rate_hz,
        bins=band_bins(n_values, rate_hz, rest.band_hz),
        edge=round(rate_hz / (3 * (low + high) / 2)),
        distance=rate_hz / (high + 1.0),
    )


def typical_period_s(rest: Rest) -> float:
    """Return the geometric mean, in whole ticks, of the intervals between peaks of the rest's target, in s.

    Raises
    ------
    CalibrationError
        Where there is no such interval.
    """
    low, high = rest.band_hz
    peaks, _ = signal.find_peaks(rest.target.real, distance=max(1.0, rest.sfreq / (high + 3.0)))
    intervals_s = np.diff(peaks) / rest.sfreq
    intervals_s = intervals_s[intervals_s <= 8.0 / 6.7 / low]
    if intervals_s.size == 0:
        raise CalibrationError(f"calibration holds no two peaks in a row of a rhythm of {low:g} to {high:g} Hz")
    return TICK_S * round(float(np.exp(np.mean(np.log(intervals_s)))) / TICK_S)


def _late(rest: Rest, peaks_s: NDArray[np.float64], period_s: float) -> float:
    """Return the circular mean of the target's phase, in rad, one period after each peak."""
    place = (peaks_s + period_s) * rest.sfreq
    nearest = np.round(place).astype(int)
    kept = nearest < rest.target.size
    turned = rest.target[nearest[kept]] * np.exp(2j * np.pi * rest.peak_hz * (place - nearest)[kept] / rest.sfreq)
    turned = turned[np.isfinite(turned) & (turned != 0.0)]
    if turned.size < MIN_WINDOWS:
        raise CalibrationError(
            f"calibration of {len(rest.inputs) / rest.sfreq:.1f} s holds {turned.size} windows beside a known phase; "
            f"at least {MIN_WINDOWS} are needed"
        )
    return float(np.angle(np.mean(turned / np.abs(turned))))


def _train(rest: Rest, layout: _Layout) -> tuple[float, float]:
    """Return the corrected period and the correction in it, in s."""
    # Where the period is four windows, the phase never wraps and tells the peak's age.
    long_period = 4.0 * layout.n_values
    every = max(1, round(TRAINED_EVERY_S * rest.sfreq))
    z, _ = run(etp, layout.state(long_period), rest.inputs, stop=1, every=every)
    rows = np.flatnonzero(np.isfinite(z[:, 0]))
    peaks_s = rows / rest.sfreq - np.angle(z[rows, 0]) / (2 * np.pi) * long_period / layout.rate_hz
    typical_s = best_s = period_s = typical_period_s(rest)
    least = np.inf
    while abs(mean := _late(rest, peaks_s, period_s)) < least:
        least, best_s = abs(mean), period_s
        period_s -= math.copysign(TICK_S, mean)
    return best_s, best_s - typical_s


def design_etp(rest: Rest, settings: Etp) -> Designed:
    """Learn the period on rest.

    Raises
    ------
    CalibrationError
        Where rest is too short or without a rhythm, the window holds less than two periods of the band's lower
        edge, or the band does not lie between 0 Hz and half the sampling rate.
    """
    layout = _lay_out(rest, settings)
    period_s, correction_s = _train(rest, layout)
    state = layout.state(period_s * layout.rate_hz)
    learn_output(etp, state, _OUTPUT, rest)
    return Designed(
        step=etp,
        state=state,
        window_s=layout.n_values * layout.stride / rest.sfreq,
        facts={
            "period_ms": round(1000.0 * period_s),
            "correction_ms": round(1000.0 * correction_s),
            "bins": layout.bins.size,
            "edge": layout.edge,
        },
        output_at=_OUTPUT,
    )
