"""Real-time scheduling: asked for in one way, and why not in one line."""

import os

import pytest

from closedloop.scheduling import LOOP_PRIORITY, PRIORITY, ask_for_realtime, granted_scheduler


@pytest.fixture
def asked(monkeypatch):
    """Stand in for a system that grants it; return what it was asked for."""
    asked = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *what: asked.append(what), raising=False)
    return asked


def test_what_is_granted_needs_no_words(asked):
    assert ask_for_realtime() == ask_for_realtime(7, LOOP_PRIORITY) == ""
    assert granted_scheduler() == "SCHED_FIFO"
    found = [(thread, policy, parameters.sched_priority) for thread, policy, parameters in asked]
    assert found == [
        (0, os.SCHED_FIFO, PRIORITY),
        (7, os.SCHED_FIFO, LOOP_PRIORITY),
        (0, os.SCHED_FIFO, PRIORITY),
    ]


def test_nothing_beside_the_loop_comes_before_it():
    assert PRIORITY < LOOP_PRIORITY


@pytest.mark.parametrize(
    ("error", "why"),
    [(PermissionError(1, "Operation not permitted"), "not permitted"), (OSError(22, "Invalid"), "[Errno 22] Invalid")],
)
def test_what_is_not_granted_is_said_with_what_to_do(monkeypatch, error, why):
    def refuse(*_):
        raise error

    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)
    assert granted_scheduler() == "ordinary scheduler"
    assert ask_for_realtime(priority=9) == f"SCHED_FIFO: {why}; allow it with rtprio 9 in /etc/security/limits.conf"


def test_a_system_without_schedulers_is_one_that_does_not_grant_it(monkeypatch):
    monkeypatch.delattr(os, "sched_setscheduler", raising=False)
    assert "sched_setscheduler" in ask_for_realtime()


def test_a_thread_that_has_ended_is_no_refusal(monkeypatch):
    def missing(*_):
        raise ProcessLookupError(3, "No such process")

    monkeypatch.setattr(os, "sched_setscheduler", missing, raising=False)
    with pytest.raises(ProcessLookupError):
        ask_for_realtime(7)
