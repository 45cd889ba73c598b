"""The process that owns a stimulator's serial port: ``python -m closedloop.stimulators.keeper``.

It speaks to the device while the session speaks to the brain, so that no answer of a serial line is waited for beside
the loop. It keeps the device alive only while the loop's heartbeat goes on. It disarms the device where the heartbeat
stands still, where the session has gone, where the device says that something is wrong, and where it is asked to; only
the session arms it again. The one thing that it does unasked is to arm a device that its own timer has disarmed.

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
from closedloop.stimulators.heartbeat import Pulse
from closedloop.stimulators.interface import Stimulator, open_stimulator

LOOK_S = 0.05
"""So often the heartbeat is looked at."""
STILL_S = 0.5
"""A loop that has not turned for so long is not there any more; a turn takes 20 ms at most."""
OPEN_S = 10.0
"""So long the session may take to say which device it is."""
REPORT_S = 0.25
"""So often at least the session hears how the device is."""


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
    clock
        Gives s; by default the system's monotonic clock.
    """

    def __init__(
        self, stimulator: Stimulator, channel: Channel, pulse: Pulse, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stimulator, self._channel, self._pulse, self._clock = stimulator, channel, pulse, clock
        self._arming: ExitStack | None = None
        self._told = ""
        self._report_at_s = clock()

    def run(self) -> None:
        """Serve until the session has gone; the device is disarmed then."""
        try:
            self._say(identity=asdict(self._stimulator.identity))
            while True:
                self._turn()
        except ChannelEndedError:
            pass
        finally:
            self._disarm()

    def _turn(self) -> None:
        """Hear one request, and look whether all is well."""
        wait_s = min(LOOK_S, self._report_at_s - self._clock())
        request = self._channel.hear(wait_s)
        if request is not None:
            self._answer(request)
        if self._arming is not None and not self._pulse.still_for_s(self._clock()) <= STILL_S:
            self._trouble(f"the loop has stood still for {STILL_S:g} s")
        if self._clock() >= self._report_at_s:
            self._report()

    def _answer(self, request: Mapping[str, Any]) -> None:
        doing: dict[str, Callable[..., None]] = {
            "configure": self._stimulator.configure,
            "set_intensity": self._stimulator.set_intensity,
            "arm": self._arm,
            "disarm": self._disarm,
        }
        try:
            doing[request["ask"]](*request["arguments"])
        except StimulatorError as error:
            self._give_up()
            self._say(answer=request["ask"], error=str(error))
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

    def _give_up(self) -> None:
        """Disarm, whatever the device says to it; what is wrong is being told already."""
        with contextlib.suppress(StimulatorError):
            self._disarm()

    def _trouble(self, what: str) -> None:
        """Disarm because of something that nobody asked for, and tell it, once."""
        again, self._told = what == self._told, what
        try:
            self._disarm()
        except StimulatorError as error:
            what = f"{what}; {error}"
        if not again:
            self._say(trouble=what)

    def _report(self) -> None:
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


def main(socket_fd: int, heartbeat_fd: int, place: int) -> None:
    """Keep the stimulator of the profile that the session sends first."""
    # Ctrl-C and a lost terminal reach the session, which then ends this process in good order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    channel = Channel(socket.socket(fileno=socket_fd))
    pulse = Pulse(heartbeat_fd, place, time.monotonic())
    with contextlib.suppress(ChannelEndedError):
        profile = channel.hear(OPEN_S)
        if profile is None:
            return
        try:
            with open_stimulator(Profile.model_validate(profile["profile"])) as stimulator:
                Keeper(stimulator, channel, pulse).run()
        except StimulatorError as error:
            channel.tell(error=str(error))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
