"""A program that keeps cores awake: on each a process that spins when nobody else wants to run.

    python spinner.py CORE ...

A core with nothing to do is given back to the host of a virtual machine, which may take milliseconds to return it.
Here it always has something to do, of the least importance that there is: the scheduler lets anybody else in at once.
Each process says so with a line when it begins, and all end when standard input does, which is when whoever started
this is gone. Of several on one core only one spins; when it ends another takes over. It must lead a session of its
own, and imports nothing of the package, which would take it a second.
"""

import fcntl
import os
import select
import sys
import tempfile
import time
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")
LEAST = "19"
"""The nice value that counts least."""
ASK_S, TRIES = 0.1, 20
"""The kernel takes an autogroup's nice value ten times a second, of all processes together."""
LOOK_S = 0.1
"""So often who waits looks whether it is its turn."""
BURST = 20_000
"""Empty turns between two looks at standard input: less than a millisecond."""


def count_least() -> None:
    """Let everybody else go before this process.

    The kernel may share cores between sessions first, and one that only spins would get its full share; hence one of
    its own, whose group counts least.
    """
    if os.getsid(0) != os.getpid():
        raise SystemExit("it does not lead a session of its own, and would slow down all that is in this one")
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    for _ in range(TRIES):
        try:
            AUTOGROUP.write_text(LEAST)
            return
        except FileNotFoundError:
            return  # this kernel does not group by session
        except BlockingIOError:
            time.sleep(ASK_S)
    raise SystemExit(f"{AUTOGROUP} did not take {LEAST}")


def spin(core: int) -> None:
    """Spin on a core, for as long as no other process of this user's does, until standard input ends."""
    os.sched_setaffinity(0, {core})
    path = Path(tempfile.gettempdir()) / f"closedloop-{os.getuid()}-core-{core}"
    turn = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.write(1, b"spinning\n")
    mine = False
    while not select.select([0], [], [], 0.0 if mine else LOOK_S)[0]:
        for _ in range(BURST if mine else 0):
            pass
        mine = mine or _takes(turn)


def _takes(turn: int) -> bool:
    """Return whether the turn is this process's now; it is given back when the process ends."""
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main() -> None:
    """Spin on all cores that are named, a process on each."""
    count_least()
    mine, *others = (int(text) for text in sys.argv[1:])
    children = []
    for core in others:
        child = os.fork()
        if child == 0:
            spin(core)
            os._exit(0)
        children.append(child)
    spin(mine)
    for child in children:
        os.waitpid(child, 0)
    os._exit(0)  # to take an interpreter down takes many turns of who counts least


if __name__ == "__main__":
    main()
