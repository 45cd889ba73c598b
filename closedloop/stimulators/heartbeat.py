"""Whole numbers in memory that two processes share: one goes on counting, one tells when a trigger is due."""

import mmap
import os
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
        When the next trigger is due, in ns on the loop's clock.
    busy
        Not 0 while the driver's process uses the port through which a trigger would fire.
    """

    turns: int
    due: int
    busy: int


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


class Due:
    """Tells when the loop's next trigger is due.

    Parameters
    ----------
    fd
        Of the other process's `Heartbeat`.
    place
        Of the number that says so, in ns on the loop's clock.
    """

    def __init__(self, fd: int, place: int) -> None:
        self._memory, self._place = _shared(fd, place), place

    def after_s(self, now_s: float) -> float:
        """Return in how long it is due, in s, by the loop's clock; negative where it should have left already."""
        return 1e-9 * self._memory[self._place] - now_s


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
