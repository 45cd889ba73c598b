"""What a stimulator's driver is, and the table of drivers.

A driver turns a device's profile into a thing that can be armed. It is imported on use, so that a
vendor's absent library breaks that one driver and no other; an installed package adds its own by an
entry point of the group ``closedloop.stimulators``. The decision to fire is never a driver's: the
safety gate's trigger is the only way to a pulse.
"""

from contextlib import AbstractContextManager
from importlib.metadata import entry_points
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from closedloop.config.device import Stimulator as Profile
from closedloop.errors import StimulatorError


class Stimulator(Protocol):
    """A device, by its driver."""

    @property
    def ready(self) -> bool:
        """Whether the device would fire at a trigger now."""
        ...

    def armed(self) -> AbstractContextManager[None]:
        """Arm the device for the length of a ``with`` block; it ends disarmed, whatever happens."""
        ...

    def set_intensity(self, percent_of_maximum: float) -> None:
        """Set the intensity in percent of the maximum stimulator output.

        Raises
        ------
        StimulatorError
            Above the profile's limit, or where the device is armed.
        """
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
    """A driver: makes a stimulator from a profile."""

    def __call__(self, profile: Profile) -> Stimulator:
        """Return the stimulator, disarmed."""
        ...


def open_stimulator(profile: Profile) -> Stimulator:
    """Return the stimulator of a profile, disarmed.

    Raises
    ------
    StimulatorError
        Where no driver has the name that the profile gives.
    """
    found = {point.name: point for point in entry_points(group="closedloop.stimulators")}
    if profile.driver not in found:
        raise StimulatorError(
            f"driver = {profile.driver}: there is no such driver (installed: {', '.join(sorted(found))})"
        )
    driver: Driver = found[profile.driver].load()
    return driver(profile)
