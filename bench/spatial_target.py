"""What many channels could give: a target that other channels help to see.

    python bench/spatial_target.py --json FILE [--recordings DIR]

`wiener` learns from its one channel's own rhythm. Here it learns, for half, from the smoother of least squared error
over all channels, for the cross-spectra of rhythm and background that were fitted to rest. Circular SD over that of
one channel with its usual target, 25 ms ahead: medians over six recordings.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import MONTAGES, SYNTHETIC_S, Job, cases_of
from cohort import RECORDINGS, in_parallel, machine, show, use_recordings, write
from numpy.typing import NDArray
from scipy import fft

from closedloop.accuracy.case import SYNTHETIC, TRUTHS, Case, usable
from closedloop.accuracy.compare import HEADLINE_LEAD_S
from closedloop.accuracy.evaluation import seed_of
from closedloop.accuracy.score import errors_of
from closedloop.config.estimators import Wiener
from closedloop.estimators.interface import Rest
from closedloop.estimators.wiener import design_wiener
from closedloop.signal.cross_spectrum import CrossSpectrum, fit_cross_spectrum
from closedloop.signal.spatial import weight_row
from closedloop.signal.training_target import EDGE_S
from closedloop.sources.library import open_recording
from closedloop.sources.matched import matched_channels
from closedloop.sources.recording import Recording

SHRINKAGE = 0.1
"""How far cross-spectra are drawn towards those of channels that have nothing in common: a minute is short."""
SPATIAL_SHARE = 0.5
USUAL = "one channel"
ONE, MANY = Wiener(type="wiener"), Wiener(type="wiener", helpers="all")


def smoothed(samples: NDArray[np.float64], own: NDArray[np.float64], fit: CrossSpectrum, sfreq: float) -> Any:
    """Return the rhythm of a spatial filter, of shape (n_samples,), as all channels tell it; NaN at the edges."""
    gains = np.zeros((fit.frequencies_hz.size, own.size), np.complex128)
    for k in np.flatnonzero(np.abs(fit.component).sum(axis=(1, 2)) > 0.0):
        whole = fit.component[k] + fit.background[k]
        drawn = (1.0 - SHRINKAGE) * whole + SHRINKAGE * np.diag(np.diag(whole))
        gains[k] = np.linalg.solve(drawn.T, own @ fit.component[k])
    reach = round(EDGE_S * sfreq)
    padded = np.pad(samples - samples.mean(axis=0), ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")
    n_fft = fft.next_fast_len(len(padded) + reach)
    hz = np.fft.fftfreq(n_fft, 1.0 / sfreq)
    spectrum = np.zeros(n_fft, np.complex128)
    for gain, transformed in zip(gains.T, fft.fft(padded, n_fft, axis=0).T, strict=True):
        spectrum += np.interp(hz, fit.frequencies_hz, gain, left=0.0, right=0.0) * transformed
    found = fft.ifft(np.where(hz > 0.0, 2.0 * spectrum, 0.0))[reach : reach + len(samples)]
    found[:reach] = found[-reach:] = np.nan
    return found


def with_spatial_target(case: Case, recording: Recording, own: NDArray[np.float64]) -> Rest:
    """Return a case's rest whose target is half what all channels tell, at the usual one's power."""
    samples = recording.samples[: len(case.rest.inputs)]
    spatial = smoothed(samples, own, fit_cross_spectrum(samples, case.sfreq, case.fit.peak_hz), case.sfreq)
    usual = case.rest.target
    equal = np.sqrt(np.nanmean(np.abs(usual) ** 2) / np.nanmean(np.abs(spatial) ** 2))
    return replace(case.rest, target=(1.0 - SPATIAL_SHARE) * usual + SPATIAL_SHARE * equal * spatial)


def spreads(rest: Rest, settings: Wiener, case: Case) -> dict[str, float]:
    """Return circular SDs by truth of a design on a stretch."""
    found = errors_of(design_wiener(rest, settings), case, (HEADLINE_LEAD_S,))
    return {truth: float(errors.statistics().circular_sd_deg or np.nan) for (truth, _), errors in found.items()}


def measure(name: str, montage: str) -> list[dict[str, Any]]:
    """Compare targets on one recording at one montage."""
    cases = cases_of(Job(name, montage))
    recording = usable(open_recording(name), MONTAGES[montage])
    own = weight_row(MONTAGES[montage], recording.names)
    spectra = fit_cross_spectrum(recording.samples, recording.sfreq, cases.real.fit.peak_hz)
    # The same draw as the case's own, which keeps only what estimators see.
    made = matched_channels(
        spectra, recording.names, duration_s=SYNTHETIC_S, sfreq=recording.sfreq, seed=seed_of(name, montage)
    )
    found: dict[str, dict[str, float]] = {}
    for case, seen in ((cases.real, recording), (cases.synthetic, made.recording)):
        spatial = with_spatial_target(case, seen, own)
        for title, rest, settings in (
            (USUAL, case.rest, ONE),
            ("one channel, spatial target", spatial, ONE),
            ("many channels", case.rest, MANY),
            ("many channels, spatial target", spatial, MANY),
        ):
            found.setdefault(title, {}).update(spreads(rest, settings, case))
    return [{"recording": name, "montage": montage, "target": title, **by_truth} for title, by_truth in found.items()]


def medians(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ratios to one channel with its usual target."""
    lines = []
    for montage in MONTAGES:
        mine = [row for row in rows if row["montage"] == montage]
        usual = {row["recording"]: row for row in mine if row["target"] == USUAL}
        for target in dict.fromkeys(row["target"] for row in mine if row["target"] != USUAL):
            found = [row for row in mine if row["target"] == target]
            ratios = {
                truth: float(np.median([row[truth] / usual[row["recording"]][truth] for row in found]))
                for truth in (SYNTHETIC, *TRUTHS.values())
            }
            lines.append({"montage": montage, "target": target, **ratios})
    return lines


def main() -> None:
    """Run all of it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write rows and table to this file")
    parser.add_argument("--recordings", type=Path, help="folder of the recordings; otherwise the library's")
    options = parser.parse_args()
    use_recordings(options.recordings)
    jobs = [(name, montage) for montage in MONTAGES for name in RECORDINGS]
    rows = [row for part in in_parallel(measure, jobs, doing="recordings and montages") for row in part]
    table = medians(rows)
    show(f"Circular SD over that of {USUAL} ({machine()})", table)
    write(options.json, rows=rows, medians=table)


if __name__ == "__main__":
    main()
