"""A core that fires on time instead of on phase: for measuring a rig, with the stimulator disarmed.

It is the same core with the same gate. Its estimator turns at a steady rate whatever the EEG holds, and its
limits of signal and rhythm are as wide as they can be; all other checks are those of every session.
"""

import math

import numpy as np
from numpy.typing import NDArray

from closedloop.core.exposure import open_exposure
from closedloop.core.reasons import Reason
from closedloop.core.records import EVENT, INPUT, make_ring
from closedloop.core.state import (
    COMMAND_CAPACITY,
    CONDITION,
    EVENT_CAPACITY,
    GATE,
    INPUT_CAPACITY,
    LIMITS,
    OPEN_LIMITS,
    PLAN,
    POLICY,
    QUALITY,
    TIMING,
    TRIAL,
    WITNESS,
    Core,
    Steps,
    make_extremes,
    make_signals,
    pad_steps,
    record,
)
from closedloop.estimators.interface import LEAD_STEP_S, STEP
from closedloop.jit import compiled
from closedloop.signal.conditioning import design_conditioning
from closedloop.signal.rhythm import design_rhythm

OPEN_DB = -300.0
"""A limit that the rhythm gate, which takes no infinite one, always grants."""
SURE = 1e-3
"""SD of the metronome's phase, in rad."""


@compiled(STEP)
def tick(
    state: NDArray[np.float64],
    x: NDArray[np.float64],
    first: int,
    stop: int,
    z: NDArray[np.complex128],
    sd: NDArray[np.float64],
) -> None:
    """Turn at a steady rate. Slots: turns so far, turns a sample, turns a second."""
    state[0] = (state[0] + state[1]) % 1.0
    for lead in range(first, stop):
        phase = 2.0 * math.pi * (state[0] + state[2] * lead * LEAD_STEP_S)
        z[lead] = complex(math.cos(phase), math.sin(phase))
        sd[lead] = SURE


def metronome(
    sfreq: float,
    *,
    n_channels: int,
    n_pulses: int,
    interval_s: float,
    latency_s: float,
    max_data_age_s: float,
    max_lateness_s: float,
    min_interval_s: float,
    jitter_s: float,
) -> tuple[Core, Steps]:
    """Lay out a core that fires ``n_pulses`` single pulses, ``interval_s`` apart.

    Parameters
    ----------
    sfreq
        Nominal sampling rate in Hz.
    n_channels
        Channels of each sample.
    n_pulses, interval_s
        How many pulses, and how far apart in s.
    latency_s
        From trigger to pulse, in s.
    max_data_age_s, max_lateness_s, min_interval_s
        The gate's limits, in s.
    jitter_s
        How far a sample's stamp may lie from its time, in s.

    Returns
    -------
        Freshly designed state and steps; the gate is disarmed.
    """
    conditioning = design_conditioning(1, sfreq, high_pass_hz=None, notch_hz=())
    rhythm = design_rhythm(sfreq, 10.0)
    rhythm.power[:] = 1.0  # warm from the start: it sees a signal of zeros, whatever the EEG is
    rhythm.progress[0], rhythm.progress[3] = 0.0, 1e9
    trials = np.zeros(n_pulses, TRIAL)
    core = Core(
        timing=record(
            TIMING,
            index=-1,
            period_s=1.0 / sfreq,
            now_s=-np.inf,
            latency_s=latency_s,
            longest_s=1.0,
            jitter_s=jitter_s,
        ),
        conditioning=conditioning,
        signals=make_signals(
            np.zeros(1, np.int64), [np.zeros((1, 1))], [np.array([0.0, 1.0 / (interval_s * sfreq), 1.0 / interval_s])]
        ),
        quality=record(
            QUALITY,
            range_uv=np.inf,
            block=1,
            needed=0,
            cause=Reason.WARM_UP,
            hold_from_s=np.inf,
            hold_until_s=-np.inf,
        ),
        extremes=make_extremes(np.full(2, np.inf), np.zeros(2, np.int64)),
        rhythm=rhythm,
        policy=record(
            POLICY,
            condition=-1,
            pulses=1,
            period_s=interval_s,
            plan_ahead_s=0.02,
            horizon_s=2.0 / sfreq,
            next_s=-np.inf,
            last_chance_s=-np.inf,
            sd_limit=np.inf,
        ),
        conditions=record(CONDITION, percent=0.0),
        trials=trials,
        plan=record(PLAN),
        limits=record(
            LIMITS,
            **OPEN_LIMITS,
            max_pulses=n_pulses,
            min_interval_s=min_interval_s,
            max_lateness_s=max_lateness_s,
            max_data_age_s=max_data_age_s,
            rhythm_snr_db=OPEN_DB,
            max_phase_sd=np.pi,
        ),
        exposure=open_exposure(),
        gate=record(GATE, last_pulse_s=-np.inf, status_s=-np.inf, leased=n_pulses),
        witness=record(WITNESS, channel=-1, written_s=np.nan),
        events=make_ring(EVENT, EVENT_CAPACITY),
        commands=make_ring(INPUT, COMMAND_CAPACITY),
        inputs=make_ring(INPUT, INPUT_CAPACITY),
        values=np.zeros((INPUT_CAPACITY, n_channels)),
    )
    return core, pad_steps([tick])
