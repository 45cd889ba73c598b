"""The loop alone: how much faster than real time, whether linear in length, whether memory stays flat.

    python bench/replay_speed.py --json FILE [--recordings DIR]

19 channels at 500 Hz, every gate on; once a Laplacian that reads five of them, once the average reference,
for which all are conditioned and watched. The recording is handed over again and again, in chunks, with
time stamps that go on; the decisions are drained and dropped.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cohort import DELAY_S, MONTAGES, machine, open_cut, pipeline_for, show, use_recordings, write

from closedloop.calibration.calibrate import Calibration, calibrate
from closedloop.config.pipeline import Pipeline
from closedloop.core.playback import Chunk, chunks
from closedloop.core.pulse_artifact import make_artifact
from closedloop.core.records import Command
from closedloop.core.replay import play, post_command, post_device
from closedloop.sources.recording import Recording

NAME = "Subject25_1.edf"
N_CHANNELS = 19
SPATIAL = {
    "Laplacian, 5 channels": MONTAGES["F3-Hjorth"],
    f"average reference, {N_CHANNELS} channels": {"type": "average", "channel": "F3"},
}
MINUTES = (2, 10, 60, 240)
REPEATS = 3


def again_and_again(recording: Recording, minutes: float) -> Iterator[Chunk]:
    """Give out a recording from its beginning to its end, over and over."""
    start_s = 0.0
    while start_s < 60.0 * minutes:
        for samples, timestamps in chunks(recording, delay_s=DELAY_S):
            yield samples, timestamps - recording.times_s[0] + start_s
        start_s += recording.duration_s


def measure(
    pipeline: Pipeline, device: Any, calibration: Calibration, run: Recording, minutes: float
) -> dict[str, Any]:
    """Play so many minutes and return speed and growth of memory."""
    core, steps = calibration.core(pipeline, device, n_channels=len(run.names))
    post_device(core, ready=True, coil_c=25.0)
    post_command(core, Command.ARM)
    player = play(core, steps, again_and_again(run, minutes), make_artifact(np.zeros((0, len(run.names)))))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    n_samples = n_events = 0
    begun = time.perf_counter()
    for drained in player:
        n_samples += len(drained.values)
        n_events += len(drained.events)
    elapsed_s = time.perf_counter() - begun
    played_s = n_samples / run.sfreq
    return {
        "minutes": played_s / 60.0,
        "decisions": n_events,
        "elapsed_s": elapsed_s,
        "us per sample": 1e6 * elapsed_s / n_samples,
        "times real time": played_s / elapsed_s,
        "memory grew by MB": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024.0,
    }


def main() -> None:
    """Run all of it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--recordings", type=Path, help="folder of the recordings; otherwise the library's")
    options = parser.parse_args()
    use_recordings(options.recordings)
    _, rest, run = open_cut(NAME)
    names = run.names[:N_CHANNELS]
    rows = []
    for label, spatial in SPATIAL.items():
        pipeline, device = pipeline_for(spatial)
        calibration = calibrate(pipeline, device, rest.pick(names))
        for minutes in MINUTES:
            tried = [measure(pipeline, device, calibration, run.pick(names), minutes) for _ in range(REPEATS)]
            rows.append({"signal": label, **sorted(tried, key=lambda row: row["elapsed_s"])[REPEATS // 2]})
    show(f"The loop alone, {N_CHANNELS} channels at {run.sfreq:g} Hz, median of {REPEATS} ({machine()})", rows)
    write(options.json, rows=rows)


if __name__ == "__main__":
    main()
