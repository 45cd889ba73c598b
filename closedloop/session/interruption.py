"""Ctrl-C, SIGTERM and a lost terminal: at once where nothing runs, at the end of a chunk where the loop does."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


class Interruption:
    """Turns SIGINT, SIGTERM and SIGHUP into ``KeyboardInterrupt``, or into a flag while the loop runs."""

    def __init__(self) -> None:
        self._deferred = False
        self._call: Callable[[], None] = lambda: None
        self.requested = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals within a ``with`` block; use it in the main thread."""
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
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

    @contextmanager
    def calling(self, halt: Callable[[], None]) -> Iterator[None]:
        """Call ``halt`` at once at each signal within a ``with`` block, whatever else is going on."""
        self._call = halt
        try:
            yield
        finally:
            self._call = lambda: None

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self._call()
        # Only once: launchers pass a Ctrl-C on a second time, and it must not end what closes the session.
        again, self.requested = self.requested, True
        if not again and not self._deferred:
            raise KeyboardInterrupt
