"""From a sample's stamp to the trigger's write, and a trigger's lateness: ours beside loops in Python.

    python bench/latency.py --json FILE [--seconds S] [--quick]

64 channels at 1 kHz over LSL's loopback, from a sender of its own (``sender.py``). Every cell runs five times, the
cells taking turns within a run; the figures are medians of the runs' percentiles, over more than 60,000 samples. The
first 500 samples of each run do not count; all is compiled, and memory is locked as a session locks it.

``closedloop`` is the production loop under its supervisor, gate and record included. So that each sample has a
write, the step of its estimator ends with one to the trigger line's file, here /dev/null; latency is from the
sample's own stamp to the loop's ``done_s``, after conditioning, step and write, plan and gate. The others pull each
sample in Python, call the same compiled core, write, and read the same clock: ``pylsl`` in a thread of the process
that is loaded, ``pylsl-own-process`` in an otherwise idle one, ``mne-lsl`` in the callback of its ``StreamLSL``.

Loads: ``busy-thread`` is a Python thread that keeps the interpreter of the loop's process busy (of another process
beside ``pylsl-own-process``); ``busy-cores`` is a busy process bound to each core. With ``fifo`` the loop, liblsl's
threads that receive and all of the sender have real-time scheduling, whichever loop it is.

Lateness is that of the call of ``write`` after the trigger's due time, in runs of their own: a pulse is due every
4.3 ms, passes the real gate, and no limit takes out those that are late. (Every 4 ms would keep step with the timer
interrupts of a kernel with 250 Hz and of a host with 1 kHz: a whole run would meet them, or none.) Its percentiles are
of all runs together. The sender, which a rig has in another box, is then scheduled as usual: it would drive the loop
off its core.

Beside it stands the floor: a compiled loop that only waits for moments in the same way (``floor.py``), with FIFO, in
the same run. Nothing on this machine can be more punctual. It is measured with cores that are kept awake, as a session
keeps them (``idle_cores`` says how), and with cores that may fall asleep.

What else ran on this machine is told beside the figures (``others_percent`` of all cores' time): they are worth
something where that is little.
"""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import loopback  # noqa: F401 - before NumPy and pylsl
import numpy as np
from cohort import show, write
from floor import floor_lateness
from numpy.typing import NDArray
from receivers import GRACE_S, LOOPS, Job, Measured, work
from sender import Sender

from closedloop.session.facts import machine

N_CHANNELS, SFREQ = 64, 1000.0
SECONDS, RUNS = 12.1, 5
"""Of one cell in one run: five of them are more than 60,000 samples."""
QUICK_SECONDS = 0.3
PERCENTILES = (50.0, 99.0, 99.9)
START_S = 300.0
"""A first start compiles the core."""
BUSY = "import os\np = os.getppid()\nwhile os.getppid() == p:\n    {i: str(i) for i in range(20_000)}"
BUSY_START_S = 0.3
FLOOR, SLEEPY_FLOOR = "floor, fifo", "floor, fifo, cores asleep"
COMPARED = (("idle", "ordinary"), ("busy-thread", "ordinary"), ("busy-cores", "fifo"))
OURS = (*COMPARED, ("busy-cores", "ordinary"), ("idle", "fifo"), ("busy-thread", "fifo"))


class Cell(NamedTuple):
    """What one row is about."""

    loop: str
    load: str
    scheduler: str


class Worker:
    """The process in which one of the loops runs; use it in a ``with`` block."""

    def __init__(self, loop: str) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe: Connection
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=work, args=(loop, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(10.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def measure(self, job: Job, sender: Sender, load: str) -> Measured:
        """Run a job beside a load."""
        self._pipe.send(job)
        self._receive(START_S)  # the stream is open
        sender.schedule("ordinary" if job.often else job.scheduler)
        with busy_processes(load):
            self._pipe.send("begin")
            result = self._receive(job.seconds + 6.0 * GRACE_S)
        if not isinstance(result, Measured):
            raise RuntimeError(f"{job}: {result!r} instead of what was measured")
        return result

    def _receive(self, timeout_s: float) -> Any:
        if not self._pipe.poll(timeout_s):
            raise RuntimeError(f"a loop did not answer within {timeout_s:g} s")
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def busy_processes(load: str) -> Iterator[None]:
    """Run a busy process on each core, or one wherever the system likes, for the length of a ``with`` block."""
    cores: list[set[int]] = []
    if load == "busy-cores":
        cores = [{core} for core in sorted(os.sched_getaffinity(0))]
    elif load == "busy-process":
        cores = [os.sched_getaffinity(0)]
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in cores]
    try:
        for process, affinity in zip(processes, cores, strict=True):
            os.sched_setaffinity(process.pid, affinity)
        if processes:
            time.sleep(BUSY_START_S)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def cells(loops: Sequence[str]) -> list[Cell]:
    """Return all that is measured: every loop under what is promised, ours under all else as well."""
    return [Cell(loop, *under) for loop in loops for under in (OURS if loop == "closedloop" else COMPARED)]


def run_cell(cell: Cell, worker: Worker, sender: Sender, seconds: float, *, often: bool) -> Measured:
    """Measure a cell once."""
    beside = cell.loop != "pylsl-own-process"
    job = Job(
        source_id=sender.source_id,
        n_channels=sender.n_channels,
        sfreq=sender.sfreq,
        scheduler=cell.scheduler,
        seconds=seconds,
        busy=cell.load == "busy-thread" and beside,
        often=often,
    )
    return worker.measure(job, sender, "busy-process" if cell.load == "busy-thread" and not beside else cell.load)


def row(cell: Cell, sender: Sender, runs: Sequence[Measured], often: Sequence[Measured]) -> dict[str, Any]:
    """Return a cell's row; its scheduler is what was granted."""
    granted = {measured.scheduler for measured in (*runs, *often)}
    found = [np.percentile(measured.latency_s, PERCENTILES) * 1e3 for measured in runs]
    p50, p99, p999 = (float(statistics.median(values)) for values in zip(*found, strict=True))
    late = np.concatenate([np.zeros(0), *(measured.lateness_s for measured in often)])
    return {
        "loop": cell.loop,
        "load": cell.load,
        "scheduler": cell.scheduler if granted == {cell.scheduler} else "ordinary",
        "n_channels": sender.n_channels,
        "sfreq": sender.sfreq,
        "n": sum(measured.latency_s.size for measured in runs),
        "p50_ms": p50,
        "p99_ms": p99,
        "p999_ms": p999,
        "lateness_p99_us": float(np.percentile(late, 99.0) * 1e6) if late.size else None,
        "lateness_p999_us": float(np.percentile(late, 99.9) * 1e6) if late.size else None,
    }


class CoreTime:
    """Watches who used the cores: this benchmark, others on this machine, or other virtual machines."""

    def __init__(self) -> None:
        self._before, self._began_s = self._used_s(), time.monotonic()

    @staticmethod
    def _used_s() -> NDArray[np.float64]:
        """Return what all used, what was stolen, and what we and our children that have ended used, in s."""
        own_s = sum(os.times()[:4])
        stat = Path("/proc/stat")
        if not stat.exists():
            return np.array([np.nan, np.nan, own_s])
        ticks = [int(count) for count in stat.read_text().splitlines()[0].split()[1:]]
        return np.array([*(np.array([sum(ticks[:3]), ticks[7]]) / os.sysconf("SC_CLK_TCK")), own_s])

    def facts(self) -> dict[str, float]:
        """Return the shares of all cores' time since; ask when the worker processes have ended."""
        elapsed_s = time.monotonic() - self._began_s
        used, stolen, own = (self._used_s() - self._before) / (elapsed_s * (os.cpu_count() or 1)) * 100.0
        return {"elapsed_s": elapsed_s, "stolen_percent": stolen, "others_percent": max(0.0, used - own)}


def lateness(runs: Sequence[Measured], floor: dict[str, list[NDArray[np.float64]]]) -> dict[str, Any]:
    """Return n, and percentiles in us, of all runs' lateness together: by scheduler granted, and the floor's."""
    parts = {scheduler: [m.lateness_s for m in runs if m.scheduler == scheduler] for scheduler in ("ordinary", "fifo")}
    found = {}
    for name, several in {**parts, **floor}.items():
        late = np.concatenate([np.zeros(0), *several])
        if late.size:
            shares = {f"p{p:g}_us": float(np.percentile(late, p) * 1e6) for p in (*PERCENTILES, 100.0)}
            found[name] = {"n": late.size, **shares}
    return found


def targets(rows: Sequence[dict[str, Any]], late: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare the figures with what is promised."""
    found = {(r["loop"], r["load"], r["scheduler"]): r for r in rows}
    judged = [
        (f"closedloop, {load}, {scheduler}: p99 in ms", found.get(("closedloop", load, scheduler)), limit)
        for load, scheduler, limit in (
            ("idle", "ordinary", 0.4),
            ("busy-thread", "ordinary", 0.4),
            ("busy-cores", "fifo", 0.6),
        )
    ]
    listed = [(what, r["p99_ms"], f"<= {limit}", r["p99_ms"] <= limit) for what, r, limit in judged if r is not None]
    ours = found.get(("closedloop", "busy-thread", "ordinary"))
    theirs = found.get(("pylsl", "busy-thread", "ordinary"))
    if ours is not None and theirs is not None:
        ratio = theirs["p99_ms"] / ours["p99_ms"]
        listed.append(("pylsl over closedloop beside the busy thread: p99", ratio, ">= 100", ratio >= 100.0))
    if "fifo" in late:
        value = late["fifo"]["p99_us"]
        listed.append(("lateness under FIFO: p99 in us", value, "<= 10", value <= 10.0))
        floor = late[FLOOR]["p99_us"]
        listed.append(("the same of a loop that only waits, the floor of this machine", floor, "<= 10", floor <= 10.0))
    return [dict(zip(("target", "found", "wanted", "met"), entry, strict=True)) for entry in listed]


Runs = dict[Cell, list[Measured]]


def measure(
    wanted: Sequence[Cell], seconds: float, n_runs: int
) -> tuple[Runs, Runs, dict[str, list[NDArray[np.float64]]], Sender]:
    """Run all cells in turn, ``n_runs`` times; return what samples took, how late triggers were, floor and sender."""
    floor: dict[str, list[NDArray[np.float64]]] = {FLOOR: [], SLEEPY_FLOOR: []}
    runs: Runs = {cell: [] for cell in wanted}
    often: Runs = {cell: [] for cell in wanted}
    with ExitStack() as stack:
        sender = stack.enter_context(Sender(f"bench-latency-{os.getpid()}", N_CHANNELS, SFREQ))
        workers = {loop: stack.enter_context(Worker(loop)) for loop in dict.fromkeys(cell.loop for cell in wanted)}
        for number in range(n_runs):
            for cell in wanted:
                print(f"run {number + 1} of {n_runs}: {', '.join(cell)}", file=sys.stderr, flush=True)
                runs[cell].append(run_cell(cell, workers[cell.loop], sender, seconds, often=False))
                if cell.loop == "closedloop":
                    often[cell].append(run_cell(cell, workers[cell.loop], sender, seconds / 2.0, often=True))
                    if cell.scheduler == "fifo":
                        with busy_processes(cell.load):
                            floor[FLOOR].append(floor_lateness(seconds / 2.0, awake=True))
                            floor[SLEEPY_FLOOR].append(floor_lateness(seconds / 4.0, awake=False))
    return runs, often, floor, sender


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    """Return a row as a table shows it: microseconds matter."""
    return {name: f"{value:.3f}" if name.endswith("_ms") else value for name, value in found.items()}


def main() -> None:
    """Run all of it and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of each cell in each run ({SECONDS:g})")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"how often each cell runs ({RUNS})")
    parser.add_argument("--loops", default=",".join(LOOPS), help="which loops, with commas between")
    parser.add_argument("--quick", action="store_true", help="see that it works: one short run of idle cells")
    options = parser.parse_args()
    loops = [loop for loop in options.loops.split(",") if loop != "mne-lsl" or find_spec("mne_lsl")]
    if "mne-lsl" in options.loops and "mne-lsl" not in loops:
        print("mne-lsl is not installed: pip install closedloop[bench]", file=sys.stderr)
    wanted = cells(loops)
    seconds, n_runs = options.seconds, options.runs
    if options.quick:
        wanted, seconds, n_runs = [Cell(loop, "idle", "ordinary") for loop in loops], QUICK_SECONDS, 1
    cores = CoreTime()
    runs, often, floor, sender = measure(wanted, seconds, n_runs)
    measured = [one for several in (*runs.values(), *often.values()) for one in several]
    facts = {**machine(), **cores.facts(), "idle_cores": ", ".join(sorted({one.cores for one in measured}))}
    rows = [row(cell, sender, runs[cell], often[cell]) for cell in wanted]
    late = lateness([measured for several in often.values() for measured in several], floor)
    print(", ".join(f"{name}: {value}" for name, value in facts.items()))
    show(f"Sample to write, median of {n_runs} runs of {seconds:g} s", [_shown(found) for found in rows])
    show("Lateness of write, all loads", [{"scheduler": name, **values} for name, values in late.items()])
    reached = targets(rows, late)
    if not options.quick:
        show("Targets", reached)
    write(options.json, facts=facts, rows=rows, lateness=late, targets=reached)


if __name__ == "__main__":
    main()
