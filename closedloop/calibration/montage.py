"""From names to places: which channels of a recording the pipeline's signals read, and how."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closedloop.config.estimators import Wiener
from closedloop.config.pipeline import Average, Bipolar, Hjorth, NamedSignal, Pipeline, Single
from closedloop.config.source import Lsl
from closedloop.errors import ConfigError
from closedloop.signal import spatial
from closedloop.sources.recording import Recording


@dataclass(frozen=True)
class Montage:
    """The channels that a pipeline's signals read, and the weight of each in each signal.

    Attributes
    ----------
    names, roles
        Of the channels that are read, in the recording's order.
    places
        Array of shape (n_used,): where they stand in the recording.
    weights
        Array of shape (n_signals, n_used), rows in the pipeline's order.
    helpers
        For each signal the channels, as places among the names, that help to predict it.
    trigger
        Where the channel that shows the triggers stands in the recording, or -1.
    """

    names: tuple[str, ...]
    roles: tuple[str, ...]
    places: NDArray[np.int64]
    weights: NDArray[np.float64]
    helpers: tuple[tuple[int, ...], ...]
    trigger: int = -1

    def inputs(self, signal: int) -> NDArray[np.float64]:
        """Return weights of shape (n_inputs, n_used): the signal itself, then the channels that help."""
        return np.concatenate([self.weights[signal][None], np.eye(len(self.names))[list(self.helpers[signal])]])


def find_montage(pipeline: Pipeline, recording: Recording) -> Montage:
    """Find the channels of a pipeline's signals in a recording.

    Raises
    ------
    ConfigError
        Where a signal or a role names a channel that the recording lacks.
    """
    for name in pipeline.channels:
        _require("channels", [name], recording)
    roles = {**dict(zip(recording.names, recording.roles, strict=True)), **pipeline.channels}
    filters, helpers = [], []
    for name, signal in pipeline.signals.items():
        eeg = [channel for channel in recording.names if roles[channel] == "eeg"]
        if isinstance(signal.spatial, Average) and signal.spatial.over is None and not eeg:
            raise ConfigError(
                f"signals.{name}.spatial: {recording.name} has no EEG channel to average (at least 1), but "
                f"{', '.join(f'{channel} ({roles[channel]})' for channel in recording.names)}; name it under channels"
            )
        weights = _filter(signal, eeg)
        _require(f"signals.{name}.spatial", list(weights), recording)
        filters.append(weights)
        helpers.append(_helpers(signal, weights, eeg))
        _require(f"signals.{name}.estimator.helpers", helpers[-1], recording)
    read = [channel for channel in recording.names if any(channel in named for named in (*filters, *helpers))]
    return Montage(
        names=tuple(read),
        roles=tuple(roles[channel] for channel in read),
        places=np.array([recording.names.index(channel) for channel in read], np.int64),
        weights=np.array([spatial.weight_row(weights, read) for weights in filters]),
        helpers=tuple(tuple(read.index(channel) for channel in named) for named in helpers),
        trigger=_trigger(pipeline, recording),
    )


def _trigger(pipeline: Pipeline, recording: Recording) -> int:
    source = pipeline.source
    if not isinstance(source, Lsl) or source.trigger_channel is None:
        return -1
    _require("source.trigger_channel", [source.trigger_channel.name], recording)
    return recording.names.index(source.trigger_channel.name)


def _helpers(signal: NamedSignal, weights: spatial.Weights, eeg: Sequence[str]) -> list[str]:
    """Return the channels that help to predict a signal; one that *is* the signal says nothing new."""
    match signal.estimator:
        case Wiener(helpers="all"):
            named: Sequence[str] = eeg
        case Wiener(helpers=tuple(given)):
            named = given
        case _:
            named = ()
    return [channel for channel in named if not (len(weights) == 1 and channel in weights)]


def _filter(signal: NamedSignal, eeg: Sequence[str]) -> spatial.Weights:
    match signal.spatial:
        case Hjorth(center=center, neighbours=neighbours):
            return spatial.hjorth(center, neighbours)
        case Average(channel=channel, over=over):
            return spatial.average_reference(channel, eeg if over is None else over)
        case Bipolar(plus=plus, minus=minus):
            return spatial.bipolar(plus, minus)
        case Single(channel=channel):
            return spatial.single(channel)
        case given:
            return given.weights


def _require(where: str, channels: Sequence[str], recording: Recording) -> None:
    for channel in channels:
        if channel not in recording.names:
            raise ConfigError(
                f"{where}: channel {channel} is not in {recording.name}, which has {', '.join(recording.names)}"
            )
