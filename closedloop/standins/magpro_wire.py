"""A MagPro's frames from the device's side, written apart from the driver's so that no mistake can hide in both."""

from collections.abc import Iterator

_POLYNOMIAL = 0b1_0001_1001
"""x^8 + x^5 + x^4 + 1, its lowest power first."""


def _check_of(byte: int) -> int:
    for _ in range(8):
        if byte & 1:
            byte ^= _POLYNOMIAL
        byte >>= 1
    return byte


_CHECKS = bytes(_check_of(byte) for byte in range(256))


def check(body: bytes) -> int:
    """Return the Dallas/Maxim check of a body."""
    value = 0
    for byte in body:
        value = _CHECKS[value ^ byte]
    return value


def frame(body: bytes) -> bytes:
    """Return a body between its marks."""
    return b"\xfe%c%b%c\xff" % (len(body), body, check(body))


def u16(number: int) -> bytes:
    """Return two bytes, the higher first."""
    return (number & 0xFFFF).to_bytes(2, "big")


def interval_index(interval_ms: float) -> int:
    """Return the index under which a burst's interval is read back: its place on a scale from 100 ms down."""
    if interval_ms >= 20.0:
        return round(100.0 - interval_ms)
    if interval_ms >= 10.0:
        return round(80.0 + (20.0 - interval_ms) / 0.5)
    return round(100.0 + (10.0 - interval_ms) / 0.1)


class Commands:
    """Cuts what the host sends into bodies.

    Attributes
    ----------
    malformed
        How many bytes could not begin a frame, or began one that its check belied.
    """

    def __init__(self) -> None:
        self._held = b""
        self.malformed = 0

    def take(self, data: bytes) -> Iterator[bytes]:
        """Take bytes in any pieces; yield each body that is whole."""
        self._held += data
        while len(self._held) >= 2:
            if self._held[0] == 0xFE:
                end = self._held[1] + 4
                if len(self._held) < end:
                    return
                body, self_check, mark = self._held[2 : end - 2], self._held[end - 2], self._held[end - 1]
                if body and self_check == check(body) and mark == 0xFF:
                    self._held = self._held[end:]
                    yield body
                    continue
            self._held = self._held[1:]
            self.malformed += 1
