"""What a program that drives a trigger line adds: from the loop's write to the program's own time of firing.

    python bench/line_process.py --json FILE [--n 1000]

Each trigger is one byte in the program's pipe, written 20 to 30 ms after the last one; the program answers with when
it had the byte and when its call that fires had returned, on the same clock. The lines are an LSL marker, sent over
loopback, and a stand-in for a LabJack U3 in the vendor's place: it takes real packets apart and answers with real
ones, and is called without USB between, so that what is left is the way through the pipe and through Python.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import loopback  # noqa: F401 - before NumPy and pylsl
import numpy as np
import pylsl
from cohort import machine, show, write
from latency import CoreTime, busy_processes

from closedloop.config.line import LabJackU3Line, LslMarkerLine, ProcessLine
from closedloop.stimulators.line import open_line
from closedloop.stimulators.lines.pipe_pair import Reply, ReplyKind

LINES: dict[str, ProcessLine] = {
    "lsl_marker": LslMarkerLine(kind="lsl_marker", stream="bench-line-process"),
    "labjack_u3 (stand-in)": LabJackU3Line(kind="labjack_u3"),
}
LOADS = ("idle", "busy-cores")
SHORTEST_S, LONGEST_S = 0.02, 0.03
ANSWER_S = 2.0


@contextmanager
def standins_for_vendors() -> Iterator[None]:
    """Let programs that are started find stand-ins where they look for vendors' modules."""
    before = os.environ.get("PYTHONPATH")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "u3.py").write_text("from closedloop.standins.labjack_u3 import U3\n")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, before)))
        try:
            yield
        finally:
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before


def measure(name: str, n: int, load: str) -> dict[str, Any]:
    """Fire a number of triggers and return how long each took, as a row."""
    pauses = random.Random(1)  # noqa: S311 - no secret
    written_s: list[float] = []
    replies: list[Reply] = []
    with open_line(LINES[name]) as line, busy_processes(load):
        for _ in range(n):
            time.sleep(pauses.uniform(SHORTEST_S, LONGEST_S))
            written_s.append(pylsl.local_clock())
            os.write(line.fd, line.on)
            replies += line.take_replies()
        until_s = time.monotonic() + ANSWER_S
        while len(replies) < n and time.monotonic() < until_s:
            time.sleep(0.01)
            replies += line.take_replies()
    fired = [reply for reply in replies if reply.kind == ReplyKind.FIRED]
    taken_us = [1e6 * (reply.taken_s - written_s[reply.number]) for reply in fired]
    fired_us = [1e6 * (reply.fired_s - written_s[reply.number]) for reply in fired]
    return {
        "line": name,
        "load": load,
        "scheduler": "" if line.replies is None else line.replies.granted,
        "n": n,
        "fired": len(fired),
        "late": sum(reply.kind == ReplyKind.LATE for reply in replies),
        **{f"taken_p{q:g}_us".replace(".", ""): percentile(taken_us, q) for q in (50.0, 99.0)},
        **{f"fired_p{q:g}_us".replace(".", ""): percentile(fired_us, q) for q in (50.0, 99.0, 99.9)},
    }


def percentile(values: list[float], q: float) -> float | None:
    """Return a percentile, or nothing of nothing."""
    return float(np.percentile(values, q)) if values else None


def main() -> None:
    """Measure each line under each load, and print and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows there")
    parser.add_argument("--n", type=int, default=1000, help="triggers for each row")
    options = parser.parse_args()
    cores = CoreTime()
    with standins_for_vendors():
        rows = [measure(name, options.n, load) for load in LOADS for name in LINES]
    show("From the loop's write to the program's own time of firing", rows)
    facts = cores.facts()
    print(f"{machine()}; stolen {facts['stolen_percent']:.1f} %, others {facts['others_percent']:.1f} %")
    write(options.json, rows=rows, cores=facts)


if __name__ == "__main__":
    main()
