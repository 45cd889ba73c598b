"""Whole numbers in memory that two processes share: one goes on counting, two tell of triggers."""

import mmap
import os
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray


class Places(NamedTuple):
    """Where in the shared numbers what is.

    Attributes
    ----------
    turns
        Counted up by each of the loop's turns.
    due
        When the next trigger is due, in ns on the loop's clock; far ahead where none is foreseen.
    busy
        Not 0 while the driver's process uses the port through which a trigger would fire.
    """

    turns: int
    due: int
    busy: int

    @property
    def left(self) -> int:
        """When the last trigger left, in ns on the loop's clock; 0 before the first; it lies beside `due`."""
        return self.due + 1


class Heartbeat:
    """Shared whole numbers, all zero; use it in a ``with`` block.

    Parameters
    ----------
    count
        How many.

    Attributes
    ----------
    fd
        File descriptor by which another process reaches them.
    integers
        Array of shape (count,).
    """

    def __init__(self, count: int) -> None:
        self.fd = os.memfd_create("closedloop-heartbeat")
        os.ftruncate(self.fd, 8 * count)
        self.integers: NDArray[np.int64] = np.frombuffer(mmap.mmap(self.fd, 8 * count), np.int64)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)  # whoever still counts in the memory keeps it


class Pulse:
    """Tells whether a number goes on.

    Parameters
    ----------
    fd
        Of the other process's `Heartbeat`.
    place
        Of the number.
    now_s
        The time, in s.
    """

    def __init__(self, fd: int, place: int, now_s: float) -> None:
        self._memory = _shared(fd, place)
        self._place, self._last, self._seen_s = place, self._memory[place], now_s

    def still_for_s(self, now_s: float) -> float:
        """Return for how long it has not been seen to go on, in s."""
        count = self._memory[self._place]
        if count != self._last:
            self._last, self._seen_s = count, now_s
        return now_s - self._seen_s


class Timetable:
    """Tells of the loop's triggers.

    Parameters
    ----------
    fd
        Of the other process's `Heartbeat`.
    places
        What is where in it.
    clock
        The loop's, in s.
    """

    def __init__(self, fd: int, places: Places, clock: Callable[[], float]) -> None:
        self._memory, self._places, self._clock = _shared(fd, places.left), places, clock

    @property
    def due_in_s(self) -> float:
        """In how long the next one is due, in s; negative where it should have left already."""
        return 1e-9 * self._memory[self._places.due] - self._clock()

    @property
    def left_ago_s(self) -> float:
        """For how long none has left, in s."""
        return self._clock() - 1e-9 * self._memory[self._places.left]


class Busy:
    """Says for the length of a ``with`` block that a port is in use.

    Parameters
    ----------
    fd
        Of the other process's `Heartbeat`.
    place
        Of the number that says so.
    """

    def __init__(self, fd: int, place: int) -> None:
        self._memory, self._place = _shared(fd, place, mmap.PROT_READ | mmap.PROT_WRITE), place

    def __enter__(self) -> None:
        self._memory[self._place] = 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory[self._place] = 0


def _shared(fd: int, place: int, protection: int = mmap.PROT_READ) -> memoryview:
    return memoryview(mmap.mmap(fd, 8 * (place + 1), prot=protection)).cast("q")
