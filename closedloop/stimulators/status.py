"""What a stimulator says of itself."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """Which device answers.

    Attributes
    ----------
    model
        What it is.
    firmware, serial_number
        As it says them; empty where it does not.
    """

    model: str
    firmware: str = ""
    serial_number: str = ""


@dataclass(frozen=True)
class Status:
    """The state of a stimulator when it was asked.

    Attributes
    ----------
    armed
        Whether it is armed or enabled.
    ready
        Whether it would fire at a trigger now: armed, recharged, and nothing is wrong.
    fault
        What is wrong, in words, such as a coil that is missing or hot; empty where nothing is.
    percent_of_maximum
        The intensity that is set, in percent of the maximum stimulator output; None where it was not told.
    coil_temperature_c
        In degrees Celsius; None where it was not told.
    expiring
        Whether its own timer is about to disarm it: it has to be disarmed and armed again to go on.
    pulses
        How many it has told of since it was opened, whoever started them; None where it tells of none.
    """

    armed: bool
    ready: bool
    fault: str = ""
    percent_of_maximum: float | None = None
    coil_temperature_c: float | None = None
    expiring: bool = False
    pulses: int | None = None
