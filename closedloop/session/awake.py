"""Cores that stay awake for as long as a session runs.

Waking up takes 0.1 ms on a PC, and on a virtual machine whose host has other work several ms. Where the kernel has an
idle driver, it is asked not to let cores fall asleep. Where it has none, as in many virtual machines, nobody hears
that: there a process spins on each core when nobody else wants to run (`spinner`), so that none is ever idle.
"""

import os
import select
import subprocess
import sys
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
START_S, END_S = 10.0, 5.0

Cores = Literal["asleep", "awake", "spinning"]
"""What cores do that have nothing to do."""

_requests: list[int] = []
_spinners: list[subprocess.Popen[bytes]] = []
"""The open request of this process, and the spinners that it started: one at most of each."""


def keep_awake(refused: list[str]) -> Cores:
    """Keep cores awake until `let_sleep`; return what they do, and append to ``refused`` why they may fall asleep."""
    if "idle=poll" in _read(KERNEL_OPTIONS).split():
        return "awake"
    if _read(IDLE_DRIVER).strip() in {"", "none"}:
        return "spinning" if _spin(refused) else "asleep"
    return "awake" if _ask(refused) else "asleep"


def let_sleep() -> None:
    """End what keeps cores awake."""
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


def _spin(refused: list[str]) -> bool:
    if _spinners:
        return True
    if sys.platform != "linux":
        refused.append("cores: only Linux can be asked")
        return False
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > MOST_CORES:
        refused.append(
            f"cores: the kernel has no idle driver to ask, and {len(cores)} are too many to be kept busy (limit "
            f"{MOST_CORES}); run on few, as with taskset -c 0-3, or start the kernel with idle=poll"
        )
        return False
    command = [sys.executable, "-I", "-S", str(SPINNER), *map(str, cores)]
    try:
        process = subprocess.Popen(  # noqa: S603 - this Python, and a file of this package
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        refused.append(f"cores: {error.strerror}, so that none is kept busy")
        return False
    assert process.stdout is not None
    if not (select.select([process.stdout], [], [], START_S)[0] and process.stdout.readline()):
        _end(process)
        refused.append("cores: the kernel has no idle driver to ask, and what keeps them busy did not start")
        return False
    _spinners.append(process)
    return True


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Let a spinner end, as it does by itself with its input; who counts least may take a while for that."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
