"""Spatial filters: weights by channel name.

A filter is a mapping from channel name to weight; what it gives is the weighted sum of its
channels, in their unit. Names, not places: a montage may come in any order.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from closedloop.errors import ConfigError
from closedloop.jit import compiled

Weights = Mapping[str, float]


def hjorth(center: str, neighbours: Sequence[str]) -> Weights:
    """Return the Laplacian of a channel: itself minus the mean of its neighbours.

    References
    ----------
    Hjorth B. An on-line transformation of EEG scalp potentials into orthogonal source derivations.
    1975. doi 10.1016/0013-4694(75)90056-5
    """
    return {center: 1.0, **dict.fromkeys(neighbours, -1.0 / len(neighbours))}


def average_reference(channel: str, over: Sequence[str]) -> Weights:
    """Return a channel minus the mean of the channels ``over``, itself among them or not."""
    weights = dict.fromkeys(over, -1.0 / len(over))
    weights[channel] = weights.get(channel, 0.0) + 1.0
    return weights


def bipolar(plus: str, minus: str) -> Weights:
    """Return the difference of two channels."""
    return {plus: 1.0, minus: -1.0}


def single(channel: str) -> Weights:
    """Return a channel as it was recorded."""
    return {channel: 1.0}


def weight_row(weights: Weights, names: Sequence[str]) -> NDArray[np.float64]:
    """Return a filter as an array of shape (n_channels,) over channels of the given names.

    Raises
    ------
    ConfigError
        Where a channel is not among the names.
    """
    row = np.zeros(len(names))
    for name, weight in weights.items():
        if name not in names:
            raise ConfigError(f"channel {name} is not in the montage ({', '.join(names)})")
        row[names.index(name)] = weight
    return row


@compiled()
def mix_all(weights: NDArray[np.float64], samples: NDArray[np.float64], mixed: NDArray[np.float64]) -> None:
    """Apply filters, of shape (n_filters, n_channels), to samples of shape (n_samples, n_channels), one by one.

    The sums' order, and so their last bits, do not depend on how many samples come at once.
    """
    for i in range(samples.shape[0]):
        for row in range(weights.shape[0]):
            total = 0.0
            for channel in range(weights.shape[1]):
                if weights[row, channel] != 0.0:
                    total += weights[row, channel] * samples[i, channel]
            mixed[i, row] = total
