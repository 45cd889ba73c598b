"""The state of a stand-in for a MagPro, and the frames that tell it."""

from dataclasses import dataclass

from closedloop.standins.magpro_wire import frame, interval_index, u16

MODELS = ("R30", "X100", "R30+Option", "X100+Option", "R30+Option+Mono", "MST")
STANDARD, TWIN, DUAL = 0, 2, 3
BIPHASIC, BURST = 1, 3
MAIN_PAGE, TIMING_PAGE = 1, 2
EXTERNAL_TRIGGER, EXTERNAL_START = 1, 2
SERIAL_NUMBER = 2049
ODD_MODEL_BYTE = 88
"""What an R30 was seen to say in place of its model's code."""


@dataclass(frozen=True)
class Settings:
    """What one command sets, and a hand at the panel may change."""

    mode: int = STANDARD
    direction: int = 0
    waveform: int = BIPHASIC
    burst_index: int = 3
    interval_ms: float = 10.0
    ratio: float = 1.0


@dataclass
class State:
    """What a MagPro is at one time.

    Attributes
    ----------
    model, model_byte
        Place among `MODELS`, and what the settings' frame says in its place.
    enabled, running
        Whether it would fire, and whether pulses are due.
    percent, percent_b
        Amplitudes A and B in percent of the maximum.
    temperature_c, coil_type
        Of the coil; type 0 is none.
    settings, page
        As set.
    delays
        Of trigger in and out and of recharging, in ms.
    train
        Timing control, rate in Hz, pulses, trains and the pause between two in s.
    """

    model: int
    model_byte: int
    enabled: bool = False
    running: bool = False
    percent: int = 0
    percent_b: int = 0
    temperature_c: int = 23
    coil_type: int = 60
    settings: Settings = Settings()
    page: int = MAIN_PAGE
    delays: tuple[float, float, int] = (0.0, 0.0, 0)
    train: tuple[int, float, int, int, float] = (0, 1.0, 5, 3, 1.0)

    def status(self) -> bytes:
        """Return the status."""
        return frame(b"\x00" + self._told())

    def page_frame(self) -> bytes:
        """Return the page, after a count that is always 0 here."""
        return frame(b"\x0c\x00" + bytes(11) + bytes((self.page,)))

    def slope(self) -> bytes:
        """Return what follows a pulse: a slope that is made up, but never 0 where there is an amplitude."""
        return self.short(0x02, round(1.6 * self.percent), 0)

    def _told(self) -> bytes:
        serial = SERIAL_NUMBER.to_bytes(3, "big")
        return (
            bytes((self._bits(),)) + serial + bytes((self.temperature_c, self.coil_type, self.percent, self.percent_b))
        )

    def extended_status(self) -> bytes:
        """Return the longer status."""
        running = int(self.running)
        return frame(b"\x05" + self._told() + bytes((self.percent, self.percent_b, 100, 0, self.page, running)))

    def settings_frame(self) -> bytes:
        """Return the settings; what the byte after the command is, no source tells."""
        now = self.settings
        interval = interval_index(now.interval_ms).to_bytes(2, "little")
        codes = bytes((self.model_byte, now.mode, now.direction, now.waveform, now.burst_index))
        return frame(b"\x09\x00" + codes + interval + bytes((round((5 - now.ratio) / 0.05),)))

    def delays_frame(self) -> bytes:
        """Return the delays."""
        given_ms, back_ms, charge_ms = self.delays
        return frame(b"\x0a\x00" + u16(round(10 * given_ms)) + u16(round(10 * back_ms)) + u16(charge_ms))

    def train_frame(self) -> bytes:
        """Return the timing page."""
        control, rate_hz, pulses, trains, pause_s = self.train
        numbers = (round(10 * rate_hz), pulses, trains, round(10 * pause_s))
        return frame(bytes((0x0B, 0, control)) + b"".join(u16(number) for number in numbers) + bytes((0, 100, 10)))

    def _bits(self) -> int:
        return self.settings.mode | self.settings.waveform << 2 | self.enabled << 4 | self.model << 5

    def short(self, command: int, first: int, second: int) -> bytes:
        """Return one of the frames with two values and the state."""
        return frame(bytes((command, first, second, self._bits())))

    def amplitude(self) -> bytes:
        """Return both amplitudes."""
        return self.short(0x01, self.percent, self.percent_b)

    def temperature(self) -> bytes:
        """Return the temperature and the coil's type."""
        return self.short(0x03, self.temperature_c, self.coil_type)
