"""A program that keeps cores awake: on each a process that spins when nobody else wants to run.

    python spinner.py CORE ...

A core with nothing to do is given back to the host of a virtual machine, which may take milliseconds to return it.
Here it always has something to do, of the least importance that there is: the scheduler lets anybody else in at once.
All end when standard input does, which is when whoever started this is gone. It imports nothing of the package, which
would take it a second.
"""

import os
import select
import sys
import time
from contextlib import suppress
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")
LEAST = "19"
"""The nice value that counts least."""
ASK_S, TRIES = 0.1, 50
"""The kernel takes an autogroup's nice value ten times a second, of all processes together."""
BURST = 20_000
"""Empty turns between two looks at standard input: less than a millisecond."""


def count_least() -> None:
    """Let everybody else go before this process.

    A desktop's kernel shares cores between groups of processes first, and a group that only spins would get its full
    share; hence a group of its own (``setsid``), that counts least.
    """
    with suppress(PermissionError):  # it leads its group already
        os.setsid()
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    for _ in range(TRIES):
        try:
            AUTOGROUP.write_text(LEAST)
            return
        except FileNotFoundError:
            return  # this kernel knows no groups of sessions
        except BlockingIOError:
            time.sleep(ASK_S)
    raise SystemExit(f"{AUTOGROUP} did not take {LEAST}")


def spin(core: int) -> None:
    """Spin on a core until standard input ends."""
    os.sched_setaffinity(0, {core})
    while not select.select([0], [], [], 0.0)[0]:
        for _ in range(BURST):
            pass


def main() -> None:
    """Spin on all cores that are named, a process on each."""
    count_least()
    os.write(1, b"spinning\n")
    mine, *others = (int(text) for text in sys.argv[1:])
    for core in others:
        if os.fork() == 0:
            mine = core
            break
    spin(mine)
    with suppress(ChildProcessError):
        while True:
            os.wait()


if __name__ == "__main__":
    main()
