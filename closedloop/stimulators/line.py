"""A trigger line: what makes a device fire, open and low for the length of a ``with`` block."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from closedloop.config.line import (
    BoxLine,
    BytesLine,
    CommandLine,
    ParallelLine,
    ProcessLine,
    SerialControlLine,
    StatedLine,
)
from closedloop.errors import StimulatorError
from closedloop.stimulators.lines.control import open_control
from closedloop.stimulators.lines.parallel import open_parallel
from closedloop.stimulators.lines.process import open_process
from closedloop.stimulators.lines.wire import TriggerLine, drive, failure
from closedloop.stimulators.lines.written import open_bytes

__all__ = ["TriggerLine", "open_line"]


@contextmanager
def open_line(line: StatedLine | None) -> Iterator[TriggerLine]:
    """Open a trigger line for the length of a ``with`` block; without one, bytes go nowhere.

    It is taken back at its beginning, in case that somebody left it high, for then the first trigger would have no
    edge; and at its end, whatever happens.

    Raises
    ------
    StimulatorError
        Where it cannot be opened: it is not there, not permitted, in use, or what it needs is not installed.
    """
    with _opened(BytesLine(path=os.devnull) if line is None else line) as opened:
        if opened.off:
            try:
                drive(opened.fd, opened.off_request, opened.off)
            except OSError as error:
                raise failure(opened.path, "cannot be written", error) from None
        try:
            yield opened
        finally:
            if opened.off:
                with suppress(OSError):  # it is being left: the loop has recorded what failed
                    drive(opened.fd, opened.off_request, opened.off)


def _opened(line: StatedLine) -> AbstractContextManager[TriggerLine]:
    match line:
        case BytesLine():
            return open_bytes(line)
        case SerialControlLine():
            return open_control(line)
        case ParallelLine():
            return open_parallel(line)
        case ProcessLine():
            return open_process(line)
        case CommandLine():
            raise StimulatorError("line.kind = command: only a session whose stimulator is armed fires by it")
        case BoxLine():
            raise StimulatorError(f"line.box = {line.box}: load the profile from its file, which looks the box up")
