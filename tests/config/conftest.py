"""A whole pipeline and a whole device as text, to be changed in one place."""

import pytest

PIPELINE = """\
name: Test
source:
  type: playback
  recording: some.edf
  start_s: 1.0
  stop_s: 100.0
  delay_s: 0.01
conditioning:
  high_pass_hz: 0.5
  notch_hz: 50
calibration:
  duration_s: 60
signals:
  alpha:
    spatial: {type: hjorth, center: F3, neighbours: [Fp1, F7, C3, Fz]}
    band_hz: [8, 13]
    estimator: {type: wiener, window_s: 0.5}
  hand:
    spatial: {type: single, channel: EMG}
target:
  signal: alpha
  conditions:
    - {name: trough, phase_deg: 180, marker: 1}
    - {name: random, phase_deg: random, marker: 2}
  withhold: 0.1
gates:
  max_phase_sd_deg: 30
  wanted_rate: {per_minute: 10, mode: fixed}
  artifact_uv: 150
  quiet: [{signal: hand, peak_to_peak_uv: 50}]
protocol: {type: single_pulse, pulses: 200, min_interval_s: 2.0, jitter_s: 0.5}
stimulator:
  device: stimulator
  intensity: {percent_of_maximum: 60}
limits:
  max_pulses: 200
  min_interval_s: 1.0
"""

DEVICE = """\
kind: stimulator
name: Test stimulator
driver: simulated
latency:
  latency_s: 0.01
  origin: measured by nobody
limits:
  min_interval_s: 0.5
  max_pulses_per_session: 1000
  max_percent_of_maximum: 80
"""


@pytest.fixture
def pipeline_text() -> str:
    """Return a pipeline that uses most keys and loads."""
    return PIPELINE


@pytest.fixture
def device_text() -> str:
    """Return a stimulator that fits the pipeline."""
    return DEVICE


@pytest.fixture
def written(tmp_path):
    """Write a text with one part replaced; return its path, and the place that is marked with «.

    The mark itself is not written: ``written("a.yaml", text, "phase_deg: 180", "phase_deg: «400")``.
    """

    def write(name, text, old="", new=""):
        assert not old or text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the text"
        marked = text.replace(old, new) if old else text
        before = marked.partition("«")[0]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(marked.replace("«", ""), encoding="utf-8")
        return path, f"{path}:{line}:{column}"

    return write
