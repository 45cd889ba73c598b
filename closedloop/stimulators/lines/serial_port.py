"""A serial port as a trigger line needs it: claimed, raw, at its speed, and left as it was found."""

import fcntl
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from closedloop.errors import StimulatorError
from closedloop.stimulators.lines.wire import failure

_INPUT, _OUTPUT, _CONTROL, _LOCAL, _IN_SPEED, _OUT_SPEED = range(6)
"""Places in what ``termios.tcgetattr`` returns."""
_GET, _SET = 0x802C542A, 0x402C542B
"""TCGETS2 and TCSETS2 of the common part of Linux's architectures, x86 and ARM among them."""
_ANY_SPEED, _SPEED_BITS = 0o010000, 0o010017
"""BOTHER and CBAUD: the speed stands in bit/s at the record's end."""
_CONTROL_AT, _SPEEDS_AT, _RECORD_BYTES = 8, 36, 44


@contextmanager
def claimed(fd: int, path: str) -> Iterator[None]:
    """Keep a port for oneself, as far as other programs ask.

    Raises
    ------
    StimulatorError
        Where another program has claimed it.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise failure(path, "cannot be opened", error) from None
    yield  # closing the port gives it back


@contextmanager
def raw(fd: int, path: str, baud: int | None) -> Iterator[None]:
    """Let every byte through as it is: 8 data bits, no parity, 1 stop bit, no flow control, no modem's lines.

    Parameters
    ----------
    fd, path
        The open port.
    baud
        Its speed in bit/s; None: as it is.

    Raises
    ------
    StimulatorError
        Where the port cannot do that.
    """
    before = termios.tcgetattr(fd)
    try:
        try:
            termios.tcsetattr(fd, termios.TCSANOW, _raw(before))
            if baud is not None:
                _set_speed(fd, path, baud)
            termios.tcflush(fd, termios.TCIOFLUSH)
        except (OSError, termios.error) as error:
            raise failure(path, "cannot be set up", error) from None
        yield
    finally:
        with suppress(OSError, termios.error):  # it has gone
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _raw(attributes: list[Any]) -> list[Any]:
    changed = list(attributes)
    changed[_INPUT] = termios.IGNBRK
    changed[_OUTPUT] = 0
    control = attributes[_CONTROL] & ~(termios.CSIZE | termios.PARENB | termios.CSTOPB | termios.CRTSCTS)
    changed[_CONTROL] = control | termios.CS8 | termios.CREAD | termios.CLOCAL
    changed[_LOCAL] = 0
    return changed


def _set_speed(fd: int, path: str, baud: int) -> None:
    """Set the speed, by its number in bit/s: not every one has a name."""
    record = bytearray(_RECORD_BYTES)
    fcntl.ioctl(fd, _GET, record)
    (control,) = struct.unpack_from("I", record, _CONTROL_AT)
    struct.pack_into("I", record, _CONTROL_AT, control & ~_SPEED_BITS | _ANY_SPEED)
    struct.pack_into("II", record, _SPEEDS_AT, baud, baud)
    fcntl.ioctl(fd, _SET, record)
    found = speed(fd)
    if not abs(found - baud) <= 0.02 * baud:  # what a receiver still bears (recalled: about 5 % in all)
        raise StimulatorError(f"line.path = {path}: line.baud = {baud}: the port can do {found} bit/s instead")


def speed(fd: int) -> int:
    """Return a port's speed in bit/s."""
    record = bytearray(_RECORD_BYTES)
    fcntl.ioctl(fd, _GET, record)
    (found,) = struct.unpack_from("I", record, _SPEEDS_AT + 4)
    return int(found)


def keep_at_closing(fd: int) -> None:
    """Let a port's control lines stay as they are when it is closed, where they would fall otherwise."""
    attributes = termios.tcgetattr(fd)
    attributes[_CONTROL] &= ~termios.HUPCL
    termios.tcsetattr(fd, termios.TCSANOW, attributes)
