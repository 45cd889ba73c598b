"""A stimulator without serial control: a human sets and arms it at its panel, and a trigger line fires it.

So it is with Brainsway's and NeuroStar's, and with any box that has a trigger input and no public protocol. This driver
talks to nothing. It holds a session to the profile's limits, and its pulses count for the dose record like those of any
real device; what the device really does, the operator alone sees.
"""

from contextlib import AbstractContextManager
from typing import Annotated, ClassVar, NoReturn

from pydantic import Field

from closedloop.config.device import Stimulator as Profile
from closedloop.config.line import CommandLine
from closedloop.config.model import Model
from closedloop.stimulators.departure import AT_ANY_TIME
from closedloop.stimulators.driver import SilentDriver
from closedloop.stimulators.intensity import check_percent
from closedloop.stimulators.status import Identity, Status


class TriggerOnlySettings(Model):
    """What the operator states of the device: nothing of it can be asked for."""

    model: Annotated[str, Field(min_length=1)]
    """Maker and model, as the type plate says it."""
    firmware: str = ""
    """As its screen says it."""
    serial_number: str = ""
    """As the type plate says it."""


class TriggerOnly(SilentDriver):
    """A stimulator that only its trigger input connects to this computer.

    **Nothing is known of it**: not whether it is armed, charged, hot or set to the intensity that was agreed on. Its
    status is ready whenever the session is armed, so that the gate's checks of the device hold nothing back. Where the
    host dies, it stays as the operator left it: an external interlock is needed, such as a switch in the trigger's line
    that falls open by itself.

    Parameters
    ----------
    profile
        Name and limits.
    settings
        What the operator states.
    """

    settings_model: ClassVar[type[Model]] = TriggerOnlySettings

    def __init__(self, profile: Profile, settings: TriggerOnlySettings) -> None:
        super().__init__(profile)
        self._settings = settings
        if isinstance(profile.line, CommandLine):
            self._refuse("line.kind = command: it fires at its trigger input only, no command reaches it")

    @property
    def identity(self) -> Identity:
        """What the operator states that it is."""
        said = self._settings
        return Identity(f"{said.model} (as stated)", said.firmware, said.serial_number)

    def status(self) -> Status:
        """Say that it is ready while the session is armed; neither intensity nor temperature is known."""
        return Status(self._armed, self._armed)

    def set_intensity(self, percent_of_maximum: float) -> None:
        """Check an intensity against the limit; a human sets it, at the panel.

        Raises
        ------
        StimulatorError
            Above the profile's limit, and while it is armed.
        """
        check_percent(percent_of_maximum, self._profile)
        self._only_disarmed("the intensity is changed")

    def fire(self, leaving: AbstractContextManager[None] = AT_ANY_TIME) -> NoReturn:
        """Refuse: no command reaches it."""
        del leaving
        self._refuse("it fires at its trigger input only: no command reaches it")
