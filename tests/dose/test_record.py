"""A subject's dose: what sessions before it gave, what it may give, and what a crash cannot hide."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import closedloop.dose.record
from closedloop.core.state import make_example
from closedloop.dose.ledger import DAY_S, Ledger
from closedloop.dose.mapping import Mapping
from closedloop.dose.record import LEASE_PULSES, DoseRecord, counters_path, ledger_folder
from closedloop.errors import DoseError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a dose record needs Linux")


class Clocks:
    """A monotonic clock and the wall's, an hour and a bit apart."""

    def __init__(self):
        self.wall_s = 1e9

    def monotonic(self):
        return self.wall_s - 1e9 + 4000.0

    def wall(self):
        return self.wall_s


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    """Keep counters of these tests away from those of other runs."""
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(closedloop.dose.record, "TMPFS", tmp_path / "memory")


@pytest.fixture
def begin(tmp_path, clocks):
    def begin(session="one", subject="S01"):
        return DoseRecord(subject, session, folder=tmp_path / "dose", clock=clocks.monotonic, wall_clock=clocks.wall)

    return begin


def give(record, pulses):
    """Lease, and count pulses as the loop does."""
    core = record.share(make_example())
    assert record.lease(pulses) == pulses
    core.gate["pulses"] += pulses
    return core


def test_a_session_counts_for_the_next(begin, clocks):
    with begin("one") as record:
        give(record, 30)
        clocks.wall_s += 60.0
    with begin("two") as record:
        core = record.share(make_example())
        assert (core.gate["before_day"][0], core.gate["before_course"][0], core.gate["pulses"][0]) == (30, 30, 0)
    clocks.wall_s += DAY_S
    with begin("three") as record:
        assert (record.in_day, record.in_course) == (0, 30)


def test_a_session_that_gave_nothing_leaves_no_entry(begin, tmp_path):
    with begin() as record:
        record.share(make_example())
    assert (tmp_path / "dose" / "S01.jsonl").read_text() == ""


def test_windows_of_time_see_pulses_of_earlier_sessions_at_the_latest_time_that_they_can_have_been(begin, clocks):
    with begin("one") as record:
        give(record, 3)
        clocks.wall_s += 100.0
    ended_s = clocks.monotonic()
    clocks.wall_s += 50.0
    with begin("two") as record:
        example = make_example()
        example = example._replace(exposure=example.exposure._replace(recent_s=np.full(5, -np.inf)))
        core = record.share(example)
    assert core.exposure.run["pulses"][0] == 3
    assert core.exposure.recent_s[:3] == pytest.approx(ended_s)
    assert core.gate["before_last_s"][0] == pytest.approx(ended_s)
    assert np.isneginf(core.exposure.recent_s[3:]).all()


def test_of_more_pulses_than_the_windows_hold_the_newest_are_seen(begin, clocks):
    for session in ("one", "two"):
        with begin(session) as record:
            give(record, 4)
        clocks.wall_s += 1000.0
    with begin("three") as record:
        example = make_example()
        example = example._replace(exposure=example.exposure._replace(recent_s=np.full(5, -np.inf)))
        recent_s = record.share(example).exposure.recent_s
    now_s = clocks.monotonic()
    assert recent_s == pytest.approx([now_s - 2000.0] + [now_s - 1000.0] * 4)


def test_a_lease_is_on_disk_before_it_is_told(begin, tmp_path):
    with begin() as record:
        core = record.share(make_example())
        assert record.lease() == LEASE_PULSES
        (line,) = (tmp_path / "dose" / "S01.jsonl").read_text().splitlines()
        assert json.loads(line)["pulses"] == LEASE_PULSES
        assert not record.used_up
        core.gate["pulses"] += LEASE_PULSES // 2
        assert record.used_up
        assert record.lease() == LEASE_PULSES // 2 + LEASE_PULSES
        assert not record.used_up


KILLED = """
import os, signal, sys
from pathlib import Path
import closedloop.dose.record
from closedloop.core.state import make_example
from closedloop.dose.record import DoseRecord

closedloop.dose.record.TMPFS = Path(sys.argv[1])
record = DoseRecord("S01", "killed", folder=Path(sys.argv[2]))
core = record.share(make_example())
record.lease()
core.gate["pulses"] += 7
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", "-c", KILLED, str(tmp_path / "memory"), str(tmp_path / "dose")], check=False, timeout=100
    )
    assert done.returncode == -signal.SIGKILL


def test_what_a_killed_session_gave_is_known_to_the_pulse(killed, tmp_path):
    with DoseRecord("S01", "next", folder=tmp_path / "dose") as record:
        assert record.left is not None
        assert record.left.session == "killed"
        (settled,) = record.settled
        assert (settled.session, settled.pulses, settled.settled) == ("killed", 7, True)
        assert (record.in_day, record.in_course) == (7, 7)


def test_after_a_power_loss_all_that_was_leased_counts_and_as_of_now(killed, tmp_path):
    (tmp_path / "memory" / f"closedloop-dose-{os.getuid()}" / "S01").unlink()
    with DoseRecord("S01", "next", folder=tmp_path / "dose") as record:
        assert record.left is None
        assert [given.pulses for given in record.settled] == [LEASE_PULSES]
        assert record.in_day == LEASE_PULSES


def test_what_another_sessions_memory_holds_does_not_settle_this_one(begin, tmp_path, clocks):
    with Ledger(tmp_path / "dose", "S01", wall_clock=clocks.wall) as ledger:
        ledger.lease("lost", 40)
    mapping = Mapping(counters_path("S01"), "another")
    mapping.share(make_example()).gate["pulses"] += 3
    with begin("next") as record:
        assert [(given.session, given.pulses) for given in record.settled] == [("lost", 40)]


def test_two_sessions_of_one_subject_do_not_run_at_once(begin):
    with begin("one"), pytest.raises(DoseError, match="another session of S01 is running"):
        begin("two")


def test_a_session_of_another_subject_may(begin):
    with begin("one") as one, begin("two", subject="S02") as two:
        give(one, 3)
        give(two, 4)
    with begin("three") as record:
        assert record.in_course == 3


def test_an_error_within_it_settles_as_well(begin):
    record = begin("one")
    give(record, 5)
    record.__exit__(RuntimeError, RuntimeError(), None)
    with begin("two") as record:
        assert record.settled == ()
        assert record.in_course == 5


def test_a_wall_clock_that_was_set_back_refuses(begin, clocks):
    with begin("one") as record:
        give(record, 1)
    clocks.wall_s -= 10.0
    with pytest.raises(DoseError, match="the wall clock is 10 s earlier"):
        begin("two")


def test_counters_in_a_folder_of_somebody_else_are_not_trusted(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "memory" / f"closedloop-dose-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DoseError, match="belongs to somebody else"):
        counters_path("S01")


def test_counters_need_a_folder_that_can_be_made(monkeypatch, tmp_path):
    monkeypatch.setattr(closedloop.dose.record, "TMPFS", tmp_path / "none")
    with pytest.raises(DoseError, match="cannot be made: No such file"):
        counters_path("S01")


def test_ledgers_are_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("CLOSEDLOOP_DOSE", str(tmp_path))
    assert ledger_folder() == tmp_path
    monkeypatch.delenv("CLOSEDLOOP_DOSE")
    assert ledger_folder().name == "dose"
