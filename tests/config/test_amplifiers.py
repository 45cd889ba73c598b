"""What a live pipeline takes from the amplifier that it names, and what of a rig nobody has measured."""

import sys
from pathlib import Path

import pytest

from closedloop.cli import main
from closedloop.config.device import Amplifier
from closedloop.config.load import (
    Loaded,
    check_file,
    load_device,
    load_device_of,
    load_pipeline,
    with_recording,
    with_trigger,
)
from closedloop.config.readiness import check_readiness
from closedloop.config.source import StreamQuery
from closedloop.errors import ConfigError

DEVICES = Path(__file__).parents[2] / "devices"
AMPLIFIERS = sorted(path.stem for path in DEVICES.glob("*.yaml") if "kind: amplifier" in path.read_text())
PLAYBACK = "  type: playback\n  recording: some.edf\n  start_s: 1.0\n  stop_s: 100.0\n  delay_s: 0.01\n"
AMPLIFIER = """\
kind: amplifier
name: Test amplifier
stream: {type: EEG, name: amp}
channels: [F3, C3, Fz, Fp1, F7, EMG]
unit: mV
delay: {delay_s: 0.037, origin: measured by nobody}
trigger: {channel: TRIG, latency_s: 0.004, threshold: 2.0, origin: measured by nobody}
range_uv: 16384
"""
UNMEASURED = AMPLIFIER.replace("0.037", "null")


@pytest.fixture
def live(written, pipeline_text, device_text):
    """Return a function that writes a live pipeline beside its devices; it returns what is loaded."""

    def load(source="  device: amp", amplifier=AMPLIFIER, device=device_text):
        written("devices/stimulator.yaml", device)
        written("devices/amp.yaml", amplifier)
        path, _ = written("pipelines/p.yaml", pipeline_text, PLAYBACK, f"  type: lsl\n{source}\n")
        return load_pipeline(path)

    return load


def real(device_text, latency="null", line="{path: /dev/ttyACM0}"):
    """Return the profile of a stimulator that stimulates somebody."""
    return device_text.replace(
        "driver: simulated", f"driver: trigger-only\nsettings: {{model: A box}}\nline: {line}"
    ).replace("latency_s: 0.01", f"latency_s: {latency}")


def test_an_amplifier_says_all_that_the_pipeline_does_not(live):
    pipeline = live().value
    source = pipeline.source
    assert source.delay_s == 0.037
    assert source.stream == StreamQuery(type="EEG", name="amp")
    assert source.channels == ("F3", "C3", "Fz", "Fp1", "F7", "EMG")
    assert source.unit == "mV"
    assert (source.trigger_channel.name, source.trigger_channel.threshold) == ("TRIG", 2.0)
    # A saturated input sits at the very end of the range, so that beyond means just before it.
    assert pipeline.gates.range_uv == pytest.approx(16384, rel=2e-3)
    assert pipeline.gates.range_uv < 16384


def test_what_the_pipeline_says_itself_holds(live):
    source = live(
        "  device: amp\n  stream: {name: mine}\n  channels: [O1]\n  unit: V\n"
        "  trigger_channel: {name: T, latency_s: 0.0}"
    ).value.source
    assert source.stream == StreamQuery(name="mine")
    assert (source.channels, source.unit, source.trigger_channel.name) == (("O1",), "V", "T")


def test_without_a_stream_and_an_amplifier_it_is_the_one_of_eeg(live):
    assert live("  delay_s: 0.02").value.source.stream == StreamQuery(type="EEG")


def test_a_delay_that_is_not_measured_counts_as_0_unless_the_pipeline_says_one(live):
    assert live(amplifier=UNMEASURED).value.source.delay_s == 0.0
    assert live("  device: amp\n  delay_s: 0.02", UNMEASURED).value.source.delay_s == 0.02


@pytest.mark.parametrize("name", AMPLIFIERS)
def test_a_shipped_amplifier_says_that_its_delay_is_not_measured_and_how_to_find_its_stream(name):
    amplifier = load_device(name)
    assert isinstance(amplifier, Amplifier)
    assert amplifier.delay.delay_s is None
    assert amplifier.delay.origin.startswith("not measured: closedloop latency ")
    assert amplifier.stream is not None
    assert check_file(DEVICES / f"{name}.yaml") == f"an amplifier, {amplifier.name}"


def test_a_rig_that_is_measured_may_do_all(live, device_text):
    pipeline = live(device=real(device_text, "0.002"))
    assert check_readiness(pipeline, load_device_of(pipeline)) == []


def test_a_live_session_with_a_real_stimulator_needs_the_amplifiers_delay(live, device_text, one_line_error):
    pipeline = live(amplifier=UNMEASURED, device=real(device_text, "0.002"))
    said = one_line_error(ConfigError, check_readiness, pipeline, load_device_of(pipeline))
    assert ": delay.delay_s = null: not measured: measure it by `closedloop latency PIPELINE --electrode " in said
    assert said.endswith("; until then a live session does not arm the Test stimulator")


def test_it_needs_the_stimulators_latency_as_well(live, device_text, one_line_error):
    pipeline = live(device=real(device_text))
    device = load_device_of(pipeline)
    said = one_line_error(ConfigError, check_readiness, pipeline, device)
    assert said.startswith(f"{device.path}:")
    assert ": latency.latency_s = null: measured by nobody; until then" in said
    assert device.value.latency.known_s == 0.0


def test_it_needs_something_that_fires_it(live, device_text, one_line_error):
    pipeline = live(device=real(device_text, "0.002", line="null"))
    device = load_device_of(pipeline)
    said = one_line_error(ConfigError, check_readiness, pipeline, device)
    assert said.startswith(f"{device.path}:")
    assert ": line = null: nothing fires it: name its trigger line" in said
    fired = Loaded(with_trigger(device.value, "/dev/ttyACM0"), device.document)
    assert check_readiness(pipeline, fired) == []
    assert check_readiness(with_recording(pipeline, "some.edf"), device) == []


def test_a_delay_that_the_pipeline_says_is_enough(live, device_text):
    pipeline = live("  device: amp\n  delay_s: 0.02", UNMEASURED, real(device_text, "0.002"))
    assert check_readiness(pipeline, load_device_of(pipeline)) == []


def test_where_nobody_is_stimulated_it_is_only_told(live, device_text):
    pipeline = live(amplifier=UNMEASURED, device=device_text.replace("latency_s: 0.01", "latency_s: null"))
    told = check_readiness(pipeline, load_device_of(pipeline))
    assert [line.partition(" = ")[0].rsplit(" ", 1)[1] for line in told] == ["delay.delay_s", "latency.latency_s"]


def test_in_playback_it_is_only_told(live, device_text):
    pipeline = with_recording(live(amplifier=UNMEASURED, device=real(device_text)), "some.edf")
    (told,) = check_readiness(pipeline, load_device_of(pipeline))
    assert "latency.latency_s = null" in told


def test_the_command_says_it_in_one_line(live, device_text, monkeypatch, capsys):
    pipeline = live(amplifier=UNMEASURED, device=real(device_text))
    monkeypatch.setattr(sys, "argv", ["closedloop", "run", str(pipeline.path)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert "closedloop latency" in said
