"""A small core, and a compiled driver that gives it whole runs: what the random runs of the safety gate are made of.

One channel of EEG and one that shows triggers, two signals of which the second must be quiet, and an estimator that
knows the phase but for a wobble. The driver stands where the live loop stands: it meets the deadlines that the core
asks for, writes triggers, and reads the ring of decisions. What it told the core is recorded input by input, so that
others can judge the decisions by it.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from closedloop.core.atomics import load_acquire, store_release
from closedloop.core.blank import blank_core, with_fields
from closedloop.core.clock import trigger_time
from closedloop.core.command import on_clock, on_command, on_device, on_stream
from closedloop.core.deadline import next_deadline, on_deadline, on_written
from closedloop.core.exposure import CAP, make_exposure
from closedloop.core.gate import disarm
from closedloop.core.reasons import Reason
from closedloop.core.records import EVENT, HELD_UP, INPUT, READ, WRITTEN, InputKind
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
from closedloop.estimators.interface import LEAD_STEP_S, STEP
from closedloop.jit import compiled, inner

SFREQ = 100.0
SAMPLE_S = 1.0 / SFREQ
RHYTHM_HZ = 10.0
PERIOD_S = 1.0 / RHYTHM_HZ
AMPLITUDE_UV = 20.0
FATAL_UV = 777.0
"""A sample at which the estimator fails."""
NEEDED = 20
"""Clean samples that a quality window holds."""

LATE, WRITES, READER, WITNESS_LATE, HELD_UP_FOR = 100, 101, 102, 103, 104
"""What changes around the core, beside inputs: how late deadlines are met, how triggers are written, whether anybody
reads the decisions, how late a trigger shows in its channel, and how long the loop is held up before it writes one."""

ROW = np.dtype(
    [
        ("kind", "i8"),  # InputKind, or one of these
        ("code", "i8"),  # of the input; errno of writes; 1 where nobody reads, or no trigger shows
        ("value", "f8"),  # of the input; s late; after how many rows a write is acknowledged, negative for never
        ("timestamp", "f8"),
        ("now", "f8"),
        ("exact", "i8"),  # 1: it is told at just that time, however wrong; 0: no sooner than what came before
        ("high", "f8"),  # of the second channel, a trigger apart
        ("uv", "f8"),  # of the first
    ],
    align=True,
)

COUNT, PHASE, HZ, SD, SWING, WINDOW, CLEAN, FAILURES, WOBBLE = range(9)
"""Slots of the estimator's state: samples so far, rad, Hz, rad, rad, samples, samples, how often it failed, rad."""


@compiled(STEP)
def wobbling_rotor(
    state: NDArray[np.float64],
    x: NDArray[np.float64],
    first: int,
    stop: int,
    z: NDArray[np.complex128],
    sd: NDArray[np.float64],
) -> None:
    """Predict a rotation that wobbles, whatever the samples hold but for the fatal value."""
    count = state[COUNT]
    state[COUNT] += 1.0
    if x[0] == FATAL_UV:
        state[FAILURES] += 1.0
        raise ValueError("this estimator fails")
    state[CLEAN] = state[CLEAN] + 1.0 if math.isfinite(x[0]) else 0.0
    wobble = state[WOBBLE] * math.sin(2.0 * math.pi * count / 37.0)
    error = state[SD] + state[SWING] * (int(count) // 50 % 2)
    for lead in range(first, stop):
        if state[CLEAN] < state[WINDOW]:
            z[lead] = complex(np.nan, np.nan)
            sd[lead] = np.nan
            continue
        phase = state[PHASE] + wobble + 2.0 * math.pi * state[HZ] * (count / SFREQ + lead * LEAD_STEP_S)
        z[lead] = complex(AMPLITUDE_UV * math.cos(phase), AMPLITUDE_UV * math.sin(phase))
        sd[lead] = error


ESTIMATORS: Steps = pad_steps([wobbling_rotor])


@dataclass(frozen=True)
class Setting:
    """What one run's core is given, and what its decisions are judged by.

    Attributes
    ----------
    limits
        Fields of ``LIMITS`` that hold something back; the others are open.
    caps
        Windows in s and pulses.
    frequencies_hz, percents, longest_s, most_pulses, pause_s
        Of the table of trains; without frequencies it holds nothing back.
    before_day, before_course, before_last_s, leased
        What the dose record says.
    pulses, pulse_interval_s
        Of each plan.
    targets, percents_of_maximum
        Of each condition, rad and percent.
    percent_of_threshold
        Of all conditions.
    waits_s, withheld
        Of each trial.
    hold_s, range_uv, artifact_uv, quiet_uv, flat_uv
        Of the signals' quality.
    latency_s, delay_s, jitter_s
        Of the rig.
    phase, rhythm_hz, sd, swing, wobble, window
        Of the estimator.
    sd_limit
        Of the policy, rad.
    cold
        Whether the rhythm's SNR has still to warm up.
    witness_s
        From a trigger to its showing in the second channel, in s; None: nobody looks there.
    tolerance_s
        How far from there it may show.
    places
        Of the ring of decisions.
    """

    limits: dict[str, float]
    caps: tuple[tuple[float, int], ...] = ()
    frequencies_hz: tuple[float, ...] = ()
    percents: tuple[float, ...] = ()
    longest_s: tuple[tuple[float, ...], ...] = ()
    most_pulses: tuple[tuple[int, ...], ...] | None = None
    pause_s: float | None = None
    before_day: int = 0
    before_course: int = 0
    before_last_s: float = -math.inf
    leased: int = 10**6
    pulses: int = 1
    pulse_interval_s: float = 0.06
    targets: tuple[float, ...] = (math.pi,)
    percents_of_maximum: tuple[float, ...] = (50.0,)
    percent_of_threshold: float = 100.0
    waits_s: tuple[float, ...] = (0.0,) * 1000
    withheld: tuple[bool, ...] = (False,) * 1000
    hold_s: float = 0.0
    range_uv: float = 5000.0
    artifact_uv: float = 150.0
    quiet_uv: float = math.inf
    flat_uv: float = 0.1
    latency_s: float = 0.02
    delay_s: float = 0.0
    jitter_s: float = 0.0
    phase: float = 0.0
    rhythm_hz: float = RHYTHM_HZ
    sd: float = 0.1
    swing: float = 0.0
    wobble: float = 0.0
    window: int = 1
    sd_limit: float = math.inf
    cold: bool = False
    witness_s: float | None = None
    tolerance_s: float = 0.012
    places: int = 4096


ALWAYS = {
    "max_pulses": 10**6,
    "min_interval_s": 0.05,
    "max_lateness_s": 0.001,
    "max_data_age_s": 0.05,
    "rhythm_snr_db": -300.0,
    "max_phase_sd": 0.5,
    "max_coil_c": 40.0,
    "max_status_age_s": 0.35,
}
"""Limits of every run, but for those that it sets itself."""


def lay_out(setting: Setting) -> Core:
    """Return a run's core: disarmed, and with a quality window that is still empty."""
    core = blank_core(2, SFREQ, events=setting.places, inputs=1)
    trials = np.zeros(len(setting.waits_s), TRIAL)
    trials["condition"] = np.arange(trials.size) % len(setting.targets)
    trials["wait_s"], trials["withheld"] = setting.waits_s, setting.withheld
    conditions = np.zeros(len(setting.targets), CONDITION)
    conditions["target"], conditions["percent"] = setting.targets, setting.percents_of_maximum[: conditions.size]
    conditions["percent_of_threshold"] = setting.percent_of_threshold
    rhythm = core.rhythm
    rhythm.power[:] = 1.0
    rhythm.progress[0], rhythm.progress[3] = 0.0, 0.0 if setting.cold else 1e9
    estimator = np.zeros(9)
    for slot, value in ((PHASE, setting.phase), (HZ, setting.rhythm_hz), (SD, setting.sd), (SWING, setting.swing)):
        estimator[slot] = value
    estimator[WINDOW], estimator[WOBBLE] = setting.window, setting.wobble
    one = np.ones((1, 1))
    return core._replace(
        timing=with_fields(
            core.timing,
            latency_s=setting.latency_s,
            delay_s=setting.delay_s,
            jitter_s=setting.jitter_s,
            longest_s=1.0,
        ),
        signals=make_signals(np.zeros(1, np.int64), [one, one], [estimator, np.zeros(1)]),
        quality=with_fields(
            core.quality,
            flat_uv=setting.flat_uv,
            range_uv=setting.range_uv,
            block=math.ceil(NEEDED / (N_BLOCKS - 1)),
            needed=NEEDED,
            hold_s=setting.hold_s,
        ),
        extremes=make_extremes(np.array([setting.artifact_uv, math.inf, setting.quiet_uv]), np.array([1, 0, 0])),
        policy=with_fields(
            core.policy, pulses=setting.pulses, pulse_interval_s=setting.pulse_interval_s, sd_limit=setting.sd_limit
        ),
        conditions=conditions,
        trials=trials,
        limits=with_fields(core.limits, **OPEN_LIMITS | ALWAYS | setting.limits),
        exposure=_exposure(setting),
        gate=with_fields(
            core.gate,
            before_day=setting.before_day,
            before_course=setting.before_course,
            before_last_s=setting.before_last_s,
            leased=setting.leased,
        ),
        witness=core.witness
        if setting.witness_s is None
        else with_fields(
            core.witness, channel=1, threshold=0.5, expected_s=setting.witness_s, tolerance_s=setting.tolerance_s
        ),
    )


def _exposure(setting: Setting) -> Any:
    caps = np.array(list(setting.caps), CAP)
    if not setting.frequencies_hz:
        return make_exposure(caps, np.array([1e6]), np.array([1e3]), np.array([[1e9]]))
    return make_exposure(
        caps,
        np.array(setting.frequencies_hz),
        np.array(setting.percents),
        np.array(setting.longest_s),
        most_pulses=None if setting.most_pulses is None else np.array(setting.most_pulses),
        pause_s=setting.pause_s,
    )


class Log(NamedTuple):
    """What happened in a run, input by input.

    Attributes
    ----------
    told
        Array of records of type ``INPUT``, in order.
    values
        Array of shape (n_samples, 2): the samples that they refer to.
    fired
        Array like ``told``: 1 where the core said that a trigger is to be written.
    index, time_s
        Arrays like it: place and time that the core gave the sample, which is -1 and NaN for others and where it
        dropped the sample.
    failures
        Array like it: how often the estimator had failed by then.
    events, event_at
        Records of type ``EVENT``, and after which input each was written.
    counts
        Array: inputs, events, and rows of ``values`` so far.
    """

    told: NDArray[np.void]
    values: NDArray[np.float64]
    fired: NDArray[np.int64]
    index: NDArray[np.int64]
    time_s: NDArray[np.float64]
    failures: NDArray[np.int64]
    events: NDArray[np.void]
    event_at: NDArray[np.int64]
    counts: NDArray[np.int64]


def make_log(capacity: int) -> Log:
    """Return an empty log with room for so many inputs."""
    return Log(
        told=np.zeros(capacity, INPUT),
        values=np.zeros((capacity, 2)),
        fired=np.zeros(capacity, np.int64),
        index=np.full(capacity, -1),
        time_s=np.full(capacity, np.nan),
        failures=np.zeros(capacity, np.int64),
        events=np.zeros(2 * capacity, EVENT),
        event_at=np.zeros(2 * capacity, np.int64),
        counts=np.zeros(3, np.int64),
    )


_LATE_S, _LINE, _ACKNOWLEDGED, _BLOCKED, _SHOWN_LATE_S, _HIDDEN, _DUE_ROW, _DUE_CODE = range(8)
_WRITTEN_S, _HELD_UP_S, _FREE_S = range(8, 11)
"""Places of what goes on around the core: seconds late, errno, rows until a write is acknowledged, whether nobody
reads, how much later a trigger shows, whether none does, the row at which a write is acknowledged and with what;
when the last trigger was written, for how long the loop is held up after the gate's word, and until when it was."""


@inner
def _tell(core: Core, steps: Steps, log: Log, around: NDArray[np.float64], row: np.void, now: float) -> bool:
    """Give the core one input, record it and what came of it, and return whether it fires."""
    place = log.counts[0]
    record = log.told[place]
    record["number"] = place
    record["kind"], record["code"], record["value"] = row["kind"], row["code"], row["value"]
    record["timestamp"], record["now"] = row["timestamp"], now
    kind = row["kind"]
    fires = False
    if kind == InputKind.SAMPLE:
        sample = log.counts[2]
        record["code"] = sample
        log.values[sample, 0], log.values[sample, 1] = row["uv"], row["high"]
        since_s = row["timestamp"] - around[_WRITTEN_S] - around[_SHOWN_LATE_S]
        if around[_HIDDEN] == 0.0 and 0.0 <= since_s and since_s < 0.03:
            log.values[sample, 1] = 1.0
        log.counts[2] += 1
        before = core.timing[0]["index"]
        guarded_sample(core, steps, log.values[sample], row["timestamp"], now, row["value"])
        if core.timing[0]["index"] != before:
            log.index[place], log.time_s[place] = core.timing[0]["index"], core.timing[0]["time_s"]
    elif kind == InputKind.DEADLINE:
        fires = on_deadline(core, now)
    elif kind == InputKind.COMMAND:
        on_command(core, row["code"], row["value"], now)
    elif kind == InputKind.WRITTEN:
        on_written(core, row["code"], now)
    elif kind == InputKind.CLOCK:
        on_clock(core, row["value"])
    elif kind == InputKind.DEVICE:
        record["timestamp"] = now  # it was asked just then
        on_device(core, row["code"], row["value"], now, now)
    elif kind == InputKind.STREAM:
        on_stream(core, row["code"], now)
    else:
        disarm(core, Reason.NOT_ARMED)  # as the replay does
    log.fired[place] = 1 if fires else 0
    log.failures[place] = int(core.signals.states[0][FAILURES])
    log.counts[0] += 1
    _read(core, log, around, place)
    return fires


@inner
def _read(core: Core, log: Log, around: NDArray[np.float64], place: int) -> None:
    """Copy new decisions; give their places back unless nobody is said to read them."""
    ring = core.events
    written = load_acquire(ring.indices, WRITTEN)
    while log.counts[1] < written:
        log.events[log.counts[1]] = ring.records[log.counts[1] % ring.records.size]
        log.event_at[log.counts[1]] = place
        log.counts[1] += 1
    if around[_BLOCKED] == 0.0:
        store_release(ring.indices, READ, written)


@inner
def _acknowledge(
    core: Core, steps: Steps, log: Log, around: NDArray[np.float64], spare: NDArray[np.void], code: int, at_s: float
) -> None:
    around[_DUE_ROW] = np.inf
    spare[0]["kind"], spare[0]["code"], spare[0]["value"] = InputKind.WRITTEN, code, 0.0
    spare[0]["timestamp"] = np.nan
    _tell(core, steps, log, around, spare[0], at_s)


@inner
def _write(
    core: Core,
    steps: Steps,
    log: Log,
    around: NDArray[np.float64],
    spare: NDArray[np.void],
    row: int,
    now: float,
    trigger_s: float,
) -> None:
    """Write a trigger when the loop is no longer held up; too late, it never leaves, as in the live loop."""
    around[_FREE_S] = now + around[_HELD_UP_S]
    if not around[_FREE_S] - trigger_s <= core.limits[0]["max_lateness_s"]:
        _acknowledge(core, steps, log, around, spare, HELD_UP, around[_FREE_S])
        return
    around[_WRITTEN_S], around[_DUE_CODE] = around[_FREE_S], around[_LINE]
    if around[_ACKNOWLEDGED] == 0.0:
        _acknowledge(core, steps, log, around, spare, int(around[_DUE_CODE]), around[_WRITTEN_S])
    elif around[_ACKNOWLEDGED] > 0.0:
        around[_DUE_ROW] = row + around[_ACKNOWLEDGED]


@inner
def _meet(
    core: Core, steps: Steps, log: Log, around: NDArray[np.float64], spare: NDArray[np.void], until_s: float, row: int
) -> None:
    """Meet the deadlines before a time, as late as the loop is just now."""
    due = next_deadline(core)
    met = 0
    while due <= until_s and met < 20:
        met += 1
        now = max(due + around[_LATE_S], core.timing[0]["now_s"], around[_FREE_S])
        trigger_s = trigger_time(core)
        spare[0]["kind"], spare[0]["code"], spare[0]["value"] = InputKind.DEADLINE, 0, 0.0
        spare[0]["timestamp"] = np.nan
        if _tell(core, steps, log, around, spare[0], now):
            _write(core, steps, log, around, spare, row, now, trigger_s)
        due = next_deadline(core)


ROWS = types.Array(numba.from_dtype(ROW), 1, "C")


@compiled(types.void(CORE, STEPS, ROWS, numba.typeof(make_log(1)), types.float64[::1], ROWS))
def _drive(
    core: Core,
    steps: Steps,
    rows: NDArray[np.void],
    log: Log,
    around: NDArray[np.float64],
    spare: NDArray[np.void],
) -> None:
    """Give a whole run to the core."""
    for place in range(rows.size):
        row = rows[place]
        kind = row["kind"]
        if around[_DUE_ROW] <= place:
            _acknowledge(core, steps, log, around, spare, int(around[_DUE_CODE]), around[_WRITTEN_S])
        if kind == LATE:
            around[_LATE_S] = row["value"]
        elif kind == WRITES:
            around[_LINE], around[_ACKNOWLEDGED] = row["code"], row["value"]
        elif kind == READER:
            around[_BLOCKED] = row["code"]
        elif kind == WITNESS_LATE:
            around[_SHOWN_LATE_S], around[_HIDDEN] = row["value"], row["code"]
        elif kind == HELD_UP_FOR:
            around[_HELD_UP_S] = row["value"]
        else:
            now = row["now"]
            if row["exact"] == 0:
                _meet(core, steps, log, around, spare, now, place)
                now = max(now, core.timing[0]["now_s"], around[_FREE_S])
            _tell(core, steps, log, around, row, now)


def drive(core: Core, rows: NDArray[np.void]) -> Log:
    """Give a run, records of type ``ROW``, to a core; return what was told and what came of it."""
    log = make_log(6 * rows.size + 64)
    around = np.zeros(11)
    around[_DUE_ROW], around[_WRITTEN_S], around[_FREE_S] = np.inf, -np.inf, -np.inf
    _drive(core, ESTIMATORS, rows, log, around, np.zeros(1, ROW))
    told, events, samples = log.counts
    parts = {name: getattr(log, name)[:told] for name in ("told", "fired", "index", "time_s", "failures")}
    return log._replace(
        **parts, values=log.values[:samples], events=log.events[:events], event_at=log.event_at[:events]
    )
