"""What the system grants a loop that must not wait: real-time scheduling, locked memory, cores that stay awake.

Only Linux promises any of it. What was not granted is said, never taken for granted.
"""

import ctypes
import gc
import os
import platform
import signal
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from closedloop.config.source import Lsl
from closedloop.errors import StreamError
from closedloop.scheduling import LOOP_PRIORITY, ask_for_realtime
from closedloop.session.awake import Cores, keep_awake, let_sleep

ISOLATED = Path("/sys/devices/system/cpu/isolated")
SLICE_S = 1e-4
"""What the threads ask the ordinary scheduler for at a time, the least there is: who asks for little is let in soon. It
needs no permission; Linux does so from 6.12 on."""
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
"""Number of the system call, by machine: the C library has a function only from glibc 2.41 on."""
_CURRENT, _FUTURE, _ON_FAULT = 1, 2, 4
"""Flags of mlockall(2): what is there, what will be, each page when it is first touched."""

_CORES: dict[Cores, str] = {
    "asleep": "cores may fall asleep",
    "awake": "cores kept awake",
    "spinning": "cores kept awake by a process on each that spins",
}


@dataclass(frozen=True)
class Granted:
    """What the loop was given.

    Attributes
    ----------
    loop_scheduler, receive_scheduler
        ``fifo`` or ``ordinary``: of the loop, and of liblsl's threads that receive.
    memory_locked
        Whether no page can be swapped out.
    cores
        What cores do that have nothing to do.
    cpu
        The core that the loop is bound to, or None.
    refused
        Why what was not granted was not, in words.
    """

    loop_scheduler: str
    receive_scheduler: str
    memory_locked: bool
    cores: Cores
    cpu: int | None
    refused: tuple[str, ...]

    def line(self) -> str:
        """Return it in one line."""
        parts = [
            f"loop: {self.loop_scheduler} scheduling",
            f"receive threads: {self.receive_scheduler}",
            f"memory {'locked' if self.memory_locked else 'not locked'}",
            _CORES[self.cores],
            "not bound to a core" if self.cpu is None else f"bound to core {self.cpu}",
        ]
        return ", ".join(parts) + (f" ({'; '.join(self.refused)})" if self.refused else "")


def grant(loop_thread: int, receive_threads: Sequence[int], *, cpu: int | None) -> Granted:
    """Ask the system for all that it has, and return what it gave; `give_back` ends what is the process's own.

    Parameters
    ----------
    loop_thread, receive_threads
        Identifiers of threads of this process.
    cpu
        The core to bind the loop to; None: an isolated one where there is any.
    """
    refused: list[str] = []
    loop = _schedule([loop_thread], refused)
    receive = _schedule(receive_threads, refused)
    bound = _bind(loop_thread, _core(cpu), refused)
    memory_locked, cores = _lock_memory(refused), keep_awake(refused, bound)
    return Granted(loop, receive, memory_locked, cores, bound, tuple(dict.fromkeys(refused)))


def require_realtime() -> None:
    """Try real-time scheduling on the calling thread, and give it back.

    Raises
    ------
    StreamError
        Where it is not permitted.
    """
    refused: list[str] = []
    if _schedule([0], refused) != "fifo":
        raise StreamError(f"source.realtime = required: {'; '.join(refused)}: nothing was armed")
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def check_granted(granted: Granted, source: Lsl) -> None:
    """Refuse to go on without real-time scheduling, where that is required.

    Raises
    ------
    StreamError
        Where the loop or what receives for it has the ordinary one.
    """
    given = (granted.loop_scheduler, granted.receive_scheduler)
    if source.realtime == "required" and given != ("fifo", "fifo"):
        raise StreamError(
            f"source.realtime = required: the loop has {given[0]} scheduling, what receives for it {given[1]} (wanted: "
            "fifo): the gate was disarmed"
        )


def _schedule(identifiers: Sequence[int], refused: list[str]) -> str:
    scheduled = 0
    for identifier in identifiers:
        _ask_for_short_slices(identifier)
        with suppress(ProcessLookupError):  # liblsl's thread that fetched the description has ended
            if why_not := ask_for_realtime(identifier, LOOP_PRIORITY):
                refused.append(why_not)
                return "ordinary"
            scheduled += 1
    if not scheduled:
        refused.append("SCHED_FIFO: no thread was found that it could be given to")
        return "ordinary"
    return "fifo"


def _ask_for_short_slices(identifier: int) -> None:
    """Ask the ordinary scheduler for short turns; where it knows none, nothing changes."""
    number = _SCHED_SETATTR.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return
    # struct sched_attr: size, policy (0: ordinary), flags, nice, priority, runtime in ns, deadline, period
    asked = struct.pack("=IIQiIQQQ", 48, 0, 0, 0, 0, round(SLICE_S * 1e9), 0, 0)
    ctypes.CDLL(None).syscall(number, identifier, asked, 0)


def _core(cpu: int | None) -> int | None:
    """Return the core that the loop is to be bound to: the wanted one, or an isolated one where there is any."""
    return _isolated() if cpu is None else cpu


def _isolated() -> int | None:
    """Return the first core that the kernel keeps free of other work, if there is any."""
    with suppress(OSError, ValueError):
        return int(ISOLATED.read_text().replace("-", ",").split(",")[0])
    return None


def _bind(identifier: int, cpu: int | None, refused: list[str]) -> int | None:
    if cpu is None:
        return None
    try:
        os.sched_setaffinity(identifier, {cpu})
    except (OSError, AttributeError, OverflowError, ValueError) as error:
        refused.append(f"core {cpu}: {error}")
        return None
    return cpu


def _lock_memory(refused: list[str]) -> bool:
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "mlockall") or library.mlockall(_CURRENT | _FUTURE | _ON_FAULT) != 0:
        refused.append(f"memory: {os.strerror(ctypes.get_errno())}; allow it with memlock unlimited")
        return False
    return True


def give_back() -> None:
    """Give back what was granted to the whole process: locked memory, and cores that stay awake."""
    let_sleep()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).munlockall()


@contextmanager
def awake(cpu: int | None) -> Iterator[None]:
    """Keep cores awake within a ``with`` block, the loop's among them: what that needs takes its time to start."""
    keep_awake([], _core(cpu))
    try:
        yield
    finally:
        let_sleep()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Freeze what is there for the garbage collector; give back what the process was granted after a ``with`` block.

    The compiled loop cannot be held up by a collection; the supervisor, which empties its rings, could.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        give_back()


def mask_signals() -> None:
    """Keep every signal away from the calling thread, so that none interrupts its waiting."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
