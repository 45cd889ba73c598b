"""Exchanges with a MagPro: what is lost or damaged on the wire is asked again, so long as asking twice does no harm."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from closedloop.errors import StimulatorError
from closedloop.stimulators import magpro_frames as frames
from closedloop.stimulators.port import Port

ASK_STATUS = frames.ask_status()
ATTEMPTS = 4
"""How often an exchange that does no harm is tried."""
SILENCE_S = 0.03
"""A frame of 19 bytes takes 5 ms at 38400 bit/s; a converter may hold its parts back for 16 ms more."""
MOST_BYTES = 4096
"""More than this cannot come within one exchange: the line is not a MagPro's, or it is broken."""


class MagProLink:
    """Speaks in frames over an open port.

    Parameters
    ----------
    port
        Open, and this link's alone.
    reply_s
        How long a reply may take, in s.

    Attributes
    ----------
    recovered, refused
        Exchanges that came about only when tried again, and those that never did.
    pulses_told
        How many pulses the device has told of, whoever started them.
    page
        Where the screen was when the device told of it last; None where that is not known.
    """

    def __init__(self, port: Port, *, reply_s: float) -> None:
        self._port, self._reply_s = port, reply_s
        self._reader = frames.FrameReader()
        self.recovered = self.refused = self.pulses_told = 0
        self.page: int | None = None

    @property
    def name(self) -> str:
        """What the device is called."""
        return self._port.name

    def tell(self, frame: bytes) -> None:
        """Send a command and expect nothing."""
        self._port.write(frame)

    def ask(self, frame: bytes, reply: int, what: str) -> bytes:
        """Send a frame that may be sent twice, and return the body of its reply.

        Raises
        ------
        StimulatorError
            Where no reply came to any attempt.
        """
        for attempt in range(ATTEMPTS):
            self.catch_up()
            self._port.write(frame)
            body = self._wait_for(lambda body: body[0] == reply and len(body) >= frames.BODY_LENGTHS[reply])
            if body is not None:
                self.recovered += attempt > 0
                return body
        self.refused += 1
        raise StimulatorError(
            f"{self._port.name}: {what}: no answer at {self._port.path} to {ATTEMPTS} attempts of {self._reply_s:g} s "
            "each; is it on, and the cable in its COM2?"
        )

    def status(self, frame: bytes = ASK_STATUS) -> frames.DeviceStatus:
        """Ask for the status, with what has to be sent before it each time, if anything."""
        return frames.DeviceStatus.parse(self.ask(frame, frames.STATUS, "status"))

    def fire(self, leaving: AbstractContextManager[None]) -> bool:
        """Fire one pulse, once and never again, within the block; return whether the device told of it.

        Raises
        ------
        StimulatorError
            Where the command could not be sent.
        """
        self.catch_up()
        with leaving:
            self._port.write_at_once(frames.fire())
        try:
            return self._wait_for(lambda body: frames.pulse_slope(body) is not None) is not None
        except StimulatorError:  # the pulse may have gone out: it is unknown, and the next exchange tells why
            return False

    def catch_up(self) -> None:
        """Take all that has come, so that nothing old is taken for a reply."""
        taken = 0
        while data := self._port.read(0.0):
            taken = self._bounded(taken + len(data))
            for body in self._reader.take(data):
                self._note(body)

    def _wait_for(self, wanted: Callable[[bytes], bool]) -> bytes | None:
        taken, left_s, found = 0, self._reply_s, None
        while found is None and left_s > 0.0:
            wait_s = min(SILENCE_S, left_s)
            data = self._port.read(wait_s)
            taken = self._bounded(taken + len(data))
            left_s -= 0.0 if data else wait_s
            for body in self._bodies(data):
                self._note(body)
                found = body if found is None and wanted(body) else found
        return found

    def _bodies(self, data: bytes) -> Iterator[bytes]:
        return self._reader.take(data) if data else self._reader.give_up()

    def _note(self, body: bytes) -> None:
        self.pulses_told += frames.pulse_slope(body) is not None
        if (page := frames.page_turned_to(body)) is not None:
            self.page = page

    def _bounded(self, taken: int) -> int:
        if taken > MOST_BYTES:
            self.refused += 1
            raise StimulatorError(
                f"{self._port.name}: {self._port.path} sent {taken} bytes without a pause (at most {MOST_BYTES}): "
                "is it another device, or another line speed?"
            )
        return taken
