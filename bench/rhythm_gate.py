"""The rhythm gate: open where there is a rhythm, closed where there is none.

    python bench/rhythm_gate.py --json FILE [--recordings DIR]

A minute counts as open when the sliding SNR reaches the limit at any moment of it, on recordings and on
surrogates alike; the share of the time that the gate was open stands beside it. The limit is the
calibration's own: the recording's from its first 60 s, each surrogate's from the surrogate's first 60 s.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from cohort import (
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

from closedloop.calibration.design import Design, design
from closedloop.config.pipeline import Pipeline
from closedloop.session.surrogates import surrogate_pipeline, surrogate_recording
from closedloop.signal.conditioning import condition_all, design_conditioning
from closedloop.signal.rhythm import design_rhythm, snr_track
from closedloop.sources.recording import Recording

N_SURROGATES = 40
SURROGATE_MINUTES = 5
EVERY_S = 0.1
WARM_UP_S = 10.0


def open_moments(designed: Design, pipeline: Pipeline, recording: Recording) -> NDArray[np.bool_]:
    """Return when the gate was open after calibration: an array of shape (n_minutes, moments of a minute)."""
    sfreq, montage = recording.sfreq, designed.montage
    raw = np.ascontiguousarray(recording.samples[:, montage.places])
    conditioned = np.empty_like(raw)
    filters = design_conditioning(
        len(montage.names),
        sfreq,
        high_pass_hz=pipeline.conditioning.high_pass_hz,
        notch_hz=pipeline.conditioning.notches_hz,
    )
    condition_all(filters, raw, conditioned)
    every = round(EVERY_S * sfreq)
    track = np.full(len(raw) // every, np.nan)
    x = conditioned @ montage.weights[designed.signal_names.index(designed.target)]
    snr_track(design_rhythm(sfreq, designed.fit.peak_hz), x, every, track)
    per_minute = round(60.0 / EVERY_S)
    after = track[round(REST_S / EVERY_S) :]
    minutes = after[: len(after) // per_minute * per_minute].reshape(-1, per_minute)
    opened: NDArray[np.bool_] = minutes >= designed.rhythm_snr_db
    return opened


def measure(name: str, montage: str, n_surrogates: int) -> dict[str, Any]:
    """Return how often the gate opens on one recording and on its surrogates."""
    pipeline, _ = pipeline_for(MONTAGES[montage])
    recording, rest, _ = open_cut(name)
    designed = design(pipeline, rest)
    flat = surrogate_pipeline(pipeline, rhythm_snr_db="auto")
    duration_s = REST_S * (1 + SURROGATE_MINUTES)
    opened = []
    for seed in surrogate_seeds(name, montage, n_surrogates):
        surrogate = surrogate_recording(designed, duration_s=duration_s, seed=seed)
        own = design(flat, surrogate.between(0.0, REST_S))
        opened.append(open_moments(own, flat, surrogate))
    noise = np.concatenate(opened)
    real = open_moments(designed, pipeline, recording)
    return {
        "recording": name,
        "montage": montage,
        "snr_db": designed.fit.snr_db,
        "limit_db": designed.rhythm_snr_db,
        "minutes": len(real),
        "minutes open": int(real.any(axis=1).sum()),
        "time open (%)": 100.0 * float(real.mean()),
        "surrogate minutes": len(noise),
        "surrogate minutes open": int(noise.any(axis=1).sum()),
        "surrogate time open (%)": 100.0 * float(noise.mean()),
    }


def main() -> None:
    """Run all of it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--recordings", type=Path, help="folder of the recordings; otherwise the library's")
    parser.add_argument("--surrogates", type=int, default=N_SURROGATES, help="surrogates of each row")
    options = parser.parse_args()
    use_recordings(options.recordings)
    jobs = [(name, montage, options.surrogates) for montage in MONTAGES for name in RECORDINGS]
    rows = list(in_parallel(measure, jobs, doing="recordings and their surrogates"))
    clear = [row for row in rows if row["montage"] == "O1" and row["snr_db"] >= 10.0]
    totals = {
        "minutes open at O1 where SNR >= 10 dB (%)": 100.0
        * sum(row["minutes open"] for row in clear)
        / sum(row["minutes"] for row in clear),
        "minutes open on surrogates (%)": 100.0
        * sum(row["surrogate minutes open"] for row in rows)
        / sum(row["surrogate minutes"] for row in rows),
    }
    totals["time open on surrogates (%)"] = float(np.mean([row["surrogate time open (%)"] for row in rows]))
    show(f"The rhythm gate ({machine()})", rows)
    show("Over all recordings", [totals])
    write(options.json, rows=rows, summary=totals)


if __name__ == "__main__":
    main()
