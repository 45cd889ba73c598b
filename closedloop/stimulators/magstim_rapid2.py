"""Driver of the Magstim Rapid²: single pulses and trains."""

import math
import re
from typing import Annotated, ClassVar

from pydantic import Field

from closedloop.config.model import Model
from closedloop.stimulators import magstim_frames as frames
from closedloop.stimulators import magstim_tables as tables
from closedloop.stimulators.magstim_driver import MagstimDriver
from closedloop.stimulators.magstim_frames import Rapid, Request, State
from closedloop.stimulators.magstim_session import MagstimSettings

FIRMWARES = range(5, 11)
"""Those whose answers are known."""


class Rapid2Settings(MagstimSettings):
    """How to reach a Rapid², and which one it is."""

    mains_v: tables.MainsV
    """Mains voltage of the unit, in V: 240 or 115."""
    variant: tables.Variant
    """rapid, super (Super Rapid²) or super-plus (Super Rapid² Plus)."""
    unlock_code: Annotated[str, Field(pattern=r"^[!-~]{4}-[!-~]{8}-[!-~]{2}$")] | None = None
    """From firmware 9 on: the code that opens this very unit to remote control, from its vendor."""


class Rapid2(MagstimDriver[Rapid2Settings]):
    """A Rapid²: one pulse or one train for each trigger.

    Enhanced power is not offered: where it is on, percent are not those of the profile's limits.
    """

    model = "Rapid²"
    settings_model: ClassVar[type[Model]] = Rapid2Settings
    _firmware = FIRMWARES.start

    @classmethod
    def fastest_hz(cls, settings: Rapid2Settings, percent: float) -> float:
        """Return how fast triggers for single pulses may come at an intensity, in Hz; above 100 % as at 100."""
        known = min(percent, tables.POWERS[-1])
        return tables.fastest_hz(known, mains_v=settings.mains_v, variant=settings.variant)

    @property
    def wait_after_train_s(self) -> float:
        """The rest after a train, in s: by the energy rule or as the device tells it, whichever is longer."""
        pulses, decihertz = self._told.set_train or (1, 0)
        if pulses == 1:
            return 0.0
        state = self._told.state
        by_rule_s = tables.rest_s(tables.energy_j(state.power), decihertz / 10, pulses)
        return max(by_rule_s, state.wait_deciseconds / 10)

    @property
    def recharge_s(self) -> float:
        """For how long after a pulse it would not fire, in s: what its highest frequency leaves, up to 100 %."""
        return 1.0 / self.fastest_hz(self._settings, self._told.state.power)

    def set_train(self, pulses: int, frequency_hz: float) -> None:
        """Set what one trigger starts: 1 pulse, or a train of more at a frequency in steps of 0.1 Hz.

        Of single pulses the frequency is that of the triggers at their fastest; 0 where it is not known.

        Raises
        ------
        StimulatorError
            Where the device cannot give the train at the intensity that is set, is armed, or rests after a train.
        """
        self._only_disarmed("the train is changed")
        decihertz = self._check_train(pulses, frequency_hz, self._tell().power)
        self._told.set_train = (pulses, decihertz)
        # 1 s is what enters the mode of trains; the duration follows from the pulses.
        self._command(frames.set_duration(0 if pulses == 1 else 10, self._firmware), "set to its train's duration")
        if pulses > 1:
            self._command(frames.set_frequency(decihertz), f"set to {frequency_hz:g} Hz")
            self._command(frames.set_pulses(pulses, self._firmware), f"set to {pulses} pulses")
        found = self._tell()
        told = (found.pulses, found.decihertz) if Rapid.TRAIN in found.rapid else (1, decihertz)
        if told != (pulses, decihertz):
            self._refuse(
                f"{told[0]} pulses at {told[1] / 10:g} Hz were read back where {pulses} at {frequency_hz:g} Hz were set"
            )

    def _check_intensity(self, percent: int) -> None:
        pulses, decihertz = self._told.set_train or (1, 0)
        self._check_train(pulses, decihertz / 10, percent)

    def _check_train(self, pulses: int, frequency_hz: float, percent: int) -> int:
        """Return the frequency in tenths of a Hz of a train that the device can give at an intensity."""
        most = tables.MOST_PULSES if self._firmware >= 9 else tables.MOST_PULSES_BEFORE_9
        if not 1 <= pulses <= most:
            self._refuse(f"pulses = {pulses} is not within 1 to {most}")
        if not (math.isfinite(frequency_hz) and abs(10 * frequency_hz - round(10 * frequency_hz)) < 1e-6):
            self._refuse(f"frequency = {frequency_hz:g} Hz is not in steps of 0.1")
        if not percent <= tables.POWERS[-1]:
            self._refuse(f"percent = {percent} is above {tables.POWERS[-1]}")
        fastest_hz = self.fastest_hz(self._settings, percent)
        slowest_hz = 0.1 if pulses > 1 else 0.0
        if not slowest_hz <= frequency_hz <= fastest_hz:
            self._refuse(f"frequency = {frequency_hz:g} Hz at {percent} % is not within {slowest_hz:g} to {fastest_hz}")
        if pulses == 1:
            return round(10 * frequency_hz)
        longest_s = min(tables.longest_train_s(percent, frequency_hz), 999.9 if self._firmware >= 9 else 99.9)
        if not pulses / frequency_hz <= longest_s:
            self._refuse(
                f"a train of {pulses} pulses at {frequency_hz:g} Hz and {percent} % lasts "
                f"{pulses / frequency_hz:.1f} s, longer than {longest_s:.1f}"
            )
        return round(10 * frequency_hz)

    def _check_model(self, version: str) -> None:
        number = re.fullmatch(r"V?(\d+)(\.\d+)*", version)
        if number is None or int(number[1]) not in FIRMWARES:
            self._refuse(f"firmware {version} is not known: from {FIRMWARES[0]} to {FIRMWARES[-1]} are")
        self._firmware = int(number[1])
        if not self._knows(self._ask_state()):
            raise self._another(version)

    def _ask_state(self) -> Request[State]:
        return frames.tell_rapid_parameters(self._firmware)

    def _take_remote(self) -> None:
        if self._firmware < 9:
            super()._take_remote()
            return
        code = self._settings.unlock_code
        if code is None:
            self._refuse(f"settings.unlock_code = null: firmware {self._firmware} asks for its unit's")
        instrument = self._command(frames.unlock_remote(code), "controlled remotely: unlock_code is not this unit's")
        self._confirm_remote(instrument)

    def _prepare(self) -> None:
        if Rapid.ENHANCED in self._tell().rapid:
            self._refuse("enhanced power is on: switch it off at the device")
        self.set_train(1, 0.0)
