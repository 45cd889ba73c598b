"""Show of a long live session whether a sample is lost, memory grows, and it replays.

A stand-in amplifier plays simulated EEG of 64 channels at 1 kHz, again and again, to `closedloop run`; the
resident memory of the session's process is read while it runs. At each end of the simulation the EEG jumps back
to its beginning, which a few chances are refused for.

    python bench/soak.py --minutes 30 --json soak.json
    python bench/soak.py --minutes 2        # fails where a sample is lost, memory grows, or the replay differs
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import mne
import numpy as np
from cohort import machine
from rehearsal import CLOSEDLOOP, ENVIRONMENT, rehearse

from closedloop.core.records import InputKind
from closedloop.session.folder import StoredSession
from closedloop.sources.synthetic import simulate

MAX_GROWTH_MB = 5.0
PLAYED_S = 120.0
REST_S = 20.0
SETTLED_S = 30.0
"""After calibration: what the first pulses, outlets and displays allocate once is no growth."""
PIPELINE = """
name: Soak
source: {{type: lsl, stream: {{source_id: closedloop-soak}}, delay_s: 0.010}}
calibration: {{duration_s: {rest_s:g}}}
signals:
  alpha:
    spatial: {{type: average, channel: O1}}
    estimator: {{type: wiener}}
target: {{signal: alpha, conditions: [{{name: trough, phase_deg: 180}}, {{name: random, phase_deg: random}}]}}
gates: {{artifact_uv: 2000, hold_after_pulse_s: 0.5}}
protocol: {{type: single_pulse, pulses: 2000, min_interval_s: 0.8}}
stimulator: {{device: simulated, intensity: {{percent_of_maximum: 50}}}}
limits: {{max_pulses: 2000}}
"""


def write_recording(path: Path, n_channels: int, sfreq: float) -> None:
    """Write simulated EEG with an alpha rhythm at every channel that carries one."""
    names = ("O1", "F3", *(f"E{place}" for place in range(3, n_channels + 1)))
    simulated = simulate(duration_s=PLAYED_S, sfreq=sfreq, seed=5, channels=names)
    info = mne.create_info(list(names), sfreq, "eeg")
    mne.io.RawArray(simulated.recording.samples.T * 1e-6, info, verbose="error").save(path, verbose="error")


def resident_mb(pid: int) -> float:
    """Return a process's own resident memory, without what files are mapped, in MB; NaN where it has ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024.0
    except OSError:
        pass
    return float("nan")


def soak(minutes: float, n_channels: int, sfreq: float, scratch: Path) -> dict[str, Any]:
    """Run one session and return what it came to."""
    recording, pipeline, folder = scratch / "soak_eeg.fif", scratch / "soak.yaml", scratch / "session"
    write_recording(recording, n_channels, sfreq)
    pipeline.write_text(PIPELINE.format(rest_s=REST_S))
    memory: list[tuple[float, float]] = []
    rehearse(
        [str(recording), "--loop", "--source-id", "closedloop-soak"],
        [str(pipeline), "--duration", f"{60.0 * minutes:g}", "--surrogates", "0", "--out", str(folder)],
        watch=lambda pid: memory.append((time.monotonic(), resident_mb(pid))),
    )
    stored = StoredSession(folder)
    inputs = stored.inputs()
    stamps = inputs["timestamp"][inputs["kind"] == InputKind.SAMPLE]
    summary = json.loads((folder / "summary.json").read_text())
    replayed = subprocess.run([*CLOSEDLOOP, "replay", str(folder)], env=ENVIRONMENT, capture_output=True, text=True)
    return {
        "minutes": minutes,
        "n_channels": n_channels,
        "sfreq": sfreq,
        "samples": int(stamps.size),
        "lost": round((stamps[-1] - stamps[0]) * sfreq) + 1 - int(stamps.size),
        "growth_mb": growth_mb(memory, 60.0 * minutes),
        "delivered": summary["delivered"],
        "withheld": summary["withheld"],
        "refused": summary["refused"],
        "latency": summary["latency"],
        "granted": stored.facts["granted"],
        "replay": replayed.stdout.strip() or replayed.stderr.strip(),
        "same": replayed.returncode == 0,
    }


def growth_mb(memory: list[tuple[float, float]], run_s: float) -> float:
    """Return by how much the memory of the loop's run grew after it had settled, first against last tenth."""
    times, sizes = np.array(memory).T
    # The run ends where the session's process begins to close it: that takes memory of its own.
    end = times[np.isfinite(sizes)][-1] - CLOSING_S
    inside = (times > end - run_s + SETTLED_S) & (times < end) & np.isfinite(sizes)
    kept = sizes[inside]
    tenth = max(1, kept.size // 10)
    return float(np.median(kept[-tenth:]) - np.median(kept[:tenth])) if kept.size else float("nan")


CLOSING_S = 10.0
"""So long before its end the process has surely not yet begun to close the session."""


def main() -> None:
    """Soak, print, and fail where something is not as promised."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--sfreq", type=float, default=1000.0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        row = soak(chosen.minutes, chosen.channels, chosen.sfreq, Path(scratch))
    print(json.dumps(row, indent=1))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({"machine": machine(), **row}, indent=1) + "\n")
    growth = row["growth_mb"]
    bad = [
        text
        for failed, text in (
            (row["lost"] != 0, f"{row['lost']} samples lost (limit: 0)"),
            (not growth < MAX_GROWTH_MB, f"memory grew by {growth:.1f} MB (limit: {MAX_GROWTH_MB:g})"),
            (not row["same"], f"the replay differs: {row['replay']}"),
            (row["delivered"] == 0, "no pulse was delivered"),
        )
        if failed
    ]
    print(f"{row['samples']} samples, {row['lost']} lost; memory grew by {growth:.2f} MB; {row['replay']}")
    if bad:
        sys.exit("; ".join(bad))


if __name__ == "__main__":
    main()
