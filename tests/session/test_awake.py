"""Cores are kept awake while a session runs, in one way or the other, and not longer."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from closedloop.session import awake, spinner
from closedloop.session.awake import keep_awake, let_sleep
from closedloop.session.realtime import Granted, undisturbed

ENDS_S = 20.0
"""Who counts least may have to wait for its end."""
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's schedulers")


@pytest.fixture
def idle(tmp_path, monkeypatch):
    """Return a function that sets what the kernel says of its idle driver and of its options."""

    def say(driver, options="quiet"):
        for name, text in (("IDLE_DRIVER", driver), ("KERNEL_OPTIONS", options)):
            path = tmp_path / name
            if text is not None:
                path.write_text(f"{text}\n")
            monkeypatch.setattr(awake, name, path)

    return say


@pytest.fixture
def request_file(tmp_path, monkeypatch):
    """Stand in for the file that the kernel takes requests by."""
    path = tmp_path / "cpu_dma_latency"
    monkeypatch.setattr(awake, "LATENCY_REQUEST", path)
    return path


def spinning(process):
    """Return a spinner's process and its children, by the core that each is bound to."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    found = [process.pid, *map(int, children.read_text().split())]
    return {tuple(os.sched_getaffinity(pid)): pid for pid in found}


def wait_until(true, timeout_s=ENDS_S):
    """Wait until something is so; return whether it came to that."""
    end_s = time.monotonic() + timeout_s
    while not true() and time.monotonic() < end_s:
        time.sleep(0.02)
    return true()


def has_ended(pid):
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_kernel_is_asked_once_and_only_until_the_session_ends(idle, request_file):
    idle("intel_idle")
    request_file.touch()
    refused = []
    with undisturbed():
        assert keep_awake(refused) == "awake"
        assert keep_awake(refused) == "awake"  # a stream that came back asks again
        (held,) = awake._requests
        assert request_file.read_bytes() == b"\0\0\0\0"
    assert (refused, awake._requests, awake._spinners) == ([], [], [])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(held)


def test_cores_that_never_sleep_need_not_be_kept_awake(idle):
    idle("none", "quiet idle=poll")
    refused = []
    assert keep_awake(refused) == "awake"
    assert (refused, awake._requests, awake._spinners) == ([], [], [])


def test_a_kernel_that_does_not_listen_is_said(idle, request_file):
    idle("acpi_idle")
    refused = []
    assert keep_awake(refused) == "asleep"
    assert refused == [f"{request_file}: No such file or directory; allow it with a udev rule"]


@linux
@pytest.mark.parametrize("driver", ["none", None])
def test_where_nobody_can_be_asked_every_core_is_kept_busy_by_who_counts_least(idle, request_file, driver):
    idle(driver)
    request_file.touch()
    refused = []
    cores = {(core,) for core in os.sched_getaffinity(0)}
    with undisturbed():
        assert keep_awake(refused) == "spinning"
        assert keep_awake(refused) == "spinning"
        (process,) = awake._spinners
        assert wait_until(lambda: set(spinning(process)) == cores)
        pids = spinning(process).values()
        for pid in pids:
            assert os.sched_getscheduler(pid) == os.SCHED_IDLE
            assert os.getsid(pid) == process.pid != os.getsid(0)
            group = Path(f"/proc/{pid}/autogroup")
            assert not group.exists() or group.read_text().endswith(f"nice {spinner.LEAST}\n")
    assert refused == []
    assert request_file.read_bytes() == b""
    assert awake._spinners == []
    assert all(wait_until(lambda pid=pid: has_ended(pid)) for pid in pids)


@linux
def test_who_keeps_cores_busy_ends_with_whoever_started_it(idle):
    script = (
        "import sys, time, pathlib; from closedloop.session import awake; "
        "awake.IDLE_DRIVER = pathlib.Path('/none'); awake.KERNEL_OPTIONS = pathlib.Path('/none'); "
        "assert awake.keep_awake([]) == 'spinning'; print(awake._spinners[0].pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-P", "-c", script], stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        children = [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        process.send_signal(signal.SIGKILL)
    assert all(wait_until(lambda each=each: has_ended(each)) for each in (pid, *children))


@linux
def test_many_cores_are_not_kept_busy(idle, monkeypatch):
    idle("none")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    refused = []
    assert keep_awake(refused) == "asleep"
    assert refused == [
        "cores: the kernel has no idle driver to ask, and 64 are too many to be kept busy (limit 8); run on few, as "
        "with taskset -c 0-3, or start the kernel with idle=poll"
    ]


@linux
@pytest.mark.parametrize("program", ["raise SystemExit(1)", "import sys; sys.stdin.read()"])
def test_who_does_not_start_keeps_nothing_awake(idle, tmp_path, monkeypatch, program):
    idle("none")
    path = tmp_path / "spinner.py"
    path.write_text(program)
    monkeypatch.setattr(awake, "SPINNER", path)
    monkeypatch.setattr(awake, "START_S", 1.0)
    refused = []
    assert keep_awake(refused) == "asleep"
    assert refused == ["cores: the kernel has no idle driver to ask, and what keeps them busy did not start"]
    assert awake._spinners == []


@linux
def test_where_no_program_can_be_started_it_is_said(idle, monkeypatch):
    idle("none")
    monkeypatch.setattr(sys, "executable", "/none/python")
    refused = []
    assert keep_awake(refused) == "asleep"
    assert refused == ["cores: No such file or directory, so that none is kept busy"]
    let_sleep()


def test_what_keeps_cores_awake_is_said():
    said = {
        cores: Granted("fifo", "fifo", memory_locked=True, cores=cores, cpu=None, refused=()).line().split(", ")[3]
        for cores in ("asleep", "awake", "spinning")
    }
    assert said == {
        "asleep": "cores may fall asleep",
        "awake": "cores kept awake",
        "spinning": "cores kept awake by a process on each that spins",
    }


@pytest.mark.parametrize(
    ("error", "asked"), [(FileNotFoundError, 1), (BlockingIOError, spinner.TRIES)], ids=["no groups", "too often"]
)
def test_a_group_that_cannot_count_least_does_not_spin(monkeypatch, error, asked):
    tried = []

    class Group:
        def write_text(self, text):
            tried.append(text)
            raise error

    monkeypatch.setattr(spinner, "AUTOGROUP", Group())
    monkeypatch.setattr(spinner, "ASK_S", 0.0)
    for name in ("setsid", "sched_setscheduler"):
        monkeypatch.setattr(os, name, lambda *_: None)
    if error is FileNotFoundError:
        spinner.count_least()
    else:
        with pytest.raises(SystemExit, match="did not take 19"):
            spinner.count_least()
    assert tried == [spinner.LEAST] * asked
