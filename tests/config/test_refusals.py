"""What a pipeline refuses: one line with place, key, value and limit."""

import pytest

from closedloop.config.load import load_pipeline
from closedloop.errors import ConfigError

# In a case's last text « marks where the message must point; the mark itself is not written.
VALUES = {
    "a target phase of 400 degrees": (
        "phase_deg: 180",
        "phase_deg: «400",
        "target.conditions.0.phase_deg = 400: must be 'random' or less than 360",
    ),
    "a target phase that is not a number": (
        "phase_deg: 180",
        "phase_deg: «.nan",
        "target.conditions.0.phase_deg = NaN: must be 'random' or a finite number",
    ),
    "a target phase in a word": (
        "phase_deg: 180",
        "phase_deg: «trough",
        "target.conditions.0.phase_deg = \"trough\": must be 'random' or a valid number",
    ),
    "NaN": ("withhold: 0.1", "withhold: «.nan", "target.withhold = NaN: must be a finite number"),
    "infinity": ("artifact_uv: 150", "artifact_uv: «.inf", "gates.artifact_uv = Infinity: must be a finite number"),
    "a number in quotes": (
        "artifact_uv: 150",
        'artifact_uv: «"150"',
        'gates.artifact_uv = "150": must be a valid number',
    ),
    "a unit behind a number": (
        "artifact_uv: 150",
        "artifact_uv: «150 uV",
        'gates.artifact_uv = "150 uV": must be a valid number',
    ),
    "a decimal comma": ("withhold: 0.1", "withhold: «0,1", 'target.withhold = "0,1": must be a valid number'),
    "true for a number": ("artifact_uv: 150", "artifact_uv: «true", "gates.artifact_uv = true: must be a valid number"),
    "off for a number": (
        "notch_hz: 50",
        "notch_hz: «off",
        'conditioning.notch_hz = "off": must be a valid number or a list',
    ),
    "nothing for a number": (
        "artifact_uv: 150",
        "«artifact_uv:",
        "gates.artifact_uv = null: must be a valid number",
    ),
    "a list for a number": (
        "artifact_uv: 150",
        "artifact_uv: «[150]",
        "gates.artifact_uv = [150]: must be a valid number",
    ),
    "keys for a number": ("artifact_uv: 150", "artifact_uv: «{uv: 150}", "gates.artifact_uv: must be a valid number"),
    "a fraction of a pulse": (
        "max_pulses: 200",
        "max_pulses: «200.5",
        "limits.max_pulses = 200.5: must be a valid integer",
    ),
    "true for an integer": (
        "withhold: 0.1",
        "order: {seed: «true}",
        "target.order.seed = true: must be a valid integer",
    ),
    "a value below its lowest": ("max_pulses: 200", "max_pulses: «0", "limits.max_pulses = 0: must be at least 1"),
    "a value above its highest": (
        "marker: 1",
        "marker: «70000",
        "target.conditions.0.marker = 70000: must be at most 65535",
    ),
    "a number for a name": ("name: Test", "name: «5", "name = 5: must be a valid string"),
    "an empty name": ("name: Test", 'name: «""', 'name = "": must have at least 1 character'),
    "a word that is none of the choices": (
        "mode: fixed",
        "mode: «fast",
        "gates.wanted_rate.mode = \"fast\": must be 'fixed' or 'running'",
    ),
    "a role that there is not": (
        "source:\n",
        "channels: {EMG: «muscle}\nsource:\n",
        "channels.EMG = \"muscle\": must be 'eeg', 'emg', 'trigger' or 'misc'",
    ),
    "a value for a section": (
        "calibration:\n  duration_s: 60",
        "calibration: «60",
        "calibration = 60: must be a mapping",
    ),
    "a section without content": (
        "conditioning:\n  high_pass_hz: 0.5\n  notch_hz: 50\n",
        "«conditioning:\n",
        "conditioning = null: must be a mapping",
    ),
    "a channel's name for a spatial filter": (
        "{type: single, channel: EMG}",
        "«EMG",
        'signals.hand.spatial = "EMG": must be a mapping',
    ),
    "keys for a list": (
        "[{signal: hand, peak_to_peak_uv: 50}]",
        "«{signal: hand, peak_to_peak_uv: 50}",
        "gates.quiet: must be a list",
    ),
    "no conditions": (
        "\n    - {name: trough, phase_deg: 180, marker: 1}\n    - {name: random, phase_deg: random, marker: 2}\n",
        " «[]\n",
        "target.conditions = []: must have at least 1 item",
    ),
    "five signals": (
        "  alpha:\n",
        "  «a: &more {spatial: {type: single, channel: A}}\n  b: *more\n  c: *more\n  alpha:\n",
        "signals: must have at most 4 items",
    ),
    "a tag that there is not": (
        "{type: wiener, window_s: 0.5}",
        "{type: «magic}",
        "signals.alpha.estimator.type = \"magic\": must be one of 'wiener', 'echt', 'c-echt', 'phastimate', 'etp', "
        "'sspe', 'hilbert_fir', 'resonator', 'naive', 'plugin'",
    ),
    "a plugin that is not installed": (
        "estimator: {type: wiener, window_s: 0.5}",
        "estimator: {type: plugin, name: «magic}",
        "signals.alpha.estimator.name = magic: there is no such method (installed: c-echt, echt, etp, hilbert_fir, "
        "naive, phastimate, resonator, sspe, wiener)",
    ),
    "a tag that is missing": (
        "{type: wiener, window_s: 0.5}",
        "«{window_s: 0.5}",
        "signals.alpha.estimator: the key 'type' is missing",
    ),
    "a band upside down": (
        "band_hz: [8, 13]",
        "band_hz: «[13, 8]",
        "signals.alpha.band_hz = [13, 8]: the lower edge must lie below the upper one",
    ),
    "a band of no width": (
        "band_hz: [8, 13]",
        "band_hz: «[8, 8]",
        "signals.alpha.band_hz = [8, 8]: the lower edge must lie below the upper one",
    ),
    "a band of one edge": ("band_hz: [8, 13]", "band_hz: «[8]", "signals.alpha.band_hz.1: this value is missing"),
    "a band of three edges": (
        "band_hz: [8, 13]",
        "band_hz: «[8, 13, 20]",
        "signals.alpha.band_hz = [8, 13, 20]: must be 'auto' or must have at most 2 items",
    ),
    "a band below 0": (
        "band_hz: [8, 13]",
        "band_hz: [«-8, 13]",
        "signals.alpha.band_hz.0 = -8: must be greater than 0",
    ),
    "a band in a word": (
        "band_hz: [8, 13]",
        "band_hz: «alpha",
        "signals.alpha.band_hz = \"alpha\": must be 'auto' or a list",
    ),
    "a notch in the band": (
        "notch_hz: 50",
        "notch_hz: «10",
        "conditioning.notch_hz = 10: must lie outside the band of alpha (8 to 13 Hz)",
    ),
    "one of two notches in the band": (
        "notch_hz: 50",
        "notch_hz: «[50, 13]",
        "conditioning.notch_hz = [50, 13]: must lie outside the band of alpha (8 to 13 Hz)",
    ),
    "a target signal that there is not": (
        "  signal: alpha",
        "  signal: «beta",
        'target.signal = "beta": there is no such signal (known: alpha, hand)',
    ),
    "a target signal without an estimator": (
        "  signal: alpha",
        "  signal: «hand",
        'target.signal = "hand": this signal has no estimator: give it one under signals',
    ),
    "a quiet signal that there is not": (
        "signal: hand",
        "signal: «foot",
        'gates.quiet.0.signal = "foot": there is no such signal (known: alpha, hand)',
    ),
    "two conditions of one name": (
        "    - {name: trough, phase_deg: 180, marker: 1}\n    - {name: random, phase_deg: random, marker: 2}\n",
        "    «- {name: a, phase_deg: 0}\n    - {name: a, phase_deg: 90}\n",
        'target.conditions = [{"name": "a", "phase_deg": 0}, {"name": "a", "phase_deg": 90}]: a is named twice',
    ),
    "pulses above the session's": (
        "pulses: 200, m",
        "pulses: «201, m",
        "protocol.pulses = 201: 201 pulses in all are above limits.max_pulses = 200",
    ),
    "trains above the session's pulses": (
        "{type: single_pulse, pulses: 200, ",
        "{type: train, trains: «51, pulses_per_train: 4, frequency_hz: individual, ",
        "protocol.trains = 51: 204 pulses in all are above limits.max_pulses = 200",
    ),
    "a train faster than the session's interval": (
        "{type: single_pulse, pulses: 200, ",
        "{type: train, trains: 10, pulses_per_train: 4, frequency_hz: «5, ",
        "protocol.frequency_hz = 5: pulses 0.2 s apart are closer than limits.min_interval_s = 1 (at most 1 Hz)",
    ),
    "trials closer than the session's interval": (
        "min_interval_s: 2.0",
        "min_interval_s: «0.9",
        "protocol.min_interval_s = 0.9: is below limits.min_interval_s = 1",
    ),
    "a table and an envelope": (
        "max_pulses: 200\n",
        "max_pulses: 200\n  train_table: a\n  envelope: «b\n",
        'limits.envelope = "b": takes the place of train_table: give one of the two',
    ),
    "a wanted rate above what the interval leaves": (
        "per_minute: 10",
        "per_minute: «31",
        "gates.wanted_rate.per_minute = 31: must be at most 30: protocol.min_interval_s = 2 leaves no more",
    ),
    "both intensities": (
        "{percent_of_maximum: 60}",
        "«{percent_of_maximum: 60, percent_of_motor_threshold: 110}",
        "stimulator.intensity: give one of percent_of_motor_threshold and percent_of_maximum",
    ),
    "no intensity": (
        "{percent_of_maximum: 60}",
        "«{}",
        "stimulator.intensity: give one of percent_of_motor_threshold and percent_of_maximum",
    ),
    "an end before the beginning": (
        "stop_s: 100.0",
        "stop_s: «0.5",
        "source.stop_s = 0.5: must be above start_s = 1",
    ),
    "a delay that no estimator bridges": (
        "delay_s: 0.01",
        "delay_s: «0.09",
        "source.delay_s = 0.09: must be at most 0.08",
    ),
    "a simulated channel twice": (
        "type: playback\n  recording: some.edf\n  start_s: 1.0\n  stop_s: 100.0\n",
        "type: synthetic\n  channels: «[F3, O1, F3]\n",
        'source.channels = ["F3", "O1", "F3"]: F3 is named twice',
    ),
    "a center that is its own neighbour": (
        "[Fp1, F7, C3, Fz]",
        "«[Fp1, F3]",
        'signals.alpha.spatial.neighbours = ["Fp1", "F3"]: the center F3 is not its own neighbour',
    ),
    "a neighbour twice": (
        "[Fp1, F7, C3, Fz]",
        "«[Fp1, Fp1]",
        'signals.alpha.spatial.neighbours = ["Fp1", "Fp1"]: Fp1 is named twice',
    ),
    "no neighbours": (
        "[Fp1, F7, C3, Fz]",
        "«[]",
        "signals.alpha.spatial.neighbours = []: must have at least 1 item",
    ),
    "a channel averaged twice": (
        "{type: single, channel: EMG}",
        "{type: average, channel: A, over: «[B, B]}",
        'signals.hand.spatial.over = ["B", "B"]: B is named twice',
    ),
    "a channel minus itself": (
        "{type: single, channel: EMG}",
        "{type: bipolar, plus: A, minus: «A}",
        'signals.hand.spatial.minus = "A": must be another channel than plus',
    ),
    "no weights": (
        "{type: single, channel: EMG}",
        "{type: weights, weights: «{}}",
        "signals.hand.spatial.weights: must have at least 1 item",
    ),
    "a weight in a word": (
        "{type: single, channel: EMG}",
        "{type: weights, weights: {A: «one}}",
        'signals.hand.spatial.weights.A = "one": must be a valid number',
    ),
}

KEYS = {
    "misspelt": (
        "  withhold: 0.1",
        "  «withold: 0.1",
        "target.withold: unknown key (did you mean withhold? known: signal, conditions, order, withhold, plan_ahead_s, "
        "commit_horizon_s)",
    ),
    "in another unit": (
        "  delay_s: 0.01",
        "  «delay_ms: 10",
        "source.delay_ms: unknown key (did you mean delay_s? known: type, recording, start_s, stop_s, delay_s, "
        "artifacts)",
    ),
    "at the top, like nothing known": (
        "name: Test",
        "name: Test\n«zzzz: 1",
        "zzzz: unknown key (known: name, channels, source, conditioning, calibration, signals, target, gates, "
        "protocol, stimulator, limits)",
    ),
    "of a spatial filter": (
        "neighbours: [Fp1, F7, C3, Fz]",
        "neighbours: [Fp1, F7, C3, Fz], «centre: F3",
        "signals.alpha.spatial.centre: unknown key (did you mean center? known: type, center, neighbours)",
    ),
    "of an estimator, which may be null": (
        "window_s: 0.5}",
        "«window: 0.5}",
        "signals.alpha.estimator.window: unknown key (did you mean window_s? known: type, window_s, helpers, "
        "helper_window_s)",
    ),
    "of a condition in a list": (
        "marker: 1",
        "«market: 1",
        "target.conditions.0.market: unknown key (did you mean marker? known: name, phase_deg, marker)",
    ),
    "of what may be null": (
        "mode: fixed",
        "«mod: fixed",
        "gates.wanted_rate.mod: unknown key (did you mean mode? known: per_minute, mode)",
    ),
    "twice": (
        "  withhold: 0.1",
        "  withhold: 0.1\n  «withhold: 0.2",
        "withhold: this key stands here a second time",
    ),
    "that is a number": (
        "  hand:\n",
        "  «5: {}\n  hand:\n",
        "5: a key must be a string: set it in quotes",
    ),
    "that is a truth value": ("name: Test", "name: Test\n«true: 1", "True: a key must be a string: set it in quotes"),
}

MISSING = {
    "at the top": ("name: Test\nsource:", "«source:", "name: this key is missing"),
    "in a section": ("  max_pulses: 200\n  ", "  «", "limits.max_pulses: this key is missing"),
    "in a choice": (
        "{type: single_pulse, pulses: 200, ",
        "«{type: single_pulse, ",
        "protocol.pulses: this key is missing",
    ),
    "in a list": ("{name: trough, phase", "«{phase", "target.conditions.0.name: this key is missing"),
}


@pytest.mark.parametrize(("old", "new", "said"), VALUES.values(), ids=VALUES.keys())
def test_a_value_that_cannot_be_is_refused_where_it_stands(written, pipeline_text, one_line_error, old, new, said):
    path, place = written("pipeline.yaml", pipeline_text, old, new)
    assert one_line_error(ConfigError, load_pipeline, path) == f"{place}: {said}"


@pytest.mark.parametrize(("old", "new", "said"), KEYS.values(), ids=KEYS.keys())
def test_a_key_that_cannot_be_is_refused_where_it_stands(written, pipeline_text, one_line_error, old, new, said):
    path, place = written("pipeline.yaml", pipeline_text, old, new)
    assert one_line_error(ConfigError, load_pipeline, path) == f"{place}: {said}"


@pytest.mark.parametrize(("old", "new", "said"), MISSING.values(), ids=MISSING.keys())
def test_a_missing_key_is_named_where_its_section_begins(written, pipeline_text, one_line_error, old, new, said):
    path, place = written("pipeline.yaml", pipeline_text, old, new)
    assert one_line_error(ConfigError, load_pipeline, path) == f"{place}: {said}"


def test_of_several_mistakes_the_first_is_told_and_the_others_are_counted(written, pipeline_text, one_line_error):
    text = pipeline_text.replace("max_pulses: 200", "max_pulses: 0").replace("artifact_uv: 150", "artifact_uv: -1")
    path, place = written("pipeline.yaml", text, "phase_deg: 180", "phase_deg: «400")
    said = one_line_error(ConfigError, load_pipeline, path)
    assert said == f"{place}: target.conditions.0.phase_deg = 400: must be 'random' or less than 360 (and 2 more)"


def test_all_mistakes_are_there_for_who_wants_them(written, pipeline_text):
    text = pipeline_text.replace("max_pulses: 200", "max_pulses: 0").replace("artifact_uv: 150", "artifact_uv: -1")
    path, place = written("pipeline.yaml", text, "phase_deg: 180", "phase_deg: «400")
    with pytest.raises(ConfigError) as raised:
        load_pipeline(path)
    first, *others = raised.value.mistakes
    assert first == f"{place}: target.conditions.0.phase_deg = 400: must be 'random' or less than 360"
    assert [line.partition(": ")[2] for line in others] == [
        "gates.artifact_uv = -1: must be greater than 0",
        "limits.max_pulses = 0: must be at least 1",
    ]


def test_a_key_that_was_merged_in_is_refused_at_the_section_that_merges_it(written, pipeline_text, one_line_error):
    path, place = written(
        "pipeline.yaml",
        pipeline_text,
        "  high_pass_hz: 0.5\n  notch_hz: 50\n",
        "  «<<: {high_pass_hz: -1}\n",
    )
    said = one_line_error(ConfigError, load_pipeline, path)
    assert said == f"{place}: conditioning.high_pass_hz = -1: must be greater than 0"


def test_a_line_break_within_a_name_stays_out_of_the_message(written, pipeline_text, one_line_error):
    path, place = written("pipeline.yaml", pipeline_text, "  hand:\n", '  "a\\nb":\n    «zzzz: 1\n')
    assert one_line_error(ConfigError, load_pipeline, path).startswith(f"{place}: signals.a b.zzzz: unknown key")
