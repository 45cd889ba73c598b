"""How a live session ends when somebody asks for it: well, or not."""

import sys
from types import SimpleNamespace

import pytest

from closedloop.session.interruption import Interruption

if sys.platform != "linux":
    pytest.skip("the live loop runs on Linux only", allow_module_level=True)

from closedloop.core.records import Command
from closedloop.session.live import stop_session


class Supervisor:
    """Takes commands."""

    def __init__(self):
        self.posted, self.halted = [], False

    def post(self, command):
        self.posted.append(command)

    def halt(self):
        self.halted = True


def stopped(need="", *, well=True):
    """Stop a session; return whether it was stopped, whether it was interrupted, and its trouble."""
    outcome, supervisor, interruption = SimpleNamespace(trouble=None), Supervisor(), Interruption()
    stop_session(outcome, supervisor, interruption, need, well=well)
    assert (supervisor.posted, supervisor.halted) == ([Command.STOP], True)
    return outcome.stopped, interruption.requested, outcome.trouble


def test_what_was_armed_and_lacks_nothing_ends_well():
    assert stopped() == (True, False, None)


def test_before_it_was_armed_and_without_a_terminal_it_is_interrupted():
    assert stopped(well=False) == (False, True, None)


def test_while_something_keeps_it_disarmed_that_is_its_trouble():
    need = "the amplifier broke off: press a to arm"
    assert stopped(need) == (True, False, f"the session was stopped while disarmed: {need}")
