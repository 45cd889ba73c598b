"""A trigger line: the file whose bytes make a device fire."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from closedloop.config.device import Line
from closedloop.errors import StimulatorError


@dataclass(frozen=True)
class TriggerLine:
    """An open line.

    Attributes
    ----------
    fd
        File descriptor; a write never blocks.
    on, off
        What fires, and what takes the line back; empty where it falls back by itself.
    off_after_s
        How long after it, in s.
    path
        The file.
    """

    fd: int
    on: bytes
    off: bytes
    off_after_s: float
    path: str


def _write_off(fd: int, off: bytes, path: str) -> None:
    """Take the line back, in case that somebody left it high: the first trigger would have no edge."""
    try:
        written = os.write(fd, off)
    except OSError as error:
        raise StimulatorError(f"line.path = {path} cannot be written: {error.strerror}") from None
    if written != len(off):
        raise StimulatorError(f"line.path = {path}: {written} of {len(off)} bytes could be written")


@contextmanager
def open_line(line: Line | None) -> Iterator[TriggerLine]:
    """Open a trigger line for the length of a ``with`` block; without one, bytes go nowhere.

    Raises
    ------
    StimulatorError
        Where the file is not there, or nobody reads the pipe that it is.
    """
    settings = Line(path=os.devnull) if line is None else line
    off = b"" if settings.off is None else bytes.fromhex(settings.off)
    try:
        fd = os.open(settings.path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        why = error.strerror
        if os.path.exists(settings.path) and stat.S_ISFIFO(os.stat(settings.path).st_mode):  # noqa: PTH110, PTH116
            why = "nobody reads this pipe: start what listens to it first"
        raise StimulatorError(f"line.path = {settings.path} cannot be opened: {why}") from None
    try:
        if not stat.S_ISCHR(os.fstat(fd).st_mode) and not stat.S_ISFIFO(os.fstat(fd).st_mode):
            raise StimulatorError(f"line.path = {settings.path} is no device and no pipe: nothing was written to it")
        if off:
            _write_off(fd, off, settings.path)
        yield TriggerLine(fd, bytes.fromhex(settings.on), off, settings.off_after_s, settings.path)
    finally:
        try:
            if off:
                os.write(fd, off)
        except OSError:
            pass  # it is being left: the loop has recorded what failed
        os.close(fd)
