"""A control line of a serial port as a trigger line: RTS or DTR, which a call of the port's driver moves."""

import fcntl
import os
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from closedloop.config.line import SerialControlLine
from closedloop.errors import StimulatorError
from closedloop.stimulators.lines.serial_port import claimed, keep_at_closing
from closedloop.stimulators.lines.wire import OPEN, TriggerLine, failure

_BITS = {"rts": termios.TIOCM_RTS, "dtr": termios.TIOCM_DTR}


@contextmanager
def open_control(line: SerialControlLine) -> Iterator[TriggerLine]:
    """Open a port for its control line.

    The system raises the line when the port is opened, and lets it fall when it is closed. Where its fall fires, it is
    kept up at closing; nothing can keep it down at opening.

    Raises
    ------
    StimulatorError
        Where the port is not there, not permitted, in use, or none.
    """
    try:
        fd = os.open(line.path, OPEN | os.O_RDWR)
    except OSError as error:
        raise failure(line.path, "cannot be opened", error) from None
    try:
        _require_lines(fd, line.path)
        on, off = termios.TIOCMBIS, termios.TIOCMBIC
        if line.active == "low":
            on, off = off, on
            keep_at_closing(fd)
        mask = struct.pack("i", _BITS[line.line])
        with nullcontext() if line.shared else claimed(fd, line.path):
            yield TriggerLine(fd, mask, mask, line.width_s, line.path, on_request=on, off_request=off)
    finally:
        os.close(fd)


def _require_lines(fd: int, path: str) -> None:
    try:
        fcntl.ioctl(fd, termios.TIOCMGET, bytes(4))
    except OSError:
        what = "a port without control lines, such as a pseudo-terminal" if os.isatty(fd) else "no serial port"
        raise StimulatorError(f"line.path = {path} is {what}") from None
