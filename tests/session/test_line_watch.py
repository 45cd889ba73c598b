"""What is made of the words of a program that drives a line."""

import os
from contextlib import suppress

import numpy as np
import pytest

from closedloop.core.records import INPUT, InputKind
from closedloop.session.line_watch import UNANSWERED_S, LineWatch
from closedloop.stimulators.lines.pipe_pair import OLDEST_S, Replies, Reply, ReplyKind
from closedloop.stimulators.lines.wire import TriggerLine


def written(*codes, back=0.0):
    inputs = np.zeros(len(codes), INPUT)
    inputs["kind"], inputs["code"], inputs["value"] = InputKind.WRITTEN, codes, back
    inputs["now"] = 1.0
    return inputs


@pytest.fixture
def talk():
    """Return a watch, and a function by which the program says something."""
    taken, replies = os.pipe()
    os.set_blocking(taken, False)
    watch = LineWatch(TriggerLine(-1, b"\x01", b"", 0.0, "the box", replies=Replies(taken)))

    def say(kind, number, text="", fired_s=1.002):
        os.write(replies, Reply(kind, number, 1.001, fired_s, text).packed())

    yield watch, say
    for fd in (taken, replies):
        with suppress(OSError):
            os.close(fd)


def test_what_fired_is_known_and_nothing_is_wrong(talk):
    watch, say = talk
    watch.count(written(0, 0))
    assert watch.waits
    say(ReplyKind.FIRED, 0)
    say(ReplyKind.FIRED, 1)
    assert watch.hear(10.0) == []
    assert watch.fired_after_s == {0: pytest.approx(0.002), 1: pytest.approx(0.002)}
    assert not watch.waits


def test_what_fired_late_is_wrong_and_has_fired(talk):
    watch, say = talk
    watch.count(written(0, 0))
    say(ReplyKind.FIRED, 0, fired_s=1.0 + OLDEST_S - 1e-6)
    assert watch.hear(10.0) == []
    say(ReplyKind.FIRED, 1, fired_s=1.0235)
    assert watch.hear(10.0) == ["the box fired 23.5 ms after its trigger (at most 10)"]
    assert watch.fired_after_s[1] == pytest.approx(0.0235)


def test_an_answer_that_comes_before_the_record_of_its_trigger_waits_for_it(talk):
    watch, say = talk
    say(ReplyKind.FIRED, 0)
    assert watch.hear(10.0) == []
    assert watch.fired_after_s == {}
    watch.count(written(0))
    assert watch.hear(10.1) == []
    assert watch.fired_after_s == {0: pytest.approx(0.002)}


def test_an_answer_that_came_after_all_does_not_stand_for_the_next(talk):
    watch, say = talk
    unheard = [f"the box has said nothing of a trigger for {UNANSWERED_S:g} s"]
    watch.count(written(0))
    watch.hear(10.0)
    assert watch.hear(10.1 + UNANSWERED_S) == unheard
    say(ReplyKind.FIRED, 0)
    assert watch.hear(12.0) == []
    watch.count(written(0))
    assert watch.hear(20.0) == []
    assert watch.hear(20.1 + UNANSWERED_S) == unheard


def test_what_is_about_no_trigger_is_wrong_and_answers_none(talk):
    watch, say = talk
    watch.count(written(0))
    say(ReplyKind.FAILED, -1, "the output could not be taken back")
    assert watch.hear(10.0) == ["the box: the output could not be taken back"]
    assert watch.waits
    assert watch.fired_after_s == {}


@pytest.mark.parametrize("kind", [ReplyKind.LATE, ReplyKind.FAILED])
def test_what_did_not_fire_is_wrong(talk, kind):
    watch, say = talk
    watch.count(written(0))
    say(kind, 0, "it may be 12.0 ms old")
    assert watch.hear(10.0) == ["the box did not fire: it may be 12.0 ms old"]
    assert watch.fired_after_s == {0: None}


def test_what_nobody_knows_confirms_nothing_and_is_wrong(talk):
    watch, say = talk
    watch.count(written(0))
    say(ReplyKind.UNKNOWN, 0, "nothing says whether it fired")
    assert watch.hear(10.0) == ["the box: nothing says whether it fired"]
    assert watch.fired_after_s == {}


def test_a_program_that_says_nothing_of_a_trigger_is_noticed_once(talk):
    watch, _ = talk
    watch.count(written(0))
    assert watch.hear(10.0) == []
    assert watch.hear(10.0 + UNANSWERED_S) == []
    assert watch.hear(10.1 + UNANSWERED_S) == [f"the box has said nothing of a trigger for {UNANSWERED_S:g} s"]
    assert watch.hear(20.0) == []


def test_a_write_that_failed_and_one_that_takes_the_line_back_want_no_answer(talk):
    watch, _ = talk
    watch.count(written(11))
    watch.count(written(0, back=1.0))
    assert not watch.waits


def test_a_line_without_a_program_is_never_waited_for():
    watch = LineWatch(TriggerLine(-1, b"\x01", b"", 0.0, "/dev/ttyACM0"))
    watch.count(written(0, 0, 0))
    assert watch.hear(10.0) == watch.hear(20.0) == []
