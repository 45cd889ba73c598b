"""``phastimate``: band-pass without phase, autoregressive prediction past the edge, Hilbert transform.

Zrenner et al. 2020, NeuroImage 214:116761, doi 10.1016/j.neuroimage.2020.116761. The window, less its
mean, is filtered forwards and backwards by an FIR band-pass; its ends, where the filter saw a reflected
signal, are dropped; an autoregressive model of what is left (Yule-Walker) predicts over the dropped end
and as far beyond it as makes the window's last sample the middle of a Hilbert transform. The phase is
that of its value there, the amplitude its mean over all of it.

The dropped ends are shorter than the filter's reach, so that the reflected signal bends the last of what
is kept: of a pure sine of 10 Hz (band 8 to 12 Hz) the phase is off by up to 7 (zrenner2018), 13 (optimized)
and 20 degrees (device), to either side over the cycle. The amplitude comes out about a quarter
too small, and smaller at a lead, since Yule-Walker's model decays.

The filter's taps belong to the method: with those of another program's window design single windows move
by tens of degrees. Here they are those of ``scipy.signal.firwin`` (Hamming) or ``firls``.

Departures from the paper:

- Lengths are kept in seconds and rounded to the rate of the values, which are means of ``stride`` samples
  from 2000 Hz on (see `window`); such a mean is as old as the middle of its samples, which is added to
  every lead. The paper's rate is 1000 Hz, that of the device with the least-squares filter 500 Hz, whose
  order is rounded up to an even one.
- For a lead the prediction goes on by as many values as it is long, and the Hilbert transform moves along;
  what is left of it, less than a value, is turned on at the peak's frequency. The paper predicts the last
  sample, and takes an offset within one and the same transform.
- It states no error; the error's model is fitted to its own predictions on rest.

Forwards and backwards are computed as one symmetric filter, the taps' autocorrelation. That is no
departure: with a reflection of three times the filter's order, as published, neither what the filters
start from nor more than one order of the reflection ever reaches the window.

A window without any variance, or one whose autoregressive model is singular, has no estimate: NaN.

Slots of the state array: in its header the beginnings of the pieces that follow, in their order, and the
end of the last; then E, the values dropped at each end, and H, those of the Hilbert transform. The pieces::

    the output (see `output`)
    values ahead (N_LEADS, whole), cosine and sine of what is left of each lead (N_LEADS of each)
    half of the symmetric filter, from its middle on (order M + 1)
    half of the antisymmetric kernel that makes the imaginary part, from its middle on ((H + 1) // 2)
    and, of one window at a time: the values that the filter sees (kept + 2 M), the filtered ones that
    are kept and the predicted ones after them, the autocovariance (order P + 1), the predictor's
    weights (P), room to find them (P), what the Hilbert transform sees (2 H: every value twice),
    the imaginary part (H)
    the window
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from closedloop.config.estimators import Phastimate
from closedloop.errors import CalibrationError
from closedloop.estimators.interface import LEADS_S, STEP, Designed, Rest
from closedloop.estimators.output import N_SLOTS, give, give_none, learn_output
from closedloop.estimators.window import remember, stride_to, window_slots
from closedloop.jit import compiled, inner

RATE_HZ = 1000.0
"""The paper's sampling rate: faster signals are averaged down to it."""
FLANK_HZ = 3.0
"""Between pass and stop band of the least-squares filter: 6, 9, 13, 16 Hz on the paper's group's device."""

_OUTPUT, _AHEAD, _COSINE, _SINE, _FILTER, _HILBERT, _SEEN, _SERIES, _COVARIANCE = range(9)
_PREDICTOR, _ROOM, _AROUND, _QUADRATURE, _WINDOW, _END, _EDGE, _N_HILBERT = range(9, 17)
_HEADER = 17


def band_pass(order: int, rate_hz: float, band_hz: tuple[float, float], *, kind: str) -> NDArray[np.float64]:
    """Return the taps, of shape (order + 1,), of the band-pass.

    Parameters
    ----------
    order
        One less than the taps; even for least squares.
    rate_hz
        Values per second.
    band_hz
        Edges of the pass band in Hz: half of the amplitude for a window, the flanks' inner ends for
        least squares.
    kind
        ``"window"`` (Hamming) or ``"least_squares"``.

    Raises
    ------
    CalibrationError
        Where the band, with its flanks, does not lie between 0 Hz and half of the rate.
    """
    flank_hz = FLANK_HZ if kind == "least_squares" else 0.0
    low, high = band_hz[0] - flank_hz, band_hz[1] + flank_hz
    if not 0.0 < low < high < rate_hz / 2:
        raise CalibrationError(
            f"the band-pass of phastimate from {low:g} to {high:g} Hz does not lie within 0 and "
            f"{rate_hz / 2:g} Hz, half of the rate of its values"
        )
    if kind == "window":
        return signal.firwin(order + 1, band_hz, window="hamming", pass_zero=False, fs=rate_hz)
    corners = [0.0, low, *band_hz, high, rate_hz / 2]
    return signal.firls(order + 1, corners, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0], fs=rate_hz)


@dataclass(frozen=True)
class _Lengths:
    """The settings in values."""

    window: int
    filter_order: int
    edge: int
    ar_order: int
    hilbert: int


def _lengths(settings: Phastimate, rate_hz: float) -> _Lengths:
    """Round the settings to values, and check that they fit one another and the rate."""
    order = round(settings.filter_order_s * rate_hz)
    if settings.filter == "least_squares":
        order += order % 2
    counts = _Lengths(
        window=round(settings.window_s * rate_hz),
        filter_order=order,
        edge=round(settings.edge_s * rate_hz),
        ar_order=round(settings.ar_order_s * rate_hz),
        hilbert=round(settings.hilbert_s * rate_hz),
    )
    for name, least in (("filter_order", 2), ("ar_order", 1), ("hilbert", 4)):
        if (count := getattr(counts, name)) < least:
            given = f"{name}_s = {getattr(settings, f'{name}_s'):g} is {count} at {rate_hz:g} Hz"
            raise CalibrationError(f"{given}, and at least {least} values are needed")
    for what, count in (
        ("three times the filter's order", 3 * order),
        ("both edges and the order of the model", 2 * counts.edge + counts.ar_order),
        ("an edge and half of the Hilbert transform", counts.edge + counts.hilbert // 2),
    ):
        if count >= counts.window:
            given = f"window_s = {settings.window_s:g} is {counts.window} values at {rate_hz:g} Hz"
            raise CalibrationError(f"{given}; {what}, here {count}, must be less")
    return counts


def _quadrature_kernel(n_values: int) -> NDArray[np.float64]:
    """Return half of what `scipy.signal.hilbert` convolves with, circularly, for the imaginary part."""
    impulse = np.zeros(n_values)
    impulse[0] = 1.0
    kernel = signal.hilbert(impulse).imag[: (n_values + 1) // 2]
    # Of an even length every other one is zero, and then skipped.
    return np.where(np.abs(kernel) > 1e-12, kernel, 0.0)


def _lay_out(rest: Rest, taps: NDArray[np.float64], counts: _Lengths, stride: int) -> NDArray[np.float64]:
    ahead = (LEADS_S * rest.sfreq + (stride - 1) / 2) / stride
    whole = np.floor(ahead + 1e-9)
    turn = 2 * np.pi * rest.peak_hz * stride / rest.sfreq * (ahead - whole)
    kept = counts.window - 2 * counts.edge
    predicted = counts.edge + math.ceil(counts.hilbert / 2) + int(whole[-1])
    pieces = [
        np.zeros(N_SLOTS),
        whole,
        np.cos(turn),
        np.sin(turn),
        np.correlate(taps, taps, "full")[taps.size - 1 :],
        _quadrature_kernel(counts.hilbert),
        np.zeros(kept + 2 * counts.filter_order),
        np.zeros(kept + predicted),
        np.zeros(counts.ar_order + 1),
        np.zeros(counts.ar_order),
        np.zeros(counts.ar_order),
        np.zeros(2 * counts.hilbert),
        np.zeros(counts.hilbert),
        window_slots(counts.window, stride),
    ]
    begins = _HEADER + np.cumsum([0, *(piece.size for piece in pieces)])
    return np.concatenate([begins, [counts.edge, counts.hilbert], *pieces])


def design_phastimate(rest: Rest, settings: Phastimate) -> Designed:
    """Compute taps and lengths from band, rate and settings; rest serves the error's model alone.

    Raises
    ------
    CalibrationError
        Where the rest is shorter than a few windows, or the lengths or the band do not fit one another
        or the rate.
    """
    if len(rest.inputs) < 4 * settings.window_s * rest.sfreq:
        raise CalibrationError(
            f"calibration of {len(rest.inputs) / rest.sfreq:.1f} s is too short for a window of "
            f"{settings.window_s:g} s: at least {4 * settings.window_s:g} s are needed"
        )
    stride = stride_to(RATE_HZ, rest.sfreq)
    rate_hz = rest.sfreq / stride
    counts = _lengths(settings, rate_hz)
    taps = band_pass(counts.filter_order, rate_hz, rest.band_hz, kind=settings.filter)
    state = _lay_out(rest, taps, counts, stride)
    learn_output(phastimate, state, int(state[_OUTPUT]), rest)
    return Designed(
        step=phastimate,
        state=state,
        window_s=counts.window * stride / rest.sfreq,
        facts={"rate_hz": rate_hz, **asdict(counts)},
        output_at=int(state[_OUTPUT]),
    )


@inner
def _extend(window: NDArray[np.float64], edge: int, reach: int, seen: NDArray[np.float64]) -> None:
    """Take the mean off, and write the window from ``edge - reach`` on, reflected about its end values."""
    mean = 0.0
    for value in window:
        mean += value
    mean /= window.size
    last = window.size - 1
    for k in range(seen.size):
        place = edge - reach + k
        if place < 0:
            seen[k] = 2.0 * (window[0] - mean) - (window[-place] - mean)
        elif place > last:
            seen[k] = 2.0 * (window[last] - mean) - (window[2 * last - place] - mean)
        else:
            seen[k] = window[place] - mean


@inner
def _filter(seen: NDArray[np.float64], half: NDArray[np.float64], kept: NDArray[np.float64]) -> None:
    """Apply the symmetric filter; the inner loop is over values, since sums of one value cannot be vectorised."""
    reach = half.size - 1
    middle = seen[reach : reach + kept.size]
    for n in range(kept.size):
        kept[n] = half[0] * middle[n]
    for k in range(1, reach + 1):
        earlier = seen[reach - k : reach - k + kept.size]
        later = seen[reach + k : reach + k + kept.size]
        weight = half[k]
        for n in range(kept.size):
            kept[n] += weight * (earlier[n] + later[n])


@inner
def _covary(kept: NDArray[np.float64], covariance: NDArray[np.float64]) -> None:
    """Sum the products at every distance; over one and the same count (biased), which cancels and is left out."""
    for k in range(covariance.size):
        covariance[k] = 0.0
    for n in range(kept.size):
        value = kept[n]
        following = kept[n : min(n + covariance.size, kept.size)]
        for k in range(following.size):
            covariance[k] += value * following[k]


@inner
def _solve(covariance: NDArray[np.float64], weights: NDArray[np.float64], room: NDArray[np.float64]) -> bool:
    """Find the predictor's weights, that of the newest value last (Levinson and Durbin); False where singular."""
    order = weights.size
    error = covariance[0]
    for m in range(order):
        if not error > 0.0:
            return False
        missed = covariance[m + 1]
        for k in range(m):
            missed -= room[k] * covariance[m - k]
        reflection = missed / error
        for k in range(m):
            weights[order - 1 - k] = room[k] - reflection * room[m - 1 - k]
        weights[order - 1 - m] = reflection
        for k in range(m + 1):
            room[k] = weights[order - 1 - k]
        error *= 1.0 - reflection * reflection
    return error > 0.0


@inner
def _prolong(series: NDArray[np.float64], begin: int, end: int, weights: NDArray[np.float64]) -> None:
    """Write the predictions from ``begin`` to ``end - 1`` behind what is known."""
    for n in range(begin, end):
        past = series[n - weights.size : n]
        ahead = 0.0
        for k in range(weights.size):
            ahead += weights[k] * past[k]
        series[n] = ahead


@inner
def _predict(state: NDArray[np.float64], window: NDArray[np.float64], stop: int) -> bool:
    """Filter the window and predict all that leads below ``stop`` need; False where that cannot be."""
    half = state[int(state[_FILTER]) : int(state[_HILBERT])]
    seen = state[int(state[_SEEN]) : int(state[_SERIES])]
    series = state[int(state[_SERIES]) : int(state[_COVARIANCE])]
    covariance = state[int(state[_COVARIANCE]) : int(state[_PREDICTOR])]
    weights = state[int(state[_PREDICTOR]) : int(state[_ROOM])]
    room = state[int(state[_ROOM]) : int(state[_AROUND])]
    edge, n_hilbert = int(state[_EDGE]), int(state[_N_HILBERT])
    n_kept = window.size - 2 * edge
    _extend(window, edge, half.size - 1, seen)
    _filter(seen, half, series[:n_kept])
    _covary(series[:n_kept], covariance)
    if not _solve(covariance, weights, room):
        return False
    furthest = int(state[int(state[_AHEAD]) + stop - 1])
    _prolong(series, n_kept, n_kept + edge + n_hilbert - n_hilbert // 2 + furthest, weights)
    return True


@inner
def _transform(values: NDArray[np.float64], kernel: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write the Hilbert transform's imaginary part of values that are given twice."""
    count = out.size
    for n in range(count):
        out[n] = 0.0
    for k in range(1, kernel.size):
        weight = kernel[k]
        if weight != 0.0:
            earlier = values[count - k : 2 * count - k]
            later = values[k : k + count]
            for n in range(count):
                out[n] += weight * (earlier[n] - later[n])


@inner
def _take(state: NDArray[np.float64], n_kept: int, lead: int) -> complex:
    """Return the estimate for a lead: the transform's phase at its middle, its mean amplitude."""
    n_hilbert = int(state[_N_HILBERT])
    middle = n_hilbert // 2 - 1
    first = n_kept + int(state[_EDGE]) - 1 + int(state[int(state[_AHEAD]) + lead]) - middle
    series = state[int(state[_SERIES]) + first : int(state[_COVARIANCE])]
    around = state[int(state[_AROUND]) : int(state[_QUADRATURE])]
    for k in range(n_hilbert):
        around[k] = around[k + n_hilbert] = series[k]
    quadrature = state[int(state[_QUADRATURE]) : int(state[_WINDOW])]
    _transform(around, state[int(state[_HILBERT]) : int(state[_SEEN])], quadrature)
    amplitude = 0.0
    for k in range(n_hilbert):
        amplitude += math.sqrt(series[k] * series[k] + quadrature[k] * quadrature[k])
    amplitude /= n_hilbert
    re, im = series[middle], quadrature[middle]
    modulus = math.sqrt(re * re + im * im)
    scale = amplitude / modulus if modulus > 0.0 else np.nan
    turn = complex(state[int(state[_COSINE]) + lead], state[int(state[_SINE]) + lead])
    return complex(scale * re, scale * im) * turn


@compiled(STEP)
def phastimate(
    state: NDArray[np.float64],
    x: NDArray[np.float64],
    first: int,
    stop: int,
    z: NDArray[np.complex128],
    sd: NDArray[np.float64],
) -> None:
    """Take one sample in µV; write prediction and SD for the leads ``first`` to ``stop - 1``."""
    memory = state[int(state[_WINDOW]) :]
    begin = remember(memory, x[0])
    if first >= stop:
        return
    n_values = int(memory[0])
    known = begin >= 0 and _predict(state, memory[begin : begin + n_values], stop)
    if not known:
        give_none(first, stop, z, sd)
        return
    output = state[int(state[_OUTPUT]) : int(state[_OUTPUT]) + N_SLOTS]
    for lead in range(first, stop):
        give(output, lead, _take(state, n_values - 2 * int(state[_EDGE]), lead), z, sd)
