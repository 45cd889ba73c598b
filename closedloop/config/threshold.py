"""A person's resting motor threshold, and days."""

import datetime
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from closedloop.config.fault import Fault
from closedloop.config.model import Model


def _day(value: Any) -> Any:
    """Read a day that was written as text, as in a file whose defaults were written out."""
    if isinstance(value, str) and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            raise Fault((), "there is no such day") from None
    return value


Day = Annotated[datetime.date, BeforeValidator(_day)]
"""A day, as YYYY-MM-DD."""


class MotorThreshold(Model):
    """A person's resting motor threshold."""

    percent_of_maximum: Annotated[float, Field(gt=0.0, le=100.0)]
    """In percent of the maximum stimulator output."""
    method: Literal["emg", "visual"]
    """emg: by motor evoked potentials; visual: by watching for a twitch, on average 11.3 % above that."""
    measured_on: Day
    """When."""
