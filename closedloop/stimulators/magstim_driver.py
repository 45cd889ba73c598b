"""What the drivers of all Magstim stimulators share.

A device that hears no command for 10 s, or for 1 s while it is armed, disarms and drops remote control. So `status`,
which is also the keep-alive, has to be called at least every `status_every_s`. Triggers belong on the trigger input:
a pulse that is asked for by serial line comes 5 to 15 ms later, and never after the same time.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar, Literal

from closedloop.errors import StimulatorError
from closedloop.stimulators import magstim_frames as frames
from closedloop.stimulators.departure import AT_ANY_TIME
from closedloop.stimulators.intensity import whole_percent
from closedloop.stimulators.magstim_faults import DISARMED, fault_in_words
from closedloop.stimulators.magstim_frames import Instrument, Rapid, Verdict
from closedloop.stimulators.magstim_session import MagstimSession, S
from closedloop.stimulators.status import Status

READY_WITHIN_S = 2.0
"""A device charges for about 1 s."""
POLL_S = 0.1
SLEW_DOWN_S, SLEW_UP_S, SLEW_MARGIN_S = 0.1, 0.01, 0.1
"""What the output takes for each percent, and what is waited beside it."""
STATUS_ARMED_S, STATUS_STANDBY_S = 0.5, 5.0
"""Half of what the device allows."""
EXPIRING_S = 50.0
"""An armed device that has waited for a trigger for 60 s disarms itself; so long before that its timer is wound up, so
that whatever disarms it unasked is a hand or an interlock."""
BY_HAND = "it was disarmed at its front panel, or by an interlock"
TEMPERATURE_EVERY_S = 10.0
"""It takes turns in `status` with what changes faster."""


class MagstimDriver(MagstimSession[S]):
    """A Magstim stimulator; use it in a ``with`` block, from one thread."""

    fastest_by_command_hz: ClassVar[float] = 1.0
    _idle_from_s = -math.inf

    @property
    def status_every_s(self) -> float:
        """How often `status` has to be called at least, in s."""
        return STATUS_ARMED_S if self._armed else STATUS_STANDBY_S

    @property
    def wait_after_train_s(self) -> float:
        """The rest that the device takes after the train that a trigger starts, in s; 0 after a single pulse."""
        return 0.0

    def set_intensity(self, percent_of_maximum: float) -> None:
        """Set the intensity in percent of the maximum stimulator output, and wait until the output is there.

        Raises
        ------
        StimulatorError
            Above the profile's limit, no whole percent, while the device is armed, or where it is not taken.
        """
        percent = whole_percent(percent_of_maximum, self._profile)
        self._only_disarmed("the intensity is changed")
        self._check_intensity(percent)
        change = percent - self._tell().power
        self._told.set_percent = percent
        self._command(frames.set_power(percent), f"set to {percent} %")
        self._wait(abs(change) * (SLEW_UP_S if change > 0 else SLEW_DOWN_S) + SLEW_MARGIN_S)
        found = self._tell().power
        if found != percent:
            self._refuse(f"intensity = {found} % was read back where {percent} % was set")

    def configure(self) -> None:
        """Write the settings: opening it has done all that there is."""
        self._only_disarmed("it is configured")

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Arm for the length of a ``with`` block: it begins when the device is ready and ends with it disarmed.

        Raises
        ------
        StimulatorError
            Where the device cannot be armed, is not ready within 2 s, or cannot be disarmed.
        """
        self._only_disarmed("it is armed again")
        self._armed = True  # before the command: that may act though its answer is lost
        try:
            self._arm()
            yield
        except BaseException as error:
            try:
                self._disarm()
            except StimulatorError as failure:
                error.add_note(str(failure))
            raise
        else:
            self._disarm()

    def status(self) -> Status:
        """Return the device's state by one exchange, or two where it has an error; this keeps it alive, too.

        Intensity and coil temperature are as they were told last.
        """
        told = self._told
        if self._clock() - told.temperature_at_s >= TEMPERATURE_EVERY_S:
            self._tell_temperature()
        else:
            self._tell()
        if Instrument.ERROR in told.instrument:
            told.error = self._command(frames.TELL_ERROR, "asked for its error")
        fault = fault_in_words(told, armed=self._armed)
        fault = BY_HAND if fault == DISARMED else fault
        expiring = told.on and not fault and self._clock() - self._idle_from_s >= EXPIRING_S
        return Status(
            armed=told.on,
            ready=told.ready and not fault and not expiring,
            fault=fault,
            percent_of_maximum=float(told.state.power),
            coil_temperature_c=told.coil_temperature_c,
            expiring=expiring,
        )

    def note_trigger(self, ago_s: float) -> None:
        """Take note of when the last trigger left, in s before now: the device's timer may have begun anew with it."""
        self._idle_from_s = max(self._idle_from_s, self._clock() - ago_s)

    def fire(self, leaving: AbstractContextManager[None] = AT_ANY_TIME) -> Literal["yes", "unknown"]:
        """Ask for a pulse by serial line, once, and return whether the device confirms it.

        The pulse comes 5 to 15 ms later and never after the same time, so it can keep no phase. Count it as delivered
        before this is called, whatever is returned.

        Raises
        ------
        StimulatorError
            Where the device is not armed, cannot be told, or says that it does not fire.
        """
        link = self._speak()
        if not self._armed:
            self._refuse("it cannot fire: it is not armed")
        self.note_trigger(0.0)
        reply = link.ask_once(frames.FIRE, leaving)
        if reply is None or reply.verdict is Verdict.UNKNOWN:
            return "unknown"
        if reply.value is None:
            self._refuse(f"it did not fire: {reply.verdict.value}")
        return "yes" if Instrument.READY in reply.value else "unknown"

    def _check_intensity(self, percent: int) -> None:
        """Raise where what is set does not go with an intensity."""

    def _wait(self, duration_s: float) -> None:
        """Let time pass, and keep the device alive meanwhile."""
        until_s = self._clock() + duration_s
        while (left_s := until_s - self._clock()) > 1e-6:
            self._sleep(min(left_s, self.status_every_s))
            self._tell()

    def _arm(self) -> None:
        reply = self._speak().ask(frames.ARM)
        self.note_trigger(0.0)
        told = self._told
        self._tell()
        # A conflict is also what an armed device may answer to a second command, sent since the first answer was lost.
        if reply.verdict is not Verdict.ACCEPTED and not told.on:
            resting = "it rests after a train" if Rapid.WAIT in told.state.rapid else ""
            why = fault_in_words(told, armed=False) or resting or reply.verdict.value
            self._refuse(f"it cannot be armed: {why}")
        until_s = self._clock() + READY_WITHIN_S
        while fault_in_words(told, armed=True) or not told.ready:
            if fault := fault_in_words(told, armed=True):
                self._refuse(f"it cannot be armed: {fault}")
            if not self._clock() < until_s:
                self._refuse(f"it is not ready {READY_WITHIN_S:g} s after it was armed")
            self._sleep(POLL_S)
            self._tell()

    def _disarm(self) -> None:
        try:
            self._command(frames.DISARM, "disarmed")
            self._tell()
        finally:
            self._armed = False
        if self._told.on:
            self._refuse("it says that it is armed still, after it was disarmed")

    def _tell_temperature(self) -> None:
        answer = self._command(frames.TELL_TEMPERATURE, "asked for its temperature")
        self._told.instrument, self._told.coil_temperature_c = answer
        self._told.temperature_at_s = self._clock()
