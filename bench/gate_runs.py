"""Random runs of the safety gate, each judged by rules that are written without it.

    python bench/gate_runs.py --runs 10000 --json gate_runs.json

Every run draws a core (limits, table of trains or envelope, dose record, protocol) and a stretch of EEG with everything
in it that can go wrong: arming, disarming, stops and pauses, gaps, numbers that are none, clocks that jump or run
backwards, corrections, late loops and such as are held up after the gate's word, estimators that fail, stimulators that
are hot, silent or not ready, triggers that are not written or acknowledged late or never, a record that nobody reads.
The compiled core runs it, and an oracle in plain Python judges each pulse by what the core was told. Each run is then
replayed from its inputs, to the same decisions. It fails where one rule was broken once, and prints the seed of the
run.

``--break`` shows that it can fail: the core is not told of a limit, or of what would disarm it, and the oracle is.
"""

import argparse
import json
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import numpy as np
from cohort import machine, show
from gate_breaks import BREAKS, Break
from gate_driver import ESTIMATORS, Log, Setting, drive, lay_out
from gate_oracle import Oracle
from gate_scenario import draw_run
from numpy.typing import NDArray

from closedloop.core.reasons import Reason
from closedloop.core.records import LOST, EventKind, InputKind
from closedloop.core.replay import fingerprint, replay

ENOUGH = 100
"""Each reason is to be reached so often, in ten thousand runs."""
ENOUGH_PULSES = 10_000
RUNS = 10_000
BATCH = 100
PLACES = 4096
"""Of a ring that no run fills: a replay reads its decisions less often."""


@dataclass
class Counted:
    """What runs came to.

    Attributes
    ----------
    runs, replayed
        How many there were, and how many of them replayed to the same decisions; a run whose record was full has
        lost a decision, and is none that replays.
    reasons
        How often each reason was reached.
    delivered, withheld
        Pulses, and catch trials.
    unacknowledged
        Pulses whose trigger was never acknowledged, or not written; each counts.
    violations
        Seed and words of each.
    """

    runs: int = 0
    replayed: int = 0
    reasons: Counter[int] = field(default_factory=Counter)
    delivered: int = 0
    withheld: int = 0
    unacknowledged: int = 0
    violations: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: "Counted") -> None:
        """Take another count in."""
        self.runs += other.runs
        self.replayed += other.replayed
        self.reasons += other.reasons
        self.delivered += other.delivered
        self.withheld += other.withheld
        self.unacknowledged += other.unacknowledged
        self.violations += other.violations


def run_once(rng: Random, counted: Counted, name: str, broken: Break | None = None) -> None:
    """Draw a run, let the core have it, and judge it."""
    setting, rows = draw_run(rng)
    core = lay_out(setting)
    log = drive(core, rows if broken is None else broken.keep_back(core, rows))
    if broken is not None:
        broken.own_up(log, rows)
    wrong = Oracle(setting, log).judge()
    kinds = log.events["kind"]
    delivered = int(np.count_nonzero(kinds == EventKind.DELIVERED))
    if int(core.gate["pulses"][0]) != int(log.fired.sum()):
        wrong.append("the gate has counted other pulses than were fired")
    if core.events.indices[LOST] == 0 and broken is None:
        if fingerprint(again(setting, log)) == fingerprint(log.events):
            counted.replayed += 1
        else:
            wrong.append("the inputs do not replay to the same decisions")
    counted.runs += 1
    counted.reasons.update(log.events["reason"][kinds == EventKind.REFUSED].tolist())
    counted.delivered += delivered
    counted.withheld += int(np.count_nonzero(kinds == EventKind.WITHHELD))
    written = log.told["kind"] == InputKind.WRITTEN
    counted.unacknowledged += delivered - int(np.count_nonzero(written & (log.told["code"] == 0)))
    counted.violations += [(name, words) for words in wrong]


def again(setting: Setting, log: Log) -> NDArray[np.void]:
    """Replay a run from what its core was told."""
    return replay(lay_out(replace(setting, places=PLACES)), ESTIMATORS, log.told, log.values)


def run_batch(seed: int, first: int, n: int, broken: str | None) -> Counted:
    """Make so many runs, each with a seed of its own."""
    counted = Counted()
    for number in range(first, first + n):
        name = f"{seed}:{number}"
        rng = Random(name)  # noqa: S311 - nothing is secret here
        run_once(rng, counted, name, None if broken is None else BREAKS[broken])
    return counted


def main() -> None:
    """Make all runs and print what they came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="make this one run alone")
    parser.add_argument("--break", dest="broken", choices=sorted(BREAKS), help="keep this from the core")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    counted = Counted()
    if options.only is not None:
        counted.add(run_batch(options.seed, options.only, 1, options.broken))
    else:
        batches = [(first, min(BATCH, options.runs - first)) for first in range(0, options.runs, BATCH)]
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            for part in pool.map(run_batch, *zip(*((options.seed, *b, options.broken) for b in batches), strict=True)):
                counted.add(part)
    report(counted, options.json)


def report(counted: Counted, path: Path | None) -> None:
    """Print and write what runs came to; exit with 1 where a rule was broken, or too little was reached."""
    # A live loop that fails ends there and then, and no random run has such a loop.
    reached: Sequence[Reason] = [reason for reason in Reason if reason not in {Reason.NONE, Reason.LOOP_FAILED}]
    rows = [{"reason": reason.label, "times": counted.reasons[reason]} for reason in reached]
    show(f"Refusals in {counted.runs} random runs ({machine()})", rows)
    share = counted.runs / RUNS
    rare = [row["reason"] for row in rows if row["times"] < ENOUGH * share]
    print(
        f"{counted.delivered} pulses delivered ({counted.unacknowledged} of them without an acknowledgement), "
        f"{counted.withheld} withheld, {counted.replayed} runs replayed to the same decisions"
    )
    print(f"{len(counted.violations)} violations")
    for name, words in counted.violations[:20]:
        seed, _, number = name.partition(":")
        print(f"  --seed {seed} --only {number}: {words}")
    if path is not None:
        found = {**vars(counted), "reasons": {row["reason"]: row["times"] for row in rows}, "machine": machine()}
        path.write_text(json.dumps(found, indent=1) + "\n")
    if rare:
        print(f"reached too seldom to say anything: {', '.join(rare)}")
    if counted.violations or rare or counted.delivered < ENOUGH_PULSES * share:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
