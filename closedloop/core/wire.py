"""The wire of a trigger: bytes that are written to a file, or one call of the file's driver, from compiled code."""

import numpy as np
from numpy.typing import NDArray

from closedloop.core.native import c_ioctl, c_write, errno
from closedloop.core.records import PART
from closedloop.jit import inner

LINE = np.dtype(
    [
        ("fd", "i8"),  # file descriptor, opened so that it never blocks
        ("on", "i8"),  # address of the bytes that fire
        ("n_on", "i8"),
        ("on_request", "i8"),  # 0: they are written; else the ioctl that is given their address
        ("off", "i8"),  # the same of what takes the line back
        ("n_off", "i8"),  # 0: it falls back by itself
        ("off_request", "i8"),
        ("off_after_s", "f8"),
        ("off_at_s", "f8"),  # when that is due, infinite for never
        ("off_failed", "i8"),  # code of the taking back that has failed so far, else 0
    ],
    align=True,
)


@inner
def drive(fd: int, request: int, address: int, n: int) -> int:
    """Write bytes, or hand them to a driver; return 0, the errno, or ``PART``. It calls nothing else, and never waits.

    A driver may: the one of a serial port behind USB waits for its answer, about 1 ms (recalled, not measured).
    """
    if request != 0:
        return 0 if c_ioctl(fd, request, address) >= 0 else max(1, errno())
    written = c_write(fd, address, n)
    if written < 0:
        return max(1, errno())
    return 0 if written == n else PART


@inner
def fire(line: NDArray[np.void]) -> int:
    """Fire; return the code of `drive`."""
    wire = line[0]
    return drive(wire["fd"], wire["on_request"], wire["on"], wire["n_on"])


@inner
def take_back(line: NDArray[np.void]) -> int:
    """Take the line back; return the code of `drive`."""
    wire = line[0]
    return drive(wire["fd"], wire["off_request"], wire["off"], wire["n_off"])
