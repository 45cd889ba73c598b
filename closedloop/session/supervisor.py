"""The Python side of a live loop: starts it, empties its rings, follows its stream, and ends it.

It never stands in the way of a pulse. A stream that breaks off, or sends nothing for a while, disarms: the
loop itself refuses from the first sample that is too old, and what is needed to go on is said here.
"""

import math
import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import numpy as np
import pylsl

from closedloop.config.source import Lsl
from closedloop.core.atomics import load_acquire, store_release
from closedloop.core.live import (
    FAILED,
    INLET,
    LINE,
    PLACES,
    SIGHT,
    SIGHT_CAPACITY,
    STOP,
    TURNS,
    make_inbox,
    make_shared,
    run_loop,
)
from closedloop.core.records import Command, drain, make_ring
from closedloop.core.replay import Drained, post_command, post_correction, post_device, take_out
from closedloop.core.state import Core, Steps
from closedloop.errors import StreamError
from closedloop.session.realtime import Granted, grant, mask_signals
from closedloop.sources.lsl import Stream, StreamFacts, look_for
from closedloop.stimulators.line import TriggerLine

STALLED_S = 1.0
"""A stream that has sent nothing for so long has stalled, which a human has to look at."""
CORRECTION_EVERY_S = 5.0
HUNG_S = 1.0
"""A loop that has not turned for so long hangs; a turn takes 20 ms at most."""
JOIN_S = 5.0


class LoopError(RuntimeError):
    """The compiled loop failed or hangs: a defect of the program, or of the system under it."""


class Supervisor:
    """Runs the compiled loop in a thread of its own; use it in a ``with`` block.

    Parameters
    ----------
    core, steps
        Freshly designed.
    stream, source
        The open stream, and what the pipeline says of it.
    line
        The open trigger line.
    correction_s
        The clock's first correction, which the core has already.
    lead_s
        From the electrode to the earliest pulse, in s: what sights predict for.
    first_row
        Samples that were recorded before the loop's first.

    Attributes
    ----------
    need
        What somebody has to do to go on, or nothing.
    granted
        What the system gave the loop.
    """

    def __init__(
        self,
        core: Core,
        steps: Steps,
        stream: Stream,
        source: Lsl,
        line: TriggerLine,
        *,
        correction_s: float,
        lead_s: float,
        first_row: int,
    ) -> None:
        self._core, self._steps = core, steps
        self._stream: Stream | None = stream
        self._facts: StreamFacts = stream.facts
        self._source = source
        self._correction_s = correction_s
        self._shared = make_shared()
        self._inbox = make_inbox(stream.facts.scale, lead_s=lead_s)
        self._inbox.rows[0] = first_row
        self._sights = make_ring(SIGHT, SIGHT_CAPACITY)
        self._bytes = [np.frombuffer(text or b"\0", np.uint8).copy() for text in (line.on, line.off)]
        self._line = np.zeros(1, LINE)
        self._line["fd"] = line.fd
        self._line["on"], self._line["n_on"] = self._bytes[0].ctypes.data, len(line.on)
        self._line["off"], self._line["n_off"] = self._bytes[1].ctypes.data, len(line.off)
        self._line["off_after_s"], self._line["off_at_s"] = line.off_after_s, np.inf
        self._thread = threading.Thread(target=self._run, name="closedloop loop", daemon=True)
        self._cleanup = ExitStack()
        self._heard_s = pylsl.local_clock()
        self._fresh_s = self._corrected_s = self._heard_s
        self._max_age_s = float(core.limits["max_data_age_s"][0])
        self._armed_once = False
        self._turns, self._turned_s = 0, self._heard_s
        self._lost_s: float | None = None
        self.need = ""
        self.granted: Granted | None = None

    def __enter__(self) -> Self:
        assert self._stream is not None
        store_release(self._shared, INLET * PLACES, self._stream.handle)
        self._thread.start()
        assert self._thread.native_id is not None
        self.granted = grant(self._thread.native_id, self._stream.threads, cpu=self._source.cpu)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        mask_signals()
        run_loop(self._core, self._steps, self._shared, self._inbox, self._line, self._sights)

    def stop(self) -> None:
        """Disarm and end the loop; what it left in the rings is still there.

        Raises
        ------
        LoopError
            Where it does not end.
        """
        if self._thread.is_alive():
            self.post(Command.DISARM)
            store_release(self._shared, STOP * PLACES, 1)
            self._thread.join(JOIN_S)
            if self._thread.is_alive():
                raise LoopError(f"the loop did not end within {JOIN_S:g} s")
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def post(self, command: Command, value: float = 0.0) -> None:
        """Leave a command for the loop."""
        if command == Command.ARM:
            self.need = ""
            self._armed_once = True
            self._fresh_s = max(self._fresh_s, pylsl.local_clock())  # what was before it is known
        post_command(self._core, command, value)

    def set_device_ready(self, *, ready: bool) -> None:
        """Tell the loop whether the stimulator would fire."""
        post_device(self._core, ready=ready)

    def collect(self) -> "tuple[Drained, np.ndarray[Any, np.dtype[np.void]]]":
        """Empty the rings: what was taken in and decided, and records of type ``SIGHT``."""
        drained = take_out(self._core)
        return drained, drain(self._sights)

    def look_after(self, newest: np.void | None, *, say: Callable[[str], None]) -> None:
        """Follow the loop and its stream; call it a few times a second.

        Parameters
        ----------
        newest
            The newest sight.
        say
            Is told what has happened.

        Raises
        ------
        LoopError
            Where the loop failed or hangs.
        StreamError
            Where a stream that broke off has not come back within ``source.wait_s``, or came back as another.
        """
        now_s = pylsl.local_clock()
        self._check_loop(now_s)
        if newest is not None:
            self._heard_s = max(self._heard_s, float(newest["told_s"]))
            if abs(float(newest["told_s"] - newest["time_s"])) <= self._max_age_s:
                self._fresh_s = max(self._fresh_s, float(newest["told_s"]))
        if self._stream is not None and load_acquire(self._shared, INLET * PLACES) == 0:
            self._lose(now_s, say)
        if self._stream is None:
            self._reconnect(now_s, say)
        elif self._armed_once and now_s - self._fresh_s > STALLED_S:
            self._stall(now_s, newest, say)
        elif now_s - self._corrected_s > CORRECTION_EVERY_S:
            self._corrected_s = now_s
            self._correct()

    def _stall(self, now_s: float, newest: np.void | None, say: Callable[[str], None]) -> None:
        """Disarm because nothing of about now has come for a while, and say what was seen instead."""
        if now_s - self._heard_s > STALLED_S or newest is None:
            seen = f"{self._facts.name} has sent nothing for {STALLED_S:g} s"
        else:
            late_s = float(newest["told_s"] - newest["time_s"])
            seen = (
                f"the samples of {self._facts.name} are {abs(late_s):.3f} s {'old' if late_s > 0.0 else 'ahead'} "
                f"when they come (limits.max_data_age_s = {self._max_age_s:g})"
            )
        if not self.need:
            self.post(Command.DISARM)
            say(f"{seen}: the gate was disarmed")
        self.need = f"{seen}: look at the amplifier and its clock; when all is well again, press a to arm"

    def _check_loop(self, now_s: float) -> None:
        if load_acquire(self._shared, FAILED * PLACES) != 0:
            raise LoopError("the compiled loop failed, and was disarmed")
        turns = load_acquire(self._shared, TURNS * PLACES)
        if turns != self._turns:
            self._turns, self._turned_s = turns, now_s
        elif now_s - self._turned_s > HUNG_S:
            raise LoopError(f"the compiled loop has not turned for {HUNG_S:g} s")

    def _lose(self, now_s: float, say: Callable[[str], None]) -> None:
        assert self._stream is not None
        self._stream.close()
        self._stream = None
        self._lost_s = now_s
        say(f"{self._facts.name} broke off: the gate was disarmed; waiting for it to come back")
        self.need = f"{self._facts.name} broke off: start it again; when it is back, press a to arm"

    def _reconnect(self, now_s: float, say: Callable[[str], None]) -> None:
        """Look once for the stream that broke off, and open it where it is back."""
        assert self._lost_s is not None
        before = (self._facts.name, self._facts.source_id)
        found = [info for info in look_for(self._source.stream) if (info.name(), info.source_id()) == before]
        if not found:
            if now_s - self._lost_s > self._source.wait_s:
                raise StreamError(
                    f"{self._facts.name} broke off and did not come back within {self._source.wait_s:g} s "
                    "(source.wait_s)"
                )
            return
        stream = Stream(found[0], self._source)
        if not stream.facts.equals(self._facts):
            stream.close()
            raise StreamError(
                f"{self._facts.name} broke off and came back with other channels, units or another rate than it was "
                "calibrated with: start a new session"
            )
        self._stream = stream
        self._correct()
        if self.granted is not None and self.granted.receive_scheduler == "fifo":
            assert self._thread.native_id is not None
            self.granted = grant(self._thread.native_id, stream.threads, cpu=self._source.cpu)
        self._heard_s = self._fresh_s = pylsl.local_clock()
        store_release(self._shared, INLET * PLACES, stream.handle)
        say(f"{self._facts.name} is back; the gate stays disarmed until somebody arms it")
        self.need = "the stream is back: press a to arm"

    def _correct(self) -> None:
        assert self._stream is not None
        try:
            correction_s = self._stream.correction_s(0.2)
        except StreamError:
            return  # the newest one holds; where the stream has gone, the loop will say so
        if correction_s != self._correction_s and math.isfinite(correction_s):
            self._correction_s = correction_s
            post_correction(self._core, correction_s)
