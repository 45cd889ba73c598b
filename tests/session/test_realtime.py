"""What the system grants, and that what it does not grant is said."""

import gc
import os
import signal
import threading
from pathlib import Path

import pytest

import closedloop.session.realtime
from closedloop.config.source import Lsl, StreamQuery
from closedloop.errors import StreamError
from closedloop.scheduling import LOOP_PRIORITY
from closedloop.session.realtime import (
    SLICE_S,
    Granted,
    check_granted,
    grant,
    mask_signals,
    require_realtime,
    undisturbed,
)

LOOP, RECEIVE, ENDED = 101, 202, 303
PROC = Path("/proc/self/task")


@pytest.fixture
def system(monkeypatch):
    """Stand in for a system that grants all; return what it was asked for."""
    asked = []
    for name in ("sched_setscheduler", "sched_setaffinity"):
        monkeypatch.setattr(os, name, lambda *what, name=name: asked.append((name, *what)))
    monkeypatch.setattr(closedloop.session.realtime, "_lock_memory", lambda _: True)
    monkeypatch.setattr(closedloop.session.realtime, "keep_awake", lambda *_: "awake")
    monkeypatch.setattr(closedloop.session.realtime, "_isolated", lambda: None)
    return asked


def priorities(asked):
    return {what[1]: (what[2], what[3].sched_priority) for what in asked if what[0] == "sched_setscheduler"}


def test_receive_threads_come_before_the_loop(system):
    granted = grant(LOOP, [RECEIVE, RECEIVE + 1], cpu=None)
    fifo = os.SCHED_FIFO
    assert priorities(system) == {
        LOOP: (fifo, LOOP_PRIORITY),
        RECEIVE: (fifo, LOOP_PRIORITY),
        RECEIVE + 1: (fifo, LOOP_PRIORITY),
    }
    assert granted == Granted("fifo", "fifo", True, "awake", None, ())


def test_what_is_not_permitted_is_said_once_and_not_claimed(system, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    granted = grant(LOOP, [RECEIVE], cpu=None)
    assert (granted.loop_scheduler, granted.receive_scheduler) == ("ordinary", "ordinary")
    assert granted.refused == (
        f"SCHED_FIFO: not permitted; allow it with rtprio {LOOP_PRIORITY} in /etc/security/limits.conf",
    )
    assert granted.line().startswith(
        "loop: ordinary scheduling, receive threads: ordinary, memory locked, cores kept awake, "
    )


@pytest.fixture
def turns_as_they_were(monkeypatch):
    """Keep this thread's own turns as long as they are."""
    monkeypatch.setattr(closedloop.session.realtime, "_ask_for_short_slices", lambda _: None)


@pytest.mark.usefixtures("turns_as_they_were")
def test_where_real_time_scheduling_is_required_and_refused_nothing_begins(monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with pytest.raises(
        StreamError, match=r"^source\.realtime = required: SCHED_FIFO: not permitted; .*: nothing was armed$"
    ):
        require_realtime()


@pytest.mark.usefixtures("turns_as_they_were")
def test_where_it_is_required_and_granted_it_is_given_back(system):
    require_realtime()
    assert [what[2] for what in system] == [os.SCHED_FIFO, os.SCHED_OTHER]


def test_a_system_without_schedulers_is_said(system, monkeypatch):
    monkeypatch.delattr(os, "sched_setscheduler")
    granted = grant(LOOP, [RECEIVE], cpu=None)
    assert granted.loop_scheduler == "ordinary"
    assert "sched_setscheduler" in granted.refused[0]


def test_threads_that_have_ended_are_skipped(system, monkeypatch):
    asked = []

    def schedule(identifier, policy, parameters):
        if identifier == ENDED:
            raise ProcessLookupError(3, "No such process")
        asked.append(identifier)

    monkeypatch.setattr(os, "sched_setscheduler", schedule)
    granted = grant(LOOP, [ENDED, RECEIVE], cpu=None)
    assert asked == [LOOP, RECEIVE]
    assert (granted.receive_scheduler, granted.refused) == ("fifo", ())


@pytest.mark.parametrize("receive", [[], [ENDED]])
def test_where_no_receive_thread_was_found_none_is_claimed(system, monkeypatch, receive):
    def schedule(identifier, policy, parameters):
        if identifier == ENDED:
            raise ProcessLookupError(3, "No such process")

    monkeypatch.setattr(os, "sched_setscheduler", schedule)
    granted = grant(LOOP, receive, cpu=None)
    assert (granted.loop_scheduler, granted.receive_scheduler) == ("fifo", "ordinary")
    assert granted.refused == ("SCHED_FIFO: no thread was found that it could be given to",)


def test_the_loop_is_bound_to_the_core_that_is_asked_for(system):
    assert grant(LOOP, [RECEIVE], cpu=3).cpu == 3
    assert ("sched_setaffinity", LOOP, {3}) in system


def test_without_a_wish_the_loop_is_bound_to_an_isolated_core(system, monkeypatch):
    monkeypatch.setattr(closedloop.session.realtime, "_isolated", lambda: 5)
    assert grant(LOOP, [RECEIVE], cpu=None).cpu == 5


def test_a_core_that_there_is_not_is_said_and_not_claimed(system, monkeypatch):
    def refuse(*_):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    granted = grant(LOOP, [RECEIVE], cpu=4000)
    assert granted.cpu is None
    assert granted.refused == ("core 4000: [Errno 22] Invalid argument",)
    assert "not bound to a core" in granted.line()


@pytest.mark.parametrize(("text", "core"), [("3\n", 3), ("2-3\n", 2), ("4,6-7\n", 4), ("\n", None), (None, None)])
def test_isolated_cores_are_read_as_the_kernel_writes_them(tmp_path, monkeypatch, text, core):
    path = tmp_path / "isolated"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(closedloop.session.realtime, "ISOLATED", path)
    assert closedloop.session.realtime._isolated() == core


@pytest.mark.parametrize("locked", [True, False])
def test_memory_is_only_called_locked_where_it_is(monkeypatch, locked):
    class Library:
        def mlockall(self, _flags):
            return 0 if locked else -1

    monkeypatch.setattr(closedloop.session.realtime.ctypes, "CDLL", lambda *_, **__: Library())
    refused = []
    assert closedloop.session.realtime._lock_memory(refused) == locked
    assert len(refused) == (0 if locked else 1)
    assert all("allow it with memlock unlimited" in why for why in refused)


def test_a_thread_can_ask_for_short_turns():
    def turn_ns():
        lines = (PROC / str(threading.get_native_id()) / "sched").read_text().splitlines()
        return next((int(line.split(":")[1]) for line in lines if line.startswith("se.slice")), None)

    found = []

    def run():
        found.append(turn_ns())
        closedloop.session.realtime._ask_for_short_slices(threading.get_native_id())
        found.append(turn_ns())

    if not PROC.is_dir() or turn_ns() is None:
        pytest.skip("this kernel does not show how long a turn is")
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found[1] == round(SLICE_S * 1e9) < found[0]


def test_the_collector_is_as_before_afterwards():
    before = gc.get_freeze_count()
    with undisturbed():
        assert gc.get_freeze_count() > before
    assert gc.get_freeze_count() == 0


def test_a_thread_can_keep_every_signal_away():
    masked = []

    def run():
        mask_signals()
        masked.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} <= masked[0]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.parametrize("given", [("fifo", "ordinary"), ("ordinary", "fifo"), ("ordinary", "ordinary")])
def test_what_is_required_is_held_against_what_was_granted(given):
    granted = Granted(*given, memory_locked=True, cores="awake", cpu=None, refused=())
    check_granted(granted, Lsl(type="lsl", stream=StreamQuery(type="EEG")))
    required = Lsl(type="lsl", stream=StreamQuery(type="EEG"), realtime="required")
    with pytest.raises(StreamError, match=r"source\.realtime = required: the loop has"):
        check_granted(granted, required)
    check_granted(Granted("fifo", "fifo", True, "awake", None, ()), required)
