"""``hilbert_fir``: a causal band-pass, autoregressive prediction by Burg, a short Hilbert transformer.

Blackwood, Lo & Widge 2018, doi 10.1109/EMBC.2018.8513232, as the Phase Calculator of Open Ephys has it (also in
TORTE). A Butterworth band-pass of order 2 runs over the stream. An autoregressive model of order 20 is fitted by
Burg's method to the newest second of its output at 500 Hz, every 50 ms. It predicts the 9 values by which a
Hilbert transformer of 19 taps, equiripple from 4 to 246 Hz, lags behind; the phase is that of the output and its
transform. What the transformer's gain departs from one is evened out over the band, by the geometric mean of its
largest and smallest gain there.

Departures from the paper and from its published code:

- For a lead the prediction goes on: transformer and output are taken that much later. Between values the peak's
  rotation is taken out and the rest interpolated linearly.
- The band-pass's own phase is left in, as published, unless ``compensate`` is set: then all is turned back by
  that phase at the peak. This is the tuned form.
- A model is fitted to the values of every 50th ms from the first full window on, within the step that first needs
  it. The code fits in a thread of its own, and uses what is there.
- A value is the newest output and every ``stride``-th before it, so that there is one after every sample; the code
  interpolates phase between its values. Nothing is averaged: the output has nothing left to fold.
- At other rates than 500 Hz the model's order and the transformer's length are scaled by time, the latter to the
  nearest odd delay, from 3 on: even ones would end in a tap that is next to zero.
- One transformer, the one for 4 to 18 Hz, serves all bands from 4 Hz on; the code has others for beta and gamma.
- The model is fitted to ``window_s``, 1 s; later versions of the code take 1.024 s.
- The fit ends early where what is left to explain is below 1e-20 of the power: a signal without noise.
- The phase is not smoothed where it steps back, as the code does before showing it.
- The error's model is fitted to its own predictions on rest.

Over a missing sample the band-pass's input is held (see `cascade`); nothing is predicted until ``window_s`` of
clean samples has passed, and a new model is fitted then.

Slots of the state array::

    0 values N   1 stride   2 order p of the model   3 delay M of the transformer, in values
    4 samples between fits   5 samples until the next   6 whether the values of the last wait to be fitted
    7 to 12 where begin: taps, coefficients, errors, series, cascade, window
    then the output (see `output`); for each lead its whole values ahead and the complex weights
    of the value there and of the one after; taps (M); coefficients (p); forward and backward errors (N and N);
    the series of newest and predicted values; the cascade; the window.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from closedloop.config.estimators import HilbertFir
from closedloop.errors import CalibrationError
from closedloop.estimators.cascade import band_pass, cascade_slots, pass_on
from closedloop.estimators.interface import LEADS_S, STEP, Designed, Rest
from closedloop.estimators.output import N_SLOTS, give, give_none, learn_output
from closedloop.estimators.window import remember, stride_to, window_slots
from closedloop.jit import compiled, inner

VALUE_RATE_HZ = 500.0
DELAY_AT_500_HZ = 9
FROM_HZ = 4.0
"""The transformer passes from here to as far below half the rate of values."""
NOTHING_LEFT = 1e-20

_VALUES, _STRIDE, _ORDER, _DELAY, _BETWEEN, _WAIT, _STALE = range(7)
_TAPS, _COEFFICIENTS, _ERRORS, _SERIES, _CASCADE, _WINDOW = range(7, 13)
_OUTPUT = 13
_LEADS = _OUTPUT + N_SLOTS
_PER_LEAD = 5


@inner
def _fit(a: NDArray[np.float64], forward: NDArray[np.float64], backward: NDArray[np.float64]) -> None:
    """Fit a model by Burg's method: x[n] = -sum a[i] x[n-1-i]; both errors hold the values and are used up."""
    n_values = forward.size
    a[:] = 0.0
    least = 0.0
    for m in range(a.size):
        common = power = 0.0
        for n in range(m + 1, n_values):
            common += forward[n] * backward[n - 1]
            power += forward[n] * forward[n] + backward[n - 1] * backward[n - 1]
        if m == 0:
            least = NOTHING_LEFT * power
        if not power > least:
            return
        reflection = -2.0 * common / power
        for n in range(n_values - 1, m, -1):
            ahead = forward[n]
            forward[n] = ahead + reflection * backward[n - 1]
            backward[n] = backward[n - 1] + reflection * ahead
        for i in range((m + 1) // 2):
            low, high = a[i], a[m - 1 - i]
            a[i] = low + reflection * high
            a[m - 1 - i] = high + reflection * low
        a[m] = reflection


@inner
def _predict(a: NDArray[np.float64], series: NDArray[np.float64], first: int, stop: int) -> None:
    """Write the values ``first`` to ``stop - 1`` of a series, each from those before it."""
    for n in range(first, stop):
        value = 0.0
        for i in range(a.size):
            value -= a[i] * series[n - 1 - i]
        series[n] = value


@inner
def _analytic(taps: NDArray[np.float64], series: NDArray[np.float64], n: int) -> complex:
    """Return value ``n`` of a series and its Hilbert transform."""
    transform = 0.0
    for d in range(taps.size):
        transform += taps[d] * (series[n - 1 - d] - series[n + 1 + d])
    return complex(series[n], transform)


@inner
def _keep_values(state: NDArray[np.float64], window: NDArray[np.float64]) -> None:
    """Put the newest values where the next fit finds them: whenever it is made, it is made to these."""
    n_values, stride, errors = int(state[_VALUES]), int(state[_STRIDE]), int(state[_ERRORS])
    for n in range(n_values):
        state[errors + n] = state[errors + n_values + n] = window[n * stride]
    state[_STALE] = 1.0
    state[_WAIT] = state[_BETWEEN]


@inner
def _prepare(state: NDArray[np.float64], window: NDArray[np.float64], last_lead: int) -> int:
    """Fit if a fit is due, predict as far as the last lead needs, and return where the present is in the series."""
    n_values, stride, delay = int(state[_VALUES]), int(state[_STRIDE]), int(state[_DELAY])
    a = state[int(state[_COEFFICIENTS]) : int(state[_COEFFICIENTS]) + int(state[_ORDER])]
    if state[_STALE] == 1.0:
        forward = int(state[_ERRORS])
        _fit(a, state[forward : forward + n_values], state[forward + n_values : forward + 2 * n_values])
        state[_STALE] = 0.0
    series = state[int(state[_SERIES]) : int(state[_CASCADE])]
    n_kept = max(a.size, delay + 1)
    for n in range(n_kept):
        series[n] = window[(n_values - n_kept + n) * stride]
    _predict(a, series, n_kept, n_kept + int(state[_LEADS + _PER_LEAD * last_lead]) + 1 + delay)
    return n_kept - 1


@compiled(STEP)
def hilbert_fir(
    state: NDArray[np.float64],
    x: NDArray[np.float64],
    first: int,
    stop: int,
    z: NDArray[np.complex128],
    sd: NDArray[np.float64],
) -> None:
    """Take one sample in µV; write prediction and SD for the leads ``first`` to ``stop - 1``."""
    memory = state[int(state[_WINDOW]) :]
    begin = remember(memory, pass_on(state[int(state[_CASCADE]) :], x[0]))
    if begin < 0:
        state[_WAIT] = 0.0
        give_none(first, stop, z, sd)
        return
    window = memory[begin : begin + int(memory[0])]
    if state[_WAIT] == 0.0:
        _keep_values(state, window)
    state[_WAIT] -= 1.0
    if first >= stop:
        return
    now = _prepare(state, window, stop - 1)
    taps = state[int(state[_TAPS]) : int(state[_COEFFICIENTS])]
    series = state[int(state[_SERIES]) : int(state[_CASCADE])]
    for lead in range(first, stop):
        at = state[_LEADS + _PER_LEAD * lead : _LEADS + _PER_LEAD * (lead + 1)]
        n = now + int(at[0])
        value = complex(at[1], at[2]) * _analytic(taps, series, n)
        if at[3] != 0.0 or at[4] != 0.0:
            value += complex(at[3], at[4]) * _analytic(taps, series, n + 1)
        give(state[_OUTPUT : _OUTPUT + N_SLOTS], lead, value, z, sd)


def transformer_taps(rate_hz: float, band_hz: tuple[float, float]) -> NDArray[np.float64]:
    """Return one half of the Hilbert transformer's taps, of shape (delay,), innermost first.

    The transform of x is ``sum taps[d] (x[n-1-d] - x[n+1+d])``, evened out over the band.
    """
    delay = max(3, 2 * round((DELAY_AT_500_HZ * rate_hz / VALUE_RATE_HZ - 1) / 2) + 1)
    taps = signal.remez(2 * delay + 1, [FROM_HZ, rate_hz / 2 - FROM_HZ], [1.0], type="hilbert", fs=rate_hz)
    _, response = signal.freqz(taps, worN=np.linspace(*band_hz, 101), fs=rate_hz)
    gain = np.abs(response)
    half: NDArray[np.float64] = taps[delay - 1 :: -1] / np.sqrt(gain.min() * gain.max())
    return half


def lead_weights(rate_hz: float, peak_hz: float, turn: complex) -> NDArray[np.float64]:
    """Return, of shape (N_LEADS, 5), whole values ahead and the complex weights of that value and the next."""
    ahead = LEADS_S * rate_hz
    whole = np.floor(ahead + 1e-9)
    part = np.where(ahead - whole > 1e-9, ahead - whole, 0.0)
    per_value = 2 * np.pi * peak_hz / rate_hz
    here = turn * (1.0 - part) * np.exp(1j * per_value * part)
    following = turn * part * np.exp(1j * per_value * (part - 1.0))
    return np.column_stack([whole, here.real, here.imag, following.real, following.imag])


def _check(rest: Rest, settings: HilbertFir, n_values: int, order: int, rate_hz: float) -> None:
    low, high = rest.band_hz
    to_hz = rate_hz / 2 - FROM_HZ
    if low < FROM_HZ or high > to_hz:
        raise CalibrationError(
            f"band = {low:g} to {high:g} Hz exceeds the Hilbert transformer's {FROM_HZ:g} to {to_hz:g} Hz"
        )
    if n_values < 2 * order:
        raise CalibrationError(
            f"window_s = {settings.window_s:g} holds {n_values} values at {rate_hz:g} Hz, "
            f"and a model of order {order} needs at least {2 * order}"
        )
    if len(rest.inputs) < 4 * settings.window_s * rest.sfreq:
        raise CalibrationError(
            f"calibration of {len(rest.inputs) / rest.sfreq:.1f} s is too short for a window of "
            f"{settings.window_s:g} s: at least {4 * settings.window_s:g} s are needed"
        )


def design_hilbert_fir(rest: Rest, settings: HilbertFir) -> Designed:
    """Compute band-pass and Hilbert transformer; rest serves the error's model alone.

    Raises
    ------
    CalibrationError
        Where the rest is shorter than a few windows, the window too short for the model, or the band beyond what
        the transformer passes.
    """
    stride = stride_to(VALUE_RATE_HZ, rest.sfreq)
    rate_hz = rest.sfreq / stride
    n_values = round(settings.window_s * rate_hz)
    order = max(2, round(settings.ar_order * rate_hz / VALUE_RATE_HZ))
    _check(rest, settings, n_values, order, rate_hz)
    sections = band_pass(settings.order, rest.band_hz, rest.sfreq)
    _, response = signal.sosfreqz(sections, worN=[2 * np.pi * rest.peak_hz / rest.sfreq])
    filter_phase = float(np.angle(response[0]))
    taps = transformer_taps(rate_hz, rest.band_hz)
    leads = lead_weights(rate_hz, rest.peak_hz, np.exp(-1j * filter_phase) if settings.compensate else 1.0)
    n_series = max(order, taps.size + 1) + int(leads[-1, 0]) + 1 + taps.size
    n_samples = (n_values - 1) * stride + 1
    parts = [
        taps,
        np.zeros(order),
        np.zeros(2 * n_values),
        np.zeros(n_series),
        cascade_slots(sections),
        window_slots(n_samples),
    ]
    begins = _LEADS + leads.size + np.cumsum([0, *(part.size for part in parts[:-1])])
    between = max(1, round(settings.refresh_s * rest.sfreq))
    header = [n_values, stride, order, taps.size, between, 0.0, 0.0]
    state = np.concatenate([header, begins, np.full(N_SLOTS, np.nan), leads.ravel(), *parts])
    learn_output(hilbert_fir, state, _OUTPUT, rest)
    return Designed(
        step=hilbert_fir,
        state=state,
        window_s=n_samples / rest.sfreq,
        facts={
            "values": n_values,
            "stride": stride,
            "ar_order": order,
            "taps": 2 * taps.size + 1,
            "filter_phase_deg": round(float(np.degrees(filter_phase)), 1),
            "compensated": settings.compensate,
        },
        output_at=_OUTPUT,
    )
