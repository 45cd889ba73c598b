"""Bytes of a Deymed DuoMAG: commands whose every byte is sent twice, and the stream in which it tells its state.

The maker publishes no protocol: commands and the order of the stream's fields are those that a public driver reads.
**Assumed**, as no source tells it: that a frame has `FRAME_BYTES`, as a newer device's that tells its coil (an older
one's shorter frames are not found, so that it counts as not answering), and which bytes are never 255 (see `LAYOUT`).
There is no check in the stream. Nothing here was tried on hardware.
"""

from collections.abc import Iterator
from dataclasses import dataclass

SYNC = 0xFF
FRAME_BYTES = 16
"""With its sync byte."""

LAYOUT = (
    ("knob", 0x3F),  # bit 5: an edge at the trigger input; bits 4-0: how far the knob was turned, signed
    ("percent", 100),
    ("coil_adc", 0xFF),  # the unit of these three is not known
    ("resistor_adc", 0xFF),
    ("discharge_adc", 0xFF),
    ("omitted", 0xFF),
    ("errors", 0x7F),
    ("more_errors", 0x7F),
    ("charge", 0x7F),
    ("output_steps", 0x7F),
    ("recharge_steps", 0x7F),
    ("units", 0x7F),
    ("unknown_1", 0xFE),
    ("unknown_2", 0xFE),
    ("coil_type", 0xFE),
)
"""Each byte after the sync byte, and its highest value.

Only bytes 2 to 5 may be 255. A frame that is sought at one of these would have the true sync byte at 9 to 12, where 255
cannot be: so that a sync byte is never mistaken for long.
"""

ERRORS = {
    ("errors", 6): "the power part is too hot",
    ("errors", 5): "no coil",
    ("errors", 4): "the voltage is not held",
    ("errors", 3): "it cannot recharge",
    ("more_errors", 6): "the fan is stuck",
    ("more_errors", 4): "the coil is hot",
    ("more_errors", 3): "the resistor is too hot",
    ("more_errors", 2): "the discharging part is too hot",
}
"""Byte and bit of each error, and what it means."""
COIL_DATA_OK, CHARGED = 1 << 1, 1 << 0
COILS = ("70BF", "70BF-COOL", "120BFV", "100R", "125R", "50BF", "50BFT")
"""Names of the coil types, from 1."""

UNITS_MS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
MOST_STEPS = 127
RECHARGE, OUTPUT = 0b100, 0b110
"""What begins the first of a delay's two bytes; the second's beginning is one higher."""
FIRE = 0x79


def doubled(*codes: int) -> bytes:
    """Return a command: each byte twice."""
    return bytes(code for code in codes for _ in range(2))


def set_intensity(percent: int) -> bytes:
    """Return the command that sets the intensity in percent of the maximum."""
    return doubled(percent)


def fire() -> bytes:
    """Return the command that fires; one of two public drivers calls what it gives a double pulse."""
    return doubled(FIRE)


def delay_code(delay_ms: float) -> tuple[int, int] | None:
    """Return steps and unit of a delay in ms, in the finest unit that it fits; None where no unit gives exactly it."""
    for unit, unit_ms in enumerate(UNITS_MS):
        steps = round(delay_ms / unit_ms)
        if 0 <= steps <= MOST_STEPS and abs(steps * unit_ms - delay_ms) < 1e-9:
            return steps, unit
    return None


def set_delay(which: int, steps: int, unit: int) -> bytes:
    """Return the command that sets the delay of recharging or of the trigger output."""
    return doubled(which << 5 | steps >> 2, (which + 1) << 5 | unit << 2 | steps & 3)


@dataclass(frozen=True)
class DuoState:
    """What one frame says, without what no source gives a unit or a meaning.

    Attributes
    ----------
    percent
        Intensity in percent of the maximum.
    omitted
        How many triggers gave no pulse, as it counts them.
    faults
        In words.
    charged
        Whether it would fire.
    recharge, output
        Delays of recharging and of the trigger output, each as steps and unit.
    coil_type
        The device's own number.
    """

    percent: int
    omitted: int
    faults: tuple[str, ...]
    charged: bool
    recharge: tuple[int, int]
    output: tuple[int, int]
    coil_type: int

    @classmethod
    def parse(cls, payload: bytes) -> "DuoState":
        """Return what a frame says, without its sync byte."""
        told = {name: byte for (name, _), byte in zip(LAYOUT, payload, strict=True)}
        faults = tuple(said for (name, bit), said in ERRORS.items() if told[name] >> bit & 1)
        if not told["more_errors"] & COIL_DATA_OK and ERRORS["errors", 5] not in faults:
            faults += ("the coil's data cannot be read",)
        return cls(
            percent=told["percent"],
            omitted=told["omitted"],
            faults=faults,
            charged=bool(told["charge"] & CHARGED),
            recharge=(told["recharge_steps"], told["units"] >> 4),
            output=(told["output_steps"], told["units"] & 7),
            coil_type=told["coil_type"],
        )


class StreamReader:
    """Finds frames in a stream that is joined anywhere and may lose or change bytes.

    A frame counts where each of its bytes may be what it is, and a sync byte follows. That leaves damage that nothing
    shows; so two frames in a row have to say the same before they are believed (see the driver).

    Attributes
    ----------
    damaged
        How many sync bytes turned out to be none, or to begin a damaged frame.
    """

    def __init__(self) -> None:
        self._held = b""
        self.damaged = 0

    def take(self, data: bytes) -> Iterator[DuoState | None]:
        """Take bytes off the wire; yield what each frame says, and None where some bytes between made no frame."""
        self._held += data
        while len(self._held) > FRAME_BYTES:
            payload = self._held[1:FRAME_BYTES]
            if self._held[0] == SYNC == self._held[FRAME_BYTES] and _possible(payload):
                self._held = self._held[FRAME_BYTES:]
                yield DuoState.parse(payload)
                continue
            self.damaged += self._held[0] == SYNC
            start = self._held.find(SYNC, 1)
            self._held = self._held[start:] if start > 0 else b""
            yield None


def _possible(payload: bytes) -> bool:
    return all(byte <= highest for (_, highest), byte in zip(LAYOUT, payload, strict=True))
