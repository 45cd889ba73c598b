"""What an open trigger line is, and what is said of one that cannot be used."""

import errno
import fcntl
import os
from dataclasses import dataclass

from closedloop.errors import StimulatorError
from closedloop.stimulators.lines.pipe_pair import Replies, Reply

OPEN = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""No call waits, no terminal becomes the program's own, no program that is started gets the line as well."""
_WHY = {
    errno.EACCES: "not permitted; add yourself to the group that owns it (dialout or lp on Debian)",
    errno.EPERM: "not permitted; add yourself to the group that owns it (dialout or lp on Debian)",
    errno.EBUSY: "another program uses it",
    errno.EWOULDBLOCK: "another program uses it",
}


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
        The file, or what stands for it.
    on_request, off_request
        0: the bytes are written; else the request of an ioctl that is given their address.
    replies
        What the program says that drives the line; None: no program does.
    """

    fd: int
    on: bytes
    off: bytes
    off_after_s: float
    path: str
    on_request: int = 0
    off_request: int = 0
    replies: Replies | None = None

    def take_replies(self) -> list[Reply]:
        """Return what the program that drives the line has said since the last time, without waiting for more."""
        return [] if self.replies is None else self.replies.take()


def drive(fd: int, request: int, data: bytes) -> None:
    """Write bytes, or hand them to the file's driver.

    Raises
    ------
    OSError
        Where that fails, or not all of them could be written.
    """
    if request != 0:
        fcntl.ioctl(fd, request, data)
        return
    written = os.write(fd, data)
    if written != len(data):
        raise OSError(errno.EIO, f"{written} of {len(data)} bytes could be written")


def failure(path: str, what: str, error: Exception) -> StimulatorError:
    """Return the one line about a line that the system refuses; ``termios.error`` is an error like any other."""
    code, text = (*error.args, None, None)[:2]
    why = _WHY.get(code) if isinstance(code, int) else None
    return StimulatorError(f"line.path = {path} {what}: {why or text or error}")
