"""The stimulator and the gate are armed together, by a human, and neither outlives what disarms the other."""

from collections import deque

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from closedloop.config.load import load_device
from closedloop.core.records import Command
from closedloop.session.arming import ARMED_WITHIN_S, Arming
from closedloop.stimulators.status import Status

PROFILE = load_device("magventure-x100")
SIGHT = np.dtype([("told_s", "f8"), ("armed", "i8")])
LOST = "its driver's process has ended"


class Kept:
    """The stimulator's process: it does what it is asked, in order, when `work` lets it."""

    def __init__(self):
        self.armed = self.gone = self.really_armed = False
        self.status, self.status_s = Status(armed=False, ready=False), -np.inf
        self.asked, self.words, self.notes = deque(), [], []

    @property
    def settled(self):
        return not self.asked

    def arm(self):
        if not self.gone:
            self.asked.append(True)

    def disarm(self):
        if not self.gone:
            self.asked.append(False)

    def listen(self):
        words, self.words = self.words, []
        return words

    def work(self):
        self.armed = self.really_armed = self.asked.popleft()

    def give_up(self, why):
        self.armed = self.really_armed = False
        self.words.append(why)

    def die(self):
        self.gone, self.armed = True, False
        self.asked.clear()
        self.words.append(LOST)


class Gate:
    """The loop and its supervisor: a command holds at once."""

    def __init__(self, clock):
        self._clock = clock
        self.armed, self.hindrance, self.disarmed_s = False, "", -np.inf

    def arm(self, _from_s, *, say):
        self.armed = not self.hindrance
        if self.armed:
            say("armed")
        return self.armed

    def post(self, command, _value=0.0):
        self.armed = self.armed and command != Command.DISARM

    def set_device(self, *, ready, coil_c, asked_s):
        pass

    def has_disarmed_since(self, newest):
        return newest["told_s"] <= self.disarmed_s

    def stand_still(self):
        self.armed, self.hindrance, self.disarmed_s = False, "the stream has sent nothing", self._clock()


class Rig:
    """Both, with the clock that they share."""

    def __init__(self):
        self.now_s = 100.0
        self.said, self.silent, self._sight_s = [], False, 100.0
        self.kept, self.gate = Kept(), Gate(lambda: self.now_s)
        self.arming = Arming(PROFILE, self.kept, self.gate, None, self.said.append, clock=lambda: self.now_s)

    def look(self, after_s=0.05):
        self.now_s += after_s
        self._sight_s = self._sight_s if self.silent else self.now_s
        self.arming.look(np.array([(self._sight_s, self.gate.armed)], SIGHT)[0])

    def settle(self):
        """Let the process do all that it was asked, and what it is asked because of that."""
        for _ in range(5):
            while self.kept.asked:
                self.look()
                self.kept.work()
            self.look()

    def armed(self):
        return self.kept.really_armed, self.gate.armed


@pytest.fixture
def rig():
    return Rig()


def test_the_gate_is_armed_when_the_stimulator_is(rig):
    rig.arming.ask(0.0)
    rig.look()
    assert rig.armed() == (False, False)
    rig.kept.work()
    rig.look()
    assert rig.armed() == (True, True)


def test_a_gate_that_disarms_takes_the_stimulator_along(rig):
    rig.arming.ask(0.0)
    rig.settle()
    rig.gate.armed = False
    rig.settle()
    assert rig.armed() == (False, False)


def test_trouble_while_the_stimulator_is_being_armed_disarms_it_again(rig):
    rig.arming.ask(0.0)
    rig.look()
    rig.arming.end("the line has said nothing of a trigger for 1 s")
    rig.settle()
    assert rig.armed() == (False, False)
    assert rig.arming.need.endswith("find out why; when all is well again, press a to arm")


def test_a_stream_that_stands_still_meanwhile_takes_the_wish_back(rig):
    rig.arming.ask(0.0)
    rig.look()
    rig.gate.stand_still()
    rig.look()
    rig.gate.hindrance = ""  # it goes on before the stimulator is armed: nobody has asked for that
    rig.settle()
    assert rig.armed() == (False, False)
    assert rig.said[-1].startswith("not armed: the stream broke off or stood still")
    rig.arming.ask(0.0)
    rig.settle()
    assert rig.armed() == (True, True)


def test_without_a_stream_nothing_is_armed(rig):
    rig.gate.stand_still()
    rig.look()
    rig.arming.ask(0.0)
    rig.settle()
    assert rig.armed() == (False, False)
    assert rig.said == ["not armed: the stream has sent nothing"]
    assert rig.arming.need == "the stream has sent nothing: when all is well again, press a to arm"


def test_a_stream_that_falls_silent_before_the_first_arming_leaves_nothing_armed(rig):
    """Nothing has been armed yet, so that nothing disarms, and no newer sight comes."""
    rig.arming.ask(0.0)
    rig.look()
    rig.gate.hindrance = "the stream has sent nothing"
    rig.silent = True
    rig.settle()
    assert rig.armed() == (False, False)
    assert rig.arming.need == "the stream has sent nothing: when all is well again, press a to arm"


def test_a_gate_that_disarms_while_it_is_asked_for_again_stays_disarmed(rig):
    rig.arming.ask(0.0)
    rig.settle()
    rig.arming.ask(0.0)
    rig.gate.armed = False
    rig.settle()
    assert rig.armed() == (False, False)
    assert rig.said[-1] == "not armed: the gate was disarmed meanwhile"


def test_a_stimulator_that_takes_too_long_is_not_armed_any_more(rig):
    rig.arming.ask(0.0)
    rig.look(ARMED_WITHIN_S + 0.1)
    rig.settle()
    assert rig.armed() == (False, False)
    assert "was not armed within 5 s" in rig.arming.need


def test_an_older_answer_does_not_arm(rig):
    rig.arming.ask(0.0)
    rig.arming.end("something")
    rig.arming.ask(0.0)
    rig.look()
    rig.kept.work()  # what was asked first is done only now, and is taken back next
    rig.look()
    assert rig.armed() == (True, False)
    rig.kept.work()
    rig.look()
    assert rig.armed() == (False, False)
    rig.kept.work()
    rig.look()
    assert rig.armed() == (True, True)


def test_without_its_process_nothing_is_armed_and_every_key_is_answered(rig):
    rig.arming.ask(0.0)
    rig.settle()
    rig.kept.die()
    rig.look()
    assert not rig.gate.armed
    need = rig.arming.need
    assert need == f"{LOST}: find out why; start a new session"
    rig.arming.ask(0.0)
    rig.settle()
    assert rig.said[-1] == f"not armed: {need}"
    assert (rig.arming.need, rig.gate.armed) == (need, False)


def test_what_the_process_did_unasked_is_told(rig):
    rig.kept.notes.append("its own timer had disarmed it; it was armed again")
    rig.look()
    rig.look()
    assert rig.said == ["its own timer had disarmed it; it was armed again"]


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order, nothing is armed that no human has asked for since the last disarming."""

    @initialize()
    def begin(self):
        self.rig = Rig()
        self.asked = False

    @rule(after_s=st.sampled_from([0.01, 0.05, 0.5, 6.0]))
    def look(self, after_s):
        self.rig.look(after_s)

    @rule()
    def press_a(self):
        refused = self.rig.kept.gone or self.rig.gate.hindrance
        self.rig.arming.ask(0.0)
        self.asked = self.asked or not refused

    @precondition(lambda self: self.rig.kept.asked)
    @rule()
    def the_process_works(self):
        self.rig.kept.work()

    @precondition(lambda self: not self.rig.kept.gone)
    @rule()
    def the_device_is_disarmed(self):
        self.rig.kept.give_up("a button was pressed")
        self.rig.look(0.001)
        self.asked = False

    @precondition(lambda self: not self.rig.kept.gone)
    @rule()
    def the_process_dies(self):
        self.rig.kept.die()
        self.rig.look(0.001)
        self.asked = False

    @rule()
    def the_line_is_wrong(self):
        self.rig.arming.end("the line")
        self.asked = False

    @rule()
    def the_gate_disarms(self):
        was, self.rig.gate.armed = self.rig.gate.armed, False
        self.rig.look(0.2)
        self.asked = self.asked and not was

    @rule()
    def the_stream_stands_still(self):
        self.rig.gate.stand_still()
        self.rig.look(0.001)
        self.asked = False

    @rule()
    def the_stream_falls_silent(self):
        self.rig.gate.hindrance = "the stream has sent nothing"

    @rule()
    def the_stream_goes_on(self):
        self.rig.gate.hindrance = ""

    @invariant()
    def only_a_human_arms(self):
        if hasattr(self, "rig"):
            assert not self.rig.gate.armed or self.asked

    def teardown(self):
        if not hasattr(self, "rig"):
            return
        self.rig.settle()
        stimulator, gate = self.rig.armed()
        assert self.rig.kept.gone or stimulator == gate


AnyOrder.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase
