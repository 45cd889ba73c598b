"""Triggers that come in through a named pipe, each with the time when it was read.

The pipe is watched by the thread that waits for the next push: a second one would have to take Python's
lock from the first, which takes up to 5 ms.
"""

import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from closedloop.files import named_pipe

SPIN_S = 0.0002
"""The last part of a wait is spun: a sleep overshoots by some 0.1 ms."""
READ_BYTES = 4096


class Triggers:
    """Edges that arrive while one waits.

    Parameters
    ----------
    descriptor
        The pipe's, opened without blocking; None: no edge ever comes.
    clock
        Gives the time in s.
    """

    def __init__(self, descriptor: int | None, clock: Callable[[], float]) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self.edges_s: list[float] = []
        """When each edge was read, by the clock, in s."""

    def wait_until(self, deadline_s: float) -> float:
        """Wait, and read what comes meanwhile; return the time at its end, in s.

        All edges that were read before its end are in ``edges_s`` then, and later ones will have later times.
        """
        while True:
            now_s = self._clock()
            came = self._watch(max(deadline_s - now_s - SPIN_S, 0.0))
            if not came and now_s >= deadline_s:
                return now_s

    def _watch(self, timeout_s: float) -> bool:
        """Wait for edges up to a time-out in s, and read them; return whether anything came."""
        if self._descriptor is None:
            if timeout_s > 0.0:
                time.sleep(timeout_s)
            return False
        ready, _, _ = select.select([self._descriptor], [], [], timeout_s)
        if not ready:
            return False
        content = os.read(self._descriptor, READ_BYTES)
        read_s = self._clock()
        self.edges_s.extend(read_s for byte in content if byte)
        return True


@contextmanager
def trigger_pipe(path: Path, clock: Callable[[], float]) -> Iterator[Triggers]:
    """Make a named pipe, of which each byte but 0 is one trigger's edge; remove it at the end.

    Raises
    ------
    ConfigError
        Where something is at its path.
    OutputError
        Where it cannot be made.
    """
    with named_pipe(path, "--trigger") as reading:
        yield Triggers(reading, clock)
