"""What a raw amplifier adds changes little: offsets of 50 mV, drift, and mains of 50 µV.

    python bench/disturbances.py --json FILE [--recordings DIR]

Each recording is run as it is and with the disturbances added, calibration included; both are judged by
the clean recording's reference. One limit of the phase SD holds for both, so that the pair differs by
nothing but the disturbances.
"""

import argparse
from dataclasses import replace
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
    use_recordings,
    write,
)

from closedloop.calibration.calibrate import calibrate
from closedloop.core.playback import dry_run
from closedloop.core.records import EventKind
from closedloop.session.evaluation import Phases, joined, phases_at, target_reference
from closedloop.sources.recording import Recording

OFFSET_UV = 50_000.0
DRIFT_UV_PER_S = 20.0
MAINS_UV = 50.0
MAINS_HZ = 50.0
OFFSETS_S = (0.0, 0.7, 1.4, 2.1)


def disturbed(recording: Recording) -> Recording:
    """Return the recording with offsets of either sign, drift and mains on every channel."""
    signs = np.where(np.arange(len(recording.names)) % 2 == 0, 1.0, -1.0)
    times_s = recording.times_s[:, None]
    added = signs * (OFFSET_UV + DRIFT_UV_PER_S * times_s) + MAINS_UV * np.sin(2 * np.pi * MAINS_HZ * times_s)
    return replace(recording, samples=recording.samples + added)


def measure(name: str, montage: str) -> dict[str, Any]:
    """Run one recording clean and disturbed."""
    pipeline, device = pipeline_for(MONTAGES[montage])
    # One condition: with several, a single decision that differs would give every later pulse another target.
    trough = pipeline.target.model_copy(update={"conditions": pipeline.target.conditions[2:3]})
    pipeline = pipeline.model_copy(update={"target": trough})
    recording, rest, _ = open_cut(name)
    clean = calibrate(pipeline, device, rest)
    reference = target_reference(clean, recording)
    found: list[Phases] = []
    for played in (recording, disturbed(recording)):
        own = replace(calibrate(pipeline, device, played.between(0.0, REST_S)), sd_limit=clean.sd_limit)
        parts = []
        for offset_s in OFFSETS_S:
            run = played.between(REST_S + offset_s, played.duration_s)
            core, steps = own.core(pipeline, device, n_channels=len(run.names))
            events = dry_run(core, steps, run, delay_s=DELAY_S)
            parts.append(phases_at(events, reference, kind=EventKind.DELIVERED, start_s=0.0))
        found.append(joined(parts))
    before, after = (phases.statistics() for phases in found)
    change = None
    if before.circular_sd_deg is not None and after.circular_sd_deg is not None:
        change = after.circular_sd_deg - before.circular_sd_deg
    return {
        "recording": name,
        "clean n": before.n,
        "clean SD": before.circular_sd_deg,
        "disturbed n": after.n,
        "disturbed SD": after.circular_sd_deg,
        "change": change,
        "clean bias": before.bias_deg,
        "disturbed bias": after.bias_deg,
    }


def main() -> None:
    """Run all of it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--recordings", type=Path, help="folder of the recordings; otherwise the library's")
    options = parser.parse_args()
    use_recordings(options.recordings)
    rows = list(in_parallel(measure, [(name, "O1") for name in RECORDINGS], doing="recordings"))
    show(f"With 50 mV of offset, drift and mains, O1 ({machine()})", rows)
    changes = [row["change"] for row in rows if row["change"] is not None]
    write(options.json, rows=rows, median_change=float(np.median(changes)) if changes else None)


if __name__ == "__main__":
    main()
