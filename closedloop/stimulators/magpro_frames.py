"""Frames of a MagVenture MagPro: ``FE``, the body's length, the body, its check, ``FF``.

The maker publishes no protocol: the facts come from what users of R30 and X100 devices found on the wire, some of it in
commands that are undocumented. Nothing here was tried on hardware.
"""

from collections.abc import Iterator
from dataclasses import dataclass

START, END = 0xFE, 0xFF
LONGEST_BODY = 32
"""No body that is known is longer than 15 bytes; a length above this is damage."""

MODELS = ("R30", "X100", "R30+Option", "X100+Option", "R30+Option+Mono", "MST")
MODES = ("standard", "power", "twin", "dual")
WAVEFORMS = ("monophasic", "biphasic", "half-sine", "biphasic-burst")
CURRENT_DIRECTIONS = ("normal", "reverse")
"""Each name's place is its code on the wire."""

STATUS, AMPLITUDE, DIDT, TEMPERATURE, TURNED = 0x00, 0x01, 0x02, 0x03, 0x08
SETTINGS, DELAYS, TRAIN, PAGE = 0x09, 0x0A, 0x0B, 0x0C
"""First byte of what the device sends.

``02`` comes after every pulse, and where a device is enabled; ``08`` where its screen turns to another page.
"""
BODY_LENGTHS = {
    STATUS: 9,
    AMPLITUDE: 4,
    DIDT: 4,
    TEMPERATURE: 4,
    TURNED: 4,
    SETTINGS: 10,
    DELAYS: 8,
    TRAIN: 14,
    PAGE: 14,
}
"""How long each is at least; the last three were never told in full."""

MAIN_PAGE, TIMING_PAGE = 1, 2
EXTERNAL_TRIGGER, EXTERNAL_START = 1, 2
"""Timing control: a trigger gives one pulse, or it starts the sequence."""


def crc8(body: bytes) -> int:
    """Return the check of a body: CRC-8/MAXIM, reflected polynomial 0x8C, from 0."""
    check = 0
    for byte in body:
        check ^= byte
        for _ in range(8):
            check = check >> 1 ^ (0x8C if check & 1 else 0)
    return check


def encode(body: bytes) -> bytes:
    """Return the frame of a body."""
    return bytes((START, len(body))) + body + bytes((crc8(body), END))


def ask_status() -> bytes:
    """Return the question for the status."""
    return encode(bytes((STATUS,)))


def set_amplitude(percent: int) -> bytes:
    """Return the command that sets amplitude A in percent of the maximum."""
    return encode(bytes((0x01, percent)))


def enable(*, on: bool) -> bytes:
    """Return the command that enables or disables."""
    return encode(bytes((0x02, int(on))))


def fire() -> bytes:
    """Return the command that fires one pulse."""
    return encode(b"\x03\x01")


def set_page(page: int) -> bytes:
    """Return the command that turns the screen to a page."""
    return encode(bytes((0x07, page, 0)))


def ask_page() -> bytes:
    """Return the question for the page."""
    return encode(b"\x0c\x00")


def ask_settings() -> bytes:
    """Return the question for the settings."""
    return encode(b"\x09\x00" + bytes(9))


def set_settings(model: int, mode: int, current_direction: int, waveform: int) -> bytes:
    """Return the command that sets the settings, which no frame acknowledges.

    Bursts are not used, so that what a burst would be is always the same: 2 pulses 10 ms apart, equal in height.
    """
    return encode(bytes((0x09, 0x01, model, mode, current_direction, waveform, 3)) + _u16(100) + _u16(100))


def ask_delays() -> bytes:
    """Return the question for the delays."""
    return encode(b"\x0a\x00")


def set_delays(input_ms: float, output_ms: float, charge_ms: int) -> bytes:
    """Return the command that sets the trigger's delays, and that of recharging, in ms."""
    output = round(10 * output_ms) & 0xFFFF
    return encode(b"\x0a\x01" + _u16(round(10 * input_ms)) + _u16(output) + _u16(charge_ms))


def ask_train() -> bytes:
    """Return the question for the train of the timing page."""
    return encode(b"\x0b\x00")


def set_train(timing_control: int, rate_hz: float, pulses: int) -> bytes:
    """Return the command that sets one train, 1 s away from a next that does not come, without a warning sound."""
    numbers = (round(10 * rate_hz), pulses, 1, 10)
    return encode(bytes((0x0B, 0x01, timing_control)) + b"".join(_u16(number) for number in numbers) + b"\x00")


def _u16(number: int) -> bytes:
    return number.to_bytes(2, "big")


@dataclass(frozen=True)
class DeviceStatus:
    """What the status frame says; ``coil_type`` is the device's own number, the rest in °C and percent."""

    model: int
    mode: int
    waveform: int
    enabled: bool
    serial_number: int
    temperature_c: int
    coil_type: int
    percent: int

    @classmethod
    def parse(cls, body: bytes) -> "DeviceStatus":
        """Return what a body says that begins with ``00``."""
        bits = body[1]
        return cls(
            model=bits >> 5,
            mode=bits & 3,
            waveform=bits >> 2 & 3,
            enabled=bool(bits & 16),
            serial_number=int.from_bytes(body[2:5], "big"),
            temperature_c=body[5],
            coil_type=body[6],
            percent=body[7],
        )


@dataclass(frozen=True)
class DeviceSettings:
    """What the settings frame says; its model's byte is left out, as an R30 says 88 there, which is no model."""

    mode: int
    current_direction: int
    waveform: int
    burst_index: int
    interval_index: int

    @classmethod
    def parse(cls, body: bytes) -> "DeviceSettings":
        """Return what a body says that begins with ``09``; the interval's index has its low byte first."""
        return cls(body[3], body[4], body[5], body[6], int.from_bytes(body[7:9], "little"))


@dataclass(frozen=True)
class DeviceDelays:
    """What the frame of the delays says, in ms."""

    input_ms: float
    output_ms: float
    charge_ms: int

    @classmethod
    def parse(cls, body: bytes) -> "DeviceDelays":
        """Return what a body says that begins with ``0A``."""
        output = int.from_bytes(body[4:6], "big", signed=True)
        return cls(int.from_bytes(body[2:4], "big") / 10, output / 10, int.from_bytes(body[6:8], "big"))


@dataclass(frozen=True)
class DeviceTrain:
    """What the timing page's frame says."""

    timing_control: int
    rate_hz: float
    pulses: int
    trains: int

    @classmethod
    def parse(cls, body: bytes) -> "DeviceTrain":
        """Return what a body says that begins with ``0B``; bit 4 of the timing control is the extended rate."""
        numbers = [int.from_bytes(body[place : place + 2], "big") for place in (3, 5, 7)]
        return cls(body[2] & 15, numbers[0] / 10, numbers[1], numbers[2])


def page_of(body: bytes) -> int:
    """Return the page that a body tells that begins with ``0C``."""
    return body[13]


def pulse_slope(body: bytes) -> int | None:
    """Return di/dt in A/µs where a body tells of a pulse; a device that is enabled tells a slope of 0: no pulse."""
    return body[1] if body[0] == DIDT and len(body) == BODY_LENGTHS[DIDT] and body[1] > 0 else None


def page_turned_to(body: bytes) -> int | None:
    """Return the page where a body tells, asked or not, that the screen turned to it."""
    return body[1] if body[0] == TURNED and len(body) == BODY_LENGTHS[TURNED] else None


class FrameReader:
    """Finds frames among bytes that come in any pieces, with others' frames, halves and garbage between them.

    ``FE`` and ``FF`` occur inside bodies as well, so a frame is told by its length and its check, never by them alone.

    Attributes
    ----------
    damaged
        How many beginnings of a frame turned out to be none.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self.damaged = 0

    def take(self, data: bytes) -> Iterator[bytes]:
        """Take bytes off the wire; yield the body of each frame that is complete."""
        self._held += data
        while (start := self._held.find(START)) >= 0:
            del self._held[:start]
            if len(self._held) < 2:
                return
            length = self._held[1]
            if 1 <= length <= LONGEST_BODY:
                if len(self._held) < length + 4:
                    return
                body = bytes(self._held[2 : 2 + length])
                if self._held[length + 2] == crc8(body) and self._held[length + 3] == END:
                    del self._held[: length + 4]
                    yield body
                    continue
            self._drop()
        self._held.clear()

    def give_up(self) -> Iterator[bytes]:
        """Take the wire's silence as the end of all frames that have begun; yield those that a half one hid."""
        while self._held:
            self._drop()
            yield from self.take(b"")

    def _drop(self) -> None:
        del self._held[0]
        self.damaged += 1
