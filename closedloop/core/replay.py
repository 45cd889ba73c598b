"""The runner without hardware: the same functions as live, driven by a recording or by a session.

``play`` makes the inputs of a recording with a virtual clock, which never runs backwards: a sample arrives
at its time stamp, a pulse that is due in between is decided exactly at its moment, and the end disarms.
``replay`` repeats the inputs of a session, each with the time at which the core was told. ``play`` logs its
inputs in the one order in which the core saw them, and neither looks at how the samples were handed over.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from closedloop.core.atomics import load_acquire, store_release
from closedloop.core.command import on_clock, on_command, on_device, on_stream
from closedloop.core.deadline import next_deadline, on_deadline, on_written
from closedloop.core.gate import disarm
from closedloop.core.plan import count_unpredicted
from closedloop.core.pulse_artifact import ARTIFACT, PulseArtifact, add_artifact, start_artifact
from closedloop.core.reasons import Reason
from closedloop.core.records import (
    INPUT,
    LOST,
    READ,
    WRITTEN,
    Command,
    InputKind,
    claim,
    drain,
    mark_read,
    publish,
    room,
    unread,
)
from closedloop.core.sample import on_sample
from closedloop.core.state import CORE, STEPS, Core, Steps
from closedloop.jit import compiled, inner

INPUT_TYPE = numba.from_dtype(INPUT)
_RESERVE = 256
"""Room that is kept in the rings while playing: a sample, or a deadline, needs a few places."""


@dataclass(frozen=True)
class Drained:
    """What the core took in and decided, in order.

    Attributes
    ----------
    inputs
        Records of type ``INPUT``; a sample's ``code`` counts the rows of ``values``.
    values
        Array of shape (n_samples, n_channels) in µV.
    events
        Records of type ``EVENT``.
    """

    inputs: NDArray[np.void]
    values: NDArray[np.float64]
    events: NDArray[np.void]


def post_command(core: Core, command: Command, value: float = 0.0) -> None:
    """Leave a command in the ring that the loop reads at one fixed point of each turn."""
    _post(core, InputKind.COMMAND, command, value)


def post_device(core: Core, *, ready: bool, coil_c: float, asked_s: float = 0.0) -> None:
    """Leave what the stimulator said of itself in the same ring, with the time when it was asked, in s.

    A clock of a playback begins at 0, and what lives in the same program is never asked again.
    """
    _post(core, InputKind.DEVICE, int(ready), coil_c, asked_s)


def post_correction(core: Core, correction_s: float) -> None:
    """Leave a correction of the stream's clock in the same ring."""
    _post(core, InputKind.CLOCK, 0, correction_s)


def post_stream(core: Core, code: int) -> None:
    """Leave the stream's state in the same ring: 0 where there is one again."""
    _post(core, InputKind.STREAM, code, 0.0)


def _post(core: Core, kind: InputKind, code: int, value: float, timestamp: float = np.nan) -> None:
    ring = core.commands
    written = load_acquire(ring.indices, WRITTEN)
    if written - load_acquire(ring.indices, READ) >= ring.records.size:
        raise OverflowError(f"the ring of commands is full ({ring.records.size} unread)")
    record = ring.records[written % ring.records.size]
    record["kind"], record["code"], record["value"], record["timestamp"] = kind, code, value, timestamp
    store_release(ring.indices, WRITTEN, written + 1)


@inner
def log_input(core: Core, kind: InputKind, code: int, value: float, timestamp: float, now: float) -> int:
    """Write an input into the ring, to be published; return its place, or -1 where it is lost."""
    place = claim(core.inputs)
    if place < 0:
        return -1
    record = core.inputs.records[place]
    record["number"] = load_acquire(core.inputs.indices, WRITTEN)
    record["kind"] = kind
    record["code"] = code
    record["value"] = value
    record["timestamp"] = timestamp
    record["now"] = now
    return place


@inner
def record_input(core: Core, kind: InputKind, code: int, value: float, now: float) -> None:
    """Record an input that is no sample, before the core sees it."""
    if log_input(core, kind, code, value, np.nan, now) >= 0:
        publish(core.inputs)


@inner
def guarded_sample(
    core: Core, steps: Steps, values: NDArray[np.float64], timestamp: float, now: float, more: float
) -> None:
    """Take a sample; an estimator that fails disarms instead of ending the loop."""
    try:
        on_sample(core, steps, values, timestamp, now, more)
    except Exception:  # noqa: BLE001 - a third party's step may raise anything, and must not fire
        disarm(core, Reason.ESTIMATOR_FAILED)
        count_unpredicted(core, Reason.ESTIMATOR_FAILED, now)


@inner
def has_room(core: Core) -> bool:
    """Return whether the rings hold what a single sample and the deadlines around it may need."""
    return room(core.inputs) >= _RESERVE and room(core.events) >= _RESERVE


@inner
def obey(core: Core, now: float) -> None:
    """Take in what was posted, each recorded before the core sees it."""
    ring = core.commands
    while load_acquire(ring.indices, READ) < load_acquire(ring.indices, WRITTEN):
        read = load_acquire(ring.indices, READ)
        posted = ring.records[read % ring.records.size]
        if log_input(core, posted["kind"], posted["code"], posted["value"], posted["timestamp"], now) >= 0:
            publish(core.inputs)
        if posted["kind"] == InputKind.DEVICE:
            on_device(core, posted["code"], posted["value"], posted["timestamp"], now)
        elif posted["kind"] == InputKind.CLOCK:
            on_clock(core, posted["value"])
        elif posted["kind"] == InputKind.STREAM:
            on_stream(core, posted["code"], now)
        else:
            on_command(core, posted["code"], posted["value"], now)
        store_release(ring.indices, READ, read + 1)


@inner
def _meet_deadlines(core: Core, artifact: PulseArtifact, until_s: float) -> None:
    """Meet every deadline before a time, each at its own moment, for as long as there is room to record it."""
    due = next_deadline(core)
    while due <= until_s and has_room(core):
        now = max(due, core.timing[0]["now_s"])
        record_input(core, InputKind.DEADLINE, 0, 0.0, now)
        reaches_s = core.plan[0]["due_s"]
        if on_deadline(core, now):
            start_artifact(artifact, reaches_s)
            record_input(core, InputKind.WRITTEN, 0, 0.0, now)
            on_written(core, 0, now)
        due = next_deadline(core)


@compiled(types.intp(CORE, STEPS, types.float64[:, ::1], types.float64[::1], types.intp, types.intp, ARTIFACT))
def _play(
    core: Core,
    steps: Steps,
    samples: NDArray[np.float64],
    timestamps: NDArray[np.float64],
    start: int,
    rows: int,
    artifact: PulseArtifact,
) -> int:
    """Play samples from ``start`` on and return how many could be; fewer where a ring has to be drained."""
    for i in range(start, samples.shape[0]):
        now = core.timing[0]["now_s"]
        if timestamps[i] > now and timestamps[i] < np.inf:
            now = timestamps[i]
        _meet_deadlines(core, artifact, now)
        if not has_room(core):
            return i
        obey(core, now)
        place = log_input(core, InputKind.SAMPLE, rows + i, 0.0, timestamps[i], now)
        values = core.values[place]
        for channel in range(values.size):
            values[channel] = samples[i, channel]
        add_artifact(artifact, core, timestamps[i], values)
        publish(core.inputs)
        guarded_sample(core, steps, values, timestamps[i], now, 0.0)
    return samples.shape[0]


@compiled(
    types.void(CORE, STEPS, types.Array(INPUT_TYPE, 1, "C"), types.float64[:, ::1], types.intp, types.float64[::1])
)
def _repeat(
    core: Core,
    steps: Steps,
    inputs: NDArray[np.void],
    values: NDArray[np.float64],
    first_row: int,
    times_s: NDArray[np.float64],
) -> None:
    """Give recorded inputs to the core; ``values`` holds the samples from row ``first_row`` on.

    ``times_s``, one for each of them or empty, takes their stamps on the fitted clock, NaN where one was dropped.
    """
    for i in range(inputs.size):
        told = inputs[i]
        kind = told["kind"]
        if kind == InputKind.SAMPLE:
            row = told["code"] - first_row
            before = core.timing[0]["index"]
            guarded_sample(core, steps, values[row], told["timestamp"], told["now"], told["value"])
            if times_s.size > 0:
                times_s[row] = core.timing[0]["time_s"] if core.timing[0]["index"] != before else np.nan
        elif kind == InputKind.DEADLINE:
            on_deadline(core, told["now"])
        elif kind == InputKind.COMMAND:
            on_command(core, told["code"], told["value"], told["now"])
        elif kind == InputKind.WRITTEN:
            on_written(core, told["code"], told["now"])
        elif kind == InputKind.CLOCK:
            on_clock(core, told["value"])
        elif kind == InputKind.DEVICE:
            on_device(core, told["code"], told["value"], told["timestamp"], told["now"])
        elif kind == InputKind.STREAM:
            on_stream(core, told["code"], told["now"])
        else:
            disarm(core, Reason.NOT_ARMED)


@compiled(types.void(CORE))
def _obey_last(core: Core) -> None:
    """Obey what was posted since the last sample, at the time of the last input."""
    obey(core, core.timing[0]["now_s"])


def play(
    core: Core,
    steps: Steps,
    chunks: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]],
    artifact: PulseArtifact,
) -> Iterator[Drained]:
    """Play a recording through the core with a virtual clock, and disarm it at the end.

    Parameters
    ----------
    core, steps
        A fresh core and the compiled step of each of its signals.
    chunks
        Samples of shape (n_samples, n_channels) in µV and their time stamps of shape (n_samples,)
        in s; however they are cut, the decisions are the same.
    artifact
        What a delivered pulse adds to the samples after it.

    Yields
    ------
        What was taken in and decided since the last time, at least once per chunk.
    """
    rows = 0
    for samples, timestamps in chunks:
        block = np.ascontiguousarray(samples, dtype=float)
        stamps = np.ascontiguousarray(timestamps, dtype=float)
        done = 0
        while True:
            done = _play(core, steps, block, stamps, done, rows, artifact)
            yield take_out(core)
            if done == len(block):
                break
        rows += len(block)
    post_command(core, Command.DISARM)
    _obey_last(core)
    yield take_out(core)


def replay(
    core: Core,
    steps: Steps,
    inputs: NDArray[np.void],
    values: NDArray[np.float64],
    *,
    times_s: NDArray[np.float64] | None = None,
) -> NDArray[np.void]:
    """Repeat a session's inputs and return its decisions.

    Parameters
    ----------
    core, steps
        The core as it was designed, and the compiled step of each of its signals.
    inputs, values
        Records of type ``INPUT``, and the samples that they refer to, of shape (n_samples, n_channels) in µV.
    times_s
        Array of shape (n_samples,) that takes the samples' stamps on the fitted clock, in s; NaN where one was
        dropped.

    Returns
    -------
        Records of type ``EVENT``.
    """
    events = []
    times = np.zeros(0) if times_s is None else times_s
    rows = inputs["code"][inputs["kind"] == InputKind.SAMPLE]
    first_row = int(rows[0]) if rows.size else 0
    for start in range(0, len(inputs), _RESERVE):
        _repeat(core, steps, np.ascontiguousarray(inputs[start : start + _RESERVE]), values, first_row, times)
        events.append(drain(core.events))
    return np.concatenate([*events, drain(core.events)])


def take_out(core: Core) -> Drained:
    """Drain the rings of inputs and events."""
    places = unread(core.inputs)
    inputs = core.inputs.records[places]
    values = core.values[places[inputs["kind"] == InputKind.SAMPLE]]
    mark_read(core.inputs, places.size)
    return Drained(inputs, values, drain(core.events))


def lost_records(core: Core) -> int:
    """Return how many inputs or events found no room; with any, a session cannot be replayed."""
    return int(load_acquire(core.inputs.indices, LOST) + load_acquire(core.events.indices, LOST))


def fingerprint(events: NDArray[np.void]) -> str:
    """Return the SHA-256 of all decisions, bit for bit."""
    return hashlib.sha256(events.tobytes()).hexdigest()
