"""Ctrl-C and SIGTERM: at once where nothing runs, at the end of a chunk where the loop does."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Turns SIGINT and SIGTERM into ``KeyboardInterrupt``, or into a flag while the loop runs."""

    def __init__(self) -> None:
        self._deferred = False
        self.requested = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle both signals within a ``with`` block; use it in the main thread."""
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Only set ``requested`` within a ``with`` block, so that what is being written is finished."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        # Only once: launchers pass a Ctrl-C on a second time, and it must not end what closes the session.
        again, self.requested = self.requested, True
        if not again and not self._deferred:
            raise KeyboardInterrupt
