"""What has to be told of a MagPro before it can be used."""

from typing import Annotated, Literal

from pydantic import Field

from closedloop.config.quantity import Positive
from closedloop.stimulators.serial_driver import SerialSettings


class MagProSettings(SerialSettings):
    """A MagVenture MagPro at a serial port, which leads to its COM2 by three crossed wires.

    Twin, dual and burst are not offered: one trigger would then give more pulses than the caller counts.
    """

    baud: Annotated[int, Field(ge=300)] = 38400
    """Line speed in bit/s."""
    model: Literal["R30", "X100", "R30+Option", "X100+Option", "R30+Option+Mono", "MST"]
    """Which device has to answer; any other is refused."""
    mode: Literal["standard", "power"] = "standard"
    """Mode."""
    waveform: Literal["monophasic", "biphasic", "half-sine"] = "biphasic"
    """Waveform of a pulse."""
    current_direction: Literal["normal", "reverse"] = "normal"
    """Direction of the current in the coil."""
    coil_types: Annotated[tuple[Annotated[int, Field(ge=1, le=255)], ...], Field(min_length=1, strict=False)] = (60, 72)
    """The device's own numbers of the coils that may be used: 60 is a Cool-B65, 72 a C-B60."""
    max_coil_temperature_c: Positive = 40.0
    """Above it the coil counts as hot, in degrees Celsius (recalled, not read from its source: see the manual)."""
    charge_delay_ms: Annotated[int, Field(ge=0, le=12000)] | None = None
    """When it recharges, in ms after a pulse; the trigger input's own delay is then set to 0 as well. Null: neither is
    read nor set, and the operator sees to a delay of 0. The command is undocumented; others tried it on an X100."""
    trains: bool = False
    """Whether one trigger may start a train. The command is undocumented and was tried by others on an X100; false: it
    is never sent, and one trigger gives one pulse."""
    settle_s: Annotated[float, Field(ge=0.0, le=5.0)] = 0.3
    """How long after a change of settings, which is never acknowledged, it is read back, in s."""
    reply_s: Annotated[float, Field(gt=0.0, le=2.0)] = 0.5
    """How long a reply may take, in s."""
    status_every_s: Positive = 0.5
    """How often its state should be asked for, in s."""
