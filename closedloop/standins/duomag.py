"""A stand-in for a Deymed DuoMAG.

Commands and the order of the stream's fields are those that a public driver uses. **Assumed**, as no source tells it:
that a frame has 16 bytes and comes every 20 ms; that a byte counts once the next is the same, and is forgotten where it
is not; that it recharges for 100 ms; that it gives no pulse at an intensity of 0, and counts a trigger that gives none
as omitted; above which reading its coil is hot; which type a missing coil has.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

PERIOD_S = 0.02
RECHARGE_S = 0.1
HOT_ADC = 200
FIRE = 0x79
UNITS_S = (5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)


@dataclass
class Delay:
    """A delay of so many steps of a unit."""

    steps: int = 0
    unit: int = 0

    @property
    def seconds(self) -> float:
        """Its length in s."""
        return self.steps * UNITS_S[self.unit]


class DuoMag:
    """Behaves like a DuoMAG; see the interface of stand-ins for its methods.

    Parameters
    ----------
    odd_bytes
        What the resistor's and the discharging part's temperatures and the two unknown bytes are.

    Attributes
    ----------
    pulses_s
        When it has fired.
    percent, coil_type, coil_adc, omitted, recharge, output
        Its state; coil type 0 is none.
    """

    def __init__(self, *, odd_bytes: tuple[int, int, int, int] = (30, 30, 0, 0)) -> None:
        self._odd_bytes = odd_bytes
        self.pulses_s: list[float] = []
        self.percent, self.coil_type, self.coil_adc, self.omitted = 0, 1, 40, 0
        self.recharge, self.output = Delay(), Delay()
        self._upper_bits = {0b100: 0, 0b110: 0}
        self._last: int | None = None
        self._deaf = False
        self._next_s: float | None = None
        self._charged_s = float("-inf")
        self._knob, self._edge = 0, False

    @property
    def actions(self) -> Mapping[str, Callable[..., None]]:
        """What a hand can do at the device, and what can be wrong with it, by name; each called with the time in s."""
        return {
            "remove-coil": lambda _now_s: self._coil(0),
            "attach-coil": lambda _now_s, number=1.0: self._coil(int(number)),
            "set-coil-temperature": lambda _now_s, adc: self._heat(int(adc)),
            "turn-knob": lambda _now_s, percent: self._turn(int(percent)),
            "lose-byte": lambda _now_s: setattr(self, "_deaf", True),
            "say-255": lambda _now_s: setattr(self, "_odd_bytes", (255, 255, 0, 254)),
        }

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes off the wire; nothing is acknowledged but in the stream."""
        for byte in data:
            if self._deaf:  # to one byte: what came doubled counts as single
                self._deaf = False
            elif byte == self._last:
                self._obey(byte, now_s)
                self._last = None
            else:
                self._last = byte
        return self.pass_time(now_s)

    def pass_time(self, now_s: float) -> bytes:
        """Let time pass and return the frame that is due; of those that a jump in time has missed, the last only."""
        if self._next_s is not None and now_s < self._next_s:
            return b""
        self._next_s = now_s + PERIOD_S
        frame = bytes((0xFF,)) + self._told(now_s)
        self._knob, self._edge = 0, False
        return frame

    def trigger(self, now_s: float) -> bool:
        """Take an edge at the trigger input; return whether it fired."""
        self._edge = True
        return self._fire(now_s)

    def _obey(self, code: int, now_s: float) -> None:
        head, tail = code >> 5, code & 31
        if code <= 100:
            self.percent = code
        elif code == FIRE:
            self._fire(now_s)
        elif head in self._upper_bits:
            self._upper_bits[head] = tail
        elif head - 1 in self._upper_bits:
            delay = Delay(self._upper_bits[head - 1] << 2 | tail & 3, tail >> 2)
            self.recharge, self.output = (delay, self.output) if head == 0b101 else (self.recharge, delay)

    def _fire(self, now_s: float) -> bool:
        fires = self.percent > 0 and self.coil_type > 0 and self.coil_adc <= HOT_ADC and now_s >= self._charged_s
        if fires:
            self.pulses_s.append(now_s)
            self._charged_s = now_s + self.recharge.seconds + RECHARGE_S
        else:
            self.omitted = (self.omitted + 1) % 256
        return fires

    def _told(self, now_s: float) -> bytes:
        """Return the bytes after the sync byte, in their order; the temperatures are in a converter's units."""
        resistor, discharge, first, second = self._odd_bytes
        absent, hot, charged = self.coil_type == 0, self.coil_adc > HOT_ADC, now_s >= self._charged_s
        return bytes(
            (
                self._edge << 5 | self._knob & 31,
                self.percent,
                self.coil_adc,
                resistor,
                discharge,
                self.omitted,
                absent << 5,
                hot << 4 | (not absent) << 1 | 1,
                charged << 2 | charged,
                self.output.steps,
                self.recharge.steps,
                self.recharge.unit << 4 | self.output.unit,
                first,
                second,
                self.coil_type,
            )
        )

    def _coil(self, number: int) -> None:
        self.coil_type = number

    def _heat(self, adc: int) -> None:
        self.coil_adc = adc

    def _turn(self, percent: int) -> None:
        self._knob = max(-16, min(15, percent - self.percent))
        self.percent = percent
