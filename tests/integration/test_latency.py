"""``closedloop latency``: triggers go out through a pipe and come back in the stand-in amplifier's stream."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from closedloop.cli import main

PROGRAM = Path(sys.executable).with_name("closedloop")
DELAY_S = 0.012
"""What the stand-in amplifier takes from electrode to time stamp."""
PIPELINE = """
name: Rig
source: {{type: lsl, device: amp, stream: {{source_id: {source_id}}}}}
signals: {{alpha: {{spatial: {{type: single, channel: O1}}, estimator: {{type: wiener}}}}}}
target: {{signal: alpha, conditions: [{{name: trough, phase_deg: 180}}]}}
protocol: {{type: single_pulse, pulses: 10, min_interval_s: 2.0}}
stimulator: {{device: simulated, intensity: {{percent_of_maximum: 10}}}}
limits: {{max_pulses: 10}}
"""
AMPLIFIER = """
kind: amplifier
name: Stand-in   # not a real one
delay: {delay_s: 0.03, origin: guessed}
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """A playing stand-in amplifier that sees the triggers of a pipe, and a pipeline that names it."""
    folder = tmp_path_factory.mktemp("rig")
    for name in ("pipelines", "devices"):
        (folder / name).mkdir()
    source_id = f"rig-{os.getpid()}"
    (folder / "pipelines" / "rig.yaml").write_text(PIPELINE.format(source_id=source_id))
    (folder / "devices" / "amp.yaml").write_text(AMPLIFIER)
    pipe = folder / "trigger"
    options = ["--trigger", pipe, "--trigger-channel", "TRIG", "--divider", "Fp1=2000", "--markers"]
    identity = ["--name", source_id, "--source-id", source_id, "--delay", str(DELAY_S)]
    with subprocess.Popen(
        [PROGRAM, "play", "synthetic-alpha", "--loop", "--at-once", *options, *identity], stderr=subprocess.DEVNULL
    ) as player:
        deadline = time.monotonic() + 20.0
        while not pipe.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield folder, source_id, pipe
        player.terminate()


@pytest.fixture
def measure(rig, monkeypatch, capsys):
    """Return a function that runs the command in this process, which has all compiled, and returns what it said."""
    folder, _, pipe = rig
    monkeypatch.chdir(folder)

    def run(*arguments, status=0):
        fired = ["--trigger", str(pipe), "--pulses", "12", "--interval", "0.15"]
        monkeypatch.setattr(sys, "argv", ["closedloop", "latency", "pipelines/rig.yaml", *fired, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert (ended.value.code or 0) == status, said.err
        return said

    return run


def test_an_electrode_shows_the_delay_and_it_is_written_where_the_amplifier_is_described(
    rig, measure, capsys, monkeypatch
):
    said = measure("--electrode", "Fp1", "--json", "--write", "--out", "electrode")
    found = json.loads(said.out[: said.out.rindex("}") + 1])
    assert found["seen"] == found["fired"] == 12
    # The stand-in amplifier reads the pipe at its own pace: a loaded machine adds some ms.
    assert DELAY_S * 1e3 - 1.0 <= found["delay_ms"] <= DELAY_S * 1e3 + 6.0
    assert found["write_late_ms"]["n"] == 12
    written = (rig[0] / "devices" / "amp.yaml").read_text()
    assert "# not a real one" in written
    assert "12 test triggers in the electrode input Fp1" in written
    assert f"delay_s: {round(found['delay_ms'] / 1e3, 5):g}" in written
    # The record of a measurement replays like a session's.
    monkeypatch.setattr(sys, "argv", ["closedloop", "replay", "electrode"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert capsys.readouterr().out.startswith("same: ")


def test_a_trigger_channel_is_shown_as_a_table_with_its_distribution(measure):
    said = measure("--channel", "TRIG")
    assert "Triggers seen in TRIG (trigger channel)" in said.out
    assert "Research software, not a medical device." in said.out


def test_a_marker_stream_shows_triggers_without_the_electrodes_delay(rig, measure):
    found = json.loads(measure("--markers", f"{rig[1]}-markers", "--json").out)
    assert (found["seen"], found["period_ms"]) == (12, 0.0)
    assert found["lag_ms"]["p50"] < DELAY_S * 1e3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say where triggers are seen"),
        (("--channel", "TRIG", "--electrode", "Fp1"), "give one of --channel, --electrode and --markers"),
        (("--electrode", "Cz9"), "has no channel Cz9"),
        (("--electrode", "O1"), "0 of 12 triggers were seen in O1"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_line(measure, arguments, said):
    assert said in measure(*arguments, status=2).err


def test_a_measurement_that_is_broken_off_writes_nothing(rig, measure):
    folder, profile = rig[0] / "broken-off", rig[0] / "devices" / "amp.yaml"
    before = profile.read_text()

    ended = threading.Event()

    def interrupt():
        while not (folder / "state.npz").exists():
            if ended.wait(0.05):
                return
        if not ended.wait(1.0):  # some triggers have been seen by now
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        said = measure("--electrode", "Fp1", "--write", "--out", folder.name, "--pulses", "100", status=130)
    finally:
        ended.set()
        thread.join()
    assert " of 100 triggers; nothing was written into devices/" in said.err
    assert profile.read_text() == before
    assert json.loads((folder / "session.json").read_text())["status"] == "interrupted"
