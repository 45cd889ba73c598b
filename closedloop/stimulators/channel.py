"""Messages between a session and the process that keeps its stimulator."""

import contextlib
import json
import select
import socket
from collections.abc import Mapping
from typing import Any

MOST_BYTES = 65536


class ChannelEndedError(Exception):
    """The other side has gone."""


class Channel:
    """One end of a pair: whole messages, in order, each a mapping that JSON can hold.

    Parameters
    ----------
    end
        A socket of a pair that keeps messages whole.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setblocking(False)

    @staticmethod
    def pair() -> "tuple[Channel, socket.socket]":
        """Return an end, and the socket that another process makes its own end of."""
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return Channel(mine), theirs

    def tell(self, **message: Any) -> bool:
        """Send a message and return whether it could be: whoever does not listen is not waited for.

        Raises
        ------
        ChannelEndedError
            Where nobody is there any more.
        """
        try:
            self._end.send(json.dumps(message).encode())
        except BlockingIOError:
            return False
        except OSError:
            raise ChannelEndedError from None
        return True

    def hear(self, timeout_s: float) -> Mapping[str, Any] | None:
        """Return the next message, or None where none comes within ``timeout_s``.

        Raises
        ------
        ChannelEndedError
            Where nobody is there any more, and all that was sent has been heard.
        """
        try:
            if not select.select([self._end], [], [], max(0.0, timeout_s))[0]:
                return None
            content = self._end.recv(MOST_BYTES)
        except BlockingIOError:
            return None
        except (OSError, ValueError):  # ValueError: the end is closed
            raise ChannelEndedError from None
        if not content:
            raise ChannelEndedError
        message: Mapping[str, Any] = json.loads(content)
        return message

    def finish(self) -> None:
        """Let the other side know that nothing more comes; what it still says can be heard."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let the other side know that nobody is here any more."""
        self._end.close()
