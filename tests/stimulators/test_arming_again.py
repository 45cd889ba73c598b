"""A Magstim that its own timer disarms is armed again, one that a hand stops is not: turn by turn, by a fast clock."""

import sys
from contextlib import ExitStack

import pytest

from closedloop.config.load import load_device
from closedloop.standins.magstim import Magstim200StandIn
from closedloop.standins.terminal import Terminal
from closedloop.stimulators.channel import Channel
from closedloop.stimulators.heartbeat import Heartbeat, Places, Pulse, Timetable
from closedloop.stimulators.keeper import Keeper
from closedloop.stimulators.magstim import Magstim200
from closedloop.stimulators.magstim_session import MagstimSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the live path runs on Linux")

PLACES = Places(3, 5, 7)


class Clock:
    """A test's own time."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s

    def sleep(self, duration_s):
        self.now_s += duration_s


class Turned:
    """A keeper of a Magstim 200² that the test turns itself, and the session's end of its channel."""

    def __init__(self, stack):
        self.clock, self.standin = Clock(), Magstim200StandIn()
        self.terminal = stack.enter_context(Terminal(self.standin, clock=self.clock))
        profile = load_device("magstim-200-squared")
        settings = MagstimSettings(port=self.terminal.path)
        self.driver = Magstim200(profile, settings, clock=self.clock, sleep=self.clock.sleep)
        stack.enter_context(self.driver)
        self.session, theirs = Channel.pair()
        stack.callback(self.session.close)
        self.heartbeat = stack.enter_context(Heartbeat(8))
        self.heartbeat.integers[PLACES.due] = int(9e18)
        pulse = Pulse(self.heartbeat.fd, PLACES.turns, self.clock())
        timetable = Timetable(self.heartbeat.fd, PLACES, self.clock)
        channel = Channel(theirs)
        stack.callback(channel.close)
        self.keeper = Keeper(profile, self.driver, channel, pulse, timetable, clock=self.clock)
        stack.callback(self.ask, "disarm")

    def ask(self, what):
        self.session.tell(ask=what, arguments=[])
        self.turn(0.0)

    def turn(self, after_s=0.5, *, beats=True):
        """Turn once and return what was said."""
        self.clock.sleep(after_s)
        self.heartbeat.integers[PLACES.turns] += beats
        self.keeper.turn()
        said = []
        while (message := self.session.hear(0.0)) is not None:
            said.append(message)
        return said

    def arm(self):
        self.ask("arm")
        assert self.standin.armed
        return self.clock()

    def until_lapsed(self):
        """Turn until the device is said to have disarmed itself."""
        from_s = self.arm()
        while not (message := self.turn()[-1])["status"]["lapsed"]:
            assert self.clock() < from_s + 62.0
        assert message["armed"]
        assert not message["status"]["ready"]
        assert not message["status"]["fault"]
        assert not self.standin.armed


@pytest.fixture
def turned():
    with ExitStack() as stack:
        yield Turned(stack)


def test_a_device_that_its_own_timer_has_disarmed_is_armed_again_and_that_is_told(turned):
    turned.until_lapsed()
    note, status = turned.turn(0.0)
    assert note == {"armed": True, "note": "Magstim 200²: its own timer had disarmed it, and it was armed again"}
    assert status["status"]["ready"]
    assert turned.standin.armed


def test_who_asks_to_disarm_it_meanwhile_is_heard_first(turned):
    turned.until_lapsed()
    turned.session.tell(ask="disarm", arguments=[])
    said = turned.turn(0.0) + turned.turn() + turned.turn()
    assert not any("note" in message or message["armed"] for message in said)
    assert not turned.standin.armed


def test_a_loop_that_stands_still_does_not_get_it_armed_again(turned):
    turned.until_lapsed()
    said = turned.turn(0.6, beats=False)
    assert "the loop has stood still for 0.5 s" in [message.get("trouble") for message in said]
    assert not any("note" in message for message in said + turned.turn())
    assert not turned.standin.armed


def test_a_stop_is_no_lapse_where_a_trigger_has_left_since(turned):
    from_s = turned.arm()
    while turned.clock() < from_s + 30.0:
        turned.turn()
    assert turned.terminal.trigger()
    turned.heartbeat.integers[PLACES.left] = int(1e9 * turned.clock())
    while turned.clock() < from_s + 61.0:
        assert all(message["armed"] for message in turned.turn())
    turned.terminal.act("press-stop")
    said = turned.turn()
    assert said[0] == {
        "armed": False,
        "trouble": "Magstim 200²: it was disarmed at its front panel, or by an interlock",
    }
    assert not any("note" in message for message in said + turned.turn())
    assert not turned.standin.armed
