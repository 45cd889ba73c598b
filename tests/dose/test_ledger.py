"""What a subject was given, on disk, whatever happens to the program, the power or the clock."""

import errno
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.dose.ledger import DAY_S, Ledger
from closedloop.errors import DoseError, OutputError

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
        ledger.lease('ä \\ "/\n' + chr(0x1F600), 20)
        size = ledger.path.stat().st_size
    kept = before + cut % (size - 1 - before)
    with ledger.path.open("r+b") as file:
        file.truncate(kept)
    torn = ledger.path.read_bytes()
    with Ledger(folder, "s", wall_clock=lambda: NOW_S) as again:
        assert again.in_course() == 10
        assert again.torn == torn[before:]
        assert ledger.path.read_bytes() == torn  # until the next entry
        again.lease("a", 30)
        assert again.torn == b""
    with Ledger(folder, "s", wall_clock=lambda: NOW_S) as later:
        assert later.in_course() == 30


def test_an_entry_that_lacks_the_end_of_its_line_only_counts(ledger):
    with ledger() as first:
        first.lease("a", 10)
        first.lease("a", 20)
    first.path.write_bytes(first.path.read_bytes()[:-1])
    with ledger() as again:
        assert (again.in_course(), again.torn) == (20, b"")
        again.lease("a", 30)
        again.lease("a", 40)
    with ledger() as later:
        assert later.in_course() == 40


def test_what_a_full_disk_took_in_part_is_gone_before_the_next_entry(ledger, monkeypatch):
    with ledger() as open_ledger:
        open_ledger.lease("a", 10)
        with monkeypatch.context() as full:
            full.setattr("os.fsync", no_space)
            with pytest.raises(OutputError, match="cannot be written: No space left on device"):
                open_ledger.lease("a", 20)
        open_ledger.path.write_bytes(open_ledger.path.read_bytes()[:-5])
        assert open_ledger.in_course() == 10
        open_ledger.settle("a", 7)
    with ledger() as later:
        assert later.in_course() == 7


@pytest.mark.parametrize("change", [lambda text: text + text, lambda text: text[:-5], lambda text: text + b"\0"])
def test_what_another_program_changed_meanwhile_is_neither_lost_nor_counted_over(ledger, change):
    with ledger() as open_ledger:
        open_ledger.lease("a", 10)
        changed = change(open_ledger.path.read_bytes())
        open_ledger.path.write_bytes(changed)
        with pytest.raises(DoseError, match=r"^\S+\.jsonl has been changed by another program while a session kept it"):
            open_ledger.settle("a", 7)
        assert open_ledger.path.read_bytes() == changed


def no_space(_file):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


GOOD = json.dumps({"kind": "lease", "session": "a", "pulses": 1, "at_s": 1.0}).encode()
NO_BEGINNINGS = {
    "what is no text": b"\xff\xfe garbage",
    "random bytes": bytes(range(255, 155, -1)),
    "an entry with more behind it": GOOD + b"x",
    "two beginnings": GOOD[:20] + GOOD[:20],
    "another kind of entry": b'{"kind": "gift',
    "an entry without a kind": b'{"session": "a',
    "JSON of another program": b'{"kind":"lease"',
    "a word": b"lease",
    "a number that is none": b'{"kind": "lease", "session": "a", "pulses": -',
}


@pytest.mark.parametrize("end", NO_BEGINNINGS.values(), ids=NO_BEGINNINGS.keys())
@pytest.mark.parametrize("before", [b"", GOOD + b"\n"], ids=["alone", "after an entry"])
def test_an_end_that_is_no_beginning_of_an_entry_is_refused_and_stays(tmp_path, before, end):
    path = tmp_path / "s.jsonl"
    path.write_bytes(before + end)
    with pytest.raises(DoseError) as caught:
        Ledger(tmp_path, "s")
    assert str(caught.value).startswith(f"{path}:{before.count(10) + 1}: this is no entry of a dose record")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before + end


@pytest.mark.parametrize(
    "content", [bytes(500), GOOD + b"\n" + bytes(9), GOOD[:30] + bytes(9), bytes(9) + b"\n" + GOOD]
)
def test_zeros_that_a_loss_of_power_left_are_refused_with_what_to_do(tmp_path, content):
    path = tmp_path / "s.jsonl"
    path.write_bytes(content)
    with pytest.raises(DoseError, match=r"s\.jsonl:[12]: \d+ bytes of zero .* or remove this by hand"):
        Ledger(tmp_path, "s")
    assert path.read_bytes() == content


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
        b'{"kind": "lease", "session": "a", "pulses": 1, "at_s": NaN}',
        b'{"kind": "lease", "session": "a", "pulses": 1, "at_s": Infinity}',
        b'{"kind": "lease", "session": "a", "pulses": 1, "at_s": -1.0}',
        b"[" * 100_000,
        b"",
        b"\xff",
    ],
)
def test_a_line_that_is_no_entry_is_refused_with_its_place(tmp_path, line):
    (tmp_path / "s.jsonl").write_bytes(GOOD + b"\n" + line + b"\n")
    with pytest.raises(DoseError, match=r"s\.jsonl:2: this is no entry of a dose record"):
        Ledger(tmp_path, "s")
