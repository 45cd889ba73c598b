"""All samples, no gate: `wiener` beside `echt` as published, under every reference.

    python bench/all_samples.py --json FILE [--recordings DIR]

Both predict 20 ms ahead of every sample after the first 60 s. ``echt``: 1 s window, Butterworth of
order 2, peak +- 2 Hz. The last reference is no filter: synthetic EEG with the recording's own fitted
background and rhythm, whose phase is known. Circular SDs in degrees; the bias stands beside them.
"""

import argparse
import math
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
    use_recordings,
    write,
)
from numpy.typing import NDArray

from closedloop.calibration.design import design
from closedloop.config.pipeline import Echt, Pipeline, Single, Wiener
from closedloop.estimators.interface import LEAD_STEP_S, predict
from closedloop.session.evaluation import on_grid
from closedloop.signal.circular import circular_sd
from closedloop.signal.conditioning import condition_all, design_conditioning
from closedloop.signal.reference_phase import reference_phase
from closedloop.sources.recording import Recording
from closedloop.sources.synthetic import matched

LEAD_S = 0.02
ESTIMATORS = {"wiener": Wiener(type="wiener"), "echt": Echt(type="echt")}
MATCHED_S = 300.0


def with_estimator(pipeline: Pipeline, name: str, **changes: Any) -> Pipeline:
    """Return the pipeline with another estimator of its signal and a fixed, open rhythm gate."""
    signal = pipeline.signals["alpha"].model_copy(update={"estimator": ESTIMATORS[name], **changes})
    gates = pipeline.gates.model_copy(update={"rhythm_snr_db": -1000.0})
    return pipeline.model_copy(update={"signals": {"alpha": signal}, "gates": gates})


def predicted(pipeline: Pipeline, recording: Recording) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return predicted phases in rad, the times in s that they are for, and the peak in Hz."""
    designed = design(pipeline, recording.between(0.0, REST_S))
    raw = np.ascontiguousarray(recording.samples[:, designed.montage.places])
    conditioned = np.empty_like(raw)
    filters = design_conditioning(raw.shape[1], recording.sfreq, high_pass_hz=0.5, notch_hz=(50.0,))
    condition_all(filters, raw, conditioned)
    lead = round(LEAD_S / LEAD_STEP_S)
    x = conditioned @ designed.montage.weights[0]
    z, _ = predict(designed.signals["alpha"].designed, x[:, None], first=lead, stop=lead + 1)
    after = recording.times_s >= REST_S
    return np.angle(z[after, lead]), recording.times_s[after] + LEAD_S, designed.fit.peak_hz


def errors(reference: NDArray[np.float64], phase: NDArray[np.float64]) -> tuple[float, float]:
    """Return bias and circular SD in degrees."""
    kept = np.isfinite(reference) & np.isfinite(phase)
    mean = complex(np.exp(1j * (reference - phase)[kept]).mean())
    return math.degrees(np.angle(mean)), math.degrees(float(circular_sd(abs(mean))))


def measure(name: str, montage: str) -> dict[str, Any]:
    """Compare both estimators on one recording and on synthetic EEG matched to it."""
    pipeline, _ = pipeline_for(montage)
    recording, rest, _ = open_cut(name)
    fit = design(with_estimator(pipeline, "wiener"), rest).fit
    simulated = matched(fit, duration_s=MATCHED_S, sfreq=recording.sfreq, seed=1)
    row: dict[str, Any] = {"recording": name, "montage": montage, "snr_db": fit.snr_db}
    for estimator in ESTIMATORS:
        changed = with_estimator(pipeline, estimator)
        phase, times_s, peak_hz = predicted(changed, recording)
        x = on_grid(recording, design(changed, rest))
        reference = reference_phase(x, recording.sfreq, peak_hz)
        row[f"{estimator}, family"] = errors(reference.at(times_s), phase)
        for member in reference.members:
            row[f"{estimator}, {member}"] = errors(reference.member_at(member, times_s), phase)
        own = with_estimator(pipeline, estimator, spatial=Single(type="single", channel="matched"))
        phase, times_s, _ = predicted(own, simulated.recording)
        place = np.rint(times_s * recording.sfreq).astype(int)
        known = place < simulated.alpha.size
        row[f"{estimator}, true phase"] = errors(np.angle(simulated.alpha[place[known]]), phase[known])
    return row


def main() -> None:
    """Run all of it and print one table per montage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--recordings", type=Path, help="folder of the recordings; otherwise the library's")
    options = parser.parse_args()
    use_recordings(options.recordings)
    jobs = [(name, montage) for montage in MONTAGES for name in RECORDINGS]
    rows = list(in_parallel(measure, jobs, doing="recordings"))
    references = [key.removeprefix("wiener, ") for key in rows[0] if key.startswith("wiener, ")]
    summary = []
    for montage in MONTAGES:
        here = [row for row in rows if row["montage"] == montage]
        table = []
        for reference in references:
            ours = np.array([row[f"wiener, {reference}"] for row in here])
            theirs = np.array([row[f"echt, {reference}"] for row in here])
            table.append(
                {
                    "reference": reference,
                    "wiener median SD": float(np.median(ours[:, 1])),
                    "echt median SD": float(np.median(theirs[:, 1])),
                    "median difference": float(np.median(ours[:, 1] - theirs[:, 1])),
                    "wiener better in": f"{int(np.sum(ours[:, 1] < theirs[:, 1]))} of {len(here)}",
                    "wiener median |bias|": float(np.median(np.abs(ours[:, 0]))),
                    "echt median |bias|": float(np.median(np.abs(theirs[:, 0]))),
                }
            )
        show(f"All samples, 20 ms ahead, {montage} ({machine()})", table)
        summary += [{"montage": montage, **line} for line in table]
    write(options.json, rows=rows, summary=summary)


if __name__ == "__main__":
    main()
