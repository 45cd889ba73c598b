"""The runner without hardware: the same functions as live, driven by a recording or by a session.

``play`` makes the inputs of a recording with a virtual clock: a sample arrives at its time stamp, a
pulse that is due in between is decided exactly at its moment. ``replay`` repeats the inputs of a
session, each with the time at which the core was told. ``play`` logs its inputs in the one order in
which the core saw them, and neither looks at how the samples were handed over.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numba import types
from numpy.typing import NDArray

from closedloop.core.atomics import load_acquire, store_release
from closedloop.core.command import on_clock, on_command, on_device
from closedloop.core.deadline import next_deadline, on_deadline, on_written
from closedloop.core.gate import disarm
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
    publish,
    room,
)
from closedloop.core.sample import on_sample
from closedloop.core.state import CORE, NO_PLAN, STEPS, Core, Steps
from closedloop.jit import compiled

_RESERVE = 256
"""Room that is kept in the rings while playing: no single sample needs more."""


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
    place = claim(core.commands)
    if place < 0:
        raise OverflowError(f"the ring of commands is full ({core.commands.records.size} unread)")
    core.commands.records[place]["code"] = command
    core.commands.records[place]["value"] = value
    publish(core.commands)


@compiled()
def log_input(core: Core, kind: InputKind, code: int, value: float, timestamp: float, now: float) -> int:
    """Record an input before the core sees it, and return its place in the ring, or -1 if it is lost."""
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


@compiled()
def guarded_sample(core: Core, steps: Steps, values: NDArray[np.float64], timestamp: float, now: float) -> None:
    """Take a sample; an estimator that fails disarms instead of ending the loop."""
    try:
        on_sample(core, steps, values, timestamp, now)
    except Exception:  # noqa: BLE001 - a third party's step may raise anything, and must not fire
        disarm(core, Reason.ESTIMATOR_FAILED)
        core.plan[0]["status"] = NO_PLAN


@compiled()
def _obey(core: Core, now: float) -> None:
    ring = core.commands
    while load_acquire(ring.indices, READ) < load_acquire(ring.indices, WRITTEN):
        read = load_acquire(ring.indices, READ)
        command = ring.records[read % ring.records.size]
        log_input(core, InputKind.COMMAND, command["code"], command["value"], np.nan, now)
        publish(core.inputs)
        on_command(core, command["code"], command["value"], now)
        store_release(ring.indices, READ, read + 1)


@compiled()
def _meet_deadlines(core: Core, artifact: PulseArtifact, until_s: float) -> None:
    """Decide on every pulse that is due before a time, each at its own moment."""
    due = next_deadline(core)
    while due <= until_s:
        now = max(due, core.timing[0]["now_s"])
        log_input(core, InputKind.DEADLINE, 0, 0.0, np.nan, now)
        publish(core.inputs)
        reaches_s = core.plan[0]["due_s"]
        if on_deadline(core, now):
            start_artifact(artifact, reaches_s)
            log_input(core, InputKind.WRITTEN, 0, 0.0, np.nan, now)
            publish(core.inputs)
            on_written(core, 0)
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
        if room(core.inputs) < _RESERVE or room(core.events) < _RESERVE:
            return i
        now = timestamps[i]
        _obey(core, max(now, core.timing[0]["now_s"]) if i == 0 and rows == 0 else core.timing[0]["now_s"])
        _meet_deadlines(core, artifact, now)
        place = log_input(core, InputKind.SAMPLE, rows + i, 0.0, timestamps[i], now)
        values = core.values[place]
        for channel in range(values.size):
            values[channel] = samples[i, channel]
        add_artifact(artifact, core, timestamps[i], values)
        publish(core.inputs)
        guarded_sample(core, steps, values, timestamps[i], now)
    return samples.shape[0]
