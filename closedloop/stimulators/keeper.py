"""The process that owns a stimulator's serial port: ``python -m closedloop.stimulators.keeper``.

It speaks to the device while the session speaks to the brain, so that no answer of a serial line is waited for beside
the loop. It keeps the device alive only while the loop's heartbeat goes on. It disarms the device where the heartbeat
stands still, where the session has gone, where the device says that something is wrong, and where it is asked to; only
the session arms it again. The one thing that it does unasked is to arm a device that its own timer has disarmed.

Where the device fires by its own command, the loop's triggers come here through a pipe. An exchange that has begun
would hold one up: while there is one the loop takes the device for not ready, and none begins where a trigger is about
to come, as far as that is foreseen.

Whoever kills this process as well leaves the device to itself: a Magstim disarms when it hears nothing for 1 s, a
MagPro or a DuoMAG stays as it is and needs an interlock of its own.
"""

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from closedloop.config.device import Stimulator as Profile
from closedloop.errors import StimulatorError
from closedloop.stimulators.channel import Channel, ChannelEndedError
from closedloop.stimulators.heartbeat import Busy, Due, Places, Pulse
from closedloop.stimulators.interface import Stimulator, open_stimulator
from closedloop.stimulators.lines.pipe_pair import LOOK_EVERY_S, NotFiredError, Server, UnconfirmedError
from closedloop.stimulators.scheduling import ask_for_real_time

LOOK_S = 0.05
"""So often the heartbeat is looked at."""
STILL_S = 0.5
"""A loop that has not turned for so long is not there any more; a turn takes 20 ms at most."""
OPEN_S = 10.0
"""So long the session may take to say which device it is."""
REPORT_S = 0.25
"""So often at least the session hears how the device is."""
EXCHANGE_S = 0.06
"""No exchange begins where a trigger is due within so long: one takes some 20 to 40 ms at 9600 bit/s."""
HELD_BACK_S = 0.2
"""For so long at most an exchange is held back: the gate wants to hear of the device, and the device of its host."""


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

    def fire(self) -> None:
        """Send the command, once; what the device does not confirm may have left, and counts."""
        if self._stimulator.fire() != "yes":
            raise UnconfirmedError

    def take_back(self) -> None:
        """Do nothing: a command has no level."""


class Triggers:
    """The loop's triggers for a stimulator that fires by its own command.

    Parameters
    ----------
    server
        Of the pipes.
    due, busy
        Of the next one, and of the port.
    clock
        The loop's, in s.
    """

    def __init__(self, server: Server, due: Due, busy: Busy, clock: Callable[[], float]) -> None:
        self.server, self._due, self.busy, self._clock = server, due, busy, clock

    @property
    def near(self) -> bool:
        """Whether one is about to come, or should just have."""
        return abs(self._due.after_s(self._clock())) <= EXCHANGE_S


class Keeper:
    """Does what the session asks of an open stimulator, and what watches over it.

    Parameters
    ----------
    stimulator
        Opened by its ``with`` block.
    channel
        To the session.
    pulse
        Of the loop.
    triggers
        Where the device fires by its own command.
    clock
        Gives s; by default the system's monotonic clock.
    """

    def __init__(
        self,
        stimulator: Stimulator,
        channel: Channel,
        pulse: Pulse,
        *,
        triggers: Triggers | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stimulator, self._channel, self._pulse, self._clock = stimulator, channel, pulse, clock
        self._triggers, self._command = triggers, ByCommand(stimulator)
        self._arming: ExitStack | None = None
        self._told = ""
        self._report_at_s = clock()

    def run(self, scheduler: str = "") -> None:
        """Serve until the session has gone; the device is disarmed then. The scheduler is what the system granted."""
        try:
            self._say(identity=asdict(self._stimulator.identity), scheduler=scheduler)
            while True:
                self._turn()
        except ChannelEndedError:
            pass
        finally:
            self._disarm()

    def _turn(self) -> None:
        """Fire what is due, hear one request, and look whether all is well."""
        wait_s = max(min(LOOK_S, self._report_at_s - self._clock()), 0.0)
        near = self._triggers is not None and self._triggers.near  # as of before the look: what it told has come since
        if self._triggers is not None:
            self._serve_triggers(LOOK_EVERY_S)
            wait_s = 0.0
        request = self._channel.hear(wait_s)
        if request is not None:
            self._answer(request)
        if self._arming is not None and not self._pulse.still_for_s(self._clock()) <= STILL_S:
            self._trouble(f"the loop has stood still for {STILL_S:g} s")
        overdue_s = self._clock() - self._report_at_s
        if overdue_s >= 0.0 and (not near or overdue_s > HELD_BACK_S):
            self._report()

    def _serve_triggers(self, wait_s: float) -> None:
        """Fire the triggers that have come, or come within a time in s."""
        if self._triggers is None:
            return
        server = self._triggers.server
        before = server.taken
        try:
            server.look(self._command, wait_s)
        except EOFError:
            self._triggers = None
        except NotFiredError as error:
            self._trouble(str(error))
        if server.taken != before:
            self._report_at_s = self._clock()  # how it is after a pulse is what the gate wants to know

    def _answer(self, request: Mapping[str, Any]) -> None:
        doing: dict[str, Callable[..., None]] = {
            "configure": self._stimulator.configure,
            "set_intensity": self._stimulator.set_intensity,
            "set_train": self._stimulator.set_train,
            "arm": self._arm,
            "disarm": self._disarm,
        }
        try:
            doing[request["ask"]](*request["arguments"])
        except StimulatorError as error:
            self._say(answer=request["ask"], error="; ".join([str(error), *self._give_up()]))
        else:
            # How the device is comes first: whoever hears that it is armed knows already whether it is ready.
            self._report()
            self._say(answer=request["ask"])

    def _say(self, **message: Any) -> None:
        """Tell the session something, and whether the device is armed."""
        self._channel.tell(armed=self._arming is not None, **message)

    def _arm(self) -> None:
        if self._arming is not None:
            return
        with ExitStack() as arming:
            arming.enter_context(self._stimulator.armed())
            self._arming = arming.pop_all()
        self._pulse.still_for_s(self._clock())

    def _disarm(self) -> None:
        arming, self._arming = self._arming, None
        if arming is not None:
            arming.close()

    def _give_up(self) -> list[str]:
        """Disarm because something is wrong; return what is wrong with that as well, if anything."""
        try:
            self._disarm()
        except StimulatorError as error:
            return [str(error)]
        return []

    def _trouble(self, what: str) -> None:
        """Disarm because of something that nobody asked for, and tell it, once."""
        again, self._told = what == self._told, what
        more = self._give_up()
        if not again:
            self._say(trouble="; ".join([what, *more]))

    def _report(self) -> None:
        """Tell how the device is, while nothing fires through its port."""
        if self._triggers is None:
            self._ask_device()
            return
        with self._triggers.busy:
            self._serve_triggers(0.0)  # what had left before the loop could see that
            self._ask_device()

    def _ask_device(self) -> None:
        """Tell how the device is: as of when it was asked, not of when it answered."""
        try:
            at_s, status = self._clock(), self._stimulator.status()
            if status.lapsed and self._arming is not None:
                self._disarm()
                self._arm()
                at_s, status = self._clock(), self._stimulator.status()
        except StimulatorError as error:
            self._trouble(str(error))
        else:
            if status.fault and self._arming is not None:
                self._trouble(f"{self._stimulator.identity.model}: {status.fault}")
            elif not status.fault:
                self._told = ""
            self._say(status=asdict(status), at_s=at_s)
        self._report_at_s = self._clock() + min(REPORT_S, self._stimulator.status_every_s)


def main(socket_fd: int, heartbeat_fd: int, turns: int, due: int, busy: int, *pipes: int) -> None:
    """Keep the stimulator of the profile that the session sends first.

    Parameters
    ----------
    socket_fd, heartbeat_fd
        To the session, and of what it shares.
    turns, due, busy
        The `Places` there.
    pipes
        Where the stimulator fires by its own command: file descriptors of its ends of the two pipes.
    """
    places = Places(turns, due, busy)
    # Ctrl-C and a lost terminal reach the session, which then ends this process in good order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    channel = Channel(socket.socket(fileno=socket_fd))
    pulse = Pulse(heartbeat_fd, places.turns, time.monotonic())
    triggers = None
    if pipes:
        from pylsl import local_clock  # the loop's clock; no other stimulator needs it

        incoming, replies = pipes
        server = Server(incoming, replies, local_clock)
        triggers = Triggers(server, Due(heartbeat_fd, places.due), Busy(heartbeat_fd, places.busy), local_clock)
    scheduler = ask_for_real_time()
    with contextlib.suppress(ChannelEndedError):
        profile = channel.hear(OPEN_S)
        if profile is None:
            return
        try:
            with open_stimulator(Profile.model_validate(profile["profile"])) as stimulator:
                Keeper(stimulator, channel, pulse, triggers=triggers).run(scheduler)
        except StimulatorError as error:
            channel.tell(error=str(error))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
