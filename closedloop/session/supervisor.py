"""The Python side of a live loop: starts it, empties its rings, follows its stream, and ends it.

It never stands in the way of a pulse. A stream that breaks off, or sends nothing for a while, disarms: the
loop itself refuses from the first sample that is too old, and what is needed to go on is said here.
"""

import math
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
import pylsl
from numpy.typing import NDArray

from closedloop.config.source import Lsl
from closedloop.core.atomics import load_acquire, store_release
from closedloop.core.live import (
    FAILED,
    INLET,
    PLACES,
    SIGHT,
    SIGHT_CAPACITY,
    STOP,
    TURNS,
    WATCHED,
    make_inbox,
    make_shared,
    run_loop,
)
from closedloop.core.reasons import EXPLANATIONS, Reason
from closedloop.core.records import Command, drain, make_ring
from closedloop.core.replay import Drained, post_command, post_correction, post_device, post_stream, take_out
from closedloop.core.state import Core, Steps
from closedloop.core.wire import LINE
from closedloop.errors import LoopError, StreamError
from closedloop.session.realtime import Granted, check_granted, give_back, grant, mask_signals
from closedloop.sources.lsl import Stream, StreamFacts, look_for
from closedloop.stimulators.line import TriggerLine

STALLED_S = 1.0
"""A stream that has sent nothing for so long has stalled, which a human has to look at."""
CORRECTION_EVERY_S = 5.0
HUNG_S = 1.0
"""A loop that has not turned for so long hangs; a turn takes 20 ms at most."""
JOIN_S = 5.0
OBEYED_S = 0.1
"""After so long a command has been obeyed, and what was sent before is no longer seen."""
HUNG_STATUS = 70


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
    first_row
        Samples that were recorded before the loop's first.
    shared
        The integers that the loop shares; None: those of `make_shared`.

    Attributes
    ----------
    need
        What somebody has to do to go on, or nothing.
    granted
        What the system gave the loop.
    broke
        Whether the stream has broken off: from then on only a human arms.
    disarmed_s
        When the gate was disarmed last because of the stream, in s; -inf where it never was.
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
        first_row: int,
        shared: NDArray[np.int64] | None = None,
    ) -> None:
        self._core, self._steps = core, steps
        self._stream: Stream | None = stream
        self._facts: StreamFacts = stream.facts
        self._source = source
        self._correction_s = correction_s
        self._shared = make_shared() if shared is None else shared
        self._inbox = make_inbox(stream.facts.scale)
        self._inbox.rows[0] = first_row
        self._sights = make_ring(SIGHT, SIGHT_CAPACITY)
        for array in (core.values, core.inputs.records, core.events.records, self._sights.records):
            array.view(np.uint8).fill(0)  # every page is there before the loop needs it
        self._bytes = [np.frombuffer(text or b"\0", np.uint8).copy() for text in (line.on, line.off)]
        self._line = np.zeros(1, LINE)
        self._line["fd"] = line.fd
        self._line["on"], self._line["n_on"] = self._bytes[0].ctypes.data, len(line.on)
        self._line["off"], self._line["n_off"] = self._bytes[1].ctypes.data, len(line.off)
        self._line["on_request"], self._line["off_request"] = line.on_request, line.off_request
        self._line["off_after_s"], self._line["off_at_s"] = line.off_after_s, np.inf
        self._thread = threading.Thread(target=self._run, name="closedloop loop", daemon=True)
        self._heard_s = pylsl.local_clock()
        self._fresh_s = self._corrected_s = self._heard_s
        self._max_age_s = float(core.limits["max_data_age_s"][0])
        self._armed_once = False
        self._asked_s = self.disarmed_s = -np.inf
        self.broke = False
        self._turns, self._turned_s = 0, self._heard_s
        self._collected = 0
        self._lost_s: float | None = None
        self.need = ""
        self.granted: Granted | None = None

    def __enter__(self) -> Self:
        assert self._stream is not None
        store_release(self._shared, INLET * PLACES, self._stream.handle)
        self._thread.start()
        assert self._thread.native_id is not None
        try:
            self.granted = grant(self._thread.native_id, self._stream.threads, cpu=self._source.cpu)
        except BaseException:
            self.stop()
            raise
        self._heard_s = self._fresh_s = pylsl.local_clock()  # nobody has listened until here
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        mask_signals()
        run_loop(self._core, self._steps, self._shared, self._inbox, self._line, self._sights)

    def has_disarmed_since(self, newest: np.void | None) -> bool:
        """Return whether the gate was disarmed after the newest sight, which therefore does not show it."""
        return self._stream is None or (newest is not None and float(newest["told_s"]) <= self.disarmed_s)

    def halt(self) -> None:
        """Let the loop disarm and end at once, without waiting for it; also a signal's handler may call it."""
        store_release(self._shared, STOP * PLACES, 1)

    def stop(self) -> None:
        """Disarm and end the loop; what it left in the rings is still there.

        A loop that does not end could still write to a line, and pull from a stream, that are about to be closed:
        then the process ends on the spot, and with it the loop.
        """
        self.halt()
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            os.write(2, f"error: the loop did not end within {JOIN_S:g} s; the program was ended\n".encode())
            os._exit(HUNG_STATUS)
        give_back()
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    @property
    def hindrance(self) -> str:
        """Why the gate cannot be armed now, or nothing."""
        if self._stream is None:
            return f"{self._facts.name} has not come back yet"
        if pylsl.local_clock() - self._fresh_s > STALLED_S:
            return f"{self._facts.name} has sent nothing of about now for {STALLED_S:g} s"
        return ""

    def arm(self, from_s: float, *, say: Callable[[str], None]) -> bool:
        """Arm the gate for pulses that are due from a time on, in s; return whether that could be."""
        if self.hindrance:
            return False
        self.need = ""
        self._asked_s = pylsl.local_clock()
        self._armed_once = True
        self._fresh_s = max(self._fresh_s, pylsl.local_clock())  # what was before it is known
        self.post(Command.ARM, from_s)
        wait_s = from_s - pylsl.local_clock()
        say("armed" if wait_s <= 0.0 else f"armed, for pulses in {wait_s:.1f} s and later")
        return True

    def post(self, command: Command, value: float = 0.0) -> None:
        """Leave a command for the loop."""
        post_command(self._core, command, value)

    def set_device(self, *, ready: bool, coil_c: float, asked_s: float) -> None:
        """Tell the loop what the stimulator said: whether it would fire, its coil's temperature, and when, in s."""
        post_device(self._core, ready=ready, coil_c=coil_c, asked_s=asked_s)

    def collect(self) -> "tuple[Drained, np.ndarray[Any, np.dtype[np.void]]]":
        """Empty the rings: what was taken in and decided, and records of type ``SIGHT``."""
        self._collected += 1
        store_release(self._shared, WATCHED * PLACES, self._collected)
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
        elif self._armed_once and newest is not None:
            self._explain(newest, say)
        if self._stream is not None and now_s - self._corrected_s > CORRECTION_EVERY_S:
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
        if not self.need or (newest is not None and newest["armed"] == 1 and newest["told_s"] > self.disarmed_s):
            self.post(Command.DISARM)
        self.disarmed_s = now_s
        if not self.need:
            say(f"{seen}: the gate was disarmed")
        self.need = f"{seen}: look at the amplifier and its clock; when all is well again, press a to arm"

    def _explain(self, newest: np.void, say: Callable[[str], None]) -> None:
        """Say what disarmed the gate unasked, once, and what is needed to go on."""
        reason = Reason(int(newest["disarmed_by"]))
        if float(newest["told_s"]) <= self._asked_s + OBEYED_S:
            return  # from before the loop has armed
        if newest["armed"] == 1 or self.need or reason in {Reason.NONE, Reason.STREAM_BROKEN}:
            return
        say(f"disarmed: {EXPLANATIONS[reason]}")
        self.need = f"{EXPLANATIONS[reason]}: find out why; when all is well again, press a to arm"

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
        self._lost_s = self.disarmed_s = now_s
        self.broke = True
        say(f"{self._facts.name} broke off: the gate was disarmed; waiting for it to come back")
        self.need = f"{self._facts.name} broke off: start it again; when it is back, press a to arm"

    def _reconnect(self, now_s: float, say: Callable[[str], None]) -> None:
        """Look once for the stream that broke off, and open it where it is back."""
        assert self._lost_s is not None
        stream = self._found_again(say)
        if stream is None:
            if now_s - self._lost_s > self._source.wait_s:
                raise StreamError(
                    f"{self._facts.name} broke off and did not come back within {self._source.wait_s:g} s "
                    "(source.wait_s)"
                )
            return
        self._stream = stream
        assert self._thread.native_id is not None
        self.granted = grant(self._thread.native_id, stream.threads, cpu=self._source.cpu)
        say(self.granted.line())
        check_granted(self.granted, self._source)
        self._heard_s = self._fresh_s = pylsl.local_clock()
        post_stream(self._core, 0)  # before its first sample: there is a stream again, and nothing is armed
        store_release(self._shared, INLET * PLACES, stream.handle)
        say(f"{self._facts.name} is back; the gate stays disarmed until somebody arms it")
        self.need = "the stream is back: press a to arm"

    def _found_again(self, say: Callable[[str], None]) -> Stream | None:
        """Return the stream that broke off, open and with its clock known, or None where it is not back yet."""
        before = (self._facts.name, self._facts.source_id)
        found = [info for info in look_for(self._source.stream) if (info.name(), info.source_id()) == before]
        if len(found) > 1:
            say(f"{len(found)} streams are called {self._facts.name} with one source id (limit: 1): end all but one")
        if len(found) != 1:
            return None
        try:
            stream = Stream(found[0], self._source)
        except StreamError as error:
            say(str(error))
            return None
        if not stream.facts.equals(self._facts):
            stream.close()
            raise StreamError(
                f"{self._facts.name} broke off and came back with other channels, units or another rate than it was "
                "calibrated with: start a new session"
            )
        try:
            self._take_correction(stream.correction_s())
        except StreamError as error:
            stream.close()
            say(str(error))
            return None
        return stream

    def _correct(self) -> None:
        assert self._stream is not None
        try:
            correction_s = self._stream.correction_s(0.2)
        except StreamError:
            return  # the newest one holds; where the stream has gone, the loop will say so
        self._take_correction(correction_s)

    def _take_correction(self, correction_s: float) -> None:
        if correction_s != self._correction_s and math.isfinite(correction_s):
            self._correction_s = correction_s
            post_correction(self._core, correction_s)
