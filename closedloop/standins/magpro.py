"""A stand-in for a MagVenture MagPro.

The frames are those that users of R30 and X100 devices found on the wire. Assumed, as no source tells it: which three
frames an X100 sends when it is enabled (amplitude, slope 0, temperature); that a device is disabled where its coil is
removed, and cannot be enabled without one; that on the timing page a trigger starts the sequence under external start,
gives one pulse under external trigger, and nothing otherwise; the height of the slope; how often the temperature comes.
It never gets tired: no recharging keeps it from a pulse, and only a hand heats its coil.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from closedloop.standins.magpro_state import (
    BURST,
    DUAL,
    EXTERNAL_START,
    EXTERNAL_TRIGGER,
    MODELS,
    ODD_MODEL_BYTE,
    TIMING_PAGE,
    TWIN,
    Settings,
    State,
)
from closedloop.standins.magpro_wire import Commands

SETTLE_S = 0.3
"""When settings are in force after the command that sets them."""
TEMPERATURE_EVERY_S = 5.0
DEFAULT_COIL = 60.0


class MagPro:
    """Behaves like a MagPro; see the interface of stand-ins for its methods.

    Parameters
    ----------
    model
        One of `MODELS`.
    odd_model_byte
        Whether the settings' frame has 88 where its model should be.
    hangs_when_malformed
        Whether a malformed frame silences its serial line until it is started again.

    Attributes
    ----------
    pulses_s
        When it has fired.
    state
        Its state, to be read.
    hung
        Whether its serial line is silent for good; the trigger input and the panel stay as they are (assumed).
    """

    def __init__(
        self, model: str = "X100", *, odd_model_byte: bool = False, hangs_when_malformed: bool = False
    ) -> None:
        code = MODELS.index(model)
        self.state = State(code, ODD_MODEL_BYTE if odd_model_byte else code)
        self._hangs_when_malformed, self.hung = hangs_when_malformed, False
        self._settle_s = SETTLE_S
        self._commands = Commands()
        self.pulses_s: list[float] = []
        self._coming: list[tuple[float, Settings]] = []
        self._due_s: list[float] = []
        self._temperature_s: float | None = None
        self._unsent = self._half = b""

    @property
    def actions(self) -> Mapping[str, Callable[..., None]]:
        """What a hand can do at the device, and what can be wrong with it, by name; each called with the time in s."""
        return {
            "remove-coil": lambda _now_s: self._coil(0),
            "attach-coil": lambda _now_s, number=DEFAULT_COIL: self._coil(int(number)),
            "set-coil-temperature": lambda _now_s, celsius: self._heat(int(celsius)),
            "turn-knob": lambda _now_s, percent: self._turn(int(percent)),
            "press-enable": lambda _now_s: self._say(self._enable(on=True)),
            "press-disable": lambda _now_s: self._say(self._enable(on=False)),
            "change-mode": lambda _now_s, mode: self._change(int(mode)),
            "change-direction": lambda _now_s, code: self._reverse(int(code)),
            "turn-page": lambda _now_s, page: self._say(self._turn_page(int(page))),
            "settle-after": lambda _now_s, seconds: setattr(self, "_settle_s", seconds),
            "hang-when-malformed": lambda _now_s: setattr(self, "_hangs_when_malformed", True),
            "leave-half-frame": lambda _now_s: self._leave_half(),
            "restart": lambda _now_s: self._restart(),
        }

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes off the wire and return what it answers at once."""
        sent = self.pass_time(now_s)
        malformed = self._commands.malformed
        for body in self._commands.take(data):
            if self.hung:
                continue
            answer = self._obey(body, now_s)
            if answer:
                sent, self._half = sent + self._half + answer, b""
        if self._hangs_when_malformed and self._commands.malformed > malformed:
            self.hung = True
        return sent + self.pass_time(now_s)

    def pass_time(self, now_s: float) -> bytes:
        """Let time pass, with pulses that are due, settings that come in force, and temperatures."""
        while self._coming and self._coming[0][0] <= now_s:
            self.state.settings = self._coming.pop(0)[1]
        self._give_pulses(now_s)
        if self._temperature_s is None or self._temperature_s <= now_s:
            if self._temperature_s is not None:
                self._say(self.state.temperature())
            self._temperature_s = now_s + TEMPERATURE_EVERY_S
        sent, self._unsent = self._unsent, b""
        return b"" if self.hung else sent

    def trigger(self, now_s: float) -> bool:
        """Take an edge at the trigger input; return whether it fired, or will after the input's delay."""
        start_s = now_s + self.state.delays[0] / 1000
        on_timing_page, control = self.state.page == TIMING_PAGE, self.state.train[0]
        if not self.state.enabled:
            return False
        if not on_timing_page or control == EXTERNAL_TRIGGER:
            self._fire(start_s)
        elif control == EXTERNAL_START and not self._due_s:
            self._start_train(start_s)
        else:
            return False
        self._give_pulses(now_s)
        return True

    def _give_pulses(self, now_s: float) -> None:
        while self._due_s and self._due_s[0] <= now_s:
            self.pulses_s.append(self._due_s.pop(0))
            self._say(self.state.slope())
        self.state.running = bool(self._due_s)

    def _obey(self, body: bytes, now_s: float) -> bytes:
        """Do what a command says; what is not known, or is told without its numbers, is malformed."""
        command, values = body[0], body[1:]
        try:
            return {
                0x00: lambda: self.state.status(),
                0x01: lambda: self._set_amplitude(values),
                0x02: lambda: self._enable(on=values[0] == 1),
                0x03: lambda: self._fire(now_s),
                0x04: lambda: self._start_train(now_s),
                0x05: lambda: self.state.extended_status(),
                0x06: lambda: self._set_train(bytes((self.state.train[0],)) + values),
                0x07: lambda: self._turn_page(values[0]),
                0x09: lambda: self._settle(values, now_s) if values[0] else self.state.settings_frame(),
                0x0A: lambda: self._set_delays(values[1:]) if values[0] else self.state.delays_frame(),
                0x0B: lambda: self._set_train(values[1:]) if values[0] else self.state.train_frame(),
                0x0C: lambda: self.state.page_frame(),
            }[command]()
        except (KeyError, IndexError, ValueError):
            self._commands.malformed += 1
            return b""

    def _set_amplitude(self, values: bytes) -> bytes:
        self.state.percent, self.state.percent_b = values[0], (values + bytes((self.state.percent_b,)))[1]
        return self.state.amplitude()

    def _enable(self, *, on: bool) -> bytes:
        self.state.enabled = on and self.state.coil_type != 0
        if not self.state.enabled:
            self._due_s.clear()
        triple = MODELS[self.state.model].startswith("X100")
        before = self.state.amplitude() + self.state.short(0x02, 0, 0) if triple else b""
        return before + self.state.temperature()

    def _fire(self, start_s: float) -> bytes:
        now = self.state.settings
        pulses = 5 - now.burst_index if now.waveform == BURST else 2 if now.mode in (TWIN, DUAL) else 1
        if self.state.enabled:
            self._due_s += [start_s + k * now.interval_ms / 1000 for k in range(pulses)]
            self._due_s.sort()
        return b""

    def _start_train(self, start_s: float) -> bytes:
        _, rate_hz, pulses, trains, pause_s = self.state.train
        if self._due_s:  # the command that starts a sequence also stops it
            self._due_s.clear()
        elif self.state.page == TIMING_PAGE:
            for _ in range(trains):
                for k in range(pulses):
                    self._fire(start_s + k / rate_hz)
                start_s += (pulses - 1) / rate_hz + pause_s
        return b""

    def _turn_page(self, page: int) -> bytes:
        self.state.page = page
        return self.state.short(0x08, page, int(self.state.running))

    def _settle(self, values: bytes, now_s: float) -> bytes:
        mode, direction, waveform, burst = values[2:6]
        interval, ratio = int.from_bytes(values[6:8], "big"), int.from_bytes(values[8:10], "big")
        self._coming.append(
            (now_s + self._settle_s, Settings(mode, direction, waveform, burst, interval / 10, ratio / 100))
        )
        return b""

    def _set_delays(self, values: bytes) -> bytes:
        given, back, charge = (int.from_bytes(values[place : place + 2], "big") for place in (0, 2, 4))
        self.state.delays = (given / 10, (back - 65536 if back > 32767 else back) / 10, charge)
        return b""

    def _set_train(self, values: bytes) -> bytes:
        rate, pulses, trains, pause = (int.from_bytes(values[place : place + 2], "big") for place in (1, 3, 5, 7))
        self.state.train = (values[0], rate / 10, pulses, trains, pause / 10)
        return b""

    def _say(self, sent: bytes) -> None:
        self._unsent += sent

    def _coil(self, number: int) -> None:
        self.state.coil_type = number
        self._say(self.state.temperature() if number else self._enable(on=False))

    def _heat(self, celsius: int) -> None:
        self.state.temperature_c = celsius
        self._say(self.state.temperature())

    def _turn(self, percent: int) -> None:
        self.state.percent = percent
        self._say(self.state.amplitude())

    def _change(self, mode: int) -> None:
        self.state.settings = replace(self.state.settings, mode=mode)
        self._say(self.state.amplitude())

    def _reverse(self, direction: int) -> None:
        self.state.settings = replace(self.state.settings, direction=direction)

    def _leave_half(self) -> None:
        self._half = self.state.settings_frame()[:6]

    def _restart(self) -> None:
        self.hung = self.state.enabled = False
        self._commands = Commands()
