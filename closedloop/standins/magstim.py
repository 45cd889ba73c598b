"""A Magstim 200² and a BiStim² that exist in this process only: their behaviour on the serial line.

Drawn from what open drivers do, not from a device; nothing here was compared with hardware.
"""

from closedloop.standins.magstim_body import MagstimBody
from closedloop.standins.magstim_wire import BadDataError, ConflictError, number


class Magstim200StandIn(MagstimBody):
    """A Magstim 200².

    Parameters
    ----------
    version
        What it says of its firmware.
    """

    def __init__(self, *, version: str = "V5.0") -> None:
        super().__init__(version=version)
        self._handlers[b"J"] = self._tell_parameters

    def _tell_parameters(self, _data: bytes, _now_s: float) -> bytes:
        return b"%03d000000" % self.power  # assumed of the interval


SINGLE, SIMULTANEOUS, LOW_RESOLUTION, INDEPENDENT, HIGH_RESOLUTION = b"0", b"1", b"2", b"3", b"4"


class BiStimStandIn(MagstimBody):
    """A BiStim²: two stimulators on one coil, A first and B an interval later.

    Parameters
    ----------
    version
        What it says of its firmware.
    """

    def __init__(self, *, version: str = "V5.0") -> None:
        super().__init__(version=version)
        self.power_b = 0
        self.interval = 10
        self.high_resolution = False
        self._handlers |= {
            b"A": self._set_power_b,
            b"C": self._set_interval,
            b"J": lambda _data, _now_s: b"%03d%03d%03d" % (self.power, self.power_b, self.interval),
            b"X": lambda _data, _now_s: self.mode,
            b"Y": lambda _data, _now_s: self._set_resolution(high=True),
            b"Z": lambda _data, _now_s: self._set_resolution(high=False),
        }
        self._lengths |= {b"A": 5, b"C": 5}

    @property
    def mode(self) -> bytes:
        """The system mode, as it says it."""
        if self.high_resolution:
            return HIGH_RESOLUTION
        return SIMULTANEOUS if self.interval == 0 else LOW_RESOLUTION

    @property
    def interval_s(self) -> float:
        """From A to B."""
        return self.interval * (1e-4 if self.high_resolution else 1e-3)

    def _set_power_b(self, data: bytes, _now_s: float) -> bytes:
        percent = number(data)
        if percent > 100:
            raise BadDataError
        self._only_in_remote_standby()
        self.power_b = percent
        return b""

    def _set_interval(self, data: bytes, _now_s: float) -> bytes:
        interval = number(data)
        if not self.remote:
            raise ConflictError
        self.interval = interval
        return b""

    def _set_resolution(self, *, high: bool) -> bytes:
        self._only_in_remote_standby()
        # Falls back to 1 ms in the one, to 10 ms in the other: both are these digits.
        self.high_resolution, self.interval = high, 10
        return b""

    def _pattern(self, now_s: float) -> list[float]:
        return [now_s] if self.power_b == 0 else [now_s, now_s + self.interval_s]

    def _recharge_s(self) -> float:
        return 4.0
