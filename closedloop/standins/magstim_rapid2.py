"""A Magstim Rapid² that exists in this process only: single pulses, trains and the rest that a train demands.

Drawn from what open drivers do, not from a device; nothing here was compared with hardware. How a device words its
refusals (wrong data or conflict), and that pulses, frequency and duration follow one another, is assumed.
"""

import math
from collections.abc import Callable, Mapping

from closedloop.standins.magstim_body import Event, MagstimBody
from closedloop.standins.magstim_wire import BadDataError, ConflictError, number

JOULE_AT_FULL_POWER = 251.85
"""Of a pulse; it goes with the square of the power (the rule fits the published table to 0.3 %)."""
SUSTAINED_W = 1050.0
LEAST_WAIT_S = 0.5
MOST_PULSES = 6000
UNLOCK_CODE = "0000-00000000-00"
"""Opens a stand-in, and no device."""

POWERS = (30, 40, 50, 55, 60, 65, 70, 75, 80, 90, 100)
FASTEST_HZ = {
    (240, "rapid"): (50, 37, 30, 28, 25, 23, 20, 19, 18, 17, 15),
    (240, "super"): (100, 75, 50, 48, 45, 43, 40, 38, 35, 30, 25),
    (240, "super-plus"): (100, 100, 97, 88, 80, 74, 68, 62, 57, 49, 41),
    (115, "rapid"): (36, 28, 23, 21, 19, 17, 16, 15, 14, 12, 11),
    (115, "super"): (60, 55, 44, 40, 37, 34, 32, 29, 27, 24, 22),
    (115, "super-plus"): (60, 60, 58, 52, 47, 43, 40, 37, 34, 30, 25),
}
"""By mains voltage and model, for powers up to those above."""


class Rapid2StandIn(MagstimBody):
    """A Rapid².

    Parameters
    ----------
    version
        What it says of its firmware; what it answers depends on the number before the dot.
    mains_v, variant
        240 or 115, and rapid, super or super-plus.
    """

    def __init__(self, *, version: str = "V9.0", mains_v: int = 240, variant: str = "super") -> None:
        super().__init__(version=version)
        self.firmware = int(version.lstrip("V").split(".")[0])
        self._fastest_hz = FASTEST_HZ[mains_v, variant]
        self.enhanced = False
        self.decihertz, self.pulses, self.deciseconds = 100, 1, 0
        self.charge_delay_ms = 0
        self._locked_until_s = 0.0
        self.locked = False
        new = self.firmware >= 9
        self._handlers |= {
            b"B": self._set_frequency,
            b"D": self._set_pulses,
            b"[": self._set_duration,
            b"^": lambda _data, _now_s: self._set_enhanced(on=True),
            b"_": lambda _data, _now_s: self._set_enhanced(on=False),
            b"\\": self._tell_parameters,
        }
        self._lengths |= {b"B": 6, b"D": 7 if new else 6, b"[": 6 if new else 5}
        if new:
            self._handlers |= {b"x": lambda _data, _now_s: b"", b"n": self._set_delay, b"o": self._tell_delay}
            self._lengths[b"n"] = 6 if self.firmware == 9 else 7

    @property
    def actions(self) -> Mapping[str, Callable[..., None]]:
        """What a hand at the device can do, and what can be wrong with it."""
        return {**super().actions, "rest": self._rest}

    @property
    def train_mode(self) -> bool:
        """Whether a trigger starts a train."""
        return self.deciseconds > 0

    @property
    def rapid_status(self) -> int:
        """The second status byte."""
        coil_ready = self.coil and not self.replace_coil
        wait, single = self.locked, not self.train_mode
        return self.enhanced | self.train_mode << 1 | wait << 2 | single << 3 | 1 << 4 | coil_ready << 5

    def fastest_hz(self) -> float:
        """Return the highest frequency at the power that is set."""
        return next((hz for power, hz in zip(POWERS, self._fastest_hz, strict=True) if self.power <= power), 0.5)

    def wait_s(self) -> float:
        """Return the rest that the set train demands."""
        frequency_hz, joule = self.decihertz / 10, JOULE_AT_FULL_POWER * (self.power / 100) ** 2
        rest_s = self.pulses * (frequency_hz * joule - SUSTAINED_W) / (SUSTAINED_W * frequency_hz)
        return max(LEAST_WAIT_S, rest_s) if self.train_mode else 0.0

    def _request_length(self, head: bytes) -> int:
        if head[:1] == b"Q" and head[1:2] != b"@" and self.firmware >= 9:
            return 1 + len(UNLOCK_CODE) + 1
        return super()._request_length(head)

    def _more_status(self, command: bytes) -> bytes:
        rapid, extended = bytes([self.rapid_status]), bytes([0, (self.charge_delay_ms > 0) << 2])
        if command == b"x" or (command == b"n" and self.firmware >= 10):
            return rapid + extended
        return rapid if command in b"BD[^_\\n" else b""

    def _events(self) -> list[Event]:
        events = super()._events()
        if self.locked and not self._due_s:
            events.append((self._locked_until_s, lambda _at_s: setattr(self, "locked", False)))
        return events

    def _take_remote(self, data: bytes, now_s: float) -> bytes:
        if self.firmware < 9:
            return super()._take_remote(data, now_s)
        if data != UNLOCK_CODE.encode():
            raise BadDataError
        self.remote = True
        return b""

    def _highest_power(self) -> int:
        return 110 if self.enhanced else 100

    def _only_in_remote_standby(self) -> None:
        super()._only_in_remote_standby()
        if self.locked:
            raise ConflictError

    def _set_frequency(self, data: bytes, _now_s: float) -> bytes:
        decihertz = number(data)
        if not 0 < decihertz <= 10 * self.fastest_hz():
            raise BadDataError
        self._only_in_remote_standby()
        self.decihertz = decihertz
        self._follow()
        return b""

    def _set_pulses(self, data: bytes, _now_s: float) -> bytes:
        pulses = number(data)
        if not 1 <= pulses <= (MOST_PULSES if self.firmware >= 9 else 1000):
            raise BadDataError
        self._only_in_remote_standby()
        self.pulses = pulses
        self._follow()
        return b""

    def _follow(self) -> None:
        if self.train_mode:
            self.deciseconds = max(1, math.ceil(100 * self.pulses / self.decihertz))

    def _set_duration(self, data: bytes, _now_s: float) -> bytes:
        deciseconds = number(data)
        self._only_in_remote_standby()
        self.deciseconds = deciseconds
        if self.train_mode:
            self.pulses = max(1, self.decihertz * deciseconds // 100)
        return b""

    def _set_enhanced(self, *, on: bool) -> bytes:
        self._only_in_remote_standby()
        if on and self.train_mode:
            raise ConflictError
        self.enhanced = on
        return b""

    def _set_delay(self, data: bytes, _now_s: float) -> bytes:
        delay_ms = number(data)
        if delay_ms > (2000 if self.firmware == 9 else 10000):
            raise BadDataError
        self._only_in_remote_standby()
        self.charge_delay_ms = delay_ms
        return b""

    def _tell_delay(self, _data: bytes, _now_s: float) -> bytes:
        return b"%0*d" % (4 if self.firmware == 9 else 5, self.charge_delay_ms)

    def _tell_parameters(self, _data: bytes, _now_s: float) -> bytes:
        n_pulses, n_duration, n_wait = (5, 4, 4) if self.firmware >= 9 else (4, 3, 4 if self.firmware >= 7 else 3)
        wait = min(math.ceil(10 * self.wait_s()), 10**n_wait - 1)
        shown = min(self.deciseconds, 10**n_duration - 1)
        fields = (self.power, self.decihertz, n_pulses, self.pulses, n_duration, shown, n_wait, wait)
        return b"%03d%04d%0*d%0*d%0*d" % fields

    def _may_arm(self, now_s: float) -> bool:
        frequency_hz = self.decihertz / 10
        allowed = not self.train_mode or (frequency_hz <= self.fastest_hz() and not self._too_long())
        return super()._may_arm(now_s) and not self.locked and allowed

    def _too_long(self) -> bool:
        watt = self.decihertz / 10 * JOULE_AT_FULL_POWER * (self.power / 100) ** 2
        return watt > SUSTAINED_W and self.pulses / (self.decihertz / 10) > 60 * SUSTAINED_W / watt

    def _pattern(self, now_s: float) -> list[float]:
        if not self.train_mode:
            return [now_s]
        return [now_s + 10 * i / self.decihertz for i in range(self.pulses)]

    def _recharge_s(self) -> float:
        rest_s = self.wait_s() if self.train_mode else 2.0 if self.enhanced else 1.0 / self.fastest_hz()
        return max(rest_s, self.charge_delay_ms / 1000)

    def _rest(self, now_s: float, seconds: float) -> None:
        """Wait as after a train, with the parameters locked."""
        self.pass_time(now_s)
        self.ready, self.locked = False, True
        self._ready_at_s = self._locked_until_s = now_s + seconds

    def _fire(self, now_s: float) -> None:
        super()._fire(now_s)
        if self.train_mode:
            self.locked, self._locked_until_s = True, self._ready_at_s

    def _disarm(self, at_s: float) -> None:
        if self._due_s:  # a train that is cut short still has to be rested from
            self._locked_until_s = at_s + self.wait_s()
        super()._disarm(at_s)
