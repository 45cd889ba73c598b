"""`closedloop devices`: profiles, stand-ins, and a device that is tried without a pulse."""

import json
import os
import re
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

import closedloop.dose.record
from closedloop.cli.app import app
from closedloop.config.load import load_device, resolved_yaml
from closedloop.errors import ClosedloopError
from closedloop.standins.table import BOXES, STANDINS
from closedloop.standins.terminal import Terminal

CLOSEDLOOP = [sys.executable, "-P", "-c", "from closedloop.cli import main; main()"]


@pytest.fixture
def said():
    """Run a command and return what it prints; its errors are raised."""

    def run(*arguments):
        result = CliRunner().invoke(app, ["devices", *arguments], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    return run


def test_every_stimulator_is_listed_with_its_driver_and_whether_there_is_a_stand_in(said):
    rows = {row["name"]: row for row in json.loads(said("list", "--json"))}
    assert set(rows) >= {*STANDINS, "simulated"}
    assert all(rows[name]["stand_in"] and rows[name]["kind"] == "stimulator" for name in STANDINS)
    assert not rows["simulated"]["stand_in"]


def test_every_trigger_box_is_listed_with_its_kind_of_line(said):
    rows = {row["name"]: row for row in json.loads(said("list", "--json")) if row["kind"] == "trigger_box"}
    assert len(rows) >= 12
    assert {name for name, row in rows.items() if row["stand_in"]} == set(BOXES)
    assert rows["trigger-parallel"]["line"] == "parallel"
    assert "trigger-parallel" in said("list")


def test_a_trigger_box_is_shown_with_its_wiring(said):
    text = said("show", "trigger-bbtk")
    assert "kind: trigger_box" in text
    assert "wiring: Output line 1" in text


def test_a_trigger_box_is_asked_and_gives_no_edge(said):
    standin = BOXES["trigger-bbtk"]()
    with Terminal(standin) as terminal:
        told = json.loads(said("test", "trigger-bbtk", "--port", terminal.path, "--json"))
    assert told == {"opened": terminal.path, "kind": "bytes"}
    assert standin.pulses_s == []


def test_a_trigger_box_that_is_not_opened_by_a_path_is_one_line(said):
    with pytest.raises(ClosedloopError, match=r"^--port /dev/x: LabJack U3 is not opened by a path"):
        said("test", "trigger-labjack-u3", "--port", "/dev/x")


def test_a_profile_is_shown_whole(said):
    text = said("show", "magventure-r30")
    assert "driver: magpro" in text
    assert "not measured" in text


@pytest.mark.parametrize("name", ["magstim-200-squared", "magventure-x100", "duomag"])
def test_a_device_is_identified_armed_and_disarmed_and_fires_nothing(said, name):
    standin = STANDINS[name]()
    with Terminal(standin) as terminal:
        told = json.loads(said("test", name, "--port", terminal.path, "--json"))
    assert [told[step]["armed"] for step in ("disarmed", "armed", "disarmed again")] == [False, True, False]
    assert told["armed"]["ready"]
    assert told["identity"]["model"]
    assert standin.pulses_s == []


@pytest.fixture
def fire(tmp_path, monkeypatch):
    """Run a test with a pulse, somebody's dose in folders of this test, and return what it prints."""
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(closedloop.dose.record, "TMPFS", tmp_path / "memory")
    monkeypatch.setenv("CLOSEDLOOP_DOSE", str(tmp_path / "dose"))

    def run(*arguments, answer="yes"):
        result = CliRunner().invoke(
            app,
            ["devices", "test", *map(str, arguments), "--fire", "--json"],
            input=f"{answer}\n",
            catch_exceptions=False,
        )
        return json.loads(result.stdout)

    return run


def test_one_pulse_by_command_counts_in_a_dose_record(fire, tmp_path):
    standin = STANDINS["magstim-200-squared"]()
    with Terminal(standin) as terminal:
        told = fire("magstim-200-squared", "--port", terminal.path, "--subject", "phantom", "--percent", 20)
    assert told["fired"] == {"confirmed": "yes", "pulses_in_24_h": 1}
    assert len(standin.pulses_s) == 1
    assert not standin.armed
    lines = [json.loads(line) for line in (tmp_path / "dose" / "phantom.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["pulses"]) for line in lines] == [("lease", 1), ("settled", 1)]


def test_one_pulse_by_a_trigger_line(fire, tmp_path):
    standin = STANDINS["magventure-x100"]()
    os.mkfifo(tmp_path / "line")
    reader = os.open(tmp_path / "line", os.O_RDWR)
    with Terminal(standin) as terminal:
        line = tmp_path / "line"
        told = fire("magventure-x100", "--port", terminal.path, "--trigger", line, "--subject", "phantom")
    assert told["fired"]["confirmed"] == "unknown"
    assert os.read(reader, 16) == b"\x00\x01\x00\x00"  # taken back before, fired, taken back, and left so
    os.close(reader)


def test_a_pulse_that_the_gate_refuses_is_none(fire, tmp_path):
    profile = tmp_path / "once_a_day.yaml"
    shipped = load_device("magstim-200-squared")
    limits = shipped.limits.model_copy(update={"max_pulses_per_day": 1})
    profile.write_text(resolved_yaml(shipped.model_copy(update={"limits": limits})))
    standin = STANDINS["magstim-200-squared"]()
    with Terminal(standin) as terminal:
        fire(profile, "--port", terminal.path, "--subject", "phantom")
        with pytest.raises(ClosedloopError, match="the gate refused the pulse"):
            fire(profile, "--port", terminal.path, "--subject", "phantom")
    assert len(standin.pulses_s) == 1
    assert not standin.armed


@pytest.mark.parametrize("answer", ["no", "", "y"])
def test_a_pulse_that_nobody_confirms_is_none(fire, answer):
    standin = STANDINS["magstim-200-squared"]()
    with Terminal(standin) as terminal, pytest.raises(ClosedloopError, match="not confirmed: no pulse was fired"):
        fire("magstim-200-squared", "--port", terminal.path, "--subject", "phantom", answer=answer)
    assert standin.pulses_s == []


def test_a_pulse_for_nobody_is_none(fire):
    with pytest.raises(ClosedloopError, match="--subject is missing"):
        fire("magstim-200-squared")


def test_a_port_that_is_not_there_is_one_line(said, tmp_path):
    with pytest.raises(ClosedloopError, match=r"there is no such port$"):
        said("test", "magstim-200-squared", "--port", str(tmp_path / "none"))


def test_another_device_that_answers_is_one_line(said):
    with Terminal(STANDINS["magstim-200-squared"]()) as terminal, pytest.raises(ClosedloopError) as caught:
        said("test", "magventure-r30", "--port", terminal.path)
    assert "\n" not in str(caught.value)


def test_hands_reach_a_stand_in_through_the_command_line():
    done = subprocess.run(
        [*CLOSEDLOOP, "devices", "simulate", "magventure-x100"],
        input="press-enable\ntrigger\nturn-knob 40\nfly away\n",
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("magventure-x100 on /dev/pts/")
    assert lines[0].endswith("Research software, not a medical device.")
    assert "fired" in lines
    assert "fly away: no such hand, or not this number of numbers" in lines
    assert lines[-1] == "pulses: 1"


def test_a_trigger_boxs_stand_in_says_how_a_stimulator_names_it():
    done = subprocess.run(
        [*CLOSEDLOOP, "devices", "simulate", "trigger-brain-products"],
        input="hold-line 3\n",
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    first, *_, last = done.stdout.splitlines()
    assert re.match(r"trigger-brain-products on (\S+) \(line: \{box: trigger-brain-products, path: \1\}\) ", first)
    assert last == "pulses: 1"


def test_a_stand_in_that_there_is_not_is_named_with_those_that_are():
    done = subprocess.run(
        [*CLOSEDLOOP, "devices", "simulate", "telepathy"], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: telepathy: there is no such stand-in (there: magstim-200-squared, ")


def test_a_stand_in_has_a_trigger_input(tmp_path):
    pipe = tmp_path / "trigger"
    command = [*CLOSEDLOOP, "devices", "simulate", "magventure-x100", "--trigger", str(pipe)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write("press-enable\ntrigger\n")
        process.stdin.flush()
        while process.stdout.readline() != "fired\n":
            pass
        time.sleep(0.5)  # it recharges
        pipe.write_bytes(b"\x01\x00")
        time.sleep(0.2)
        said, _ = process.communicate()
    assert said == "pulses: 2\n"
    assert not pipe.exists()
