"""Whose dose a live session counts in."""

import json
import os
import sys

import numpy as np
import pytest

import closedloop.dose.record
from closedloop.config.device import Stimulator
from closedloop.core.records import EVENT, EventKind
from closedloop.dose.mapping import Left
from closedloop.errors import ConfigError
from closedloop.session.dose import LEFT, hand_back, open_dose

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a dose record needs Linux")


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(closedloop.dose.record, "TMPFS", tmp_path / "memory")
    monkeypatch.setenv("CLOSEDLOOP_DOSE", str(tmp_path / "dose"))


def device(driver, line=None):
    return Stimulator.model_validate(
        {
            "kind": "stimulator",
            "name": "Under test",
            "driver": driver,
            "latency": {"latency_s": 0.0, "origin": "set by a test"},
            "limits": {"min_interval_s": 0.1, "max_pulses_per_session": 100, "max_percent_of_maximum": 60.0},
            "line": None if line is None else {"path": line},
        }
    )


def test_nobody_is_stimulated_by_what_is_simulated(tmp_path):
    with open_dose(device("simulated"), None, tmp_path) as dose:
        assert dose is None


def test_a_real_device_needs_somebody(tmp_path):
    magpro = device("magpro", "/dev/ttyACM0")
    with pytest.raises(ConfigError, match="--subject is missing"), open_dose(magpro, None, tmp_path):
        pass


def test_a_real_device_that_nothing_fires_is_refused(tmp_path):
    with (
        pytest.raises(ConfigError, match="Under test: line = null: nothing fires it"),
        open_dose(device("magpro"), "S01", tmp_path),
    ):
        pass


def test_a_real_device_counts_in_a_ledger(tmp_path):
    with open_dose(device("magpro", "/dev/ttyACM0"), "S01", tmp_path) as dose:
        dose.lease(3)
    assert (tmp_path / "dose" / "S01.jsonl").is_file()


@pytest.mark.parametrize("path", ["/dev/null", "/dev/none", "a pipe", "a terminal"])
def test_a_line_that_reaches_nothing_needs_nobody(tmp_path, path):
    if path == "a pipe":
        os.mkfifo(path := str(tmp_path / "pipe"))
    ours, theirs = os.openpty()
    path = os.ttyname(theirs) if path == "a terminal" else path
    with open_dose(device("simulated", path), None, tmp_path) as dose:
        assert dose is None
    os.close(ours)
    os.close(theirs)


def test_a_line_that_may_reach_something_needs_a_real_driver(tmp_path):
    with (
        pytest.raises(ConfigError, match=r"driver = simulated with line.path = /dev/zero.*name its driver"),
        open_dose(device("simulated", "/dev/zero"), None, tmp_path),
    ):
        pass


def left(folder):
    events = np.zeros(2, EVENT)
    events["number"], events["kind"], events["condition"] = [7, 8], EventKind.DELIVERED, 0
    return Left(session=str(folder), pulses=2, last_pulse_s=1.0, events=events)


def test_what_a_killed_session_decided_last_comes_into_its_folder(tmp_path):
    (tmp_path / "session.json").write_text(json.dumps({"conditions": ["trough"]}))
    hand_back(left(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / LEFT).read_text().splitlines()]
    assert [(line["number"], line["outcome"], line["condition"]) for line in lines] == [
        (7, "delivered", "trough"),
        (8, "delivered", "trough"),
    ]


def test_a_killed_session_whose_folder_has_gone_is_no_mistake(tmp_path):
    hand_back(left(tmp_path / "gone"))
    assert not (tmp_path / "gone").exists()
