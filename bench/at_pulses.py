"""Accuracy at the pulses: six recordings, two montages, each beside surrogates without a rhythm.

    python bench/at_pulses.py --json FILE [--recordings DIR] [--surrogates N] [--against bench/baseline.json]

20 ms of total delay, at least 2 s between pulses, four target phases in turn. Everything is designed,
and the limit that gives 10 pulses a minute fixed, on the first 60 s; the loop runs over the rest from
several starts. Errors are against the evaluation family; the second table has each of its members too: on
noise they disagree, so that the family alone would make the surrogates look worse than any one filter does.
The ratio is to all surrogates' pulses pooled, whose means differ; the ratio to a single surrogate, judged
like a recording around its own mean (their median), is the stricter one. Surrogates run with the rhythm gate
open: it exists to refuse just them. Intervals are over time within these recordings, not over people.
The same minutes run from several starts are not new data: the bootstrap draws blocks of 10 s, over all
starts at once.

``--against`` makes it a gate: where a row fires fewer pulses than an earlier file's, scatters more, or has
another bias, by more than another machine's rounding can explain, it says so and exits with status 1.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cohort import (
    DELAY_S,
    MONTAGES,
    RECORDINGS,
    REST_S,
    in_parallel,
    machine,
    open_cut,
    pipeline_for,
    show,
    surrogate_seeds,
    use_recordings,
    write,
)
from numpy.typing import NDArray

from closedloop.calibration.calibrate import calibrate
from closedloop.core.playback import dry_run
from closedloop.core.records import EventKind
from closedloop.session.evaluation import Phases, joined, phases_at, pooled, target_reference
from closedloop.session.surrogates import run_surrogate
from closedloop.signal.circular import PhaseStatistics, phase_statistics, wrap

OFFSETS_S = (0.0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8)
N_SURROGATES = 40
FAMILY = "family"
MORE_SCATTER_DEG = 1.0
MORE_BIAS_DEG = 2.0
FEWER_PULSES = 0.9
"""What the gate lets pass: one decision that falls differently moves every later one of its run."""


@dataclass(frozen=True)
class Measured:
    """One row of the table, the phases at its pulses, and those at all its surrogates' pulses."""

    row: dict[str, Any]
    phases: Phases
    surrogates: list[Phases]


def measure(name: str, montage: str, n_surrogates: int) -> Measured:
    """Run one recording at one montage from every start, and its surrogates."""
    pipeline, device = pipeline_for(MONTAGES[montage])
    recording, rest, _ = open_cut(name)
    calibration = calibrate(pipeline, device, rest)
    reference = target_reference(calibration, recording)
    parts, speeds, minutes = [], [], 0.0
    for offset_s in OFFSETS_S:
        run = recording.between(REST_S + offset_s, recording.duration_s)
        core, steps = calibration.core(pipeline, device, n_channels=len(run.names))
        begun = time.perf_counter()
        events = dry_run(core, steps, run, delay_s=DELAY_S)
        speeds.append(run.duration_s / (time.perf_counter() - begun))
        minutes += run.duration_s / 60.0
        parts.append(phases_at(events, reference, kind=EventKind.DELIVERED, start_s=0.0))
    phases = joined(parts)
    noise = [
        run_surrogate(pipeline, device, calibration, duration_s=recording.duration_s, seed=seed, offsets_s=OFFSETS_S)
        for seed in surrogate_seeds(name, montage, n_surrogates)
    ]
    statistics, surrogates = phases.statistics(), pooled(noise).statistics()
    row = {
        "recording": name,
        "montage": montage,
        "snr_db": calibration.design.fit.snr_db,
        "rhythm": calibration.design.verdict.partition(" (")[0],
        "n": statistics.n,
        "circular_sd_deg": statistics.circular_sd_deg,
        "ci95_deg": statistics.ci95_deg,
        "bias_deg": statistics.bias_deg,
        "pulses_per_minute": statistics.n / minutes,
        "surrogate_sd_deg": surrogates.circular_sd_deg,
        "surrogate_ci95_deg": surrogates.ci95_deg,
        "surrogate_n": surrogates.n,
        "surrogate_pulses_per_minute": surrogates.n / (minutes * n_surrogates),
        "replay_speed_x": float(np.median(speeds)),
    }
    return Measured(row, phases, noise)


def under(phases: Phases, reference: str, block: NDArray[np.int64] | None = None) -> PhaseStatistics:
    """Describe the errors against the whole family, or against one of its members."""
    known = phases.reference if reference == FAMILY else phases.members[reference]
    return phase_statistics(wrap(known - phases.target), phases.block if block is None else block)


def summary(montage: str, measured: list[Measured]) -> list[dict[str, Any]]:
    """Return one line per reference: medians over the recordings that fired, and what they give pooled."""
    fired = [part for part in measured if part.row["n"] > 1]
    if not fired:
        return [{"montage": montage, "reference": FAMILY, "recordings that fired": 0}]
    whole = joined([part.phases for part in fired])
    # The same label in two recordings is not the same block.
    block = np.concatenate([100_000 * number + part.phases.block for number, part in enumerate(fired)])
    lines = []
    for reference in (FAMILY, *whole.members):
        own = [under(part.phases, reference).circular_sd_deg for part in fired]
        noise = [under(pooled(part.surrogates), reference).circular_sd_deg for part in fired]
        single = [
            np.median([under(p, reference).circular_sd_deg for p in part.surrogates if p.target.size > 1])
            for part in fired
        ]
        statistics = under(whole, reference, block)
        lines.append(
            {
                "montage": montage,
                "reference": reference,
                "recordings that fired": len(fired),
                "median circular_sd_deg": float(np.median(own)),
                "median surrogate_sd_deg": float(np.median(noise)),
                "median ratio": float(np.median(np.divide(own, noise))),
                "to a single surrogate": float(np.median(np.divide(own, single))),
                "pooled n": statistics.n,
                "pooled bias_deg": statistics.bias_deg,
                "bias ci95_deg": statistics.bias_ci95_deg,
            }
        )
    return lines


def worse(rows: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[str]:
    """Return a line for each row that has become worse than it was, or has gone."""
    now = {(row["recording"], row["montage"]): row for row in rows}
    lines = []
    for old in before:
        name = f"{old['recording']}, {old['montage']}"
        row = now.get((old["recording"], old["montage"]))
        if row is None:
            lines.append(f"{name}: is no longer measured")
            continue
        if row["n"] < FEWER_PULSES * old["n"]:
            lines.append(f"{name}: {row['n']} pulses, were {old['n']} (at least {FEWER_PULSES:g} of them)")
        if row["n"] and old["n"]:
            spread, was = row["circular_sd_deg"], old["circular_sd_deg"]
            if not spread <= was + MORE_SCATTER_DEG:
                lines.append(f"{name}: circular SD {spread:.2f} deg, was {was:.2f} (at most {MORE_SCATTER_DEG:g} more)")
            bias, had = row["bias_deg"], old["bias_deg"]
            if not abs(bias - had) <= MORE_BIAS_DEG:
                lines.append(f"{name}: bias {bias:+.2f} deg, was {had:+.2f} (at most {MORE_BIAS_DEG:g} away)")
    return lines


def main() -> None:
    """Run all of it and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--recordings", type=Path, help="folder of the recordings; otherwise the library's")
    parser.add_argument("--surrogates", type=int, default=N_SURROGATES, help="surrogates of each row")
    parser.add_argument("--against", type=Path, help="an earlier file: exit with 1 where a row has become worse")
    options = parser.parse_args()
    use_recordings(options.recordings)
    jobs = [(name, montage, options.surrogates) for montage in MONTAGES for name in RECORDINGS]
    measured = list(in_parallel(measure, jobs, doing="recordings and their surrogates"))
    rows = [part.row for part in measured]
    summaries = []
    for montage in MONTAGES:
        summaries += summary(montage, [part for part in measured if part.row["montage"] == montage])
    show(f"At the pulses ({machine()})", rows)
    show("Over all recordings, by reference", summaries)
    write(options.json, rows=rows, summary=summaries)
    if options.against is not None:
        lines = worse(rows, json.loads(options.against.read_text(encoding="utf-8"))["rows"])
        for line in lines:
            print(f"worse: {line}", file=sys.stderr)
        if lines:
            sys.exit(1)
        print(f"no row is worse than in {options.against}")


if __name__ == "__main__":
    main()
