"""A line of bytes that are written to a file: a serial port, a pseudo-terminal or a pipe."""

import errno
import os
import select
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from closedloop.config.line import BytesLine, Exchange
from closedloop.errors import StimulatorError
from closedloop.stimulators.lines.serial_port import claimed, raw
from closedloop.stimulators.lines.wire import OPEN, TriggerLine, failure

SENDING_S = 2.0
"""What is said to a box at its opening has to leave within this time."""


@contextmanager
def open_bytes(line: BytesLine) -> Iterator[TriggerLine]:
    """Open a file for bytes.

    Raises
    ------
    StimulatorError
        Where it is not there, is no device and no pipe, nobody reads the pipe, or the box does not answer.
    """
    on, off = bytes.fromhex(line.on), b"" if line.off is None else bytes.fromhex(line.off)
    fd = _open(line.path)
    try:
        opened = TriggerLine(fd, on, off, line.off_after_s, line.path)
        if not os.isatty(fd):
            yield opened
            return
        with claimed(fd, line.path), raw(fd, line.path, line.baud):
            time.sleep(line.settle_s)
            for exchange in line.setup:
                _talk(fd, line.path, exchange)
            yield opened
    finally:
        os.close(fd)


def _open(path: str) -> int:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - what is wrong is an OSError either way
        # A port also answers. A pipe would do without a reader then, and a folder cannot be opened either way.
        fd = os.open(path, OPEN | (os.O_RDWR if stat.S_ISCHR(mode) else os.O_WRONLY))
    except OSError as error:
        if error.errno == errno.ENXIO:
            error = OSError(errno.ENXIO, "nobody reads this pipe: start what listens to it first")
        raise failure(path, "cannot be opened", error) from None
    if not stat.S_ISCHR(mode) and not stat.S_ISFIFO(mode):
        os.close(fd)
        raise StimulatorError(f"line.path = {path} is no device and no pipe: nothing was written to it")
    return fd


def _talk(fd: int, path: str, exchange: Exchange) -> None:
    """Say something to a box, and hear its answer where there has to be one."""
    try:
        _send(fd, path, bytes.fromhex(exchange.send))
        if exchange.answer is None:
            return
        wanted = bytes.fromhex(exchange.answer)
        heard = _hear(fd, wanted, exchange.within_s)
    except OSError as error:
        raise failure(path, "cannot be set up", error) from None
    if wanted not in heard:
        raise StimulatorError(
            f"line.path = {path}: {_shown(wanted)} has to answer {_shown(bytes.fromhex(exchange.send))}, and "
            f"{_shown(heard) if heard else 'nothing'} came within {exchange.within_s:g} s: is this the right box?"
        )


def _send(fd: int, path: str, data: bytes) -> None:
    until_s = time.monotonic() + SENDING_S
    while data:
        left_s = until_s - time.monotonic()
        if left_s <= 0.0 or not select.select([], [fd], [], left_s)[1]:
            raise StimulatorError(f"line.path = {path} takes no bytes (waited {SENDING_S:g} s)")
        data = data[os.write(fd, data) :]


def _hear(fd: int, wanted: bytes, within_s: float) -> bytes:
    heard = b""
    until_s = time.monotonic() + within_s
    while wanted not in heard and (left_s := until_s - time.monotonic()) > 0.0:
        if select.select([fd], [], [], left_s)[0]:
            data = os.read(fd, 4096)
            if not data:
                break
            heard += data
    return heard


def _shown(data: bytes) -> str:
    """Return bytes in hexadecimal digits, as profiles write them, with the text that they may be."""
    text = data.decode("ascii", errors="replace")
    return f"{data.hex()} ({text!r})" if text.isprintable() else data.hex()
