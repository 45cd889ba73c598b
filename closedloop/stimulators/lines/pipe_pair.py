"""A line that a program of its own drives: what it and the loop say to each other through two pipes.

Each byte that comes through the first pipe is one trigger. For each of them a record of one size goes back through the
second: fired and when, failed and why, not known, or too late and therefore not fired. The end of the first pipe is
the end of the program, which takes the line back before: the loop's own end, and the loop's death, are the same to it.
A program that ends breaks the pipe, and the loop's next write fails, which disarms.

The program proves of each byte how old it may be at most, and never fires an old one: it looks every few ms whether
the pipe is empty, so that what it then finds is no older than its last look. How old it is counts where it leaves: what
fires asks once more, right before its one call.

Nothing here knows a device: whoever owns a port that a device fires through can serve it as well.
"""

import os
import select
import struct
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import NoReturn, Protocol

from closedloop.stimulators.departure import Departure, TooLateError

TRIGGER = b"\x01"
"""What the loop writes; the program counts bytes and does not look at them."""
LOOK_EVERY_S = 0.004
OLDEST_S = 0.01
"""A trigger that may be older than this where it leaves is not fired: it would meet another phase."""
_RECORD = struct.Struct("<iiqdd96s")
_TEXT_BYTES = 96
_READ_BYTES = 64


class ReplyKind(IntEnum):
    """What a reply says."""

    READY = 1
    """The line is open; the text says what the program was granted."""
    FIRED = 2
    LATE = 3
    """It may have waited for too long, and was not fired."""
    FAILED = 4
    """The text says why; what drives the line has given up."""
    UNKNOWN = 5
    """It has been asked for, and nothing says whether it came."""


@dataclass(frozen=True)
class Reply:
    """What a program says of one trigger.

    Attributes
    ----------
    kind
        What became of it.
    number
        Of the trigger, from 0; -1 where it is about none.
    taken_s
        When the program had it, in s on the clock that the loop reads.
    fired_s
        When the call that fired had returned, in s, so that nothing left later: for a serial port its write, for a
        vendor's library the call that reaches its device. NaN where there was no such call.
    text
        More about it, at most 96 bytes of UTF-8.
    """

    kind: ReplyKind
    number: int
    taken_s: float
    fired_s: float = float("nan")
    text: str = ""

    def packed(self) -> bytes:
        """Return the record; a text that is too long loses its end."""
        text = self.text.encode()[:_TEXT_BYTES].decode(errors="ignore").encode()
        return _RECORD.pack(self.kind, 0, self.number, self.taken_s, self.fired_s, text)


class NotFiredError(Exception):
    """What fires has failed, and fires no more."""


class UnconfirmedError(Exception):
    """What fires was told to, and has not said that it did."""


class Firing(Protocol):
    """What a program fires; used within a ``with`` block, which opens it and leaves it taken back."""

    width_s: float
    """How long the line stays high, in s; 0.0: it falls back by itself."""

    def fire(self, leaving: AbstractContextManager[None]) -> None:
        """Give the edge by one call within the block, and return as soon as it is given.

        An `UnconfirmedError` says that it may have been given, a `NotFiredError` that it surely was not; any other
        error says so where it came before the block was entered.
        """
        ...

    def take_back(self) -> None:
        """Take the line back."""
        ...


class Replies:
    """The loop's end of the second pipe.

    Parameters
    ----------
    fd
        Its file descriptor, which does not block.

    Attributes
    ----------
    granted
        What the system gave the program, by its own word.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.granted = ""
        self._rest = b""

    def take(self) -> list[Reply]:
        """Return what has come, without waiting; after the program's end nothing comes any more."""
        while True:
            try:
                data = os.read(self.fd, _RECORD.size * _READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                break
            self._rest += data
        whole = len(self._rest) - len(self._rest) % _RECORD.size
        taken, self._rest = self._rest[:whole], self._rest[whole:]
        return [
            Reply(ReplyKind(kind), number, taken_s, fired_s, text.rstrip(b"\0").decode(errors="replace"))
            for kind, _, number, taken_s, fired_s, text in _RECORD.iter_unpack(taken)
        ]


class Server:
    """The program's side.

    Parameters
    ----------
    triggers, replies
        File descriptors of its ends of the two pipes. Nobody may read the replies: what finds no room is lost.
    clock
        The clock that the loop reads, in s.

    Attributes
    ----------
    taken
        How many triggers have come.
    """

    def __init__(self, triggers: int, replies: int, clock: Callable[[], float]) -> None:
        self._triggers, self._replies, self._clock = triggers, replies, clock
        os.set_blocking(replies, False)
        self._watch = select.poll()
        self._watch.register(triggers, select.POLLIN)
        self.taken = 0
        self._empty_s = clock()

    def tell(self, kind: ReplyKind, text: str = "") -> None:
        """Say something that is about no trigger."""
        self._say(Reply(kind, -1, self._clock(), text=text))

    def serve(self, firing: Firing) -> None:
        """Fire for each trigger, until the pipe ends or something fails; the caller has opened what fires."""
        with suppress(EOFError, NotFiredError):
            while True:
                self.look(firing, LOOK_EVERY_S)

    def look(self, firing: Firing, wait_s: float) -> None:
        """Fire for what has come, or comes within a time in s: a trigger is as old as the look before, at most.

        Raises
        ------
        EOFError
            Where the pipe has ended.
        NotFiredError
            Where what fires failed, which the loop's side has been told.
        """
        asked_s = self._clock()
        if not self._watch.poll(0):
            self._empty_s = asked_s
            if not self._watch.poll(1e3 * wait_s):
                return
        data = os.read(self._triggers, _READ_BYTES)
        if not data:
            raise EOFError
        self._meet(firing, len(data), self._clock())

    def _meet(self, firing: Firing, n: int, taken_s: float) -> None:
        """Fire for the last of some triggers that came at once, where it is fresh."""
        oldest_s = taken_s - self._empty_s
        numbers = range(self.taken, self.taken + n)
        self.taken += n
        late = numbers if not oldest_s <= OLDEST_S else numbers[:-1]
        for number in late:
            self._say(Reply(ReplyKind.LATE, number, taken_s, text=f"it may be {1e3 * oldest_s:.1f} ms old"))
        if len(late) < n:
            self._fire(firing, numbers[-1], taken_s)

    def _fire(self, firing: Firing, number: int, taken_s: float) -> None:
        leaving = Departure(self._empty_s + OLDEST_S, self._clock)

        def say(kind: ReplyKind, text: str = "") -> None:
            self._say(Reply(kind, number, taken_s, leaving.left_s, text))

        try:
            firing.fire(leaving)
        except TooLateError as error:
            say(ReplyKind.LATE, one_line(error))
            return
        except UnconfirmedError:
            say(ReplyKind.UNKNOWN, "nothing says whether it fired")
        except Exception as error:
            if leaving.begun and not isinstance(error, NotFiredError):
                say(ReplyKind.UNKNOWN, f"whether it fired is not known: {one_line(error)}")
                self._give_up(error)
            say(ReplyKind.FAILED, one_line(error))
            raise NotFiredError(one_line(error)) from error
        else:
            say(ReplyKind.FIRED)
        self._take_back(firing)

    def _take_back(self, firing: Firing) -> None:
        if not firing.width_s > 0.0:
            return
        time.sleep(firing.width_s)
        try:
            firing.take_back()
        except Exception as error:  # noqa: BLE001 - a vendor's library raises what it likes
            self._give_up(error)

    def _give_up(self, error: Exception) -> NoReturn:
        """Say that what fires has failed, beside what was said of a trigger."""
        self.tell(ReplyKind.FAILED, one_line(error))
        raise NotFiredError(one_line(error)) from error

    def _say(self, reply: Reply) -> None:
        # Where nobody reads them they are lost; the end of the other pipe is what ends the program.
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self._replies, reply.packed())


def one_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
