"""What a stimulator's driver is, and the table of drivers.

A driver turns a device's profile into a thing that can be armed. It is imported on use, so that a vendor's absent
library breaks that one driver and no other; an installed package adds its own by an entry point of the group
``closedloop.stimulators``. The decision to fire is never a driver's: the safety gate's trigger is the only way to a
pulse.
"""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from closedloop.config.device import Stimulator as Profile
from closedloop.config.installed import load_installed
from closedloop.config.model import Model
from closedloop.errors import ConfigError, StimulatorError
from closedloop.stimulators.departure import AT_ANY_TIME
from closedloop.stimulators.status import Identity, Status


class Stimulator(Protocol):
    """A device, by its driver; used within a ``with`` block, which opens it disarmed and leaves it disarmed.

    Every method may raise a `StimulatorError`, one line that says what is wrong: the device is then, as far as it can
    be reached, disarmed.
    """

    def __enter__(self) -> Self:
        """Open it, and make sure that the right device answers."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disarm it and close it."""
        ...

    @property
    def identity(self) -> Identity:
        """Which device answers."""
        ...

    @property
    def status_every_s(self) -> float:
        """How often `status` has to be called at least, in s: it keeps some devices armed."""
        ...

    def status(self) -> Status:
        """Ask the device how it is."""
        ...

    def configure(self) -> None:
        """Write what the profile's settings ask for, and read it back; what was set before may be gone."""
        ...

    def set_intensity(self, percent_of_maximum: float) -> None:
        """Set the intensity in percent of the maximum stimulator output; refused while armed and above its limit."""
        ...

    def set_train(self, pulses: int, frequency_hz: float) -> None:
        """Set what one trigger starts: so many pulses at a frequency in Hz.

        1 is a single pulse; its frequency is how fast triggers come at most, which a device may refuse.
        """
        ...

    def armed(self) -> AbstractContextManager[None]:
        """Arm the device, configured and with its intensity set, for the length of a ``with`` block.

        It ends disarmed, whatever happens.
        """
        ...

    def fire(self, leaving: AbstractContextManager[None] = AT_ANY_TIME) -> Literal["yes", "unknown"]:
        """Fire by command, at no exact time; return whether it did: unknown counts as delivered.

        The one write that fires is within the block, which may refuse to be entered, and is waited for by nothing. An
        error says that it did not fire.
        """
        ...

    @property
    def fastest_by_command_hz(self) -> float:
        """How often it may be fired by command; infinite where only its port limits that."""
        ...

    @property
    def recharge_s(self) -> float:
        """For how long after a pulse it would not fire, as far as its driver knows, in s; 0 where it does not."""
        ...

    def note_trigger(self, ago_s: float) -> None:
        """Take note of when the last trigger left, by whatever line, in s before now."""
        ...

    def artifact(self, sfreq: float, eeg: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return what a pulse adds to played-back samples.

        Parameters
        ----------
        sfreq
            Sampling rate in Hz.
        eeg
            Array of shape (n_channels,): True where a channel is an electrode on the head.

        Returns
        -------
            Array of shape (n_samples, n_channels) in µV, from the pulse on; a real device has none.
        """
        ...


class Driver(Protocol):
    """A driver: makes a stimulator, not opened yet, from a profile and settings that its own model has checked."""

    settings_model: type[Model]
    fastest_by_command_hz: float
    """How often its devices may be fired by command; infinite where only the port limits that."""

    def fastest_hz(self, settings: Model, percent: float) -> float:
        """Return how fast triggers for single pulses may come at an intensity, in Hz; infinite where nobody knows."""
        ...

    def __call__(self, profile: Profile, settings: Model) -> Stimulator:
        """Return the stimulator."""
        ...


def find_driver(name: str) -> Driver:
    """Return the driver of a name, imported.

    Raises
    ------
    StimulatorError
        Where none has it, or what it needs is not installed.
    """
    try:
        driver: Driver = load_installed("closedloop.stimulators", name, "driver")
    except ConfigError as error:
        raise StimulatorError(f"driver = {error}") from None
    return driver


def open_stimulator(profile: Profile) -> Stimulator:
    """Return the stimulator of a profile, to be opened by a ``with`` block.

    Raises
    ------
    StimulatorError
        Where no driver has the name that the profile gives.
    pydantic.ValidationError
        Where its settings are none that the driver knows; the profile's loader has told that before, with the place.
    """
    driver = find_driver(profile.driver)
    return driver(profile, driver.settings_model.model_validate(profile.settings))
