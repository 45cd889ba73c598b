"""What is made of the words of a program that drives a line."""

import os
from contextlib import suppress

import numpy as np
import pytest

from closedloop.core.records import INPUT, InputKind
from closedloop.session.line_watch import UNANSWERED_S, LineWatch
from closedloop.stimulators.lines.pipe_pair import Replies, Reply, ReplyKind
from closedloop.stimulators.lines.wire import TriggerLine


def written(*codes, back=0.0):
    inputs = np.zeros(len(codes), INPUT)
    inputs["kind"], inputs["code"], inputs["value"] = InputKind.WRITTEN, codes, back
    return inputs


@pytest.fixture
def talk():
    """Return a watch, and a function by which the program says something."""
    taken, replies = os.pipe()
    os.set_blocking(taken, False)
    watch = LineWatch(TriggerLine(-1, b"\x01", b"", 0.0, "the box", replies=Replies(taken)))
    yield watch, lambda kind, number, text="": os.write(replies, Reply(kind, number, 1.0, text=text).packed())
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
    assert watch.fired == {0: True, 1: True}
    assert not watch.waits


@pytest.mark.parametrize("kind", [ReplyKind.LATE, ReplyKind.FAILED])
def test_what_did_not_fire_is_wrong(talk, kind):
    watch, say = talk
    watch.count(written(0))
    say(kind, 0, "it may be 12.0 ms old")
    assert watch.hear(10.0) == ["the box did not fire: it may be 12.0 ms old"]
    assert watch.fired == {0: False}


def test_what_nobody_knows_confirms_nothing_and_is_wrong(talk):
    watch, say = talk
    watch.count(written(0))
    say(ReplyKind.UNKNOWN, 0, "nothing says whether it fired")
    assert watch.hear(10.0) == ["the box: nothing says whether it fired"]
    assert watch.fired == {}


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
