"""A stand-in amplifier: a recording that is streamed over LSL in real time.

What is sent when is the timetable's; here are the clock and the outlet. Every sample is sent with its own
stamp: of a chunk with one stamp liblsl deduces the others at the announced rate, which need not be the true one.
"""

import gc
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import pylsl
from numpy.typing import NDArray

from closedloop.errors import StreamError
from closedloop.outlet import Outlet
from closedloop.scheduling import ask_for_realtime
from closedloop.sources.encoding import Encoding
from closedloop.sources.faults import Kind
from closedloop.sources.timetable import Push, Timetable, pushes
from closedloop.sources.trigger_effects import TriggerEffects
from closedloop.sources.trigger_input import Triggers

MANUFACTURER = "closedloop"
AHEAD_S = 0.05
"""The first sample is due so long after somebody listens, so that it is on time."""
LOOK_S = 0.01
"""How often it looks whether somebody listens."""
LINGER_S = 0.2
"""What was sent last is still on its way for so long; an outlet that closes takes it along."""
PROGRESS_S = 0.5
"""How often progress is told."""


@dataclass(frozen=True)
class Stream:
    """How a stream announces itself.

    Attributes
    ----------
    name, type, source_id
        As LSL calls them.
    rate_hz
        Its announced rate.
    labels, types
        Of the channels.
    encoding
        Of the values.
    """

    name: str
    type: str
    source_id: str
    rate_hz: float
    labels: tuple[str, ...]
    types: tuple[str, ...]
    encoding: Encoding


@dataclass(frozen=True)
class Performance:
    """All that is played.

    Attributes
    ----------
    stream
        How it announces itself.
    samples
        Array of shape (n_samples, n_channels): potentials in µV, other channels in their own unit.
    timetable
        What is due when.
    effects
        What triggers add.
    at_once
        Whether it begins although nobody listens.
    markers
        Whether triggers are also sent as markers, in a stream of their own.
    """

    stream: Stream
    samples: NDArray[np.float64]
    timetable: Timetable
    effects: TriggerEffects
    at_once: bool = False
    markers: bool = False


@dataclass
class Tally:
    """What was sent so far.

    Attributes
    ----------
    samples, pushes, triggers
        How many.
    first_stamp_s
        By the clock of LSL, in s; None before the first sample.
    largest_deviation_ms, last_deviation_ms
        Between a push and the absolute timetable, in ms; positive is late.
    """

    samples: int = 0
    pushes: int = 0
    triggers: int = 0
    first_stamp_s: float | None = None
    largest_deviation_ms: float = 0.0
    last_deviation_ms: float = 0.0


@dataclass(frozen=True)
class Outlets:
    """What LSL sends through; it is closed when the last reference to it is gone.

    Attributes
    ----------
    samples
        Of the stream.
    markers
        Of its triggers; None: they are not sent.
    """

    samples: Outlet
    markers: Outlet | None


def require_realtime() -> None:
    """Give the calling thread, and those that it starts from now on, real-time scheduling.

    Raises
    ------
    StreamError
        Where that is not permitted.
    """
    if why_not := ask_for_realtime():
        raise StreamError(f"--realtime: {why_not}")


def open_outlets(performance: Performance) -> Outlets:
    """Announce the streams; an interruption must wait, since pylsl reports outlets that are half made."""
    stream = performance.stream
    markers = Outlet(_describe_markers(stream)) if performance.markers else None
    return Outlets(Outlet(_describe(stream)), markers)


def play(
    performance: Performance,
    outlets: Outlets,
    triggers: Triggers,
    tally: Tally,
    *,
    waiting: Callable[[], None] = lambda: None,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Stream until the timetable ends.

    Parameters
    ----------
    performance, outlets
        What is played, and its outlets.
    triggers
        Where triggers come in; its clock must be that of LSL.
    tally
        Counts what is sent, also where an interruption ends it.
    waiting
        Is called once it waits for somebody to listen.
    progress
        Is told from time to time how many s have been played.
    """
    stream = performance.stream
    with _settled_memory():
        if not performance.at_once and not outlets.samples.have_consumers():
            waiting()
            while not outlets.samples.have_consumers():
                triggers.wait_until(pylsl.local_clock() + LOOK_S)
        start_s = tally.first_stamp_s = pylsl.local_clock() + AHEAD_S
        told_s = start_s
        heard = 0
        for push in pushes(performance.timetable):
            # All that can be done before it is due is; only what triggers leave is known no sooner.
            due_s = start_s + push.due_s
            stamps_s = (start_s + push.stamps_s).tolist()
            values = _values(performance, push)
            encoded = stream.encoding.encode(values)
            now_s = triggers.wait_until(due_s)
            if edges_s := _recent(performance, push, triggers, start_s):
                encoded = _with_triggers(performance, push, values, edges_s)
            outlets.samples.push_chunk(encoded, stamps_s)
            _count(tally, push, 1e3 * (now_s - due_s))
            heard = _pass_on(triggers, heard, outlets.markers, tally)
            if progress is not None and now_s - told_s >= PROGRESS_S:
                progress(push.due_s)
                told_s = now_s
        _close(performance, triggers, start_s)
        _pass_on(triggers, heard, outlets.markers, tally)


def _values(performance: Performance, push: Push) -> NDArray[np.float64]:
    """Return a push's values, of shape (n_samples, n_columns), before any trigger."""
    values = np.zeros((push.rows.size, len(performance.stream.labels)))
    values[:, : performance.samples.shape[1]] = performance.samples[push.rows]
    values[push.is_nan] = np.nan
    return values


def _recent(performance: Performance, push: Push, triggers: Triggers, start_s: float) -> list[float]:
    """Return the triggers that a push's samples may show, in s from the first sample."""
    since_s = start_s + float(push.times_s.min()) - performance.effects.length_s
    return [edge_s - start_s for edge_s in takewhile(lambda edge_s: edge_s > since_s, reversed(triggers.edges_s))]


def _with_triggers(
    performance: Performance, push: Push, values: NDArray[np.float64], edges_s: list[float]
) -> NDArray[np.number]:
    """Return a push's encoded values, of shape (n_samples, n_columns), with what triggers leave in them."""
    performance.effects.add(values, push.times_s, edges_s)
    return performance.stream.encoding.encode(values)


def _count(tally: Tally, push: Push, deviation_ms: float) -> None:
    tally.samples += push.rows.size
    tally.pushes += 1
    tally.last_deviation_ms = deviation_ms
    tally.largest_deviation_ms = max(tally.largest_deviation_ms, deviation_ms, key=abs)


def _pass_on(triggers: Triggers, heard: int, markers: Outlet | None, tally: Tally) -> int:
    """Send a marker for each edge that is new; return how many edges there are."""
    if markers is not None:
        for edge_s in triggers.edges_s[heard:]:
            markers.push_sample(["trigger"], edge_s)
    tally.triggers = len(triggers.edges_s)
    return tally.triggers


def _close(performance: Performance, triggers: Triggers, start_s: float) -> None:
    """End as the timetable's last fault says, or when what was sent has arrived."""
    last = performance.timetable.faults.last
    if last is not None:
        triggers.wait_until(start_s + last.start_s)
        if last.kind == Kind.DIE:
            os.kill(os.getpid(), signal.SIGKILL)
    triggers.wait_until(pylsl.local_clock() + LINGER_S)


def _describe(stream: Stream) -> pylsl.StreamInfo:
    """Return a stream's metadata, as XDF's specification of EEG streams has them."""
    info = pylsl.StreamInfo(
        stream.name,
        stream.type,
        len(stream.labels),
        stream.rate_hz,
        str(stream.encoding.number_format),
        stream.source_id,
    )
    channels = info.desc().append_child("channels")
    for label, kind, unit in zip(stream.labels, stream.types, stream.encoding.unit_names, strict=True):
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        channel.append_child_value("unit", unit)
        channel.append_child_value("type", kind)
    info.desc().append_child("acquisition").append_child_value("manufacturer", MANUFACTURER)
    return info


def _describe_markers(stream: Stream) -> pylsl.StreamInfo:
    info = pylsl.StreamInfo(
        f"{stream.name}-markers", "Markers", 1, pylsl.IRREGULAR_RATE, "string", f"{stream.source_id}-markers"
    )
    info.desc().append_child("acquisition").append_child_value("manufacturer", MANUFACTURER)
    return info


@contextmanager
def _settled_memory() -> Iterator[None]:
    """Keep the garbage collector from what was there before: to look through all of it takes some 50 ms."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
