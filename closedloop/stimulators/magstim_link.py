"""Exchanges with a Magstim over a wire that may lose, turn, split and merge bytes."""

import time
from contextlib import AbstractContextManager
from typing import TypeVar

from closedloop.errors import StimulatorError
from closedloop.stimulators.magstim_frames import Reply, Request, Verdict, find_reply
from closedloop.stimulators.port import Port

T = TypeVar("T")

REPLY_TIMEOUT_S = 0.1
"""For a whole answer: the longest takes 25 ms at 9600 bit/s, a USB adapter holds it for 16 ms more."""
QUIET_S = 0.05
"""After so long nothing that is late comes any more."""
ATTEMPTS = 3
"""So many take 0.45 s at worst: with a status each 0.5 s, an armed device still hears of its host within its 1 s."""
MOST_BYTES = 256
"""More without an answer in them is noise."""


class Link:
    """A device's port, for one exchange after the other.

    Parameters
    ----------
    port
        Open; who opened it closes it.

    Attributes
    ----------
    recovered
        Exchanges that were damaged and came right when they were repeated.
    refused
        Exchanges that came to nothing: refused by the device, or damaged to the last.
    """

    def __init__(self, port: Port) -> None:
        self._port = port
        port.drain(QUIET_S)  # whatever an earlier program left behind is late
        self.recovered = self.refused = 0

    def ask(self, request: Request[T], *, probe: bool = False) -> Reply[T]:
        """Exchange until an answer is whole; for requests only that do no more when they are sent twice.

        A probe is asked to learn whether it is refused: that is not counted.

        Raises
        ------
        StimulatorError
            Where no answer came, or none that is whole.
        """
        heard, refusal = False, None
        for attempt in range(ATTEMPTS):
            self._port.drain()
            self._port.write(request.data)
            reply, data = self._hear(request)
            heard = heard or bool(data)
            if reply is not None and reply.verdict in (Verdict.ACCEPTED, Verdict.CONFLICT):
                self.recovered += attempt > 0
                self.refused += reply.verdict is Verdict.CONFLICT and not probe
                return reply
            # Wrong data and unknown commands are also what a device makes of a request that was damaged on its way.
            refusal = reply or refusal
        self.refused += refusal is None or not probe
        if refusal is not None:
            return refusal
        what = f"sends nothing that is whole in {ATTEMPTS} attempts" if heard else "does not answer"
        raise StimulatorError(f"{self._port.name}: the device at {self._port.path} {what}")

    def ask_once(self, request: Request[T], leaving: AbstractContextManager[None]) -> Reply[T] | None:
        """Send a request that must not be sent twice; return its answer, or None where none came whole.

        Nothing is waited for before it leaves, within the block.

        Raises
        ------
        StimulatorError
            Where it could not be sent.
        """
        self._port.read(0.0)  # what is late, if anything is
        with leaving:
            self._port.write_at_once(request.data)
        try:
            reply, _ = self._hear(request)
        except StimulatorError:  # behind the request; whatever is asked next will say so
            reply = None
        self.refused += reply is None or reply.verdict is not Verdict.ACCEPTED
        return reply

    def _hear(self, request: Request[T]) -> tuple[Reply[T] | None, bytes]:
        """Return the answer, and what came; where that is not whole, wait until nothing late can come any more."""
        buffer = b""
        until_s = time.monotonic() + REPLY_TIMEOUT_S  # the wire's own time, whatever clock a driver has
        while len(buffer) < MOST_BYTES and (left_s := until_s - time.monotonic()) > 0.0:
            data = self._port.read(min(left_s, QUIET_S) if buffer == b"?" else left_s)
            if not data:
                break
            buffer += data
            reply = find_reply(buffer, request)
            if reply is not None:
                return reply, buffer
        if buffer == b"?":  # nothing followed it
            return Reply(Verdict.UNKNOWN), buffer
        self._port.drain(QUIET_S)
        return None, buffer
