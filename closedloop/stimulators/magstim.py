"""Drivers of the Magstim 200² and the BiStim²."""

from closedloop.stimulators import magstim_frames as frames
from closedloop.stimulators.magstim_driver import MagstimDriver
from closedloop.stimulators.magstim_session import MagstimSettings

MODES = "01234"
"""Of a BiStim² that leads: single, simultaneous, low resolution, independent triggers, high resolution."""


class Magstim200(MagstimDriver[MagstimSettings]):
    """A Magstim 200²: one pulse for each trigger."""

    model = "Magstim 200²"

    def _check_model(self, version: str) -> None:
        # That a 200² does not know the BiStim²'s command for its mode is inferred, not read anywhere.
        if not self._knows(frames.TELL_PARAMETERS) or self._knows(frames.TELL_MODE):
            raise self._another(version)


class BiStim(MagstimDriver[MagstimSettings]):
    """A BiStim², for single pulses: the second stimulator is set to 0 %, and a fault where it is not.

    Two pulses for one trigger would be counted as one by whoever counts triggers, so they are not offered.
    """

    model = "BiStim²"

    def _check_model(self, version: str) -> None:
        if not self._knows(frames.TELL_PARAMETERS) or not self._knows(frames.TELL_MODE):
            raise self._another(version)

    def _prepare(self) -> None:
        mode = self._command(frames.TELL_MODE, "asked for its mode")
        if mode not in MODES:
            self._refuse(f"mode = {mode}: it follows another stimulator; connect to the first")
        self._command(frames.set_power_b(0), "set to a second pulse of 0 %")
        found = self._tell().power_b
        if found != 0:
            self._refuse(f"a second pulse of {found} % was read back where 0 % was set")
