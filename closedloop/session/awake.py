"""Cores that stay awake for as long as a session runs.

Waking up takes 0.1 ms on a PC, and on a virtual machine whose host has other work several ms. Where the kernel has an
idle driver, it is asked not to let cores fall asleep. Where it has none, as in many virtual machines, nobody hears
that: there a process spins on each core when nobody else wants to run (`spinner`), so that none is ever idle.
"""

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

LATENCY_REQUEST = Path("/dev/cpu_dma_latency")
"""While it is open with 0 in it, no core falls asleep (Linux's PM quality of service)."""
IDLE_DRIVER = Path("/sys/devices/system/cpu/cpuidle/current_driver")
"""What puts cores to sleep, and hears that request."""
KERNEL_OPTIONS = Path("/proc/cmdline")
SPINNER = Path(__file__).with_name("spinner.py")
MOST_CORES = 8
"""More are not spun on: that is power, or other people's, for cores that the loop hardly uses."""
START_S, END_S = 5.0, 2.0
OWN_GROUPS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""The control groups of this process, and where they are."""
NOBODY = "cores: the kernel has no idle driver to ask"

Cores = Literal["asleep", "awake", "spinning"]
"""What cores do that have nothing to do."""

_requests: list[int] = []
_spinners: list["subprocess.Popen[bytes]"] = []
"""The open request of this process, and the spinner that it started: one at most of each."""
_failures: list[str] = []
"""Why none could be started: a stream that comes back must not wait for that once more."""


def keep_awake(refused: list[str], core: int | None = None) -> Cores:
    """Keep cores awake until `let_sleep`, and return what they do.

    Parameters
    ----------
    refused
        Takes why they may fall asleep, in words.
    core
        Beside those that the calling thread may use.
    """
    if "idle=poll" in _read(KERNEL_OPTIONS).split():
        return "awake"
    if _read(IDLE_DRIVER).strip() not in {"", "none"}:
        return "awake" if _ask(refused) else "asleep"
    if not _failures and not _is_spinning():
        _failures.extend(_start_spinning(core))
    refused.extend(_failures)
    return "asleep" if _failures else "spinning"


def let_sleep() -> None:
    """End what keeps cores awake."""
    _failures.clear()
    while _requests:
        os.close(_requests.pop())
    while _spinners:
        _end(_spinners.pop())


def _read(path: Path) -> str:
    """Return what the kernel says in a file, nothing where there is none."""
    with suppress(OSError):
        return path.read_text()
    return ""


def _ask(refused: list[str]) -> bool:
    if not _requests:
        try:
            request = os.open(LATENCY_REQUEST, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            refused.append(f"{LATENCY_REQUEST}: {error.strerror}; allow it with a udev rule")
            return False
        _requests.append(request)
        os.write(request, bytes(4))
    return True


def _is_spinning() -> bool:
    if _spinners and _spinners[0].poll() is not None:
        _end(_spinners.pop())
    return bool(_spinners)


def _start_spinning(core: int | None) -> list[str]:
    """Start a spinner on this thread's cores and another; return why that could not be, or nothing."""
    if sys.platform != "linux":
        return [NOBODY]
    cores = sorted(os.sched_getaffinity(0) | (set() if core is None else {core}))
    if len(cores) > MOST_CORES:
        return [
            f"{NOBODY}, and {len(cores)} are too many to be kept busy (limit {MOST_CORES}); run on few, as with "
            "taskset -c 0-3, or start the kernel with idle=poll"
        ]
    if group := _sharing_group():
        return [
            f"{NOBODY}, and it shares them between control groups ({group}), where what spins would count as much as "
            "another group's programs; start the kernel with idle=poll"
        ]
    command = [sys.executable, "-I", "-S", str(SPINNER), *map(str, cores)]
    try:
        process = subprocess.Popen(  # noqa: S603 - this Python, and a file of this package
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return [f"{NOBODY}, and nothing could be started that keeps them busy: {error.strerror}"]
    if not _hears(process, len(cores)):
        return [f"{NOBODY}, and what keeps them busy did not start: {_end(process) or 'it said nothing'}"]
    _spinners.append(process)
    return []


def _sharing_group() -> str:
    """Return the control group, of this process or around it, by which the kernel shares cores, or nothing.

    In one, neither a session nor its nice value counts outside, and what spins uses up the quota that it may have.
    """
    for line in _read(OWN_GROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(",") and path != "/":
            return path
        if controllers == "":  # the unified hierarchy
            inside = GROUPS / path.lstrip("/")
            for folder in (inside, *inside.parents):
                if (folder / "cpu.weight").exists():
                    return f"/{folder.relative_to(GROUPS)}"
                if folder == GROUPS:
                    break
    return ""


def _hears(process: "subprocess.Popen[bytes]", n: int) -> bool:
    """Return whether so many processes say that they spin, within the time that this may take."""
    assert process.stdout is not None
    said, until_s = b"", time.monotonic() + START_S
    while said.count(b"\n") < n:
        left_s = until_s - time.monotonic()
        if left_s <= 0.0 or not select.select([process.stdout], [], [], left_s)[0]:
            return False
        new = os.read(process.stdout.fileno(), 4096)
        if not new:
            return False
        said += new
    return True


def _end(process: "subprocess.Popen[bytes]") -> str:
    """End a spinner, and return the last that it complained of.

    It ends by itself with its input; who counts least may take a while for that, and is killed then.
    """
    for last in (False, True):
        try:
            _, complaints = process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            if last:
                break
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        else:
            return complaints.decode(errors="replace").strip().rpartition("\n")[2]
    return "it does not end"
