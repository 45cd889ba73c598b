"""A trigger line: what makes a device fire, by the kind of thing that gives the edge."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from closedloop.config.model import Model
from closedloop.config.quantity import NotNegative

Text = Annotated[str, Field(min_length=1)]
Bytes = Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{2}){1,16}$")]
LongBytes = Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{2}){1,64}$")]
Byte = Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{2}$")]
Width = Annotated[float, Field(gt=0.0, le=0.05)]


class Exchange(Model):
    """What a box is told when its port is opened, and what it has to answer."""

    send: LongBytes
    """What is sent, in hexadecimal digits."""
    answer: LongBytes | None = None
    """What has to come back, in hexadecimal digits, whatever surrounds it; null: nothing is waited for."""
    within_s: Annotated[float, Field(gt=0.0, le=10.0)] = 1.0
    """How long the answer is waited for, in s."""


class BytesLine(Model):
    """Bytes that are written to a file: a serial port, or a pipe."""

    kind: Literal["bytes"] = "bytes"
    path: Text
    """The file."""
    on: Bytes = "01"
    """What fires, in hexadecimal digits."""
    off: Bytes | None = "00"
    """What takes the line back, in hexadecimal digits; null: it falls back by itself."""
    off_after_s: Width = 0.005
    """How long after it, in s."""
    baud: Annotated[int, Field(ge=50, le=4_000_000)] | None = None
    """Speed of a serial port, in bit/s; null: as it is set. Pipes and pseudo-terminals have none."""
    settle_s: Annotated[NotNegative, Field(le=10.0)] = 0.0
    """How long a serial port is left alone after it was opened, in s: some boxes start anew then."""
    setup: Annotated[tuple[Exchange, ...], Field(strict=False)] = ()
    """What is said to it once after that, in order; a pipe is told nothing."""


class SerialControlLine(Model):
    """A control line of a serial port.

    The system raises both of them whenever a port is opened, before any program can say otherwise: with ``active:
    high`` that is an edge. What listens has to be disarmed until the line is open.
    """

    kind: Literal["serial_control"]
    path: Text
    """The serial port."""
    line: Literal["rts", "dtr"] = "rts"
    """Which of its lines."""
    active: Literal["high", "low"] = "high"
    """What fires: the line on, or the line off."""
    width_s: Width = 0.005
    """How long it stays so, in s."""
    shared: bool = False
    """Whether the stimulator's driver speaks through the same port, which then belongs to both."""


class ParallelLine(Model):
    """The data pins of a parallel port, 2 to 9, through Linux's ppdev."""

    kind: Literal["parallel"]
    path: Text = "/dev/parport0"
    """The port."""
    on: Byte = "ff"
    """What the pins show to fire, in hexadecimal digits: bit 0 is pin 2."""
    off: Byte = "00"
    """What they show otherwise."""
    width_s: Width = 0.001
    """How long they stay so, in s."""


class ProcessLine(Model):
    """A line that a program of its own drives, since only a library for Python can: the loop writes to it a byte."""


class LslMarkerLine(ProcessLine):
    """A marker of a Lab Streaming Layer outlet."""

    kind: Literal["lsl_marker"]
    stream: Text = "closedloop-triggers"
    """Name of the stream."""
    marker: Text = "trigger"
    """What is sent."""


class LabJackU3Line(ProcessLine):
    """A digital output of a LabJack U3, which times the pulse itself; needs ``closedloop[labjack]``."""

    kind: Literal["labjack_u3"]
    output: Annotated[str, Field(pattern=r"^(FIO[0-7]|EIO[0-7]|CIO[0-3])$")] = "FIO4"
    """The output."""
    width_s: Annotated[float, Field(ge=0.000128, le=0.03264)] = 0.001024
    """How long it is high, in s; the device counts steps of 128 µs, and the nearest number of them is taken."""
    serial_number: Annotated[int, Field(ge=1)] | None = None
    """Of the device; null: the only one that is there."""


class LabJackTLine(ProcessLine):
    """A digital output of a LabJack T4 or T7, which times the pulse itself; needs ``closedloop[labjack]``."""

    kind: Literal["labjack_t"]
    device: Literal["T4", "T7"] = "T7"
    """Which of them."""
    connection: Literal["USB", "ETHERNET", "WIFI"] = "USB"
    """How it is connected."""
    identifier: Text = "ANY"
    """Its serial number, name or address; ANY: the only one that is there."""
    output: Annotated[str, Field(pattern=r"^(FIO[0-7]|EIO[0-7]|CIO[0-3]|MIO[0-2])$")] = "FIO4"
    """The output."""
    width_s: Width = 0.001
    """How long it is high, in s."""


class NiDaqmxLine(ProcessLine):
    """A digital output of a National Instruments device; needs ``closedloop[nidaqmx]``."""

    kind: Literal["ni_daqmx"]
    output: Text = "Dev1/port0/line0"
    """The output, as NI-DAQmx names it."""
    width_s: Width = 0.005
    """How long it is high, in s: the program times it."""


class CommandLine(Model):
    """The stimulator's own command to fire, through the port by which its driver speaks to it.

    It needs no wire, and the pulse comes at no exact time, each pulse of a train included. The safety gate adds the
    spread to every interval that it holds, and allows for it in the phase SD; the phases of a report are those of the
    middle.
    """

    kind: Literal["command"]
    spread_s: Annotated[NotNegative, Field(le=0.1)]
    """From the earliest to the latest pulse after a command, in s, as somebody has measured or stated it; the
    stimulator's ``latency_s`` is the middle."""


class BoxLine(Model):
    """The line of a trigger box, by its profile; any further key takes the place of the same one of the box's line."""

    model_config = ConfigDict(extra="allow")

    kind: Literal["box"] = "box"
    box: Text
    """The box: the name of a profile in devices/, or the path of one."""


def _with_kind(value: Any) -> Any:
    """Say of what kind a line is that does not: bytes, as long as it names no box."""
    if isinstance(value, dict) and "kind" not in value:
        return {"kind": "box" if "box" in value else "bytes", **value}
    return value


_OWN = BytesLine | SerialControlLine | ParallelLine | LslMarkerLine | LabJackU3Line | LabJackTLine | NiDaqmxLine
Line = Annotated[_OWN, Field(discriminator="kind"), BeforeValidator(_with_kind)]
"""A line that can be opened by itself."""
StatedLine = Annotated[_OWN | CommandLine | BoxLine, Field(discriminator="kind"), BeforeValidator(_with_kind)]
"""A line as a stimulator's profile states it."""
