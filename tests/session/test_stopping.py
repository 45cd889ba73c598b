"""How a live session ends when somebody asks for it: well, or not."""

import sys
from types import SimpleNamespace

import pytest

from closedloop.session.interruption import Interruption

if sys.platform != "linux":
    pytest.skip("the live loop runs on Linux only", allow_module_level=True)

from closedloop.core.records import Command
from closedloop.session.live import _Loop


class Supervisor:
    """Takes commands, and knows what is needed to go on."""

    def __init__(self, need=""):
        self.need, self.posted, self.halted = need, [], False

    def post(self, command):
        self.posted.append(command)

    def halt(self):
        self.halted = True


def stopped(need="", *, by_hand=True, has_begun=True):
    """Stop a loop, and return it with the supervisor that was told."""
    loop, supervisor = _Loop.__new__(_Loop), Supervisor(need)
    loop._outcome, loop._interruption = SimpleNamespace(trouble=None), Interruption()
    loop._began_s = 1.0 if has_begun else None
    loop._stop(supervisor, need, by_hand=by_hand)
    assert (supervisor.posted, supervisor.halted) == ([Command.STOP], True)
    return loop


def test_a_key_ends_it_well():
    loop = stopped()
    assert (loop._stopped, loop._interruption.requested, loop._outcome.trouble) == (True, False, None)


def test_a_terminal_that_has_gone_interrupts_it():
    loop = stopped(by_hand=False)
    assert (loop._stopped, loop._interruption.requested) == (False, True)


def test_before_anything_could_be_armed_a_key_interrupts_it():
    loop = stopped(has_begun=False)
    assert (loop._stopped, loop._interruption.requested) == (False, True)


def test_while_something_keeps_it_disarmed_a_key_ends_it_with_that_trouble():
    loop = stopped("the amplifier broke off: press a to arm")
    assert loop._outcome.trouble == "the session was stopped while disarmed: the amplifier broke off: press a to arm"
