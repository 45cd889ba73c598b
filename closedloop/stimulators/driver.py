"""What all drivers share: what they may be asked at which time, and how they refuse."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, ClassVar, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from closedloop.config.device import Stimulator as Profile
from closedloop.errors import StimulatorError

STATUS_EVERY_S = 1.0
"""How often a driver that speaks to no device is asked how it is."""


class BaseDriver:
    """A driver of one device, without what only that device knows.

    Parameters
    ----------
    profile
        Name and limits.

    Attributes
    ----------
    fastest_by_command_hz
        How often it may be fired by its own command; infinite where only its port limits that.
    """

    fastest_by_command_hz: ClassVar[float] = math.inf

    def __init__(self, profile: Profile) -> None:
        self._profile, self._name = profile, profile.name
        self._armed = False

    @classmethod
    def fastest_hz(cls, settings: Any, percent: float) -> float:  # noqa: ARG003 - what a driver may know it by
        """Return how fast triggers for single pulses may come at an intensity, in Hz: here only the limits say."""
        return math.inf

    def artifact(self, sfreq: float, eeg: NDArray[np.bool_]) -> NDArray[np.float64]:  # noqa: ARG002 - a protocol's
        """Return nothing, of shape (0, n_channels): a real device leaves its artifact in the EEG itself."""
        return np.zeros((0, eeg.size))

    def set_train(self, pulses: int, frequency_hz: float) -> None:
        """Set what one trigger starts; here it must be 1 pulse.

        Raises
        ------
        StimulatorError
            For any other number, and while the device is armed.
        """
        self._only_disarmed("the train is changed")
        if pulses != 1:
            self._refuse(f"pulses = {pulses} at {frequency_hz:g} Hz: one trigger starts 1 pulse here")

    @property
    def recharge_s(self) -> float:
        """For how long after a pulse it would not fire, as far as its driver knows, in s."""
        return 0.0

    def note_trigger(self, ago_s: float) -> None:
        """Take note of when the last trigger left: here nothing depends on it."""

    def _only_disarmed(self, what: str) -> None:
        if self._armed:
            self._refuse(f"disarm before {what}")

    def _refuse(self, why: str) -> NoReturn:
        raise StimulatorError(f"{self._name}: {why}")


class SilentDriver(BaseDriver):
    """A driver that speaks to no device: it is armed where this process says so."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._armed = False

    @property
    def status_every_s(self) -> float:
        """How often `status` has to be called: it keeps nothing alive."""
        return STATUS_EVERY_S

    def configure(self) -> None:
        """Write the settings: there are none to write."""
        self._only_disarmed("it is configured")

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Arm for the length of a ``with`` block."""
        self._only_disarmed("it is armed again")
        self._armed = True
        try:
            yield
        finally:
            self._armed = False
