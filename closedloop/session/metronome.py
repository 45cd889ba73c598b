"""A core that fires on time instead of on phase: for measuring a rig, with the stimulator disarmed.

It is the same core with the same gate. Its estimator turns at a steady rate whatever the EEG holds, and its
limits of signal and rhythm are as wide as they can be; all other checks are those of every session.
"""

import math

import numpy as np
from numpy.typing import NDArray

from closedloop.core.blank import blank_core, with_fields
from closedloop.core.exposure import open_exposure
from closedloop.core.state import OPEN_LIMITS, TRIAL, Core, Steps, make_signals, pad_steps
from closedloop.estimators.interface import LEAD_STEP_S, STEP
from closedloop.jit import compiled

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
    core = blank_core(n_channels, sfreq)
    core.rhythm.power[:] = 1.0  # warm from the start: it sees a signal of zeros, whatever the EEG is
    core.rhythm.progress[0], core.rhythm.progress[3] = 0.0, 1e9
    core = core._replace(
        timing=with_fields(core.timing, latency_s=latency_s, longest_s=1.0, jitter_s=jitter_s),
        signals=make_signals(
            np.zeros(1, np.int64), [np.zeros((1, 1))], [np.array([0.0, 1.0 / (interval_s * sfreq), 1.0 / interval_s])]
        ),
        policy=with_fields(core.policy, period_s=interval_s),
        trials=np.zeros(n_pulses, TRIAL),
        limits=with_fields(
            core.limits,
            **OPEN_LIMITS,
            max_pulses=n_pulses,
            min_interval_s=min_interval_s,
            max_lateness_s=max_lateness_s,
            max_data_age_s=max_data_age_s,
            rhythm_snr_db=OPEN_DB,
            max_phase_sd=np.pi,
        ),
        exposure=open_exposure(),
        gate=with_fields(core.gate, leased=n_pulses),
    )
    return core, pad_steps([tick])
