"""The wire of a Magstim stand-in: requests out of bytes that come in any pieces, and answers with their check byte.

It shares no line with the drivers' framing, so that one mistake cannot hide in both.
"""

from collections.abc import Callable, Iterator

FORGOTTEN_AFTER_S = 0.1
"""A request that stays unfinished for so long is dropped (assumed: no source tells what a device does)."""
SHORTEST = 3
"""Bytes of the shortest request: command, one byte of data, check byte."""


class RefusalError(Exception):
    """A device's refusal of a request that it has read; the letter is what it answers."""

    def __init__(self, letter: bytes) -> None:
        super().__init__(letter)
        self.letter = letter


class BadDataError(RefusalError):
    """A value that the device does not take."""

    def __init__(self) -> None:
        super().__init__(b"?")


class ConflictError(RefusalError):
    """A command that the device's state does not allow."""

    def __init__(self) -> None:
        super().__init__(b"S")


def check_byte(data: bytes) -> int:
    """Return the check byte of what precedes it: what is missing from the sum's low byte to 255."""
    return 255 - sum(data) % 256


def sealed(data: bytes) -> bytes:
    """Return bytes with their check byte behind them."""
    return data + bytes([check_byte(data)])


def number(digits: bytes) -> int:
    """Return what digits say.

    Raises
    ------
    BadDataError
        Where they are none.
    """
    if not digits.isdigit():
        raise BadDataError
    return int(digits)


class Inbox:
    """Collects bytes into requests.

    Parameters
    ----------
    length
        How many bytes a request has, check byte included, as far as its beginning tells.
    """

    def __init__(self, length: Callable[[bytes], int]) -> None:
        self._length = length
        self._bytes = b""
        self._last_s = 0.0

    def take(self, data: bytes, now_s: float) -> Iterator[bytes]:
        """Add what arrived and give out the requests that are whole."""
        if now_s - self._last_s > FORGOTTEN_AFTER_S:
            self._bytes = b""
        self._bytes, self._last_s = self._bytes + data, now_s
        while len(self._bytes) >= SHORTEST and len(self._bytes) >= (length := self._length(self._bytes)):
            request, self._bytes = self._bytes[:length], self._bytes[length:]
            yield request
