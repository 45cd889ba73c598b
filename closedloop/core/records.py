"""The data model: what goes into the core, what comes out, and the rings that carry both.

Every input is one numbered record, in one order; replaying them reaches the same decisions, bit for
bit. Every chance ends in exactly one event.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from closedloop.core.atomics import load_acquire, store_release
from closedloop.jit import inner


class InputKind(IntEnum):
    """What kind of input a record holds."""

    SAMPLE = 1
    DEADLINE = 2
    COMMAND = 3
    WRITTEN = 4
    CLOCK = 5
    DEVICE = 6
    STREAM = 7


PART, HELD_UP = -1, -2
"""Codes of a trigger's write beside 0 and an errno: some of its bytes were written, not all; nothing was, since after
the gate's word the loop was held up until the moment had passed."""


class Command(IntEnum):
    """What Python may ask of the core, with a value where one is needed.

    ARM has the time from which on a pulse may be due, in s; LEASE how many of the session's pulses are on disk.
    LOST and UNWATCHED are no wishes: the loop itself says so that an input could not be recorded, or that nobody
    has emptied its rings for a while.
    """

    ARM = 1
    DISARM = 2
    STOP = 3
    PAUSE = 4
    RESUME = 5
    CONDITION = 6
    LOST = 7
    UNWATCHED = 8
    LEASE = 9


class EventKind(IntEnum):
    """How a chance ended."""

    DELIVERED = 1
    WITHHELD = 2
    REFUSED = 3


INPUT = np.dtype(
    [
        ("number", "i8"),  # of the input, from 0
        ("kind", "i8"),  # InputKind
        ("code", "i8"),  # row of the sample, Command, errno of the write, device status, or state of the stream
        # 1 where a newer sample waits already, or a write took the trigger back; argument; correction, s; coil, degrees
        ("value", "f8"),
        ("timestamp", "f8"),  # of a sample; when the write of a trigger returned, or the device was asked, s
        ("now", "f8"),  # when the core was told, s
    ],
    align=True,
)

EVENT = np.dtype(
    [
        ("number", "i8"),  # of the chance's record, from 0
        ("kind", "i8"),  # EventKind
        ("reason", "i8"),  # Reason, NONE unless refused
        ("sample", "i8"),  # index of the newest sample that decided
        ("trial", "i8"),
        ("condition", "i8"),
        ("pulse", "i8"),  # place in the plan, from 0
        ("pulses", "i8"),  # of the plan
        ("target", "f8"),  # rad
        ("phase", "f8"),  # predicted for due_s, rad
        ("sd", "f8"),  # of its error, rad
        ("amplitude", "f8"),  # predicted, µV
        ("snr_db", "f8"),  # sliding, at the decision
        ("lead_s", "f8"),  # from the deciding sample, at the electrode, to due_s
        ("due_s", "f8"),  # when the pulse reaches the tissue
        ("trigger_s", "f8"),  # when the trigger has to leave
        ("now_s", "f8"),  # when it was decided
        ("age_s", "f8"),  # of the deciding sample by then, from its time stamp
        ("percent", "f8"),  # intensity, of the maximum stimulator output
    ],
    align=True,
)

WRITTEN, READ, LOST = range(3)
"""Places in a ring's ``indices``: records written, records read, records that found no room."""


class Ring(NamedTuple):
    """A ring of records with one writer and one reader.

    Attributes
    ----------
    records
        Array of shape (capacity,) of one of the record types.
    indices
        Array of shape (3,), shared: counts of records written, read and lost; they only grow.
    """

    records: NDArray[np.void]
    indices: NDArray[np.int64]


def make_ring(kind: np.dtype[np.void], capacity: int) -> Ring:
    """Return an empty ring for a number of records."""
    return Ring(records=np.zeros(capacity, kind), indices=np.zeros(3, np.int64))


@inner
def room(ring: Ring) -> int:
    """Return how many records still fit."""
    return ring.records.size - (load_acquire(ring.indices, WRITTEN) - load_acquire(ring.indices, READ))


@inner
def lose(ring: Ring) -> None:
    """Count a record as lost: with any, a session cannot be replayed."""
    store_release(ring.indices, LOST, load_acquire(ring.indices, LOST) + 1)


@inner
def claim(ring: Ring) -> int:
    """Return the place for the next record, or -1, counted as lost, where there is no room."""
    if room(ring) < 1:
        lose(ring)
        return -1
    return load_acquire(ring.indices, WRITTEN) % ring.records.size


@inner
def publish(ring: Ring) -> None:
    """Make the record at the claimed place visible to the reader."""
    store_release(ring.indices, WRITTEN, load_acquire(ring.indices, WRITTEN) + 1)


def unread(ring: Ring) -> NDArray[np.intp]:
    """Return the places of all unread records, in order; only a ring's one reader may ask."""
    written, read = load_acquire(ring.indices, WRITTEN), load_acquire(ring.indices, READ)
    return np.arange(read, written) % ring.records.size


def mark_read(ring: Ring, n: int) -> None:
    """Give the places of the ``n`` oldest unread records back to the writer."""
    store_release(ring.indices, READ, load_acquire(ring.indices, READ) + n)


def drain(ring: Ring) -> NDArray[np.void]:
    """Return a copy of all unread records, in order, and mark them read."""
    places = unread(ring)
    records: NDArray[np.void] = ring.records[places]
    mark_read(ring, places.size)
    return records
