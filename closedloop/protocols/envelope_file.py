"""The file of an envelope: the fixed limits of one named protocol, where each comes from, and who signed them."""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from closedloop.config.fault import Fault
from closedloop.config.model import Model
from closedloop.config.quantity import Positive
from closedloop.config.threshold import Day
from closedloop.protocols.limit_file import load_limit_file
from closedloop.protocols.publication import Source, Text

Origin = Literal["seen", "recalled", "decided"]


class Quantity(Model):
    """A limit, and where its number comes from."""

    value: Positive
    """The limit."""
    origin: Origin
    """seen: read in a source; recalled: from memory; decided: in no source, set by whoever wrote the file."""


class Amount(Model):
    """A limit that is counted, and where its number comes from."""

    value: Annotated[int, Field(ge=1)]
    """The limit."""
    origin: Origin
    """seen: read in a source; recalled: from memory; decided: in no source, set by whoever wrote the file."""


class Burst(Model):
    """Bursts of pulses, as in theta burst stimulation."""

    pulses: Amount
    """Pulses of a burst: so many, no fewer and no more."""
    max_pulse_frequency_hz: Quantity
    """Of the pulses within a burst, in Hz."""


class TrainsAt(Model):
    """What holds for trains up to one frequency, from the one before it."""

    max_frequency_hz: Quantity
    """Of pulses within a train, in Hz; of bursts, where the protocol has bursts."""
    max_pulses_per_train: Amount
    """Pulses of a train, those of all its bursts together."""
    min_inter_train_interval_s: Quantity | None
    """From the last pulse of a train to the first of the next, in s; null: a session is a single train."""


class Envelope(Model):
    """The fixed limits of one named protocol."""

    name: Text
    """What refusals call it."""
    target: Text
    """Where it is given, and with which coil; the software cannot see it."""
    source: Source
    """What it was taken from."""
    remark: Text | None = None
    """What a reader who signs must know."""
    max_percent_of_motor_threshold: Quantity
    """Intensity, in percent of the resting motor threshold."""
    min_frequency_hz: Quantity
    """A lower frequency is another protocol, in Hz."""
    burst: Burst | None
    """Its bursts; null: single pulses."""
    trains: Annotated[tuple[TrainsAt, ...], Field(min_length=1, strict=False)]
    """By frequency, ascending: one that stands between two entries counts as the higher one."""
    max_pulses_per_session: Amount
    """Pulses of a session."""
    max_pulses_per_24_h: Amount
    """Pulses within any 24 hours."""
    min_inter_session_interval_s: Quantity | None
    """From the last pulse of a session to the first of the next, in s; null: only the pulses of 24 hours count."""
    signed_by: Text | None
    """Who compared every number with its source and answers for it; null: nobody, and nobody is stimulated by it."""
    signed_on: Day | None
    """When; null: never."""

    @property
    def standing(self) -> str:
        """Say who answers for it."""
        return "unsigned" if self.signed_by is None else f"signed by {self.signed_by} on {self.signed_on}"

    @property
    def recalled(self) -> tuple[str, ...]:
        """Name the limits whose numbers are from memory."""
        return tuple(_recalled(self, ""))

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if (self.signed_by is None) != (self.signed_on is None):
            raise Fault(("signed_on",), "give both signed_by and signed_on, or neither")
        if not self.min_frequency_hz.value <= self.trains[0].max_frequency_hz.value:
            raise Fault(("min_frequency_hz", "value"), "is above the lowest max_frequency_hz of trains")
        for number, (slower, faster) in enumerate(pairwise(self.trains), start=1):
            _check_falling(number, slower, faster)
        longest = self.trains[0].max_pulses_per_train.value
        if not longest <= self.max_pulses_per_session.value <= self.max_pulses_per_24_h.value:
            raise Fault(
                ("max_pulses_per_session", "value"), "must lie between a train's pulses and those of any 24 hours"
            )
        return self


def load_envelope(path: Path) -> Envelope:
    """Load the envelope of a named protocol, signed or not.

    Raises
    ------
    ConfigError
        Where it cannot be read or used; one line with place, key, value and limit.
    """
    return load_limit_file(path, Envelope)


def _check_falling(number: int, slower: TrainsAt, faster: TrainsAt) -> None:
    """Refuse rows between which rounding the frequency up would allow more."""
    keys = ("trains", number)
    if not slower.max_frequency_hz.value < faster.max_frequency_hz.value:
        raise Fault((*keys, "max_frequency_hz", "value"), "must be above the row before")
    if not faster.max_pulses_per_train.value <= slower.max_pulses_per_train.value:
        raise Fault((*keys, "max_pulses_per_train", "value"), "must not be above the row before")
    before, after = slower.min_inter_train_interval_s, faster.min_inter_train_interval_s
    if after is not None and (before is None or not after.value >= before.value):
        raise Fault((*keys, "min_inter_train_interval_s"), "must not be below the row before")


def _recalled(part: Model, prefix: str) -> list[str]:
    found = []
    for key, value in part:
        parts = value if isinstance(value, tuple) else (value,)
        for number, inner in enumerate(parts):
            name = f"{prefix}{key}.{number}" if isinstance(value, tuple) else f"{prefix}{key}"
            if isinstance(inner, Quantity | Amount | Source):
                found += [name] if inner.origin == "recalled" else []
            elif isinstance(inner, Model):
                found += _recalled(inner, f"{name}.")
    return found
