"""What the loop's triggers need where a stimulator fires by its own command, at the port by which it is also asked."""

from contextlib import AbstractContextManager

from closedloop.errors import StimulatorError
from closedloop.stimulators.heartbeat import Busy
from closedloop.stimulators.interface import Stimulator
from closedloop.stimulators.lines.pipe_pair import NotFiredError, Server, UnconfirmedError

EXCHANGE_S = 0.06
"""No exchange begins where a trigger is due within so long: one takes some 20 to 40 ms at 9600 bit/s."""
ANSWER_S = 0.04
"""So long the device may take to answer a trigger."""
FASTEST_HZ = 1.0 / (EXCHANGE_S + ANSWER_S)
"""Of triggers: between two of them an answer and an exchange have their time."""


class ByCommand:
    """Fires a stimulator by its own command.

    Parameters
    ----------
    stimulator
        Open.
    """

    width_s = 0.0

    def __init__(self, stimulator: Stimulator) -> None:
        self._stimulator = stimulator

    def fire(self, leaving: AbstractContextManager[None]) -> None:
        """Send the command, once; what the device does not confirm may have fired, and counts."""
        try:
            said = self._stimulator.fire(leaving)
        except StimulatorError as error:
            raise NotFiredError(str(error)) from error
        if said != "yes":
            raise UnconfirmedError

    def take_back(self) -> None:
        """Do nothing: a command has no level."""


class Triggers:
    """The loop's triggers for an open stimulator.

    Parameters
    ----------
    server
        Of the pipes.
    busy
        Says that the port is in use.
    stimulator
        Open.
    """

    def __init__(self, server: Server, busy: Busy, stimulator: Stimulator) -> None:
        self._server, self.busy = server, busy
        self._stimulator, self._command = stimulator, ByCommand(stimulator)

    def serve(self, wait_s: float) -> bool:
        """Fire for those that have come, or come within a time in s; return whether any did.

        Raises
        ------
        EOFError
            Where no more can come.
        NotFiredError
            Where the device failed.
        """
        before = self._server.taken
        self._server.look(self._command, wait_s)
        return self._server.taken != before

    def check_rate(self, name: str, pulses: int, frequency_hz: float) -> None:
        """Raise where triggers for single pulses come faster than they can be told, or than the device takes them."""
        device_hz = self._stimulator.fastest_by_command_hz
        fastest_hz = min(FASTEST_HZ, device_hz)
        if pulses != 1 or frequency_hz <= fastest_hz:
            return
        why = "leave no time to hear how the device is" if FASTEST_HZ <= device_hz else "are too fast for its command"
        raise StimulatorError(
            f"{name}: line.kind = command: triggers at {frequency_hz:g} Hz {why} (at most {fastest_hz:g} Hz)"
        )
