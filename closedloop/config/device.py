"""A device: the facts of one amplifier, stimulator or trigger box of a rig, as a YAML file gives them."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, RootModel

from closedloop.config.limits import DeviceLimits
from closedloop.config.line import CommandLine, Line, StatedLine, Text
from closedloop.config.model import Model
from closedloop.config.quantity import Channels, Delay, NotNegative, Positive, Unit
from closedloop.config.source import StreamQuery

SIMULATED = "simulated"
"""The driver of what stimulates nobody."""


class Latency(Model):
    """From a trigger to what it causes."""

    latency_s: Delay | None
    """In s; null: not measured, so that no live session arms a real stimulator."""
    origin: Text
    """How it was measured, when, and by whom; or how to measure it."""

    @property
    def known_s(self) -> float:
        """In s; 0 where it is not measured."""
        return 0.0 if self.latency_s is None else self.latency_s


class Artifact(Model):
    """What a simulated pulse does to the EEG that is played back."""

    saturation_uv: NotNegative
    """Where the amplifier sits while it is saturated, in µV."""
    saturation_s: NotNegative
    """For how long, in s."""
    decay_uv: NotNegative
    """Height of the decay that follows, in µV."""
    decay_s: Positive
    """Its time constant, in s."""
    muscle_uv: NotNegative
    """Height of the muscles' twitch, in µV."""
    muscle_s: Positive
    """Its time constant, in s."""
    recharge_after_s: NotNegative
    """When the stimulator recharges, in s after the pulse."""
    recharge_uv: NotNegative
    """Height of what that leaves, in µV."""
    recharge_s: Positive
    """Its time constant, in s."""


class Stimulator(Model):
    """A stimulator."""

    kind: Literal["stimulator"]
    name: Text
    """What people call it."""
    driver: Text
    """The driver that speaks to it."""
    latency: Latency
    """From trigger to pulse."""
    limits: DeviceLimits
    """Hard limits."""
    line: StatedLine | None = None
    """Its trigger line; null: the simulated driver needs none."""
    settings: dict[str, Any] = Field(default={})
    """What its driver needs to know, such as its serial port."""
    artifact: Artifact | None = None
    """For the simulated driver: what a pulse leaves in the EEG."""
    threshold_percent: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    """For the simulated driver: the motor threshold of the head that is not there, in percent of the maximum."""

    @property
    def is_real(self) -> bool:
        """Whether somebody can be stimulated by it."""
        return self.driver != SIMULATED

    @property
    def spread_s(self) -> float:
        """By how much two pulses may be closer to each other than their triggers, in s."""
        return self.line.spread_s if isinstance(self.line, CommandLine) else 0.0

    def phase_spread(self, hz: float) -> float:
        """Return the SD in rad that the spread of its pulses adds to their phase at a frequency in Hz."""
        # Anywhere within the spread is as likely: nobody has measured more than its ends.
        return 2.0 * math.pi * hz * self.spread_s / math.sqrt(12.0)


class AmplifierDelay(Model):
    """From electrode to time stamp."""

    delay_s: Delay | None
    """In s; null: not measured, so that no live session arms a real stimulator."""
    origin: Text
    """How it was measured, when, and by whom; or how to measure it."""


class AmplifierTrigger(Model):
    """The channel in which an amplifier shows triggers."""

    channel: Text
    """The channel."""
    latency_s: Annotated[float, Field(ge=-0.1, le=0.1)]
    """From writing a trigger to the time stamp that shows it, in s."""
    threshold: float = 0.5
    """A value above it is a trigger, in the channel's own unit."""
    origin: Text
    """How it was measured, when, and by whom."""


class Amplifier(Model):
    """An amplifier."""

    kind: Literal["amplifier"]
    name: Text
    """What people call it."""
    stream: StreamQuery | None = None
    """Its stream, as its program announces it, for pipelines that name none."""
    channels: Channels | None = None
    """Names of the stream's channels in their order, where its program announces none or others; null: as announced."""
    unit: Unit | None = None
    """Unit of EEG and EMG channels where its program does not announce it."""
    delay: AmplifierDelay
    """From electrode to time stamp."""
    trigger: AmplifierTrigger | None = None
    """Where it shows triggers."""
    range_uv: Positive | None = None
    """Largest value that it can give, in µV."""


class BoxLimits(Model):
    """What a trigger box may never be asked for."""

    min_interval_s: Positive
    """Shortest time between two triggers, in s."""


class TriggerBox(Model):
    """What turns the loop's trigger into an electrical edge."""

    kind: Literal["trigger_box"]
    name: Text
    """What people call it."""
    line: Line
    """How it is told to give an edge."""
    latency: Latency
    """From the loop's write to the edge at its output; it adds to the stimulator's own."""
    wiring: Text
    """What is to be connected with what."""
    limits: BoxLimits | None = None
    """Hard limits; null: none are known."""


class Device(RootModel[Annotated[Stimulator | Amplifier | TriggerBox, Field(discriminator="kind")]]):
    """One device of a rig."""
