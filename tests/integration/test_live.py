"""`closedloop run` on a live stream as its users run it, beside `closedloop play`, each a process of its own.

A session takes half a minute, most of it the rest from which it is calibrated. So the sessions run at the same time,
in two groups, once, and the tests look at what came of them. Mistakes that end a session before its rest are made in
this process meanwhile, which need not be started for each.
"""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pylsl
import pytest
from pylsl.util import LostError

from closedloop import cli
from closedloop.config.device import Latency
from closedloop.config.line import BytesLine, CommandLine
from closedloop.config.load import load_device, resolved_yaml
from closedloop.dose.record import counters_path
from closedloop.files import DISCLAIMER
from closedloop.outlet import Outlet
from closedloop.standins.table import SETTINGS, STANDINS
from closedloop.standins.terminal import Terminal as StandInTerminal
from closedloop.standins.trigger_input import TriggerInput

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="the live loop runs on Linux"),
]

PROGRAM = str(Path(sys.executable).with_name("closedloop"))
RECORDING = "synthetic-alpha"
CHANNELS = ["Fp1", "F7", "F3", "Fz", "C3"]
SFREQ = 250.0
DURATION_S = 7.0
PATIENCE_S = 100.0
TERMINAL_COLUMNS = 200
ON_TERMINAL = [
    sys.executable,
    "-c",
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])",
]
"""Makes standard input the terminal that ends a program when it is lost."""

PIPELINE = """\
name: {name}
source: {{type: lsl, stream: {{{stream}}}, delay_s: 0.010, wait_s: {wait_s}}}
conditioning: {{high_pass_hz: 0.5, notch_hz: 50}}
calibration: {{duration_s: 20}}
signals:
  alpha:
    spatial: {{type: hjorth, center: F3, neighbours: [Fp1, F7, C3, Fz]}}
    estimator: {{type: wiener}}
target:
  signal: alpha
  conditions: [{{name: trough, phase_deg: 180, marker: 1}}, {{name: random, phase_deg: random, marker: 2}}]
  withhold: 0.2
gates: {{rhythm_snr_db: 0, max_phase_sd_deg: 60, hold_after_pulse_s: 0.1}}
protocol: {{type: single_pulse, pulses: 200, min_interval_s: {interval_s}}}
stimulator: {{device: {device}, intensity: {{percent_of_maximum: 40}}}}
limits: {{max_pulses: 200, max_lateness_s: 0.01}}
"""
SIGNALS = ("SIGTERM", "SIGINT")
MISHAPS = {"disabled": lambda terminal: terminal.act("press-disable"), "unplugged": StandInTerminal.vanish}
"""What happens to a stimulator in the midst of a session."""
STOOD_IN = ("by-line", "by-command", *MISHAPS)
"""Sessions with a stimulator: fired by a trigger line, by its own command, and those with a mishap."""


@dataclass
class Program:
    """A command that runs, or has run, with what it wrote."""

    process: subprocess.Popen | None
    out_path: Path
    err_path: Path
    folder: Path | None = None
    status: int | None = None

    @property
    def out(self) -> str:
        return self.out_path.read_text()

    @property
    def err(self) -> str:
        return self.err_path.read_text()

    @property
    def session(self) -> dict[str, Any]:
        return json.loads((self.folder / "session.json").read_text())

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "summary.json").read_text())

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "events.jsonl").read_text().splitlines()]


def wait_for(condition, what):
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, f"waited {PATIENCE_S:g} s in vain for {what}"
        time.sleep(0.02)


class Stage:
    """Starts commands in one folder, and what is left of them at the end is killed."""

    def __init__(self, path, stack):
        self.path, self._stack = path, stack

    def start(self, name, *arguments, folder=None, terminal=None):
        out_path, err_path = self.path / f"{name}.out", self.path / f"{name}.err"
        with out_path.open("w") as out, err_path.open("w") as err:
            process = subprocess.Popen(
                [*([] if terminal is None else ON_TERMINAL), PROGRAM, *map(str, arguments)],
                cwd=self.path,
                stdin=subprocess.DEVNULL if terminal is None else terminal.theirs,
                stdout=out,
                stderr=err if terminal is None else terminal.theirs,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "CLOSEDLOOP_DOSE": str(self.path / "dose")},
                start_new_session=terminal is not None,
            )
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        return Program(process, out_path, err_path, folder)

    def play(self, name, *arguments):
        return self.start(name, "play", RECORDING, "--loop", "--source-id", name, "--json", *arguments)

    def run(self, name, *arguments, stream="source_id: amplifier", device="simulated", **options):
        """Start a live session of a pipeline of that name."""
        return self.start(
            name, *self._session(name, stream, device=device), *arguments, folder=self._folder(name), **options
        )

    def run_here(self, name, *arguments, stream="source_id: amplifier", **options):
        """Run a session that fails in this process, to its end."""
        program = Program(None, self.path / f"{name}.out", self.path / f"{name}.err", self._folder(name))
        session = self._session(name, stream, wait_s=1, **options)
        before, sys.argv = sys.argv, ["closedloop", *map(str, [*session, *arguments])]
        try:
            with (
                program.out_path.open("w") as out,
                program.err_path.open("w") as err,
                redirect_stdout(out),
                redirect_stderr(err),
                pytest.raises(SystemExit) as ended,
            ):
                cli.main()
        finally:
            sys.argv = before
        program.status = ended.value.code
        return program

    def _folder(self, name):
        return self.path / f"session-{name}"

    def _session(self, name, stream, *, device="simulated", wait_s=60, interval_s=0.3):
        path = self.path / f"{name}.yaml"
        path.write_text(PIPELINE.format(name=name, stream=stream, wait_s=wait_s, device=device, interval_s=interval_s))
        return ["run", path, "--out", self._folder(name), "--surrogates", 0, "--json"]


def end(program):
    program.status = program.process.wait(PATIENCE_S)


# Streams that a session cannot use


def announce(source_id, *, labels=CHANNELS, unit="microvolts", kind="EEG", rate=SFREQ, number_format="float32"):
    """Return an outlet; none of those that are refused at once ever sends a sample."""
    info = pylsl.StreamInfo(source_id, kind, len(labels), rate, number_format, source_id)
    channels = info.desc().append_child("channels")
    for label in labels:
        channel = channels.append_child("channel")
        for key, value in (("label", label), ("unit", unit), ("type", kind)):
            channel.append_child_value(key, value)
    return Outlet(info)


@contextmanager
def feeding(outlet, *, uv, rate):
    """Send noise at a true rate in Hz, in a thread."""
    over = threading.Event()
    noise = uv * np.random.default_rng(1).standard_normal((100_000, len(CHANNELS)))

    def feed():
        start_s, sent = pylsl.local_clock(), 0
        while not over.wait(0.05):
            due = int((pylsl.local_clock() - start_s) * rate)
            if due > sent:
                stamps_s = [start_s + k / rate for k in range(sent, due)]
                outlet.push_chunk(noise[sent:due].tolist(), stamps_s)
                sent = due

    thread = threading.Thread(target=feed, name="feeder")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


MISTAKES = {
    "no stream": ("type: Nothing", ["no stream with type='Nothing' within 1 s (source.wait_s); there: ", "twin-a"]),
    "wrong labels": ("source_id: other-labels", ["channel F3 is not in the stream other-labels", "O1"]),
    "no labels": ("source_id: no-labels", ["names 0 of its 5 channels (desc/channels/channel/label)"]),
    "no unit": ("source_id: no-unit", ["does not say the unit of channel Fp1: give it as source.unit"]),
    "markers": ("source_id: markers", ["holds text, not EEG: name the EEG stream"]),
    "no rate": ("source_id: no-rate", ["has no sampling rate (it says 0 Hz)"]),
    "two streams": ("type: Twin", ["2 streams match type='Twin' (limit: 1)", "name one by source_id", "twin-a"]),
}
LATE_MISTAKES = {
    "volts called microvolts": ("source_id: volts", ["which no EEG does", "is it in microvolts, as it says?"]),
    "another rate": ("source_id: slow", ["its samples come at 243.", "but it says 250 Hz (limit: 1 % apart)"]),
}
"""Those that only the rest shows."""


def open_bad_streams():
    """Return the outlets that the mistakes need, by name."""
    return {
        "other-labels": announce("other-labels", labels=["O1", "O2", "P3", "P4", "Pz"]),
        "no-labels": announce("no-labels", labels=[""] * 5),
        "no-unit": announce("no-unit", unit=""),
        "markers": announce("markers", labels=["marker"], kind="Markers", rate=0.0, number_format="string"),
        "no-rate": announce("no-rate", rate=0.0),
        "twin-a": announce("twin-a", kind="Twin"),
        "twin-b": announce("twin-b", kind="Twin"),
        "volts": announce("volts"),
        "slow": announce("slow"),
    }


# What others see of a session


@dataclass
class Seen:
    """A stream of a running session."""

    info: pylsl.StreamInfo
    samples: list = field(default_factory=list)
    stamps_s: list[float] = field(default_factory=list)

    def channels(self):
        found, channel = [], self.info.desc().child("channels").child("channel")
        while not channel.empty():
            found.append(tuple(channel.child_value(key) for key in ("label", "unit", "type")))
            channel = channel.next_sibling()
        return found


def listen(name, process):
    """Return what a session sends from when it is found until it ends."""
    seen, inlets = {}, {}
    for kind in ("decisions", "alpha"):
        (found,) = pylsl.resolve_byprop("source_id", f"closedloop-{kind}-{name}", timeout=PATIENCE_S)
        inlets[kind] = pylsl.StreamInlet(found, recover=False)
        inlets[kind].open_stream(timeout=10.0)
        seen[kind] = Seen(inlets[kind].info(timeout=10.0))
    while process.poll() is None and inlets:
        for kind in list(inlets):
            try:
                samples, stamps_s = inlets[kind].pull_chunk(timeout=0.02)
            except LostError:
                del inlets[kind]
                continue
            seen[kind].samples.extend(samples)
            seen[kind].stamps_s.extend(stamps_s)
    return seen


class Terminal:
    """A pseudo-terminal whose screen is read and whose keys are pressed."""

    def __init__(self):
        self._ours, self.theirs = pty.openpty()
        import termios

        termios.tcsetwinsize(self.theirs, (50, TERMINAL_COLUMNS))
        self.text = ""

    def read(self, timeout_s=0.0):
        while select.select([self._ours], [], [], timeout_s)[0]:
            try:
                more = os.read(self._ours, 65536)
            except OSError:  # nobody has the other end any more
                return
            self.text += more.decode(errors="replace")

    def expect(self, part):
        """Wait for a text and forget all before it."""

        def found():
            self.read()
            return part in self.text

        wait_for(found, f"{part!r} on the terminal")
        self.text = self.text.partition(part)[2]

    def press(self, key):
        os.write(self._ours, key.encode())

    def close(self):
        for fd in (self._ours, self.theirs):
            if fd >= 0:
                os.close(fd)
        self._ours = self.theirs = -1


def press_keys(terminal, process):
    """Pause, resume, arm and stop, each once the one before can be seen."""
    shown = []
    for key, state in (("", " ARMED "), ("p", " PAUSED "), ("r", " ARMED "), ("a", "asked to arm"), ("s", "")):
        terminal.press(key)
        if state:
            terminal.expect(state)
            shown.append(state)
            time.sleep(0.3)
    while process.poll() is None:
        terminal.read(0.05)
    return shown


class StoodIn:
    """A stand-in for a real stimulator, and the profile that leads to it: by a trigger input, or by its own command.

    Attributes
    ----------
    standin
        Its behaviour.
    subject
        Whom it stimulates.
    terminal
        Its wire.
    trigger
        Its trigger input; None: it is fired by command.
    device
        Path of the profile.
    """

    def __init__(self, path, stack, name, *, device="magventure-x100", by_command=False):
        self.standin, self.subject = STANDINS[device](), f"{name}-{os.getpid()}"
        self.terminal = stack.enter_context(StandInTerminal(self.standin))
        stack.callback(counters_path(self.subject).unlink, missing_ok=True)
        shipped = load_device(device)
        more = {
            "settings": {**shipped.settings, **SETTINGS.get(device, {}), "port": self.terminal.path},
            "latency": Latency(latency_s=0.01, origin="set by a test"),
            "limits": shipped.limits.model_copy(update={"min_interval_s": 0.02}),
        }
        if by_command:
            self.trigger = None
            more["line"] = CommandLine(kind="command", spread_s=0.01)
        else:
            self.trigger = stack.enter_context(TriggerInput(path / f"trigger-{name}", self.terminal))
            more["line"] = BytesLine(path=str(self.trigger.path))
        self.device = path / f"device-{name}.yaml"
        self.device.write_text(resolved_yaml(shipped.model_copy(update=more)))


@dataclass
class Rehearsal:
    """All that ran."""

    programs: dict[str, Program]
    seen: dict[str, Seen]
    shown: list[str]
    stood_in: dict[str, StoodIn]


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    """Run every session of this file at the same time."""
    path = tmp_path_factory.mktemp("live")
    programs: dict[str, Program] = {}
    mistaken: dict[str, Program] = {}
    with ExitStack() as stack:
        stage = Stage(path, stack)
        terminal = Terminal()
        stack.callback(terminal.close)
        # Compiled once, not by six programs at the same time.
        import_module("closedloop.session.live")
        streams = open_bad_streams()
        stack.callback(streams.clear)
        stack.enter_context(feeding(streams["volts"], uv=1e-5, rate=SFREQ))
        stack.enter_context(feeding(streams["slow"], uv=10.0, rate=SFREQ / 1.025))
        for name in SIGNALS:
            programs[name] = stage.run(name)
        lost = Terminal()
        stack.callback(lost.close)
        programs["lost terminal"] = stage.run("lost-terminal", terminal=lost)
        programs["keys"] = stage.run("keys", terminal=terminal)
        for name, (query, _) in LATE_MISTAKES.items():
            programs[name] = stage.run(name.replace(" ", "-"), stream=query)
        wait_for((path / "session-SIGTERM").exists, "a session before its amplifier")
        programs["amplifier"] = stage.play("amplifier", "--trigger", "trigger")
        wait_for((path / "trigger").exists, "the amplifier's pipe")
        programs["whole"] = stage.run("whole", "--duration", DURATION_S, "--trigger", "trigger")
        stood_in = {name: StoodIn(path, stack, name, by_command=name == "by-command") for name in STOOD_IN}
        watchers = [
            threading.Thread(target=interrupt, args=(programs[name], getattr(signal, name))) for name in SIGNALS
        ]
        watchers.append(threading.Thread(target=lose, args=(lost,)))
        seen, shown = {}, []
        watchers.append(threading.Thread(target=lambda: seen.update(listen("whole", programs["whole"].process))))
        watchers.append(threading.Thread(target=lambda: shown.extend(press_keys(terminal, programs["keys"].process))))
        for watcher in watchers:
            watcher.start()
        for name, (query, _) in MISTAKES.items():
            mistaken[name] = stage.run_here(name.replace(" ", "-"), stream=query)
        rapid = StoodIn(path, stack, "too-fast", device="magstim-rapid-squared")  # which nobody asks
        mistaken["too fast"] = stage.run_here(
            "too-fast", "--subject", rapid.subject, device=rapid.device, interval_s=0.03
        )
        coilless = StoodIn(path, stack, "no-coil")
        coilless.terminal.act("remove-coil")
        mistaken["no coil"] = stage.run_here("no-coil", "--subject", coilless.subject, device=coilless.device)
        mistaken["nobody"] = stage.run_here("nobody", device=stood_in["by-line"].device)
        for watcher in watchers:
            watcher.join()
        # Those with a stimulator come after the others: so many at a time would be late for their devices.
        for name, device in stood_in.items():
            programs[name] = stage.run(
                name, "--duration", DURATION_S, "--subject", device.subject, device=device.device
            )
        for name, befall in MISHAPS.items():
            pulses_s = stood_in[name].standin.pulses_s
            wait_for(lambda pulses_s=pulses_s: pulses_s, "a session's first pulse")
            befall(stood_in[name].terminal)
        for name, program in programs.items():
            if name != "amplifier":
                end(program)
        programs["amplifier"].process.terminate()
        end(programs["amplifier"])
        programs["replay"] = stage.start("replay", "replay", programs["whole"].folder)
        end(programs["replay"])
        programs["dose"] = stage.start("dose", "dose", stood_in["by-line"].subject, "--json")
        end(programs["dose"])
        yield Rehearsal({**programs, **mistaken}, seen, shown, stood_in)


def wait_until_armed(program):
    wait_for(lambda: "\narmed" in program.err or program.process.poll() is not None, "a session to be armed")
    time.sleep(1.5)


def interrupt(program, number):
    """Send a signal to a session a little after it has been armed."""
    wait_until_armed(program)
    program.process.send_signal(number)


def lose(terminal):
    """Close a terminal a little after its session has been armed, which sends SIGHUP."""
    terminal.expect(" ARMED ")
    time.sleep(1.0)
    terminal.close()


@pytest.fixture
def whole(rehearsal):
    return rehearsal.programs["whole"]


def outcomes(events):
    return [event["outcome"] for event in events]


# A session with a stimulator


@pytest.fixture(params=["by-line", "by-command"])
def with_stimulator(rehearsal, request):
    return rehearsal.programs[request.param], rehearsal.stood_in[request.param]


def test_a_session_arms_a_stimulator_over_its_port_fires_it_and_leaves_it_disarmed(with_stimulator):
    program, stood_in = with_stimulator
    confirmed = [json.loads(line) for line in (program.folder / "confirmed.jsonl").read_text().splitlines()]
    assert len(confirmed) == outcomes(program.events).count("delivered")
    # By command, what waits for too long on a busy machine is no pulse, and disarms.
    late = [line["number"] for line in confirmed if line["confirmed"] == "no"]
    assert program.status == (2 if late else 0), program.err
    assert len(stood_in.standin.pulses_s) == len(confirmed) - len(late) > 0
    assert not stood_in.standin.state.enabled
    assert program.session["stimulator"]["model"] == "MagVenture MagPro X100"
    assert program.session["stimulator"]["percent_of_maximum"] == 40.0
    assert program.summary["calibration"]["rest_per_minute"] > 20.0
    assert (program.session["verified"], program.session["replayable"]) == (True, True)


def test_each_pulse_is_one_edge_at_its_trigger_input(rehearsal):
    stood_in = rehearsal.stood_in["by-line"]
    delivered = outcomes(rehearsal.programs["by-line"].events).count("delivered")
    assert stood_in.trigger.edges == stood_in.trigger.fired == len(stood_in.standin.pulses_s) == delivered


def test_who_fires_by_command_is_told_how_exact_that_is(rehearsal):
    program = rehearsal.programs["by-command"]
    assert "pulses spread over 10 ms" in program.err
    assert any("fires by its own command" in said["message"] for said in program.summary["messages"])


def test_a_session_that_ends_disarmed_has_not_gone_well(rehearsal):
    program = rehearsal.programs["disabled"]
    assert program.status == 2
    last = program.err.splitlines()[-1]
    assert last.startswith("error: the session ended disarmed: MagVenture MagPro X100: ")
    assert program.session["status"] == program.summary["status"] == "interrupted"
    assert program.session["verified"]
    # A trigger that left before the device's word of its button came meets a device that is disabled.
    assert outcomes(program.events).count("delivered") == rehearsal.stood_in["disabled"].trigger.edges


def test_a_session_whose_stimulator_is_unplugged_keeps_all_that_it_has(rehearsal):
    program, stood_in = rehearsal.programs["unplugged"], rehearsal.stood_in["unplugged"]
    assert program.status == 2
    last = program.err.splitlines()[-1]
    assert last.startswith("error: the session ended disarmed: MagVenture MagPro X100: ")
    assert f"the port {stood_in.terminal.path} cannot be read: the device has gone; it may still be enabled" in last
    assert last.count(stood_in.terminal.path) == 1
    assert program.session["status"] == program.summary["status"] == "interrupted"
    assert (program.session["verified"], program.session["replayable"]) == (True, True)
    assert program.summary["delivered"] == outcomes(program.events).count("delivered") > 0
    assert (program.folder / "report.png").exists()


def test_what_it_gave_counts_in_the_subjects_dose_record(rehearsal):
    told, program = json.loads(rehearsal.programs["dose"].out), rehearsal.programs["by-line"]
    delivered = outcomes(program.events).count("delivered")
    assert (told["in_24_h"], told["in_all"]) == (delivered, delivered)
    assert program.session["subject"] == rehearsal.stood_in["by-line"].subject
    assert program.session["dose"] == {"in_day_before": 0, "in_course_before": 0}


def test_a_real_stimulator_without_a_subject_is_refused(rehearsal):
    nobody = rehearsal.programs["nobody"]
    assert nobody.status == 2
    assert "--subject is missing" in nobody.err
    assert not nobody.folder.exists()


def test_a_rate_that_the_device_cannot_do_at_that_power_is_refused(rehearsal):
    program = rehearsal.programs["too fast"]
    assert program.status == 2
    last = program.err.splitlines()[-1]
    assert last.endswith(
        ": protocol.min_interval_s: frequency_hz = 33.4: is above 28, the highest that the Magstim Rapid² follows at "
        "40 % of its maximum: triggers at least 0.0358 s apart"
    )
    assert not program.folder.exists()


def test_a_coil_that_is_missing_ends_it_before_the_rest(rehearsal):
    program = rehearsal.programs["no coil"]
    assert program.status == 2
    assert program.err.splitlines()[-1] == "error: MagVenture MagPro X100: no coil"
    assert not program.folder.exists()


# A whole session


def test_a_live_session_delivers_and_says_that_its_record_is_whole(whole):
    assert whole.status == 0, whole.err
    assert json.loads(whole.out) == whole.summary
    assert (whole.summary["status"], whole.session["status"]) == ("complete", "complete")
    assert (whole.session["verified"], whole.session["replayable"], whole.session["lost"]) == (True, True, 0)
    delivered = outcomes(whole.events).count("delivered")
    assert whole.summary["delivered"] == delivered >= 3


def test_rest_is_judged_by_the_gate_itself_and_the_operator_told(whole):
    found = whole.summary["calibration"]
    assert found["rest_per_minute"] > 20.0
    assert 0.0 < found["predicted_sd_deg"] < 60.0
    assert f"{found['verdict']}; {found['promise']}" in whole.err


def test_it_runs_as_long_as_it_was_asked_to(whole):
    decided_s = [event["decided_s"] for event in whole.events]
    assert 0.5 * DURATION_S <= decided_s[-1] - decided_s[0] <= DURATION_S + 1.0


def test_the_amplifier_saw_a_trigger_for_each_delivered_pulse(rehearsal, whole):
    sent = json.loads(rehearsal.programs["amplifier"].out)
    assert sent["triggers"] == whole.summary["delivered"]
    assert not (whole.folder.parent / "trigger").exists()


def test_no_pulse_is_decided_on_old_data(whole):
    ages_s = [event["sample_age_s"] for event in whole.events if event["outcome"] == "delivered"]
    assert max(ages_s) <= 0.1


def test_it_replays_to_the_same_fingerprint(rehearsal, whole):
    replay = rehearsal.programs["replay"]
    assert replay.status == 0
    expected = f"same: {len(whole.events)} decisions, fingerprint {whole.summary['fingerprint']}"
    assert " ".join(replay.out.split()) == expected


def test_its_latencies_are_in_its_summary(whole):
    latency = whole.summary["latency"]
    assert latency["sample_age_ms"]["n"] > 0.5 * DURATION_S * SFREQ
    assert 0.0 < latency["sample_age_ms"]["p50"] < 20.0
    assert 0.0 < latency["decision_ms"]["p50"] < 1.0
    assert latency["write_late_ms"]["n"] == whole.summary["delivered"]


# What others see


def test_decisions_are_markers_that_agree_with_the_record(rehearsal, whole):
    seen = rehearsal.seen["decisions"]
    assert (seen.info.type(), seen.info.nominal_srate(), seen.info.channel_count()) == ("Markers", 0.0, 1)
    assert seen.channels() == [("decision", "", "Marker")]
    markers = [json.loads(sample[0]) for sample in seen.samples]
    assert len(markers) >= 5
    keys = ("outcome", "reason", "condition", "trial", "pulse", "due_s")
    expected = [tuple(event[key] for key in keys) for event in whole.events]
    found = [tuple(marker[key] for key in keys) for marker in markers]
    # Whoever comes later has missed some; none is missing after that, unless it is still on its way at the end.
    first = expected.index(found[0])
    assert found == expected[first : first + len(found)]
    assert seen.stamps_s == [marker["due_s"] for marker in markers]
    assert {marker["marker"] for marker in markers} <= {1, 2}


def test_the_signal_is_a_stream_with_names_and_units(rehearsal):
    seen = rehearsal.seen["alpha"]
    assert (seen.info.type(), seen.info.nominal_srate()) == ("Phase", SFREQ)
    assert seen.channels() == [
        ("alpha", "microvolts", "EEG"),
        ("alpha phase", "degrees", "Misc"),
        ("alpha phase SD", "degrees", "Misc"),
        ("alpha amplitude", "microvolts", "Misc"),
        ("alpha lead", "milliseconds", "Misc"),
    ]
    assert seen.info.desc().child("acquisition").child_value("manufacturer") == "closedloop"
    samples, stamps_s = np.array(seen.samples), np.array(seen.stamps_s)
    assert len(samples) > 0.5 * DURATION_S * SFREQ
    assert np.median(np.diff(stamps_s)) == pytest.approx(1.0 / SFREQ, rel=0.01)
    known = np.isfinite(samples[:, 1])
    assert known.mean() > 0.2
    assert (np.abs(samples[known, 1]) <= 180.0).all()


# How it ends


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_disarms_it_and_leaves_a_whole_record(rehearsal, name):
    program = rehearsal.programs[name]
    assert program.status == 130
    last = program.err.splitlines()[-1]
    assert last == f"error: interrupted: the gate was disarmed; {program.folder} is marked as interrupted"
    assert (program.session["status"], program.summary["status"]) == ("interrupted", "interrupted")
    assert (program.session["verified"], program.session["replayable"]) == (True, True)
    assert len(program.events) >= 3
    assert program.summary["delivered"] == outcomes(program.events).count("delivered")


def test_a_terminal_that_is_lost_ends_it_in_the_same_way(rehearsal):
    program = rehearsal.programs["lost terminal"]
    assert program.status == 130
    assert (program.session["status"], program.summary["status"]) == ("interrupted", "interrupted")
    assert (program.session["verified"], program.session["replayable"]) == (True, True)
    assert len(program.events) >= 3


def test_keys_pause_resume_arm_and_stop_it(rehearsal):
    program = rehearsal.programs["keys"]
    assert rehearsal.shown == [" ARMED ", " PAUSED ", " ARMED ", "asked to arm"]
    assert program.status == 0
    assert (program.session["status"], program.summary["status"]) == ("stopped", "stopped")
    asked = [row["message"] for row in program.summary["messages"] if row["message"].startswith("asked to")]
    assert asked == ["asked to pause", "asked to resume", "asked to arm", "asked to stop"]
    assert "paused" in program.summary["refused"]
    assert program.session["verified"]


# What it refuses


@pytest.mark.parametrize("name", [*MISTAKES, *LATE_MISTAKES])
def test_a_stream_that_cannot_be_used_is_one_line_and_leaves_nothing(rehearsal, name):
    program = rehearsal.programs[name]
    assert (program.status, program.out) == (2, "")
    disclaimer, *waited, line = program.err.splitlines()
    assert disclaimer == DISCLAIMER
    assert line.startswith("error: ")
    assert all(told.startswith("waiting for a stream with ") for told in waited)
    assert waited or name != "no stream"
    for part in {**MISTAKES, **LATE_MISTAKES}[name][1]:
        assert part in line
    assert not program.folder.exists()
