"""Kinds of values that several models share."""

from typing import Annotated, Literal

from pydantic import Field

Role = Literal["eeg", "emg", "trigger", "misc"]
Channel = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Delay = Annotated[float, Field(ge=0.0, le=0.08)]
Channels = Annotated[tuple[Channel, ...], Field(min_length=1, strict=False)]
Unit = Literal["uV", "mV", "V", "nV"]
