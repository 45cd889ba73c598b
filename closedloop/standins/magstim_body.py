"""What all Magstim stand-ins share: remote control, arming, charging, firing, the coil and the device's own timers.

Where no source tells what a device does, the stand-in takes the harder case for its driver, and its comment says so.
"""

from collections.abc import Callable, Mapping, Sequence

from closedloop.standins.magstim_output import Output
from closedloop.standins.magstim_wire import (
    BadDataError,
    ConflictError,
    Inbox,
    RefusalError,
    check_byte,
    number,
    sealed,
)

CHARGE_S = 1.0
"""From arming to ready."""
KEEP_ALIVE_STANDBY_S, KEEP_ALIVE_ARMED_S = 10.0, 1.0
"""Without an accepted command for so long it disarms and drops remote control."""
ARMED_IDLE_S = 60.0
"""Armed for so long without firing, it disarms."""
HOT_C = 40.0
"""Above it the coil disarms the device."""

Handler = Callable[[bytes, float], bytes]
Event = tuple[float, Callable[[float], None]]


class MagstimBody:
    """A Magstim without the commands that only some models know.

    Parameters
    ----------
    version
        What it says of its firmware, such as ``V5.0``.
    """

    def __init__(self, *, version: str) -> None:
        self.version = version
        self.remote = self.armed = self.ready = False
        self.coil, self.replace_coil, self.error_code = True, False, ""
        self.coil_temperature_c = 25.0
        self._output = Output(30)
        self._ready_at_s = self._idle_since_s = self._heard_s = 0.0
        self._pulses_s: list[float] = []
        self._due_s: list[float] = []
        self._inbox = Inbox(self._request_length)
        self._handlers: dict[bytes, Handler] = {
            b"Q": self._take_remote,
            b"R": self._leave_remote,
            b"@": self._set_power,
            b"E": self._set_mode,
            b"F": lambda _data, _now_s: b"%03d%03d" % ((round(10 * self.coil_temperature_c),) * 2),
            b"I": lambda _data, _now_s: (self.error_code or "U00").encode(),
            b"N": lambda _data, _now_s: b"",
        }
        self._lengths: dict[bytes, int] = {b"@": 5}

    @property
    def pulses_s(self) -> Sequence[float]:
        """When it has fired so far."""
        return self._pulses_s

    @property
    def power(self) -> int:
        """What is set, in percent of the maximum."""
        return self._output.percent

    @property
    def status(self) -> int:
        """The status byte."""
        return (
            (not self.armed)
            | (self.armed and not self.ready) << 1
            | (self.armed and self.ready) << 2
            | self.coil << 3
            | self.replace_coil << 4
            | bool(self.error_code) << 5
            | bool(self.error_code) << 6  # every error that a hand can make here is a fatal one
            | self.remote << 7
        )

    @property
    def actions(self) -> Mapping[str, Callable[..., None]]:
        """What a hand at the device can do, and what can be wrong with it."""
        return {
            "remove-coil": lambda now_s: self._by_hand(now_s, coil=False),
            "attach-coil": lambda now_s: self._by_hand(now_s, coil=True, replace_coil=False),
            "replace-coil": lambda now_s: self._by_hand(now_s, replace_coil=True),
            "fatal-error": lambda now_s, code=1.0: self._by_hand(now_s, error_code=f"E{int(code):02d}"),
            "set-coil-temperature": lambda now_s, value_c: self._by_hand(now_s, coil_temperature_c=value_c),
            "turn-knob": self._turn_knob,
            "press-stop": self._press_stop,
        }

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes off the wire and return the answers to the requests that they complete."""
        self.pass_time(now_s)
        return b"".join(self._answer(request, now_s) for request in self._inbox.take(data, now_s))

    def pass_time(self, now_s: float) -> bytes:
        """Let everything happen that happens by itself until now, in its order; a Magstim sends nothing unasked."""
        while (event := min(self._events(), key=lambda event: event[0], default=None)) and event[0] <= now_s:
            event[1](event[0])
        return b""

    def trigger(self, now_s: float) -> bool:
        """Take an edge; it fires where the device is ready, and nothing tells where it is not."""
        self.pass_time(now_s)
        if not self.ready:
            return False
        self._fire(now_s)
        return True

    def _events(self) -> list[Event]:
        events: list[Event] = []
        if self._due_s:
            events.append((self._due_s[0], lambda _at_s: self._pulse(self._due_s.pop(0))))
        if self.armed and not self.ready:
            events.append((self._ready_at_s, lambda _at_s: setattr(self, "ready", True)))
        if self.armed:
            events.append((self._idle_since_s + ARMED_IDLE_S, self._disarm))
        if self.remote:
            events.append((self._heard_s + (KEEP_ALIVE_ARMED_S if self.armed else KEEP_ALIVE_STANDBY_S), self._forget))
        return events

    def _request_length(self, head: bytes) -> int:
        return self._lengths.get(head[:1], 3)

    def _answer(self, request: bytes, now_s: float) -> bytes:
        command, data = request[:1], request[1:-1]
        if command not in self._handlers:
            return b"?"
        if check_byte(request[:-1]) != request[-1]:
            return sealed(command + b"?")  # assumed: a wrong check byte is answered like wrong data
        before, more = bytes([self.status]), self._more_status(command)
        try:
            said = self._handlers[command](data, now_s)
        except RefusalError as refusal:
            return sealed(command + refusal.letter)
        self._heard_s = now_s
        if command == b"N":
            return sealed(command + self.version.encode() + b"\0")
        return sealed(command + (bytes([self.status]) if command in b"QR" else before) + more + said)

    def _more_status(self, _command: bytes) -> bytes:
        """Return the status bytes that follow the first one."""
        return b""

    def _take_remote(self, data: bytes, _now_s: float) -> bytes:
        if data != b"@":
            raise BadDataError
        self.remote = True
        return b""

    def _leave_remote(self, _data: bytes, now_s: float) -> bytes:
        self._disarm(now_s)  # assumed
        self.remote = False
        return b""

    def _only_in_remote_standby(self) -> None:
        # Assumed for power: whether a device takes it while it is armed, no source tells.
        if not self.remote or self.armed:
            raise ConflictError

    def _highest_power(self) -> int:
        return 100

    def _set_power(self, data: bytes, now_s: float) -> bytes:
        percent = number(data)
        if percent > self._highest_power():
            raise BadDataError
        self._only_in_remote_standby()
        self._output.set(percent, now_s)
        return b""

    def _set_mode(self, data: bytes, now_s: float) -> bytes:
        if data == b"A":
            self._disarm(now_s)  # taken without remote control, too
        elif data == b"B":
            if not self._may_arm(now_s):
                raise ConflictError
            self.armed, self.ready = True, False
            self._ready_at_s, self._idle_since_s = now_s + CHARGE_S, now_s
        elif data == b"H":
            if not (self.remote and self.ready):
                raise ConflictError
            self._fire(now_s)
        else:
            raise BadDataError
        return b""

    def _may_arm(self, now_s: float) -> bool:
        # Assumed: to arm what is armed is a conflict.
        return self.remote and not self.armed and self._well and self._output.settled(now_s)

    @property
    def _well(self) -> bool:
        return self.coil and not self.replace_coil and not self.error_code and self.coil_temperature_c <= HOT_C

    def _fire(self, now_s: float) -> None:
        self._due_s = self._pattern(now_s)
        self.ready, self._ready_at_s = False, self._due_s[-1] + self._recharge_s()
        self._pulse(self._due_s.pop(0))

    def _pulse(self, at_s: float) -> None:
        self._pulses_s.append(at_s)
        self._idle_since_s = at_s

    def _pattern(self, now_s: float) -> list[float]:
        """Return when a trigger's pulses are due."""
        return [now_s]

    def _recharge_s(self) -> float:
        """Return the time from the last pulse to ready: 2 s to 49 %, 3 s to 79 %, 4 s above."""
        return 2.0 if self.power < 50 else 3.0 if self.power < 80 else 4.0

    def _disarm(self, _at_s: float) -> None:
        self.armed = self.ready = False
        self._due_s.clear()

    def _forget(self, at_s: float) -> None:
        self._disarm(at_s)
        self.remote = False

    def _by_hand(self, now_s: float, **changes: bool | float | str) -> None:
        self.pass_time(now_s)
        for name, value in changes.items():
            setattr(self, name, value)
        if not self._well:
            self._disarm(now_s)

    def _press_stop(self, now_s: float) -> None:
        self.pass_time(now_s)
        self._disarm(now_s)

    def _turn_knob(self, now_s: float, percent: float) -> None:
        self.pass_time(now_s)
        if not self.remote:  # remote control takes the panel out of use
            self._output.set(int(percent), now_s)
