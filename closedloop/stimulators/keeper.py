"""The process that owns a stimulator's serial port: ``python -m closedloop.stimulators.keeper``.

It speaks to the device while the session speaks to the brain, so that no answer of a serial line is waited for beside
the loop. It keeps the device alive only while the loop's heartbeat goes on. It disarms the device where the heartbeat
stands still, where the session has gone, where the device says that something is wrong, and where it is asked to; only
the session arms it again. The one thing that it does unasked is to disarm and arm a device whose own timer is about to
disarm it, and it says so: whatever else disarms one is a hand, which has the last word.

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
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from pylsl import local_clock

from closedloop.config.device import Stimulator as Profile
from closedloop.errors import StimulatorError
from closedloop.scheduling import granted_scheduler
from closedloop.stimulators.asking import QUESTION_S, Asking
from closedloop.stimulators.by_command import EXCHANGE_S, Triggers
from closedloop.stimulators.channel import Channel, ChannelEndedError
from closedloop.stimulators.heartbeat import Busy, Places, Pulse, Timetable
from closedloop.stimulators.interface import Stimulator, open_stimulator
from closedloop.stimulators.lines.pipe_pair import LOOK_EVERY_S, NotFiredError, Server

LOOK_S = 0.05
"""So often the heartbeat is looked at."""
STILL_S = 0.5
"""A loop that has not turned for so long is not there any more; a turn takes 20 ms at most."""
OPEN_S = 10.0
"""So long the session may take to say which device it is."""
REPORT_S = 0.25
"""So often at least the session hears how the device is."""
HEARD_S = 0.3
"""So long after it was told does the session know that the device is not ready, and no trigger is on its way."""
STARVED_S = 1.5
"""A device that is armed against the keeper's will is not asked for so long: a question would keep it alive."""
AGAIN_S = 0.02
"""So soon it is asked again where it was armed and well, and not ready yet."""


class Keeper:
    """Does what the session asks of an open stimulator, and what watches over it.

    Parameters
    ----------
    profile
        Of the stimulator.
    stimulator
        Opened by its ``with`` block.
    channel
        To the session.
    pulse
        Of the loop.
    timetable
        Of the loop's triggers.
    triggers
        Where the device fires by its own command.
    clock
        Gives s; by default the system's monotonic clock.
    """

    def __init__(
        self,
        profile: Profile,
        stimulator: Stimulator,
        channel: Channel,
        pulse: Pulse,
        timetable: Timetable,
        *,
        triggers: Triggers | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._profile, self._stimulator, self._channel = profile, stimulator, channel
        self._pulse, self._timetable, self._triggers, self._clock = pulse, timetable, triggers, clock
        self._asking = Asking(timetable, QUESTION_S if triggers is None else EXCHANGE_S, clock)
        self._arming: ExitStack | None = None
        self._expiring_s: float | None = None
        self._told = ""

    def run(self, scheduler: str = "") -> None:
        """Serve until the session has gone; the device is disarmed then. The scheduler is what the system granted."""
        try:
            self._say(identity=asdict(self._stimulator.identity), scheduler=scheduler)
            while True:
                self.turn()
        except ChannelEndedError:
            pass
        finally:
            self._disarm()

    def turn(self) -> None:
        """Fire what is due, hear one request, and look whether all is well."""
        recharge_s = max(self._profile.limits.recharge_s, self._stimulator.recharge_s)
        wait_s = self._asking.wait_s(recharge_s)  # as of before the look: what it told has come since
        fired = self._serve_triggers(min(wait_s, LOOK_EVERY_S))
        request = self._channel.hear(min(wait_s, LOOK_S) if self._triggers is None else 0.0)
        if request is not None:
            self._answer(request)
        if self._arming is not None and not self._pulse.still_for_s(self._clock()) <= STILL_S:
            self._trouble(f"the loop has stood still for {STILL_S:g} s")
        heard = self._expiring_s is not None and self._clock() - self._expiring_s >= HEARD_S
        if heard and request is None:  # whoever asked to disarm it has been heard, too
            self._arm_again()
        elif wait_s <= 0.0 and not fired:
            self._report()

    def _serve_triggers(self, wait_s: float) -> bool:
        """Fire the triggers that have come, or come within a time in s; return whether any did."""
        if self._triggers is None:
            return False
        try:
            fired = self._triggers.serve(wait_s)
        except EOFError:
            self._triggers = None
            return False
        except NotFiredError as error:
            self._trouble(str(error))
            fired = True
        if fired:
            self._asking.want()  # how it is after a pulse is what the gate wants to know
        return fired

    def _answer(self, request: Mapping[str, Any]) -> None:
        doing: dict[str, Callable[..., None]] = {
            "configure": self._stimulator.configure,
            "set_intensity": self._stimulator.set_intensity,
            "set_train": self._set_train,
            "arm": self._arm,
            "disarm": self._disarm,
        }
        try:
            doing[request["ask"]](*request["arguments"])
        except StimulatorError as error:
            self._say(answer=request["ask"], error=self._give_up(str(error)))
        else:
            # How the device is comes first: whoever hears that it is armed knows already whether it is ready.
            self._report()
            self._say(answer=request["ask"])

    def _say(self, **message: Any) -> bool:
        """Tell the session something, and whether the device is armed; return whether that could be sent."""
        return self._channel.tell(armed=self._arming is not None, **message)

    def _set_train(self, pulses: int, frequency_hz: float) -> None:
        if self._triggers is not None:
            self._triggers.check_rate(self._profile.name, pulses, frequency_hz)
        self._stimulator.set_train(pulses, frequency_hz)

    def _arm(self) -> None:
        if self._arming is not None:
            return
        with ExitStack() as arming:
            arming.enter_context(self._stimulator.armed())
            self._arming = arming.pop_all()
        self._pulse.still_for_s(self._clock())

    def _disarm(self) -> None:
        arming, self._arming, self._expiring_s = self._arming, None, None
        if arming is not None:
            arming.close()

    def _give_up(self, what: str) -> str:
        """Disarm because something is wrong; return what, and what is wrong with that as well, if anything."""
        try:
            self._disarm()
        except StimulatorError as error:
            return str(error) if what in str(error) else f"{what}; {error}"
        return what

    def _trouble(self, what: str) -> None:
        """Disarm because of something that nobody asked for, and tell it, once."""
        again, told = what == self._told, self._give_up(what)
        if again or self._say(trouble=told):
            self._told = what

    def _arm_again(self) -> None:
        """Disarm the device that its own timer is about to disarm, arm it again, and tell it."""
        try:
            with self._port_in_use():
                self._ask_device()
                if self._expiring_s is None:  # a trigger has wound its timer up since, or a hand has stopped it
                    return
                self._disarm()
                self._arm()
        except StimulatorError as error:
            self._trouble(str(error))
        else:
            self._say(note=f"{self._profile.name}: it was armed again before its own timer disarms it")
            self._report()

    @contextlib.contextmanager
    def _port_in_use(self) -> Iterator[None]:
        """Let nothing fire through its port for the length of a ``with`` block."""
        if self._triggers is None:
            yield
            return
        with self._triggers.busy:
            self._serve_triggers(0.0)  # what had left before the loop could see that
            yield

    def _report(self) -> None:
        """Tell how the device is: as of when it was asked, not of when it answered."""
        with self._port_in_use():
            again_s = self._ask_device()
        self._asking.asked(min(again_s, self._stimulator.status_every_s))

    def _ask_device(self) -> float:
        """Tell how the device is, and return in how many s that is to be asked again."""
        self._stimulator.note_trigger(self._timetable.left_ago_s)
        try:
            at_s, status = self._clock(), self._stimulator.status()
        except StimulatorError as error:
            self._trouble(str(error))
            return REPORT_S
        if status.fault and (self._arming is not None or status.armed):
            self._trouble(f"{self._stimulator.identity.model}: {status.fault}")
        elif not status.fault:
            self._told = ""
        if not status.expiring or self._arming is None:
            self._expiring_s = None
        elif self._expiring_s is None:
            self._expiring_s = self._clock()
        self._say(status=asdict(status), at_s=at_s)
        if status.armed and self._arming is None:
            return STARVED_S
        return AGAIN_S if status.armed and not (status.ready or status.fault or status.expiring) else REPORT_S


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
    scheduler = granted_scheduler()
    with contextlib.suppress(ChannelEndedError):
        said = channel.hear(OPEN_S)
        if said is None:
            return
        profile = Profile.model_validate(said["profile"])
        try:
            with open_stimulator(profile) as stimulator:
                pulse = Pulse(heartbeat_fd, places.turns, time.monotonic())
                timetable = Timetable(heartbeat_fd, places, local_clock)
                triggers = None
                if pipes:
                    incoming, replies = pipes
                    server = Server(incoming, replies, local_clock)
                    triggers = Triggers(server, Busy(heartbeat_fd, places.busy), stimulator)
                Keeper(profile, stimulator, channel, pulse, timetable, triggers=triggers).run(scheduler)
        except StimulatorError as error:
            channel.tell(error=str(error))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
