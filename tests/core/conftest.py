"""A small core: one channel, and an estimator that knows the phase exactly."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from closedloop.core.blank import blank_core, with_fields
from closedloop.core.exposure import Exposure, open_exposure
from closedloop.core.pulse_artifact import PulseArtifact, make_artifact
from closedloop.core.reasons import Reason
from closedloop.core.records import EVENT, INPUT, EventKind, InputKind
from closedloop.core.replay import Drained, _repeat, play, replay
from closedloop.core.state import (
    CONDITION,
    OPEN_LIMITS,
    TRIAL,
    Core,
    Steps,
    make_extremes,
    make_signals,
    pad_steps,
)
from closedloop.estimators.interface import LEAD_STEP_S, STEP
from closedloop.jit import compiled
from closedloop.signal.rhythm import Rhythm, design_rhythm

SFREQ = 100.0
RHYTHM_HZ = 10.0
PERIOD_S = 1.0 / RHYTHM_HZ
AMPLITUDE_UV = 20.0


@compiled(STEP)
def rotor(
    state: NDArray[np.float64],
    x: NDArray[np.float64],
    first: int,
    stop: int,
    z: NDArray[np.complex128],
    sd: NDArray[np.float64],
) -> None:
    """Predict a perfect rotation that counts nominal samples, whatever the samples hold.

    Slots: samples so far, phase of the first (rad), frequency (Hz), sampling rate (Hz), SD (rad),
    window (samples), clean samples so far, sample at which it fails, or -1.
    """
    count = state[0]
    state[0] += 1.0
    if state[7] >= 0.0 and count >= state[7]:
        raise ValueError("this estimator fails")
    state[6] = state[6] + 1.0 if math.isfinite(x[0]) else 0.0
    for lead in range(first, stop):
        if state[6] < state[5]:
            z[lead] = complex(np.nan, np.nan)
            sd[lead] = np.nan
            continue
        phase = state[1] + 2.0 * math.pi * state[2] * (count / state[3] + lead * LEAD_STEP_S)
        z[lead] = complex(AMPLITUDE_UV * math.cos(phase), AMPLITUDE_UV * math.sin(phase))
        sd[lead] = state[4]


def warm_rhythm(sfreq: float) -> Rhythm:
    """Return resonators that are warmed up to 0 dB."""
    rhythm = design_rhythm(sfreq, RHYTHM_HZ)
    rhythm.power[:] = 1.0
    rhythm.progress[0], rhythm.progress[3] = 0.0, 1e9
    return rhythm


def draw_conditions(
    targets: tuple[float, ...], percent: float = 50.0, percent_of_threshold: float = 100.0
) -> NDArray[np.void]:
    """Return conditions with these phases in rad and one intensity."""
    conditions = np.zeros(len(targets), CONDITION)
    conditions["target"], conditions["percent"] = targets, percent
    conditions["percent_of_threshold"] = percent_of_threshold
    return conditions


def draw_core(
    *,
    sfreq: float = SFREQ,
    phase: float = 0.0,
    sd: float = 0.1,
    window: int = 1,
    fails_at: int = -1,
    n_signals: int = 1,
    ceilings_uv: tuple[float, ...] | None = None,
    targets: tuple[float, ...] = (math.pi,),
    n_trials: int = 1000,
    wait_s: float = 0.0,
    trials: Mapping[str, Any] | None = None,
    events: int = 4096,
    inputs: int = 16384,
    exposure: Exposure | None = None,
    percent: float = 50.0,
    percent_of_threshold: float = 100.0,
    **records: Mapping[str, float],
) -> Core:
    """Lay out a core that is armed, warm and would fire at every crossing.

    Parameters
    ----------
    sfreq
        Sampling rate in Hz.
    phase, sd
        Of the perfect estimator, in rad.
    window
        Clean samples that it asks for.
    fails_at
        Sample at which it raises; -1: never.
    n_signals
        All signals read the one channel; those after the first only gate.
    ceilings_uv
        Peak-to-peak limits of the channel and of each signal, in µV.
    targets
        Phases of the conditions, in rad.
    n_trials, wait_s, trials
        Trials, the wait after each, and arrays that replace a field of them all.
    events, inputs
        Sizes of the rings.
    exposure
        Windows and table; None: they hold no pulse back.
    percent, percent_of_threshold
        Intensity of every condition.
    records
        Fields of ``timing``, ``quality``, ``policy``, ``limits``, ``gate`` and ``witness``.
    """
    block = int(np.ceil(0.2 * sfreq / 7))
    state = np.array([0.0, phase, RHYTHM_HZ, sfreq, sd, window, 0.0, fails_at])
    listed = np.zeros(n_trials, TRIAL)
    listed["condition"] = np.arange(n_trials) % len(targets)
    listed["wait_s"] = wait_s
    for name, value in (trials or {}).items():
        listed[name] = value
    core = blank_core(1, sfreq, events=events, inputs=inputs)

    def fields(name: str, **defaults: float) -> NDArray[np.void]:
        return with_fields(getattr(core, name), **{**defaults, **records.get(name, {})})

    extremes = make_extremes(np.array(ceilings_uv or (150.0, *[np.inf] * n_signals)), np.array([1] + [0] * n_signals))
    # As warm as the rest: the blocks have seen the sine that comes.
    extremes.low[:], extremes.high[:] = -AMPLITUDE_UV, AMPLITUDE_UV
    extremes.past_low[:], extremes.past_high[:] = -AMPLITUDE_UV, AMPLITUDE_UV
    return core._replace(
        timing=fields("timing", latency_s=0.02, longest_s=1.0),
        signals=make_signals(
            np.zeros(1, np.int64), [np.ones((1, 1))] * n_signals, [state, *[np.zeros(1)] * (n_signals - 1)]
        ),
        quality=fields("quality", flat_uv=0.1, block=block, clean=10**6, needed=round(0.2 * sfreq)),
        extremes=extremes,
        rhythm=warm_rhythm(sfreq),
        policy=fields("policy", period_s=PERIOD_S),
        conditions=draw_conditions(targets, percent, percent_of_threshold),
        trials=listed,
        limits=fields(
            "limits",
            **OPEN_LIMITS,
            max_pulses=10**6,
            min_interval_s=0.05,
            max_lateness_s=0.001,
            max_data_age_s=0.1,
            rhythm_snr_db=-300.0,
            max_phase_sd=0.5,
        ),
        exposure=exposure or open_exposure(),
        gate=fields("gate", armed=1, device_ready=1, status_s=-1e6, armed_from_s=-np.inf, leased=10**6, coil_c=0.0),
        witness=fields("witness"),
    )


STEPS: Steps = pad_steps([rotor])


def draw_sine(seconds: float, *, sfreq: float = SFREQ) -> NDArray[np.float64]:
    """Return samples of shape (n_samples, 1) in µV of what the estimator follows."""
    times_s = np.arange(round(seconds * sfreq)) / sfreq
    return AMPLITUDE_UV * np.cos(2 * np.pi * RHYTHM_HZ * times_s)[:, None]


class Script:
    """Hand-made inputs; samples carry the sine, come one period after the other and arrive at once.

    Attributes
    ----------
    told, rows
        Every input so far, and the values of those that are samples.
    others
        What channels after the first hold.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.events = np.zeros(0, EVENT)
        self.told: list[tuple[float, ...]] = []
        self.rows: list[tuple[float, ...]] = []
        self.others: tuple[float, ...] = ()
        self.n_samples = 0
        self.now = 0.0

    def inputs(self) -> NDArray[np.void]:
        """Return all inputs so far."""
        return np.array(self.told, INPUT)

    def values(self) -> NDArray[np.float64]:
        """Return the samples that they refer to, of shape (n_samples, n_channels)."""
        return np.array(self.rows, dtype=float).reshape(len(self.rows), 1 + len(self.others))

    def tell(
        self, kind: InputKind, *, code: int = 0, value: float = 0.0, timestamp: float | None = None, now: float = 0.0
    ) -> NDArray[np.void]:
        """Give the core one input and return the events that it led to; a device was asked just now."""
        return self._tell(kind, code, value, now if timestamp is None else timestamp, now)

    def _tell(self, kind: InputKind, code: int, value: float, timestamp: float, now: float) -> NDArray[np.void]:
        self.told.append((len(self.told), kind, code, value, timestamp, now))
        newest = np.array(self.rows[-1:], dtype=float) if kind == InputKind.SAMPLE else np.zeros((0, 1))
        found = replay(self.core, STEPS, np.array(self.told[-1:], INPUT), newest)
        self.events = np.concatenate([self.events, found])
        if kind == InputKind.DEADLINE:
            self.now = now
        return found

    def sample(
        self,
        value: float | None = None,
        *,
        timestamp: float | None = None,
        now: float | None = None,
        more: float = 0.0,
    ) -> NDArray[np.void]:
        """Give the next sample; without anything else, of the sine, in time; with ``more`` a newer one waits."""
        period_s = float(self.core.timing["period_s"][0])
        at = self.n_samples * period_s
        self.n_samples += 1
        stamp = at + float(self.core.timing["delay_s"][0]) if timestamp is None else timestamp
        self.now = stamp if now is None else now
        usual = AMPLITUDE_UV * math.cos(2 * math.pi * RHYTHM_HZ * at)
        self.rows.append((usual if value is None else value, *self.others))
        return self._tell(InputKind.SAMPLE, len(self.rows) - 1, more, stamp, self.now)

    def samples(self, n: int) -> NDArray[np.void]:
        """Give ``n`` ordinary samples."""
        return np.concatenate([self.events[:0], *[self.sample() for _ in range(n)]])

    def deadline(self, now: float) -> NDArray[np.void]:
        """Tell the core that it is ``now``; later samples come later."""
        return self.tell(InputKind.DEADLINE, now=now)

    def command(self, command: int, value: float = 0.0, *, now: float | None = None) -> NDArray[np.void]:
        """Give a command."""
        return self.tell(InputKind.COMMAND, code=command, value=value, now=self.now if now is None else now)

    def until_committed(self) -> float:
        """Give samples until a plan is committed and return when its trigger has to leave."""
        for _ in range(200):
            self.sample()
            if self.core.plan["status"][0] == 2:
                return float(self.core.plan["due_s"][0] - self.core.timing["latency_s"][0])
        raise AssertionError(f"no plan was committed: {reasons(self.events)}")

    def until_due(self) -> float:
        """Commit a plan, give the samples that come before its trigger, and return when that leaves."""
        trigger_s = self.until_committed()
        while self.n_samples * float(self.core.timing["period_s"][0]) <= trigger_s:
            self.sample()
        return trigger_s

    def fire(self) -> NDArray[np.void]:
        """Meet the next plan's deadline in time and return the event."""
        return self.deadline(self.until_due())


def repeat_undrained(core: Core, script: Script) -> None:
    """Give a script's inputs to another core at once, so that nobody empties its rings in between."""
    _repeat(core, STEPS, script.inputs(), script.values(), 0, np.zeros(0))


def follow_stamps(
    core: Core, stamps: NDArray[np.float64], *, now: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.void]]:
    """Give a core samples of the sine with these stamps, which come at once unless ``now`` says when.

    Returns
    -------
        The samples' times on the fitted clock in s, NaN where one was dropped, and the events.
    """
    inputs = np.zeros(len(stamps), INPUT)
    inputs["number"] = inputs["code"] = np.arange(len(stamps))
    inputs["kind"] = InputKind.SAMPLE
    inputs["timestamp"] = stamps
    inputs["now"] = stamps if now is None else now
    values = AMPLITUDE_UV * np.cos(2 * np.pi * RHYTHM_HZ * np.nan_to_num(stamps))[:, None]
    times_s = np.zeros(len(stamps))
    return times_s, replay(core, STEPS, inputs, values, times_s=times_s)


def reasons(events: NDArray[np.void]) -> list[Reason]:
    """Return the reasons of the refusals among events."""
    return [Reason(event["reason"]) for event in events if event["kind"] == EventKind.REFUSED]


def run_chunks(
    core: Core,
    samples: NDArray[np.float64],
    *,
    sizes: Iterator[int] | None = None,
    artifact: PulseArtifact | None = None,
    timestamps: NDArray[np.float64] | None = None,
) -> Drained:
    """Play samples, cut in chunks of ``sizes``, and return all that was drained."""
    timing = core.timing[0]
    if timestamps is None:
        timestamps = np.arange(len(samples)) * timing["period_s"] + timing["delay_s"]
    cuts = [0]
    while cuts[-1] < len(samples):
        cuts.append(cuts[-1] + (next(sizes) if sizes else len(samples)))
    chunks = ((samples[a:b], timestamps[a:b]) for a, b in itertools.pairwise(cuts))
    none = make_artifact(np.zeros((0, samples.shape[1])))
    drained = list(play(core, STEPS, chunks, none if artifact is None else artifact))
    return Drained(
        inputs=np.concatenate([d.inputs for d in drained]),
        values=np.concatenate([d.values for d in drained]),
        events=np.concatenate([d.events for d in drained]),
    )


@pytest.fixture(scope="session")
def make_core() -> Callable[..., Core]:
    return draw_core


@pytest.fixture(scope="session")
def steps() -> Steps:
    return STEPS


@pytest.fixture(scope="session")
def sine() -> Callable[..., NDArray[np.float64]]:
    return draw_sine


@pytest.fixture(scope="session")
def script() -> Callable[[Core], Script]:
    return Script


@pytest.fixture(scope="session")
def run() -> Callable[..., Drained]:
    return run_chunks


@pytest.fixture(scope="session")
def follow() -> Callable[..., tuple[NDArray[np.float64], NDArray[np.void]]]:
    return follow_stamps


@pytest.fixture(scope="session")
def repeat() -> Callable[[Core, Script], None]:
    return repeat_undrained


@pytest.fixture(scope="session")
def refused() -> Callable[[NDArray[np.void]], list[Reason]]:
    return reasons


@pytest.fixture
def armed_script() -> Script:
    """Inputs for a core that would fire at every crossing."""
    return Script(draw_core())
