"""How far ours is off in the mean, and how much of that is the references' doing or one minute's.

    python bench/bias.py --json FILE [--recordings DIR]

Against the true phase of EEG that is matched to each recording, drawn anew ten times: what a single draw shows is
mostly what one minute of rest leaves unknown. Against each zero-phase reference, beside a predictor that no one can
have: one that has learnt the mean of all four references on the very samples that it is judged on. Where that one
is off, references differ in what they call phase, and no predictor can follow all of them. 25 ms ahead, pooled.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import MONTAGES, Job, cases_of
from cohort import RECORDINGS, in_parallel, machine, show, use_recordings, write
from numpy.typing import NDArray

from closedloop.accuracy.case import SYNTHETIC, TRUTHS, Case
from closedloop.accuracy.compare import HEADLINE_LEAD_S
from closedloop.accuracy.contenders import MANY_CHANNELS
from closedloop.accuracy.score import errors_of
from closedloop.calibration.rest import WEAK_SNR_DB
from closedloop.config.estimators import Wiener
from closedloop.estimators.interface import Rest
from closedloop.estimators.wiener import design_wiener
from closedloop.signal.circular import PhaseStatistics, phase_statistics

DRAWS = 10
OURS = {"wiener": Wiener(type="wiener"), MANY_CHANNELS: Wiener(type="wiener", helpers="all")}
Found = dict[str, NDArray[np.float64]]


def hindsight(case: Case) -> Rest:
    """Return what follows rest, to learn from, with the mean of all references as the target."""
    after = len(case.rest.inputs)
    times_s = np.arange(len(case.inputs)) / case.sfreq
    phases = [case.reference.member_at(name, times_s) for name in case.reference.members]
    target = np.exp(1j * np.array(phases)).mean(axis=0)[after:]
    return Rest(case.inputs[after:].copy(), target, case.sfreq, case.rest.band_hz, case.rest.peak_hz)


def errors_with(rest: Rest, case: Case, ours: str = "wiener") -> Found:
    """Return phase errors in rad by truth of ours that has learnt from a stretch."""
    found = errors_of(design_wiener(rest, OURS[ours]), case, (HEADLINE_LEAD_S,))
    return {truth: errors.error for (truth, _), errors in found.items()}


def measure(name: str, montage: str) -> dict[str, Any]:
    """Return errors on one recording at one montage."""
    job = Job(name, montage)
    cases = cases_of(job)
    drawn = [cases.synthetic, *(cases_of(job, draw=draw).synthetic for draw in range(1, DRAWS))]
    return {
        "recording": name,
        "montage": montage,
        "snr_db": cases.real.fit.snr_db,
        "draws": {name: [errors_with(case.rest, case, name)[SYNTHETIC] for case in drawn] for name in OURS},
        **{name: errors_with(cases.real.rest, cases.real, name) for name in OURS},
        "hindsight": errors_with(hindsight(cases.real), cases.real),
    }


def mean_deg(parts: Sequence[NDArray[np.float64]]) -> float:
    """Return the circular mean of errors in degrees."""
    return float(np.degrees(np.angle(np.mean(np.exp(1j * np.concatenate(parts))))))


def of_draws(rows: list[dict[str, Any]], montage: str, ours: str) -> dict[str, Any]:
    """Return the bias by true phase over all draws, of all recordings and of those with a rhythm, and of each draw."""
    mine = [row for row in rows if row["montage"] == montage]
    usable = [row for row in mine if row["snr_db"] >= WEAK_SNR_DB]
    singles = [mean_deg([row["draws"][ours][draw] for row in mine]) for draw in range(DRAWS)]
    every, some = (_pooled([errors for row in part for errors in row["draws"][ours]]) for part in (mine, usable))
    return {
        "montage": montage,
        "estimator": ours,
        "bias_deg": every.bias_deg,
        "bias_ci95_deg": every.bias_ci95_deg,
        "single draws": [min(singles), max(singles)],
        f"recordings of {WEAK_SNR_DB:g} dB": len(usable),
        "bias_deg of these": some.bias_deg,
        "bias_ci95_deg of these": some.bias_ci95_deg,
    }


def _pooled(parts: list[NDArray[np.float64]]) -> PhaseStatistics:
    # Each draw of each recording is one block: what a design has missed, all of its errors share.
    return phase_statistics(np.concatenate(parts), np.repeat(np.arange(len(parts)), [part.size for part in parts]))


def of_references(rows: list[dict[str, Any]], montage: str) -> Iterator[dict[str, Any]]:
    """Yield the bias under each reference, and that of the predictor that knew their mean."""
    mine = [row for row in rows if row["montage"] == montage]
    for who in (*OURS, "hindsight"):
        biases = {truth: mean_deg([row[who][truth] for row in mine]) for truth in TRUTHS.values()}
        together = mean_deg([row[who][truth] for row in mine for truth in TRUTHS.values()])
        yield {"montage": montage, "predictor": who, **biases, "all four": together}


def main() -> None:
    """Run all of it and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the tables to this file")
    parser.add_argument("--recordings", type=Path, help="folder of the recordings; otherwise the library's")
    options = parser.parse_args()
    use_recordings(options.recordings)
    jobs = [(name, montage) for montage in MONTAGES for name in RECORDINGS]
    rows = list(in_parallel(measure, jobs, doing="recordings and montages"))
    by_draw = [of_draws(rows, montage, ours) for montage in MONTAGES for ours in OURS]
    by_reference = [line for montage in MONTAGES for line in of_references(rows, montage)]
    show(f"Bias in degrees by true phase, {DRAWS} draws of each recording's synthetic EEG ({machine()})", by_draw)
    show("Bias in degrees by reference, real EEG", by_reference)
    write(options.json, by_true_phase=by_draw, by_reference=by_reference)


if __name__ == "__main__":
    main()
