"""What this machine can do at best: a compiled loop that does nothing but wait for moments, as the live loop waits.

    python bench/floor.py

tells how often a loop that only spins, under FIFO, is interrupted all the same, and for how long: a moment that falls
into an interruption is missed by what is left of it, whatever the loop. `latency.py` measures how late moments are met.

A virtual machine whose cores are taken away for a while, or a kernel that wakes late, shows here as well: nothing that
runs on it can be more punctual.
"""

import argparse
import threading

import loopback  # noqa: F401 - before NumPy and pylsl
import numpy as np
from cohort import machine, show
from live_core import OFTEN_S
from numba import types
from numpy.typing import NDArray

from closedloop.core.live import MARGIN_S
from closedloop.core.native import lsl_local_clock, sleep
from closedloop.jit import compiled
from closedloop.scheduling import LOOP_PRIORITY, ask_for_realtime
from closedloop.session.realtime import grant, undisturbed

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

    It gets what a session's loop gets; without ``awake`` only real-time scheduling.
    """
    late_s = np.zeros(max(1, round(seconds / EVERY_S)))
    timespec = np.zeros(3, np.int64)
    timespec[2] = timespec.ctypes.data

    def run() -> None:
        if awake:
            grant(threading.get_native_id(), [], cpu=None)
        else:
            ask_for_realtime(priority=LOOP_PRIORITY)
        wait_for_moments(late_s, timespec)

    thread = threading.Thread(target=run)
    with undisturbed():
        thread.start()
        thread.join()
    return late_s


SPIN_S = 10.0
SHORTEST_S = 3e-6
"""A gap between two looks at the clock is an interruption from here on."""
THROTTLED_S = 0.01
"""A longer one is the kernel's answer to who spins without end, 50 ms a second, which no session meets."""


@compiled(types.intp(types.float64[::1], types.float64))
def spin(gaps_s: NDArray[np.float64], seconds: float) -> int:
    """Spin for so many s, note the gaps between two looks at the clock, and return how many there were."""
    last_s = lsl_local_clock()
    end_s = last_s + seconds
    n = 0
    while last_s < end_s and n < gaps_s.size:
        now_s = lsl_local_clock()
        if now_s - last_s > SHORTEST_S:
            gaps_s[n] = now_s - last_s
            n += 1
        last_s = now_s
    return n


def main() -> None:
    """Spin and print what came between."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SPIN_S, help=f"how long to spin ({SPIN_S:g})")
    seconds = parser.parse_args().seconds
    gaps_s = np.zeros(1_000_000)
    found = []

    def run() -> None:
        grant(threading.get_native_id(), [], cpu=None)
        found.append(gaps_s[: spin(gaps_s, seconds)])

    thread = threading.Thread(target=run)
    with undisturbed():
        thread.start()
        thread.join()
    gaps = found[0][found[0] < THROTTLED_S]
    shares = {f"p{p:g} us": float(np.percentile(gaps, p) * 1e6) for p in (50.0, 90.0, 99.0, 100.0)} if gaps.size else {}
    row = {"interruptions a second": gaps.size / seconds, "share of time %": 100.0 * gaps.sum() / seconds, **shares}
    show("A loop that only spins, under FIFO", [row])
    print(machine())


if __name__ == "__main__":
    main()
