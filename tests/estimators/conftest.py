"""A rest whose rhythm is a pure sine."""

import numpy as np
import pytest

from closedloop.estimators.interface import Rest


def sine_rest(*, sfreq=250.0, seconds=30.0, frequency_hz=10.0, amplitude_uv=10.0, noise_uv=0.0, seed=0):
    """Return a rest whose target is the noiseless sine."""
    times_s = np.arange(round(seconds * sfreq)) / sfreq
    target = amplitude_uv * np.exp(2j * np.pi * frequency_hz * times_s)
    noise = np.random.default_rng(seed).normal(0.0, 1.0, times_s.size) * noise_uv
    return Rest(
        inputs=(target.real + noise)[:, None], target=target, sfreq=sfreq, band_hz=(8.0, 12.0), peak_hz=frequency_hz
    )


@pytest.fixture(scope="session")
def make_sine_rest():
    return sine_rest
