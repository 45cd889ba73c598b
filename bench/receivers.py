"""The loops that are compared: ours, and what a lab would write with pylsl or mne-lsl, with the same compiled core.

Each runs in a worker process that lives as long as the benchmark, so that everything is compiled and warm; it opens
the stream, says so, and measures when it is told to. A loop in Python reads its clock with ``time.monotonic``, which
is LSL's clock: a call of ``pylsl.local_clock`` would give the interpreter's lock away once more.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import loopback  # noqa: F401 - before pylsl
import numpy as np
import pylsl
from live_core import PLAIN, WRITES, WRITING, decide, hold, lay_out
from numpy.typing import NDArray
from pylsl import lib as pylsl_library

from closedloop.config.source import Lsl, StreamQuery
from closedloop.core.records import Command, EventKind, InputKind
from closedloop.core.state import Core
from closedloop.session.awake import Cores
from closedloop.session.realtime import Granted, grant, undisturbed
from closedloop.session.supervisor import Supervisor
from closedloop.sources.lsl import Stream, find_stream
from closedloop.stimulators.line import TriggerLine, open_line

DROPPED = 500
"""Samples at a run's beginning that do not count, after those that had waited for it to begin."""
COLLECT_EVERY_S = 0.05
"""As a session does."""
MNE_BUFFER_S = 0.5
MNE_DELAY_S = 0.0002
"""Between two looks of mne-lsl, which sleeps for four fifths of that; its default is 1 ms. Its callback is called
right after a look, before what ``get_data`` would return is there."""
GRACE_S = 5.0


@dataclass(frozen=True)
class Job:
    """What to measure.

    Attributes
    ----------
    source_id
        Of the stream.
    n_channels, sfreq
        Of the stream.
    scheduler
        ``fifo`` or ``ordinary``, of the loop and of the threads that receive.
    seconds
        For how long.
    busy
        Whether a Python thread beside the loop keeps the interpreter busy.
    often
        Whether deadlines are measured, instead of samples.
    """

    source_id: str
    n_channels: int
    sfreq: float
    scheduler: str
    seconds: float
    busy: bool = False
    often: bool = False


@dataclass(frozen=True)
class Measured:
    """What came of it.

    Attributes
    ----------
    latency_s
        Array of shape (n_samples,): from each sample's stamp to after its write, in s.
    lateness_s
        Array of shape (n_pulses,): from a trigger's due time to the call of ``write``, in s.
    scheduler
        What the system granted.
    cores
        What cores did that had nothing to do.
    """

    latency_s: NDArray[np.float64]
    lateness_s: NDArray[np.float64]
    scheduler: str
    cores: Cores


Begin = Callable[[], None]
"""Says that the stream is open, and waits until measuring may begin."""


def threads() -> set[int]:
    """Return the identifiers of this process's threads."""
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}


def scheduled(loop: int, receive: set[int], granted: Granted, wanted: str) -> str:
    """Take real-time scheduling back where the ordinary one is wanted; return what the loop has now."""
    if wanted == "ordinary":
        for identifier in (loop, *receive):
            with suppress(ProcessLookupError):
                os.sched_setscheduler(identifier, os.SCHED_OTHER, os.sched_param(0))
        return "ordinary"
    return "fifo" if (granted.loop_scheduler, granted.receive_scheduler) == ("fifo", "fifo") else "ordinary"


def counted_from_s(job: Job) -> float:
    """Return from which time stamp on samples count in a run that begins now, in s."""
    return time.monotonic() + DROPPED / job.sfreq


@contextmanager
def busy_thread(wanted: bool) -> Iterator[None]:
    """Keep the interpreter busy, if wanted, for the length of a ``with`` block."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            {i: str(i) for i in range(20_000)}

    thread = threading.Thread(target=work)
    if wanted:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if wanted:
            thread.join()


# ours


def run_closedloop(job: Job, begin: Begin) -> Measured:
    """Run the production loop under its supervisor, and take its times from its own records."""
    source = Lsl(type="lsl", stream=StreamQuery(source_id=job.source_id), wait_s=30.0)
    byte = np.ones(1, np.uint8)
    with open_line(None) as line, Stream(find_stream(source, lambda _: True), source) as stream:
        core = lay_out(job.n_channels, job.sfreq, often=job.often, writes_to=None if job.often else line.fd, byte=byte)
        begin()
        with undisturbed(), busy_thread(job.busy):
            return supervise(job, core, stream, source, line)


def supervise(job: Job, core: Core, stream: Stream, source: Lsl, line: TriggerLine) -> Measured:
    """Run the loop for as long as the job says."""
    correction_s = stream.correction_s()
    core.timing["correction_s"] = correction_s
    supervisor = Supervisor(
        core,
        PLAIN if job.often else WRITING,
        stream,
        source,
        line,
        correction_s=correction_s,
        first_row=0,
    )
    inputs, events, sights = [], [], []
    from_s = counted_from_s(job)
    until_s = from_s + job.seconds
    with supervisor:
        assert supervisor.granted is not None
        (loop,) = (t.native_id for t in threading.enumerate() if t.name == "closedloop loop")
        assert loop is not None
        scheduler = scheduled(loop, set(stream.threads), supervisor.granted, job.scheduler)
        supervisor.post(Command.ARM)
        heard_s, n = 0.0, 0
        while heard_s < until_s and time.monotonic() < until_s + GRACE_S:
            time.sleep(COLLECT_EVERY_S)
            drained, seen = supervisor.collect()
            supervisor.look_after(seen[-1] if seen.size else None, say=print)
            inputs.append(drained.inputs)
            events.append(drained.events)
            sights.append(seen)
            n += seen.size
            heard_s = float(seen["time_s"][-1]) if seen.size else heard_s
    if not job.often and core.signals.states[0][WRITES] < n:
        raise RuntimeError(f"only {core.signals.states[0][WRITES]:.0f} of {n} samples were followed by a write")
    told, decided, shown = np.concatenate(inputs), np.concatenate(events), np.concatenate(sights)
    return Measured(
        _latency(told, shown, from_s, until_s), _lateness(told, decided, from_s), scheduler, supervisor.granted.cores
    )


def _latency(inputs: NDArray[np.void], sights: NDArray[np.void], from_s: float, until_s: float) -> NDArray[np.float64]:
    """Return from each sample's own stamp to when it was decided; a sight has the stamp on the fitted clock only."""
    samples = inputs[inputs["kind"] == InputKind.SAMPLE]
    sights = sights[sights["told_s"] <= samples["now"][-1]]  # the rings were not emptied at one moment
    places = np.searchsorted(samples["now"], sights["told_s"])
    if not np.array_equal(samples["now"][places], sights["told_s"]):
        raise RuntimeError("sights and samples do not belong together")
    stamps = samples["timestamp"][places]
    latency: NDArray[np.float64] = sights["done_s"] - stamps
    return latency[(stamps >= from_s) & (stamps < until_s)]


def _lateness(inputs: NDArray[np.void], events: NDArray[np.void], from_s: float) -> NDArray[np.float64]:
    """Return from each trigger's due time to the call of ``write``, without those while the loop started."""
    written = inputs[inputs["kind"] == InputKind.WRITTEN]
    delivered = events[events["kind"] == EventKind.DELIVERED]
    n = min(written.size, delivered.size)
    late: NDArray[np.float64] = written["now"][:n] - delivered["trigger_s"][:n]
    return late[delivered["trigger_s"][:n] > from_s]


# theirs


class Taker:
    """What loops in Python do with each sample: the compiled core, the write, the clock."""

    def __init__(self, job: Job, fd: int) -> None:
        self._byte = np.ones(1, np.uint8)
        self._core = lay_out(job.n_channels, job.sfreq, often=False, writes_to=None, byte=self._byte)
        self.core = hold(self._core, PLAIN)
        self.fd = fd
        self.values = np.zeros(job.n_channels)
        self.from_s = counted_from_s(job)
        self.until_s = self.from_s + job.seconds
        self.latency_s: list[float] = []
        self.done = False

    def count(self, stamp: float, now_s: float) -> None:
        """Count a sample, and see whether it was the last."""
        if self.from_s <= stamp < self.until_s:
            self.latency_s.append(now_s - stamp)
        self.done = stamp >= self.until_s or now_s > self.until_s + GRACE_S

    def measured(self, scheduler: str, granted: Granted) -> Measured:
        """Return what was counted."""
        return Measured(np.array(self.latency_s), np.zeros(0), scheduler, granted.cores)


def run_pylsl(job: Job, begin: Begin) -> Measured:
    """Pull samples one by one in a Python thread."""
    before = threads()
    (info,) = pylsl.resolve_byprop("source_id", job.source_id, timeout=30.0)
    inlet = pylsl.StreamInlet(info, max_buflen=5, max_chunklen=1)
    inlet.open_stream(timeout=10.0)
    receive = threads() - before
    with open_line(None) as line:
        begin()
        taker = Taker(job, line.fd)
        thread = threading.Thread(target=_pull, args=(inlet, taker))
        with undisturbed(), busy_thread(job.busy):
            thread.start()
            assert thread.native_id is not None
            granted = grant(thread.native_id, sorted(receive), cpu=None)
            scheduler = scheduled(thread.native_id, receive, granted, job.scheduler)
            thread.join()
    inlet.close_stream()
    return taker.measured(scheduler, granted)


def _pull(inlet: pylsl.StreamInlet, taker: Taker) -> None:
    core, values, fd, clock = taker.core, taker.values, taker.fd, time.monotonic
    while not taker.done:
        sample, stamp = inlet.pull_sample(timeout=1.0)
        if sample is None:
            continue
        values[:] = sample
        decide(core, values, stamp, clock())
        os.write(fd, b"\x01")
        taker.count(stamp, clock())


def run_mne_lsl(job: Job, begin: Begin) -> Measured:
    """Let mne-lsl's thread look for samples as often as it can, and take them in its callback."""
    # Only this loop needs it. Two versions of liblsl in one process would call into each other.
    os.environ["MNE_LSL_LIB"] = pylsl_library.lib._name
    import mne_lsl
    from mne_lsl.stream import StreamLSL

    mne_lsl.set_log_level("ERROR")
    before = threads()
    stream = StreamLSL(MNE_BUFFER_S, source_id=job.source_id).connect(MNE_DELAY_S, timeout=10.0)
    with open_line(None) as line:
        begin()
        taker = Taker(job, line.fd)

        def take(data: NDArray[np.float32], stamps: NDArray[np.float64], info: object) -> tuple[NDArray, NDArray]:
            del info
            core, values, clock = taker.core, taker.values, time.monotonic
            for row, stamp in zip(data, stamps.tolist(), strict=True):
                if taker.done:
                    break
                values[:] = row
                decide(core, values, stamp, clock())
                os.write(taker.fd, b"\x01")
                taker.count(stamp, clock())
            return data, stamps

        (loop,) = (t.native_id for t in threading.enumerate() if t.native_id not in before)
        assert loop is not None
        receive = threads() - before - {loop}
        with undisturbed(), busy_thread(job.busy):
            stream.add_callback(take)
            granted = grant(loop, sorted(receive), cpu=None)
            scheduler = scheduled(loop, receive, granted, job.scheduler)
            while not taker.done and time.monotonic() < taker.until_s + GRACE_S:
                time.sleep(COLLECT_EVERY_S)
            stream.disconnect()
    return taker.measured(scheduler, granted)


LOOPS: dict[str, Callable[[Job, Begin], Measured]] = {
    "closedloop": run_closedloop,
    "pylsl": run_pylsl,
    "pylsl-own-process": run_pylsl,
    "mne-lsl": run_mne_lsl,
}


def work(loop: str, parent: Connection) -> None:
    """Measure what comes until the parent is gone: the worker process of one loop."""

    def begin() -> None:
        parent.send("open")
        parent.recv()

    while True:
        try:
            job: Job = parent.recv()
        except EOFError:
            return
        try:
            parent.send(LOOPS[loop](job, begin))
        except Exception as error:  # noqa: BLE001 - the parent raises it
            parent.send(RuntimeError(f"{loop}: {error!r}"))
