"""What a faulty stream sends in place of each sample, and how faults are written."""

import pytest

from closedloop.errors import ConfigError
from closedloop.sources.faults import Fault, Faults, Kind, Sent, check_within, parse_drop, parse_fault

RATE_HZ = 250.0


def sent(*faults, places=range(10)):
    """Return what is sent at each place, of a stream at RATE_HZ."""
    stream = Faults(faults, RATE_HZ)
    return [stream.sent_at(place) for place in places]


def order(*faults, places=range(10)):
    return [one.place for at_once in sent(*faults, places=places) for one in at_once]


def at(place):
    return place / RATE_HZ


def test_without_faults_every_sample_is_sent_as_it_is():
    assert sent() == [[Sent(place)] for place in range(10)]


def test_dropped_samples_never_come_and_the_others_keep_their_stamps():
    assert sent(Fault(Kind.DROP, at(3), 4)) == [[] if 3 <= place < 7 else [Sent(place)] for place in range(10)]


def test_a_fault_between_two_samples_meets_the_later():
    assert order(Fault(Kind.DROP, at(2.5), 1)) == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_duplicates_come_twice_in_a_row():
    assert order(Fault(Kind.DUPLICATE, at(3), 2)) == [0, 1, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9]


def test_one_stamp_is_backdated():
    assert sent(Fault(Kind.BACKDATE, at(4), 0.1))[3:6] == [[Sent(3)], [Sent(4, -0.1)], [Sent(5)]]


def test_two_samples_change_places_when_the_second_is_due():
    assert sent(Fault(Kind.SWAP, at(4)))[3:7] == [[Sent(3)], [], [Sent(5), Sent(4)], [Sent(6)]]


def test_a_sample_that_is_swapped_twice_waits_twice():
    assert order(Fault(Kind.SWAP, at(4)), Fault(Kind.SWAP, at(5))) == [0, 1, 2, 3, 4, 6, 5, 7, 8, 9]


@pytest.mark.parametrize("amount", [0.2, -0.2])
def test_after_a_jump_all_stamps_are_shifted(amount):
    assert sent(Fault(Kind.JUMP, at(6), amount)) == [
        [Sent(place, amount if place >= 6 else 0.0)] for place in range(10)
    ]


def test_jumps_add_up():
    (last,) = sent(Fault(Kind.JUMP, at(2), 0.5), Fault(Kind.JUMP, at(6), -0.125))[9]
    assert last.shift_s == 0.375


def test_values_are_lost_and_stamps_are_not():
    assert sent(Fault(Kind.NAN, at(4), 2))[3:7] == [[Sent(3)], [Sent(4, 0.0, True)], [Sent(5, 0.0, True)], [Sent(6)]]


def test_what_falls_into_a_silence_is_lost():
    assert order(Fault(Kind.SILENCE, at(3), 4 / RATE_HZ)) == [0, 1, 2, 7, 8, 9]


def test_what_falls_into_a_stall_comes_at_its_end():
    stalled = Faults((Fault(Kind.STALL, at(3), 4 / RATE_HZ),), RATE_HZ)
    due = [stalled.due_s(at(place)) for place in range(10)]
    assert due == pytest.approx([at(7) if 3 <= place < 7 else at(place) for place in range(10)])
    assert order(*stalled.faults) == list(range(10))


def test_a_stall_that_ends_in_another_lasts_until_that_ones_end():
    stalls = Fault(Kind.STALL, 2.0, 2.0), Fault(Kind.STALL, 1.0, 1.5)
    assert Faults(stalls, RATE_HZ).due_s(1.25) == 4.0


def test_faults_act_on_what_others_left():
    assert (
        sent(Fault(Kind.SWAP, at(4)), Fault(Kind.DROP, at(5), 1), Fault(Kind.DUPLICATE, at(4), 1))[5] == [Sent(4)] * 2
    )


def test_the_first_end_ends_the_stream():
    die = Fault(Kind.DIE, 2.0)
    assert Faults((Fault(Kind.END, 3.0), die), RATE_HZ).last == die
    assert Faults((Fault(Kind.NAN, 1.0, 1),), RATE_HZ).last is None


# How they are written


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("duplicate@12.5:3", Fault(Kind.DUPLICATE, 12.5, 3)),
        ("duplicate@12.5", Fault(Kind.DUPLICATE, 12.5, 1)),
        ("backdate@1:0.25", Fault(Kind.BACKDATE, 1.0, 0.25)),
        ("swap@0", Fault(Kind.SWAP, 0.0)),
        ("jump@1e1:-0.2", Fault(Kind.JUMP, 10.0, -0.2)),
        ("stall@3:0.5", Fault(Kind.STALL, 3.0, 0.5)),
        ("silence@3:0.5", Fault(Kind.SILENCE, 3.0, 0.5)),
        ("end@3", Fault(Kind.END, 3.0)),
        ("die@3", Fault(Kind.DIE, 3.0)),
        ("nan@3:250", Fault(Kind.NAN, 3.0, 250)),
    ],
)
def test_a_fault_is_read(text, fault):
    assert parse_fault(text) == fault


def test_a_drop_is_read():
    assert parse_drop("12.5:40") == Fault(Kind.DROP, 12.5, 40)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("melt@3", "--fault melt@3: must be KIND@START[:AMOUNT], of a kind of drop, duplicate, "),
        ("swap", "--fault swap: must be KIND@START[:AMOUNT]"),
        ("swap@soon", "--fault swap@soon: START = soon: must be a number"),
        ("swap@-1", "START = -1: must be at least 0 s"),
        ("swap@nan", "START = nan: must be finite"),
        ("swap@1:2", "AMOUNT = 2: swap has no amount"),
        ("jump@1", "jump needs an amount in s: jump@1:AMOUNT"),
        ("jump@1:0", "AMOUNT = 0: must not be 0 s"),
        ("jump@1:inf", "AMOUNT = inf: must be finite"),
        ("stall@1:-2", "AMOUNT = -2: must be above 0 s"),
        ("nan@1:0", "AMOUNT = 0: must be a whole number of samples, at least 1"),
        ("duplicate@1:1.5", "AMOUNT = 1.5: must be a whole number of samples, at least 1"),
        ("duplicate@1:", "AMOUNT = : must be a number"),
    ],
)
def test_what_is_no_fault_is_told_with_its_part_and_limit(one_line_error, text, said):
    assert said in one_line_error(ConfigError, parse_fault, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3", "--drop 3: must be START:N, a time in s and a number of samples"),
        ("3:0", "--drop 3:0: AMOUNT = 0: must be a whole number of samples, at least 1"),
        ("x:1", "--drop x:1: START = x: must be a number"),
    ],
)
def test_what_is_no_drop_is_told_with_its_part_and_limit(one_line_error, text, said):
    assert said in one_line_error(ConfigError, parse_drop, text)


def test_a_fault_after_the_streams_end_is_refused():
    check_within([Fault(Kind.NAN, at(9), 1), Fault(Kind.SWAP, at(8))], 10, RATE_HZ)
    with pytest.raises(ConfigError, match=r"^nan at 0\.04 s: the stream has ended then \(it lasts 0\.04 s\)$"):
        check_within([Fault(Kind.NAN, at(10), 1)], 10, RATE_HZ)


def test_a_swap_without_a_second_sample_is_refused():
    with pytest.raises(ConfigError, match="swap at"):
        check_within([Fault(Kind.SWAP, at(9))], 10, RATE_HZ)
