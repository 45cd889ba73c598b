"""The core that the benchmarks of the live loop run: every channel conditioned, one linear estimator, every gate on.

It is laid out by hand, as calibration would lay it out: average reference, so that all channels are conditioned and
watched; high-pass and notch; a complex FIR of 128 taps that predicts the rhythm at every lead. What is unusual is
said where it is set.
"""

import math
from collections.abc import Callable
from typing import Any

import loopback  # noqa: F401 - before NumPy
import numba
import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from closedloop.core.blank import blank_core, with_fields
from closedloop.core.exposure import open_exposure
from closedloop.core.native import c_write
from closedloop.core.replay import guarded_sample
from closedloop.core.state import (
    CONDITION,
    CORE,
    N_BLOCKS,
    OPEN_LIMITS,
    STEPS,
    TRIAL,
    Core,
    Steps,
    make_extremes,
    make_signals,
    pad_steps,
)
from closedloop.estimators.complex_fir import complex_fir, fir_state
from closedloop.estimators.interface import LEADS_S, N_LEADS, STEP
from closedloop.estimators.output import constant_error
from closedloop.jit import cache_folder, compiled
from closedloop.signal.circular import wrap
from closedloop.signal.conditioning import design_conditioning
from closedloop.signal.rhythm import Rhythm, design_rhythm

N_TAPS = 128
RHYTHM_HZ = 10.0
"""Of the sine that is sent."""
LATENCY_S = 0.02
"""Trigger to pulse: what every plan looks ahead by at least."""
QUALITY_WINDOW_S = 0.2
RARE_S = 2.0
"""Usual protocols wait so long between pulses."""
N_OFTEN = 23
OFTEN_S = 1.0 / RHYTHM_HZ / N_OFTEN
"""Pulses so dense that a run of seconds has thousands of deadlines; no device is there to be hurt."""
JITTER_S = 0.05
"""A sender that had to wait sends what is due at once: none of that is missing."""

FD, BYTE, WRITES, HEADER = 0, 1, 2, 3
"""Slots before the filter's: file descriptor, address of the byte, writes so far."""


@compiled(STEP)
def fir_and_write(
    state: NDArray[np.float64],
    x: NDArray[np.float64],
    first: int,
    stop: int,
    z: NDArray[np.complex128],
    sd: NDArray[np.float64],
) -> None:
    """Predict, and write one byte after it: a trigger write in every sample's path to its decision."""
    complex_fir(state[HEADER:], x, first, stop, z, sd)
    if c_write(int(state[FD]), int(state[BYTE]), 1) == 1:
        state[WRITES] += 1.0


@intrinsic
def _store(typing_context: Any, value: Any, address: Any) -> Any:
    """Put a tuple of arrays, as compiled code holds it, at an address."""
    del typing_context, address

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del signature
        builder.store(args[0], builder.inttoptr(args[1], args[0].type.as_pointer()))
        return context.get_dummy_value()

    return types.void(value, types.intp), generate


def _loader(kind: Any) -> Any:
    """Return a function that takes such a tuple from an address."""

    @intrinsic
    def load(typing_context: Any, address: Any) -> Any:
        del typing_context, address

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            del signature
            return builder.load(builder.inttoptr(args[0], context.get_value_type(kind).as_pointer()))

        return kind(types.intp), generate

    return load


_load_core, _load_steps = _loader(CORE), _loader(STEPS)
_CORE_WORDS = 4096
"""Of 8 bytes; some fifty arrays take ten each."""


@compiled(types.void(CORE, STEPS, types.int64[::1]))
def _hold(core: Core, steps: Steps, held: NDArray[np.int64]) -> None:
    _store(core, held.ctypes.data)
    _store(steps, held[_CORE_WORDS:].ctypes.data)


def _with_the_lock(function: Callable[..., None]) -> Callable[..., None]:
    """Compile as `compiled` does, but for Python's use: the interpreter's lock is kept."""
    elsewhere = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder())
    try:
        signature = types.void(types.int64[::1], types.float64[::1], types.float64, types.float64)
        result: Callable[..., None] = numba.njit(signature, cache=True, error_model="numpy", _nrt=False)(function)
        return result
    finally:
        numba.config.CACHE_DIR = elsewhere


@_with_the_lock
def decide(held: NDArray[np.int64], values: NDArray[np.float64], stamp: float, now: float) -> None:
    """Take one sample as the live loop does: what a loop in Python calls.

    To hand over the core's fifty arrays would take Python 1.3 ms a call; they are held ready for compiled code
    instead. It keeps the interpreter's lock, for to give it away for 10 us would only delay Python.
    """
    core, steps = _load_core(held.ctypes.data), _load_steps(held[_CORE_WORDS:].ctypes.data)
    guarded_sample(core, steps, values, stamp, now, 0.0)


def hold(core: Core, steps: Steps) -> NDArray[np.int64]:
    """Return what `decide` takes; ``core`` must outlive it."""
    held = np.zeros(2 * _CORE_WORDS, np.int64)
    _hold(core, steps, held)
    assert not held[_CORE_WORDS - 64 : _CORE_WORDS].any(), "the core is larger than the room for it"
    return held


def _filter(sfreq: float) -> NDArray[np.float64]:
    """Return the state of an estimator that a sine of the rhythm's frequency passes unchanged, ahead by each lead."""
    age_s = (N_TAPS - 1 - np.arange(N_TAPS)) / sfreq
    window = np.hanning(N_TAPS + 2)[1:-1]
    rotation = np.exp(2j * np.pi * RHYTHM_HZ * (age_s + LEADS_S[:, None]))
    weights = 2.0 * window / window.sum() * rotation
    return fir_state([weights], strides=[1], error=constant_error(np.ones(N_LEADS)))


def _warm_rhythm(sfreq: float) -> Rhythm:
    """Return resonators that have seen enough: a run of seconds is none of warming up."""
    rhythm = design_rhythm(sfreq, RHYTHM_HZ)
    rhythm.power[:] = 1.0
    rhythm.progress[0], rhythm.progress[3] = 0.0, 1e9
    return rhythm


def lay_out(n_channels: int, sfreq: float, *, often: bool, writes_to: int | None, byte: NDArray[np.uint8]) -> Core:
    """Lay out a core that is disarmed.

    Parameters
    ----------
    n_channels, sfreq
        Of the stream.
    often
        Whether a pulse is due every 4 ms, for the lateness of deadlines, instead of every 2 s. Then no limit refuses
        a pulse that is late: it would take just those out of what is measured.
    writes_to
        File descriptor that each sample writes a byte to; None: the estimator is the plain one.
    byte
        Array of shape (1,) that is written; it must outlive the loop.
    """
    targets = wrap(2.0 * np.pi * np.arange(N_OFTEN) / N_OFTEN) if often else np.array([math.pi])
    trials = np.zeros(10**6, TRIAL)
    conditions = np.zeros(targets.size, CONDITION)
    conditions["target"], conditions["percent"] = targets, 50.0
    trials["condition"] = np.arange(trials.size) % targets.size
    trials["wait_s"] = 0.0 if often else RARE_S
    state = _filter(sfreq)
    if writes_to is not None:
        state = np.concatenate([[writes_to, byte.ctypes.data, 0.0], state])
    weights = np.full((1, n_channels), -1.0 / n_channels)
    weights[0, -1] += 1.0
    watched = np.array([1] * n_channels + [0])
    core = blank_core(n_channels, sfreq)
    return core._replace(
        timing=with_fields(core.timing, latency_s=LATENCY_S, longest_s=1.0, jitter_s=JITTER_S),
        conditioning=design_conditioning(n_channels, sfreq, high_pass_hz=0.5, notch_hz=(50.0,)),
        signals=make_signals(np.arange(n_channels), [weights], [state]),
        quality=with_fields(
            core.quality,
            flat_uv=0.01,
            block=math.ceil(QUALITY_WINDOW_S * sfreq / (N_BLOCKS - 1)),
            needed=math.ceil(QUALITY_WINDOW_S * sfreq),
        ),
        extremes=make_extremes(np.array([150.0] * n_channels + [np.inf]), watched),
        rhythm=_warm_rhythm(sfreq),
        policy=with_fields(core.policy, period_s=OFTEN_S if often else 1.0 / RHYTHM_HZ),
        conditions=conditions,
        trials=trials,
        limits=with_fields(
            core.limits,
            **OPEN_LIMITS,
            max_pulses=trials.size,
            min_interval_s=OFTEN_S / 4.0 if often else 0.5,
            max_lateness_s=10.0 if often else 0.001,
            max_data_age_s=10.0 if often else 0.1,
            rhythm_snr_db=-300.0,
            max_phase_sd=math.radians(45.0),
        ),
        exposure=open_exposure(),
        gate=with_fields(core.gate, device_ready=1, status_s=0.0, coil_c=0.0, leased=trials.size),
    )


PLAIN: Steps = pad_steps([complex_fir])
WRITING: Steps = pad_steps([fir_and_write])
