"""A digital output of a LabJack T4 or T7 as a trigger line."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from closedloop.config.line import LabJackTLine
from closedloop.errors import StimulatorError
from closedloop.stimulators.lines.vendor import vendor_module


class LabJackT:
    """Gives one pulse for each trigger: high, wait and low are one packet, and the device waits.

    The register of the wait, and that it holds the device's packet for so long, are recalled, not tried.

    Parameters
    ----------
    line
        The device, its output and the width.
    """

    width_s = 0.0

    def __init__(self, line: LabJackTLine) -> None:
        self._line = line
        self._names = [line.output, "WAIT_US_BLOCKING", line.output]
        self._values = [1, round(1e6 * line.width_s), 0]
        self._library: Any = None
        self._handle: Any = None

    def __enter__(self) -> Self:
        self._library = vendor_module("labjack.ljm", package="labjack-ljm", extra="labjack")
        try:
            self._handle = self._library.openS(self._line.device, self._line.connection, self._line.identifier)
        except AttributeError:  # how the module says that the library behind it could not be loaded
            raise StimulatorError("LabJack T4 or T7: the vendor's library LJM is not on this system") from None
        self.take_back()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.take_back()
        finally:
            self._library.close(self._handle)

    def fire(self, leaving: AbstractContextManager[None]) -> None:
        """Give the pulse; it returns when the device has said that it did."""
        with leaving:
            self._library.eWriteNames(self._handle, len(self._names), self._names, self._values)

    def take_back(self) -> None:
        """Make the output low."""
        self._library.eWriteName(self._handle, self._line.output, 0)
