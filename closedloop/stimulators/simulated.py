"""A simulated stimulator: a real driver whose pulses are heard by nobody but the recording.

What it guarantees: it is ready while it is armed and only then; every pulse leaves in the EEG that is
played back after it what the profile says: saturation of the amplifier, the decay of the electrodes'
charge, the muscles' twitch, and at a set delay the step that the recharging capacitor makes.
"""

from contextlib import AbstractContextManager
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from closedloop.config.device import Artifact, Stimulator
from closedloop.config.model import Model
from closedloop.stimulators.departure import AT_ANY_TIME
from closedloop.stimulators.driver import SilentDriver
from closedloop.stimulators.intensity import check_percent
from closedloop.stimulators.status import Identity, Status

ROOM_C = 25.0
"""Temperature of a coil that nothing has warmed."""
MUSCLE_DELAY_S = 0.004
MUSCLE_HZ = 90.0
"""A twitch begins a few ms after the pulse and swings at this rate (recalled, not measured)."""
FADED = 1e-3
"""Where the decay has fallen to this share of its height it ends."""


class NoSettings(Model):
    """The simulated stimulator needs to know nothing."""


class SimulatedStimulator(SilentDriver):
    """A stimulator that exists in this process only.

    Parameters
    ----------
    profile
        What the device is said to be.
    settings
        None.
    """

    settings_model: ClassVar[type[Model]] = NoSettings

    def __init__(self, profile: Stimulator, settings: Model) -> None:
        del settings
        super().__init__(profile)
        self._percent_of_maximum = 0.0

    @property
    def identity(self) -> Identity:
        """What it says that it is."""
        return Identity("simulated stimulator")

    def status(self) -> Status:
        """Say how it is: ready while it is armed, and never warm."""
        return Status(self._armed, self._armed, "", self._percent_of_maximum, ROOM_C)

    def fire(self, leaving: AbstractContextManager[None] = AT_ANY_TIME) -> Literal["yes"]:
        """Fire by command, which nobody hears."""
        if not self._armed:
            self._refuse("arm it before it fires")
        with leaving:
            return "yes"

    @property
    def percent_of_maximum(self) -> float:
        """The intensity that is set, in percent of the maximum stimulator output."""
        return self._percent_of_maximum

    def set_intensity(self, percent_of_maximum: float) -> None:
        """Set the intensity in percent of the maximum stimulator output."""
        check_percent(percent_of_maximum, self._profile)
        self._only_disarmed("the intensity is changed")
        self._percent_of_maximum = percent_of_maximum

    def artifact(self, sfreq: float, eeg: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return what a pulse adds to played-back samples, of shape (n_samples, n_channels) in µV."""
        settings = self._profile.artifact
        if settings is None:
            return np.zeros((0, eeg.size))
        return pulse_waveform(settings, sfreq)[:, None] * np.where(eeg, 1.0, 0.0)


def pulse_waveform(artifact: Artifact, sfreq: float) -> NDArray[np.float64]:
    """Return an artifact's course, of shape (n_samples,) in µV, at one sampling rate."""
    fading_s = -np.log(FADED)
    length_s = max(
        artifact.saturation_s + fading_s * artifact.decay_s,
        MUSCLE_DELAY_S + fading_s * artifact.muscle_s,
        artifact.recharge_after_s + fading_s * artifact.recharge_s,
    )
    age_s = np.arange(int(np.ceil(length_s * sfreq))) / sfreq
    after_s = age_s - artifact.saturation_s
    decay = artifact.decay_uv * np.exp(-np.maximum(after_s, 0.0) / artifact.decay_s)
    twitch_s = age_s - MUSCLE_DELAY_S
    muscle = artifact.muscle_uv * np.exp(-np.maximum(twitch_s, 0.0) / artifact.muscle_s)
    swing = np.where(twitch_s >= 0.0, np.sin(2 * np.pi * MUSCLE_HZ * twitch_s), 0.0)
    recharging_s = age_s - artifact.recharge_after_s
    recharge = artifact.recharge_uv * np.exp(-np.maximum(recharging_s, 0.0) / artifact.recharge_s)
    later = np.where(recharging_s >= 0.0, recharge, 0.0)
    return np.where(after_s < 0.0, artifact.saturation_uv, decay + muscle * swing + later)
