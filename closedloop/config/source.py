"""Where a pipeline's EEG comes from: a recording, a simulation, or a live stream."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from closedloop.config.fault import Fault
from closedloop.config.model import Model
from closedloop.config.quantity import Channel, Channels, Delay, NotNegative, Positive, Unit


class Playback(Model):
    """A recording is played back."""

    type: Literal["playback"]
    recording: Annotated[str, Field(min_length=1)]
    """A file that MNE or pyxdf reads, or a name of `closedloop recordings list`."""
    start_s: NotNegative | None = None
    """Where to begin, in s from the recording's first sample; null: there."""
    stop_s: Positive | None = None
    """Where to end, in s from the recording's first sample; null: at its end."""
    delay_s: Delay = 0.01
    """Electrode to time stamp, in s."""
    artifacts: bool = False
    """Whether the simulated stimulator's pulses show in what is played after them."""


class Gap(Model):
    """Samples that never come."""

    start_s: NotNegative
    """From the first sample, in s."""
    duration_s: Positive
    """Length, in s."""


class Synthetic(Model):
    """EEG is simulated; its true phase is known."""

    type: Literal["synthetic"]
    duration_s: Positive = 180.0
    """Length, in s."""
    sfreq: Annotated[float, Field(ge=100.0, le=5000.0)] = 500.0
    """Sampling rate, in Hz."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Of all that is random."""
    channels: Channels = ("Fp1", "F7", "F3", "Fz", "C3", "O1")
    """Names of the channels; F3 and O1 carry the rhythm in full."""
    alpha_hz: Annotated[float, Field(ge=5.0, le=20.0)] = 10.0
    """Centre of the rhythm, in Hz."""
    alpha_bandwidth_hz: Positive = 1.0
    """Width of the rhythm's spectrum, in Hz."""
    alpha_uv: NotNegative = 10.0
    """Root mean square of the rhythm, in µV."""
    alpha_drift_hz: NotNegative = 0.2
    """SD of the slow drift of its centre, in Hz."""
    alpha_waxing: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    """How deep its amplitude waxes and wanes: 0 not at all, 1 down to nothing."""
    background_uv: NotNegative = 10.0
    """Root mean square of the background from 1 to 45 Hz, in µV."""
    background_exponent: Annotated[float, Field(ge=0.0, le=3.0)] = 1.0
    """The background's power falls with frequency to this power."""
    blinks_per_min: NotNegative = 0.0
    """Blinks a minute, at the front of the head."""
    mains_hz: Positive = 50.0
    """Frequency of the mains, in Hz."""
    mains_uv: NotNegative = 0.0
    """Amplitude of the mains, in µV."""
    offset_mv: NotNegative = 0.0
    """Electrode offsets of up to this, of either sign, in mV."""
    drift_uv_per_s: float = 0.0
    """Drift of every electrode, in µV/s."""
    gaps: Annotated[tuple[Gap, ...], Field(strict=False)] = ()
    """Where samples are missing."""
    delay_s: Delay = 0.01
    """Electrode to time stamp, in s."""
    artifacts: bool = False
    """Whether the simulated stimulator's pulses show in what is played after them."""


class StreamQuery(Model):
    """Which stream of the network is meant; what is given must all hold."""

    name: Annotated[str, Field(min_length=1)] | None = None
    """Its name."""
    type: Annotated[str, Field(min_length=1)] | None = None
    """Its type, such as EEG."""
    source_id: Annotated[str, Field(min_length=1)] | None = None
    """The identifier of its device."""
    predicate: Annotated[str, Field(min_length=1)] | None = None
    """An XPath 1.0 predicate over its description, such as starts-with(name,'actiCHamp')."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if all(value is None for value in (self.name, self.type, self.source_id, self.predicate)):
            raise Fault((), "give at least one of name, type, source_id and predicate")
        return self


class TriggerChannel(Model):
    """A channel of the stream that shows each trigger, as an amplifier's trigger input does."""

    name: Channel
    """The channel."""
    latency_s: Annotated[float, Field(ge=-0.1, le=0.1)]
    """From writing a trigger to the time stamp that shows it, in s, as `closedloop latency` measures it."""
    threshold: float = 0.5
    """A value above it is a trigger, in the channel's own unit."""


class Lsl(Model):
    """EEG arrives live, over the Lab Streaming Layer."""

    type: Literal["lsl"]
    stream: StreamQuery = StreamQuery(type="EEG")
    """Which stream; where it is not given, that of the device, or the one whose type is EEG."""
    device: Annotated[str, Field(min_length=1)] | None = None
    """The amplifier: the name of a file in devices/, or a path; its delay is taken, and its stream, channels, unit and
    trigger channel where they are not given here. null: delay_s is."""
    channels: Channels | None = None
    """Names of the stream's channels in their order, where it announces none, or others; null: as announced."""
    delay_s: Delay = 0.01
    """Electrode to time stamp, in s."""
    unit: Unit | None = None
    """Unit of EEG and EMG channels where the stream does not say it; null: the stream must."""
    trigger_channel: TriggerChannel | None = None
    """Where triggers are seen; each is compared to latency_s, and one that drifts or is not seen disarms."""
    wait_s: Annotated[float, Field(gt=0.0, le=86400.0)] = 60.0
    """For how long a stream that is not there yet, or has broken off, is waited for, in s."""
    realtime: Literal["required", "preferred"] = "preferred"
    """Whether real-time scheduling must be permitted for anything to be armed; preferred: what is not is said."""
    cpu: Annotated[int, Field(ge=0, le=1023)] | None = None
    """The core that the loop is bound to; null: an isolated one if there is any, else none."""

    @property
    def artifacts(self) -> bool:
        """Whether simulated pulses show in what is played: they come with the stream or not at all."""
        return False


Source = Annotated[Playback | Synthetic | Lsl, Field(discriminator="type")]
