"""Show of an armed session that is killed whether every pulse is in the record and the stimulator disarmed.

    python bench/kills.py [--kills 20] [--json FILE]

A session with the real loop, gate, dose record and driver process (``armed.py``) fires a stand-in of a Magstim 200²
and of a MagPro over a pseudo-terminal and a trigger input. At a random moment it is killed with SIGKILL: its own
process, the process that owns the stimulator's port, or both. Then it is told

* how many triggers had left, and how many pulses the record knows when the next session begins: no trigger may be
  missing, and one at most may be there that had not left yet,
* how long after the kill the stand-in was disarmed: at most 1 s where the driver's process lives. Where that is killed
  as well a Magstim disarms by its keep-alive; a MagPro stays enabled, and needs an interlock of its own.

Exits with 1 where one of these does not hold.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import loopback  # noqa: F401 - before NumPy and pylsl
import numpy as np
from cohort import machine, show, write
from sender import Sender

from closedloop.core.records import EventKind
from closedloop.dose.record import FOLDER, DoseRecord
from closedloop.standins.table import STANDINS
from closedloop.standins.terminal import Terminal
from closedloop.standins.trigger_input import TriggerInput

KILLS = 20
DEVICES = {"magstim-200-squared": 2.2, "magventure-x100": 0.3}
"""With the interval of pulses in s: a Magstim 200² rests 2 s after each at 30 %."""
VICTIMS = ("session", "driver", "both")
WITHIN_S = 1.0
KEPT_ALIVE_S = 2.0
"""A Magstim that hears nothing for 1 s disarms; the stand-in is looked at for so long."""
START_S = 180.0
"""A first start compiles."""
ARMED = Path(__file__).with_name("armed.py")


def is_on(standin: Any) -> bool:
    """Return whether a stand-in is armed."""
    return bool(standin.armed if hasattr(standin, "armed") else standin.state.enabled)


@contextmanager
def session(
    device: str, terminal: Terminal, trigger: TriggerInput, subject: str, folder: Path, source_id: str
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a session that fires; yield its process and that of its driver."""
    arguments = [device, terminal.path, str(trigger.path), subject, str(folder), source_id, str(DEVICES[device])]
    with subprocess.Popen([sys.executable, str(ARMED), *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            timer = threading.Timer(START_S, process.kill)
            timer.start()
            line = process.stdout.readline()
            timer.cancel()
            if not line:
                raise RuntimeError(f"the session on {device} ended before it fired")
            yield process, int(line)
        finally:
            process.kill()


def disarmed_after(standin: Any, patience_s: float) -> float | None:
    """Return how long it took until a stand-in was disarmed, in s; None where it is not within so long."""
    began_s = time.monotonic()
    while time.monotonic() < began_s + patience_s:
        if not is_on(standin):
            return time.monotonic() - began_s
        time.sleep(0.001)
    return None


def kill(device: str, victim: str, source_id: str, chance: np.random.Generator, scratch: Path) -> dict[str, Any]:
    """Run a session, kill it, and return what it came to."""
    subject, folder = "bench", scratch / "session"
    with ExitStack() as stack:
        standin = STANDINS[device]()
        terminal = stack.enter_context(Terminal(standin))
        trigger = stack.enter_context(TriggerInput(scratch / "trigger", terminal))
        process, driver = stack.enter_context(session(device, terminal, trigger, subject, folder, source_id))
        time.sleep(chance.uniform(0.0, 2.0 * DEVICES[device]))
        for name, pid in (("driver", driver), ("session", process.pid)):
            if victim in (name, "both"):
                os.kill(pid, signal.SIGKILL)
        took_s = disarmed_after(standin, WITHIN_S if victim == "session" else KEPT_ALIVE_S)
        if victim == "driver":
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.05)  # what is in the pipe is read
        edges, fired = trigger.edges, trigger.fired
    with DoseRecord(subject, str(folder) + "-next") as record:
        assert record.left is not None
        (settled,) = record.settled
        decided = int((record.left.events["kind"] == EventKind.DELIVERED).sum())
    return {"edges": edges, "fired": fired, "recorded": settled.pulses, "decided": decided, "disarmed_s": took_s}


def table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each device and victim."""
    found = []
    for device in DEVICES:
        for victim in VICTIMS:
            those = [row for row in rows if (row["device"], row["victim"]) == (device, victim)]
            took = [row["disarmed_s"] for row in those if row["disarmed_s"] is not None]
            found.append(
                {
                    "device": device,
                    "killed": victim,
                    "times": len(those),
                    "triggers": sum(row["edges"] for row in those),
                    "recorded": sum(row["recorded"] for row in those),
                    "missing": sum(max(0, row["edges"] - row["recorded"]) for row in those),
                    "not sent yet": sum(max(0, row["recorded"] - row["edges"]) for row in those),
                    "disarmed": len(took),
                    "slowest ms": 1e3 * max(took) if took else None,
                    "holds": all(map(holds, those)),
                }
            )
    return found


def holds(row: dict[str, Any]) -> bool:
    """Return whether a kill came to what is promised."""
    whole = 0 <= row["recorded"] - row["edges"] <= 1 and row["decided"] == row["recorded"]
    stays_on = row["victim"] != "session" and row["device"].startswith("magventure")
    return bool(whole and (row["disarmed_s"] is None) == stays_on)


def main() -> None:
    """Kill, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=KILLS, help=f"of each device's session ({KILLS})")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (1)")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    arguments = parser.parse_args()
    chance = np.random.default_rng(arguments.seed)
    source_id = f"bench-kills-{os.getpid()}"
    rows = []
    with tempfile.TemporaryDirectory() as ledgers, Sender(source_id, 2, 250.0):
        os.environ[FOLDER] = ledgers
        for device in DEVICES:
            for victim in VICTIMS:
                # The other two show what a driver's end alone, and both ends, come to; a few times tell.
                for turn in range(arguments.kills if victim == "session" else max(1, arguments.kills // 5)):
                    print(f"{device}: killing {victim}, {turn + 1}", file=sys.stderr)
                    with tempfile.TemporaryDirectory() as scratch:
                        row = kill(device, victim, source_id, chance, Path(scratch))
                    rows.append({"device": device, "victim": victim, **row})
    summary = table(rows)
    show(f"Killed with SIGKILL at random moments, seed {arguments.seed}", summary)
    print(machine())
    write(arguments.json, rows=rows, table=summary)
    sys.exit(0 if all(row["holds"] for row in summary) else 1)


if __name__ == "__main__":
    main()
