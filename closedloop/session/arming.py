"""Arming a live session: the dose record first, then the stimulator, then the gate; each ends with the others."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pylsl

from closedloop.config.device import Stimulator as Profile
from closedloop.core.records import Command
from closedloop.dose.record import DoseRecord
from closedloop.errors import DoseError, OutputError
from closedloop.session.supervisor import OBEYED_S, Supervisor
from closedloop.stimulators.kept import KeptStimulator
from closedloop.stimulators.status import Status

ARMED_WITHIN_S = 5.0
"""A stimulator that takes longer to arm is not armed any more: whoever asked for it does not expect a pulse then."""


@dataclass(frozen=True)
class _Wanted:
    """That somebody wants pulses from a time on, and when they asked, in s."""

    from_s: float
    asked_s: float


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
    clock
        The loop's, in s.

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
        clock: Callable[[], float] = pylsl.local_clock,
    ) -> None:
        self._profile, self._stimulator, self._supervisor = profile, stimulator, supervisor
        self._dose, self._say, self._clock = dose, say, clock
        self._ahead_s = clock() - time.monotonic()
        self._wanted: _Wanted | None = None
        self._armed_s = np.inf
        self._told_s = -np.inf
        self._pulses_before: int | None = None
        self.need = ""

    def ask(self, from_s: float) -> None:
        """Ask for pulses that are due from a time on, in s: as soon as the stimulator is armed, the gate is.

        What cannot be armed now is not armed later: a human asks again.
        """
        if self._stimulator.gone:
            self._say(f"not armed: {self.need}")
            return
        if self._supervisor.hindrance:
            self._refuse(self._supervisor.hindrance)
            return
        if not self._take_lease():
            return
        self.need = ""
        self._wanted = _Wanted(from_s, self._clock())
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
        while self._stimulator.notes:
            self._say(self._stimulator.notes.pop(0))
        self._tell_device()
        if self._armed_s < np.inf and self._gate_is_disarmed(newest):
            self._armed_s = np.inf
            if self._wanted is not None:
                self._refuse("the gate was disarmed meanwhile")
        if self._wanted is not None:
            self._follow(self._wanted)
        elif self._armed_s == np.inf and self._stimulator.armed and self._stimulator.settled:
            self._stimulator.disarm()
        if self._dose is not None and self._dose.used_up and self._armed_s < np.inf:
            self._take_lease()

    def _follow(self, wanted: "_Wanted") -> None:
        """Arm the gate once the stimulator is armed, unless it took too long or something has disarmed meanwhile."""
        now_s = self._clock()
        if self._supervisor.disarmed_s >= wanted.asked_s:
            self._refuse("the stream broke off or stood still while the stimulator was being armed")
        elif self._stimulator.armed and self._stimulator.settled:
            self._wanted, self._armed_s = None, now_s
            if self._pulses_before is None:
                self._pulses_before = self._stimulator.status.pulses
            if not self._supervisor.arm(wanted.from_s, say=self._say):
                self._refuse(self._supervisor.hindrance)
        elif now_s - wanted.asked_s > ARMED_WITHIN_S:
            self.end(f"{self._profile.name} was not armed within {ARMED_WITHIN_S:g} s")

    def _refuse(self, why: str) -> None:
        """Arm nothing, and say what is needed; whatever has been armed of the stimulator is disarmed."""
        self._wanted, self._armed_s = None, np.inf
        self._say(f"not armed: {why}")
        self.need = f"{why}: when all is well again, press a to arm"

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
        """Disarm the gate and the stimulator, also one that is being armed, because of something nobody asked for."""
        self._supervisor.post(Command.DISARM)
        self._stimulator.disarm()
        self._wanted, self._armed_s = None, np.inf
        self._say(f"{why}; the gate was disarmed")
        then = "start a new session" if self._stimulator.gone else "when all is well again, press a to arm"
        self.need = f"{why}: find out why; {then}"
