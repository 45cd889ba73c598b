"""A pipeline: one experiment, as a YAML file describes it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from closedloop.config.estimators import Estimator
from closedloop.config.fault import Fault
from closedloop.config.limits import Limits
from closedloop.config.model import Model
from closedloop.config.quantity import Channel, Channels, NotNegative, Positive, Role
from closedloop.config.source import Playback, Source, Synthetic
from closedloop.config.threshold import MotorThreshold

MAX_SIGNALS = 4
"""What the compiled loop has room for."""


class Conditioning(Model):
    """Causal filters of every channel that a signal reads."""

    high_pass_hz: Positive | None = 0.5
    """Corner of the first-order high-pass, in Hz; null: none."""
    notch_hz: Positive | Annotated[tuple[Positive, ...], Field(strict=False)] | None = 50.0
    """Mains frequencies to take out, in Hz: one, several, or null for none."""

    @property
    def notches_hz(self) -> tuple[float, ...]:
        """All mains frequencies to take out, in Hz."""
        if self.notch_hz is None:
            return ()
        return self.notch_hz if isinstance(self.notch_hz, tuple) else (self.notch_hz,)


class Calibration(Model):
    """The stretch of rest at the beginning from which everything is designed."""

    duration_s: Annotated[float, Field(ge=20.0, le=3600.0)] = 60.0
    """Its length, in s."""
    arm_after_s: Annotated[float, Field(ge=0.0, le=3600.0)] = 0.0
    """No pulse sooner than so long after its end, in s; a live loop also waits until all is designed."""


class Hjorth(Model):
    """A channel minus the mean of its neighbours."""

    type: Literal["hjorth"]
    center: Channel
    """The channel in the middle."""
    neighbours: Channels
    """The channels around it."""


class Average(Model):
    """A channel minus the mean of many."""

    type: Literal["average"]
    channel: Channel
    """The channel."""
    over: Channels | None = None
    """Whose mean is taken away; null: all EEG channels'."""


class Bipolar(Model):
    """The difference of two channels."""

    type: Literal["bipolar"]
    plus: Channel
    """The channel that counts as it is."""
    minus: Channel
    """The channel that is taken away."""


class Single(Model):
    """A channel as it was recorded."""

    type: Literal["single"]
    channel: Channel
    """The channel."""


class Weights(Model):
    """A sum of channels with given weights."""

    type: Literal["weights"]
    weights: Annotated[dict[Channel, float], Field(min_length=1)]
    """Weight by channel."""


Spatial = Annotated[Hjorth | Average | Bipolar | Single | Weights, Field(discriminator="type")]


Band = Annotated[tuple[Positive, Positive], Field(strict=False)]


class NamedSignal(Model):
    """One signal that is computed from the channels."""

    spatial: Spatial
    """How channels are combined."""
    band_hz: Literal["auto"] | Band = "auto"
    """Lower and upper edge in Hz; auto: the peak of rest, 2 Hz to either side."""
    estimator: Estimator | None = None
    """How its phase is predicted; null for a signal that only gates."""


class Condition(Model):
    """One kind of trial."""

    name: Annotated[str, Field(min_length=1)]
    """How it is called in every record."""
    phase_deg: Literal["random"] | Annotated[float, Field(ge=-180.0, lt=360.0)]
    """Wanted phase at the pulse: 0 peak, 90 falling edge, 180 trough, 270 or -90 rising edge; or random."""
    marker: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Code for the record."""


class Order(Model):
    """The order of conditions, and the seed of everything that is random."""

    shuffle: Literal["balanced", "random", "none"] = "balanced"
    """balanced: in blocks that hold each condition once; random: each drawn anew; none: in turn."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Of conditions, catch trials, random targets and jitter."""


class Target(Model):
    """When to fire."""

    signal: str
    """The signal whose phase decides."""
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1, strict=False)]
    """Kinds of trials."""
    order: Order = Order()
    """Their order."""
    withhold: Annotated[float, Field(ge=0.0, le=0.5)] = 0.1
    """Share of trials that pass every gate and are not fired, so that the real phase can be known."""
    plan_ahead_s: Annotated[float, Field(gt=0.0, le=0.05)] = 0.02
    """How far beyond the earliest possible pulse a crossing is planned for, in s."""
    commit_horizon_s: Literal["auto"] | Annotated[float, Field(gt=0.0, le=0.05)] = "auto"
    """A plan whose trigger is nearer than this to its sample's stamp no longer moves, in s; auto: two samples."""


class WantedRate(Model):
    """Only the best chances, so many of them."""

    per_minute: Positive
    """Trials a minute."""
    mode: Literal["fixed", "running"] = "fixed"
    """fixed: the limit is set on rest and stays; running: it follows the rate that it gives."""


class Quiet(Model):
    """A signal that must be quiet, such as the EMG of a hand."""

    signal: str
    """The signal."""
    peak_to_peak_uv: Positive
    """Above this within the quality window no pulse is fired, in µV."""


class Gates(Model):
    """What must hold for a chance to be used."""

    rhythm_snr_db: Literal["auto"] | Annotated[float, Field(ge=0.0, le=60.0)] = "auto"
    """Lowest sliding SNR in dB; auto: what noise with the recording's background hardly ever reaches."""
    max_phase_sd_deg: Annotated[float, Field(gt=0.0, le=90.0)] = 45.0
    """Highest SD of the predicted phase, in degrees: as far as the rhythm's true phase can be from it."""
    wanted_rate: WantedRate | None = None
    """Only the best chances, so many a minute; null: all."""
    artifact_uv: Annotated[float, Field(gt=0.0, le=2000.0)] = 150.0
    """Highest peak-to-peak value of any EEG channel within the quality window, in µV."""
    flat_uv: Positive = 0.1
    """A channel that moves less than this within the quality window is flat, in µV."""
    range_uv: Positive | None = None
    """A raw value beyond this means that the amplifier is saturated, in µV; null: no limit."""
    quality_window_s: Annotated[float, Field(ge=0.1, le=5.0)] = 0.5
    """How much of the past is looked at for artifacts and flat channels, in s."""
    hold_after_pulse_s: Annotated[float, Field(ge=0.0, le=60.0)] = 1.0
    """For how long after a pulse the EEG is not used, in s."""
    quiet: Annotated[tuple[Quiet, ...], Field(strict=False)] = ()
    """Signals that must be quiet."""


class SinglePulse(Model):
    """One pulse a trial."""

    type: Literal["single_pulse"]
    pulses: Annotated[int, Field(ge=1)]
    """Pulses to fire; withheld trials come on top."""
    min_interval_s: Positive
    """Shortest time between trials, in s."""
    jitter_s: NotNegative = 0.0
    """Up to this is added to it at random, in s."""


class Train(Model):
    """A train of pulses a trial, its first on phase."""

    type: Literal["train"]
    trains: Annotated[int, Field(ge=1)]
    """Trains to fire; withheld trials come on top."""
    pulses_per_train: Annotated[int, Field(ge=2)]
    """Pulses of each train."""
    frequency_hz: Literal["individual"] | Positive
    """Of the pulses within a train, in Hz; individual: the peak of rest."""
    min_interval_s: Positive
    """Shortest time from a train's last pulse to the next train, in s."""
    jitter_s: NotNegative = 0.0
    """Up to this is added to it at random, in s."""


Protocol = Annotated[SinglePulse | Train, Field(discriminator="type")]


class Intensity(Model):
    """How strong a pulse is: exactly one of the two."""

    percent_of_motor_threshold: Positive | None = None
    """In percent of the resting motor threshold."""
    percent_of_maximum: Positive | None = None
    """In percent of the maximum stimulator output."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.percent_of_motor_threshold is None) == (self.percent_of_maximum is None):
            raise Fault((), "give one of percent_of_motor_threshold and percent_of_maximum")
        return self


class Stimulation(Model):
    """What fires."""

    device: Annotated[str, Field(min_length=1)]
    """The name of a file in devices/, or a path."""
    intensity: Intensity
    """How strong."""
    motor_threshold: MotorThreshold | None = None
    """The subject's resting motor threshold; null: not measured, so that only the simulated stimulator can be used."""


class Pipeline(Model):
    """One experiment."""

    name: Annotated[str, Field(min_length=1)]
    """What people call it."""
    channels: dict[Channel, Role] = Field(default={})
    """Roles of channels whose recording does not say them, or says them wrongly."""
    source: Source
    """Where EEG comes from."""
    conditioning: Conditioning = Conditioning()
    """Causal filters."""
    calibration: Calibration = Calibration()
    """The rest at the beginning."""
    signals: Annotated[dict[str, NamedSignal], Field(min_length=1, max_length=MAX_SIGNALS)]
    """Named signals."""
    target: Target
    """When to fire."""
    gates: Gates = Gates()
    """What must hold for it."""
    protocol: Protocol
    """How often."""
    stimulator: Stimulation
    """With what."""
    limits: Limits
    """And never more than this."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for check in (_check_source, _check_signals, _check_target, _check_protocol):
            check(self)
        return self


def _check_source(pipeline: Pipeline) -> None:
    source = pipeline.source
    if (
        isinstance(source, Playback)
        and source.start_s is not None
        and source.stop_s is not None
        and not source.start_s < source.stop_s
    ):
        raise Fault(("source", "stop_s"), f"must be above start_s = {source.start_s:g}")
    if isinstance(source, Synthetic):
        _check_once(("source", "channels"), source.channels)


def _check_signals(pipeline: Pipeline) -> None:
    for name, signal in pipeline.signals.items():
        place = ("signals", name, "spatial")
        match signal.spatial:
            case Hjorth(center=center, neighbours=neighbours):
                _check_once((*place, "neighbours"), neighbours)
                if center in neighbours:
                    raise Fault((*place, "neighbours"), f"the center {center} is not its own neighbour")
            case Average(over=over) if over is not None:
                _check_once((*place, "over"), over)
            case Bipolar(plus=plus, minus=minus) if plus == minus:
                raise Fault((*place, "minus"), "must be another channel than plus")
            case _:
                pass
        if signal.band_hz == "auto":
            continue
        low, high = signal.band_hz
        if not low < high:
            raise Fault(("signals", name, "band_hz"), "the lower edge must lie below the upper one")
        for notch_hz in pipeline.conditioning.notches_hz:
            if low <= notch_hz <= high:
                raise Fault(
                    ("conditioning", "notch_hz"), f"must lie outside the band of {name} ({low:g} to {high:g} Hz)"
                )


def _check_target(pipeline: Pipeline) -> None:
    target = pipeline.target
    known = ", ".join(pipeline.signals)
    if target.signal not in pipeline.signals:
        raise Fault(("target", "signal"), f"there is no such signal (known: {known})")
    if pipeline.signals[target.signal].estimator is None:
        raise Fault(("target", "signal"), "this signal has no estimator: give it one under signals")
    _check_once(("target", "conditions"), [condition.name for condition in target.conditions])
    for place, quiet in enumerate(pipeline.gates.quiet):
        if quiet.signal not in pipeline.signals:
            raise Fault(("gates", "quiet", place, "signal"), f"there is no such signal (known: {known})")


def _check_protocol(pipeline: Pipeline) -> None:
    protocol, limits = pipeline.protocol, pipeline.limits
    rate = pipeline.gates.wanted_rate
    if isinstance(protocol, SinglePulse):
        amount, pulses = "pulses", protocol.pulses
    else:
        amount, pulses = "trains", protocol.trains * protocol.pulses_per_train
        if protocol.frequency_hz != "individual" and limits.min_interval_s is not None:
            check_train_interval(protocol.frequency_hz, limits.min_interval_s, "limits.min_interval_s")
    if pulses > limits.max_pulses:
        raise Fault(("protocol", amount), f"{pulses} pulses in all are above limits.max_pulses = {limits.max_pulses}")
    if limits.min_interval_s is not None and protocol.min_interval_s < limits.min_interval_s:
        raise Fault(("protocol", "min_interval_s"), f"is below limits.min_interval_s = {limits.min_interval_s:g}")
    most = 60.0 / protocol.min_interval_s
    if rate is not None and rate.per_minute > most:
        raise Fault(
            ("gates", "wanted_rate", "per_minute"),
            f"must be at most {most:g}: protocol.min_interval_s = {protocol.min_interval_s:g} leaves no more",
        )


def check_train_interval(frequency_hz: float, min_interval_s: float, whose: str) -> None:
    """Raise a fault where a train's pulses follow each other more closely than a limit allows."""
    if 1.0 / frequency_hz < min_interval_s:
        raise Fault(
            ("protocol", "frequency_hz"),
            f"pulses {1.0 / frequency_hz:g} s apart are closer than {whose} = {min_interval_s:g} "
            f"(at most {1.0 / min_interval_s:g} Hz)",
        )


def _check_once(place: tuple[str | int, ...], names: "tuple[str, ...] | list[str]") -> None:
    for name in names:
        if list(names).count(name) > 1:
            raise Fault(place, f"{name} is named twice")
