"""What a DuoMAG's stream is worth: only what is new, and what two frames in a row say alike, is believed."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from closedloop.errors import StimulatorError
from closedloop.stimulators.duomag_frames import DuoState, StreamReader
from closedloop.stimulators.port import Port

ATTEMPTS = 4
"""How often a command that does no harm is sent."""


class DuoMagStream:
    """Sends commands over an open port and sees in the stream what came of them.

    Parameters
    ----------
    port
        Open, and this stream's alone.
    reply_s
        How long the stream may be silent, or a command without effect, in s.

    Attributes
    ----------
    recovered, refused
        Commands that took effect only when sent again, and those that never did.
    """

    def __init__(self, port: Port, *, reply_s: float) -> None:
        self._port, self._reply_s = port, reply_s
        self.recovered = self.refused = 0

    def newest(self) -> DuoState:
        """Return the state that the device tells from now on.

        Raises
        ------
        StimulatorError
            Where no two frames in a row were alike.
        """
        state = self._wait_for(lambda _state: True)
        if state is None:
            self.refused += 1
            raise StimulatorError(
                f"{self._port.name}: {self._port.path} told no state for {self._reply_s:g} s: is the device on, is it "
                "a DuoMAG, and does its stream tell the coil's type?"
            )
        return state

    def command(self, sent: bytes, taken: Callable[[DuoState], bool], what: str) -> None:
        """Send what may be sent twice until the stream shows that it was taken.

        Raises
        ------
        StimulatorError
            Where it never shows.
        """
        for attempt in range(ATTEMPTS):
            self._port.write(sent)
            if self._wait_for(taken) is not None:
                self.recovered += attempt > 0
                return
        self.refused += 1
        raise StimulatorError(
            f"{self._port.name}: {what} does not read back within {ATTEMPTS} attempts of {self._reply_s:g} s each: was "
            "the knob turned, or the cable pulled?"
        )

    def latest(self) -> DuoState | None:
        """Return what the stream has told last, without waiting for more; None where no two frames in a row did."""
        latest = before = None
        for state in StreamReader().take(self._port.read(0.0)):
            latest = state if state is not None and state == before else latest
            before = state
        return latest

    def once(self, sent: bytes, shown: Callable[[DuoState], bool], leaving: AbstractContextManager[None]) -> bool:
        """Send what must not be sent twice, within the block; return whether the stream shows it.

        Raises
        ------
        StimulatorError
            Where it could not be sent.
        """
        with leaving:
            self._port.write_at_once(sent)
        try:
            return self._wait_for(shown) is not None
        except StimulatorError:  # it has gone out: whether it was taken is not known, and the next question tells why
            return False

    def _wait_for(self, wanted: Callable[[DuoState], bool]) -> DuoState | None:
        """Return the first state from now on that is wanted, told by two frames in a row; None after the time-out."""
        before: DuoState | None = None
        for state in self._states():
            if state is not None and state == before and wanted(state):
                return state
            before = state
        return None

    def _states(self) -> Iterator[DuoState | None]:
        self._port.drain()  # what had come before is old
        reader, until_s = StreamReader(), time.monotonic() + self._reply_s
        while (left_s := until_s - time.monotonic()) > 0.0:
            yield from reader.take(self._port.read(left_s))
