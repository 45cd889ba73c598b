"""What has to be told of a DuoMAG before it can be used."""

from typing import Annotated, Literal

from pydantic import Field

from closedloop.config.quantity import Positive
from closedloop.stimulators.serial_driver import SerialSettings

DelayMs = Annotated[float, Field(ge=0.0, le=1270.0)]


class DuoMagSettings(SerialSettings):
    """A Deymed DuoMAG at its virtual serial port."""

    baud: Annotated[int, Field(ge=300)] = 1_000_000
    """Line speed in bit/s."""
    coils: Annotated[
        tuple[Literal["70BF", "70BF-COOL", "120BFV", "100R", "125R", "50BF", "50BFT"], ...],
        Field(min_length=1, strict=False),
    ] = ("70BF", "70BF-COOL")
    """Coils that may be used."""
    recharge_delay_ms: DelayMs | None = None
    """When it recharges, in ms after a pulse; null: as it is."""
    output_delay_ms: DelayMs | None = None
    """When its trigger output follows a pulse, in ms; null: as it is."""
    reply_s: Annotated[float, Field(gt=0.0, le=2.0)] = 0.5
    """How long the stream may be silent, and a command without effect, in s."""
    status_every_s: Positive = 0.5
    """How often its state should be asked for, in s."""
