"""A core that refuses everything: the one place where all of its parts are laid out.

It is disarmed, knows nothing and has no limit that could be kept. Whoever needs a core replaces the parts that its
purpose fills: what is forgotten refuses.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedloop.core.exposure import CAP, make_exposure
from closedloop.core.reasons import Reason
from closedloop.core.records import EVENT, INPUT, make_ring
from closedloop.core.state import (
    COMMAND_CAPACITY,
    CONDITION,
    EVENT_CAPACITY,
    GATE,
    INPUT_CAPACITY,
    LIMITS,
    PLAN,
    POLICY,
    QUALITY,
    TIMING,
    TRIAL,
    WITNESS,
    Core,
    make_extremes,
    make_signals,
    record,
)
from closedloop.signal.conditioning import design_conditioning
from closedloop.signal.rhythm import design_rhythm

RHYTHM_HZ = 10.0


def blank_core(n_channels: int, sfreq: float, *, events: int = EVENT_CAPACITY, inputs: int = INPUT_CAPACITY) -> Core:
    """Lay out a core that refuses everything.

    Parameters
    ----------
    n_channels, sfreq
        Of the samples that it will be given, in Hz.
    events, inputs
        How many decisions and inputs its rings hold.
    """
    return Core(
        timing=record(TIMING, index=-1, period_s=1.0 / sfreq, now_s=-np.inf),
        conditioning=design_conditioning(1, sfreq, high_pass_hz=None, notch_hz=()),
        signals=make_signals(np.zeros(1, np.int64), [np.zeros((1, 1))], [np.zeros(1)]),
        quality=record(
            QUALITY, range_uv=np.inf, block=1, cause=Reason.WARM_UP, hold_from_s=np.inf, hold_until_s=-np.inf
        ),
        extremes=make_extremes(np.full(2, np.inf), np.zeros(2, np.int64)),
        rhythm=design_rhythm(sfreq, RHYTHM_HZ),
        policy=record(
            POLICY,
            condition=-1,
            pulses=1,
            period_s=1.0 / RHYTHM_HZ,
            plan_ahead_s=0.02,
            horizon_s=2.0 / sfreq,
            next_s=-np.inf,
            last_chance_s=-np.inf,
            sd_limit=np.inf,
        ),
        conditions=np.zeros(1, CONDITION),
        trials=np.zeros(0, TRIAL),
        plan=record(PLAN),
        limits=_no_limits(),
        exposure=make_exposure(np.zeros(0, CAP), np.zeros(0), np.zeros(0), np.zeros((0, 0))),
        gate=record(GATE, last_pulse_s=-np.inf, before_last_s=-np.inf, status_s=-np.inf, coil_c=np.nan),
        witness=record(WITNESS, channel=-1, written_s=np.nan),
        events=make_ring(EVENT, events),
        commands=make_ring(INPUT, COMMAND_CAPACITY),
        inputs=make_ring(INPUT, inputs),
        values=np.zeros((inputs, n_channels)),
    )


def _no_limits() -> NDArray[np.void]:
    """Return limits that are no numbers, and counts of 0: no check passes them."""
    limits = record(LIMITS)
    for name in LIMITS.names or ():
        if LIMITS[name].kind == "f":
            limits[name] = np.nan
    return limits


def with_fields(array: NDArray[np.void], **fields: Any) -> NDArray[np.void]:
    """Return a copy of a one-record array with the named fields replaced."""
    changed: NDArray[np.void] = array.copy()
    for name, value in fields.items():
        changed[name] = value
    return changed
