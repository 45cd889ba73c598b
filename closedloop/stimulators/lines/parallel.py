"""The data pins of a parallel port as a trigger line, through Linux's driver ppdev."""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from closedloop.config.line import ParallelLine
from closedloop.errors import StimulatorError
from closedloop.stimulators.lines.wire import OPEN, TriggerLine, failure

_WRITES = 1


def _request(number: int, *, n_bytes: int = 0) -> int:
    """Return an ioctl's number, of ppdev's letter p: which way, how many bytes, letter, number (Linux, x86 and ARM)."""
    way = _WRITES if n_bytes else 0
    return way << 30 | n_bytes << 16 | ord("p") << 8 | number


CLAIM, RELEASE, EXCLUSIVE = _request(0x8B), _request(0x8C), _request(0x8F)
WRITE_DATA, DIRECTION = _request(0x86, n_bytes=1), _request(0x90, n_bytes=4)
_FORWARD = struct.pack("i", 0)


@contextmanager
def open_parallel(line: ParallelLine) -> Iterator[TriggerLine]:
    """Open a parallel port, for this program alone.

    Raises
    ------
    StimulatorError
        Where it is not there, not permitted, in use, or none.
    """
    try:
        fd = os.open(line.path, OPEN | os.O_RDWR)
    except FileNotFoundError:
        raise StimulatorError(
            f"line.path = {line.path} cannot be opened: there is no such port; where the machine has one, load its "
            "driver: modprobe parport_pc ppdev"
        ) from None
    except OSError as error:
        raise failure(line.path, "cannot be opened", error) from None
    try:
        _claim(fd, line.path)
        try:
            yield TriggerLine(
                fd,
                bytes.fromhex(line.on),
                bytes.fromhex(line.off),
                line.width_s,
                line.path,
                on_request=WRITE_DATA,
                off_request=WRITE_DATA,
            )
        finally:
            with suppress(OSError):
                fcntl.ioctl(fd, RELEASE)
    finally:
        os.close(fd)


def _claim(fd: int, path: str) -> None:
    try:
        fcntl.ioctl(fd, EXCLUSIVE)
        fcntl.ioctl(fd, CLAIM)
        fcntl.ioctl(fd, DIRECTION, _FORWARD)
    except OSError as error:
        if error.errno in {errno.ENOTTY, errno.EINVAL}:
            raise StimulatorError(f"line.path = {path} is no parallel port") from None
        if error.errno in {errno.EBUSY, errno.ENXIO, errno.EAGAIN}:
            raise StimulatorError(
                f"line.path = {path} cannot be opened: another program or driver holds it; that of printers is taken "
                "out by: rmmod lp"
            ) from None
        raise failure(path, "cannot be opened", error) from None
