"""A Magstim is armed again before its timer disarms it, one that a hand stops is not: turn by turn, by a fast clock."""

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

    def until_expiring(self):
        """Turn until the device is said to be about to disarm itself, and a little more: the session has to know."""
        from_s = self.arm()
        while not (message := self.turn()[-1])["status"]["expiring"]:
            assert self.clock() < from_s + 52.0
        assert message["armed"]
        assert not message["status"]["ready"]
        assert not message["status"]["fault"]
        assert self.standin.armed
        assert not any("note" in message for message in self.turn(0.1))

    def stopped_by_hand(self):
        self.terminal.act("press-stop")
        said = self.turn()
        assert said[0] == {
            "armed": False,
            "trouble": "Magstim 200²: it was disarmed at its front panel, or by an interlock",
        }
        assert not any("note" in message for message in said + self.turn() + self.turn())
        assert not self.standin.armed


@pytest.fixture
def turned():
    with ExitStack() as stack:
        yield Turned(stack)


def test_a_device_is_armed_again_before_its_own_timer_disarms_it_and_that_is_told(turned):
    turned.until_expiring()
    _, note, status = turned.turn(0.3)
    assert note == {"armed": True, "note": "Magstim 200²: it was armed again before its own timer disarms it"}
    assert status["status"]["ready"]
    assert turned.standin.armed
    from_s = turned.clock()
    while turned.clock() < from_s + 45.0:
        assert all(message["status"]["ready"] for message in turned.turn())


def test_a_trigger_that_leaves_meanwhile_winds_its_timer_up(turned):
    turned.until_expiring()
    assert turned.terminal.trigger()
    turned.heartbeat.integers[PLACES.left] = int(1e9 * turned.clock())
    said = [message for after_s in (0.3, *[0.5] * 12) for message in turned.turn(after_s)]
    assert not any("note" in message for message in said)
    assert said[-1]["status"]["ready"]


def test_who_asks_to_disarm_it_meanwhile_is_heard_first(turned):
    turned.until_expiring()
    turned.session.tell(ask="disarm", arguments=[])
    said = turned.turn(0.0) + turned.turn() + turned.turn()
    assert not any("note" in message or message["armed"] for message in said)
    assert not turned.standin.armed


def test_a_loop_that_stands_still_does_not_get_it_armed_again(turned):
    turned.until_expiring()
    said = turned.turn(0.6, beats=False)
    assert "the loop has stood still for 0.5 s" in [message.get("trouble") for message in said]
    assert not any("note" in message for message in said + turned.turn())
    assert not turned.standin.armed


@pytest.mark.parametrize("after_s", [1.0, 40.0])
def test_a_hand_that_stops_it_has_the_last_word_whenever_that_is(turned, after_s):
    from_s = turned.arm()
    while turned.clock() < from_s + after_s:
        turned.turn()
    turned.stopped_by_hand()


def test_a_hand_that_stops_it_where_its_timer_is_about_to_has_the_last_word(turned):
    turned.until_expiring()
    turned.stopped_by_hand()


def test_a_device_that_could_not_be_disarmed_is_left_to_its_watchdog(turned):
    """A question would keep it alive: it is asked again after its watchdog, of 1 s, has disarmed it."""
    turned.arm()
    answer = turned.standin._answer
    turned.standin._answer = lambda request, now_s: b"?" if request[:2] == b"EA" else answer(request, now_s)
    turned.ask("disarm")
    assert turned.standin.armed
    said = [message for _ in range(14) for message in turned.turn(0.1)]
    turned.standin._answer = answer
    assert any("armed" in message.get("trouble", "") for message in said)
    assert not turned.standin.armed
