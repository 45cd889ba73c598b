"""A serial port whose every failure is one clear line.

Drivers speak through it and never open a port themselves. Nothing here knows a device: framing and checks are each
driver's own.
"""

import errno
import os
import re
import time
from types import TracebackType
from typing import Self

import serial

from closedloop.errors import StimulatorError

_WHY = {
    errno.ENOENT: "there is no such port",
    errno.EACCES: "not permitted; add yourself to the group that owns it (dialout on Debian)",
    errno.EBUSY: "another program uses it",
    errno.EAGAIN: "another program uses it",
    errno.EWOULDBLOCK: "another program uses it",
    errno.EISDIR: "it is a folder",
    errno.ENOTTY: "it is no serial port",
    errno.EIO: "the device has gone",
}
_NUMBER = re.compile(r"[\[(](?:Errno )?(\d+)[\],]")
"""Of an error that pyserial keeps only in its words."""


class Port:
    """An open serial port; use it in a ``with`` block.

    Parameters
    ----------
    path
        The port, such as /dev/ttyUSB0.
    baud
        Line speed in bit/s.
    stop_bits
        1 or 2; data bits are 8, and there is no parity and no flow control.
    name
        What the device is called, for errors.

    Raises
    ------
    StimulatorError
        Where it is absent, busy or not permitted; and from any method where the device has gone.
    """

    def __init__(self, path: str, *, baud: int, name: str, stop_bits: int = 1) -> None:
        self.path, self.name = path, name
        try:
            self._serial = serial.Serial(path, baud, stopbits=stop_bits, timeout=0.0, write_timeout=1.0, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as error:
            raise self._failure("cannot be opened", error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._serial.close()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        try:
            self._serial.write(data)
        except (serial.SerialException, OSError) as error:
            raise self._failure("cannot be written", error) from None

    def write_at_once(self, data: bytes) -> None:
        """Send bytes without waiting.

        Where the port takes only some of them now, that is an error: what was taken is no whole command, and stays in
        front of the next one, which may have to be sent twice.
        """
        try:
            written = os.write(self._serial.fileno(), data)
        except (serial.SerialException, OSError) as error:
            raise self._failure("cannot be written", error) from None
        if written != len(data):
            raise StimulatorError(f"{self.name}: the port {self.path} took {written} of {len(data)} bytes")

    def read(self, timeout_s: float) -> bytes:
        """Return what has arrived, after waiting for the first byte for so long at most; empty where none came."""
        try:
            self._serial.timeout = max(0.0, timeout_s)
            first = self._serial.read(1)
            return first + self._serial.read(self._serial.in_waiting) if first else b""
        except (
            serial.SerialException,
            OSError,
            TypeError,
        ) as error:  # TypeError: pyserial's own, of a port that closed
            raise self._failure("cannot be read", error) from None

    def drain(self, quiet_s: float = 0.0) -> bytes:
        """Take what has arrived out of the way, until nothing comes for so long, and return it."""
        taken = b""
        until_s = time.monotonic() + 1.0
        while time.monotonic() < until_s:
            data = self.read(quiet_s)
            if not data:
                break
            taken += data
        return taken

    def _failure(self, what: str, error: Exception) -> StimulatorError:
        code, found = getattr(error, "errno", None), _NUMBER.search(str(error))
        if code is None and found is not None:
            code = int(found[1])
        why = str(error) if code is None else _WHY.get(code, os.strerror(code))
        return StimulatorError(f"{self.name}: the port {self.path} {what}: {why}")
