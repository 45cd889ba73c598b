"""Limits that a device sets and a pipeline may tighten, never widen."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from closedloop.config.fault import Fault
from closedloop.config.model import Model
from closedloop.config.quantity import NotNegative, Positive

Count = Annotated[int, Field(ge=1)]
Percent = Annotated[float, Field(gt=0.0, le=100.0)]


class RateCap(Model):
    """At most so many pulses within any window of so long."""

    window_s: Annotated[float, Field(gt=0.0, le=86400.0)]
    """Length of the window, in s; a pulse exactly so long before does not count."""
    max_pulses: Annotated[int, Field(ge=1, le=100_000)]
    """Pulses within it."""


RateCaps = Annotated[tuple[RateCap, ...], Field(strict=False)]


class DeviceLimits(Model):
    """What the device may never be asked for; a pipeline may only tighten it."""

    min_interval_s: Positive
    """Shortest time between two pulses, in s."""
    max_pulses_per_session: Count
    """Pulses a session."""
    max_percent_of_maximum: Percent
    """Highest intensity, in percent of the maximum stimulator output."""
    recharge_s: NotNegative = 0.0
    """Time after a pulse for which the stimulator would not fire, in s."""
    max_pulses_per_train: Count | None = None
    """Pulses of a train; null: the table of longest trains alone limits them."""
    min_train_gap_s: NotNegative = 0.0
    """Shortest time from the last pulse before it to a train, in s."""
    max_pulses_per_day: Count | None = None
    """Pulses within 24 h, those of earlier sessions included; null: the pipeline alone limits them."""
    rate_caps: RateCaps = ()
    """Most pulses within windows of time, counted over the pulses that were really sent."""
    max_coil_c: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    """Highest temperature of the coil, in degrees Celsius; null: the device does not tell it."""
    max_status_age_s: Annotated[float, Field(gt=0.0, le=30.0)] = 2.0
    """Nothing is fired where the device has not said for so long how it is, in s."""


class Limits(Model):
    """The session's own limits: they may tighten the device's, never widen them."""

    max_pulses: Count
    """Pulses a session."""
    min_interval_s: Positive | None = None
    """Shortest time between any two pulses, in s; null: the device's."""
    max_lateness_s: Annotated[float, Field(gt=0.0, le=0.01)] = 0.001
    """A trigger later than this is not sent, in s."""
    max_data_age_s: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Without a fresh sample for this long nothing is fired, in s."""
    max_percent_of_maximum: Percent | None = None
    """Highest intensity, in percent of the maximum stimulator output; null: the device's."""
    max_pulses_per_train: Count | None = None
    """Pulses of a train; null: the device's."""
    min_train_gap_s: Positive | None = None
    """Shortest time from the last pulse before it to a train, in s; null: the device's."""
    max_pulses_per_day: Count | None = None
    """Pulses within 24 h, those of earlier sessions included; null: the device's."""
    max_pulses_per_course: Count | None = None
    """Pulses of all of the subject's sessions together; null: no limit of their own."""
    rate_caps: RateCaps = ()
    """Most pulses within windows of time, besides the device's."""
    train_table: Annotated[str, Field(min_length=1)] | None = None
    """The table of longest trains: the name of a file in limits/, or a path; null: train_duration_rossi_2009."""
    envelope: Annotated[str, Field(min_length=1)] | None = None
    """The envelope of a named protocol in place of a table: the name of a file in limits/envelopes/, or a path."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.train_table is not None and self.envelope is not None:
            raise Fault(("envelope",), "takes the place of train_table: give one of the two")
        return self
