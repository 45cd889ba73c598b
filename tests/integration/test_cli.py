"""The `closedloop` command as its users run it: what it writes, what it says, how it fails and stops."""

import json
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest

from closedloop import cli
from closedloop.accuracy import evaluation
from closedloop.accuracy.contenders import Contender, contenders
from closedloop.core.records import INPUT, Command, InputKind
from closedloop.errors import CalibrationError
from closedloop.session.folder import SessionFolder
from closedloop.sources.library import entries
from closedloop.sources.synthetic import simulate

INSTALLED = {point.name for point in entry_points(group="closedloop.estimators")}
PROGRAM = str(Path(sys.executable).with_name("closedloop"))
CHANNELS = ["F7", "F3", "Fz", "C3"]
FILES = {
    "session.json",
    "state.npz",
    "inputs.bin",
    "samples.bin",
    "events.jsonl",
    "events.bin",
    "summary.json",
    "report.png",
}

PIPELINE = """\
name: Test
source: {type: playback, recording: rest.edf}
calibration: {duration_s: 20}
signals:
  alpha:
    spatial: {type: hjorth, center: F3, neighbours: [F7, Fz, C3]}
    estimator: {type: wiener}
target:
  signal: alpha
  conditions: [{name: trough, phase_deg: 180}]
gates: {rhythm_snr_db: 0}
protocol: {type: single_pulse, pulses: 20, min_interval_s: 1.0}
stimulator: {device: simulated, intensity: {percent_of_maximum: 50}}
limits: {max_pulses: 100}
"""
SYNTHETIC = "source: {type: synthetic, duration_s: 200, sfreq: 125, alpha_uv: 15}"
PLAYBACK = "source: {type: playback, recording: rest.edf}"


def closedloop(*arguments, cwd, **options):
    """Run the installed command to its end."""
    return subprocess.run(
        [PROGRAM, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False, timeout=100, **options
    )


@pytest.fixture
def main(tmp_path, monkeypatch, capfd):
    """Return a function that runs the command's own main() here, in a folder of its own, which is fast."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["closedloop", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, ended.value.code or 0, out, err)

    return run


def write_edf(path, samples, *, sfreq=125, labels=CHANNELS):
    edfio.Edf(
        [
            edfio.EdfSignal(x, sfreq, label=label, physical_dimension="uV", physical_range=(-1000, 1000))
            for x, label in zip(samples.T, labels, strict=True)
        ]
    ).write(path)


def draw_eeg(seconds=40, *, sfreq=125):
    simulated = simulate(duration_s=seconds, sfreq=sfreq, seed=3, channels=CHANNELS, alpha_uv=15.0)
    return np.clip(simulated.recording.samples, -999, 999)


@pytest.fixture
def rig(tmp_path):
    """Write a recording and a pipeline that runs on it into the folder; return the folder."""
    write_edf(tmp_path / "rest.edf", draw_eeg())
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    return tmp_path


def contents(folder):
    """Return all files below a folder with their bytes, and the folders themselves."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


# What it does


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the demonstration once, as a user would."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, closedloop("run", "demo", "--out", "trough", "--surrogates", 2, cwd=folder)


def test_the_demonstration_runs_from_end_to_end(demo):
    folder, done = demo
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (folder / "trough").iterdir()} >= FILES
    assert json.loads((folder / "trough" / "session.json").read_text())["status"] == "complete"
    summary = json.loads((folder / "trough" / "summary.json").read_text())
    assert summary["delivered"] >= 20
    assert summary["phase_error"]["circular_sd_deg"] < 25.0
    assert all(json.loads(line)["outcome"] for line in (folder / "trough" / "events.jsonl").read_text().splitlines())


def test_the_demonstration_shows_its_figures_and_says_what_it_is_not(demo):
    folder, done = demo
    summary = json.loads((folder / "trough" / "summary.json").read_text())
    assert f"{summary['delivered']} ({summary['pulses_per_minute']:.1f} a minute)" in done.stdout
    assert "closedloop replay trough" in done.stdout
    assert "Research software, not a medical device." in done.stdout


def test_a_session_replays_to_the_same(demo, main):
    folder, _ = demo
    fingerprint = json.loads((folder / "trough" / "summary.json").read_text())["fingerprint"]
    done = main("replay", folder / "trough")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("same: ")
    assert fingerprint in done.stdout


def test_a_replay_can_be_read_by_programs(demo, main):
    folder, _ = demo
    done = main("replay", folder / "trough", "--json")
    replayed = json.loads(done.stdout)
    assert replayed["same"] is True
    assert replayed["difference"] is None
    assert replayed["recorded"] == replayed["again"]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_replay_that_differs_exits_1_and_says_where(rig, main, options):
    assert main("run", "pipeline.yaml", "--out", "session", "--surrogates", 0).returncode == 0
    lines = (rig / "session" / "events.jsonl").read_text().splitlines(keepends=True)
    (rig / "session" / "events.jsonl").write_text("".join(lines[:7] + lines[8:]))
    done = main("replay", "session", *options)
    assert done.returncode == 1
    assert re.match(
        r"error: different: decision 7 at input \d+ \((sample|deadline)\): number was 8 and is 7, ", done.stderr
    )
    assert done.stderr.count("\n") == 1
    assert not options or json.loads(done.stdout)["same"] is False


def test_a_summary_can_be_read_by_programs(rig, main):
    done = main("run", "pipeline.yaml", "--out", "session", "--surrogates", 1, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json.loads((rig / "session" / "summary.json").read_text())


def test_without_a_name_a_session_goes_below_sessions(rig, main):
    assert main("run", "pipeline.yaml", "--surrogates", 0).returncode == 0
    (session,) = (rig / "sessions").iterdir()
    assert session.name.startswith("pipeline-")


def test_another_recording_can_be_played(rig, main):
    write_edf(rig / "other.edf", draw_eeg(30))
    assert main("run", "pipeline.yaml", "--recording", "other.edf", "--out", "s", "--surrogates", 0).returncode == 0
    assert json.loads((rig / "s" / "summary.json").read_text())["recording"] == "other.edf"


@pytest.mark.parametrize("name", ["a [b/] [red]x", "[/]", ":smile:", "a$b^^$c"])
def test_a_name_is_shown_as_it_is_written(rig, main, name):
    (rig / "pipeline.yaml").write_text(PIPELINE.replace("name: Test", f"name: '{name}'"))
    done = main("run", "pipeline.yaml", "--out", "out [x]", "--surrogates", 0)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{name} — rest.edf" in done.stdout
    assert "closedloop replay out [x]" in done.stdout


EVALUATE = ["evaluate", "synthetic-alpha", "--rest-s", 45, "--leads", 25, "--estimators", "wiener,resonator"]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Compare two methods on the recording that comes along, as a user would."""
    folder = tmp_path_factory.mktemp("evaluated")
    return folder, closedloop(*EVALUATE, "--montage", "O1", "--out", "out", cwd=folder)


def test_methods_are_compared_on_a_recording(evaluated):
    folder, done = evaluated
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (folder / "out").iterdir()} == {"evaluation.json", "evaluation.png"}
    content = json.loads((folder / "out" / "evaluation.json").read_text())
    assert content["status"] == "complete"
    assert set(content) >= {"software", "machine", "created", "plan", "recordings", "verdicts", "refused", "rows"}
    took_part = {(row["estimator"], row["tuning"]) for row in content["rows"]}
    ours = {("wiener", "ours"), ("wiener, many channels", "ours")}
    assert took_part == {*ours, ("resonator", "published"), ("resonator", "tuned")}
    assert all(row["circular_sd_deg"] < row["surrogate_sd_deg"] for row in content["rows"])


def test_a_comparison_shows_its_verdict_and_every_method_with_its_figures(evaluated):
    folder, done = evaluated
    content = json.loads((folder / "out" / "evaluation.json").read_text())
    assert done.stdout.startswith(f"synthetic-alpha, O1: {content['verdicts'][0]['verdict']}\n")
    for row in content["rows"]:
        if (row["truth"], row["yield"]) == ("synthetic", 1.0):
            figures = f"{row['circular_sd_deg']:.0f}/{row['surrogate_sd_deg']:.0f}"
            assert any(row["estimator"] in line and figures in line for line in done.stdout.splitlines())
    assert "Look at out/evaluation.png" in done.stdout
    assert "Research software, not a medical device." in done.stdout


def test_a_comparison_can_be_read_by_programs_and_names_its_own_folder(main, tmp_path):
    done = main(*EVALUATE[:-1], "wiener", "--montage", "F3=F7,Fz,C3", "--lead-ms", 10, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("evaluation-")
    content = json.loads(done.stdout)
    assert content == json.loads((folder / "evaluation.json").read_text())
    assert content["plan"]["leads_s"] == [0.01, 0.025]
    assert content["plan"]["montages"]["F3=F7,Fz,C3"]["F3"] == 1.0


def test_a_comparison_names_in_one_line_each_what_was_not_measured(main, monkeypatch):
    def refuse(rest):
        raise CalibrationError("it has no settings")

    found = [*contenders(("naive",))[:1], Contender("stubborn", "tuned", refuse)]
    monkeypatch.setattr(evaluation, "contenders", lambda _: found)
    done = main(*EVALUATE[:-2], "--montage", "O1", "--out", "out")
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("not measured")]
    assert lines == ["not measured: synthetic-alpha, O1, stubborn, tuned, with its rhythm: it has no settings"] * 2


def test_check_says_what_each_file_is(rig, main):
    done = main("check", "pipeline.yaml", Path(__file__).parents[2] / "devices" / "simulated.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first == "pipeline.yaml: a pipeline, Test"
    assert second.endswith("simulated.yaml: a stimulator, Simulated stimulator")


def test_check_names_every_file_that_is_wrong(rig, main):
    (rig / "a.yaml").write_text(PIPELINE.replace("180", "400"))
    (rig / "b.yaml").write_text(PIPELINE.replace("name: Test", "nam: Test"))
    done = main("check", "a.yaml", "pipeline.yaml", "b.yaml")
    assert done.returncode == 2
    assert done.stdout == "pipeline.yaml: a pipeline, Test\n"
    places = [line.partition(".yaml")[0] for line in done.stderr.splitlines()]
    assert places == ["error: a", "error: b", "error: b"]  # an unknown key, and one that is missing


def test_check_names_every_mistake_of_a_file(rig, main):
    shipped = Path(__file__).parents[2] / "devices" / "magstim-rapid-squared.yaml"
    settings = "settings: {port: /dev/ttyS0, baud: 1, mains_v: 100, variant: quick}\n"
    (rig / "rapid.yaml").write_text(shipped.read_text().partition("settings:")[0] + settings)
    done = main("check", "rapid.yaml")
    assert done.returncode == 2
    named = [line.split(": ")[2] for line in done.stderr.splitlines()]
    assert named == ["settings.baud", "settings.mains_v", "settings.variant"]


@pytest.mark.parametrize("kind", ["pipeline", "device"])
def test_schema_prints_what_is_committed(main, kind):
    committed = (Path(__file__).parents[2] / "schema" / f"{kind}.json").read_text(encoding="utf-8")
    assert main("schema", kind).stdout == committed


def test_recordings_are_listed(main):
    done = main("recordings", "list")
    assert done.returncode == 0
    for entry in entries():
        assert entry.name in done.stdout


def test_recordings_are_listed_for_programs(main):
    listed = {entry["name"]: entry for entry in json.loads(main("recordings", "list", "--json").stdout)}
    assert set(listed) == {entry.name for entry in entries()}
    assert Path(listed["synthetic-alpha"]["path"]).is_file()


def test_a_recordings_path_is_printed_alone(main):
    done = main("recordings", "path", "synthetic-alpha")
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.removesuffix("\n")).name == "synthetic-alpha.edf"


@pytest.mark.parametrize(
    "command", ["run", "replay", "evaluate", "check", "schema", "recordings list", "recordings path"]
)
def test_every_commands_help_has_an_example_that_begins_like_it(main, command):
    done = main(*command.split(), "--help")
    assert done.returncode == 0
    assert f"Example: closedloop {command} " in " ".join(done.stdout.replace("│", " ").split())


@pytest.mark.parametrize("group", ["", "recordings", "devices"])
def test_the_help_of_a_group_of_commands_has_examples(main, group):
    said = " ".join(main(*group.split(), "--help").stdout.replace("│", " ").split())
    assert f"Examples: closedloop {group}".rstrip() in said


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_program_says_that_it_is_no_medical_device(main, option):
    done = main(option)
    assert done.returncode == 0
    assert "Research software, not a medical device." in " ".join(done.stdout.split())


# How it fails


def put(name, content):
    def write(rig):
        (rig / name).write_text(content)

    return write


def pipeline(old, new):
    assert PIPELINE.count(old) == 1
    return put("pipeline.yaml", PIPELINE.replace(old, new))


def recording(change=None, *, sfreq=125, seconds=40, labels=CHANNELS):
    def write(rig):
        samples = draw_eeg(seconds, sfreq=sfreq)
        if change is not None:
            change(samples)
        write_edf(rig / "rest.edf", samples, sfreq=sfreq, labels=labels)

    return write


def hold_constant(samples):
    samples[:, 2] = 7.0


def truncate(rig):
    content = (rig / "rest.edf").read_bytes()
    (rig / "rest.edf").write_bytes(content[:-100])


def spoil_with_nan(rig):
    samples = draw_eeg()
    samples[500:510, 1] = np.nan
    info = mne.create_info(CHANNELS, 125.0, "eeg", verbose="error")
    mne.io.RawArray(1e-6 * samples.T, info, verbose="error").save(rig / "rest_raw.fif", verbose="error")
    pipeline("rest.edf", "rest_raw.fif")(rig)


def both(*changes):
    def change(rig):
        for one in changes:
            one(rig)

    return change


def nothing(rig):
    pass


def occupy(rig):
    (rig / "out").mkdir()
    (rig / "out" / "precious.txt").write_text("mine")


RUN = ["run", "pipeline.yaml", "--out", "out"]
COMPARE = ["evaluate", "rest.edf", "--rest-s", 15]
CALIBRATION = "rest.edf: calibration, first 20 s: "
# For each: what is wrong, the command, and all that its one line must name: what, value, limit, place.
BAD = {
    "a missing channel": (
        pipeline("Fz, C3", "Fz, Cz"),
        RUN,
        ["signals.alpha.spatial: channel Cz is not in rest.edf, which has F7, F3, Fz, C3"],
    ),
    "two channels of one name": (
        recording(labels=["F7", "F3", "F3", "C3"]),
        RUN,
        ["rest.edf", "F3", "limit: one of each name"],
    ),
    "too short to calibrate": (
        recording(seconds=24),
        RUN,
        ["rest.edf: 24.0 s are too short: calibration takes 20 s (calibration.duration_s) and the run at least 5 s"],
    ),
    "a truncated file": (truncate, RUN, ["rest.edf is truncated: ", " bytes, but its header promises "]),
    "an empty file": (put("rest.edf", ""), RUN, ["rest.edf is empty: 0 bytes"]),
    "a file of another kind": (put("rest.edf", "no EDF" * 100), RUN, ["rest.edf has no header of its format"]),
    "samples that are no numbers": (
        spoil_with_nan,
        RUN,
        ["rest_raw.fif: calibration, first 20 s: channel F3 has 10 samples that are no numbers", "4.000 s", "limit: 0"],
    ),
    "a constant channel": (recording(hold_constant), RUN, [CALIBRATION + "channel Fz is constant at ", " µV"]),
    "a sampling rate too low for the notch": (
        recording(sfreq=100),
        RUN,
        [CALIBRATION + "conditioning.notch_hz = 50 does not lie below half the recording's sampling rate (50 Hz)"],
    ),
    "a sampling rate too low for the band": (
        both(
            recording(sfreq=80),
            put(
                "pipeline.yaml",
                PIPELINE.replace("    estimator", "    band_hz: [20, 40]\n    estimator")
                + "conditioning: {notch_hz: null}\n",
            ),
        ),
        RUN,
        [CALIBRATION + "signals.alpha: band_hz = [20, 40] does not lie between 0 and half the sampling rate (40 Hz)"],
    ),
    "a target phase of 400": (
        pipeline("180", "400"),
        RUN,
        ["pipeline.yaml:10:42: target.conditions.0.phase_deg = 400", "less than 360"],
    ),
    "an unknown key": (
        pipeline("name: Test", "name: Test\nnaem: Test"),
        RUN,
        ["pipeline.yaml:2:1: naem: unknown key (did you mean name? known: "],
    ),
    "a key that stands there twice": (
        pipeline("name: Test", "name: Test\nname: Test"),
        RUN,
        ["pipeline.yaml:2:1: name: this key stands here a second time"],
    ),
    "a pipeline that is a folder": (nothing, ["run", ".", "--out", "out"], [".: cannot be read: Is a directory"]),
    "a recording that is a folder": (
        nothing,
        [*RUN, "--recording", "."],
        [". is a folder, not a recording"],
    ),
    "a pipeline that is not there": (
        nothing,
        ["run", "no.yaml", "--out", "out"],
        ["no.yaml: cannot be read: No such file or directory"],
    ),
    "an unknown pipeline": (
        nothing,
        ["run", "nonsense", "--out", "out"],
        ["nonsense: there is no such file, and none of that name in pipelines/", "demo"],
    ),
    "an unknown recording": (
        nothing,
        [*RUN, "--recording", "nonsense"],
        ["nonsense: there is no such file, and no recording of that name (known: synthetic-alpha, "],
    ),
    "an unknown recording's path": (
        nothing,
        ["recordings", "path", "nonsense"],
        ["nonsense: there is no such file, and no recording of that name"],
    ),
    "an unknown device": (
        pipeline("device: simulated", "device: nonsense"),
        RUN,
        [
            "pipeline.yaml:13:22: stimulator.device = nonsense: there is no such file",
            "saga, simulated, trigger-arduino",
        ],
    ),
    "an unknown estimator": (
        pipeline("{type: wiener}", "{type: plugin, name: nonsense}"),
        RUN,
        [f"nonsense: there is no such method (installed: {', '.join(sorted(INSTALLED))})"],
    ),
    "a place below a file": (
        nothing,
        ["run", "pipeline.yaml", "--out", "rest.edf/out"],
        ["session folder rest.edf/out cannot be made: Not a directory"],
    ),
    "a place that cannot be written": (
        nothing,
        ["run", "pipeline.yaml", "--out", "/proc/closedloop/out"],
        ["session folder /proc/closedloop/out cannot be made: No such file or directory"],
    ),
    "an existing session folder": (
        occupy,
        RUN,
        ["session folder out exists already; nothing was written: choose another with --out"],
    ),
    "a range beyond the recording": (
        pipeline("recording: rest.edf", "recording: rest.edf, stop_s: 50"),
        RUN,
        ["rest.edf: the range from 0 to 50 s does not lie within its 40 s"],
    ),
    "a session that is none": (nothing, ["replay", "."], [". is no session folder: session.json: No such file"]),
    "a comparison on a channel that is not there": (
        nothing,
        [*COMPARE, "--montage", "O2", "--out", "out"],
        ["rest.edf: there is no channel O2 (", "there: F7, F3, Fz, C3)"],
    ),
    "a comparison of an unknown method": (
        nothing,
        [*COMPARE, "--montage", "F3", "--out", "out", "--estimators", "wiener,nonsense"],
        [f"nonsense: there is no such method (installed: {', '.join(sorted(INSTALLED))})"],
    ),
    "a comparison on a recording that is not there": (
        nothing,
        ["evaluate", "rest.edf", "nonsense.edf", "--montage", "F3", "--rest-s", 15, "--out", "out"],
        ["nonsense.edf: there is no such file, and no recording of that name (known: "],
    ),
    "a comparison on a file of another kind": (
        put("rest.edf", "no EDF" * 100),
        [*COMPARE, "--montage", "F3", "--out", "out"],
        ["rest.edf has no header of its format"],
    ),
    "a comparison on too short a recording": (
        nothing,
        ["evaluate", "rest.edf", "--montage", "F3", "--out", "out"],
        ["rest.edf: 40.0 s are too short: methods learn from 60 s (--rest-s) and are judged on at least 20 s more"],
    ),
    "a comparison without a montage": (nothing, [*COMPARE, "--out", "out"], ["no montage was named: --montage O1"]),
    "a comparison on half a Laplacian": (
        nothing,
        [*COMPARE, "--montage", "F3=", "--out", "out"],
        ["montage = 'F3=': a name is missing"],
    ),
    "a comparison at leads that are none": (
        nothing,
        [*COMPARE, "--montage", "F3", "--leads", "0,soon", "--out", "out"],
        ["--leads 0,soon: not numbers with commas between"],
    ),
    "a comparison too far ahead": (
        nothing,
        [*COMPARE, "--montage", "F3", "--lead-ms", "150", "--out", "out"],
        ["lead = 150 ms does not lie between 0 and 100 ms"],
    ),
    "a comparison in a folder that exists": (
        occupy,
        [*COMPARE, "--montage", "F3", "--out", "out"],
        ["folder out exists already; nothing was written: choose another with --out"],
    ),
    "a comparison with a notch in the rhythm": (
        nothing,
        [*COMPARE, "--montage", "F3", "--notch-hz", "10", "--out", "out"],
        ["notch = 10 Hz lies within what is judged, which ends at 18 Hz"],
    ),
    "a comparison at a sampling rate too low for the notch": (
        recording(sfreq=100),
        [*COMPARE, "--montage", "F3", "--out", "out"],
        ["rest.edf, F3: conditioning.notch_hz = 50 does not lie below half the recording's sampling rate (50 Hz)"],
    ),
    "more pulses than the device may give": (
        both(pipeline("max_pulses: 100", "max_pulses: 5000")),
        RUN,
        ["pipeline.yaml:14:22: limits.max_pulses = 5000", "max_pulses_per_session = 2000", "simulated.yaml"],
    ),
}


# Beside pytest's own log MNE logs on standard output what it also warns of, so this runs as a subprocess only.
LOGGED = "two channels of one name"
HERE = {key: value for key, value in BAD.items() if key != LOGGED}


@pytest.mark.parametrize(("spoil", "arguments", "named"), HERE.values(), ids=HERE.keys())
def test_a_mistake_is_one_line_and_changes_nothing(rig, main, spoil, arguments, named):
    spoil(rig)
    before = contents(rig)
    done = main(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    for part in named:
        assert part in done.stderr
    assert contents(rig) == before


@pytest.mark.parametrize("key", ["a missing channel", "too short to calibrate", "an unknown recording"])
def test_without_a_name_a_mistake_leaves_no_folder_either(rig, main, key):
    spoil, arguments, _ = BAD[key]
    spoil(rig)
    before = contents(rig)
    assert main(*[argument for argument in arguments if argument not in {"--out", "out"}]).returncode == 2
    assert contents(rig) == before


@pytest.mark.parametrize("key", [LOGGED, "a missing channel", "a target phase of 400", "an existing session folder"])
def test_the_installed_command_fails_like_its_main(rig, key):
    spoil, arguments, named = BAD[key]
    spoil(rig)
    before = contents(rig)
    done = closedloop(*arguments, cwd=rig)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    for part in named:
        assert part in done.stderr
    assert contents(rig) == before


# How it stops

# The real program, told at a stage to send itself what a user's Ctrl-C or `kill` would send it.
STOPPING = """
import os, signal, sys
stage, number = sys.argv.pop(1), int(sys.argv.pop(1))
module, name = {
    "loading": ("closedloop.session.source", "open_recording"),
    "calibration": ("closedloop.calibration.calibrate", "design"),
    "loop": ("closedloop.core.replay", "take_out"),
    "surrogates": ("closedloop.session.surrogates", "surrogate_recording"),
}[stage]
target = __import__(module, fromlist=[name])
real = getattr(target, name)
calls = 0

def stop(*arguments, **options):
    global calls
    calls += 1
    # The loop has drained a few chunks; calibration dry-runs through the same function before.
    if calls == wanted:
        os.kill(os.getpid(), number)
    return real(*arguments, **options)

wanted = 1
if stage == "loop":
    import closedloop.session.run
    began = closedloop.session.run._run_loop
    def begin(*arguments):
        global calls, wanted
        calls, wanted = 0, 3
        return began(*arguments)
    closedloop.session.run._run_loop, wanted = begin, -1
setattr(target, name, stop)
from closedloop.cli import main
main()
"""
STAGES = [
    ("loading", signal.SIGTERM),
    ("calibration", signal.SIGINT),
    ("loop", signal.SIGINT),
    ("loop", signal.SIGTERM),
    ("surrogates", signal.SIGTERM),
]


@pytest.mark.parametrize(("stage", "number"), STAGES)
def test_a_signal_ends_a_run_with_a_session_that_says_so(rig, main, stage, number):
    if stage != "loading":
        (rig / "pipeline.yaml").write_text(PIPELINE.replace(PLAYBACK, SYNTHETIC))
    arguments = [sys.executable, "-P", "-c", STOPPING, stage, int(number), "run", "pipeline.yaml", "--out", "session"]
    done = subprocess.run(
        [str(argument) for argument in arguments], cwd=rig, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: interrupted")
    assert json.loads((rig / "session" / "session.json").read_text())["status"] == "interrupted"
    assert not list(rig.rglob("*.part"))
    if stage in {"loading", "calibration"}:
        assert main("replay", "session").stderr.endswith(
            "session was interrupted before the loop began: there is nothing to replay\n"
        )
        return
    assert {path.name for path in (rig / "session").iterdir()} >= FILES
    inputs = np.fromfile(rig / "session" / "inputs.bin", INPUT)
    commands = inputs["code"][inputs["kind"] == InputKind.COMMAND].tolist()
    # The surrogates come when the loop has run to its end.
    assert commands == [Command.ARM, *([Command.STOP] if stage == "loop" else []), Command.DISARM]
    replayed = main("replay", "session")
    assert replayed.returncode == 0, replayed.stderr
    assert replayed.stdout.startswith("same: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_from_outside_while_it_runs_ends_the_installed_command(rig, main, number):
    """A thousand surrogates would take minutes; the signal comes as soon as the loop's record is there."""
    (rig / "pipeline.yaml").write_text(PIPELINE.replace(PLAYBACK, SYNTHETIC))
    with subprocess.Popen(
        [PROGRAM, "run", "pipeline.yaml", "--out", "session", "--surrogates", "1000"],
        cwd=rig,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        while running.poll() is None and not (rig / "session" / "state.npz").exists():
            time.sleep(0.005)
        running.send_signal(number)
        _, err = running.communicate(timeout=100)
    assert running.returncode == 130, err
    assert json.loads((rig / "session" / "session.json").read_text())["status"] == "interrupted"
    assert main("replay", "session").returncode == 0


def test_a_signal_before_a_session_began_writes_nothing(rig, main, monkeypatch):
    def interrupt(*_):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(cli.run, "_load", interrupt)
    before = contents(rig)
    done = main("run", "pipeline.yaml", "--out", "session")
    assert done.returncode == 130
    assert done.stderr == "error: interrupted before a session began; nothing was written\n"
    assert contents(rig) == before


def test_a_signal_while_the_core_is_loaded_leaves_a_session_that_says_so(rig, main, monkeypatch):
    real = SessionFolder.__init__

    def make(folder, path):
        real(folder, path)
        monkeypatch.setattr(cli.terminal, "Progress", lambda *_, **__: signal.raise_signal(signal.SIGINT))

    monkeypatch.setattr(SessionFolder, "__init__", make)
    done = main("run", "pipeline.yaml", "--out", "session")
    assert done.returncode == 130
    assert done.stderr == "error: interrupted before the loop began; session says so\n"
    assert json.loads((rig / "session" / "session.json").read_text())["status"] == "interrupted"


def test_a_session_that_was_killed_is_never_taken_for_a_whole_one(rig, main):
    (rig / "pipeline.yaml").write_text(PIPELINE.replace(PLAYBACK, SYNTHETIC))
    with subprocess.Popen(
        [PROGRAM, "run", "pipeline.yaml", "--out", "session", "--surrogates", "1000"],
        cwd=rig,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        while running.poll() is None and not (rig / "session" / "state.npz").exists():
            time.sleep(0.005)
        running.kill()
    assert json.loads((rig / "session" / "session.json").read_text())["status"] == "running"
    done = main("replay", "session")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_while_it_compares_leaves_an_evaluation_that_says_so(tmp_path, number):
    with subprocess.Popen(
        [PROGRAM, *map(str, EVALUATE), "--montage", "O1", "--montage", "F3", "--out", "out"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        while running.poll() is None and not (tmp_path / "out" / "evaluation.json").exists():
            time.sleep(0.005)
        running.send_signal(number)
        said, err = running.communicate(timeout=100)
    assert (running.returncode, said) == (130, ""), err
    assert err == "error: interrupted: out is marked as interrupted and holds what was measured\n"
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["status"] == "interrupted"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"evaluation.json"}


def test_a_signal_before_a_comparison_began_writes_nothing(rig, main, monkeypatch):
    monkeypatch.setattr(evaluation, "open_recording", lambda _: signal.raise_signal(signal.SIGTERM))
    before = contents(rig)
    done = main(*COMPARE, "--montage", "F3")
    assert done.returncode == 130
    assert done.stderr == "error: interrupted before anything was measured; nothing was written\n"
    assert contents(rig) == before
