"""The wire of a stand-in: a pseudo-terminal that a serial port's program opens like the real one, faults included."""

import os
import random
import select
import threading
import time
import tty
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from closedloop.standins.interface import StandIn

TURN_S = 0.002
"""The stand-in is told the time at least so often."""


@dataclass(frozen=True)
class WireFaults:
    """What happens to bytes that a stand-in sends, and to those that are sent to it.

    Attributes
    ----------
    split
        Whether each byte comes alone, a moment after the one before.
    merge
        Whether an answer is held back until the next one, as long as that comes within 20 ms.
    dropped, corrupted
        Share of the bytes that never arrive, and of those that arrive with one bit turned.
    garbage
        What comes before the first answer.
    seed
        Of what is random.
    deaf, mishears
        Share of the bytes sent to it that never arrive, and of those that arrive with one bit turned.
    vanishes_after
        How many bytes it sends before its plug is pulled; None: it stays.
    """

    split: bool = False
    merge: bool = False
    dropped: float = 0.0
    corrupted: float = 0.0
    garbage: bytes = b""
    seed: int = 1
    deaf: float = 0.0
    mishears: float = 0.0
    vanishes_after: int | None = None


NO_FAULTS = WireFaults()
MERGE_S = 0.02
SPLIT_S = 0.0005


class Terminal:
    """Runs a stand-in behind a pseudo-terminal, in a thread of its own; use it in a ``with`` block.

    Parameters
    ----------
    standin
        The device's behaviour.
    clock
        What time it is, in s; a test gives one that it moves itself.
    faults
        Of the wire.

    Attributes
    ----------
    path
        What a program opens.
    dropped, corrupted
        How many bytes never arrived, and how many with one bit turned, of both directions.
    sent
        How many bytes arrived.
    jammed
        Whether it takes nothing off the wire: what is written piles up there until no more finds room.
    """

    def __init__(
        self, standin: StandIn, *, clock: Callable[[], float] = time.monotonic, faults: WireFaults = NO_FAULTS
    ) -> None:
        self._standin, self._clock, self.faults = standin, clock, faults
        self._random = random.Random(faults.seed)  # noqa: S311 - damage to a wire, no secret
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._held, self._held_s = b"", 0.0
        self._garbage = faults.garbage
        self.dropped = self.corrupted = self.sent = 0
        self.jammed = False
        self._ours, self._theirs = os.openpty()
        os.set_blocking(self._ours, False)  # what nobody reads is lost, as on a wire
        tty.setraw(self._theirs)
        self.path = os.ttyname(self._theirs)
        self._thread = threading.Thread(target=self._run, name="closedloop stand-in")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.vanish()

    def vanish(self) -> None:
        """Pull the plug: whoever has the port open reads an error from now on."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
        self._unplug()

    def _unplug(self) -> None:
        for fd in (self._ours, self._theirs):
            with suppress(OSError):
                os.close(fd)
        self._ours = self._theirs = -1

    def act(self, name: str, *values: float) -> None:
        """Do by hand what the stand-in lists among its actions."""
        with self._lock:
            self._standin.actions[name](self._clock(), *values)

    def trigger(self) -> bool:
        """Give an edge at the trigger input; return whether it fired."""
        with self._lock:
            return self._standin.trigger(self._clock())

    def _run(self) -> None:
        while not self._end.is_set():
            readable, _, _ = select.select([] if self.jammed else [self._ours], [], [], TURN_S)
            data = b""
            if readable:
                with suppress(OSError):  # nobody has the port open
                    data = self._damaged(os.read(self._ours, 4096), self.faults.deaf, self.faults.mishears)
            with self._lock:
                now_s = self._clock()
                answer = self._standin.pass_time(now_s)
                if data:
                    answer += self._standin.receive(data, now_s)
            self._send(answer)
            limit = self.faults.vanishes_after
            if limit is not None and self.sent >= limit:
                self._end.set()
                self._unplug()

    def _send(self, answer: bytes) -> None:
        if self.faults.merge:
            now_s = time.monotonic()
            if answer and not self._held:
                self._held, self._held_s = answer, now_s
                return
            if self._held and (answer or now_s - self._held_s > MERGE_S):
                answer, self._held = self._held + answer, b""
        if not answer:
            return
        answer = self._damaged(answer, self.faults.dropped, self.faults.corrupted)
        answer, self._garbage = self._garbage + answer, b""
        for piece in [bytes([byte]) for byte in answer] if self.faults.split else [answer]:
            self._put(piece)
            if self.faults.split:
                time.sleep(SPLIT_S)

    def _damaged(self, data: bytes, dropped: float, corrupted: float) -> bytes:
        if not dropped and not corrupted:
            return data
        sent = bytearray()
        for byte in data:
            drawn = self._random.random()
            if drawn < dropped:
                self.dropped += 1
            elif drawn < dropped + corrupted:
                self.corrupted += 1
                sent.append(byte ^ (1 << self._random.randrange(8)))
            else:
                sent.append(byte)
        return bytes(sent)

    def _put(self, data: bytes) -> None:
        limit = self.faults.vanishes_after
        with suppress(OSError):
            self.sent += os.write(self._ours, data if limit is None else data[: max(0, limit - self.sent)])
