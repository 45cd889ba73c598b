"""When a stream's samples are due, which they are, and how they are stamped: the player without its clock.

All times count in s from the stream's first sample and are multiples of its true period, never sums of
them, so that errors cannot add up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, groupby

import numpy as np
from numpy.typing import NDArray

from closedloop.sources.faults import Faults, Sent
from closedloop.sources.recording import Recording

PUSH_GAP_S = 1e-5
"""Two pushes that jitter would let overtake each other come one after the other, by this."""


@dataclass(frozen=True)
class Timetable:
    """What is due when.

    Attributes
    ----------
    rows
        Array of shape (n_places,): the recording's row at each place of one round, -1 where it has a gap.
    n_places
        Places until the stream ends, over all rounds; None: it goes round for ever.
    chunk
        Places a push.
    faults
        The stream's faults, with its true rate.
    jitter_s
        A push and its stamps come up to this later, in s.
    seed
        Of the jitter.
    """

    rows: NDArray[np.int64]
    n_places: int | None
    chunk: int
    faults: Faults
    jitter_s: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Push:
    """What is sent at once.

    Attributes
    ----------
    due_s
        When.
    rows
        Array of shape (n_samples,): which of the recording's.
    times_s
        Array of shape (n_samples,): when each sample truly is, whatever its stamp says.
    stamps_s
        Array of shape (n_samples,): their stamps.
    is_nan
        Array of shape (n_samples,): whether a sample's values are lost.
    """

    due_s: float
    rows: NDArray[np.int64]
    times_s: NDArray[np.float64]
    stamps_s: NDArray[np.float64]
    is_nan: NDArray[np.bool_]


def recording_rows(recording: Recording) -> NDArray[np.int64]:
    """Return the row at each place of an even timetable, of shape (n_places,); -1 where the recording has a gap."""
    places = np.rint((recording.times_s - recording.times_s[0]) * recording.sfreq).astype(np.int64)
    rows = np.full(places[-1] + 1, -1, np.int64)
    rows[places] = np.arange(places.size)
    return rows


def pushes(timetable: Timetable) -> Iterator[Push]:
    """Yield all pushes in order: those that are due at once as one, those that nothing is left of not at all."""
    for _, together in groupby(_chunks(timetable), key=lambda push: push.due_s):
        parts = list(together)
        push = parts[0] if len(parts) == 1 else _join(parts)
        if push.rows.size:
            yield push


def _chunks(timetable: Timetable) -> Iterator[Push]:
    last = timetable.faults.last
    rng = np.random.default_rng(timetable.seed)
    earliest_s = 0.0
    for first in count(0, timetable.chunk):
        end = first + timetable.chunk
        if timetable.n_places is not None:
            end = min(end, timetable.n_places)
        if first >= end:
            return
        on_time_s = (end - 1) / timetable.faults.rate_hz
        late_s = 0.0
        if timetable.jitter_s > 0.0:
            late_s = max(rng.uniform(0.0, timetable.jitter_s), earliest_s - on_time_s)
            earliest_s = on_time_s + late_s + PUSH_GAP_S
        stalled_s = timetable.faults.due_s(on_time_s)
        due_s = max(stalled_s, on_time_s + late_s)
        if last is not None and due_s >= last.start_s:
            return
        sent = [one for place in range(first, end) for one in timetable.faults.sent_at(place)]
        yield _push(timetable, sent, due_s, late_s)


def _push(timetable: Timetable, sent: list[Sent], due_s: float, late_s: float) -> Push:
    places = np.array([one.place for one in sent], np.int64)
    rows = timetable.rows[places % timetable.rows.size]
    there = rows >= 0
    times_s = places[there] / timetable.faults.rate_hz
    shifts_s = np.array([one.shift_s for one in sent], float)[there]
    is_nan = np.array([one.is_nan for one in sent], bool)[there]
    return Push(due_s, rows[there], times_s, times_s + (shifts_s + late_s), is_nan)


def _join(parts: list[Push]) -> Push:
    return Push(
        parts[0].due_s,
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.times_s for part in parts]),
        np.concatenate([part.stamps_s for part in parts]),
        np.concatenate([part.is_nan for part in parts]),
    )
