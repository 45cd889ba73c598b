"""``resonator``: a damped oscillator that the signal drives, and that answers in phase with it.

Rosenblum, Pikovsky, Kühn & Busch 2021, Scientific Reports 11:18037, doi 10.1038/s41598-021-97560-5; the details are
those of the authors' program (ResOsz, for MATLAB), the article's text was not at hand. The oscillator is
``x'' + alpha x' + w² x = s(t)`` with ``alpha = damping * w``. In resonance its velocity ``y = x'`` has the signal's
phase and its amplitude over alpha. An integrator ``mu z' + z = y`` with mu = 500 s gives the quarter of a cycle behind
it, ``v = mu w z``, without the offset that x has. So ``alpha (y + i v)`` is the analytic signal, its phase 0 at the
positive peak.

With ``adapt`` the frequency follows, as published: from three periods after a start on, 20 times in a period, w
becomes the slope of a straight line through the unwrapped phase of the last period, and that period's mean is taken
off all later samples. alpha stays. All of it happens in the step, so that it is the same however samples arrive.
On noisy rhythms this walks away from them (as published, it lost all that were tried); hence it is off unless
asked for.

Departures from the paper: a causal Butterworth band-pass from 5 to 20 Hz in front (there, what precedes is left
open), whose gain at the peak, amplitude and phase, is divided out again. The program's parabola through the newest
three samples drives oscillator and integrator as one linear system, whose exact solution is summed as a Taylor series
up to rounding (there, the integrator gets a parabola of its own); the parabola itself delays 10 Hz by 0.04 degrees at
250 Hz and by 0.6 at 100 Hz. The first w is the peak's, the first offset zero. A slope of zero or below is not taken
for a frequency: the oscillator could not come back from there. It predicts no future; for a lead its phase is turned
on at the current w. It states no error; the error's model is fitted to its own predictions on rest.

A sample that is missing or not finite, or an overflow, starts oscillator, integrator and adaptation anew, from rest
and at the peak's frequency; the band-pass rings down (see `cascade`). Nothing is said until ``window_s`` of clean
samples has passed: until what is left of a start has fallen to a hundredth in oscillator and band-pass. The
integrator's 500 s are not waited for: from rest ``mu z = x`` but for a five-hundredth of x's offset each second. The
band-pass leaves no offset; without it, one in the signal shows as ``damping`` times itself in v, for minutes.

Slots of the state array::

    0 clean samples since the start   1 samples until it speaks   2 sampling interval (s)   3 w at the peak (rad/s)
    4 w now   5 alpha (1/s)   6 and 7 real and imaginary part of what makes up for the band-pass
    8 where the rings begin   9 samples in a period P   10 samples between updates of w, 0: it stays
    11 at how many clean samples the next update comes   12 x   13 y   14 z   15 the last sample   16 the one before
    17 offset (µV)
    then the output (see `output`), the band-pass (see `cascade`), the rings: P phases, P samples.
"""

import cmath
import math

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from closedloop.config.estimators import Resonator
from closedloop.errors import CalibrationError
from closedloop.estimators.cascade import band_pass, cascade_slots, pass_on
from closedloop.estimators.interface import LEAD_STEP_S, STEP, Designed, Rest
from closedloop.estimators.output import N_SLOTS, give, give_none, learn_output
from closedloop.jit import compiled, inner

MU_S = 500.0
PREFILTER_HZ = (5.0, 20.0)
UPDATES_PER_PERIOD = 20
FIRST_UPDATE = 3
"""In periods after a start."""
SETTLED = 0.01
"""What is left of a start when it speaks."""
N_TERMS = 32
"""Of the Taylor series: enough for half a turn of the oscillator in a sample, which no frequency exceeds."""

_CLEAN, _FULL, _INTERVAL, _PEAK, _OMEGA, _ALPHA, _GAIN_RE, _GAIN_IM, _RINGS = range(9)
_PERIOD, _UPDATE, _NEXT, _X, _Y, _Z, _LAST, _BEFORE, _OFFSET = range(9, 18)
_OUTPUT = 18
_CASCADE = _OUTPUT + N_SLOTS


def design_resonator(rest: Rest, settings: Resonator) -> Designed:
    """Tune the oscillator to the peak; rest serves the error's model alone.

    Raises
    ------
    CalibrationError
        Where the rest is shorter than a few times what the oscillator needs to settle, or the band-pass does not
        hold the peak or is not held by the sampling rate.
    """
    sections, response = _prefilter(settings.prefilter_order, rest.peak_hz, rest.sfreq)
    gain = 1.0 / response
    omega = 2 * math.pi * rest.peak_hz
    _, poles, _ = signal.sos2zpk(sections) if len(sections) else ((), np.zeros(1), 1.0)
    slowest = float(np.abs(poles).max())
    memory_s = 2.0 / (settings.damping * omega) + (-1.0 / math.log(slowest) / rest.sfreq if slowest > 0.0 else 0.0)
    full = math.ceil(-math.log(SETTLED) * memory_s * rest.sfreq)
    if len(rest.inputs) < 4 * full:
        raise CalibrationError(
            f"calibration of {len(rest.inputs) / rest.sfreq:.1f} s is too short for an oscillator that settles in "
            f"{full / rest.sfreq:.1f} s: at least {4 * full / rest.sfreq:.1f} s are needed"
        )
    period = max(2, round(rest.sfreq / rest.peak_hz))
    cascade = cascade_slots(sections)
    state = np.zeros(_CASCADE + cascade.size + 2 * period)
    state[[_FULL, _INTERVAL, _PEAK, _OMEGA]] = full, 1.0 / rest.sfreq, omega, omega
    state[[_ALPHA, _GAIN_RE, _GAIN_IM]] = settings.damping * omega, gain.real, gain.imag
    state[[_RINGS, _PERIOD, _NEXT]] = _CASCADE + cascade.size, period, FIRST_UPDATE * period
    state[_UPDATE] = max(1, round(period / UPDATES_PER_PERIOD)) if settings.adapt else 0
    state[_CASCADE : _CASCADE + cascade.size] = cascade
    learn_output(resonator, state, _OUTPUT, rest)
    return Designed(
        step=resonator,
        state=state,
        window_s=full / rest.sfreq,
        facts={
            "damping": settings.damping,
            "adapt": settings.adapt,
            "prefilter_order": settings.prefilter_order,
            "prefilter_deg": math.degrees(cmath.phase(response)),
        },
        output_at=_OUTPUT,
    )


def _prefilter(order: int, peak_hz: float, sfreq: float) -> tuple[NDArray[np.float64], complex]:
    """Return the band-pass's sections, of shape (order, 6), and its response to the peak."""
    if order == 0:
        return np.empty((0, 6)), 1.0 + 0.0j
    low, high = PREFILTER_HZ
    if not low < peak_hz < high:
        raise CalibrationError(
            f"the peak at {peak_hz:g} Hz does not lie in the band-pass before the resonator, {low:g} to {high:g} Hz: "
            "prefilter_order = 0 leaves it out"
        )
    sections = band_pass(order, PREFILTER_HZ, sfreq)
    _, response = signal.sosfreqz(sections, worN=np.array([peak_hz]), fs=sfreq)
    return sections, complex(response[0])


@inner
def _restart(state: NDArray[np.float64]) -> None:
    """Put oscillator and integrator to rest, at the peak's frequency."""
    state[_CLEAN] = 0.0
    state[_OMEGA] = state[_PEAK]
    state[_NEXT] = FIRST_UPDATE * state[_PERIOD]
    for k in range(_X, _OFFSET + 1):
        state[k] = 0.0


@inner
def _drive(state: NDArray[np.float64], value: float) -> None:
    """Solve oscillator and integrator over one sample, the signal being a parabola through the last three."""
    last = state[_LAST]
    rise = (value - state[_BEFORE]) / 2
    bend = (value - 2 * last + state[_BEFORE]) / 2
    stiffness = state[_OMEGA] * state[_OMEGA]
    dx, dy, dz = state[_X], state[_Y], state[_Z]
    for k in range(1, N_TERMS + 1):
        force = last if k == 1 else rise if k == 2 else bend if k == 3 else 0.0
        part = state[_INTERVAL] / k
        slope = force - state[_ALPHA] * dy - stiffness * dx
        dx, dy, dz = part * dy, part * slope, part * (dy - dz) / MU_S
        state[_X] += dx
        state[_Y] += dy
        state[_Z] += dz
    state[_BEFORE] = last
    state[_LAST] = value


@inner
def _adapt(state: NDArray[np.float64], value: float, phase: float) -> None:
    """Note sample and phase; when it is time, take frequency and offset from the last period's."""
    period = int(state[_PERIOD])
    phases = state[int(state[_RINGS]) :]
    n = int(state[_CLEAN])
    phases[n % period] = phase
    phases[period + n % period] = value
    if n <= state[_NEXT]:
        return
    state[_NEXT] += state[_UPDATE]
    moment = unwrapped = total = 0.0
    previous = phases[(n + 1) % period]
    for k in range(period):
        at = (n + 1 + k) % period
        turn = phases[at] - previous
        unwrapped += turn - 2 * math.pi * np.rint(turn / (2 * math.pi))
        previous = phases[at]
        moment += (k - (period - 1) / 2) * unwrapped
        total += phases[period + at]
    slope = 12.0 * moment / (period * (period * period - 1.0))
    if slope > 0.0:
        state[_OMEGA] = slope / state[_INTERVAL]
    state[_OFFSET] = total / period


@compiled(STEP)
def resonator(
    state: NDArray[np.float64],
    x: NDArray[np.float64],
    first: int,
    stop: int,
    z: NDArray[np.complex128],
    sd: NDArray[np.float64],
) -> None:
    """Take one sample in µV; write prediction and SD for the leads ``first`` to ``stop - 1``."""
    value = pass_on(state[_CASCADE:], x[0])
    _drive(state, value - state[_OFFSET])
    if np.isfinite(state[_X] + state[_Y] + state[_Z]):
        state[_CLEAN] += 1.0
    else:
        _restart(state)  # a gap or an overflow
    y = state[_Y]
    v = MU_S * state[_OMEGA] * state[_Z]
    if state[_UPDATE] > 0.0 and state[_CLEAN] > 0.0:
        _adapt(state, value, math.atan2(v, y))
    heard = state[_CLEAN] >= state[_FULL]
    now = state[_ALPHA] * complex(y, v) * complex(state[_GAIN_RE], state[_GAIN_IM])
    if not heard:
        give_none(first, stop, z, sd)
        return
    for lead in range(first, stop):
        ahead = state[_OMEGA] * LEAD_STEP_S * lead
        give(state[_OUTPUT : _OUTPUT + N_SLOTS], lead, now * complex(math.cos(ahead), math.sin(ahead)), z, sd)
