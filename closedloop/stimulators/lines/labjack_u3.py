"""A digital output of a LabJack U3 as a trigger line; the vendor's library is the way to the device, and no more."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from closedloop.config.line import LabJackU3Line
from closedloop.errors import StimulatorError
from closedloop.stimulators.lines.u3_packet import check_reply, low, output_number, pulse
from closedloop.stimulators.lines.vendor import vendor_module

_REPLY_BYTES = 10


class LabJackU3:
    """Gives one pulse for each trigger, whose width the device times.

    Parameters
    ----------
    line
        The output and the width.
    """

    width_s = 0.0

    def __init__(self, line: LabJackU3Line) -> None:
        self._line = line
        self._low = low(output_number(line.output))
        self._pulse = pulse(output_number(line.output), line.width_s)
        self._device: Any = None

    def __enter__(self) -> Self:
        u3 = vendor_module("u3", package="LabJackPython", extra="labjack")
        number = self._line.serial_number
        try:
            self._device = u3.U3() if number is None else u3.U3(firstFound=False, serial=number)
        except AttributeError:  # how the module says that the driver behind it could not be loaded
            raise StimulatorError("LabJack U3: the vendor's driver exodriver is not on this system") from None
        self.take_back()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.take_back()
        finally:
            self._device.close()

    def fire(self, leaving: AbstractContextManager[None]) -> None:
        """Give the pulse; it returns when the device has said that it did."""
        with leaving:
            self._write(self._pulse)
        self._hear()

    def take_back(self) -> None:
        """Make the output low."""
        self._write(self._low)
        self._hear()

    def _write(self, packet: bytes) -> None:
        self._device.write(list(packet), modbus=False, checksum=False)

    def _hear(self) -> None:
        check_reply(bytes(self._device.read(_REPLY_BYTES, stream=False, modbus=False)))
