"""All state of the compiled core: a tuple of preallocated arrays, each its own allocation.

Nothing here is allocated again while the loop runs, and everything can be stored and loaded, so that
a session replays from the state that it was designed with. Scalars live in one-record arrays whose
fields have names.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from closedloop.core.exposure import CAP, Exposure, make_exposure
from closedloop.core.records import EVENT, INPUT, Ring, make_ring
from closedloop.estimators.interface import N_LEADS, STEP, StepFunction
from closedloop.jit import compiled
from closedloop.signal.conditioning import Conditioning
from closedloop.signal.rhythm import Rhythm

MAX_SIGNALS = 4
"""Named signals of a pipeline; a fixed number keeps one compiled loop for every pipeline."""
N_BLOCKS = 8
"""Blocks of the quality window: its peak-to-peak value covers between 7 and 8 of them."""
EVENT_CAPACITY = 4096
INPUT_CAPACITY = 16384
COMMAND_CAPACITY = 64

NO_PLAN, PENDING, COMMITTED = range(3)
"""States of the plan."""

TIMING = np.dtype(
    [
        ("index", "i8"),  # of the newest sample, counting missing ones; -1 before the first
        ("time_s", "f8"),  # its time stamp on the fitted clock
        ("period_s", "f8"),
        ("now_s", "f8"),  # the newest time that the core was told
        ("correction_s", "f8"),  # of the stream's clock
        ("delay_s", "f8"),  # electrode to time stamp
        ("latency_s", "f8"),  # trigger to pulse
        ("longest_s", "f8"),  # longest estimator window: more missing samples than it change nothing
        ("missing", "i8"),  # samples that never came
        ("unordered", "i8"),  # samples that were dropped: duplicates, back-dated, no time stamp
        ("drift", "f8"),  # share by which the fitted clock's period is longer than the nominal one
        ("jitter_s", "f8"),  # a stamp may lie so far from the fit without meaning missing or repeated samples
        ("stamp_s", "f8"),  # the newest sample's own stamp, corrected
        ("rate_from_s", "f8"),  # where the window began over which the sampling rate is watched
        ("rate_samples", "i8"),  # samples that came since; 0: it begins with the next
        ("off_rate", "i8"),  # 1 where the last window's rate was not the nominal one
    ],
    align=True,
)

QUALITY = np.dtype(
    [
        ("flat_uv", "f8"),
        ("range_uv", "f8"),
        ("block", "i8"),  # samples per block
        ("filled", "i8"),  # samples in the running block
        ("place", "i8"),  # of the running block
        ("clean", "i8"),  # nominal samples since the last that was not clean
        ("needed", "i8"),  # so many of them fill the quality window
        ("cause", "i8"),  # Reason of the newest sample that was not clean
        ("hold_from_s", "f8"),  # at the electrode
        ("hold_until_s", "f8"),
        ("hold_s", "f8"),
        ("holding", "i8"),
    ],
    align=True,
)

POLICY = np.dtype(
    [
        ("signal", "i8"),  # the target's
        ("trial", "i8"),  # the next one to use
        ("condition", "i8"),  # that Python has set for it, or -1
        ("paused", "i8"),
        ("pulses", "i8"),  # of each plan
        ("pulse_interval_s", "f8"),
        ("period_s", "f8"),  # of the rhythm
        ("plan_ahead_s", "f8"),
        ("horizon_s", "f8"),  # a plan whose trigger is nearer than this to the newest stamp is committed
        ("next_s", "f8"),  # earliest due time of the next trial
        ("last_chance_s", "f8"),  # due time of the chance that was recorded last
        ("sd_limit", "f8"),  # rad, set by the wanted rate
        ("wanted_hz", "f8"),  # trials a second, for the running limit
        ("rate_gain", "f8"),  # 0: the limit stays
    ],
    align=True,
)

PLAN = np.dtype(
    [
        ("status", "i8"),
        ("sample", "i8"),
        ("pulse", "i8"),
        ("pulses", "i8"),
        ("condition", "i8"),
        ("requested", "i8"),  # condition that Python had set for it, or -1
        ("target", "f8"),
        ("due_s", "f8"),
        ("lead_s", "f8"),
        ("sd", "f8"),
        ("amplitude", "f8"),
        ("snr_db", "f8"),
        ("percent", "f8"),  # intensity, of the maximum stimulator output
        ("percent_of_threshold", "f8"),  # of the resting motor threshold, NaN where that is not known
    ],
    align=True,
)

CONDITION = np.dtype(
    [
        ("target", "f8"),  # rad, NaN for a random one
        ("percent", "f8"),
        ("percent_of_threshold", "f8"),
    ],
    align=True,
)

TRIAL = np.dtype(
    [
        ("condition", "i8"),
        ("withheld", "i8"),
        ("random_target", "f8"),  # rad, for a condition without a phase of its own
        ("wait_s", "f8"),  # from this trial's last pulse to the next trial
    ],
    align=True,
)

LIMITS = np.dtype(
    [
        ("max_pulses", "i8"),
        ("min_interval_s", "f8"),
        ("max_lateness_s", "f8"),
        ("max_data_age_s", "f8"),
        ("rhythm_snr_db", "f8"),
        ("max_phase_sd", "f8"),  # rad
        ("max_percent", "f8"),  # of the maximum stimulator output
        ("max_train_pulses", "i8"),
        ("min_train_gap_s", "f8"),  # from the last pulse before it to a train
        ("recharge_s", "f8"),
        ("max_pulses_day", "i8"),  # within 24 h
        ("max_pulses_course", "i8"),
        ("min_session_gap_s", "f8"),  # from the last pulse before the session to its first
        ("max_status_age_s", "f8"),  # of what the stimulator says of itself
        ("max_coil_c", "f8"),
    ],
    align=True,
)

OPEN_LIMITS = {
    "max_percent": 100.0,
    "max_train_pulses": 2**31,
    "min_train_gap_s": 0.0,
    "recharge_s": 0.0,
    "max_pulses_day": 2**62,
    "max_pulses_course": 2**62,
    "min_session_gap_s": 0.0,
    "max_status_age_s": 1e9,
    "max_coil_c": 1e3,
}
"""What holds no pulse back, for where nothing is stimulated: a rig that is measured, a benchmark. A limit that is
infinite would refuse."""

GATE = np.dtype(
    [
        ("armed", "i8"),
        ("stopped", "i8"),
        ("device_ready", "i8"),
        ("pulses", "i8"),  # delivered in this session
        ("last_pulse_s", "f8"),
        ("disarmed_by", "i8"),  # Reason of the last disarming that nobody asked for
        ("armed_from_s", "f8"),  # no pulse is due before this
        ("stream_broken", "i8"),  # 1 from when the stream broke off until there is one again: nothing arms
        ("status_s", "f8"),  # when the stimulator was heard of last
        ("coil_c", "f8"),  # temperature that it told, NaN where it told none
        ("before_day", "i8"),  # pulses of the 24 h before the session
        ("before_course", "i8"),  # pulses of the course before it
        ("before_last_s", "f8"),  # when the last pulse before the session reached the tissue; -inf where none is known
        ("leased", "i8"),  # pulses of this session that are on disk as given, should the power fail
    ],
    align=True,
)


WITNESS = np.dtype(
    [
        ("channel", "i8"),  # place of the trigger channel in a sample, or -1 where there is none
        ("threshold", "f8"),  # a value above it is high
        ("expected_s", "f8"),  # from writing a trigger to the stamp of the sample that shows it
        ("tolerance_s", "f8"),
        ("high", "i8"),
        ("written_s", "f8"),  # when the trigger was written that has not been seen yet, NaN for none
    ],
    align=True,
)


class Signals(NamedTuple):
    """The named signals: spatial filters, estimators and their newest outputs.

    Attributes
    ----------
    used
        Array of shape (n_used,): places of the channels that any signal reads.
    clean
        Array of shape (n_used,): their newest conditioned values in µV.
    weights
        Array of shape (n_inputs, n_used): spatial filters of all signals' inputs.
    first_input
        Array of shape (n_signals + 1,): where each signal's inputs begin.
    x
        Array of shape (n_inputs,): newest inputs in µV, NaN where not clean.
    states
        One state array per signal.
    z, sd
        Arrays of shape (MAX_SIGNALS, N_LEADS): newest predictions in µV and their phase SD in rad.
    """

    used: NDArray[np.int64]
    clean: NDArray[np.float64]
    weights: NDArray[np.float64]
    first_input: NDArray[np.int64]
    x: NDArray[np.float64]
    states: tuple[NDArray[np.float64], ...]
    z: NDArray[np.complex128]
    sd: NDArray[np.float64]


class Extremes(NamedTuple):
    """Lowest and highest values per block, for peak-to-peak limits.

    Attributes
    ----------
    low, high
        Arrays of shape (N_BLOCKS, n_rows); rows are the used channels, then the signals.
    past_low, past_high
        Arrays of shape (n_rows,): the same over all blocks but the running one, so that they need not be gone through
        at every pulse.
    ceiling
        Array of shape (n_rows,): peak-to-peak limits in µV, infinite where there is none.
    watched
        Array of shape (n_rows,): 1 where a flat row refuses.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    past_low: NDArray[np.float64]
    past_high: NDArray[np.float64]
    ceiling: NDArray[np.float64]
    watched: NDArray[np.int64]


class Core(NamedTuple):
    """Everything the compiled functions read and write."""

    timing: NDArray[np.void]
    conditioning: Conditioning
    signals: Signals
    quality: NDArray[np.void]
    extremes: Extremes
    rhythm: Rhythm
    policy: NDArray[np.void]
    conditions: NDArray[np.void]
    trials: NDArray[np.void]
    plan: NDArray[np.void]
    limits: NDArray[np.void]
    exposure: Exposure
    gate: NDArray[np.void]
    witness: NDArray[np.void]
    events: Ring
    commands: Ring
    inputs: Ring
    values: NDArray[np.float64]


@compiled(STEP)
def silent(
    state: NDArray[np.float64],
    x: NDArray[np.float64],
    first: int,
    stop: int,
    z: NDArray[np.complex128],
    sd: NDArray[np.float64],
) -> None:
    """Estimate nothing: the step of a signal that only gates."""
    for lead in range(first, stop):
        z[lead] = complex(np.nan, np.nan)
        sd[lead] = np.nan


def make_signals(
    used: NDArray[np.int64], weights: Sequence[NDArray[np.float64]], states: Sequence[NDArray[np.float64]]
) -> Signals:
    """Lay out named signals.

    Parameters
    ----------
    used
        Places of the channels that the weights refer to, of shape (n_used,).
    weights
        For each signal an array of shape (n_inputs of the signal, n_used).
    states
        For each signal its estimator's designed state.
    """
    spare = [np.zeros(1) for _ in range(MAX_SIGNALS - len(states))]
    counts = [0, *(len(w) for w in weights)]
    return Signals(
        used=np.asarray(used, np.int64),
        clean=np.full(len(used), np.nan),
        weights=np.ascontiguousarray(np.concatenate(weights), dtype=float),
        first_input=np.cumsum(counts).astype(np.int64),
        x=np.full(sum(counts), np.nan),
        states=(*(s.copy() for s in states), *spare),
        z=np.full((MAX_SIGNALS, N_LEADS), np.nan + 0j, np.complex128),
        sd=np.full((MAX_SIGNALS, N_LEADS), np.nan),
    )


def make_extremes(ceiling: NDArray[np.float64], watched: NDArray[np.int64]) -> Extremes:
    """Return empty blocks for rows with these peak-to-peak limits."""
    rows = len(ceiling)
    return Extremes(
        low=np.full((N_BLOCKS, rows), np.inf),
        high=np.full((N_BLOCKS, rows), -np.inf),
        past_low=np.full(rows, np.inf),
        past_high=np.full(rows, -np.inf),
        ceiling=np.asarray(ceiling, dtype=float),
        watched=np.asarray(watched, np.int64),
    )


def record(kind: np.dtype[np.void], **fields: float) -> NDArray[np.void]:
    """Return a one-record array with the named fields set and the others zero."""
    array: NDArray[np.void] = np.zeros(1, kind)
    for name, value in fields.items():
        array[name] = value
    return array


def make_example() -> Core:
    """Return the smallest core: what numba derives its type from, and the shape of every other."""
    empty = np.zeros((1, 1))
    return Core(
        timing=record(TIMING),
        conditioning=Conditioning(np.zeros((0, 5)), np.zeros((0, 2, 1)), np.zeros(1, np.int64)),
        signals=make_signals(np.zeros(1, np.int64), [empty], [np.zeros(1)]),
        quality=record(QUALITY),
        extremes=make_extremes(np.zeros(2), np.zeros(2, np.int64)),
        rhythm=Rhythm(
            np.zeros(1, complex), np.zeros((1, 2), complex), np.zeros(1), np.zeros(1), np.zeros(4), np.zeros(4)
        ),
        policy=record(POLICY),
        conditions=np.zeros(1, CONDITION),
        trials=np.zeros(1, TRIAL),
        plan=record(PLAN),
        limits=record(LIMITS),
        exposure=make_exposure(np.zeros(1, CAP), np.zeros(1), np.zeros(1), np.zeros((1, 1))),
        gate=record(GATE),
        witness=record(WITNESS, channel=-1),
        events=make_ring(EVENT, 1),
        commands=make_ring(INPUT, 1),
        inputs=make_ring(INPUT, 1),
        values=empty,
    )


CORE = numba.typeof(make_example())
"""numba's type of every core."""
STEPS = types.UniTuple(types.FunctionType(STEP), MAX_SIGNALS)
"""numba's type of the estimators' steps."""
Steps = tuple[StepFunction, ...]


def pad_steps(steps: Sequence[StepFunction]) -> Steps:
    """Return as many steps as the loop expects, silent ones in the unused places."""
    return (*steps, *(silent for _ in range(MAX_SIGNALS - len(steps))))
