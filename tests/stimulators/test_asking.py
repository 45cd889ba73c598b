"""When a stimulator is asked how it is, by the test's own clock."""

import math

import pytest

from closedloop.stimulators.asking import HELD_BACK_S, Asking

CLEAR_S = 0.06


class Course:
    """A clock, what the loop tells of its triggers, and the questions that come of it."""

    def __init__(self):
        self.now_s, self.due_s, self.left_s = 50.0, math.inf, -math.inf
        self.asking = Asking(self, CLEAR_S, lambda: self.now_s)
        self.asking.asked(0.25)

    @property
    def due_in_s(self):
        return self.due_s - self.now_s

    @property
    def left_ago_s(self):
        return self.now_s - self.left_s


@pytest.fixture
def course():
    return Course()


def test_it_is_asked_when_it_was_to_be(course):
    assert course.asking.wait_s(0.0) == pytest.approx(0.25)
    course.now_s += 0.3
    assert course.asking.wait_s(0.0) == 0.0


def test_what_is_wanted_at_once_comes_at_once(course):
    course.asking.want()
    assert course.asking.wait_s(0.0) == 0.0


@pytest.mark.parametrize(("due_in_s", "wait_s"), [(0.05, 0.11), (-0.05, 0.01), (0.07, 0.0), (-0.07, 0.0)])
def test_it_is_not_asked_where_a_trigger_is_about_to_come_or_should_just_have(course, due_in_s, wait_s):
    course.asking.want()
    course.due_s = course.now_s + due_in_s
    assert course.asking.wait_s(0.0) == pytest.approx(wait_s)


def test_it_is_not_asked_while_it_recharges(course):
    course.asking.want()
    course.left_s = course.now_s - 0.01
    assert course.asking.wait_s(0.1) == pytest.approx(0.09)
    course.due_s = course.now_s + 0.12  # and then a trigger would be near
    assert course.asking.wait_s(0.1) == pytest.approx(0.18)


def test_a_long_recharge_does_not_keep_it_from_being_asked(course):
    course.asking.want()
    course.left_s = course.now_s
    assert course.asking.wait_s(4.0) == pytest.approx(HELD_BACK_S)


def test_triggers_that_come_quickly_put_no_question_off_for_ever(course):
    course.asking.want()
    from_s, course.due_s = course.now_s, course.now_s + 0.05
    while course.asking.wait_s(0.0) > 0.0:
        course.left_s, course.due_s = course.now_s, course.now_s + 0.05
        course.asking.want()
        course.now_s += 0.05
    assert course.now_s - from_s == pytest.approx(HELD_BACK_S, abs=0.051)
