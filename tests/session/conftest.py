"""Whole sessions on simulated EEG: a pipeline and a device that can be changed in one place, and a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import closedloop.session.run
from closedloop.config.device import Stimulator
from closedloop.config.pipeline import Pipeline
from closedloop.session.folder import SessionFolder
from closedloop.session.interruption import Interruption
from closedloop.session.outcome import Outcome
from closedloop.session.run import close_session, run_session

PIPELINE = {
    "name": "Test",
    "source": {"type": "synthetic", "duration_s": 80.0, "sfreq": 125.0, "seed": 3, "alpha_uv": 15.0},
    "calibration": {"duration_s": 30.0},
    "signals": {
        "alpha": {
            "spatial": {"type": "hjorth", "center": "F3", "neighbours": ["F7", "C3", "Fz"]},
            "estimator": {"type": "wiener"},
        }
    },
    "target": {
        "signal": "alpha",
        "conditions": [{"name": "trough", "phase_deg": 180.0}, {"name": "random", "phase_deg": "random"}],
        "withhold": 0.2,
    },
    "gates": {"rhythm_snr_db": 0.0, "hold_after_pulse_s": 0.3},
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
    "artifact": {
        "saturation_uv": 5000.0,
        "saturation_s": 0.005,
        "decay_uv": 800.0,
        "decay_s": 0.02,
        "muscle_uv": 300.0,
        "muscle_s": 0.01,
        "recharge_after_s": 0.1,
        "recharge_uv": 400.0,
        "recharge_s": 0.01,
    },
}


def changed(content, changes):
    """Return nested dictionaries with the values at dotted keys replaced."""
    content = dict(content)
    for keys, value in changes.items():
        first, _, rest = keys.partition(".")
        content[first] = changed(content.get(first, {}), {rest: value}) if rest else value
    return content


@dataclass(frozen=True)
class Session:
    """A session that has been run and closed."""

    pipeline: Pipeline
    device: Stimulator
    outcome: Outcome
    summary: dict[str, Any]
    path: Path


def nobody_listens(doing, share):
    pass


def run_whole(pipeline, device, path, *, n_surrogates=0, interruption=None, progress=nobody_listens):
    """Run a pipeline to its end and close its session."""
    folder = SessionFolder(path)
    outcome = run_session(
        pipeline,
        device,
        folder,
        n_surrogates=n_surrogates,
        interruption=Interruption() if interruption is None else interruption,
        progress=progress,
    )
    return Session(pipeline, device, outcome, close_session(outcome, folder), path)


@pytest.fixture(scope="session")
def make_pipeline():
    """Return a function that makes the pipeline with the values at dotted keys replaced."""
    return lambda changes=(): Pipeline.model_validate(changed(PIPELINE, dict(changes)))


@pytest.fixture(scope="session")
def make_device():
    """Return a function that makes the device with the values at dotted keys replaced."""
    return lambda changes=(): Stimulator.model_validate(changed(DEVICE, dict(changes)))


@pytest.fixture(scope="session")
def run_at():
    return run_whole


@pytest.fixture
def without_picture(monkeypatch):
    monkeypatch.setattr(closedloop.session.run, "write_report", lambda *_: None)


@pytest.fixture
def run(make_pipeline, make_device, tmp_path, without_picture):
    """Return a function that runs the pipeline with some values replaced, each time in a new folder.

    Its sessions have no picture, which takes longer than all the rest; `session` has one.
    """

    def run_changed(changes=(), *, device=(), **options):
        path = tmp_path / f"session-{len(list(tmp_path.iterdir()))}"
        return run_whole(make_pipeline(changes), make_device(device), path, **options)

    return run_changed


@pytest.fixture(scope="session")
def session(make_pipeline, make_device, tmp_path_factory):
    """Return one whole session with two surrogates; nobody may change it."""
    return run_whole(make_pipeline(), make_device(), tmp_path_factory.mktemp("session") / "whole", n_surrogates=2)
