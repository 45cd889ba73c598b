"""The loop itself: commands, signals, Python's lock, a record that is full, an estimator that fails."""

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pylsl
import pytest

from closedloop.core.atomics import load_acquire, store_release
from closedloop.core.live import FORESIGHT, HEARTBEAT, LEFT, PORT_BUSY
from closedloop.core.reasons import Reason
from closedloop.core.records import HELD_UP, Command, EventKind, InputKind
from closedloop.core.replay import lost_records
from closedloop.stimulators.heartbeat import Places

OBEYED_S = 0.05


def test_it_foretells_its_triggers_in_shared_memory(rig):
    told = []
    for _ in range(round(0.5 * rig.sfreq)):
        rig.send()
        told.append((pylsl.local_clock(), 1e-9 * load_acquire(rig.supervisor._shared, FORESIGHT)))
    rig.end()
    at_s, due_s = np.array(told).T
    left_s = rig.delivered()["trigger_s"]
    assert left_s.size >= 3
    for trigger_s in left_s:
        assert at_s[np.abs(due_s - trigger_s) < 1e-3].min() < trigger_s - 0.005


def test_it_decides_for_a_triggers_moment_and_writes_nothing_before_it(rig):
    rig.play(1.5)
    rig.end()
    delivered = rig.delivered()
    written_s = rig.inputs["now"][rig.inputs["kind"] == InputKind.WRITTEN]
    assert len(delivered) == written_s.size >= 10
    assert (written_s >= delivered["now_s"]).all()
    assert (delivered["now_s"] >= delivered["trigger_s"]).all()
    assert (delivered["now_s"] == delivered["trigger_s"]).any()  # what looks at its moment never meets it exactly


def test_where_it_is_held_up_after_the_gates_word_nothing_leaves(make_rig, make_core, pipe):
    """No trigger may be late at all: the gate, which looks for its moment, lets it pass, and any write is too late."""
    core = make_core()
    core.limits["max_lateness_s"] = 0.0
    rig = make_rig(core)
    rig.play(0.8)
    rig.end()
    (held_up,) = rig.inputs_of(InputKind.WRITTEN)
    (delivered,) = rig.delivered()  # it counts as given
    assert (held_up["code"], delivered["now_s"] == delivered["trigger_s"]) == (HELD_UP, True)
    assert held_up["now"] > delivered["trigger_s"]
    assert rig.core.gate["disarmed_by"][0] == Reason.WRITE_FAILED
    assert load_acquire(rig.supervisor._shared, LEFT) == 0
    assert pipe.take() == b""


def test_after_what_is_not_fired_it_is_told_no_earlier_time(make_rig, make_core, pipe):
    rig = make_rig(make_core(trials={"withheld": 1}))
    rig.play(0.8)
    rig.end()
    assert set(rig.events["kind"]) == {EventKind.WITHHELD}
    assert (rig.events["now_s"] == rig.events["trigger_s"]).any()
    assert (np.diff(rig.inputs["now"]) >= 0.0).all()
    assert rig.core.gate["disarmed_by"][0] == Reason.NONE
    assert pipe.take() == b""


def test_where_no_trigger_is_planned_none_is_foretold(rig):
    rig.play(0.3)
    rig.wait(0.3)  # no sample comes: other deadlines go on
    assert 1e-9 * load_acquire(rig.supervisor._shared, FORESIGHT) > pylsl.local_clock() + 1e6
    rig.end()


def test_it_leaves_in_shared_memory_when_its_last_trigger_left(rig):
    assert Places(HEARTBEAT, FORESIGHT, PORT_BUSY).left == LEFT
    assert load_acquire(rig.supervisor._shared, LEFT) == 0
    rig.play(0.5)
    rig.end()
    told_s = 1e-9 * load_acquire(rig.supervisor._shared, LEFT)
    assert 0.0 <= told_s - rig.delivered()["trigger_s"][-1] < 0.005


def test_while_the_port_is_in_use_by_which_it_fires_nothing_does(rig, pipe):
    rig.play(0.3)
    store_release(rig.supervisor._shared, PORT_BUSY, 1)
    from_s = pylsl.local_clock()
    rig.play(0.3)
    store_release(rig.supervisor._shared, PORT_BUSY, 0)
    until_s = pylsl.local_clock()
    rig.supervisor.set_device(ready=True, coil_c=20.0, asked_s=until_s)
    rig.play(0.3)
    rig.end()
    assert rig.delivered(until_s=from_s).size
    assert not rig.delivered(from_s, until_s).size
    assert Reason.DEVICE_NOT_READY in rig.reasons(from_s, until_s)
    assert rig.delivered(until_s).size
    assert pipe.take() == b"\x01" * len(rig.delivered())


# Commands


@pytest.mark.parametrize("command", [Command.STOP, Command.DISARM, Command.PAUSE])
def test_a_command_holds_within_50_ms(rig, pipe, command):
    rig.play(0.4)
    posted_s = rig.post(command)
    rig.play(0.3)
    rig.end()
    assert rig.commands(command)[0] - posted_s <= OBEYED_S
    assert not rig.delivered(posted_s + OBEYED_S).size
    expected = {Command.STOP: Reason.STOPPED, Command.DISARM: Reason.NOT_ARMED, Command.PAUSE: Reason.PAUSED}
    assert rig.causes(posted_s + OBEYED_S) == {expected[command]}
    assert pipe.take() == b"\x01" * len(rig.delivered())


def test_a_command_holds_within_50_ms_while_no_sample_comes(rig):
    rig.play(0.1)
    rig.wait(0.1)
    posted_s = rig.post(Command.PAUSE)
    rig.wait(OBEYED_S)
    rig.end()
    (obeyed_s,) = rig.commands(Command.PAUSE)
    assert obeyed_s - posted_s <= OBEYED_S


def test_after_a_pause_it_goes_on_as_it_was(rig):
    rig.play(0.3)
    rig.post(Command.PAUSE)
    rig.play(0.3)
    resumed_s = rig.post(Command.RESUME)
    rig.play(0.3)
    rig.end()
    assert rig.commands(Command.RESUME)[0] - resumed_s <= OBEYED_S
    assert len(rig.delivered(resumed_s)) >= 2


def test_a_stop_ends_with_arming_and_with_nothing_less(rig):
    rig.play(0.2)
    stopped_s = rig.post(Command.STOP)
    rig.play(0.1)
    rig.post(Command.RESUME)
    rig.play(0.2)
    assert not rig.delivered(stopped_s + OBEYED_S).size
    armed_s = rig.post(Command.ARM)
    rig.play(0.3)
    rig.end()
    assert len(rig.delivered(armed_s)) >= 2


def test_arming_for_a_later_time_fires_nothing_before_it(rig):
    from_s = rig.start_s + 0.5
    rig.post(Command.DISARM)
    rig.post(Command.ARM, from_s)
    rig.play(0.8)
    rig.end()
    assert rig.delivered()["due_s"].min() >= from_s
    assert rig.causes(until_s=from_s - 0.1) == {Reason.NOT_ARMED}
    assert len(rig.delivered()) >= 2


def test_a_device_that_is_not_ready_is_refused(rig):
    rig.play(0.3)
    rig.supervisor.set_device(ready=False, coil_c=25.0, asked_s=pylsl.local_clock())
    posted_s = rig.due_s(rig.sent - 1)
    rig.play(0.3)
    rig.supervisor.set_device(ready=True, coil_c=25.0, asked_s=pylsl.local_clock())
    ready_s = rig.due_s(rig.sent - 1)
    rig.play(0.3)
    rig.end()
    assert rig.causes() == {Reason.DEVICE_NOT_READY}
    assert not rig.delivered(posted_s + OBEYED_S, ready_s).size
    assert len(rig.delivered(ready_s)) >= 2


# What breaks


def test_an_estimator_that_raises_disarms_and_the_loop_goes_on(make_rig, make_core, pipe):
    rig = make_rig(make_core(fails_at=100))
    rig.play(0.9)
    rig.end()
    failed_s = rig.due_s(100)
    assert len(rig.delivered(until_s=failed_s)) >= 2
    assert not rig.delivered(failed_s + 0.02).size
    assert Reason.ESTIMATOR_FAILED in rig.reasons(failed_s)
    assert rig.core.gate["disarmed_by"][0] == Reason.ESTIMATOR_FAILED
    assert len(rig.values) == rig.sent
    assert pipe.take() == b"\x01" * len(rig.delivered())


def test_inputs_that_nobody_takes_disarm_and_wait(make_rig, make_core, pipe):
    rig = make_rig(make_core(inputs=384, events=1024))
    rig.play(0.2)
    rig.is_attended = False
    rig.play(0.8)
    full_s = rig.due_s(rig.sent)
    rig.is_attended = True
    rig.play(0.4)
    rig.end()
    assert lost_records(rig.core) == 0
    assert len(rig.values) == rig.sent
    assert rig.core.gate["disarmed_by"][0] == Reason.INPUT_LOST
    assert rig.commands(Command.LOST).size == 1
    assert not rig.delivered(full_s).size
    assert Reason.INPUT_LOST in rig.reasons(full_s)
    assert rig.state == "disarmed: input_lost"
    assert pipe.take() == b"\x01" * len(rig.delivered())


# What must not disturb it


def loop_thread():
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "closedloop loop"]
    return thread


def test_a_storm_of_signals_neither_breaks_nor_delays_it(make_rig, start_sender, pipe):
    start_sender()
    handled = []
    before = signal.signal(signal.SIGUSR1, lambda *_: handled.append(1))
    try:
        rig = make_rig(external=True)
        rig.wait_for(lambda: rig.delivered().size)
        thread = loop_thread()
        blocked = int(
            next(
                line.split()[1]
                for line in Path(f"/proc/self/task/{thread.native_id}/status").read_text().splitlines()
                if line.startswith("SigBlk")
            ),
            16,
        )
        assert blocked >> (signal.SIGUSR1 - 1) & 1
        assert blocked >> (signal.SIGINT - 1) & 1
        from_s = rig.sights["told_s"][-1]
        for _ in range(500):
            os.kill(os.getpid(), signal.SIGUSR1)
            signal.pthread_kill(thread.ident, signal.SIGUSR1)
            rig.wait(0.001)
        until_s = rig.sights["told_s"][-1]  # the end refuses what is planned then
        rig.end()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(handled) >= 300
    assert len(rig.delivered(from_s)) >= 4
    assert pipe.take() == b"\x01" * len(rig.delivered())
    during = rig.sights[rig.sights["told_s"] >= from_s]
    assert np.median(during["told_s"] - during["time_s"]) < 0.02
    # A loaded machine may hold up the sender itself, and then the supervisor has said so.
    stalled = any("the gate was disarmed" in line for line in rig.said)
    assert set(rig.causes(from_s, until_s)) <= ({Reason.NOT_ARMED, Reason.STALE} if stalled else set())


@contextmanager
def busy_python(switch_interval_s):
    """Let a thread hold Python's lock, which it gives away no more often than once in an interval."""
    over = threading.Event()

    def spin():
        while not over.is_set():
            sum(range(1000))

    before = sys.getswitchinterval()
    thread = threading.Thread(target=spin, name="busy Python")
    sys.setswitchinterval(switch_interval_s)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(before)


def test_a_thread_that_holds_pythons_lock_does_not_delay_it(make_rig, start_sender, pipe):
    start_sender()
    rig = make_rig(external=True)
    rig.wait_for(lambda: rig.delivered().size)
    from_s = rig.sights["told_s"][-1]
    # A loop that needed the lock would get it some 0.2 s after it asks.
    with busy_python(0.2):
        begun = time.monotonic()
        time.sleep(0.001)
        waited_s = time.monotonic() - begun
        time.sleep(0.8)
    rig.end()
    assert waited_s >= 0.1
    busy = rig.sights[rig.sights["told_s"] > from_s]
    assert len(busy) >= 150
    assert np.median(busy["told_s"] - busy["time_s"]) < 0.02
    delivered = rig.delivered(from_s)
    assert len(delivered) >= 5
    assert np.median(delivered["now_s"] - delivered["trigger_s"]) < 0.02
    assert pipe.take() == b"\x01" * len(rig.delivered())


def test_every_input_is_numbered_and_told_in_order(rig):
    rig.play(0.5)
    rig.end()
    inputs = rig.inputs
    np.testing.assert_array_equal(inputs["number"], np.arange(len(inputs)))
    assert (np.diff(inputs["now"]) >= 0.0).all()
    assert set(inputs["kind"]) == {InputKind.SAMPLE, InputKind.DEADLINE, InputKind.COMMAND, InputKind.WRITTEN}
    assert set(rig.events["kind"]) == {EventKind.DELIVERED}
