"""Packets of a LabJack U3: what it is asked in one go, and what it says of that.

One packet holds several steps, which the device does one after the other by its own clock: high, wait, low is a pulse
whose width no program can stretch. Byte values are those of the vendor's library for Python.
"""

from collections.abc import Sequence

from closedloop.errors import StimulatorError

STEP_S = 128e-6
"""What the device's short wait counts."""
_EXTENDED, _FEEDBACK = 0xF8, 0x00
_WAIT_SHORT, _WRITE_BIT = 0x05, 0x0B
_HEADER = 6
_FIRST = {"FIO": 0, "EIO": 8, "CIO": 16}
_REPLY_BYTES = 10
"""Of a packet whose steps return nothing."""


def output_number(name: str) -> int:
    """Return the device's number of an output, such as FIO4."""
    return _FIRST[name[:3]] + int(name[3:])


def low(output: int) -> bytes:
    """Return the packet that makes an output low; the device makes it an output where it was none."""
    return _sealed(bytes([_WRITE_BIT, output]))


def pulse(output: int, width_s: float) -> bytes:
    """Return the packet that makes an output high, and low after a time in s, by the device's own clock."""
    steps = round(width_s / STEP_S)
    return _sealed(bytes([_WRITE_BIT, output | 0x80, _WAIT_SHORT, steps, _WRITE_BIT, output]))


def folded(data: Sequence[int]) -> int:
    """Return the device's sum of 8 bits: what overflows is added again, twice."""
    total = sum(data)
    total = (total & 0xFF) + (total >> 8)
    return (total & 0xFF) + (total >> 8)


def _sealed(steps: bytes) -> bytes:
    body = bytes([0]) + steps
    body += bytes(len(body) % 2)
    total = sum(body)
    head = bytes([_EXTENDED, len(body) // 2, _FEEDBACK, total & 0xFF, total >> 8 & 0xFF])
    return bytes([folded(head)]) + head + body


def check_reply(reply: bytes) -> None:
    """Check what the device says of a packet whose steps return nothing.

    Raises
    ------
    StimulatorError
        Where a sum is wrong, or the device names an error: what it did nobody knows then.
    """
    if len(reply) != _REPLY_BYTES:
        raise StimulatorError(f"LabJack U3: its reply has {len(reply)} bytes in place of {_REPLY_BYTES}")
    total = sum(reply[_HEADER:])
    if reply[0] != folded(reply[1:_HEADER]) or reply[4] | reply[5] << 8 != total:
        raise StimulatorError(f"LabJack U3: a checksum of its reply is wrong: {reply.hex()}")
    if reply[1] != _EXTENDED or reply[3] != _FEEDBACK:
        raise StimulatorError(f"LabJack U3: its reply is to something else: {reply.hex()}")
    if reply[6] != 0:
        raise StimulatorError(f"LabJack U3: error {reply[6]} in step {reply[7]} of the packet")
