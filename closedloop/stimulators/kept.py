"""A stimulator whose port belongs to a process of its own, as a session sees it."""

import contextlib
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from closedloop.config.device import Stimulator as Profile
from closedloop.config.line import CommandLine
from closedloop.errors import StimulatorError
from closedloop.stimulators.channel import Channel, ChannelEndedError
from closedloop.stimulators.heartbeat import Heartbeat, Places
from closedloop.stimulators.line import open_line
from closedloop.stimulators.lines.pipe_pair import TRIGGER, Replies
from closedloop.stimulators.lines.wire import TriggerLine
from closedloop.stimulators.status import Identity, Status

OPEN_S = 30.0
"""A device is open, identified and prepared by then."""
ANSWER_S = 60.0
"""The slowest that is asked of one: an output that falls by 100 % takes 10 s."""
END_S = 10.0
DRIVER = "closedloop.stimulators.keeper"


class KeptStimulator:
    """The process that keeps a stimulator, and what it says; use it in a ``with`` block, which leaves it disarmed.

    Before the loop runs, `configure`, `set_intensity` and `set_train` wait for their answer. Beside the loop nothing
    waits: `arm` and `disarm` are asked, and `listen` hears what came of it.

    Parameters
    ----------
    profile
        Of the device.
    heartbeat
        Of the loop.
    places
        What is where in it.

    Attributes
    ----------
    identity
        Which device answered.
    scheduler
        What the system granted the process, in words.
    status, status_s
        What it said last, and when it was asked, in s on the system's monotonic clock; -inf before that.
    armed
        Whether it was armed when it was last heard of.
    gone
        Whether the process has ended: nobody speaks to the device any more.
    notes
        What it did unasked that the operator should know, one line each; whoever has told it takes it out.

    Raises
    ------
    StimulatorError
        Where it cannot be opened, and where what is waited for is refused.
    """

    def __init__(self, profile: Profile, heartbeat: Heartbeat, places: Places) -> None:
        self._profile, self._heartbeat, self._places = profile, heartbeat, places
        self._pipes = contextlib.ExitStack()
        self._command: TriggerLine | None = None
        self._channel: Channel
        self._process: subprocess.Popen[bytes]
        self._heard: deque[Mapping[str, Any]] = deque()
        self.identity, self.scheduler = Identity(""), ""
        self.status = Status(armed=False, ready=False, fault="not heard of yet")
        self.status_s = -float("inf")
        self.armed = self.gone = False
        self._asked = self._answered = 0
        self.notes: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except OSError as error:
            self._pipes.close()
            raise StimulatorError(f"{self._profile.name}: its driver's process cannot be started: {error}") from None
        try:
            self._channel.tell(profile=self._profile.model_dump(mode="json"))
            said = self._wait_for("identity", OPEN_S)
            self.identity, self.scheduler = Identity(**said["identity"]), said["scheduler"]
        except BaseException:
            self._end()
            raise
        return self

    def _start(self) -> None:
        """Start the process, with its ends of all that leads to it."""
        self._channel, theirs = Channel.pair()
        self._pipes.callback(self._channel.close)
        with theirs, contextlib.ExitStack() as their_pipes:
            fds = (theirs.fileno(), self._heartbeat.fd)
            pipes = self._pipe_pair(their_pipes) if isinstance(self._profile.line, CommandLine) else ()
            self._process = subprocess.Popen(  # noqa: S603 - this package's own module
                [sys.executable, "-P", "-m", DRIVER, *map(str, (*fds, *self._places, *pipes))],
                pass_fds=(*fds, *pipes),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failure = self._end()
        if failure and error is None:
            raise StimulatorError(failure)
        if failure and error is not None:
            error.add_note(failure)

    def _pipe_pair(self, theirs: contextlib.ExitStack) -> tuple[int, int]:
        """Open the pipes for triggers, and return the driver's ends, which its start closes here."""
        triggers, to_take = os.pipe()
        theirs.callback(os.close, triggers)
        self._pipes.callback(os.close, to_take)
        taken, replies = os.pipe()
        theirs.callback(os.close, replies)
        self._pipes.callback(os.close, taken)
        for fd in (to_take, taken):
            os.set_blocking(fd, False)
        name = f"the command of {self._profile.name}"
        self._command = TriggerLine(to_take, TRIGGER, b"", 0.0, name, replies=Replies(taken))
        return triggers, replies

    @contextlib.contextmanager
    def open_line(self) -> Iterator[TriggerLine]:
        """Open what fires it: its trigger line, or the pipe to its driver, which then fires it by command.

        Raises
        ------
        StimulatorError
            Where the line cannot be opened.
        """
        if self._command is not None:
            yield self._command
        else:
            with open_line(self._profile.line) as line:
                yield line

    @property
    def pid(self) -> int:
        """Of the process that keeps it."""
        return self._process.pid

    def configure(self) -> None:
        """Write what the profile's settings ask for."""
        self._ask("configure")
        self._wait_for("answer", ANSWER_S)

    def set_intensity(self, percent_of_maximum: float) -> None:
        """Set the intensity in percent of the maximum stimulator output."""
        self._ask("set_intensity", percent_of_maximum)
        self._wait_for("answer", ANSWER_S)

    def set_train(self, pulses: int, frequency_hz: float) -> None:
        """Set what one trigger starts; of 1 pulse the frequency is that of triggers at their fastest."""
        self._ask("set_train", pulses, frequency_hz)
        self._wait_for("answer", ANSWER_S)

    @property
    def settled(self) -> bool:
        """Whether all that was asked for has been answered, so that `armed` tells what came of it."""
        return self._answered == self._asked

    def arm(self) -> None:
        """Ask for arming; `settled` and `armed` say when it is done, `listen` what is wrong."""
        self._ask("arm")

    def disarm(self) -> None:
        """Ask for disarming."""
        self._ask("disarm")

    def listen(self) -> list[str]:
        """Hear what was said since the last time, and return what is wrong, one line each; the device is disarmed then.

        This waits for nothing.
        """
        wrong = []
        try:
            while (message := self._channel.hear(0.0)) is not None:
                if trouble := self._take(message):
                    wrong.append(trouble)
        except ChannelEndedError:
            if not self.gone:
                wrong.append(self._lost())
        return wrong

    def _ask(self, what: str, *arguments: float) -> None:
        self._asked += 1
        with contextlib.suppress(ChannelEndedError):  # `listen` says so
            if not self._channel.tell(ask=what, arguments=arguments):
                self._channel.close()  # a process that does not listen any more; where it can, it disarms at that

    def _take(self, message: Mapping[str, Any]) -> str:
        """Take a message in, and return what is wrong, or nothing."""
        if "status" in message:
            self.status, self.status_s = Status(**message["status"]), message["at_s"]
        if "note" in message:
            self.notes.append(message["note"])
        self.armed = message.get("armed", False)
        self._answered += "answer" in message
        trouble: str = message.get("trouble", message.get("error", ""))
        return trouble

    def _wait_for(self, what: str, patience_s: float) -> Mapping[str, Any]:
        """Return the next message of a kind; what is wrong meanwhile is an error."""
        until_s = time.monotonic() + patience_s
        try:
            while (left_s := until_s - time.monotonic()) > 0.0:
                message = self._channel.hear(left_s)
                if message is None:
                    continue
                if trouble := self._take(message):
                    raise StimulatorError(trouble)
                if what in message:
                    return message
        except ChannelEndedError:
            raise StimulatorError(self._lost()) from None
        raise StimulatorError(f"{self._profile.name}: its driver has not answered for {patience_s:g} s")

    def _lost(self) -> str:
        """Say that the process has gone, and take note of it."""
        self.gone, self.armed = True, False
        self.status = Status(armed=False, ready=False, fault="its driver's process has ended")
        return f"{self._profile.name}: its driver's process has ended: it may still be armed; look at the device"

    def _end(self) -> str:
        """Let the process disarm the device and end; return what it says to that, if anything is wrong."""
        self._channel.finish()
        failure = ""
        until_s = time.monotonic() + END_S
        try:
            while (left_s := until_s - time.monotonic()) > 0.0:
                message = self._channel.hear(left_s)
                if message is not None:
                    failure = message.get("error", failure)
            failure = failure or f"{self._profile.name}: its driver did not end within {END_S:g} s and was killed"
        except ChannelEndedError:
            pass
        finally:
            self._pipes.close()
            try:
                self._process.wait(1.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        return failure
