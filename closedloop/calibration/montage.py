"""From names to places: which channels of a recording the pipeline's signals read, and how."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closedloop.config.pipeline import Average, Bipolar, Hjorth, NamedSignal, Pipeline, Single
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
    """

    names: tuple[str, ...]
    roles: tuple[str, ...]
    places: NDArray[np.int64]
    weights: NDArray[np.float64]


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
    filters = []
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
    read = [channel for channel in recording.names if any(channel in weights for weights in filters)]
    return Montage(
        names=tuple(read),
        roles=tuple(roles[channel] for channel in read),
        places=np.array([recording.names.index(channel) for channel in read], np.int64),
        weights=np.array([spatial.weight_row(weights, read) for weights in filters]),
    )


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
