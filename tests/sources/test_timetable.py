"""What a stand-in amplifier sends when, without a clock."""

from itertools import islice

import numpy as np
import pytest

from closedloop.sources.faults import Fault, Faults, Kind
from closedloop.sources.recording import Recording
from closedloop.sources.timetable import PUSH_GAP_S, Timetable, pushes, recording_rows

RATE_HZ = 250.0


def timetable(*faults, n=10, n_places=None, chunk=1, rate_hz=RATE_HZ, rows=None, **fields):
    rows = np.arange(n) if rows is None else np.array(rows)
    n_places = rows.size if n_places is None else n_places
    return Timetable(rows, n_places, chunk, Faults(faults, rate_hz), **fields)


def joined(table, field):
    return np.concatenate([getattr(push, field) for push in pushes(table)])


def test_a_sample_is_due_and_stamped_at_its_multiple_of_the_period():
    sent = list(pushes(timetable()))
    assert [push.due_s for push in sent] == [k / RATE_HZ for k in range(10)]
    assert [push.stamps_s.tolist() for push in sent] == [[k / RATE_HZ] for k in range(10)]
    assert [push.rows.tolist() for push in sent] == [[k] for k in range(10)]


def test_a_chunk_is_due_with_its_last_sample_and_the_last_chunk_may_be_short():
    sent = list(pushes(timetable(chunk=4)))
    assert [push.due_s * RATE_HZ for push in sent] == [3, 7, 9]
    assert [push.stamps_s.size for push in sent] == [4, 4, 2]
    np.testing.assert_array_equal(joined(timetable(chunk=4), "stamps_s"), np.arange(10) / RATE_HZ)


def test_errors_do_not_add_up_in_ten_minutes():
    n = int(600 * RATE_HZ)
    (last,) = pushes(timetable(n=n, chunk=n, rate_hz=RATE_HZ * (1 + 30e-6)))
    assert last.stamps_s[-1] == (n - 1) / (RATE_HZ * (1 + 30e-6))


def test_going_round_begins_anew_and_stamps_go_on():
    endless = Timetable(np.arange(4), None, 1, Faults((), RATE_HZ))
    sent = list(islice(pushes(endless), 10))
    assert [int(push.rows[0]) for push in sent] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert [push.due_s for push in sent] == [k / RATE_HZ for k in range(10)]


def test_a_recordings_gap_stays_a_gap():
    there = np.array([0, 1, 2, 5, 6])
    recording = Recording(("F3",), ("eeg",), RATE_HZ, np.zeros((5, 1)), 100.0 + there / RATE_HZ, "a.xdf")
    rows = recording_rows(recording)
    assert rows.tolist() == [0, 1, 2, -1, -1, 3, 4]
    np.testing.assert_array_equal(joined(timetable(rows=rows), "stamps_s"), there / RATE_HZ)


@pytest.mark.parametrize("chunk", [1, 3, 4, 10])
def test_chunks_change_neither_samples_nor_stamps(chunk):
    faults = (
        Fault(Kind.DROP, 1 / RATE_HZ, 1),
        Fault(Kind.SWAP, 3 / RATE_HZ),
        Fault(Kind.DUPLICATE, 5 / RATE_HZ, 2),
        Fault(Kind.JUMP, 6 / RATE_HZ, 0.5),
        Fault(Kind.NAN, 7 / RATE_HZ, 2),
    )
    for field in ("rows", "stamps_s", "times_s", "is_nan"):
        np.testing.assert_array_equal(
            joined(timetable(*faults, chunk=chunk), field), joined(timetable(*faults), field), err_msg=field
        )


def test_a_jump_moves_stamps_and_neither_when_a_sample_is_nor_when_it_is_due():
    plain, moved = (list(pushes(timetable(*faults))) for faults in ((), (Fault(Kind.JUMP, 5 / RATE_HZ, -0.2),)))
    assert [push.due_s for push in moved] == [push.due_s for push in plain]
    assert [push.times_s for push in moved] == [push.times_s for push in plain]
    shifts = [float((a.stamps_s - b.stamps_s)[0]) for a, b in zip(moved, plain, strict=True)]
    assert shifts == pytest.approx([0.0] * 5 + [-0.2] * 5)


def test_after_a_stall_all_of_it_comes_at_once_with_its_old_stamps():
    sent = list(pushes(timetable(Fault(Kind.STALL, 2 / RATE_HZ, 5 / RATE_HZ))))
    assert [push.rows.tolist() for push in sent] == [[0], [1], [2, 3, 4, 5, 6, 7], [8], [9]]
    assert sent[2].due_s == pytest.approx(7 / RATE_HZ)
    np.testing.assert_array_equal(sent[2].stamps_s, np.arange(2, 8) / RATE_HZ)


def test_an_end_comes_before_what_is_due_with_it():
    assert joined(timetable(Fault(Kind.END, 4 / RATE_HZ)), "rows").tolist() == [0, 1, 2, 3]


def test_what_is_stalled_when_the_end_comes_is_lost():
    faults = Fault(Kind.STALL, 2 / RATE_HZ, 5 / RATE_HZ), Fault(Kind.DIE, 4 / RATE_HZ)
    assert joined(timetable(*faults), "rows").tolist() == [0, 1]


@pytest.mark.parametrize("jitter_s", [0.5 / RATE_HZ, 20 / RATE_HZ])
def test_jitter_delays_a_push_and_its_stamps_alike_and_keeps_their_order(jitter_s):
    sent = list(pushes(timetable(n=400, chunk=2, jitter_s=jitter_s)))
    late = np.array([push.due_s - push.times_s[-1] for push in sent])
    assert late.min() >= 0.0
    assert late.max() < jitter_s + len(sent) * PUSH_GAP_S
    assert late.std() > 0.1 * jitter_s
    assert np.diff([push.due_s for push in sent]).min() > 0.0
    for push, one in zip(sent, late, strict=True):
        np.testing.assert_allclose(push.stamps_s - push.times_s, one, atol=1e-12)


def test_jitter_is_that_of_its_seed():
    first, again, other = ([push.due_s for push in pushes(timetable(jitter_s=0.001, seed=seed))] for seed in (1, 1, 2))
    assert first == again != other
