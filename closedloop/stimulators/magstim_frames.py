"""The language of Magstim stimulators: each request with the reading of its answer.

A request is a command letter, data and a check byte. An answer is the letter, the status *before* the command (after
it for Q and R), data and a check byte; a refusal is the letter, ``?`` or ``S`` and a check byte; to an unknown command
it is ``?`` alone. Taken from what open drivers do; nothing here was compared with a device.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import Generic, TypeVar

T = TypeVar("T")


class Instrument(IntFlag):
    """The status byte of every answer but the version's."""

    STANDBY = 0x01
    ARMED = 0x02
    READY = 0x04
    COIL = 0x08
    REPLACE_COIL = 0x10
    ERROR = 0x20
    FATAL = 0x40
    REMOTE = 0x80


class Rapid(IntFlag):
    """The status byte that a Rapid² adds; the flags that no driver here asks for are left out."""

    ENHANCED = 0x01
    TRAIN = 0x02
    WAIT = 0x04
    SINGLE = 0x08


NO_FLAGS = Rapid(0)


class Verdict(Enum):
    """What a device makes of a request, in words."""

    ACCEPTED = "accepted"
    BAD_DATA = "it does not take this value"
    CONFLICT = "its state does not allow it"
    UNKNOWN = "it does not know the command"


class FrameError(ValueError):
    """A frame with a right check byte and a wrong content."""


@dataclass(frozen=True)
class Reply(Generic[T]):
    """An answer; the value is None where the request was refused."""

    verdict: Verdict
    value: T | None = None


@dataclass(frozen=True)
class Request(Generic[T]):
    """A request.

    Attributes
    ----------
    data
        The bytes to send.
    length
        Of an accepted answer in bytes; None where a NUL and the check byte end it.
    read
        Makes the answer's value of the bytes between letter and check byte.
    """

    data: bytes
    length: int | None
    read: Callable[[bytes], T]


@dataclass(frozen=True)
class State:
    """What a device says of itself; powers in percent of the maximum, times and frequency as it counts them.

    Attributes
    ----------
    power_b, interval
        Of a BiStim²: of the second pulse, and ms or, in high resolution, tenths of a ms.
    decihertz, pulses, deciseconds, wait_deciseconds
        Of a Rapid²: its train, and the rest that must follow.
    """

    instrument: Instrument
    power: int
    rapid: Rapid = NO_FLAGS
    power_b: int = 0
    interval: int = 0
    decihertz: int = 0
    pulses: int = 1
    deciseconds: int = 0
    wait_deciseconds: int = 0


def check_byte(data: bytes) -> int:
    """Return the check byte of what precedes it: the sum's low byte, inverted."""
    return ~sum(data) & 0xFF


def encode(text: str) -> bytes:
    """Return the bytes of a request."""
    data = text.encode("ascii")
    return data + bytes([check_byte(data)])


def find_reply(buffer: bytes, request: Request[T]) -> Reply[T] | None:
    """Return the last whole answer to a request among bytes that may hold others, halves and garbage.

    The last one, since what lies before it is late. A lone ``?`` has no check byte, so only its sender's silence
    after it can tell that it is an answer: `find_reply` does not.
    """
    found: Reply[T] | None = None
    start = buffer.find(request.data[:1])
    while start >= 0:
        reply, length = _reply_at(buffer[start:], request)
        found = found if reply is None else reply
        start = buffer.find(request.data[:1], start + length)
    return found


def _reply_at(frame: bytes, request: Request[T]) -> tuple[Reply[T] | None, int]:
    """Return the answer that a buffer begins with, and how many bytes to go on by."""
    if frame[1:2] in (b"?", b"S") and len(frame) >= 3 and check_byte(frame[:2]) == frame[2]:
        return Reply(Verdict.BAD_DATA if frame[1:2] == b"?" else Verdict.CONFLICT), 3
    length = frame.find(b"\0") + 2 if request.length is None else request.length
    if not 3 <= length <= len(frame) or check_byte(frame[: length - 1]) != frame[length - 1]:
        return None, 1
    try:
        return Reply(Verdict.ACCEPTED, request.read(frame[1 : length - 1])), length
    except FrameError:
        return None, 1


def _numbers(data: bytes, *widths: int) -> list[int]:
    if len(data) != sum(widths) or not data.isdigit():
        raise FrameError(f"{data!r}: there should be {sum(widths)} digits")
    ends = [sum(widths[: i + 1]) for i in range(len(widths))]
    return [int(data[end - width : end]) for end, width in zip(ends, widths, strict=True)]


def _read_status(data: bytes) -> Instrument:
    return Instrument(data[0])


def _read_parameters(data: bytes) -> State:
    power, power_b, interval = _numbers(data[1:], 3, 3, 3)
    return State(Instrument(data[0]), power, power_b=power_b, interval=interval)


def _read_temperatures(data: bytes) -> tuple[Instrument, float]:
    return Instrument(data[0]), max(_numbers(data[1:], 3, 3)) / 10


def _read_error(data: bytes) -> str:
    if not re.fullmatch(rb"[UCE]\d\d", data[1:]):
        raise FrameError(f"{data!r}: there should be a letter and two digits")
    return data[1:].decode("ascii")


def _read_version(data: bytes) -> str:
    if not re.fullmatch(rb"[ -~]{1,30}\0", data):
        raise FrameError(f"{data!r}: there should be a text")
    return data[:-1].decode("ascii").strip()


def _plain(text: str) -> Request[Instrument]:
    return Request(encode(text), 3, _read_status)


ENABLE_REMOTE, DISABLE_REMOTE = _plain("Q@"), _plain("R@")
ARM, DISARM, FIRE = _plain("EB"), _plain("EA"), _plain("EH")
TELL_VERSION: Request[str] = Request(encode("ND"), None, _read_version)
TELL_PARAMETERS: Request[State] = Request(encode("J@"), 12, _read_parameters)
TELL_TEMPERATURE: Request[tuple[Instrument, float]] = Request(encode("F@"), 9, _read_temperatures)
"""Status, and the hotter of both coils in degrees Celsius."""
TELL_ERROR: Request[str] = Request(encode("I@"), 6, _read_error)
TELL_MODE: Request[str] = Request(encode("X@"), 4, lambda data: data[1:].decode("latin-1"))


def unlock_remote(code: str) -> Request[Instrument]:
    """Take remote control of a Rapid² from firmware 9 on, by the code of that very unit."""
    return _plain(f"Q{code}")


def set_power(percent: int) -> Request[Instrument]:
    """Set the power in percent."""
    return _plain(f"@{percent:03d}")


def set_power_b(percent: int) -> Request[Instrument]:
    """Set the power of a BiStim²'s second pulse in percent."""
    return _plain(f"A{percent:03d}")


def set_frequency(decihertz: int) -> Request[Instrument]:
    """Set a train's frequency in tenths of a Hz."""
    return Request(encode(f"B{decihertz:04d}"), 4, _read_status)


def set_pulses(pulses: int, firmware: int) -> Request[Instrument]:
    """Set a train's pulses."""
    return Request(encode(f"D{pulses:0{5 if firmware >= 9 else 4}d}"), 4, _read_status)


def set_duration(deciseconds: int, firmware: int) -> Request[Instrument]:
    """Set a train's duration in tenths of a s: 0 is the mode of single pulses, anything else that of trains."""
    return Request(encode(f"[{deciseconds:0{4 if firmware >= 9 else 3}d}"), 4, _read_status)


def tell_rapid_parameters(firmware: int) -> Request[State]:
    """Ask a Rapid² for its state, which is 21, 22 or 24 bytes long, by the number of its firmware."""
    widths = (3, 4, 5, 4, 4) if firmware >= 9 else (3, 4, 4, 3, 4) if firmware >= 7 else (3, 4, 4, 3, 3)

    def read(data: bytes) -> State:
        power, decihertz, pulses, deciseconds, wait = _numbers(data[2:], *widths)
        told = {"decihertz": decihertz, "pulses": pulses, "deciseconds": deciseconds, "wait_deciseconds": wait}
        return State(Instrument(data[0]), power, Rapid(data[1]), **told)

    return Request(encode("\\@"), sum(widths) + 4, read)
