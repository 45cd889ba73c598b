"""The process that owns a stimulator's port, with real processes and stand-ins on pseudo-terminals."""

import os
import signal
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

import numpy as np
import pylsl
import pytest

from closedloop.config.line import CommandLine
from closedloop.config.load import load_device
from closedloop.errors import StimulatorError
from closedloop.scheduling import ask_for_realtime
from closedloop.standins.table import SETTINGS, STANDINS
from closedloop.standins.terminal import NO_FAULTS, Terminal, WireFaults
from closedloop.stimulators.asking import HELD_BACK_S
from closedloop.stimulators.channel import Channel, ChannelEndedError
from closedloop.stimulators.heartbeat import Heartbeat, Places, Pulse
from closedloop.stimulators.keeper import REPORT_S
from closedloop.stimulators.kept import KeptStimulator
from closedloop.stimulators.lines.pipe_pair import ReplyKind

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the live path runs on Linux")

DEVICES = ("magstim-200-squared", "magventure-x100")
PLACE, DUE, BUSY = PLACES = Places(3, 5, 7)
PATIENCE_S = 20.0
WITHIN_S = 1.0
"""So soon a device is disarmed after whatever armed it has gone."""


class Beat:
    """A loop that turns, in a thread of the test."""

    def __init__(self, heartbeat):
        self._heartbeat, self._stop = heartbeat, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(0.02):
            self._heartbeat.integers[PLACE] += 1

    def end(self):
        self._stop.set()
        self._thread.join()


class Bench:
    """A stand-in on its terminal, the process that keeps it, and a loop."""

    def __init__(self, name, stack, *, by_command=False):
        self.standin = STANDINS[name]()
        self.terminal = stack.enter_context(Terminal(self.standin))
        profile = load_device(name)
        settings = {**profile.settings, **SETTINGS.get(name, {}), "port": self.terminal.path}
        line = CommandLine(kind="command", spread_s=0.01) if by_command else profile.line
        self.profile = profile.model_copy(update={"settings": settings, "line": line})
        self.heartbeat = stack.enter_context(Heartbeat(8))
        self.foresee(np.inf)
        self.beat = Beat(self.heartbeat)
        stack.callback(self.beat.end)
        self.kept = KeptStimulator(self.profile, self.heartbeat, PLACES)

    @property
    def on(self):
        """Whether the stand-in itself is armed."""
        if hasattr(self.standin, "armed"):
            return self.standin.armed
        # A DuoMAG is armed where its intensity is above 0.
        return self.standin.state.enabled if hasattr(self.standin, "state") else self.standin.percent > 0

    def foresee(self, due_s):
        """Say when the next trigger is due, as the loop does."""
        self.heartbeat.integers[DUE] = int(1e9 * min(due_s, 9e9))

    def until(self, condition, within_s=PATIENCE_S):
        """Wait for a condition while the process is listened to; return what was wrong meanwhile."""
        wrong, until_s = [], time.monotonic() + within_s
        while True:
            wrong += self.kept.listen()
            if condition():
                return wrong
            assert time.monotonic() < until_s, f"not within {within_s:g} s; heard: {wrong}"
            time.sleep(0.005)

    def arm(self):
        self.kept.configure()
        self.kept.set_intensity(30.0)
        self.kept.arm()
        assert self.until(lambda: self.kept.armed) == []
        assert self.on


@contextmanager
def bench_of(name, **options):
    with ExitStack() as stack:
        yield Bench(name, stack, **options)


@pytest.fixture(params=DEVICES)
def bench(request):
    with bench_of(request.param) as bench:
        yield bench


def test_it_says_which_device_answers_arms_it_and_leaves_it_disarmed(bench):
    with bench.kept as kept:
        assert kept.identity.model
        bench.arm()
        assert kept.status.ready
        assert time.monotonic() - kept.status_s < 2.0
        kept.disarm()
        bench.until(lambda: not kept.armed)
        assert not bench.on
        bench.arm()
    assert not bench.on


def real_time_is_permitted():
    if ask_for_realtime():
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def test_it_waits_for_no_other_program_where_that_is_permitted(bench):
    with bench.kept as kept:
        expected = os.SCHED_FIFO if real_time_is_permitted() else os.SCHED_OTHER
        assert os.sched_getscheduler(kept.pid) == expected


def test_what_it_says_of_the_device_stays_fresh(bench):
    with bench.kept as kept:
        bench.arm()
        asked_s = kept.status_s
        assert bench.until(lambda: kept.status_s > asked_s, within_s=2.0) == []
        asked_s = kept.status_s
        assert bench.until(lambda: kept.status_s > asked_s, within_s=2.0) == []


def test_a_loop_that_stands_still_disarms_the_device(bench):
    with bench.kept as kept:
        bench.arm()
        bench.beat.end()
        wrong = bench.until(lambda: not bench.on, within_s=WITHIN_S)
        wrong += bench.until(lambda: not kept.armed)
        assert wrong == ["the loop has stood still for 0.5 s"]


@pytest.mark.parametrize("name", DEVICES)
def test_a_session_that_goes_without_a_word_leaves_the_device_disarmed(name):
    with bench_of(name) as bench, bench.kept as kept:
        bench.arm()
        kept._channel.close()  # as the kernel does for a process that is killed
        until_s = time.monotonic() + WITHIN_S
        while bench.on:
            assert time.monotonic() < until_s
            time.sleep(0.005)


def test_a_driver_that_is_killed_is_missed_at_once(bench):
    with bench.kept as kept:
        bench.arm()
        os.kill(kept.pid, signal.SIGKILL)
        (wrong,) = bench.until(lambda: kept.gone, within_s=WITHIN_S)
        assert "its driver's process has ended: it may still be armed" in wrong
        assert not kept.armed
        assert not kept.status.ready


def test_a_magstim_whose_driver_was_killed_disarms_itself():
    with bench_of("magstim-200-squared") as bench, bench.kept as kept:
        bench.arm()
        os.kill(kept.pid, signal.SIGKILL)
        bench.until(lambda: not bench.on, within_s=2.0)


def test_a_magpro_whose_driver_was_killed_stays_enabled():
    with bench_of("magventure-x100") as bench, bench.kept as kept:
        bench.arm()
        os.kill(kept.pid, signal.SIGKILL)
        bench.until(lambda: kept.gone, within_s=WITHIN_S)
        time.sleep(1.5)
        assert bench.on


def test_a_driver_that_is_asked_to_end_disarms_first(bench):
    with bench.kept as kept:
        bench.arm()
        os.kill(kept.pid, signal.SIGTERM)
        bench.until(lambda: kept.gone, within_s=WITHIN_S)
        assert not bench.on


def test_ctrl_c_and_a_lost_terminal_are_the_sessions_to_answer(bench):
    with bench.kept as kept:
        bench.arm()
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(kept.pid, number)
        asked_s = kept.status_s
        assert bench.until(lambda: kept.status_s > asked_s + 0.3) == []
        assert bench.on


def test_a_coil_that_is_taken_off_disarms_and_says_so():
    with bench_of("magstim-200-squared") as bench, bench.kept as kept:
        bench.arm()
        bench.terminal.act("remove-coil")
        (wrong,) = bench.until(lambda: not kept.armed)
        assert "coil missing" in wrong
        bench.terminal.act("attach-coil")
        bench.until(lambda: not kept.status.fault)
        kept.arm()
        assert bench.until(lambda: kept.armed) == []


def test_a_stop_has_the_last_word():
    with bench_of("magstim-200-squared") as bench, bench.kept as kept:
        bench.arm()
        time.sleep(0.3)
        bench.terminal.act("press-stop")
        (wrong,) = bench.until(lambda: not kept.armed)
        assert wrong == "Magstim 200²: it was disarmed at its front panel, or by an interlock"
        time.sleep(0.4)
        assert bench.until(lambda: True) == []
        assert kept.notes == []
        assert not bench.on


def test_a_hand_that_disables_it_has_the_last_word():
    with bench_of("magventure-x100") as bench, bench.kept as kept:
        bench.arm()
        bench.terminal.act("press-disable")
        (wrong,) = bench.until(lambda: not kept.armed)
        assert wrong
        time.sleep(0.6)
        assert bench.until(lambda: True) == []
        assert not bench.on


def test_a_port_that_vanishes_is_told_of_once(bench):
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(StimulatorError, match=r"may still be|cannot be"))
        stack.enter_context(bench.kept)
        bench.arm()
        bench.terminal.vanish()
        wrong = bench.until(lambda: not bench.kept.armed)
        assert len(wrong) == 1
        time.sleep(0.6)
        assert bench.until(lambda: True) == []


def test_a_wrong_device_is_refused_before_anything(bench):
    other = load_device("magventure-x100" if "magstim" in bench.profile.driver else "magstim-200-squared")
    other = other.model_copy(update={"settings": {**other.settings, "port": bench.terminal.path}})
    with pytest.raises(StimulatorError, match=bench.terminal.path), KeptStimulator(other, bench.heartbeat, PLACES):
        pass


def test_an_intensity_above_the_limit_is_refused(bench):
    with bench.kept as kept:
        kept.configure()
        with pytest.raises(StimulatorError, match="101"):
            kept.set_intensity(101.0)


def test_a_pulse_that_goes_on_is_seen_in_another_mapping():
    with Heartbeat(8) as heartbeat:
        pulse = Pulse(heartbeat.fd, PLACE, 10.0)
        assert pulse.still_for_s(10.4) == pytest.approx(0.4)
        heartbeat.integers[PLACE] += 1
        assert pulse.still_for_s(10.5) == 0.0
        assert pulse.still_for_s(11.0) == pytest.approx(0.5)


def test_a_channel_keeps_messages_whole_and_knows_when_the_other_side_ends():
    mine, socket = Channel.pair()
    theirs = Channel(socket)
    assert mine.hear(0.0) is None
    assert theirs.tell(a=1)
    assert theirs.tell(b=[2.5, None])
    assert mine.hear(1.0) == {"a": 1}
    theirs.finish()
    assert mine.hear(1.0) == {"b": [2.5, None]}
    with pytest.raises(ChannelEndedError):
        mine.hear(1.0)
    assert mine.tell(c=3)
    assert theirs.hear(1.0) == {"c": 3}
    theirs.close()
    with pytest.raises(ChannelEndedError):
        mine.tell(d=4)
    mine.close()


def test_a_listener_who_does_not_listen_is_not_waited_for():
    mine, socket = Channel.pair()
    with socket:
        for _ in range(10000):
            if not mine.tell(text="x" * 1000):
                break
        else:
            pytest.fail("it never filled")
    mine.close()


# A stimulator that fires by its own command


@pytest.fixture(params=[*DEVICES, "magstim-rapid-squared", "duomag"])
def commanded(request):
    """An armed stand-in and the line that fires it by command."""
    with bench_of(request.param, by_command=True) as bench, bench.kept as kept, kept.open_line() as line:
        bench.arm()
        yield bench, line


def fire(bench, line, n=1):
    """Write triggers as the loop does: foreseen, and while the port is free; return what becomes of them."""
    bench.foresee(pylsl.local_clock() + 0.02)
    while bench.heartbeat.integers[BUSY]:
        time.sleep(0.0005)
    os.write(line.fd, line.on * n)
    bench.foresee(np.inf)
    return replies_of(bench, line, n)


def replies_of(bench, line, n):
    replies = []

    def answered():
        replies.extend(line.take_replies())
        return len(replies) == n

    bench.until(answered)
    return replies


def test_a_trigger_fires_it_by_command(commanded):
    bench, line = commanded
    before_s = pylsl.local_clock()
    for number in range(3):
        bench.until(lambda: bench.kept.status.ready)
        (reply,) = fire(bench, line)
        assert (reply.kind, reply.number) == (ReplyKind.FIRED, number)
        assert before_s < reply.taken_s <= reply.fired_s <= pylsl.local_clock()
        time.sleep(2.1 if "magstim" in bench.profile.driver else 0.2)  # it recharges
        asked_s = bench.kept.status_s
        bench.until(lambda: bench.kept.status_s > asked_s)  # noqa: B023 - called at once
    assert bench.kept.scheduler
    assert len(bench.standin.pulses_s) == 3
    assert bench.on


def test_of_two_triggers_at_once_one_fires(commanded):
    bench, line = commanded
    bench.until(lambda: bench.kept.status.ready)
    assert [reply.kind for reply in fire(bench, line, 2)] == [ReplyKind.LATE, ReplyKind.FIRED]
    assert len(bench.standin.pulses_s) == 1


def test_a_trigger_while_it_is_disarmed_fires_nothing_and_says_so(commanded):
    bench, line = commanded
    bench.kept.disarm()
    bench.until(lambda: not bench.kept.armed)
    (reply,) = fire(bench, line)
    assert reply.kind is ReplyKind.FAILED
    assert "arm" in reply.text
    assert len(bench.standin.pulses_s) == 0


@pytest.mark.parametrize("name", DEVICES)
def test_a_port_that_vanishes_is_no_pulse_and_disarms(name):
    with ExitStack() as stack:
        bench = stack.enter_context(bench_of(name, by_command=True))
        stack.enter_context(pytest.raises(StimulatorError, match=r"may still be|cannot be"))
        line = stack.enter_context(stack.enter_context(bench.kept).open_line())
        bench.arm()
        bench.until(lambda: bench.kept.status.ready)
        bench.terminal.vanish()
        (reply,) = fire(bench, line)
        assert reply.kind is ReplyKind.FAILED
        assert np.isnan(reply.fired_s)
        bench.until(lambda: not bench.kept.armed)
        assert len(bench.standin.pulses_s) == 0


@pytest.mark.parametrize("name", ["magstim-200-squared", "magstim-bistim-squared", "magstim-rapid-squared"])
def test_a_magstim_is_fired_by_its_command_once_a_second_at_most(name):
    with bench_of(name, by_command=True) as bench, bench.kept as kept:
        kept.configure()
        kept.set_train(1, 1.0)
        with pytest.raises(StimulatorError, match=r"at 1\.1 Hz are too fast for its command \(at most 1 Hz\)$"):
            kept.set_train(1, 1.1)
    with bench_of(name) as bench, bench.kept as kept:  # at its trigger input that is no limit
        kept.set_train(1, 1.1)


@pytest.mark.parametrize("stopped", [False, True], ids=["killed", "stopped for a while"])
def test_a_trigger_that_waits_for_its_driver_is_never_fired_late(commanded, stopped):
    bench, line = commanded
    os.kill(bench.kept.pid, signal.SIGSTOP)
    time.sleep(0.05)
    os.write(line.fd, line.on)
    time.sleep(0.05)
    if stopped:
        os.kill(bench.kept.pid, signal.SIGCONT)
        (reply,) = replies_of(bench, line, 1)
        assert reply.kind is ReplyKind.LATE
    else:
        os.kill(bench.kept.pid, signal.SIGKILL)
        bench.until(lambda: bench.kept.gone)
        with pytest.raises(BrokenPipeError):
            os.write(line.fd, line.on)
    assert len(bench.standin.pulses_s) == 0


def test_a_trigger_that_left_before_it_is_armed_again_is_never_fired(commanded):
    bench, line = commanded
    bench.kept.disarm()
    bench.until(lambda: not bench.kept.armed)
    bench.kept.arm()
    os.write(line.fd, line.on)
    (reply,) = replies_of(bench, line, 1)
    assert reply.kind in {ReplyKind.LATE, ReplyKind.FAILED}
    assert len(bench.standin.pulses_s) == 0


def test_while_the_device_is_asked_the_port_is_said_to_be_in_use(commanded):
    bench, _ = commanded
    seen, until_s = set(), time.monotonic() + 3.0
    while seen != {0, 1} and time.monotonic() < until_s:
        seen.add(int(bench.heartbeat.integers[BUSY]))
        bench.kept.listen()
    assert seen == {0, 1}


def test_what_the_device_does_not_confirm_is_not_known(commanded):
    bench, line = commanded
    if "magstim" in bench.profile.driver:
        pytest.skip("its stand-in answers or is gone")
    bench.until(lambda: bench.kept.status.ready)
    bench.terminal.faults = WireFaults(dropped=1.0)
    (reply,) = fire(bench, line)
    assert reply.kind is ReplyKind.UNKNOWN
    bench.terminal.faults = NO_FAULTS
    assert len(bench.standin.pulses_s) == 1


def test_triggers_that_leave_no_time_to_hear_of_the_device_are_refused(commanded):
    bench, _ = commanded
    why = r"(leave no time to hear how the device is \(at most 10|are too fast for its command \(at most 1)"
    with pytest.raises(StimulatorError, match=rf"line\.kind = command: triggers at 20 Hz {why} Hz\)$"):
        bench.kept.set_train(1, 20.0)


def test_the_port_is_kept_free_for_a_trigger_but_not_for_ever(commanded):
    bench, _ = commanded
    asked_s, until_s = {bench.kept.status_s}, time.monotonic() + 2.0
    while time.monotonic() < until_s:
        bench.foresee(pylsl.local_clock() + 0.02)  # one is always about to come
        assert bench.kept.listen() == []
        asked_s.add(bench.kept.status_s)
        time.sleep(0.005)
    gaps_s = np.diff(sorted(asked_s))[1:]
    assert gaps_s.min() > REPORT_S + 0.9 * HELD_BACK_S
    assert gaps_s.max() < 0.9
    assert bench.on


def test_triggers_that_come_quickly_hold_no_question_back_for_ever():
    with bench_of("magventure-x100", by_command=True) as bench, bench.kept as kept, kept.open_line() as line:
        bench.arm()
        receive = bench.standin.receive

        def answer_late(data, now_s):
            time.sleep(0.02)
            return receive(data, now_s)

        bench.standin.receive = answer_late
        oldest_s, due_s = 0.0, pylsl.local_clock() + 0.1
        for _ in range(30):
            bench.foresee(due_s)
            while (left_s := due_s - pylsl.local_clock()) > 0.0:
                kept.listen()
                line.take_replies()
                time.sleep(min(0.005, left_s))
            oldest_s = max(oldest_s, time.monotonic() - kept.status_s)
            if not bench.heartbeat.integers[BUSY]:
                os.write(line.fd, line.on)
            due_s += 1.0 / 14.0
        assert kept.armed
        assert oldest_s < 1.0


@pytest.mark.parametrize("hz", [5.0, 10.0])
def test_a_train_by_a_trigger_line_never_finds_it_not_ready(hz):
    with bench_of("magstim-rapid-squared") as bench, bench.kept as kept:
        bench.arm()
        bench.until(lambda: kept.status.ready)
        refused, due_s = [], pylsl.local_clock() + 0.1
        for number in range(int(3 * hz)):
            bench.foresee(due_s)
            while (left_s := due_s - pylsl.local_clock()) > 0.0:
                assert kept.listen() == []
                time.sleep(min(0.005, left_s))
            if not kept.status.ready or time.monotonic() - kept.status_s > 1.0:
                refused.append(number)
            else:
                assert bench.terminal.trigger()
                bench.heartbeat.integers[PLACES.left] = int(1e9 * pylsl.local_clock())
            due_s += 1.0 / hz
        assert refused == []
        assert len(bench.standin.pulses_s) == int(3 * hz)
