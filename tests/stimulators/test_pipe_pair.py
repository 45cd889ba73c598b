"""What a program that drives a line makes of the bytes in its pipe, over real pipes and by the test's own clock."""

import math
import os

import pytest

from closedloop.stimulators.lines.pipe_pair import (
    OLDEST_S,
    TRIGGER,
    NotFiredError,
    Replies,
    Reply,
    ReplyKind,
    Server,
    UnconfirmedError,
)


def nothing():
    pass


class Line:
    """Notes what is asked of it; the first firing can also do something else, before it leaves, meanwhile and after."""

    def __init__(self, *, width_s=0.0, before=nothing, meanwhile=nothing, after=nothing, back=nothing):
        self.width_s, self._back, self.done = width_s, back, []
        self._once = [before, meanwhile, after]

    def fire(self, leaving):
        (before, meanwhile, after), self._once = self._once, [nothing] * 3
        before()
        with leaving:
            self.done.append("fire")
            meanwhile()
        after()

    def take_back(self):
        self.done.append("take back")
        self._back()


class Pair:
    """A pair of pipes, both ends of each."""

    def __init__(self):
        self.triggers, self.to_take = os.pipe()
        taken, self.replies = os.pipe()
        os.set_blocking(taken, False)
        self.heard = Replies(taken)
        self.now_s = 100.0

    def clock(self):
        return self.now_s

    def pass_time(self, seconds):
        self.now_s += seconds

    def trigger(self, n=1):
        os.write(self.to_take, TRIGGER * n)

    def hang_up(self):
        os.close(self.to_take)
        self.to_take = -1

    def serve(self, line):
        """Serve until the pipe's end, and return what was said."""
        Server(self.triggers, self.replies, self.clock).serve(line)
        return self.heard.take()

    def close(self):
        for fd in (self.triggers, self.replies, self.heard.fd, self.to_take):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def pair():
    made = Pair()
    yield made
    made.close()


def kinds(replies):
    return [(reply.kind, reply.number) for reply in replies]


def test_a_trigger_is_fired_and_told_with_its_times(pair):
    pair.trigger()
    pair.hang_up()
    line = Line(meanwhile=lambda: pair.pass_time(0.002), after=lambda: pair.pass_time(0.1))  # it answers late
    (reply,) = pair.serve(line)
    assert line.done == ["fire"]
    assert reply == Reply(ReplyKind.FIRED, 0, 100.0, 100.002)


def test_a_line_that_does_not_fall_by_itself_is_taken_back(pair):
    pair.trigger()
    pair.hang_up()
    line = Line(width_s=0.001)
    pair.serve(line)
    assert line.done == ["fire", "take back"]


def test_of_triggers_that_come_at_once_the_last_is_fired_alone(pair):
    pair.trigger(3)
    pair.hang_up()
    line = Line()
    replies = pair.serve(line)
    assert line.done == ["fire"]
    assert kinds(replies) == [(ReplyKind.LATE, 0), (ReplyKind.LATE, 1), (ReplyKind.FIRED, 2)]
    assert all(math.isnan(reply.fired_s) for reply in replies[:2])


@pytest.mark.parametrize(("away_s", "kind"), [(0.9 * OLDEST_S, ReplyKind.FIRED), (1.1 * OLDEST_S, ReplyKind.LATE)])
def test_a_trigger_that_may_have_waited_for_too_long_is_not_fired(pair, away_s, kind):
    def hang():  # as a call that takes its time; the next trigger comes meanwhile
        pair.pass_time(away_s)
        pair.trigger()
        pair.hang_up()

    pair.trigger()
    line = Line(meanwhile=hang)
    replies = pair.serve(line)
    assert kinds(replies) == [(ReplyKind.FIRED, 0), (kind, 1)]
    assert line.done == ["fire"] * (2 if kind == ReplyKind.FIRED else 1)


def test_a_clock_that_is_no_number_fires_nothing(pair):
    pair.now_s = math.nan
    pair.trigger()
    pair.hang_up()
    line = Line()
    assert kinds(pair.serve(line)) == [(ReplyKind.LATE, 0)]
    assert line.done == []


@pytest.mark.parametrize(("waits_s", "kind"), [(0.9 * OLDEST_S, ReplyKind.FIRED), (1.1 * OLDEST_S, ReplyKind.LATE)])
def test_what_would_leave_too_late_does_not_leave(pair, waits_s, kind):
    pair.trigger(2)
    line = Line(before=lambda: pair.pass_time(waits_s))  # as a port that is not free
    server = Server(pair.triggers, pair.replies, pair.clock)
    server.look(line, 0.0)
    assert kinds(pair.heard.take()) == [(ReplyKind.LATE, 0), (kind, 1)]
    assert line.done == (["fire"] if kind == ReplyKind.FIRED else [])
    server.look(line, 0.0)
    pair.trigger()
    server.look(line, 0.0)  # it goes on
    assert kinds(pair.heard.take()) == [(ReplyKind.FIRED, 2)]


def fail():
    raise RuntimeError("USB:\n  gone")


def test_what_fails_is_told_in_one_line_and_ends_the_program(pair):
    pair.trigger()
    line = Line(before=fail)
    (reply,) = pair.serve(line)  # it returns although the pipe is still open
    assert (reply.kind, reply.number, reply.text) == (ReplyKind.FAILED, 0, "USB: gone")
    assert math.isnan(reply.fired_s)
    assert line.done == []


@pytest.mark.parametrize("when", ["meanwhile", "after"])
def test_what_fails_once_it_may_have_left_is_not_known_and_ends_the_program(pair, when):
    pair.trigger()
    replies = pair.serve(Line(width_s=0.001, **{when: fail}))
    assert kinds(replies) == [(ReplyKind.UNKNOWN, 0), (ReplyKind.FAILED, -1)]
    assert replies[0].fired_s == 100.0
    assert [reply.text for reply in replies] == ["whether it fired is not known: USB: gone", "USB: gone"]


def test_what_says_that_it_did_not_fire_is_believed(pair):
    def refuse():
        raise NotFiredError("it rests")

    pair.trigger()
    (reply,) = pair.serve(Line(after=refuse))
    assert (reply.kind, reply.number, reply.text) == (ReplyKind.FAILED, 0, "it rests")


def test_a_line_that_cannot_be_taken_back_has_fired_all_the_same_and_ends_the_program(pair):
    pair.trigger()
    replies = pair.serve(Line(width_s=0.001, back=fail))
    assert kinds(replies) == [(ReplyKind.FIRED, 0), (ReplyKind.FAILED, -1)]
    assert replies[1].text == "USB: gone"


def test_a_line_of_which_nothing_is_known_is_taken_back_too(pair):
    def say_nothing():
        raise UnconfirmedError

    pair.trigger()
    pair.hang_up()
    line = Line(width_s=0.001, after=say_nothing)
    assert kinds(pair.serve(line)) == [(ReplyKind.UNKNOWN, 0)]
    assert line.done == ["fire", "take back"]


def test_the_pipes_end_is_the_end(pair):
    pair.hang_up()
    assert pair.serve(Line()) == []


def test_replies_that_nobody_reads_hold_nothing_up(pair):
    server = Server(pair.triggers, pair.replies, pair.clock)
    for _ in range(2000):  # more than a pipe holds
        server.tell(ReplyKind.READY, "x" * 96)
    assert 100 < len(pair.heard.take()) < 2000


def test_a_loop_that_has_gone_is_no_error(pair):
    os.close(pair.heard.fd)
    pair.heard.fd = -1
    Server(pair.triggers, pair.replies, pair.clock).tell(ReplyKind.READY)


@pytest.mark.parametrize("text", ["", "short", "x" * 96, "x" * 500, "µ" * 100])
def test_a_reply_comes_back_as_it_was_and_a_long_text_loses_its_end(pair, text):
    os.write(pair.replies, Reply(ReplyKind.FAILED, 7, 1.5, 2.5, text).packed())
    (reply,) = pair.heard.take()
    assert (reply.kind, reply.number, reply.taken_s, reply.fired_s) == (ReplyKind.FAILED, 7, 1.5, 2.5)
    assert text.startswith(reply.text)
    assert len(reply.text.encode()) >= min(95, len(text.encode()))


def test_a_reply_that_comes_in_pieces_is_put_together(pair):
    record = Reply(ReplyKind.FIRED, 1, 1.0, 2.0).packed()
    os.write(pair.replies, record + record[:10])
    assert len(pair.heard.take()) == 1
    os.write(pair.replies, record[10:])
    assert len(pair.heard.take()) == 1
