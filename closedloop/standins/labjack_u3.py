"""A stand-in for a LabJack U3 and for the vendor's module ``u3``: what a packet asks of its outputs, step by step.

It takes packets apart and adds their sums by lines of its own, which share nothing with those of the trigger line, so
that one mistake cannot hide in both. It knows the steps that write a bit and that wait.
"""

import time
from collections.abc import Callable, Sequence

WAIT_UNIT_S = 128e-6
BAD_SUM = bytes([0xB8, 0xB8])
"""What the device says of a packet whose sum is wrong."""
UNKNOWN_STEP = 6
"""The error that it names for a step that it does not know (its number is recalled)."""


class U3:
    """Behaves like the class of this name of the vendor's module, as far as packets go.

    Parameters
    ----------
    firstFound, serial
        As the vendor's: which device.
    clock
        What time it is, in s.

    Attributes
    ----------
    edges
        Time in s, output and new level of each change, in order.
    error
        What the next packet is answered with in place of being done; 0 for none.
    damaged
        Whether the next answer's sum is wrong, though the packet was done.
    closed
        Whether it was let go.
    """

    def __init__(
        self,
        firstFound: bool = True,  # noqa: N803 - the vendor's
        serial: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        del firstFound, serial
        self._clock = clock
        self._levels: dict[int, int] = {}
        self._answer = b""
        self.edges: list[tuple[float, int, int]] = []
        self.error, self.damaged, self.closed = 0, False, False

    def write(self, writeBuffer: Sequence[int], modbus: bool = False, checksum: bool = True) -> None:  # noqa: N803
        """Take a packet, do it, and keep the answer ready."""
        del modbus, checksum
        packet = bytes(writeBuffer)
        if not _sums_are_right(packet):
            self._answer = BAD_SUM
            return
        code, step = (self.error, 1) if self.error else self._do(packet[7:])
        self._answer = _with_sums(bytes([code, step, packet[6], 0]))
        if self.damaged:
            self._answer = self._answer[:4] + bytes([self._answer[4] ^ 1]) + self._answer[5:]
        self.error, self.damaged = 0, False

    def read(self, numBytes: int, stream: bool = False, modbus: bool = False) -> list[int]:  # noqa: N803
        """Return what is answered, at most so many bytes."""
        del stream, modbus
        answer, self._answer = self._answer[:numBytes], b""
        return list(answer)

    def close(self) -> None:
        """Let it go."""
        self.closed = True

    def _do(self, steps: bytes) -> tuple[int, int]:
        """Do a packet's steps in order; return the error and the step at which it came, both 0 where all is well."""
        at_s = self._clock()
        place = number = 0
        while place < len(steps) and steps[place] != 0:
            number += 1
            kind, value = steps[place], steps[place + 1]
            if kind == 5:
                at_s += WAIT_UNIT_S * value
            elif kind == 11:
                self._move(at_s, value % 128 % 20, value // 128)
            else:
                return UNKNOWN_STEP, number
            place += 2
        return 0, 0

    def _move(self, at_s: float, output: int, level: int) -> None:
        if self._levels.get(output) != level:
            self.edges.append((at_s, output, level))
        self._levels[output] = level


def _sum_of_8_bits(data: bytes) -> int:
    total = 0
    for value in data:
        total += value
        if total > 255:
            total -= 255  # what overflows comes round again
    return total


def _sums_are_right(packet: bytes) -> bool:
    if len(packet) < 8 or len(packet) != 6 + 2 * packet[2] or packet[1] != 0xF8:
        return False
    return packet[0] == _sum_of_8_bits(packet[1:6]) and packet[4] + 256 * packet[5] == sum(packet[6:]) % 65536


def _with_sums(body: bytes) -> bytes:
    head = bytes([0xF8, len(body) // 2, 0, sum(body) % 256, sum(body) // 256])
    return bytes([_sum_of_8_bits(head)]) + head + body
