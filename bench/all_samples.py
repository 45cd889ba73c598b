"""All samples, no gate: `wiener` beside `echt`, as published and tuned, under every reference.

    python bench/all_samples.py --json FILE [--recordings DIR]

Each predicts 20 ms ahead of every sample after the first 60 s. ``echt`` as published: 1 s window,
Butterworth of order 2, here at peak +- 2 Hz. ``echt tuned``: band, order, window and a constant turn of
its phase are chosen on the same 60 s, by the same training target, that ``wiener`` learns from. Two
references are no filter's: the true phase of synthetic EEG with the recording's own fitted background and
rhythm; and, to compare, the family on the recording's background alone, where there is no rhythm.
Circular SDs in degrees; the bias stands beside them.
"""

import argparse
import itertools
import math
from dataclasses import dataclass
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
from closedloop.config.estimators import Echt, Wiener
from closedloop.config.pipeline import Pipeline, Single
from closedloop.estimators.interface import LEAD_STEP_S, predict
from closedloop.session.evaluation import on_grid
from closedloop.session.surrogates import surrogate_recording
from closedloop.signal.circular import circular_sd
from closedloop.signal.conditioning import condition_all, design_conditioning
from closedloop.signal.reference_phase import reference_phase
from closedloop.signal.training_target import training_target
from closedloop.sources.matched import matched
from closedloop.sources.recording import Recording

LEAD_S = 0.02
SIMULATED_S = 300.0
METHODS = ("wiener", "echt", "echt tuned")
HALF_WIDTHS_HZ = (1.0, 1.5, 2.0, 2.5, 3.0)
ORDERS = (1, 2)
WINDOWS_S = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Prediction:
    """Phases in rad that were predicted for times in s, both of shape (n,)."""

    phase: NDArray[np.float64]
    times_s: NDArray[np.float64]


def with_estimator(pipeline: Pipeline, estimator: Wiener | Echt, **changes: Any) -> Pipeline:
    """Return the pipeline with another estimator of its signal and a fixed, open rhythm gate."""
    signal = pipeline.signals["alpha"].model_copy(update={"estimator": estimator, **changes})
    gates = pipeline.gates.model_copy(update={"rhythm_snr_db": -1000.0})
    return pipeline.model_copy(update={"signals": {"alpha": signal}, "gates": gates})


def predicted(designed: Design, recording: Recording, *, after_s: float = REST_S) -> Prediction:
    """Predict every sample from a time on, with a design's estimator."""
    raw = np.ascontiguousarray(recording.samples[:, designed.montage.places])
    conditioned = np.empty_like(raw)
    filters = design_conditioning(raw.shape[1], recording.sfreq, high_pass_hz=0.5, notch_hz=(50.0,))
    condition_all(filters, raw, conditioned)
    lead = round(LEAD_S / LEAD_STEP_S)
    x = conditioned @ designed.montage.weights[0]
    z, _ = predict(designed.signals["alpha"].designed, x[:, None], first=lead, stop=lead + 1)
    kept = recording.times_s >= after_s
    return Prediction(np.angle(z[kept, lead]), recording.times_s[kept] + LEAD_S)


def errors(reference: NDArray[np.float64], phase: NDArray[np.float64]) -> tuple[float, float]:
    """Return bias and circular SD in degrees."""
    kept = np.isfinite(reference) & np.isfinite(phase)
    mean = complex(np.exp(1j * (reference - phase)[kept]).mean())
    return math.degrees(np.angle(mean)), math.degrees(float(circular_sd(abs(mean))))


def at(phases: NDArray[np.float64], times_s: NDArray[np.float64], sfreq: float) -> NDArray[np.float64]:
    """Return the phases of whole samples at times in s, NaN past the end."""
    place = np.rint(times_s * sfreq).astype(int)
    padded = np.append(phases, np.nan)
    found: NDArray[np.float64] = padded[np.minimum(place, phases.size)]
    return found


def tuned_echt(pipeline: Pipeline, rest: Recording) -> tuple[Design, float]:
    """Choose band, order and window of ``echt`` on rest; return it with its bias there, in degrees."""
    base = design(with_estimator(pipeline, Echt(type="echt")), rest)
    peak_hz = base.fit.peak_hz
    target = np.angle(training_target(on_grid(rest, base), rest.sfreq, base.signals["alpha"].band_hz))
    best: tuple[float, float, Design] | None = None
    for half_hz, order, window_s in itertools.product(HALF_WIDTHS_HZ, ORDERS, WINDOWS_S):
        estimator = Echt(type="echt", order=order, window_s=window_s)
        band_hz = (peak_hz - half_hz, peak_hz + half_hz)
        designed = design(with_estimator(pipeline, estimator, band_hz=band_hz), rest)
        found = predicted(designed, rest, after_s=0.0)
        bias, spread = errors(at(target, found.times_s, rest.sfreq), found.phase)
        if best is None or spread < best[0]:
            best = (spread, bias, designed)
    assert best is not None
    return best[2], best[1]


def predictions(pipeline: Pipeline, recording: Recording) -> dict[str, Prediction]:
    """Design every method on the first minute and predict the rest."""
    rest = recording.between(0.0, REST_S)
    tuned, bias_deg = tuned_echt(pipeline, rest)
    found = predicted(tuned, recording)
    return {
        "wiener": predicted(design(with_estimator(pipeline, Wiener(type="wiener")), rest), recording),
        "echt": predicted(design(with_estimator(pipeline, Echt(type="echt")), rest), recording),
        "echt tuned": Prediction(found.phase + math.radians(bias_deg), found.times_s),
    }


def measure(name: str, montage: str) -> dict[str, Any]:
    """Compare the methods on one recording, on synthetic EEG matched to it, and on its background alone."""
    pipeline, _ = pipeline_for(MONTAGES[montage])
    recording, rest, _ = open_cut(name)
    designed = design(with_estimator(pipeline, Wiener(type="wiener")), rest)
    fit, sfreq = designed.fit, recording.sfreq
    row: dict[str, Any] = {"recording": name, "montage": montage, "snr_db": fit.snr_db}

    reference = reference_phase(on_grid(recording, designed), sfreq, fit.peak_hz)
    for method, found in predictions(pipeline, recording).items():
        row[f"{method}, family"] = errors(reference.at(found.times_s), found.phase)
        for member in reference.members:
            row[f"{method}, {member}"] = errors(reference.member_at(member, found.times_s), found.phase)

    def one_channel(channel: str) -> Pipeline:
        return with_estimator(pipeline, Wiener(type="wiener"), spatial=Single(type="single", channel=channel))

    simulated = matched(fit, duration_s=SIMULATED_S, sfreq=sfreq, seed=1)
    truth = np.angle(simulated.rhythm[:, 0])
    for method, found in predictions(one_channel("matched"), simulated.recording).items():
        row[f"{method}, true phase"] = errors(at(truth, found.times_s, sfreq), found.phase)

    seed = surrogate_seeds(name, montage, 1)[0]
    surrogate = surrogate_recording(designed, duration_s=SIMULATED_S, seed=seed)
    flat = one_channel("surrogate")
    own_peak_hz = design(flat, surrogate.between(0.0, REST_S)).fit.peak_hz
    reference = reference_phase(surrogate.samples[:, 0], sfreq, own_peak_hz)
    for method, found in predictions(flat, surrogate).items():
        row[f"{method}, no rhythm"] = errors(reference.at(found.times_s), found.phase)
    return row


def summary(montage: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one line for each reference: medians over the recordings."""
    lines = []
    for reference in [key.removeprefix("wiener, ") for key in rows[0] if key.startswith("wiener, ")]:
        found = {method: np.array([row[f"{method}, {reference}"] for row in rows]) for method in METHODS}
        line: dict[str, Any] = {"montage": montage, "reference": reference}
        for method, values in found.items():
            line[f"{method} SD"] = float(np.median(values[:, 1]))
        for rival in METHODS[1:]:
            ours, theirs = found["wiener"][:, 1], found[rival][:, 1]
            line[f"ratio to {rival}"] = float(np.median(ours / theirs))
            line[f"better than {rival}"] = f"{int(np.sum(ours < theirs))} of {len(rows)}"
        for method, values in found.items():
            line[f"{method} |bias|"] = float(np.median(np.abs(values[:, 0])))
        lines.append(line)
    return lines


def main() -> None:
    """Run all of it and print one table per montage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--recordings", type=Path, help="folder of the recordings; otherwise the library's")
    options = parser.parse_args()
    use_recordings(options.recordings)
    jobs = [(name, montage) for montage in MONTAGES for name in RECORDINGS]
    rows = list(in_parallel(measure, jobs, doing="recordings"))
    summaries = []
    for montage in MONTAGES:
        summaries += summary(montage, [row for row in rows if row["montage"] == montage])
    show(f"All samples, 20 ms ahead, medians over {len(RECORDINGS)} recordings ({machine()})", summaries)
    write(options.json, rows=rows, summary=summaries)


if __name__ == "__main__":
    main()
