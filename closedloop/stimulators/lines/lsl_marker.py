"""A marker of a Lab Streaming Layer outlet as a trigger line."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

import pylsl

from closedloop.config.line import LslMarkerLine
from closedloop.outlet import Outlet


class LslMarker:
    """Sends one marker for each trigger, with the time of sending as its stamp.

    Parameters
    ----------
    line
        Name of the stream, and what is sent.
    """

    width_s = 0.0

    def __init__(self, line: LslMarkerLine) -> None:
        self._line = line
        self._outlet: Outlet | None = None

    def __enter__(self) -> Self:
        name = self._line.stream
        self._outlet = Outlet(pylsl.StreamInfo(name, "Markers", 1, pylsl.IRREGULAR_RATE, "string", name))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._outlet = None

    def fire(self, leaving: AbstractContextManager[None]) -> None:
        """Send the marker."""
        assert self._outlet is not None
        with leaving:
            self._outlet.push_sample([self._line.marker], pylsl.local_clock())

    def take_back(self) -> None:
        """Do nothing: a marker has no end."""
