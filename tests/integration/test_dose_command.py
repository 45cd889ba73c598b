"""`closedloop dose`: it shows, and changes nothing."""

import json
import time

import pytest
from typer.testing import CliRunner

import closedloop.dose.record
from closedloop.cli.app import app
from closedloop.dose.ledger import Ledger
from closedloop.errors import DoseError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "memory").mkdir()
    (tmp_path / "dose").mkdir()
    monkeypatch.setattr(closedloop.dose.record, "TMPFS", tmp_path / "memory")
    monkeypatch.setenv("CLOSEDLOOP_DOSE", str(tmp_path / "dose"))
    return tmp_path / "dose"


def said(*arguments):
    """Run the command and return all that it prints, in one line; its errors are raised."""
    result = CliRunner().invoke(app, ["dose", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return " ".join(result.output.split())


def test_a_record_that_no_session_has_written_to_says_so(folder):
    (folder / "N.jsonl").touch()
    assert said("N") == "N: nothing has been given yet. Research software, not a medical device."


@pytest.mark.parametrize("content", [b"\xff\xfe garbage", bytes(500), bytes(range(255, 10, -1))])
def test_a_damaged_record_is_refused_and_stays(folder, content):
    (folder / "N.jsonl").write_bytes(content)
    with pytest.raises(DoseError, match=r"N\.jsonl:1: "):
        said("N")
    assert (folder / "N.jsonl").read_bytes() == content


def test_a_first_entry_that_is_torn_is_told(folder):
    (folder / "N.jsonl").write_bytes(b'{"kind": "lease", "session": "/a/b", "pulses": 100')
    told = said("N")
    assert told.startswith("warning: ")
    assert "the last 50 bytes are the beginning of an entry that was never finished" in told
    assert "N: nothing has been given yet" in told
    assert (folder / "N.jsonl").stat().st_size == 50


def test_a_session_that_runs_does_not_keep_anybody_from_looking(folder):
    with Ledger(folder, "N") as ledger:
        ledger.lease("a", 12)
        told, content = said("N"), json.loads(said("N", "--json"))
    assert told.startswith("A session is running: what follows is as of now.")
    assert "N: 12 pulses within 24 h, 12 in all." in told
    assert content["running"]
    assert content["sessions"] == [
        {
            "session": "a",
            "pulses": 12,
            "at_s": pytest.approx(time.time(), abs=100.0),
            "settled": False,
            "counted": False,
        }
    ]
