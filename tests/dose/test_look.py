"""A look at a dose record: it changes nothing, waits for nobody, and counts what a running session has given so far."""

import fcntl
import sys
import threading

import pytest

import closedloop.dose.record
from closedloop.dose.ledger import DAY_S, Ledger
from closedloop.dose.look import look
from closedloop.dose.record import DoseRecord
from closedloop.errors import DoseError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a dose record needs Linux")
NOW_S = 1.8e9
TORN = b'{"kind": "lease", "session": "b", "pulses": 2'


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(closedloop.dose.record, "TMPFS", tmp_path / "memory")
    return tmp_path / "memory"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "dose"


def record(folder, session="a"):
    return DoseRecord("s", session, folder=folder, wall_clock=lambda: NOW_S)


def deliver(dose, pulses):
    """Count pulses as the compiled loop does."""
    dose._mapping._gate["pulses"] = pulses


def test_a_look_makes_no_folder_and_no_file(folder, memory):
    with pytest.raises(DoseError, match=r"dose has no dose record of s \(there: nobody\)$"):
        look(folder, "s")
    assert not folder.exists()
    assert list(memory.iterdir()) == []


def test_what_was_settled_counts(folder):
    with record(folder) as dose:
        dose.lease()
        deliver(dose, 7)
    seen = look(folder, "s", wall_clock=lambda: NOW_S)
    assert (seen.in_day, seen.in_course, seen.running, seen.warning, seen.counted) == (7, 7, False, "", frozenset())
    assert look(folder, "s", wall_clock=lambda: NOW_S + DAY_S).in_day == 0


def test_a_session_that_runs_counts_by_what_it_has_given_so_far(folder):
    with record(folder, "earlier") as dose:
        dose.lease(5)
        deliver(dose, 5)
    with record(folder) as dose:
        dose.lease(100)
        deliver(dose, 3)
        seen = look(folder, "s", wall_clock=lambda: NOW_S)
        assert (seen.running, seen.in_day, seen.in_course, seen.counted) == (True, 8, 8, {"a"})
        assert [given.pulses for given in seen.sessions] == [5, 3]
        dose.lease(100)  # the look has taken nothing from it
    assert not look(folder, "s", wall_clock=lambda: NOW_S).running


def test_a_session_whose_counters_are_gone_counts_by_all_that_it_had_leased(folder):
    with Ledger(folder, "s", wall_clock=lambda: NOW_S) as ledger:
        ledger.lease("a", 100)
    seen = look(folder, "s", wall_clock=lambda: NOW_S)
    assert (seen.in_course, seen.counted, seen.sessions[0].settled) == (100, frozenset(), False)


def test_a_torn_end_is_told_and_stays(folder):
    with Ledger(folder, "s", wall_clock=lambda: NOW_S) as ledger:
        ledger.lease("a", 4)
    content = ledger.path.read_bytes() + TORN
    ledger.path.write_bytes(content)
    seen = look(folder, "s", wall_clock=lambda: NOW_S)
    assert seen.in_course == 4
    assert f"the last {len(TORN)} bytes are the beginning of an entry" in seen.warning
    assert ledger.path.read_bytes() == content
    with record(folder) as dose:
        assert dose.warning == seen.warning


def test_an_entry_that_is_being_written_is_no_mistake(folder):
    with Ledger(folder, "s", wall_clock=lambda: NOW_S) as ledger:
        ledger.path.write_bytes(TORN)
        assert look(folder, "s", wall_clock=lambda: NOW_S).warning == ""


def test_a_session_begins_while_somebody_looks(folder):
    folder.mkdir()
    with (folder / "s.jsonl").open("a+b") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        over = threading.Timer(0.03, fcntl.flock, (looking, fcntl.LOCK_UN))
        over.start()
        with Ledger(folder, "s") as ledger:
            assert ledger.sessions == ()
        over.join()


def test_a_clock_that_is_earlier_than_the_last_entry_is_refused(folder):
    with Ledger(folder, "s", wall_clock=lambda: NOW_S) as ledger:
        ledger.lease("a", 1)
    with pytest.raises(DoseError, match="the wall clock is 90 s earlier than the last entry"):
        look(folder, "s", wall_clock=lambda: NOW_S - 90.0)


def test_a_folder_is_no_record(folder):
    (folder / "s.jsonl").mkdir(parents=True)
    with pytest.raises(DoseError, match=r"s\.jsonl is a folder and no dose record: have it looked at$"):
        look(folder, "s")
    (folder / "t.jsonl").touch()
    with pytest.raises(DoseError, match=r"no dose record of u \(there: t\)$"):
        look(folder, "u")


def test_a_path_is_no_code(folder):
    with pytest.raises(DoseError, match=r"^subject = '\.\./\.\./etc' is no code: use letters"):
        look(folder, "../../etc")
