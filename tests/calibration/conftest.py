"""A recording with a clear rhythm, and a pipeline and a device that can be changed in one place."""

import numpy as np
import pytest

from closedloop.config.device import Stimulator
from closedloop.config.pipeline import Pipeline
from closedloop.sources.recording import Recording
from closedloop.sources.synthetic import simulate

PIPELINE = {
    "name": "Test",
    "source": {"type": "playback", "recording": "rest.edf", "delay_s": 0.01},
    "conditioning": {"high_pass_hz": 0.5, "notch_hz": 50.0},
    "signals": {
        "alpha": {
            "spatial": {"type": "hjorth", "center": "F3", "neighbours": ["F7", "C3", "Fz"]},
            "estimator": {"type": "wiener"},
        }
    },
    "target": {"signal": "alpha", "conditions": [{"name": "trough", "phase_deg": 180.0}]},
    "gates": {"rhythm_snr_db": 0.0},
    "protocol": {"type": "single_pulse", "pulses": 200, "min_interval_s": 1.0},
    "stimulator": {"device": "simulated", "intensity": {"percent_of_maximum": 50.0}},
    "limits": {"max_pulses": 500},
}
DEVICE = {
    "kind": "stimulator",
    "name": "Test stimulator",
    "driver": "simulated",
    "latency": {"latency_s": 0.01, "origin": "set"},
    "limits": {"min_interval_s": 0.1, "max_pulses_per_session": 1000, "max_percent_of_maximum": 100.0},
    "threshold_percent": 50.0,
}


def changed(content, changes):
    """Return nested dictionaries with the values at dotted keys replaced."""
    content = dict(content)
    for keys, value in changes.items():
        first, _, rest = keys.partition(".")
        content[first] = changed(content.get(first, {}), {rest: value}) if rest else value
    return content


def draw_recording(samples, names, *, sfreq=125.0, roles=None, times_s=None, name="rest.edf"):
    """Return a recording of samples of shape (n_samples, n_channels)."""
    samples = np.asarray(samples, dtype=float)
    return Recording(
        names=tuple(names),
        roles=tuple(roles or ["eeg"] * len(names)),
        sfreq=sfreq,
        samples=samples,
        times_s=np.arange(len(samples)) / sfreq if times_s is None else times_s,
        name=name,
    )


def draw_rest(seconds=60.0, *, sfreq=125.0, seed=3, **simulated):
    """Return simulated EEG of four channels; F3 stands out."""
    made = simulate(duration_s=seconds, sfreq=sfreq, seed=seed, channels=["F7", "F3", "Fz", "C3"], **simulated)
    return draw_recording(made.recording.samples, made.recording.names, sfreq=sfreq)


@pytest.fixture(scope="session")
def make_pipeline():
    """Return a function that makes the pipeline with the values at dotted keys replaced."""
    return lambda changes=(): Pipeline.model_validate(changed(PIPELINE, dict(changes)))


@pytest.fixture(scope="session")
def make_device():
    """Return a function that makes the device with the values at dotted keys replaced."""
    return lambda changes=(): Stimulator.model_validate(changed(DEVICE, dict(changes)))


@pytest.fixture(scope="session")
def make_recording():
    return draw_recording


@pytest.fixture(scope="session")
def make_rest():
    return draw_rest


@pytest.fixture(scope="session")
def rest():
    """Return a minute of rest; nobody may change it."""
    return draw_rest(alpha_uv=15.0)
