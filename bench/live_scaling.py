"""What the live loop costs: CPU time per sample by channels and rate, and how large a stream one core carries.

    python bench/live_scaling.py --json FILE [--seconds S]

The production loop under its supervisor receives streams of 8 to 256 channels at 250 to 5000 Hz over LSL's loopback.
Every channel is conditioned and watched, for the signal is an average reference over all of them; estimator, gate and
record are those of a session. CPU time is the kernel's account of the loop's thread and of liblsl's threads that
receive (``/proc/self/task/*/schedstat``), so that other programs do not count. A stream is kept up with where every
sample comes and 99 % are taken before they are 100 ms old, at which age the usual limit refuses a pulse.

Growth is checked by a fit of all that is kept up with: CPU time a second = rate x (a + b x channels).
"""

import argparse
import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import loopback  # noqa: F401 - before NumPy and pylsl
import numpy as np
from cohort import show, write
from latency import CoreTime
from live_core import PLAIN, lay_out
from receivers import COLLECT_EVERY_S
from sender import Sender

from closedloop.config.source import Lsl, StreamQuery
from closedloop.core.records import Command, InputKind
from closedloop.core.replay import lost_records
from closedloop.session.facts import machine
from closedloop.session.realtime import undisturbed
from closedloop.session.supervisor import Supervisor
from closedloop.sources.lsl import Stream, find_stream
from closedloop.stimulators.line import open_line

CHANNELS = (8, 16, 32, 64, 128, 256)
RATES_HZ = (250.0, 500.0, 1000.0, 2000.0, 5000.0)
SECONDS = 3.0
SETTLE_S = 1.0
"""What had waited for the loop is worked off, and all is warm."""
OLDEST_S = 0.1
ARRIVED = 0.99
"""Share of the nominal samples that has to come: the rest is the window's edges."""
HALF = 50.0
"""Percent of one core."""


def cpu_s(identifiers: Sequence[int]) -> float:
    """Return the CPU time of threads of this process so far, in s; one that has ended counts for nothing."""
    total_ns = 0
    for identifier in identifiers:
        try:
            total_ns += int(Path(f"/proc/self/task/{identifier}/schedstat").read_text().split()[0])
        except FileNotFoundError:
            continue
    return total_ns / 1e9


def measure(n_channels: int, sfreq: float, seconds: float) -> dict[str, Any]:
    """Run the loop on one stream and return what it cost."""
    source_id = f"bench-scaling-{os.getpid()}-{n_channels}-{sfreq:g}"
    source = Lsl(type="lsl", stream=StreamQuery(source_id=source_id), wait_s=30.0)
    with ExitStack() as stack:
        sender = stack.enter_context(Sender(source_id, n_channels, sfreq))
        line = stack.enter_context(open_line(None))
        stream = stack.enter_context(Stream(find_stream(source, lambda _: True), source))
        core = lay_out(n_channels, sfreq, often=False, writes_to=None, byte=np.ones(1, np.uint8))
        correction_s = stream.correction_s()
        core.timing["correction_s"] = correction_s
        stack.enter_context(undisturbed())
        supervisor = Supervisor(core, PLAIN, stream, source, line, correction_s=correction_s, first_row=0)
        stack.enter_context(supervisor)
        assert supervisor.granted is not None
        sender.schedule(supervisor.granted.loop_scheduler)
        supervisor.post(Command.ARM)
        (loop,) = (t.native_id for t in threading.enumerate() if t.name == "closedloop loop")
        assert loop is not None
        collect(supervisor, SETTLE_S)
        before = (cpu_s([loop]), cpu_s(stream.threads), time.monotonic())
        ages_s = collect(supervisor, seconds)
        after = (cpu_s([loop]), cpu_s(stream.threads), time.monotonic())
    loop_s, receive_s, elapsed_s = np.subtract(after, before)
    n = ages_s.size
    age_s = float(np.percentile(ages_s, 99.0)) if n else np.inf
    return {
        "n_channels": n_channels,
        "sfreq": sfreq,
        "n": n,
        "loop_us": 1e6 * loop_s / max(n, 1),
        "receive_us": 1e6 * receive_s / max(n, 1),
        "core_percent": 100.0 * (loop_s + receive_s) / elapsed_s,
        "age_p99_ms": 1e3 * age_s,
        "keeps_up": bool(n >= ARRIVED * sfreq * elapsed_s and age_s <= OLDEST_S and lost_records(core) == 0),
        "scheduler": supervisor.granted.loop_scheduler,
    }


def collect(supervisor: Supervisor, seconds: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Empty the rings as a session does; return how old each sample was when it was taken, in s."""
    ages = [np.zeros(0)]
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        time.sleep(COLLECT_EVERY_S)
        drained, sights = supervisor.collect()
        supervisor.look_after(sights[-1] if len(sights) else None, say=print)
        samples = drained.inputs[drained.inputs["kind"] == InputKind.SAMPLE]
        ages.append(samples["now"] - samples["timestamp"])
    return np.concatenate(ages)


def fit(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Fit CPU time a second = rate x (a + b x channels) to what is kept up with; return a and b in us, and R2."""
    kept = [row for row in rows if row["keeps_up"]]
    rate = np.array([row["sfreq"] for row in kept])
    values = rate * np.array([row["n_channels"] for row in kept])
    cost = np.array([row["core_percent"] for row in kept]) / 100.0
    (a, b), *_ = np.linalg.lstsq(np.column_stack([rate, values]), cost, rcond=None)
    missed = cost - a * rate - b * values
    return {
        "us_per_sample": 1e6 * float(a),
        "us_per_sample_and_channel": 1e6 * float(b),
        "r2": 1.0 - float(missed @ missed) / float(((cost - cost.mean()) ** 2).sum()),
    }


def largest(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the row of the most values a second that is kept up with by half of one core."""
    able = [row for row in rows if row["keeps_up"] and row["core_percent"] <= HALF]
    return max(able, key=lambda row: row["n_channels"] * row["sfreq"], default=None)


def main() -> None:
    """Run all of it and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of each stream ({SECONDS:g})")
    options = parser.parse_args()
    cores = CoreTime()
    rows = []
    for n_channels, sfreq in product(CHANNELS, RATES_HZ):
        print(f"{n_channels} channels at {sfreq:g} Hz", file=sys.stderr, flush=True)
        rows.append(measure(n_channels, sfreq, options.seconds))
    facts = {**machine(), **cores.facts()}
    growth, most = fit(rows), largest(rows)
    print(", ".join(f"{name}: {value}" for name, value in facts.items()))
    show(f"The live loop, {options.seconds:g} s each", rows)
    show("CPU time a second = rate x (a + b x channels)", [growth])
    if most is not None:
        print(
            f"Within half of one core: {most['n_channels']} channels at {most['sfreq']:g} Hz "
            f"({most['core_percent']:.0f} % of a core)"
        )
    write(options.json, facts=facts, rows=rows, fit=growth, within_half_a_core=most)


if __name__ == "__main__":
    main()
