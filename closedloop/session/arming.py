"""Arming a live session: the dose record first, then the stimulator, then the gate; each ends with the others."""

import time
from collections.abc import Callable

import numpy as np
import pylsl

from closedloop.config.device import Stimulator as Profile
from closedloop.core.records import Command
from closedloop.dose.record import DoseRecord
from closedloop.errors import DoseError, OutputError
from closedloop.session.supervisor import OBEYED_S, Supervisor
from closedloop.stimulators.kept import KeptStimulator
from closedloop.stimulators.status import Status


class Arming:
    """Brings a session to the point where pulses may leave, and back; no call waits.

    Parameters
    ----------
    profile
        Of the stimulator.
    stimulator
        Kept by its process, configured, its intensity set.
    supervisor
        Of the loop.
    dose
        The subject's dose record; None where nobody is stimulated.
    say
        Is told what has happened.

    Attributes
    ----------
    need
        What somebody has to do to go on, or nothing.
    """

    def __init__(
        self,
        profile: Profile,
        stimulator: KeptStimulator,
        supervisor: Supervisor,
        dose: DoseRecord | None,
        say: Callable[[str], None],
    ) -> None:
        self._profile, self._stimulator, self._supervisor = profile, stimulator, supervisor
        self._dose, self._say = dose, say
        self._ahead_s = pylsl.local_clock() - time.monotonic()
        self._wanted_from_s: float | None = None
        self._armed_s = np.inf
        self._told_s = -np.inf
        self._pulses_before: int | None = None
        self.need = ""

    def ask(self, from_s: float) -> None:
        """Ask for pulses that are due from a time on, in s: as soon as the stimulator is armed, the gate is."""
        if not self._take_lease():
            return
        self.need = ""
        self._wanted_from_s = from_s
        if not self._stimulator.armed:
            self._stimulator.arm()

    def look(self, newest: np.void | None) -> None:
        """Follow the stimulator and the gate; call it many times a second.

        Parameters
        ----------
        newest
            The newest sight.
        """
        for wrong in self._stimulator.listen():
            self.end(wrong)
        self._tell_device()
        if self._wanted_from_s is not None and self._stimulator.armed:
            self._armed_s = pylsl.local_clock()
            if self._pulses_before is None:
                self._pulses_before = self._stimulator.status.pulses
            self._supervisor.arm(self._wanted_from_s, say=self._say)
            self._wanted_from_s = None
        if self._stimulator.armed and self._wanted_from_s is None and self._gate_is_disarmed(newest):
            self._stimulator.disarm()
            self._stimulator.armed = False
        if self._dose is not None and self._dose.used_up and self._armed_s < np.inf:
            self._take_lease()

    @property
    def pulses_told(self) -> int | None:
        """How many pulses the device told of since it was armed first; None where it tells of none."""
        told = self._stimulator.status.pulses
        return None if told is None or self._pulses_before is None else told - self._pulses_before

    def _gate_is_disarmed(self, newest: np.void | None) -> bool:
        if self._supervisor.has_disarmed_since(newest):
            return True
        return newest is not None and newest["told_s"] > self._armed_s + OBEYED_S and newest["armed"] != 1

    def _tell_device(self) -> None:
        """Tell the gate what the stimulator said last, once."""
        asked_s = np.inf if self._stimulator.gone else self._stimulator.status_s + self._ahead_s
        status = self._stimulator.status
        if asked_s > self._told_s:
            self._told_s = asked_s
            self._supervisor.set_device(ready=status.ready, coil_c=self._coil_c(status), asked_s=asked_s)

    def _coil_c(self, status: Status) -> float:
        """Return the coil's temperature as the gate compares it: NaN refuses, where the profile limits it."""
        if self._profile.limits.max_coil_c is None:
            return -np.inf
        return np.nan if status.coil_temperature_c is None else status.coil_temperature_c

    def _take_lease(self) -> bool:
        """Set down on disk what may be given next, and let the gate know; where that fails, disarm."""
        if self._dose is None:
            return True
        try:
            leased = self._dose.lease()
        except (DoseError, OutputError) as error:
            self.end(str(error))
            return False
        self._supervisor.post(Command.LEASE, leased)
        return True

    def end(self, why: str) -> None:
        """Disarm the gate, and whatever is left of the stimulator's arming, because of something nobody asked for."""
        self._supervisor.post(Command.DISARM)
        if self._stimulator.armed:
            self._stimulator.disarm()
        self._wanted_from_s, self._armed_s = None, np.inf
        self._say(f"{why}; the gate was disarmed")
        self.need = f"{why}: find out why; when all is well again, press a to arm"
