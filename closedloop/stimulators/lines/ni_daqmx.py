"""A digital output of a National Instruments device as a trigger line, through NI-DAQmx."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from closedloop.config.line import NiDaqmxLine
from closedloop.stimulators.lines.vendor import vendor_module


class NiDaqmx:
    """Makes an output high for each trigger, and low after a time that this program keeps.

    Parameters
    ----------
    line
        The output and the width.
    """

    def __init__(self, line: NiDaqmxLine) -> None:
        self._line = line
        self.width_s = line.width_s
        self._task: Any = None

    def __enter__(self) -> Self:
        library = vendor_module("nidaqmx", package="nidaqmx", extra="nidaqmx")
        self._task = library.Task()
        try:
            self._task.do_channels.add_do_chan(self._line.output)
            self._task.start()  # once: to start it with each write would take longer than the write
            self.take_back()
        except BaseException:
            self._task.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.take_back()
        finally:
            self._task.close()

    def fire(self, leaving: AbstractContextManager[None]) -> None:
        """Make the output high."""
        with leaving:
            self._task.write(True)

    def take_back(self) -> None:
        """Make the output low."""
        self._task.write(False)
