"""Pipelines whose EEG comes live: the stream, the amplifier's delay, the trigger channel; and trigger lines."""

from pathlib import Path

import pytest

from closedloop.config.device import Stimulator
from closedloop.config.load import check_file, load_pipeline, with_recording, with_trigger
from closedloop.config.source import Lsl, Playback
from closedloop.errors import ConfigError

CHECKOUT = Path(__file__).parents[2]
SHIPPED = [path.stem for path in (CHECKOUT / "devices").glob("*.yaml")]
PLAYBACK = "  type: playback\n  recording: some.edf\n  start_s: 1.0\n  stop_s: 100.0\n  delay_s: 0.01\n"
AMPLIFIER = """\
kind: amplifier
name: Test amplifier
delay: {delay_s: 0.037, origin: measured by nobody}
"""


@pytest.fixture
def live(written, pipeline_text, device_text):
    """Return a function that writes a live pipeline beside its devices; it returns the path, and the place of «."""
    written("devices/stimulator.yaml", device_text)
    written("devices/amplifier.yaml", AMPLIFIER)
    return lambda source: written("pipelines/p.yaml", pipeline_text, PLAYBACK, f"  type: lsl\n{source}\n")


STREAMS = [
    "{name: amp}",
    "{type: EEG}",
    "{source_id: serial 7}",
    "{predicate: \"starts-with(name,'acti')\"}",
    "{name: amp, type: EEG, source_id: a, predicate: channel_count>8}",
]


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_is_told_by_any_of_its_marks(live, stream):
    path, _ = live(f"  stream: {stream}")
    assert check_file(path) == "a pipeline, Test"


WRONG = {
    "no stream": ("  stream: «{}", "source.stream: give at least one of name, type, source_id and predicate"),
    "a stream of nothing": (
        "  stream: «{name: null}",
        "source.stream: give at least one of name, type, source_id and predicate",
    ),
    "an empty name": ('  stream: {name: «""}', 'source.stream.name = "": must have at least 1 character'),
    "a key that there is not": (
        "  stream: {«nmae: amp}",
        "source.stream.nmae: unknown key (did you mean name? known: name, type, source_id, predicate)",
    ),
    "both a device and a delay": (
        "  stream: {type: EEG}\n  device: amplifier\n  delay_s: «0.02",
        "source.delay_s = 0.02: give it or source.device, whose delay is taken, not both",
    ),
    "both, though the delay is the default": (
        "  stream: {type: EEG}\n  device: amplifier\n  delay_s: «0.01",
        "source.delay_s = 0.01: give it or source.device, whose delay is taken, not both",
    ),
    "a device that there is not": (
        "  stream: {type: EEG}\n  device: «brainamp",
        "source.device = brainamp: there is no such file, and none of that name in devices/ "
        f"(there: {', '.join(sorted([*SHIPPED, 'amplifier', 'stimulator']))})",
    ),
    "a unit that there is not": (
        "  stream: {type: EEG}\n  unit: «pV",
        "source.unit = \"pV\": must be 'uV', 'mV', 'V' or 'nV'",
    ),
    "a trigger channel too late": (
        "  stream: {type: EEG}\n  trigger_channel: {name: TRIG, latency_s: «0.11}",
        "source.trigger_channel.latency_s = 0.11: must be at most 0.1",
    ),
    "a trigger channel too early": (
        "  stream: {type: EEG}\n  trigger_channel: {name: TRIG, latency_s: «-0.11}",
        "source.trigger_channel.latency_s = -0.11: must be at least -0.1",
    ),
    "a trigger channel that nobody has measured": (
        "  stream: {type: EEG}\n  trigger_channel: «{name: TRIG}",
        "source.trigger_channel.latency_s: this key is missing",
    ),
    "a threshold that is no number": (
        "  stream: {type: EEG}\n  trigger_channel: {name: TRIG, latency_s: 0, threshold: «.nan}",
        "source.trigger_channel.threshold = NaN: must be a finite number",
    ),
    "no time to wait": ("  stream: {type: EEG}\n  wait_s: «0", "source.wait_s = 0: must be greater than 0"),
    "a core before the first": ("  stream: {type: EEG}\n  cpu: «-1", "source.cpu = -1: must be at least 0"),
}


@pytest.mark.parametrize(("source", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_live_source_that_cannot_be_is_refused_where_it_says_so(live, one_line_error, source, said):
    path, place = live(source)
    assert one_line_error(ConfigError, check_file, path) == f"{place}: {said}"


@pytest.mark.parametrize("latency_s", [-0.1, 0.0, 0.1])
def test_a_trigger_channels_latency_may_lie_at_its_limits(live, latency_s):
    path, _ = live(f"  stream: {{type: EEG}}\n  trigger_channel: {{name: TRIG, latency_s: {latency_s}}}")
    assert load_pipeline(path).value.source.trigger_channel.latency_s == latency_s


def test_the_amplifiers_delay_is_taken(live):
    path, _ = live("  stream: {type: EEG}\n  device: amplifier")
    assert load_pipeline(path).value.source.delay_s == 0.037


def test_without_a_device_the_delay_is_the_pipelines(live):
    path, _ = live("  stream: {type: EEG}\n  delay_s: 0.025")
    assert load_pipeline(path).value.source.delay_s == 0.025


def test_a_stimulator_is_no_amplifier(live, written, device_text, one_line_error):
    _, place = written("devices/stimulator.yaml", device_text, "kind: ", "kind: «")
    path, _ = live("  stream: {type: EEG}\n  device: stimulator")
    assert one_line_error(ConfigError, load_pipeline, path) == f"{place}: kind = stimulator: must be amplifier"


def test_the_amplifiers_delay_counts_where_a_prediction_gets_too_long(live, written, one_line_error):
    written("devices/amplifier.yaml", AMPLIFIER.replace("0.037", "0.07"))
    path, _ = live("  stream: {type: EEG}\n  device: amplifier")
    line = one_line_error(ConfigError, check_file, path)
    assert "source.delay_s = 0.07" in line
    assert "it takes a prediction of 0.11 s (at most 0.1)" in line
    assert line.startswith(str(path))


def test_a_recording_takes_the_place_of_a_stream_and_keeps_its_delay(live):
    path, _ = live("  stream: {type: EEG}\n  device: amplifier")
    source = with_recording(load_pipeline(path), "other.edf").value.source
    assert source == Playback(type="playback", recording="other.edf", delay_s=0.037)


def test_the_shipped_live_pipeline_can_be_used():
    path = CHECKOUT / "pipelines" / "alpha_trough_o1_live.yaml"
    assert check_file(path) == "a pipeline, Alpha-trough pulses, judged at O1, live"
    source = load_pipeline(path).value.source
    assert isinstance(source, Lsl)
    assert source.stream.type == "EEG"


def lined(written, device_text, line):
    return written("device.yaml", device_text, "driver: simulated", f"driver: simulated\nline: {line}")


@pytest.mark.parametrize("digits", ["01", "ff", "00FFa0", "0" * 32])
def test_a_trigger_line_takes_up_to_16_bytes(written, device_text, digits):
    path, _ = lined(written, device_text, f"{{path: /dev/ttyUSB0, on: '{digits}', off: '{digits}'}}")
    assert check_file(path) == "a stimulator, Test stimulator"


@pytest.mark.parametrize("key", ["on", "off"])
@pytest.mark.parametrize("digits", ["", "1", "012", "0g", "0x01", "01 02", "0" * 34, "01\\n"])
def test_a_trigger_lines_bytes_are_pairs_of_hexadecimal_digits(written, device_text, one_line_error, key, digits):
    path, place = lined(written, device_text, f'{{path: /dev/ttyUSB0, {key}: «"{digits}"}}')
    line = one_line_error(ConfigError, check_file, path)
    assert line.startswith(f"{place}: line.{key} = ")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{path: «""}', 'line.path = "": must have at least 1 character'),
        ("«{on: '01'}", "line.path: this key is missing"),
        ("{path: /dev/null, off_after_s: «0}", "line.off_after_s = 0: must be greater than 0"),
        ("{path: /dev/null, off_after_s: «0.06}", "line.off_after_s = 0.06: must be at most 0.05"),
        ("{path: /dev/null, on: «1}", "line.on = 1: must be a valid string"),
    ],
)
def test_a_trigger_line_that_cannot_be_is_refused_where_it_says_so(written, device_text, one_line_error, line, said):
    path, place = lined(written, device_text, line)
    assert one_line_error(ConfigError, check_file, path) == f"{place}: {said}"


PROFILE = {
    "kind": "stimulator",
    "name": "T",
    "driver": "simulated",
    "latency": {"latency_s": 0.01, "origin": "set"},
    "limits": {"min_interval_s": 0.1, "max_pulses_per_session": 10, "max_percent_of_maximum": 100.0},
}


def test_triggers_may_go_to_another_file_with_the_devices_own_bytes():
    line = {"path": "/dev/ttyUSB0", "on": "a1", "off": None}
    found = with_trigger(Stimulator.model_validate({**PROFILE, "line": line}), "/run/pipe").line
    assert (found.path, found.on, found.off) == ("/run/pipe", "a1", None)


def test_triggers_of_a_device_without_a_line_go_there_with_the_usual_bytes():
    found = with_trigger(Stimulator.model_validate(PROFILE), "/run/pipe").line
    assert (found.path, found.on, found.off) == ("/run/pipe", "01", "00")
