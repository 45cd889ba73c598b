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


@pytest.fixture(autouse=True)
def asleep():
    """Leave nothing behind that spins, or that a test believes."""
    yield
    let_sleep()


@pytest.fixture
def idle(tmp_path, monkeypatch):
    """Return a function that sets what the kernel says of its idle driver and of its options; no group shares cores."""

    def say(driver, options="quiet"):
        for name, text in (("IDLE_DRIVER", driver), ("KERNEL_OPTIONS", options), ("OWN_GROUPS", "1:cpu:/")):
            path = tmp_path / name
            if text is not None:
                path.write_text(f"{text}\n")
            monkeypatch.setattr(awake, name, path)

    return say


@pytest.fixture
def cores(monkeypatch):
    """Let this process have two cores at most, and return them."""
    usable = os.sched_getaffinity(0)
    few = set(sorted(usable)[:2])
    os.sched_setaffinity(0, few)
    yield few
    os.sched_setaffinity(0, usable)


@pytest.fixture
def request_file(tmp_path, monkeypatch):
    """Stand in for the file that the kernel takes requests by."""
    path = tmp_path / "cpu_dma_latency"
    monkeypatch.setattr(awake, "LATENCY_REQUEST", path)
    return path


def family(pid):
    """Return a process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


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
def test_where_nobody_can_be_asked_every_core_is_kept_busy_by_who_counts_least(idle, request_file, cores, driver):
    idle(driver)
    request_file.touch()
    refused = []
    with undisturbed():
        assert keep_awake(refused) == "spinning"
        assert keep_awake(refused) == "spinning"
        (process,) = awake._spinners
        pids = family(process.pid)
        assert sorted(map(tuple, map(os.sched_getaffinity, pids))) == sorted((core,) for core in cores)
        for pid in pids:
            assert os.sched_getscheduler(pid) == os.SCHED_IDLE
            assert os.getsid(pid) == process.pid
            group = Path(f"/proc/{pid}/autogroup")
            assert not group.exists() or group.read_text().endswith(f"nice {spinner.LEAST}\n")
    assert refused == []
    assert request_file.read_bytes() == b""
    assert awake._spinners == []
    assert all(map(has_ended, pids))


@linux
def test_the_loops_own_core_is_kept_busy_too(idle, cores, monkeypatch):
    idle("none")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {min(cores)})
    assert keep_awake([], max(cores)) == "spinning"
    monkeypatch.undo()
    bound = set().union(*map(os.sched_getaffinity, family(awake._spinners[0].pid)))
    assert bound == cores


def used_s(pid):
    """Return how long a process has run."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


@linux
def test_of_several_on_a_core_one_spins_and_another_takes_over(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    core = str(min(os.sched_getaffinity(0)))

    def start():
        process = subprocess.Popen(
            [sys.executable, str(awake.SPINNER), core],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        assert process.stdout.readline() == b"spinning\n"
        return process

    with start() as first:
        assert wait_until(lambda: used_s(first.pid) > 0.2)
        with start() as second:
            began_s, both_s = used_s(second.pid), used_s(first.pid)
            assert wait_until(lambda: used_s(first.pid) > both_s + 0.3)
            assert used_s(second.pid) < began_s + 0.1
            first.stdin.close()
            assert first.wait(ENDS_S) == 0
            assert wait_until(lambda: used_s(second.pid) > began_s + 0.2)
            second.stdin.close()
            assert second.wait(ENDS_S) == 0


@linux
def test_a_spinner_that_has_died_is_replaced(idle, cores):
    idle("none")
    assert keep_awake([]) == "spinning"
    (first,) = awake._spinners
    os.killpg(first.pid, signal.SIGKILL)
    assert wait_until(lambda: has_ended(first.pid))
    assert keep_awake([]) == "spinning"
    assert awake._spinners != [first]


@linux
def test_who_keeps_cores_busy_ends_with_whoever_started_it(cores):
    script = (
        "import sys, time, pathlib; from closedloop.session import awake; "
        "awake.IDLE_DRIVER = awake.KERNEL_OPTIONS = awake.OWN_GROUPS = pathlib.Path('/none'); "
        "awake.GROUPS = pathlib.Path('/none'); assert awake.keep_awake([]) == 'spinning'; "
        "print(awake._spinners[0].pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-P", "-c", script], stdout=subprocess.PIPE, text=True) as process:
        pids = family(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
    assert len(pids) == len(cores)
    assert all(wait_until(lambda pid=pid: has_ended(pid)) for pid in pids)


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
@pytest.mark.parametrize(
    ("line", "weighed", "group"),
    [
        ("3:cpu,cpuacct:/docker/1", "", "/docker/1"),
        ("0::/user.slice/session-1.scope", "user.slice/session-1.scope", "/user.slice/session-1.scope"),
        ("0::/user.slice/session-1.scope", "user.slice", "/user.slice"),
        ("0::/", ".", "/."),  # of a container, which sees its own group as the root
    ],
)
def test_where_groups_share_the_cores_none_is_kept_busy(idle, tmp_path, monkeypatch, line, weighed, group):
    idle("none")
    (tmp_path / "user.slice" / "session-1.scope").mkdir(parents=True)
    if weighed:
        (tmp_path / weighed / "cpu.weight").touch()
    monkeypatch.setattr(awake, "GROUPS", tmp_path)
    (tmp_path / "OWN_GROUPS").write_text(f"5:memory:/there\n{line}\n")
    refused = []
    assert keep_awake(refused) == "asleep"
    assert refused == [
        f"cores: the kernel has no idle driver to ask, and it shares them between control groups ({group}), where what "
        "spins would count as much as another group's programs; start the kernel with idle=poll"
    ]
    assert awake._spinners == []


@linux
@pytest.mark.parametrize("line", ["1:cpu:/", "0::/user.slice/session-1.scope", "5:memory:/there"])
def test_groups_that_do_not_share_cores_hinder_nothing(idle, tmp_path, monkeypatch, line):
    idle("none")
    (tmp_path / "user.slice" / "session-1.scope").mkdir(parents=True)
    monkeypatch.setattr(awake, "GROUPS", tmp_path)
    (tmp_path / "OWN_GROUPS").write_text(f"{line}\n")
    assert awake._sharing_group() == ""


@linux
@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit('one line\\nno fork today')", "no fork today"),
        ("import os; os.close(1); import sys; sys.stdin.read()", "it said nothing"),
        ("import sys; sys.stdin.read()", "it said nothing"),
        ("import time; time.sleep(60)", "it said nothing"),
    ],
)
def test_who_does_not_start_keeps_nothing_awake_and_is_not_tried_again(
    idle, cores, tmp_path, monkeypatch, program, why
):
    idle("none")
    path = tmp_path / "spinner.py"
    path.write_text(program)
    monkeypatch.setattr(awake, "SPINNER", path)
    monkeypatch.setattr(awake, "START_S", 0.5)
    monkeypatch.setattr(awake, "END_S", 0.5)
    refused = []
    assert keep_awake(refused) == "asleep"
    path.unlink()
    assert keep_awake(refused) == "asleep"
    assert refused == 2 * [
        f"cores: the kernel has no idle driver to ask, and what keeps them busy did not start: {why}"
    ]
    assert awake._spinners == []


@linux
def test_where_no_program_can_be_started_it_is_said(idle, cores, monkeypatch):
    idle("none")
    monkeypatch.setattr(sys, "executable", "/none/python")
    refused = []
    assert keep_awake(refused) == "asleep"
    assert refused == [
        "cores: the kernel has no idle driver to ask, and nothing could be started that keeps them busy: No such file "
        "or directory"
    ]


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


@linux
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
    monkeypatch.setattr(os, "getsid", lambda _: os.getpid())
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: None)
    if error is FileNotFoundError:
        spinner.count_least()
    else:
        with pytest.raises(SystemExit, match="did not take 19"):
            spinner.count_least()
    assert tried == [spinner.LEAST] * asked


@linux
def test_in_the_session_of_others_nothing_spins(monkeypatch):
    monkeypatch.setattr(os, "getsid", lambda _: os.getpid() + 1)
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: pytest.fail("it has slowed down what runs in it"))
    with pytest.raises(SystemExit, match="does not lead a session of its own"):
        spinner.count_least()
