"""Show how alike the decisions of a live session and of a playback of the same recording are.

A stand-in amplifier plays each recording in real time to `closedloop run` with a live pipeline; then the same
pipeline runs over the recording itself. Both calibrate on the same minute and arm at the same moment
(`calibration.arm_after_s`), so trial by trial their pulses can be compared. They are not the same to the last
bit: live, samples are 32-bit numbers, their stamps have some microseconds of jitter, and one that comes later than
its successor is due decides nothing: such are counted from arming on. One chance that ends differently shifts all
trials after it: the first one is told. Two pulses of one trial are apart in predicted phase by how far they are apart
in time, in turns of the recording's own rhythm. It fails where fewer pulses than wanted have a twin in playback, at
nearly the same predicted phase, or a session does not replay to its own fingerprint.

    python bench/live_against_playback.py --json live_against_playback.json
"""

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from cohort import RECORDINGS, machine
from rehearsal import CLOSEDLOOP, ENVIRONMENT, event_lines, rehearse

from closedloop.core.records import Command, InputKind
from closedloop.session.folder import StoredSession
from closedloop.session.latency import corrected_stamps

PIPELINE = Path(__file__).parents[1] / "pipelines" / "alpha_trough_o1_live.yaml"
SFREQ = 500.0
"""Of the recordings."""
ALIGNED_S = 10.0
"""Over so much of their beginning both runs are aligned."""
MATCH_S = 0.002
WANTED_SHARE, WANTED_DEG = 0.95, 0.1

Event = dict[str, Any]


def compare(live: Path, playback: Path, *, rest_s: float, delay_s: float) -> dict[str, Any]:
    """Match the used chances of a live session with those of the playback, by time."""
    session = StoredSession(live)
    inputs = session.inputs()
    samples = inputs[inputs["kind"] == InputKind.SAMPLE]
    stamps_s = corrected_stamps(inputs, float(session.arrays()["timing"]["correction_s"][0]))
    aligned = np.arange(int(ALIGNED_S * SFREQ))
    # The first sample of both runs is the same one: that is where their clocks meet, but for the jitter of its stamp.
    first_s = float(np.median(stamps_s[aligned] - aligned / SFREQ))
    shift_s = rest_s + delay_s - first_s
    # Live, the run's length counts from when the loop has caught up with the stream, some seconds after the rest.
    armed_s = inputs["value"][(inputs["kind"] == InputKind.COMMAND) & (inputs["code"] == Command.ARM)].max()
    both_s = min(stamps_s[-1] + shift_s, played_until_s(playback))
    here = [event for event in used(live) if event["due_s"] + shift_s <= both_s]
    there = [event for event in used(playback) if event["due_s"] <= both_s]
    at = np.array([event["due_s"] + shift_s for event in here])
    other = np.array([event["due_s"] for event in there])
    peak_hz = json.loads((playback / "summary.json").read_text())["calibration"]["peak_hz"]
    apart_s = []
    for event, due_s in zip(here, at, strict=True):
        if not other.size:
            break
        nearest = int(np.argmin(np.abs(other - due_s)))
        twin = there[nearest]
        if abs(other[nearest] - due_s) <= MATCH_S and twin["condition"] == event["condition"]:
            apart_s.append(due_s - other[nearest])
    apart_deg = 360.0 * peak_hz * np.abs(apart_s)
    return {
        "live": len(here),
        "playback": len(there),
        "matched": len(apart_s),
        "alike": int((apart_deg <= WANTED_DEG).sum()),
        "apart_us": [float(1e6 * np.percentile(np.abs(apart_s), p)) for p in (50, 90, 100)] if apart_s else None,
        "apart_deg": [float(np.percentile(apart_deg, p)) for p in (50, 90, 100)] if apart_s else None,
        "late_samples": int((samples["now"] - stamps_s > 1.0 / SFREQ)[samples["now"] > armed_s].sum()),
        "first_difference": first_difference(here, there, shift_s),
    }


def first_difference(here: list[Event], there: list[Event], shift_s: float) -> dict[str, Any] | None:
    """Return the first trials that are no twins, with their times since the recording began; None without any."""
    for trial, (event, twin) in enumerate(zip_longest(here, there)):
        at = None if event is None else event["due_s"] + shift_s
        other = None if twin is None else twin["due_s"]
        if at is None or other is None or not abs(at - other) <= MATCH_S or event["condition"] != twin["condition"]:
            return {"trial": trial, "live_s": at, "playback_s": other}
    return None


def played_until_s(folder: Path) -> float:
    """Return the time stamp of a session's last sample."""
    inputs = StoredSession(folder).inputs()
    return float(inputs["timestamp"][inputs["kind"] == InputKind.SAMPLE][-1])


def used(folder: Path) -> list[Event]:
    """Return the chances that were used, fired or withheld: first pulses."""
    return [event for event in event_lines(folder) if event["outcome"] != "refused" and event["pulse"] == 0]


def main() -> None:
    """Run both ways over each recording and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", nargs="*", default=None, help="files or names; default: the six of the cohort")
    parser.add_argument("--duration", type=float, default=110.0, help="of each run after calibration, in s")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rows = []
    for name in chosen.recordings or RECORDINGS:
        with tempfile.TemporaryDirectory() as scratch:
            live, playback = Path(scratch) / "live", Path(scratch) / "playback"
            common = [str(PIPELINE), "--duration", f"{chosen.duration:g}", "--surrogates", "0"]
            rehearse([name], [*common, "--out", str(live)])
            subprocess.run(
                [*CLOSEDLOOP, "run", *common, "--recording", name, "--out", str(playback)],
                env=ENVIRONMENT,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            row = {"recording": name, **compare(live, playback, rest_s=60.0, delay_s=0.010)}
            row["verified"] = json.loads((live / "session.json").read_text())["verified"]
        rows.append(row)
        print(row, flush=True)
    matched, alike, live, other = (sum(row[key] for row in rows) for key in ("matched", "alike", "live", "playback"))
    share = alike / max(1, live, other)
    verified = all(row["verified"] for row in rows)
    worst = max((row["apart_deg"][-1] for row in rows if row["matched"]), default=float("nan"))
    print(
        f"matched within {1e3 * MATCH_S:g} ms: {matched} of {live} live and {other} played back; within "
        f"{WANTED_DEG:g} deg of predicted phase: {alike}, {100 * share:.1f} % (wanted: {100 * WANTED_SHARE:g}), the "
        f"worst {worst:.3g} deg; every session replays to its own fingerprint: {verified}"
    )
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({"machine": machine(), "share": share, "rows": rows}, indent=1) + "\n")
    sys.exit(0 if share >= WANTED_SHARE and verified else 1)


if __name__ == "__main__":
    main()
