"""`closedloop play` as its users run it: what a receiver gets, what it says, how it fails and stops."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pylsl
import pytest
from pylsl.util import LostError

from closedloop import cli
from closedloop.cli.performance import load_stimulator
from closedloop.scheduling import ask_for_realtime
from closedloop.sources.library import open_recording
from closedloop.stimulators.simulated import pulse_waveform

PROGRAM = str(Path(sys.executable).with_name("closedloop"))
RECORDING = "synthetic-alpha"


@contextmanager
def playing(cwd, *arguments):
    """Run the installed command beside the test; it is gone at the end."""
    program = subprocess.Popen(
        [PROGRAM, "play", RECORDING, *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        try:
            yield program
        finally:
            if program.poll() is None:
                program.kill()


def unique(word):
    """Return a name that no other run of the tests on this machine uses now."""
    return f"{word}-{os.getpid()}"


def connect(value, key="source_id"):
    (found,) = pylsl.resolve_byprop(key, value, timeout=20.0)
    inlet = pylsl.StreamInlet(found, recover=False)
    inlet.open_stream(timeout=5.0)
    return inlet


def receive(inlet, program):
    """Return what comes until the program ends: arrays of shape (n_samples, n_channels) and (n_samples,)."""
    values, stamps_s = [], []
    while program.poll() is None:
        try:
            more, stamps = inlet.pull_chunk(timeout=0.02)
        except LostError:
            program.wait(10.0)
            break
        values.extend(more)
        stamps_s.extend(stamps)
    return np.array(values), np.array(stamps_s)


@pytest.fixture
def main(tmp_path, monkeypatch, capfd):
    """Return a function that runs the command's own main() here, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["closedloop", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, ended.value.code or 0, out, err)

    return run


# What it does


def test_a_part_of_a_recording_arrives_whole_and_on_time(tmp_path):
    options = ["--start", 10, "--stop", 10.4, "--chunk", 4, "--format", "double64", "--unit", "V", "--json"]
    with playing(tmp_path, *options, "--source-id", unique("part")) as program:
        values, stamps_s = receive(connect(unique("part")), program)
        out, err = program.communicate(timeout=10)
    recording = open_recording(RECORDING).between(10.0, 10.4)
    np.testing.assert_allclose(values, recording.samples * 1e-6, rtol=1e-12)
    sent = json.loads(out)
    np.testing.assert_array_equal(stamps_s, sent["first_stamp_s"] + np.arange(100) / recording.sfreq)
    assert (program.returncode, sent["status"], sent["samples"], sent["pushes"]) == (0, "complete", 100, 25)
    assert 0.0 <= sent["last_deviation_ms"] <= sent["largest_deviation_ms"]
    # Where the receiver is quicker than the first look, nothing is waited for.
    assert err in {
        "",
        f"waiting until somebody listens to closedloop-play (source id {unique('part')}); --at-once does not\n",
    }


def test_it_announces_the_recordings_channels_and_so_many_times_its_rate(tmp_path):
    name = unique("amp")
    with playing(tmp_path, "--speed", 2, "--name", name, "--type", "Test") as program:
        info = connect(name, "name").info(timeout=5.0)
        program.terminate()
        program.wait(10.0)
    recording = open_recording(RECORDING)
    assert (info.name(), info.type(), info.nominal_srate()) == (name, "Test", 2 * recording.sfreq)
    assert info.source_id() == f"closedloop-play-{RECORDING}.edf"
    assert tuple(info.get_channel_labels()) == recording.names


def test_a_recording_goes_round_until_its_time_is_over(main):
    done = main("play", RECORDING, "--stop", 0.1, "--loop", "--duration", 0.3, "--at-once")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("75 samples were sent in 75 pushes, 0 triggers seen; behind the timetable by ")
    assert done.stdout.endswith("Research software, not a medical device.\n")


def test_triggers_leave_pulses_in_the_eeg(tmp_path):
    options = ["--stop", 1.2, "--trigger", "trigger", "--artifacts", "--trigger-channel", "trigger", "--json"]
    with playing(tmp_path, *options, "--source-id", unique("triggers")) as program:
        inlet = connect(unique("triggers"))
        time.sleep(0.2)
        (tmp_path / "trigger").write_bytes(b"\x01\x00")
        values, _ = receive(inlet, program)
        out, _ = program.communicate(timeout=10)
    assert json.loads(out)["triggers"] == 1
    assert not (tmp_path / "trigger").exists()
    recording = open_recording(RECORDING).between(0.0, 1.2)
    added = values[:, :-1] - recording.samples
    first = np.flatnonzero(np.abs(added[:, 0]) > 1000.0)[0]
    edge = np.flatnonzero(values[:, -1])[0]
    # 10 ms from trigger to pulse and 10 ms from electrode to stamp are five samples of 4 ms.
    assert first - edge == 5
    waveform = pulse_waveform(load_stimulator("simulated").artifact, recording.sfreq)
    shown = waveform[: len(added) - first]
    for column in range(added.shape[1]):
        np.testing.assert_allclose(added[first : first + shown.size, column], shown, atol=0.01)


# How it fails


def occupy(folder):
    (folder / "trigger").write_text("mine")


BAD = {
    "an unknown recording": (["play", "nobody"], ["nobody: there is no such file, and no recording of that name"]),
    "a part that is not there": (["--start", 140, "--stop", 170], ["the range from 140 to 170 s", "its 150 s"]),
    "a drop that is none": (["--drop", "soon"], ["--drop soon: must be START:N"]),
    "a fault that is none": (["--fault", "melt@3"], ["--fault melt@3: must be KIND@START[:AMOUNT]"]),
    "a fault after the end": (["--stop", 5, "--fault", "swap@6"], ["swap at 6 s: the stream has ended", "5 s"]),
    "a speed of 0": (["--speed", 0], ["--speed 0: must lie between 0.01 and 100"]),
    "a chunk of 0": (["--chunk", 0], ["--chunk 0: must lie between 1 and 100000"]),
    "a speed beside which nothing else would run": (
        ["--speed", 2, "--realtime"],
        ["--speed 2 with --realtime: limit 1"],
    ),
    "a speed that is no number": (["--speed", "nan"], ["--speed nan: must lie between 0.01 and 100"]),
    "a duration of 0": (["--duration", 0], ["--duration 0: must be above 0 s"]),
    "artifacts without triggers": (["--artifacts"], ["--artifacts: needs triggers", "--trigger PATH"]),
    "a channel without triggers": (["--trigger-channel", "T"], ["--trigger-channel: needs triggers"]),
    "a divider without triggers": (["--divider", "F3=100"], ["--divider: needs triggers"]),
    "markers without triggers": (["--markers"], ["--markers: needs triggers"]),
    "a pipe where something is": (["--trigger", "trigger"], ["--trigger trigger: exists already"]),
    "a divider at no electrode": (["--trigger", "pipe", "--divider", "F4=100"], ["there is no channel F4", "F3"]),
    "a divider without a height": (["--trigger", "pipe", "--divider", "F3"], ["--divider F3: must be CHANNEL=UV"]),
    "a name that is taken": (
        ["--trigger", "pipe", "--trigger-channel", "F3"],
        ["--trigger-channel F3:", "that name"],
    ),
    "an unknown device": (["--trigger", "pipe", "--artifacts", "--device", "coil"], ["--device coil", "simulated"]),
    "a unit in which it vanishes": (["--format", "int16", "--unit", "mV"], ["Fp1", "mV", "at least 1"]),
    "a unit in which it overflows": (["--format", "int16", "--unit", "nV"], ["Fp1 reaches", "nV", "32767"]),
    "no number in whole numbers": (["--format", "int32", "--unit", "nV", "--fault", "nan@1"], ["int32 knows no NaN"]),
}


@pytest.mark.parametrize(("arguments", "named"), BAD.values(), ids=BAD.keys())
def test_a_mistake_is_one_line_and_no_stream_begins(main, tmp_path, arguments, named):
    occupy(tmp_path)
    done = main(*(arguments if arguments[0] == "play" else ["play", RECORDING, "--at-once", *arguments]))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    for part in named:
        assert part in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["trigger"]
    assert (tmp_path / "trigger").read_text() == "mine"


def test_real_time_scheduling_that_is_not_permitted_is_said_before_a_stream_begins(main, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)
    done = main("play", RECORDING, "--at-once", "--realtime")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: --realtime: SCHED_FIFO: not permitted; allow it with rtprio 60 in /etc/security/limits.conf\n"
    )


def test_with_real_time_scheduling_all_that_sends_has_it(tmp_path):
    if why_not := ask_for_realtime():
        pytest.skip(why_not)
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    name = unique("realtime")
    with playing(tmp_path, "--source-id", name, "--duration", 20, "--realtime") as program:
        inlet = connect(name)
        inlet.pull_sample(timeout=5.0)
        threads = [int(path.name) for path in Path(f"/proc/{program.pid}/task").iterdir()]
        scheduled = [os.sched_getscheduler(thread) == os.SCHED_FIFO for thread in threads]
        assert scheduled[threads.index(program.pid)]
        assert sum(scheduled) >= 3  # what pushes, and what liblsl sends with
        inlet.close_stream()


def test_its_help_has_an_example(main):
    done = main("play", "--help")
    assert done.returncode == 0
    assert "Example: closedloop play " in " ".join(done.stdout.replace("│", " ").split())


# How it stops


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_cleanly_and_it_says_what_was_sent(tmp_path, number):
    options = ["--trigger", "trigger", "--json", "--source-id", unique(f"signal-{int(number)}")]
    with playing(tmp_path, *options) as program:
        inlet = connect(options[-1])
        inlet.pull_sample(timeout=5.0)
        program.send_signal(number)
        out, err = program.communicate(timeout=10)
    sent = json.loads(out)
    assert (program.returncode, sent["status"]) == (130, "interrupted")
    *before, last = err.splitlines()
    assert last == (
        f"error: interrupted: {sent['samples']} samples were sent in {sent['pushes']} pushes, 0 triggers seen; "
        "the stream is closed"
    )
    assert all(line.startswith("waiting until somebody listens") for line in before)
    assert not (tmp_path / "trigger").exists()


def test_a_signal_ends_it_while_nobody_listens(tmp_path):
    with playing(tmp_path, "--trigger", "trigger") as program:
        while program.poll() is None and not (tmp_path / "trigger").exists():
            time.sleep(0.005)
        program.terminate()
        out, err = program.communicate(timeout=10)
    assert (program.returncode, out) == (130, "")
    assert err.splitlines()[-1].startswith("error: interrupted: 0 samples were sent")
    assert not (tmp_path / "trigger").exists()


def test_it_dies_when_it_is_told_to(tmp_path):
    with playing(tmp_path, "--fault", "die@0.2", "--source-id", unique("die")) as program:
        values, stamps_s = receive(connect(unique("die")), program)
        program.communicate(timeout=10)
    assert program.returncode == -signal.SIGKILL
    assert stamps_s[-1] - stamps_s[0] <= 0.2
    np.testing.assert_allclose(values, open_recording(RECORDING).samples[: len(values)], rtol=1e-6)
