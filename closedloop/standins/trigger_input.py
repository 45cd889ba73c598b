"""A stand-in's trigger input: a named pipe that a session's trigger line writes to."""

import os
import select
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from closedloop.files import named_pipe
from closedloop.standins.terminal import Terminal

READ_BYTES = 64
LOOK_EVERY_S = 0.05
"""So soon its end is seen."""


class TriggerInput:
    """Triggers a stand-in for each byte but 0 that is written to a pipe; use it in a ``with`` block.

    Parameters
    ----------
    path
        Of the pipe, which is made and removed.
    terminal
        Of the stand-in.

    Attributes
    ----------
    edges, fired
        How many have come, and how many of them fired.

    Raises
    ------
    ConfigError
        Where something is at its path.
    OutputError
        Where the pipe cannot be made.
    """

    def __init__(self, path: Path, terminal: Terminal) -> None:
        self.path, self._terminal = path, terminal
        self.edges = self.fired = 0
        self._end = threading.Event()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        pipe = self._stack.enter_context(named_pipe(self.path, "--trigger"))
        thread = threading.Thread(target=self._run, args=(pipe,), name="closedloop trigger input")
        self._stack.callback(thread.join)
        self._stack.callback(self._end.set)
        thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _run(self, pipe: int) -> None:
        while not self._end.is_set():
            if not select.select([pipe], [], [], LOOK_EVERY_S)[0]:
                continue
            for byte in os.read(pipe, READ_BYTES):
                if byte:
                    self.edges += 1
                    self.fired += self._terminal.trigger()
