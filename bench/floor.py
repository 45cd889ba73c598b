"""What this machine can do at best: a compiled loop that does nothing but wait for moments, as the live loop waits.

A virtual machine whose cores are taken away for a while, or a kernel that wakes late, shows here as well: nothing that
runs on it can be more punctual.
"""

import os
import threading
from contextlib import suppress

import loopback  # noqa: F401 - before NumPy and pylsl
import numpy as np
from live_core import OFTEN_S
from numba import types
from numpy.typing import NDArray

from closedloop.core.live import MARGIN_S
from closedloop.core.native import lsl_local_clock, sleep
from closedloop.jit import compiled
from closedloop.session.realtime import PRIORITY, grant, undisturbed

EVERY_S = OFTEN_S
"""As often as triggers are due while lateness is measured."""


@compiled(types.void(types.float64[::1], types.int64[::1]))
def wait_for_moments(late_s: NDArray[np.float64], timespec: NDArray[np.int64]) -> None:
    """Sleep until a margin before each moment, spin to it, and note how late it is then."""
    due_s = lsl_local_clock()
    for i in range(late_s.size):
        due_s += EVERY_S
        wait_s = due_s - lsl_local_clock() - MARGIN_S
        if wait_s > 0.0:
            sleep(timespec, wait_s)
        while lsl_local_clock() < due_s:
            pass
        late_s[i] = lsl_local_clock() - due_s


def floor_lateness(seconds: float, *, awake: bool) -> NDArray[np.float64]:
    """Return how late a thread of its own met moments within so many s, in s.

    It gets what a session's loop gets; without ``awake`` only real-time scheduling, and cores that fall asleep.
    """
    late_s = np.zeros(max(1, round(seconds / EVERY_S)))
    timespec = np.zeros(3, np.int64)
    timespec[2] = timespec.ctypes.data

    def run() -> None:
        if awake:
            grant(threading.get_native_id(), [], cpu=None)
        else:
            with suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
        wait_for_moments(late_s, timespec)

    thread = threading.Thread(target=run)
    with undisturbed():
        thread.start()
        thread.join()
    return late_s
