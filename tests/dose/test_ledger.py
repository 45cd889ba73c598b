"""What a subject was given, on disk, whatever happens to the program, the power or the clock."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.dose.ledger import DAY_S, Ledger
from closedloop.errors import DoseError

NOW_S = 1.8e9


class Clock:
    def __init__(self):
        self.now_s = NOW_S

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(tmp_path, clock):
    def open_ledger(subject="sub-01"):
        return Ledger(tmp_path / "dose", subject, wall_clock=clock)

    return open_ledger


def test_a_new_subject_was_given_nothing(ledger):
    with ledger() as empty:
        assert (empty.sessions, empty.in_day(), empty.in_course()) == ((), 0, 0)


def test_what_was_leased_counts_until_it_is_settled(ledger):
    with ledger() as first:
        first.lease("a", 100)
        assert first.in_course() == 100
        first.settle("a", 42)
        assert first.in_course() == 42
    with ledger() as later:
        assert later.in_course() == later.in_day() == 42
        assert later.sessions[0].settled


def test_an_open_lease_counts_whole_after_a_power_loss(ledger):
    with ledger() as first:
        first.lease("a", 100)
        first.lease("a", 150)
    with ledger() as later:
        assert later.in_course() == 150
        assert not later.sessions[0].settled


def test_after_24_h_a_session_counts_for_the_course_only(ledger, clock):
    with ledger() as open_ledger:
        open_ledger.lease("a", 10)
        open_ledger.settle("a", 10)
        clock.now_s += DAY_S - 1.0
        assert (open_ledger.in_day(), open_ledger.in_course()) == (10, 10)
        clock.now_s += 1.0
        assert (open_ledger.in_day(), open_ledger.in_course()) == (0, 10)


def test_a_session_counts_whole_by_its_last_entry(ledger, clock):
    with ledger() as open_ledger:
        open_ledger.lease("a", 10)
        clock.now_s += DAY_S
        open_ledger.lease("a", 20)
        assert open_ledger.in_day() == 20


def test_subjects_are_kept_apart(ledger):
    with ledger("one") as one, ledger("two") as two:
        one.lease("a", 7)
        assert two.in_course() == 0


def test_a_ledger_serves_one_session_at_a_time(ledger):
    with ledger(), pytest.raises(DoseError, match=r"sub-01\.jsonl is in use: another session of sub-01 is running"):
        ledger()
    with ledger():
        pass


@pytest.mark.parametrize("subject", ["", "../x", "a b", "-x", "x" * 65, "ü", ".hidden"])
def test_a_subject_is_a_code(ledger, subject):
    with pytest.raises(DoseError, match=r"^subject = .* is no code"):
        ledger(subject)


def test_a_clock_that_is_earlier_than_the_last_entry_is_refused(ledger, clock):
    with ledger() as open_ledger:
        open_ledger.lease("a", 1)
        clock.now_s -= 90.0
        with pytest.raises(DoseError, match="the wall clock is 90 s earlier than the last entry: set it right"):
            open_ledger.lease("a", 2)
    with pytest.raises(DoseError, match="90 s earlier"):
        ledger()


def test_a_lease_only_grows_and_a_session_gives_no_more_than_it(ledger):
    with ledger() as open_ledger:
        open_ledger.lease("a", 10)
        with pytest.raises(DoseError, match="cannot lease 9 pulses after 10"):
            open_ledger.lease("a", 9)
        with pytest.raises(DoseError, match="gave 11 pulses, more than the 10 that it had leased"):
            open_ledger.settle("a", 11)
        open_ledger.settle("a", 10)
        with pytest.raises(DoseError, match="cannot lease"):
            open_ledger.lease("a", 20)
        with pytest.raises(DoseError, match="more than the 0"):
            open_ledger.settle("b", 1)
        assert open_ledger.in_course() == 10


@given(cut=st.integers(0, 10**6))
def test_a_line_that_was_torn_by_a_power_loss_had_not_been_relied_on(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("dose")
    with Ledger(folder, "s", wall_clock=lambda: NOW_S) as ledger:
        ledger.lease("a", 10)
        before = ledger.path.stat().st_size
        ledger.lease("a", 20)
        size = ledger.path.stat().st_size
    kept = before + cut % (size - before)
    with ledger.path.open("r+b") as file:
        file.truncate(kept)
    with Ledger(folder, "s", wall_clock=lambda: NOW_S) as again:
        assert again.in_course() == 10
        again.lease("a", 30)
    with Ledger(folder, "s", wall_clock=lambda: NOW_S) as later:
        assert later.in_course() == 30


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"7",
        b'{"kind": "gift", "session": "a", "pulses": 1, "at_s": 1.0}',
        b'{"kind": "lease", "session": "a", "pulses": -1, "at_s": 1.0}',
        b'{"kind": "lease", "session": "a", "pulses": 1.5, "at_s": 1.0}',
        b'{"kind": "lease", "session": "a", "pulses": true, "at_s": 1.0}',
        b'{"kind": "lease", "session": 3, "pulses": 1, "at_s": 1.0}',
        b'{"kind": "lease", "session": "a", "pulses": 1}',
        b"\xff",
    ],
)
def test_a_line_that_is_no_entry_is_refused_with_its_place(tmp_path, line):
    good = json.dumps({"kind": "lease", "session": "a", "pulses": 1, "at_s": 1.0}).encode()
    (tmp_path / "s.jsonl").write_bytes(good + b"\n" + line + b"\n")
    with pytest.raises(DoseError, match=r"s\.jsonl:2: this is no entry of a dose record"):
        Ledger(tmp_path, "s")
