"""What a pipeline refuses: one line with place, key, value and limit."""

import pytest

from closedloop.config.load import load_pipeline
from closedloop.errors import ConfigError

HERTZ_BAND = "band_hz: [8, 13]"
CONDITION = "phase_deg: 180"

VALUES = {
    "a target phase of 400 degrees": (
        CONDITION,
        "phase_deg: «400",
        'X'),
    "nan": ("withhold: 0.1", "withhold: «.nan", 'X'),
    "inf": ("artifact_uv: 150", "artifact_uv: «.inf", 'X'),
    "string": ("artifact_uv: 150", 'artifact_uv: «"150"', 'X'),
    "unit": ("artifact_uv: 150", 'artifact_uv: «150 uV', 'X'),
    "bool": ("artifact_uv: 150", 'artifact_uv: «true', 'X'),
    "off": ("artifact_uv: 150", 'artifact_uv: «off', 'X'),
    "null": ("artifact_uv: 150", 'artifact_uv: «', 'X'),
    "float for int": ("max_pulses: 200", 'max_pulses: «200.5', 'X'),
    "zero": ("max_pulses: 200", 'max_pulses: «0', 'X'),
    "list for num": ("artifact_uv: 150", 'artifact_uv: «[150]', 'X'),
    "map for num": ("artifact_uv: 150", 'artifact_uv: «{value: 150}', 'X'),
    "num for string": ("name: Test", 'name: «5', 'X'),
    "empty name": ("name: Test", 'name: «""', 'X'),
    "band reversed": (HERTZ_BAND, 'band_hz: «[13, 8]', 'X'),
    "band one": (HERTZ_BAND, 'band_hz: «[13]', 'X'),
    "band word": (HERTZ_BAND, 'band_hz: «alpha', 'X'),
    "band neg": (HERTZ_BAND, 'band_hz: [«-8, 13]', 'X'),
    "phase word": (CONDITION, 'phase_deg: «trough', 'X'),
    "notch in band": ("notch_hz: 50", 'notch_hz: «10', 'X'),
    "notches in band": ("notch_hz: 50", 'notch_hz: «[10, 50]', 'X'),
    "notch word": ("notch_hz: 50", 'notch_hz: «off', 'X'),
    "notch neg": ("notch_hz: 50", 'notch_hz: «-50', 'X'),
    "unknown signal": ("  signal: alpha", '  signal: «beta', 'X'),
    "no estimator": ("  signal: alpha", '  signal: «hand', 'X'),
    "quiet unknown": ("signal: hand", 'signal: «foot', 'X'),
    "pulses": ("pulses: 200, m", 'pulses: «201, m', 'X'),
    "rate": ("per_minute: 10", 'per_minute: «31', 'X'),
    "interval": ("min_interval_s: 2.0", 'min_interval_s: «0.9', 'X'),
    "both": ("{percent_of_maximum: 60}", '«{percent_of_maximum: 60, percent_of_motor_threshold: 110}', 'X'),
    "neither": ("{percent_of_maximum: 60}", '«{}', 'X'),
    "stop<start": ("stop_s: 100.0", 'stop_s: «0.5', 'X'),
    "center": ("[Fp1, F7, C3, Fz]", '«[Fp1, F3, C3, Fz]', 'X'),
    "twice": ("[Fp1, F7, C3, Fz]", '«[Fp1, F7, C3, Fp1]', 'X'),
    "none neigh": ("[Fp1, F7, C3, Fz]", '«[]', 'X'),
    "avg twice": ("{type: single, channel: EMG}", '{type: average, channel: EMG, over: «[A, B, A]}', 'X'),
    "bipolar": ("{type: single, channel: EMG}", '{type: bipolar, plus: A, minus: «A}', 'X'),
    "weights": ("{type: single, channel: EMG}", '{type: weights, weights: «{}}', 'X'),
    "weights w": ("{type: single, channel: EMG}", '{type: weights, weights: {A: «one}}', 'X'),
    "cond twice": ("name: random, ", 'name: trough, ', 'X'),
    "tag": ("{type: wiener, window_s: 0.5}", '{type: «magic}', 'X'),
    "notag": ("{type: wiener, window_s: 0.5}", '«{window_s: 0.5}', 'X'),
    "tag src": ("type: playback", 'type: «live', 'X'),
    "missing": ("name: Test\n", '', 'X'),
    "missing deep": ("pulses: 200, m", 'm', 'X'),
    "missing cond": ("name: trough, ", '', 'X'),
    "missing limits": ("  max_pulses: 200\n", '', 'X'),
    "unknown": ("  withhold: 0.1", '  «withold: 0.1', 'X'),
    "unknown src": ("  delay_s: 0.01", '  «delay_ms: 10', 'X'),
    "unknown top": ("name: Test", 'name: Test\n«nme: x', 'X'),
    "unknown spatial": ("center: F3, n", 'center: F3, «neighbors: [a], n', 'X'),
    "unknown est": ("window_s: 0.5}", '«windw_s: 0.5}', 'X'),
    "unknown cond": ("marker: 1", '«market: 1', 'X'),
    "unknown quiet": ("peak_to_peak_uv: 50", '«peak_uv: 50, peak_to_peak_uv: 50', 'X'),
    "unknown rate": ("mode: fixed", '«mod: fixed', 'X'),
    "mode": ("mode: fixed", 'mode: «fast', 'X'),
    "dup": ("  withhold: 0.1", '  withhold: 0.1\n  «withhold: 0.2', 'X'),
    "dup src": ("type: playback", 'type: synthetic', 'X'),
    "synt": ("""  type: playback
  recording: some.edf
  start_s: 1.0
  stop_s: 100.0
""", '  type: synthetic\n  channels: «[F3, O1, F3]\n', 'X'),
    "train": ("{type: single_pulse, pulses: 200, ", '{type: train, trains: 10, pulses_per_train: 4, frequency_hz: «5, ', 'X'),
    "train pulses": ("{type: single_pulse, pulses: 200, ", '{type: train, trains: «60, pulses_per_train: 4, frequency_hz: individual, ', 'X'),
    "sigs": ("signals:", 'signals: {}\nx:', 'X'),
    "key int": ("signals:\n", 'signals:\n  5: {spatial: {type: single, channel: A}}\n', 'X'),
    "list as map": ("quiet: [{signal: hand, peak_to_peak_uv: 50}]", 'quiet: «{signal: hand, peak_to_peak_uv: 50}', 'X'),
    "map as scalar": ("intensity: {percent_of_maximum: 60}", 'intensity: «60', 'X'),
    "sect scalar": ("calibration:\n  duration_s: 60", 'calibration: «60', 'X'),
    "spatial scalar": ("{type: single, channel: EMG}", '«EMG', 'X'),
    "role": ("source:\n", 'channels: {EMG: «muscle}\nsource:\n', 'X'),
    "tab": ("  withhold: 0.1", '\twithhold: 0.1', 'X'),
    "marker": ("marker: 1", 'marker: «70000', 'X'),
    "date": ("artifact_uv: 150", 'artifact_uv: «2020-01-01', 'X'),
    "two": (CONDITION, "phase_deg: «400, bogus: 1", 'X'),
    "rhythm": ("  max_phase_sd_deg: 30", "  max_phase_sd_deg: 30\n  rhythm_snr_db: «loud", 'X'),
    "cond empty": ("""  conditions:
    - {name: trough, phase_deg: 180, marker: 1}
    - {name: random, phase_deg: random, marker: 2}
""", "  conditions: «[]\n", 'X'),
    "sig5": ("  hand:\n", "  a: {spatial: {type: single, channel: A}}\n  b: {spatial: {type: single, channel: A}}\n  c: {spatial: {type: single, channel: A}}\n  hand:\n", 'X'),
    "anchors": ("withhold: 0.1", "withhold: «!!python/name:os.system", 'X'),
    "twodocs": ("name: Test\n", "name: Test\n---\n", 'X'),
}


@pytest.mark.parametrize(("old", "new", "said"), VALUES.values(), ids=VALUES.keys())
def test_a_value_that_cannot_be_is_refused_where_it_stands(written, pipeline_text, one_line_error, old, new, said):
    path, place = written("p.yaml", pipeline_text, old, new)
    m = one_line_error(ConfigError, load_pipeline, path)
    ok = m.startswith(place + ": ")
    print(new[:40].replace("\n","|"), "->", "OK   " if ok else "BADPLACE "+place.rpartition('p.yaml')[2], m.rpartition('p.yaml')[2])
