"""A stand-in amplifier for benchmarks: a sine on every channel, pushed sample by sample from compiled code.

    python bench/sender.py --source-id ID [--channels 64] [--rate 1000] [--fifo]

Each sample is due at an absolute time, so that errors do not add up, is stamped with LSL's clock at the very push,
and is pushed through at once. It streams, whether anybody listens or not, until its standard input ends, which it
does when whoever started it is gone. All its threads, those that liblsl starts for each listener included, can be
scheduled from outside (`Sender.schedule`): no Python stands between a due time and its push.
"""

import argparse
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

import loopback  # noqa: F401 - before pylsl
import numpy as np
import pylsl
from numba import types
from numpy.typing import NDArray

from closedloop.core.atomics import load_acquire, store_release
from closedloop.core.native import lsl_local_clock, require_symbols
from closedloop.jit import compiled
from closedloop.outlet import Outlet

RHYTHM_HZ = 10.0
LARGEST_UV = 20.0
"""Amplitude of the last channel; the first has a share of it, so that no reference takes the rhythm out."""
PRIORITY = 72
"""Above the receiver's: a real amplifier does not wait for the computer that it sends to."""
AHEAD_S = 0.05
START_S = 120.0
"""A first start compiles."""
STOP, LATE, SENT, N_SHARED = range(4)
"""Places in what Python and the loop share: end it (Python writes), pushes that were more than a period late,
pushes."""

_CLOCK_MONOTONIC, _TIMER_ABSTIME = 1, 1
lsl_push_sample = types.ExternalFunction(
    "lsl_push_sample_ftp", types.int32(types.intp, types.intp, types.float64, types.int32)
)
"""Outlet, floats, time stamp in s, whether to push through -> error code."""
clock_nanosleep = types.ExternalFunction(
    "clock_nanosleep", types.int32(types.int32, types.int32, types.intp, types.intp)
)
require_symbols({"liblsl": ("lsl_push_sample_ftp",), "the C library": ("clock_nanosleep",)})


@compiled(types.void(types.intp, types.float32[:, ::1], types.float64, types.int64[::1], types.int64[::1]))
def send(
    outlet: int, samples: NDArray[np.float32], period_s: float, timespec: NDArray[np.int64], shared: NDArray[np.int64]
) -> None:
    """Push the rows of ``samples`` over and over, one each ``period_s``, until told to stop."""
    first_s = lsl_local_clock() + AHEAD_S
    i = 0
    while load_acquire(shared, STOP) == 0:
        due_s = first_s + i * period_s
        timespec[0] = int(due_s)
        timespec[1] = int((due_s - int(due_s)) * 1e9)
        clock_nanosleep(_CLOCK_MONOTONIC, _TIMER_ABSTIME, timespec.ctypes.data, 0)
        now = lsl_local_clock()
        lsl_push_sample(outlet, samples[i % samples.shape[0]].ctypes.data, now, 1)
        if now - due_s > period_s:
            store_release(shared, LATE, load_acquire(shared, LATE) + 1)
        i += 1
        store_release(shared, SENT, i)


def one_period(n_channels: int, sfreq: float) -> NDArray[np.float32]:
    """Return one period of the sine, of shape (n_samples, n_channels), in µV."""
    times_s = np.arange(round(sfreq / RHYTHM_HZ)) / sfreq
    shares = (1.0 + np.arange(n_channels)) / n_channels
    sine = np.cos(2.0 * np.pi * RHYTHM_HZ * times_s)
    return np.ascontiguousarray(LARGEST_UV * sine[:, None] * shares, dtype=np.float32)


def announce(source_id: str, n_channels: int, sfreq: float) -> pylsl.StreamInfo:
    """Describe the stream as an amplifier would."""
    info = pylsl.StreamInfo(f"bench {source_id}", "EEG", n_channels, sfreq, pylsl.cf_float32, source_id)
    info.set_channel_labels([f"E{channel + 1}" for channel in range(n_channels)])
    info.set_channel_units("microvolts")
    info.set_channel_types("eeg")
    return info


class Sender:
    """A sender in a process of its own; use it in a ``with`` block.

    Parameters
    ----------
    source_id
        What it announces itself as.
    n_channels, sfreq
        Of its stream.
    """

    def __init__(self, source_id: str, n_channels: int, sfreq: float) -> None:
        self.source_id, self.n_channels, self.sfreq = source_id, n_channels, sfreq
        script = [sys.executable, str(Path(__file__).resolve()), "--source-id", source_id]
        self._process = subprocess.Popen(
            [*script, "--channels", str(n_channels), "--rate", str(sfreq)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError(f"the sender {self.source_id} did not start")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def schedule(self, scheduler: str) -> str:
        """Schedule all its threads, ``fifo`` or ``ordinary``; return what was granted."""
        return schedule_process(self._process.pid, scheduler)


def schedule_process(pid: int, scheduler: str) -> str:
    """Schedule all threads of a process; return what was granted."""
    policy, priority = (os.SCHED_FIFO, PRIORITY) if scheduler == "fifo" else (os.SCHED_OTHER, 0)
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            try:
                os.sched_setscheduler(int(task.name), policy, os.sched_param(priority))
            except ProcessLookupError:
                continue  # it has ended since the listing
    except PermissionError:
        return "ordinary"
    return scheduler


def main() -> None:
    """Stream until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source-id", required=True)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--fifo", action="store_true", help="real-time scheduling from the start")
    options = parser.parse_args()
    outlet = Outlet(announce(options.source_id, options.channels, options.rate), chunk_size=1)
    shared = np.zeros(N_SHARED, np.int64)
    handle: Any = getattr(outlet.obj, "value", outlet.obj)
    arguments = (handle, one_period(options.channels, options.rate), 1.0 / options.rate, np.zeros(2, np.int64), shared)
    thread = threading.Thread(target=send, args=arguments)
    thread.start()
    if options.fifo:
        schedule_process(os.getpid(), "fifo")
    print("sending", flush=True)
    sys.stdin.read()
    store_release(shared, STOP, 1)
    thread.join()
    late, sent = load_acquire(shared, LATE), load_acquire(shared, SENT)
    print(f"{late} of {sent} pushes were more than a period late", file=sys.stderr)


if __name__ == "__main__":
    main()
